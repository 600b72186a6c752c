"""Explains why a message takes its route: for `python -m relay route` and the operator's page."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from relay.config.route_config import Failover, Route
from relay.routing.routes import CompiledRoute, Routes
from relay.text.compose import destination_address, source_address
from relay.values.messages import destination_of, source_of

#: The conditions that decide between two matching routes, the most important first.
_DECIDING = ("account", "sender", "tag", "hours")


class RouteStep(msgspec.Struct, frozen=True):
    """Says for one route of the configuration why it takes the message, or why it doesn't."""

    route: str
    asks_for: str
    verdict: str


class CarrierNow(msgspec.Struct, frozen=True):
    """Says what a running relay does with a carrier of the route now.

    :ivar tried: whether a message could go to it.
    :ivar reasons: why not, and what else counts against it; empty: nothing does.
    """

    carrier: str
    tried: bool
    reasons: Sequence[str] = ()

    @property
    def words(self) -> str:
        """The reasons as one text; "": there are none."""
        said = "; ".join(self.reasons)
        return said if self.tried or not said else f"not now: {said}"


class RouteNow(msgspec.Struct, frozen=True):
    """Says to which carrier of its route a message would go now. Only a running relay knows it.

    :ivar decision: the answer in one sentence.
    :ivar carrier: the carrier that it would go to, or wait for; "": none takes it.
    :ivar carriers: all carriers of the route, in order.
    """

    decision: str
    carrier: str
    carriers: Sequence[CarrierNow]


class Explanation(msgspec.Struct, frozen=True):
    """Says which route a message takes, and why.

    :ivar decision: the answer in one sentence.
    :ivar tags: the tags that the number has in the lists, and those that the message was said to have.
    :ivar carriers: the carriers, in the order in which the relay tries them.
    :ivar ends_as: the status in which a message to a test number ends; "": the number is none.
    :ivar steps: one step for each route, in the order of the configuration.
    :ivar place: the place of the route that takes the message, counted from 0; -1: none takes it.
    :ivar now: what decides now; None: the explanation is of a file, or for another time.
    """

    decision: str
    carriers: Sequence[str]
    tags: Sequence[str]
    steps: Sequence[RouteStep]
    ends_as: str = ""
    place: int = -1
    now: RouteNow | None = None


def explain(
    routes: Routes, account: str, source: str, destination: str, at: float, decided: Sequence[str] = ()
) -> Explanation:
    """Says which route a message takes, and why.

    :param source: the sender, as an HTTP customer writes it; "" for no sender.
    :param destination: the number, with its country code.
    :param at: the time of acceptance, in seconds since 1970.
    :param decided: the tags that the decision service gives the message.
    :raises relay.text.compose.InvalidText: a number can't be read.
    """
    addresses = (source_address(source) if source else b"\0\0\0") + destination_address(destination)
    number = destination_of(addresses)
    tags = [*(routes.lists.tags_of(number) if routes.lists is not None else ()), *decided]
    chosen = routes.find(addresses, account, at, tags)
    steps = [
        RouteStep(f"routes[{route.index}]", words(route.route), _verdict(route, chosen, account, addresses, at, tags))
        for route in routes.compiled
    ]
    if (ending := routes.ending(addresses, account)) is not None:
        decision = f"It is a test number of the account: the message ends as {ending.status}, and no carrier sees it."
        return Explanation(decision, (), tags, steps, ending.status)
    if routes.refuses is not None and (name := routes.refuses(number)):
        return Explanation(f"The number is on the list {name!r}; the message is refused.", (), tags, steps)
    if chosen is None:
        return Explanation("No route leads to this number; the message is refused.", (), tags, steps)
    carriers = routes.carriers_of(addresses, account, at, decided)
    decision = f"routes[{chosen.index}] takes the message: {', then '.join(carriers)}."
    if chosen.order.fixed is None:
        decision += " The weights and the number decide this order; it is the same for each message to this number."
    if chosen.avoided:
        decision += _avoided_words(chosen, carriers)
    if chosen.route.replace_sender:
        decision += f" The sender becomes {chosen.route.replace_sender}."
    if chosen.route.failover is not None:
        decision += f" {_failover_words(chosen.route.failover)}"
    return Explanation(decision, carriers, tags, steps, place=chosen.index)


def _avoided_words(route: CompiledRoute, carriers: Sequence[str]) -> str:
    avoided = [name for name in route.route.carrier_names if name in route.avoided]
    said = f" The route avoids {' and '.join(avoided)} now: it delivers too little, and gets a trickle of the numbers."
    if set(carriers[-len(avoided) :]) != set(avoided):
        said += " This number is in the trickle."
    return said


def _failover_words(failover: Failover) -> str:
    after = [" or ".join(failover.on)] if failover.on else []
    if failover.on and failover.errors:
        after[0] += f" with the error {' or '.join(failover.errors)}"
    if failover.no_receipt_seconds:
        after.append(f"{failover.no_receipt_seconds:g} s without a receipt")
    times = "once" if failover.times == 1 else f"up to {failover.times} times"
    return f"It goes to the next carrier {times}: after {' or after '.join(after)}."


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
    """Names the first condition that the message doesn't meet; "" if it meets all conditions."""
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
    """Describes the messages that a route matches."""
    keys = ("account", "sender", "tag", "hours", "prefix")
    said = [f"{key} {value!r}" for key in keys if (value := getattr(route, key))]
    return ", ".join(said) or "all numbers"
