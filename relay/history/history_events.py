"""Applies the journal's records to the entries of the history, one record after the other.

Theory of operation: the journal has decisions. The history reads them like a start of the relay does
(`relay.store.table.replaying`), and keeps only the fields that searches need. It collects messages and their events in
a window. So a message that is accepted, sent and receipted within about a second is written once. `take` empties the
window.

Normally a history reads each record once. It can't be sure of that if it was begun again, if it was restored from an
older copy, or if compaction deleted segments that it hadn't read. Then the records are *repeated* ones: the history
looks for a message before it adds it. It also reads the snapshots that compaction writes, and takes missing data from
them.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from relay.history.history_entries import (
    ATTEMPTS_KEPT,
    FINAL,
    OWED,
    OWED_WEBHOOK,
    AttemptEntry,
    Details,
    Entry,
    PartEntry,
    seq_of,
)
from relay.history.history_rounds import (
    end_round,
    keep_handoff,
    learn_in_round,
    learn_present,
    part_entries,
    show_round,
    take_rounds,
    taken_in_round,
)
from relay.store.table.entry_values import REFUNDED
from relay.store.table.records import (
    SETTLED_DELIVERED,
    SETTLED_GIVEN_UP,
    Ended,
    Handed,
    Learnt,
    OwedAgain,
    PartSnapshot,
    Refunded,
    RoundEnded,
    RoundLearnt,
    Settled,
    Snapshot,
    each_id,
)
from relay.values.carrier_reports import Submitted
from relay.values.messages import Message
from relay.values.shown_url import without_secrets
from relay.values.states import ENROUTE, SCHEDULED

#: In the table, the flag of a notification that was given up is OWED << 8 (`relay.store.table.entry_values`).
_TABLE_GIVEN_UP_SHIFT: Final = 8

Finder = Callable[[bytes], Entry | None]


class HistoryEvents:
    """Holds the window of entries that the writer works on.

    :param find: reads an entry from the database by its message id.
    :param counter: how many messages the history has seen so far.
    """

    def __init__(self, find: Finder, counter: int) -> None:
        self._find = find
        self.counter = counter
        self._entries: dict[bytes, Entry] = {}
        #: Entries whose message id was used again in the same window; `_entries` has the later entry of that id.
        self._earlier: list[Entry] = []

    def __len__(self) -> int:
        return len(self._entries) + len(self._earlier)

    def take(self) -> list[Entry]:
        """Returns all entries of the window, in the order in which they were added, and empties the window."""
        taken = [*self._earlier, *self._entries.values()]
        self._entries, self._earlier = {}, []
        return taken

    def apply(self, records: Iterable[Any], *, repeated: bool = False, fresh: bool = True) -> None:
        """Applies the records of a frame.

        :param repeated: true if the history may have read these records before.
        :param fresh: true if the database was empty when the repeated records began. Then the messages in them are new
            to the history although the records are repeated ones.
        """
        entries = self._entries
        for record in records:
            kind = type(record)
            if kind is Message:
                if record.replaces and (known := self._entry(record.id)) is not None:
                    _replaced(known, record)
                    continue
                if repeated and not fresh and self._entry(record.id) is not None:
                    continue
                if record.id in entries:
                    self._earlier.append(entries.pop(record.id))
                self.counter += 1
                # The history never keeps texts. Without them, the window needs little memory also for long messages.
                accepted = replace(record, parts=(b"",) * len(record.parts))
                entry = entries[record.id] = Entry(seq_of(record.accepted_at, self.counter), accepted)
                if _has_details(record):
                    _add_details(entry)
            elif kind is Submitted:
                if (known := entries.get(record.id) or self._entry(record.id)) is not None:
                    _submitted(known, record)
            elif kind is Learnt:
                if (known := entries.get(record.id) or self._entry(record.id)) is not None:
                    _learnt(known, record)
            elif kind is Ended:
                for learnt in record.each():
                    if (known := entries.get(learnt.id) or self._entry(learnt.id)) is not None:
                        _learnt(known, learnt)
            elif kind is Handed:
                for message_id in each_id(record.ids):
                    if (known := entries.get(message_id) or self._entry(message_id)) is not None:
                        known.flags = known.flags & ~record.channel | record.channel << 2
            elif kind is Settled:
                if (known := self._entry(record.id)) is not None:
                    _settled(known, record)
            elif kind is OwedAgain:
                for message_id in each_id(record.ids):
                    if (known := self._entry(message_id)) is not None:
                        known.flags = known.flags & ~(OWED_WEBHOOK << 4) | OWED_WEBHOOK
            elif kind is Refunded:
                if (known := self._entry(record.id)) is not None:
                    known.rare().refunded = True
            elif kind is RoundEnded:
                if (known := self._entry(record.id)) is not None:
                    end_round(known, record)
            elif kind is RoundLearnt:
                if (known := self._entry(record.id)) is not None:
                    learn_in_round(known, record)
            elif kind is Snapshot and repeated and record.inbound is None:
                self._snapshot(record)

    def _entry(self, message_id: bytes) -> Entry | None:
        """Returns the entry of a message, or None if the history doesn't know it. Adds the entry to the window."""
        entry = self._entries.get(message_id)
        if entry is None:
            entry = self._find(message_id)
            if entry is not None:
                self._entries[message_id] = entry
        return entry

    def _snapshot(self, s: Snapshot) -> None:
        entry = self._entry(s.id)
        if entry is None:
            message = Message(
                s.id, s.account, s.accepted_at, s.expires_at, s.addresses, (b"",) * len(s.parts), 0, s.interface,
                s.reference, s.notification_url, 0, s.user_message_reference, s.scheduled_at,
                charge=s.charge,
            )  # fmt: skip
            self.counter += 1
            entry = self._entries[s.id] = Entry(seq_of(s.accepted_at, self.counter), message)
            if _has_details(message):
                _add_details(entry)
        _take_snapshot(entry, s)


def _has_details(m: Message) -> bool:
    return (
        len(m.parts) != 1
        or m.notification_url is not None
        or m.user_message_reference is not None
        or m.scheduled_at != 0
        or (m.charge is not None and m.charge.currency != "")
    )


def _add_details(entry: Entry) -> None:
    message = entry.message
    url = message.notification_url and without_secrets(message.notification_url)
    if url != message.notification_url:
        entry.message = replace(message, notification_url=url)
    entry.details = Details(
        [PartEntry() for _ in message.parts] if len(message.parts) != 1 else None,
        url=url,
        user_message_reference=message.user_message_reference,
        scheduled_at=message.scheduled_at,
        # A callback of another interface (`kannel:`) may have the number in it, which the history may not have.
        url_is_whole=url is not None and url == message.notification_url and url.startswith("http"),
    )
    if message.charge is not None:
        entry.details.price, entry.details.currency = message.charge.price, message.charge.currency


def _replaced(entry: Entry, record: Message) -> None:
    # A replacement changes nothing else that the history keeps.
    entry.message = replace(entry.message, expires_at=record.expires_at)
    if record.scheduled_at or entry.details is not None:
        entry.rare().scheduled_at = record.scheduled_at


def _parts(entry: Entry) -> list[PartEntry] | None:
    return None if entry.details is None else entry.details.parts


def _submitted(entry: Entry, s: Submitted) -> None:
    if entry.details is not None and entry.details.rounds:
        taken_in_round(entry, s)
        return
    parts = _parts(entry)
    if parts is not None:
        if not 0 <= s.part < len(parts):
            return
        part = parts[s.part]
        if part.submitted_at:
            keep_handoff(entry, part.carrier, part.carrier_message_id, part.submitted_at)
        elif not part.done_at:
            part.state = ENROUTE
        part.carrier, part.carrier_message_id, part.submitted_at = s.carrier, s.carrier_message_id, s.at
        if not all(each.submitted_at for each in parts):
            return
    elif entry.submitted_at:
        keep_handoff(entry, entry.carrier, entry.carrier_message_id, entry.submitted_at)
    entry.carrier = s.carrier
    entry.submitted_at = s.at
    if parts is None:
        entry.carrier_message_id = s.carrier_message_id
    if entry.state == SCHEDULED and not entry.flags & FINAL:
        entry.state = ENROUTE


def _learnt(entry: Entry, record: Learnt) -> None:
    if record.wait_until:
        return
    parts = _parts(entry)
    if parts is not None and record.part >= 0:
        rounds = entry.rare().rounds
        # The record is about the present round, also if a late receipt for an earlier one has ended the message.
        present = rounds[-1] if rounds else parts
        if record.part < len(present):
            part = present[record.part]
            part.state, part.error, part.stat = record.state, record.error, record.stat
            part.done_at, part.carrier_done_at = record.at, record.carrier_done_at
            if rounds:
                show_round(entry)
        return
    entry.state, entry.error, entry.done_at = record.state, record.error, record.at
    entry.carrier_done_at = record.carrier_done_at
    if record.stat or entry.details is not None:
        entry.rare().stat = record.stat
    if parts is None and entry.details is not None and entry.details.rounds and entry.details.decided_by < 0:
        learn_present(entry, record)
    if record.final:
        entry.flags = FINAL | record.owed
        entry.feed_place = record.cursor
        if record.carrier and not entry.carrier:
            entry.carrier = record.carrier
    else:
        entry.flags |= record.owed


def _settled(entry: Entry, record: Settled) -> None:
    details = entry.rare()
    if any(a.at == record.at and a.channel == record.channel for a in details.attempts):
        # This is a repeated record: the entry has the attempt already.
        return
    details.attempts = [*details.attempts[1 - ATTEMPTS_KEPT :], _attempt_of(details, record)]
    channel = record.channel
    if record.verdict == SETTLED_DELIVERED:
        entry.flags = entry.flags & ~channel | channel << 2
    elif record.verdict == SETTLED_GIVEN_UP:
        entry.flags = entry.flags & ~channel | channel << 4


def _attempt_of(details: Details, record: Settled) -> AttemptEntry:
    if record.url and record.url not in details.urls:
        # A message has few URLs. If a customer changes its URL again and again, the last ones aren't kept.
        details.urls = [*details.urls, record.url][:ATTEMPTS_KEPT]
    url = details.urls.index(record.url) + 1 if record.url in details.urls else 0
    return AttemptEntry(
        record.channel, record.attempt, record.state, record.at, record.due_at, record.answer, record.seconds, url,
        record.body,
    )  # fmt: skip


def _take_snapshot(entry: Entry, s: Snapshot) -> None:
    """Copies the fields of a snapshot into an entry. A snapshot is never older than the history's entry."""
    parts: Sequence[PartSnapshot] = s.parts
    entry.state, entry.error, entry.done_at, entry.carrier_done_at = s.state, s.error, s.done_at, s.carrier_done_at
    entry.feed_place = s.cursor
    if s.scheduled_at:
        entry.rare().scheduled_at = s.scheduled_at
    if s.flags & REFUNDED:
        entry.rare().refunded = True
    given_up = s.flags >> _TABLE_GIVEN_UP_SHIFT & OWED
    notified = entry.flags & OWED << 2
    entry.flags = s.flags & (FINAL | OWED) | given_up << 4 | notified & ~((s.flags & OWED) << 2)
    for attempt in s.attempts:
        if attempt.verdict == SETTLED_DELIVERED and not s.flags & attempt.channel:
            entry.flags |= attempt.channel << 2
    if s.attempts:
        details = entry.rare()
        details.attempts = [_attempt_of(details, attempt) for attempt in s.attempts]
    if s.stat or entry.details is not None:
        entry.rare().stat = s.stat
    if len(parts) == 1:
        entry.carrier_message_id = parts[0].carrier_message_id
    else:
        entry.rare().parts = part_entries(parts)
    latest = max(parts, key=lambda part: part.submitted_at or 0.0)
    entry.carrier, entry.submitted_at = latest.carrier or s.refused_by, latest.submitted_at or 0.0
    take_rounds(entry, s)
    entry.carrier = entry.carrier or s.refused_by
