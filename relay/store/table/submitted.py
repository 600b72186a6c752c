"""Records that carriers took parts: each part gets its carrier message id, by which its receipt will be found.

Theory of operation: a batch changes the table at once. Its result has the records for the journal, from which a replay
makes the same changes. It also has the queues with new notifications, because a receipt may have come before the id.
Every message goes through this code. So it is written for speed: names are bound outside of loops, and the usual case
of one part makes as few calls as possible.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from relay.store.table.entries import PartOfRow, Row, is_unsubmitted, rounds_of
from relay.store.table.entry_values import FAILS_OVER, FINAL, GOES_ON, REPORTED, TAKEN, WAITED, CarrierHandoff
from relay.store.table.failing_over import taken_in_earlier_round
from relay.store.table.learning import Learning
from relay.store.table.orphans import kept_crc
from relay.store.table.overdue import keep_given_id
from relay.store.table.parts import latest_handoff
from relay.store.table.records import Placed
from relay.store.table.retries import rare_fields_of
from relay.store.table.same_id import Entry, is_of
from relay.store.table.table import Table
from relay.store.table.table_changes import TableChanges
from relay.store.table.unsubmitted import unsubmitted_parts
from relay.values.carrier_reports import Receipt, Submitted
from relay.values.states import ENROUTE


class Submissions:
    """Records parts that carriers have taken, and parts that are about to be written to them.

    :param learning: handles the receipts that came before their ids.
    """

    def __init__(self, table: Table, learning: Learning) -> None:
        self._table = table
        self._learning = learning

    def submitted(self, batch: Sequence[Submitted], sent_at: Sequence[float] = ()) -> TableChanges:
        """Gives parts their carrier message ids, and matches the receipts that came before.

        :param sent_at: for each part, when it was written to the carrier; empty: that isn't known.
        The records are the batch, without unknown parts, and the states that these receipts brought.
        """
        table = self._table
        shards = table.shards
        ids = table.ids
        orphans = table.orphans
        changes = self._learning.changes()
        handoff: CarrierHandoff | None = None
        carrier, at, due_at = "", 0.0, 0.0
        taken_count = 0
        given = False
        skipped: set[int] = set()
        #: Parts whose receipts came before, and parts of long messages.
        early: list[tuple[Submitted, Row, Entry]] = []
        long: list[tuple[Submitted, Row]] = []
        orphans_left: set[int] = set()
        for s in batch:
            message_id = s.id
            row = shards[message_id[0]].get(message_id)
            if row is None:
                skipped.add(id(s))
                continue
            # It compares by identity first, because a link uses the same objects for a batch. To compare five values
            # takes 0.15 µs.
            if (
                handoff is None
                or (s.receipt_due_at is not due_at and s.receipt_due_at != due_at)
                or (s.at is not at and s.at != at)
                or (s.carrier is not carrier and s.carrier != carrier)
                or s.parts_receipted != handoff.parts_receipted
            ):
                carrier, at, due_at = s.carrier, s.at, s.receipt_due_at
                carrier_ids = ids.shards(carrier)
                handoff = CarrierHandoff(ids.name(carrier), at, due_at, s.parts_receipted)
                # Either all parts of a carrier have it, or none. So one check for each batch is enough.
                given = given or s.given_id is not None
            key = s.carrier_message_id
            entry: Entry
            if row.rare_fields is None and row.handoff is None:
                # The message has one part, and a carrier takes it for the first time.
                row.handoff = handoff
                row.carrier_message_id = key
                entry = row
                if not row.flags & FINAL:
                    row.latest = TAKEN
                    taken_count += 1
            else:
                taken = self.take_part(row, s, handoff)
                if taken is None:
                    skipped.add(id(s))
                    continue
                entry = taken
                if row.flags & FAILS_OVER:
                    table.failovers.arm(row)
            if key:
                shard = carrier_ids[hash(key) & 255]
                older = shard.setdefault(key, entry)
                if older is not entry:
                    ids.add(shard, key, older, entry)
                if orphans.count and orphans.waits_for(carrier, key):
                    early.append((s, row, entry))
            if entry is not row:
                long.append((s, row))
        table.unsubmitted -= taken_count
        table.awaiting += taken_count
        # Only now, as a replay does: the journal has what these receipts changed behind the whole batch. A receipt may
        # end a round of its message, which the other parts of the batch still belong to.
        for s, row, entry in early:
            if not self._take_orphans(s, row, entry, changes, _sent_at(s, batch, sent_at)):
                orphans_left.add(id(s))
        for s, row in long:
            if not row.flags & FINAL:
                # A long message may have waited only until its last part was taken.
                self._learning.end_if_all_ended(row, s.at, changes)
        if given:
            for s in batch:
                # `take_part` has kept those of messages that may go to another carrier. They may be there already.
                if s.given_id and id(s) not in skipped and not shards[s.id[0]][s.id].flags & FAILS_OVER:
                    keep_given_id(shards[s.id[0]][s.id], s.part, s.given_id)
        if table.in_doubt:
            for s in batch:
                table.in_doubt.unmark(s.id, s.part)
        if table.tells_progress():
            for s in batch:
                if id(s) not in skipped:
                    self._learning.learn_taken(shards[s.id[0]][s.id], s.at, changes)
        table.unsubmitted_messages.tidy(table.unsubmitted)
        # Skipped parts are not written, because a replay applies every record.
        known = batch if not skipped else [s for s in batch if id(s) not in skipped]
        if orphans_left:
            known = [replace(s, orphans_left=True) if id(s) in orphans_left else s for s in known]
        changes.records = [*known, *changes.records] if changes.records else known
        return changes

    def _take_orphans(self, s: Submitted, row: Row, entry: Entry, changes: TableChanges, sent_at: float) -> bool:
        """Matches the receipts that came before a part's id. False: some stay orphans.

        These name another number, or came before the part was sent: then they belong to an earlier message, to which
        the carrier had given the same id.
        """
        table = self._table
        comparison = table.compare_numbers(s.carrier)
        key = s.carrier_message_id
        not_before = max(sent_at, row.acceptance.accepted_at)

        def fits(receipt: Receipt) -> bool:
            return receipt.received_at >= not_before and is_of(receipt, row, comparison)

        taken, others = table.orphans.take_if(s.carrier, key, fits)
        if taken:
            table.match_rates.count(s.carrier, len(taken), -len(taken))
        for receipt in others:
            if receipt.received_at >= not_before:
                table.say_ambiguous(receipt, key, None, [row])
        for receipt in taken:
            if others:
                crc = kept_crc(receipt)
                changes.records.append(Placed(receipt.carrier, receipt.received_at, crc, receipt.keys[0]))
            changes.outcomes.append(self._learning.learn(entry, receipt, changes))
        return not others

    def sending(self, parts: Iterable[tuple[bytes, int]], carrier: str) -> list[tuple[bytes, int]]:
        """Marks waiting parts as about to be written to this carrier. If `carrier` is empty, removes the marks.

        :return: the parts whose marks were set or removed.
        """
        table = self._table
        marked: list[tuple[bytes, int]] = []
        for message_id, part in parts:
            row = table.get(message_id)
            if row is None or not is_unsubmitted(row) or part not in unsubmitted_parts(row):
                continue
            marked.append((message_id, part))
        if carrier:
            table.in_doubt.mark(marked, carrier)
        else:
            table.in_doubt.unmark_all(marked)
        return marked

    def take_part(self, row: Row, s: Submitted, handoff: CarrierHandoff) -> Entry | None:
        """Handles the general case: a part of a long message, or a part that was taken once more.

        :return: what its id leads to from now on; None: the message has no such part.
        """
        table = self._table
        rare_fields = rare_fields_of(row)
        parts = rare_fields.parts
        number = 0
        if row.flags & FAILS_OVER:
            earlier = taken_in_earlier_round(row, s)
            if earlier is not None:
                return earlier
            number = len(rounds_of(row))
            row.flags &= ~GOES_ON
        if parts is None:
            if s.part != 0:
                return None
            if row.handoff is not None:
                self._remember_former(row, row.handoff, row.carrier_message_id, 0)
            elif not row.flags & FINAL:
                if not row.flags & REPORTED:
                    row.latest = TAKEN
                table.unsubmitted -= 1
                table.awaiting += 1
            row.handoff = handoff
            row.carrier_message_id = s.carrier_message_id
            row.flags &= ~WAITED
            rare_fields.given_id = s.given_id or b""
            return PartOfRow(row, 0, number) if row.flags & FAILS_OVER else row
        if not 0 <= s.part < len(parts):
            return None
        part = parts[s.part]
        if part.handoff is not None:
            self._remember_former(row, part.handoff, part.carrier_message_id, s.part)
        elif not part.final:
            part.state = ENROUTE
        part.handoff = handoff
        part.carrier_message_id = s.carrier_message_id
        part.waited = False
        part.given_id = s.given_id or b""
        before = row.handoff
        if before is None or before.at is not None:
            row.handoff = latest_handoff(parts)
        if before is None and row.handoff is not None and not row.flags & FINAL:
            if not row.flags & REPORTED:
                row.latest = TAKEN
            table.unsubmitted -= 1
            table.awaiting += 1
        return PartOfRow(row, s.part, number)

    def _remember_former(self, row: Row, handoff: CarrierHandoff, key: bytes, part: int) -> None:
        """Keeps the earlier id of a part that was submitted again. A late receipt for it still counts."""
        if key and handoff.at is not None:
            rare_fields = rare_fields_of(row)
            rare_fields.former_ids = (*rare_fields.former_ids, (handoff.carrier, key, part))


def _sent_at(s: Submitted, batch: Sequence[Submitted], sent_at: Sequence[float]) -> float:
    """When a part of a batch was sent; 0.0: that isn't known. It is slow, and rarely needed."""
    return next((at for other, at in zip(batch, sent_at, strict=False) if other is s), 0.0)
