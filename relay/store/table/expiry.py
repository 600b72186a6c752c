"""What time does to messages: they expire, their receipts don't come, nobody fetches what they are owed.

Theory of operation: there are no timers. Every call goes on through the table where the last one stopped, dict by
dict, until it has looked at so many rows, so a deadline is met as late as one round takes: with a million rows and
calls every second, four minutes. That is nothing beside deadlines of days, and the common deadline of a message that
no carrier takes is kept by the carrier link, which looks before it sends.

A message that no carrier has taken by its expiry is given a grace for the response that may be under way.
"""

import msgspec

from relay.store.table.entries import Row
from relay.store.table.entry_values import FINAL, OWED_SMPP
from relay.store.table.table import SHARDS, Table

#: Rows after which a call stops at the end of the dict that it is in. Where none of them is in the processor's caches
#: a row costs up to 10 us: with a million waiting, a dict of 4,000 is what one call may look at.
ROWS_A_CALL = 1_000
#: Messages due after which a call stops at the end of the dict that it is in; each costs some 3 µs.
DUE_A_CALL = 1_000


class Due(msgspec.Struct):
    """What one call found to be due.

    :ivar expired: messages that no carrier took in time.
    :ivar unanswered: messages of one part whose receipt didn't come.
    :ivar long: messages of several parts of which a receipt may be overdue.
    :ivar unfetched: finished messages whose SMPP receipt may have waited too long.
    """

    expired: list[Row]
    unanswered: list[Row]
    long: list[Row]
    unfetched: list[Row]


class Expiry:
    """Goes round the table for ever.

    :param grace_seconds: how long after its expiry a message that no carrier has taken is still left alone.
    """

    def __init__(self, table: Table, grace_seconds: float) -> None:
        self._table = table
        self._grace_seconds = grace_seconds
        self._next = 0

    def step(self, now: float, rows: int = ROWS_A_CALL) -> Due:
        """Looks at the next dicts until it has seen `rows` rows or has been round."""
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
        return row.done_at + seconds <= now
