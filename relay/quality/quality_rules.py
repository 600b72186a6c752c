"""Decides which carriers a route avoids, because they deliver too little (key `quality` of the route).

Theory of operation: a carrier is avoided if it has delivered less than the rule's share of enough messages in the
rule's span. The route then tries it last, except for a trickle of messages, by which the relay sees it recover. The
carrier comes back when it has been avoided for at least one span, and has delivered a higher share since (`back_at`).
So a carrier at the limit doesn't come and go. The trickle is small, so the relay looks back as far as it must to see
enough messages, but not to the time before the carrier was avoided. A route never avoids all of its carriers.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from relay.config.route_config import Route, RouteQuality
from relay.quality.delivery_quality import DAY_SECONDS, WEEK_SECONDS, DeliveryQuality, Figures
from relay.routing.explanation import words
from relay.values.country_codes import codes_of_prefix
from relay.values.ended_counts import DELIVERED, FAILED, UNANSWERED, QualityGroup

#: In the sums: all accounts, and all countries.
_ALL: Final = "all"
_ANY_ACCOUNT: Final = ""
#: A carrier needs this part of the rule's `messages` to come back, and no fewer than `_FEWEST_BACK`.
_BACK_PART: Final = 10
_FEWEST_BACK: Final = 5


class Avoided(msgspec.Struct, frozen=True):
    """A carrier that a route avoids.

    :ivar route: the conditions of the route, in words.
    :ivar at: since when.
    :ivar share: the share that it had delivered then, of so many `messages`.
    :ivar back_at: the share from which it comes back.
    """

    route: str
    carrier: str
    at: float
    share: float
    messages: int
    back_at: float


class Change(NamedTuple):
    """A carrier is avoided from now on, or comes back. `share` and `messages` say why; 0 messages: its rule is gone."""

    avoided: Avoided
    begins: bool
    share: float
    messages: int


def back_at(rule: RouteQuality) -> float:
    """The delivered share from which a carrier comes back."""
    return rule.back_at_share or rule.delivered_share + (1.0 - rule.delivered_share) / 4


class QualityRules:
    """Knows which carriers are avoided by which routes.

    :ivar avoided: by the route's conditions in words, and the carrier.
    """

    def __init__(self) -> None:
        self.avoided: dict[tuple[str, str], Avoided] = {}

    def judge(self, routes: Sequence[Route], quality: DeliveryQuality, now: float) -> list[Change]:
        """Decides anew, and returns what has changed."""
        ruled = [(words(route), route, route.quality) for route in routes if route.quality is not None]
        if not ruled and not self.avoided:
            return []
        changes = list(self._forget({(name, carrier) for name, route, _ in ruled for carrier in route.carrier_names}))
        spans = _Spans(quality, now)
        for name, route, rule in ruled:
            changes += self._come_back(name, route, rule, spans)
            changes += self._avoid(name, route, rule, spans)
        return changes

    def _forget(self, known: set[tuple[str, str]]) -> Iterator[Change]:
        for key in self.avoided.keys() - known:
            yield Change(self.avoided.pop(key), False, 0.0, 0)

    def _avoid(self, name: str, route: Route, rule: RouteQuality, spans: "_Spans") -> Iterator[Change]:
        low: list[tuple[float, str, Figures]] = []
        left = {carrier for carrier in route.carrier_names if (name, carrier) not in self.avoided}
        for carrier in sorted(left):
            found = spans.of(route, carrier, rule.window_seconds)
            if found.ended < rule.messages:
                continue
            if found.share is None and spans.of(route, carrier, WEEK_SECONDS).share is None:
                # This carrier sends no receipts at all, so nobody knows what it delivers.
                continue
            share = found.share or 0.0
            if share < rule.delivered_share:
                low.append((share, carrier, found))
        for share, carrier, found in sorted(low):
            if len(left) == 1:
                break
            left.discard(carrier)
            avoided = Avoided(name, carrier, spans.now, share, found.ended, back_at(rule))
            self.avoided[name, carrier] = avoided
            yield Change(avoided, True, share, found.ended)

    def _come_back(self, name: str, route: Route, rule: RouteQuality, spans: "_Spans") -> Iterator[Change]:
        for carrier in dict.fromkeys(route.carrier_names):
            avoided = self.avoided.get((name, carrier))
            if avoided is None:
                continue
            seconds = spans.now - avoided.at
            if seconds < rule.window_seconds:
                # Receipts still come for messages that it took before.
                continue
            enough = max(_FEWEST_BACK, rule.messages // _BACK_PART)
            for span_seconds in _look_back(rule.window_seconds, seconds):
                found = spans.of(route, carrier, span_seconds, no_longer=True)
                if found.ended >= enough:
                    share = found.share or 0.0
                    if share >= back_at(rule):
                        del self.avoided[name, carrier]
                        yield Change(avoided, False, share, found.ended)
                    break

    def names_of(self, routes: Iterable[Route]) -> dict[int, frozenset[str]]:
        """The avoided carriers of each route that avoids any, by the route's place in the file."""
        found: dict[int, frozenset[str]] = {}
        for index, route in enumerate(routes):
            if route.quality is not None:
                name = words(route)
                names = frozenset(carrier for carrier in route.carrier_names if (name, carrier) in self.avoided)
                if names:
                    found[index] = names
        return found


def _look_back(window_seconds: float, seconds: float) -> list[float]:
    """The spans in which a carrier that has been avoided for some seconds may show that it is good again."""
    longest = min(seconds, WEEK_SECONDS)
    spans = [span for span in (window_seconds, 4 * window_seconds, DAY_SECONDS) if span < longest]
    return sorted({*spans, longest})


class _Spans:
    """Adds up the counts of a route's messages at a carrier, for spans that end now. Each span is added up once.

    The messages of a route are those to its country, and of its account. A prefix that is longer than a country code
    stands for the country.
    """

    def __init__(self, quality: DeliveryQuality, now: float) -> None:
        self._quality = quality
        self.now = now
        self._sums: dict[tuple[float, bool], dict[QualityGroup, list[int]]] = {}

    def of(self, route: Route, carrier: str, seconds: float, *, no_longer: bool = False) -> Figures:
        """The counts of the last seconds, without the times. `no_longer` is that of `DeliveryQuality.sums`."""
        sums = self._sums.get((seconds, no_longer))
        if sums is None:
            sums = self._quality.sums(self.now, seconds, _names, no_longer=no_longer)
            self._sums[seconds, no_longer] = sums
        countries: Iterable[str] = codes_of_prefix(route.prefix) if route.prefix else (_ALL,)
        total = [0, 0, 0]
        for country in countries:
            found = sums.get(QualityGroup(carrier, route.account or _ANY_ACCOUNT, country))
            if found is not None:
                total = [one + other for one, other in zip(total, found, strict=True)]
        return Figures(total[DELIVERED], total[FAILED], total[UNANSWERED])


def _names(group: QualityGroup) -> Iterator[QualityGroup]:
    for account in (group.account, _ANY_ACCOUNT):
        for country in (group.country, _ALL):
            yield QualityGroup(group.carrier, account, country)
