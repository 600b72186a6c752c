"""What the account page counts where there is a history: its sums, which are exact and outlive a restart."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime

from relay.account_pages.delivery_stats import DURATIONS, KINDS, DeliveryStatsView, Span
from relay.history.history_entries import Group
from relay.history.history_query import HistorySums
from relay.history.history_questions import HistoryQuestions
from relay.store.store_values import StoreUnavailable
from relay.values.states import customer_words

#: The history is a second behind, so a question a second is enough for everybody who looks.
_ASKED_AGAIN_SECONDS: Final = 1.0
#: Views that are remembered; the one that was looked at longest ago goes first.
_VIEWS_KEPT: Final = 500
_HOUR_SECONDS: Final = 3600.0


class HistoryStats:
    """Gives the statistics that the account page shows."""

    def __init__(self, questions: HistoryQuestions, clock: IReactorTime) -> None:
        self._questions = questions
        self._clock = clock
        self._views: OrderedDict[tuple[str | None, str, str], tuple[float, DeliveryStatsView]] = OrderedDict()

    async def view(self, account: str | None, span: Span, carrier: str = "") -> DeliveryStatsView:
        """The account's statistics over a span, as of a second ago. While the history can't answer, the last ones.

        :param account: None: the statistics of all accounts.
        :param carrier: of the messages that this carrier had last, without delivery times; "": of all.
        :raises StoreUnavailable: the history can't answer, and never has for this account.
        """
        now = self._clock.seconds()
        key = (account, span.name, carrier)
        asked_at, known = self._views.get(key, (0.0, None))
        if known is not None and now - asked_at < _ASKED_AGAIN_SECONDS:
            return known
        first = int(now // span.bucket_seconds) - span.buckets + 1
        minutes = span.bucket_seconds < _HOUR_SECONDS
        try:
            sums = await self._questions.sums(
                account, first * span.bucket_seconds, now, minutes=minutes, carrier=carrier
            )
        except StoreUnavailable:
            if known is None:
                raise
            return known
        view = view_of_sums(span, first, sums, 60.0 if minutes else _HOUR_SECONDS)
        self._views[key] = (now, view)
        self._views.move_to_end(key)
        while len(self._views) > _VIEWS_KEPT:
            self._views.popitem(last=False)
        return view


def view_of_sums(span: Span, first: int, sums: HistorySums, seconds: float) -> DeliveryStatsView:
    """The sums as the page shows them. What waits for longer than the span stands at its beginning.

    :param first: the number of the span's first bucket since 1970.
    :param seconds: of a bucket of the sums.
    """
    counts = [[0] * len(KINDS) for _ in range(span.buckets)]
    durations = [0] * (len(DURATIONS) + 1)

    def place(number: int) -> int:
        return min(max(0, int(number * seconds // span.bucket_seconds) - first), span.buckets - 1)

    for number, group, count in sums.counts:
        counts[place(number)][_kind_index(group)] += count
    for _, took, count in sums.took:
        durations[took] += count
    counts[0][KINDS.index("waiting")] += sums.waiting_before
    starts: Sequence[float] = [(first + n) * span.bucket_seconds for n in range(span.buckets)]
    return DeliveryStatsView(span, starts, counts, durations)


def _kind_index(group: Group) -> int:
    return KINDS.index(customer_words(group.state, group.error).send_status if group.final else "waiting")
