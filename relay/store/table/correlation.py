"""Finds the message of each receipt. This is the relay's main job.

Theory of operation: a receipt has the id that the carrier gave the message, in one or several spellings
(`Receipt.keys`). The first one that is known leads to the message. If several messages have this id, the handset's
number decides (`same_id`). `learning` then changes the message's state. A receipt with an unknown id is kept as an
orphan until `submitted` brings the id.

Every receipt goes through this code. So it is written for speed: names are bound outside of loops, and the usual case
of one part makes as few calls as possible.
"""

from collections.abc import Sequence

from relay.store.store_values import NotifyPolicy, ReadAgain
from relay.store.table.carrier_ids import Found
from relay.store.table.entries import STATES, Row, TableAccount
from relay.store.table.entry_values import FINAL, NO_CARRIER_ERROR, NOTHING_LEARNT, OWED_SMPP, OWED_WEBHOOK, LatestState
from relay.store.table.evidence import judge
from relay.store.table.learning import Learning
from relay.store.table.orphans import cut, is_unreadable, kept_crc
from relay.store.table.records import Ended, Placed
from relay.store.table.same_id import Entry, Several, as_several, choose, is_of, row_of
from relay.store.table.table import DATE_TOLERANCE_SECONDS, Table
from relay.store.table.table_changes import TableChanges
from relay.values.carrier_reports import Outcome, Receipt
from relay.values.states import INTERMEDIATE_STATES, UNKNOWN


class Correlation:
    """Finds the messages of receipts.

    :param learning: changes the states of these messages.
    """

    def __init__(self, table: Table, learning: Learning) -> None:
        self._table = table
        self._learning = learning
        #: If false, all receipts are handled the general way. A test checks that both ways agree.
        self.in_place = True

    def receipts(self, batch: Sequence[Receipt], segment_sequence: int) -> TableChanges:
        """Finds the messages of receipts, and keeps the other receipts.

        :param segment_sequence: that of the journal segment that will have the records, or of the one before it.
        """
        table = self._table
        existing = table.ids.existing
        learn = self._learning.learn
        changes = self._learning.changes()
        records = changes.records
        outcomes = changes.outcomes
        ended = changes.ended
        final_outcome = Outcome.FINAL
        in_place = self.in_place
        tolerance = DATE_TOLERANCE_SECONDS
        carrier_error = NO_CARRIER_ERROR
        latest = NOTHING_LEARNT
        #: A run of receipts that said the same of their messages, and came one after the other, is one record. For each
        #: run: its place in `records`, what it said, what is owed, the first cursor, and the ids.
        runs: list[tuple[int, LatestState, int, int, list[bytes]]] = []
        run_latest: LatestState | None = None
        run_owed = 0
        run: list[bytes] = []
        policy_account: TableAccount | None = None
        policy = NotifyPolicy()
        carrier: str | None = None
        shards = None
        #: The number of outcomes that are no match; and the number of outcomes before the present carrier's first one.
        missed = begun = 0
        for r in batch:
            keys = r.keys
            # The receipt has no id, no state, or an unknown word. A customer can't use it, and the operator must see
            # it.
            if not keys or (not r.final and r.state not in INTERMEDIATE_STATES):
                r = cut(r)
                table.unreadable.add(r, segment_sequence)
                run_latest = None
                records.append(r)
                outcomes.append(Outcome.UNREADABLE)
                missed += 1
                continue
            if r.carrier is not carrier:
                if carrier is not None:
                    table.match_rates.count(carrier, len(outcomes) - begun - missed, 0)
                    begun, missed = len(outcomes), 0
                carrier = r.carrier
                shards = existing(carrier)
            found = None
            if shards is not None:
                for key in keys:
                    found = shards[hash(key) & 255].get(key)
                    if found is not None:
                        break
            if found is None:
                r = cut(r)
                missed += 1
                table.match_rates.count(carrier, 0, 1)
                fallen = table.orphans.add(r, segment_sequence)
                run_latest = None
                records.append(r)
                if fallen:
                    records += judge(fallen, table.match_rates, table.evidence, segment_sequence)
                outcomes.append(Outcome.ORPHAN)
                continue
            if type(found) is not Row or not r.final or found.flags or r.own_word or not in_place:
                entry = self._choose(found, key, r) if type(found) is tuple else found
                run_latest = None
                outcomes.append(learn(entry, r, changes))  # type: ignore[arg-type]
                continue
            # From here on, this does what `Learning.learn` does, for nearly all receipts: final, and the first one of a
            # message with one part. Without the call it takes 1.4 µs, and with it 2.4 µs.
            origin = found.origin
            if origin.charge is not None:
                # Its price may have to be given back.
                run_latest = None
                outcomes.append(learn(found, r, changes))
                continue
            account = origin.account
            if account is not policy_account:
                policy_account = account
                policy = table.policy_of(account.name)
            state = r.state
            if state is None or not 0 <= state < STATES:
                state = UNKNOWN
            error = r.error
            network_error_code = r.network_error_code
            if error != carrier_error.error or network_error_code != carrier_error.network_error_code:
                carrier_error = table.shared.carrier_error(error, network_error_code)
            at = r.received_at
            cursor = table.cursor = table.cursor + 1
            done_at = r.carrier_done_at
            # A call for each would cost 0.1 µs.
            if done_at and not found.acceptance.accepted_at - tolerance <= done_at <= at + tolerance:
                done_at = table.done_date(r, found)
            # The receipts of a read often say the same. To compare here costs less than a call of `latest_state`.
            if (
                at is not latest.done_at
                or state != latest.state
                or carrier_error is not latest.carrier_error
                or done_at != latest.carrier_done_at
            ):
                latest = LatestState(state, carrier_error, at, done_at)
            found.latest = latest
            found.cursor = cursor
            if found.handoff is None:
                table.unsubmitted -= 1
            else:
                table.awaiting -= 1
            account.feed.rows.append(found)
            owed = origin.smpp_owed[state]
            if policy.webhook or (found.rare_fields is not None and found.rare_fields.url):
                owed |= OWED_WEBHOOK
            if owed == OWED_SMPP:
                found.flags = FINAL | OWED_SMPP
                queue = origin.smpp_queue
                queue.owed += 1
                queue.ready.append(found)
                table.owed += 1
                changes.touched.add(queue)
            else:
                found.flags = FINAL
                if owed:
                    table.owe(found, owed, changes)
                else:
                    table.keep(found)
            if ended is not None:
                ended.append(found)
            changes.last_ended = found
            if latest is not run_latest or owed != run_owed:
                run_latest, run_owed = latest, owed
                run = []
                runs.append((len(records), latest, owed, cursor, run))
                # `Ended` takes this place when the run is complete.
                records.append(None)
            run.append(found.id)
            outcomes.append(final_outcome)
        for place, said, owed, cursor, ids in runs:
            error, code = said.carrier_error.error, said.carrier_error.network_error_code
            records[place] = Ended(
                said.state, said.done_at, owed, cursor, error, code, said.carrier_done_at, b"".join(ids)
            )
        if carrier is not None:
            table.match_rates.count(carrier, len(outcomes) - begun - missed, 0)
        if changes.last_ended is not None:
            changes.first_ended = changes.last_ended if len(batch) == 1 else self._first_ended(batch, outcomes)
        return changes

    def reread(self, batch: Sequence[ReadAgain]) -> TableChanges:
        """Finds the messages of kept receipts that have been read again.

        Receipts that find none, or aren't kept any more, don't change (ORPHAN). The records name the receipts that
        aren't kept any more.
        """
        table = self._table
        changes = self._learning.changes()
        outcomes = [Outcome.ORPHAN] * len(batch)
        hits: list[tuple[int, bytes, Several]] = []
        for index, again in enumerate(batch):
            shards = table.ids.existing(again.receipt.carrier)
            for key in again.receipt.keys if shards is not None else ():
                found = shards[hash(key) & 255].get(key)  # type: ignore[index]
                candidates = () if found is None else self._candidates(found, again.receipt)
                if candidates:
                    hits.append((index, key, candidates))
                    break
        unreadable = [index for index, _, _ in hits if is_unreadable(batch[index].kept)]
        removed = dict(zip(unreadable, table.unreadable.remove(batch[i].kept for i in unreadable), strict=True))
        for index, key, candidates in hits:
            kept, receipt = batch[index].kept, batch[index].receipt
            if not (removed[index] if index in removed else self._take_kept(kept)):
                continue
            kept_under = b"" if index in removed else kept.keys[0]
            changes.records.append(Placed(kept.carrier, kept.received_at, kept_crc(kept), kept_under))
            entry = self._choose(candidates, key, receipt)
            outcomes[index] = self._learning.learn(entry, receipt, changes)
        changes.outcomes = outcomes
        return changes

    def _take_kept(self, kept: Receipt) -> bool:
        table = self._table
        if table.orphans.remove(kept):
            table.match_rates.count(kept.carrier, 0, -1)
            return True
        return table.evidence.remove(kept)

    def _candidates(self, found: Found, receipt: Receipt) -> Several:
        """The messages with an id that a kept receipt may belong to: accepted before it came, and to its number.

        With a wrong dialect, or an id that the carrier has given again, the id alone could lead to any message.
        """
        comparison = self._table.compare_numbers(receipt.carrier)
        return tuple(
            [
                entry
                for entry in as_several(found)
                if row_of(entry).acceptance.accepted_at <= receipt.received_at
                and is_of(receipt, row_of(entry), comparison)
            ]
        )

    def _choose(self, several: Several, key: bytes, receipt: Receipt) -> Entry:
        """Chooses the message of a receipt among those that have its id."""
        table = self._table
        entry, others = choose(several, receipt, table.compare_numbers(receipt.carrier))
        if others:
            table.say_ambiguous(receipt, key, row_of(entry), others)
        return entry

    def _first_ended(self, batch: Sequence[Receipt], outcomes: Sequence[Outcome]) -> Row | None:
        """The message that a batch of receipts ended first. To look it up again is faster than a note in the loop."""
        first = batch[outcomes.index(Outcome.FINAL)]
        shards = self._table.ids.existing(first.carrier) or ()
        for key in first.keys:
            found = shards[hash(key) & 255].get(key) if shards else None
            if found is not None:
                return row_of(as_several(found)[-1])
        return None
