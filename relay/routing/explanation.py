"""Why a message takes its route: for `python -m relay route` and the operator's page."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from relay.config.model import Route
from relay.routing.routes import CompiledRoute, Routes
from relay.text.compose import destination_address, source_address
from relay.values.messages import destination_of, source_of

#: What may differ between two routes that match, most important first.
_DECIDING = ("account", "sender", "tag", "hours")


class RouteStep(msgspec.Struct, frozen=True):
    """One route of the file, and why it takes the message or doesn't."""

    route: str
    asks_for: str
    verdict: str


class Explanation(msgspec.Struct, frozen=True):
    """The route of a message.

    :ivar decision: the answer in a sentence.
    :ivar tags: the number's, from the lists.
    :ivar carriers: in the order in which they are tried.
    :ivar steps: all routes, in the order of the file.
    """

    decision: str
    carriers: Sequence[str]
    tags: Sequence[str]
    steps: Sequence[RouteStep]


def explain(routes: Routes, account: str, source: str, destination: str, at: float) -> Explanation:
    """Says which route a message takes, and why.

    :param source: the sender, as an HTTP customer writes it; "" for none.
    :param destination: the number, with its country code.
    :param at: when the message is accepted, in seconds since 1970.
    :raises relay.text.compose.InvalidText: a number can't be read.
    """
    addresses = (source_address(source) if source else b"\0\0\0") + destination_address(destination)
    number = destination_of(addresses)
    tags = routes.lists.tags_of(number) if routes.lists is not None else []
    chosen = routes.find(addresses, account, at)
    steps = [
        RouteStep(f"routes[{route.index}]", words(route.route), _verdict(route, chosen, account, addresses, at, tags))
        for route in routes.compiled
    ]
    if routes.refuses is not None and (name := routes.refuses(number)):
        return Explanation(f"The number is on the list {name!r}; the message is refused.", (), tags, steps)
    if chosen is None:
        return Explanation("No route leads to this number; the message is refused.", (), tags, steps)
    carriers = routes.carriers_of(addresses, account, at)
    decision = f"routes[{chosen.index}] takes the message: {', then '.join(carriers)}."
    if chosen.order.fixed is None:
        decision += " The weights and the number decide this order; it is the same for each message to this number."
    if chosen.route.replace_sender:
        decision += f" The sender becomes {chosen.route.replace_sender}."
    return Explanation(decision, carriers, tags, steps)


def _verdict(
    route: CompiledRoute, chosen: CompiledRoute | None, account: str, addresses: bytes, at: float, tags: Sequence[str]
) -> str:
    missed = _missed(route, account, addresses, at, tags)
    if missed:
        return f"doesn't match: {missed}"
    if chosen is None or route.index == chosen.index:
        return "takes the message"
    for key, own, others in zip(_DECIDING, route.rank, chosen.rank, strict=True):
        if own != others:
            return f"matches, but routes[{chosen.index}] says more about the {key}"
    if len(route.prefix) != len(chosen.prefix):
        return f"matches, but routes[{chosen.index}] has the longer prefix"
    return f"matches, but routes[{chosen.index}] stands before it"


def _missed(route: CompiledRoute, account: str, addresses: bytes, at: float, tags: Sequence[str]) -> str:
    """The first condition that the message doesn't meet, in words; "" if it meets all."""
    wanted = route.route
    if wanted.account not in ("", account):
        return f"the account is {account}" if account else "no account was named"
    if route.sender is not None and not route.sender.matches(source_of(addresses)):
        return f"the sender is {source_of(addresses).decode('latin-1') or 'empty'}"
    if wanted.tag and wanted.tag not in tags:
        return f"the number's tags are {', '.join(tags)}" if tags else "the number has no tag"
    if route.hours is not None and not route.hours.hold(at):
        return f"the time is {datetime.fromtimestamp(at, UTC):%a %H:%M} UTC"
    if not destination_of(addresses).removeprefix(b"+").startswith(route.prefix):
        return "the number begins otherwise"
    return ""


def words(route: Route) -> str:
    """The messages that a route is for, in words."""
    keys = ("account", "sender", "tag", "hours", "prefix")
    said = [f"{key} {value!r}" for key in keys if (value := getattr(route, key))]
    return ", ".join(said) or "all numbers"


def instant_of(text: str) -> float | None:
    """Seconds since 1970 of a time such as 2026-03-01T22:30Z; None if it can't be read, or names no offset from UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None
