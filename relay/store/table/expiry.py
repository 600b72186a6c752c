"""Finds messages whose time is over: they expire, their receipts don't come, or nobody fetches their notifications.

Theory of operation: there are no timers. Each call walks through some dicts of the table, from where the last call
stopped, until it has read enough rows. So a deadline may be noticed one round too late: four minutes, with a million
rows and a call every second. That doesn't matter for deadlines of days. For messages that no carrier takes, the carrier
link checks the deadline before it sends.

If no carrier has taken a message by its expiry, the relay waits a little longer, because the response may be under way.
"""

import msgspec

from relay.store.table.entries import Row
from relay.store.table.entry_values import FINAL, OWED_SMPP
from relay.store.table.table import SHARDS, Table

#: After so many rows, a call stops at the end of the present dict. A row that isn't in the processor's caches takes up
#: to 10 µs. If a million messages wait, a dict has 4,000 rows, and a call reads one dict.
ROWS_A_CALL = 1_000
#: After so many messages that are due, a call stops at the end of the present dict. Each takes about 3 µs.
DUE_A_CALL = 1_000


class Due(msgspec.Struct):
    """The messages that one call found to be due.

    :ivar expired: messages that no carrier took in time.
    :ivar unanswered: messages of one part whose receipt didn't come.
    :ivar long: messages of several parts. A receipt of one of the parts may be overdue.
    :ivar unfetched: finished messages whose SMPP receipt may have waited too long for a receiver.
    """

    expired: list[Row]
    unanswered: list[Row]
    long: list[Row]
    unfetched: list[Row]


class Expiry:
    """Walks through the table, again and again, and finds messages that are due.

    :param grace_seconds: how long after its expiry a message that no carrier has taken may still get a response.
    """

    def __init__(self, table: Table, grace_seconds: float) -> None:
        self._table = table
        self._grace_seconds = grace_seconds
        self._next = 0

    def step(self, now: float, rows: int = ROWS_A_CALL) -> Due:
        """Reads the next dicts, until it has read `rows` rows or the whole table."""
        due = Due([], [], [], [])
        seen = 0
        shards = self._table.shards
        policies: dict[str, float] = {}
        unsubmitted_due_at = now - self._grace_seconds
        for _ in range(SHARDS):
            shard = shards[self._next]
            self._next = (self._next + 1) % SHARDS
            seen += len(shard)
            for row in shard.values():
                flags = row.flags
                if flags & FINAL:
                    if flags & OWED_SMPP and self._unfetched(row, now, policies):
                        due.unfetched.append(row)
                    continue
                handoff = row.handoff
                if handoff is None:
                    if row.acceptance.expires_at <= unsubmitted_due_at:
                        due.expired.append(row)
                elif row.rare_fields is not None and row.rare_fields.parts is not None:
                    if any(
                        part.handoff is not None and part.handoff.receipt_due_at <= now
                        for part in row.rare_fields.parts
                    ):
                        due.long.append(row)
                elif handoff.receipt_due_at <= now:
                    due.unanswered.append(row)
            if seen >= rows or len(due.expired) + len(due.unanswered) + len(due.long) >= DUE_A_CALL:
                break
        return due

    def _unfetched(self, row: Row, now: float, policies: dict[str, float]) -> bool:
        name = row.origin.account.name
        seconds = policies.get(name)
        if seconds is None:
            seconds = policies[name] = self._table.policy_of(name).receipt_seconds
        return row.latest.done_at + seconds <= now
