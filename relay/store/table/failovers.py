"""Holds the messages that go to another carrier, until the message flow fetches them, and the timers of those that may.

Theory of operation: `failing_over` ends the round of a message, and gives the row to `Failovers.go_on`. The message
flow fetches it about a second later, when its record is durable. A timer says when a message without a receipt goes on.
Timers are in one dict for each second, so a row is removed at once when its receipt comes. The heap has these seconds.
"""

import math
from collections import Counter, deque
from collections.abc import Sequence
from heapq import heappop, heappush

from relay.store.store_values import OtherCarrier
from relay.store.table.entries import Row, is_unsubmitted
from relay.store.table.entry_values import FINAL, FORGOTTEN, GOES_ON, FailoverState
from relay.values.failover_rule import FailoverRule

#: Of a message that ended before a carrier took all of its parts: id, parts that wait, end of the validity.
Dropped = tuple[bytes, int, float]


class FailoverTimers:
    """Says when messages go to another carrier because no receipt came."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[bytes, Row]] = {}
        self._seconds: list[int] = []

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def add(self, row: Row, failover: FailoverState, due_at: float) -> None:
        """Starts the timer of a row, or starts it again."""
        self.drop(row, failover)
        second = failover.timer = max(1, math.ceil(due_at))
        rows = self._rows.get(second)
        if rows is None:
            rows = self._rows[second] = {}
            heappush(self._seconds, second)
        rows[row.id] = row

    def drop(self, row: Row, failover: FailoverState) -> None:
        """Stops the timer of a row. Does nothing if it has none."""
        if failover.timer:
            self._rows[failover.timer].pop(row.id, None)
            failover.timer = 0

    def due(self, now: float, limit: int) -> list[Row]:
        """Removes up to `limit` rows whose time has come, the earliest first, and returns them."""
        due: list[Row] = []
        while self._seconds and self._seconds[0] <= now and len(due) < limit:
            rows = self._rows[self._seconds[0]]
            while rows and len(due) < limit:
                _, row = rows.popitem()
                if row.rare_fields is not None and row.rare_fields.failover is not None:
                    row.rare_fields.failover.timer = 0
                due.append(row)
            if not rows:
                del self._rows[heappop(self._seconds)]
        return due


class Failovers:
    """Holds the rows that go to another carrier.

    :ivar counts: by carrier: the messages that went to another one, since the start.
    """

    def __init__(self) -> None:
        self.timers = FailoverTimers()
        self.counts: Counter[str] = Counter()
        self.other_carrier: OtherCarrier = lambda account, addresses, accepted_at, tags, tried: False
        self._rules: dict[FailoverRule, FailoverRule] = {}
        self._ready: dict[bytes, Row] = {}
        self._dropped: deque[Dropped] = deque()

    def shared(self, rule: FailoverRule) -> FailoverRule:
        """The object that all messages with this rule share. There are as many rules as routes have had."""
        return self._rules.setdefault(rule, rule)

    def arm(self, row: Row) -> None:
        """Starts the timer of a message that carriers have taken, if its rule has one, and it may go on once more."""
        failover = None if row.rare_fields is None else row.rare_fields.failover
        handoff = row.handoff
        if failover is None or handoff is None or handoff.at is None or row.flags & FINAL:
            return
        seconds = failover.rule.no_receipt_seconds
        if seconds and len(failover.rounds) < failover.rule.times:
            self.timers.add(row, failover, handoff.at + seconds)

    def ended(self, row: Row) -> None:
        """The message has ended."""
        if row.rare_fields is not None and row.rare_fields.failover is not None:
            self.timers.drop(row, row.rare_fields.failover)

    def go_on(self, row: Row) -> None:
        """The message waits for another carrier from now on."""
        row.flags |= GOES_ON
        self._ready[row.id] = row

    def drop(self, message_id: bytes, parts: int, expires_at: float) -> None:
        """A message has ended that no carrier has taken. If the flow has fetched it, the flow must drop its parts."""
        if self._ready.pop(message_id, None) is None:
            self._dropped.append((message_id, parts, expires_at))

    def take(self, limit: int) -> tuple[list[Row], list[Dropped]]:
        """Removes up to `limit` rows that still wait, and as many ended messages, and returns them."""
        rows: list[Row] = []
        while self._ready and len(rows) < limit:
            row = self._ready.pop(next(iter(self._ready)))
            if row.flags & GOES_ON and not row.flags & (FINAL | FORGOTTEN) and is_unsubmitted(row):
                rows.append(row)
        dropped = [self._dropped.popleft() for _ in range(min(limit, len(self._dropped)))]
        return rows, dropped

    def put_back(self, rows: Sequence[Row], dropped: Sequence[Dropped]) -> None:
        """Returns what `take` removed, because the journal can't be written now."""
        self._ready = {**{row.id: row for row in rows}, **self._ready}
        self._dropped.extendleft(reversed(dropped))
