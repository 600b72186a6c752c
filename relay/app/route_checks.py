"""Checks the routes: finds unknown names, routes that contradict each other, and routes that no message can take.

To find out whether messages can take a route, the check makes messages that match it, with all the senders and times
that matter to any route. It asks the routing table which route these messages take.
"""

from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Final

from relay.config.model import Config
from relay.config.route_config import Failover, Route, RouteQuality
from relay.config.sender_patterns import SenderPattern
from relay.config.yaml_reader import Path, did_you_mean
from relay.routing.explanation import words
from relay.routing.hours import hours_of, overlap, times_to_try
from relay.routing.routes import CompiledRoute, Routes
from relay.text.compose import InvalidText, source_address

Finding = tuple[Path, str]

#: The most messages that are tried for one route. If there would be more, a message that takes the route may be missed.
_MOST_TRIED: Final = 20_000
#: No configured account has this name.
_OTHER_ACCOUNT: Final = " "


def check_routes(config: Config) -> Iterator[Finding]:
    """Finds all problems of the routes, in no particular order."""
    readable = True
    for index, route in enumerate(config.routes):
        found = list(_route(("routes", index), route, config))
        readable = readable and not any(path[2] in ("sender", "hours", "replace_sender") for path, _ in found)
        yield from found
    if readable:
        yield from _contradictions(Routes(config.routes))


def _route(path: Path, route: Route, config: Config) -> Iterator[Finding]:
    if route.account and route.account not in config.accounts:
        hint = did_you_mean(route.account, config.accounts)
        yield (*path, "account"), f"there is no account {route.account!r}{hint}"
    if route.tag:
        yield from _tag((*path, "tag"), route.tag, config)
    for key, reads in (("sender", SenderPattern), ("hours", hours_of)):
        value: str = getattr(route, key)
        try:
            if value:
                reads(value)
        except ValueError as problem:
            yield (*path, key), str(problem)
    yield from replaced_sender((*path, "replace_sender"), route.replace_sender)
    yield from _carriers((*path, "carriers"), route.carriers, config)
    if route.failover is not None:
        yield from _failover((*path, "failover"), route, route.failover)
    if route.quality is not None:
        yield from _quality((*path, "quality"), route, route.quality)


def _quality(path: Path, route: Route, quality: RouteQuality) -> Iterator[Finding]:
    if len(route.carrier_names) < 2:
        yield path, "the route has only one carrier; name another one in `carriers`, or leave `quality` out"
    if quality.back_at_share and quality.back_at_share <= quality.delivered_share:
        yield (*path, "back_at_share"), f"expected more than delivered_share, which is {quality.delivered_share:g}"


def _failover(path: Path, route: Route, failover: Failover) -> Iterator[Finding]:
    if len(route.carrier_names) < 2:
        yield path, "the route has only one carrier; name another one in `carriers`, or leave `failover` out"
    if not failover.on and not failover.no_receipt_seconds:
        yield path, "no message ever goes on; name states in `on`, or give no_receipt_seconds"
    if failover.errors and not failover.on:
        yield (*path, "errors"), "errors count only together with states in `on`"


def replaced_sender(path: Path, sender: str) -> Iterator[Finding]:
    """What is wrong with a `replace_sender`, of a route or of a carrier."""
    try:
        if sender:
            source_address(sender)
    except InvalidText as problem:
        yield path, problem.reason


def _tag(path: Path, tag: str, config: Config) -> Iterator[Finding]:
    tagging = {name: one for name, one in config.lists.items() if one.on_match == "tag"}
    # The tags of a column are known only when the file is read, and may change with it.
    # Nor are the decision service's.
    if config.decisions.url:
        return
    if tag not in tagging and not any(one.tag_column for one in tagging.values()):
        yield path, f"no list gives the tag {tag!r}{did_you_mean(tag, tagging)}"


def _carriers(path: Path, places: Sequence[str | dict[str, float]], config: Config) -> Iterator[Finding]:
    if not places:
        yield path, "expected at least one carrier"
    named: set[str] = set()
    for index, place in enumerate(places):
        here = (*path, index)
        if place == {}:
            yield here, "expected carriers with their weights, such as {a: 70, b: 30}"
        for name in [place] if isinstance(place, str) else place:
            where = here if isinstance(place, str) else (*here, name)
            # An empty name is a stand-in, or a name that another check refuses.
            if name and name not in config.carriers:
                yield where, f"there is no carrier {name!r}{did_you_mean(name, config.carriers)}"
            elif name in named:
                yield where, f"{name} is named twice; each carrier is tried once, so name it once"
            named.add(name)


def _contradictions(routes: Routes) -> Iterator[Finding]:
    """Finds routes for the same messages, and routes that no message takes."""
    first_of: dict[tuple[str, ...], list[CompiledRoute]] = {}
    doubled: set[int] = set()
    for route in routes.compiled:
        account, sender, tag, _ = route.conditions
        rivals = first_of.setdefault((account, sender, tag, route.route.prefix), [])
        rival = next((rival for rival in rivals if _same_hours(route, rival)), None)
        if rival is not None:
            doubled.add(route.index)
            what = "some of the same hours" if route.route.hours != rival.route.hours else words(route.route)
            yield ("routes", route.index), f"routes[{rival.index}] is for {what} too; name all carriers in one of them"
        rivals.append(route)
    if all(route.plain for route in routes.compiled):
        # Only a route with the same prefix could take all of its messages.
        return
    times = times_to_try(dict.fromkeys(route.route.hours for route in routes.compiled if route.hours))
    for route in routes.compiled:
        if route.index not in doubled and (takers := _takers(route, routes, times)):
            before = " and ".join(f"routes[{index}]" for index in sorted(takers))
            yield ("routes", route.index), f"no message takes this route, because {before} take all of its messages"


def _same_hours(one: CompiledRoute, other: CompiledRoute) -> bool:
    if one.hours is None or other.hours is None:
        return one.hours is other.hours
    return overlap(one.hours, other.hours)


def _takers(route: CompiledRoute, routes: Routes, times: Sequence[float]) -> set[int]:
    """The other routes that take the messages tried for a route. Empty if the route takes one of them itself."""
    account = route.route.account or _OTHER_ACCOUNT
    tags = [route.route.tag] if route.route.tag else []
    held = [at for at in times if route.hours is None or route.hours.hold(at)]
    takers: set[int] = set()
    for sender, at in islice(product(_senders(route, routes.compiled), held), _MOST_TRIED):
        taker = routes.find(b"\0\0%b\0\0\0%b\0" % (sender, route.prefix), account, at, tags)
        if taker is not None and taker.index == route.index:
            return set()
        if taker is not None:
            takers.add(taker.index)
    return takers


def _senders(route: CompiledRoute, routes: Sequence[CompiledRoute]) -> list[bytes]:
    """Senders that match a route: an empty one, a number, a name, and the senders that any route names."""
    named = {each.route.sender.removeprefix("+").removesuffix("*").encode() for each in routes if each.sender}
    senders = sorted({b"", b"15550100", b"nobody"} | named)
    return [sender for sender in senders if route.sender is None or route.sender.matches(sender)]
