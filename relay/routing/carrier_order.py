"""Finds the order in which the relay tries the carriers of a route for a number.

Theory of operation: a place in the order may have several carriers with weights. A hash of the destination and the
carrier's name gives each of them a number between 0 and 1. These numbers and the weights decide which carrier comes
first (weighted rendezvous hashing). So all parts of a message and its repeats go to the same carrier. If a weight
changes, or a carrier is added, as few destinations as possible move to another carrier.
"""

import math
from collections.abc import Collection
from hashlib import blake2b
from typing import Final

from relay.config.route_config import Failover, Route
from relay.text.compose import source_address
from relay.values.failover_rule import FailoverRule
from relay.values.states import CUSTOMER_WORDS, REJECTED

#: The most orders to remember. When there are this many, all are dropped.
_KEPT: Final = 10_000
_HASH_BYTES: Final = 8
_HASH_RANGE: Final = 1 << (8 * _HASH_BYTES)


class RouteCarriers(tuple[str, ...]):
    """Names the carriers of a route with `spill_over_seconds`, `replace_sender` or `failover`.

    Other routes have plain tuples. The type tells both kinds apart at no cost.

    :ivar source: the address that replaces the sender, as a submit_sm has it; b"" if the sender stays.
    :ivar failover: when a message goes to another carrier; None: never.
    """

    spill_over_seconds: float
    source: bytes
    failover: FailoverRule | None

    def go_on_after(self, error: bytes) -> bool:
        """Returns true if a message goes to the next carrier after a carrier refused its submit_sm for this reason."""
        return self.failover is not None and self.failover.applies(REJECTED, error)


def without(carriers: tuple[str, ...], gone: Collection[str]) -> tuple[str, ...]:
    """Returns the other carriers, in their order. They keep the settings of the route."""
    left = [name for name in carriers if name not in gone]
    if type(carriers) is not RouteCarriers:
        return tuple(left)
    others = RouteCarriers(left)
    others.spill_over_seconds, others.source, others.failover = (
        carriers.spill_over_seconds,
        carriers.source,
        carriers.failover,
    )
    return others


def failover_rule(failover: Failover | None) -> FailoverRule | None:
    """Makes the rule that a route's messages get; None: the route has none."""
    if failover is None:
        return None
    states = tuple(sorted(state for state, words in CUSTOMER_WORDS.items() if words.status in failover.on))
    errors = tuple(error.encode() for error in failover.errors)
    return FailoverRule(states, errors, failover.no_receipt_seconds, failover.times)


class CarrierOrder:
    """Finds the order of one route's carriers for a number. It never changes.

    :param avoided: the carriers that stand behind all others, because they deliver too little.
    :param salt: says which numbers are in the trickle. For these numbers no carrier is avoided.
    :ivar fixed: the order for all numbers; None if the route has weights, or avoids a carrier.
    :ivar source: as in `RouteCarriers`.
    :raises relay.text.compose.InvalidText: `replace_sender` can't be sent.
    """

    def __init__(self, route: Route, avoided: Collection[str] = (), salt: int = 0) -> None:
        self._avoided = avoided
        self._trickle = 0.0 if route.quality is None else route.quality.trickle
        self._salt = b"trickle %d" % salt
        self._spill_over_seconds = route.spill_over_seconds
        self.source = source_address(route.replace_sender) if route.replace_sender else b""
        self.failover = failover_rule(route.failover)
        self._places = [{place: 1.0} if isinstance(place, str) else place for place in route.carriers]
        self._orders: dict[tuple[str, ...], tuple[str, ...]] = {}
        weighted = any(len(place) > 1 for place in self._places)
        self.fixed = None if weighted or avoided else self._order(tuple(route.carrier_names))

    def of(self, number: bytes) -> tuple[str, ...]:
        """Returns the carriers for a destination, the preferred one first. Equal orders are the same object.

        :param number: the destination's digits; a leading + is ignored.
        """
        if self.fixed is not None:
            return self.fixed
        number = number.removeprefix(b"+")
        names: list[str] = []
        for place in self._places:
            names += sorted(place, key=lambda name: _score(name, place[name], number)) if len(place) > 1 else place
        if self._avoided and _hash(self._salt, number) >= self._trickle * _HASH_RANGE:
            # Sorting keeps the order of the others.
            names.sort(key=self._avoided.__contains__)
        return self._order(tuple(names))

    def _order(self, names: tuple[str, ...]) -> tuple[str, ...]:
        found = self._orders.get(names)
        if found is None:
            found = names
            if self._spill_over_seconds or self.source or self.failover is not None:
                found = RouteCarriers(names)
                found.spill_over_seconds = self._spill_over_seconds
                found.source = self.source
                found.failover = self.failover
            if len(self._orders) >= _KEPT:
                self._orders.clear()
            self._orders[names] = found
        return found


def _score(name: str, weight: float, number: bytes) -> float:
    """Returns a carrier's score for a number. The carrier with the lowest score comes first.

    Each carrier has the lowest score for its weight's share of all numbers.
    """
    hashed = _hash(name.encode(), number)
    # Above 0 and below 1, so that the logarithm exists and is below 0.
    return -math.log((hashed + 0.5) / (_HASH_RANGE + 1.0)) / weight


def _hash(key: bytes, number: bytes) -> int:
    return int.from_bytes(blake2b(number, digest_size=_HASH_BYTES, key=key).digest())
