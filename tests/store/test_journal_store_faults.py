"""The embedded store when its files are cut or changed, or when the disk fails."""

import os
import random
import zlib
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from relay.store.journal.files import Locked
from relay.store.journal.journal_format import (
    FORMAT_VERSION,
    HEADER_BYTES,
    DamagedJournal,
    JournalError,
    NewerJournal,
    decode_records,
    dump,
    encode_frame,
    encode_header,
    read_frames,
)
from relay.store.journal.journal_store import JournalStore
from relay.store.journal.repair import repair
from relay.store.store_values import Idempotency, StoreUnavailable
from relay.store.table.entry_values import Segment
from relay.store.table.records import Setting
from relay.store.table.replaying import Replay
from relay.values.carrier_reports import Outcome
from relay.values.inbound import InboundMessage, InboundPart
from relay.values.messages import Ending
from relay.values.notifications import Attempt, Channel, QueueKey, Verdict
from relay.values.states import DELIVERED, ENROUTE, REJECTED, SCHEDULED
from tests.simulated_disk import SimulatedDisk
from tests.stores import (
    ADDRESSES,
    DAY,
    NOW,
    SettableClock,
    message,
    message_id,
    receipt,
    started,
    state_of,
    submitted,
    wait_for,
)

SEGMENT = "data/journal/000000000001.seg"
NO_SPACE = OSError(28, "No space left on device")
BROKEN = OSError(5, "Input/output error")
SMPP = QueueKey("plain", Channel.SMPP)
RECORDS = "header Message Message Idempotency Submitted Submitted Ended Receipt Receipt Settled Setting Learnt damaged"


def write_some(store: JournalStore, clock: SettableClock) -> None:
    """A few calls of every kind, each a frame."""
    wait_for(clock, store.accept([message(1), message(2)], Idempotency("plain", "k", b"d", b"a", NOW)))
    wait_for(clock, store.submitted([submitted(1), submitted(2)]))
    wait_for(clock, store.receipts([receipt(1), receipt(7), receipt(b"", keys=())]))
    claim = wait_for(clock, store.claim(SMPP, 10, NOW + 3))
    wait_for(clock, store.settle([Attempt(n, Verdict.RETRY, NOW + 3, NOW + 9) for n in claim.notifications]))
    wait_for(clock, store.put_setting("plain", "notify", "all"))
    wait_for(clock, store.end([Ending(message_id(2), REJECTED, NOW + 4)]))


class CutAndFlippedTests(SynchronousTestCase):
    """Whatever is left of a journal is read as it was written, or refused."""

    def setUp(self) -> None:
        self.clock = SettableClock()
        disk = SimulatedDisk()
        write_some(started(disk, self.clock), self.clock)
        self.octets = bytes(disk.files[SEGMENT].octets)

    def disk_with(self, octets: bytes, *more: bytes) -> SimulatedDisk:
        disk = SimulatedDisk()
        for sequence, content in enumerate((octets, *more), 1):
            path = f"data/journal/{sequence:012d}.seg"
            disk.close(disk.open(path, create=True))
            disk.files[path].octets[:] = content
        return disk.kill()

    def expected(self, octets: bytes) -> tuple[Any, int]:
        """What the intact frames at the beginning say, and where they end."""
        store = started(SimulatedDisk(), self.clock)
        replay = Replay(store.table, store._settings, store._keys)
        end = min(len(octets), HEADER_BYTES)
        if octets[:HEADER_BYTES] == self.octets[:HEADER_BYTES]:
            for offset, payload in read_frames(lambda at, count: octets[at : at + count], len(octets)):
                replay.frame(decode_records(payload), Segment(1, NOW), offset)
                end = offset + 8 + len(payload)
        replay.finish(self.clock.seconds())
        return state_of(store), end

    def test_a_journal_cut_at_any_octet_gives_what_its_whole_frames_say(self) -> None:
        for length in range(len(self.octets) + 1):
            disk = self.disk_with(self.octets[:length])
            store = started(disk, self.clock)
            expected, end = self.expected(self.octets[:length])
            self.assertEqual(state_of(store), expected, f"cut at {length}")
            if length > HEADER_BYTES:
                self.assertEqual(len(disk.files[SEGMENT].octets), end)
            # It goes on from there, and what is written after the cut is found at the next start.
            wait_for(self.clock, store.accept([message(50)]))
            again = started(disk.crash(), self.clock)
            self.assertEqual(state_of(again), state_of(store), f"cut at {length}, then written")

    def test_any_flipped_bit_is_refused_or_cut_and_nothing_after_it_is_believed(self) -> None:
        randomness = random.Random(5)
        outcomes = {"refused": 0, "cut": 0}
        for at in range(len(self.octets)):
            octets = bytearray(self.octets)
            octets[at] ^= 1 << randomness.randrange(8)
            disk = self.disk_with(bytes(octets))
            try:
                store = started(disk, self.clock)
            except (DamagedJournal, NewerJournal) as problem:
                outcomes["refused"] += 1
                self.assertIn(SEGMENT, str(problem))
                self.assertEqual(bytes(disk.files[SEGMENT].octets), bytes(octets), "a refusal changes nothing")
                continue
            outcomes["cut"] += 1
            self.assertEqual(state_of(store), self.expected(bytes(octets))[0], f"flipped at {at}")
        # Only in the last commit can a flipped bit not be told from a torn write.
        self.assertGreater(outcomes["refused"], 4 * outcomes["cut"])

    def test_damage_names_file_offset_and_the_repair(self) -> None:
        octets = bytearray(self.octets)
        octets[HEADER_BYTES + 40] ^= 1
        with self.assertRaises(DamagedJournal) as caught:
            started(self.disk_with(bytes(octets)), self.clock)
        self.assertEqual((caught.exception.file, caught.exception.offset), (SEGMENT, HEADER_BYTES + 16))
        self.assertIn("python -m relay journal --repair data/journal", str(caught.exception))

    def test_a_torn_end_of_a_segment_that_is_not_the_last_is_damage(self) -> None:
        second = encode_header(2, NOW) + encode_frame([message(9)])
        with self.assertRaises(DamagedJournal):
            started(self.disk_with(self.octets[:-3], second), self.clock)

    def test_a_missing_segment_is_named(self) -> None:
        disk = self.disk_with(self.octets, b"", encode_header(3, NOW))
        disk.remove("data/journal/000000000002.seg")
        with self.assertRaises(JournalError) as caught:
            started(disk, self.clock)
        self.assertIn("000000000002.seg is missing", str(caught.exception))
        self.assertEqual(len(repair("data/journal", disk.kill())), 1)

    def test_a_newer_format_is_refused_by_name(self) -> None:
        octets = bytearray(self.octets)
        octets[8:10] = (FORMAT_VERSION + 1).to_bytes(2, "big")
        with self.assertRaises(NewerJournal) as caught:
            started(self.disk_with(bytes(octets)), self.clock)
        self.assertIn(f"journal format {FORMAT_VERSION + 1}", str(caught.exception))

    def test_a_record_with_fields_of_the_future_or_without_late_ones_is_read(self) -> None:
        short = msgspec.msgpack.encode([[1, message_id(1), "plain", NOW, NOW + DAY, message(1).addresses, [b"x"]]])
        longer = msgspec.msgpack.encode(
            [[4, message_id(1), 0, 2, True, NOW, 0, 1, b"", b"", "", 0.0, b"", 0.0, "new", 5]]
        )
        frames = b"".join(len(p).to_bytes(4, "big") + zlib.crc32(p).to_bytes(4, "big") + p for p in (short, longer))
        store = started(self.disk_with(encode_header(1, NOW) + frames), self.clock)
        self.assertEqual(wait_for(self.clock, store.look_up(message_id(1))).state, DELIVERED)

    def test_repair_drops_what_is_damaged_keeps_a_copy_and_says_so(self) -> None:
        whole = started(self.disk_with(self.octets), self.clock)
        octets = bytearray(self.octets)
        # The frame of `submitted`, the second commit's.
        offsets = [offset for offset, _ in read_frames(lambda at, count: self.octets[at : at + count], len(octets))]
        octets[offsets[3] + 20] ^= 1
        disk = self.disk_with(bytes(octets))
        done = repair("data/journal", disk)
        self.assertIn(f"dropped {offsets[4] - offsets[3]} octets at offset {offsets[3]}", done[0])
        self.assertEqual(bytes(disk.files[SEGMENT + ".damaged-1"].octets), bytes(octets))
        store = started(disk.kill(), self.clock)
        expected = state_of(whole)
        self.assertEqual(state_of(store)["settings"], expected["settings"])
        self.assertEqual(len(state_of(store)["rows"]), 2)
        self.assertEqual(repair("data/journal", disk.kill()), [])

    def test_repair_of_any_damage_gives_a_journal_that_is_read(self) -> None:
        randomness = random.Random(3)
        for _ in range(150):
            octets = bytearray(self.octets)
            for _ in range(randomness.randint(1, 4)):
                at = randomness.randrange(len(octets))
                octets[at : at + randomness.choice((1, 1, 30))] = randomness.randbytes(randomness.choice((1, 1, 20)))
            octets[8:10] = b"\0\1"
            disk = self.disk_with(bytes(octets))
            repair("data", disk)
            started(disk.kill(), self.clock)

    def test_repair_leaves_a_running_relay_alone(self) -> None:
        disk = SimulatedDisk()
        started(disk, self.clock)
        with self.assertRaises(Locked):
            repair("data/journal", disk)

    def test_a_second_relay_is_refused_with_the_owner_of_the_directory(self) -> None:
        disk = SimulatedDisk()
        started(disk, self.clock)
        with self.assertRaises(JournalError) as caught:
            started(disk, self.clock)
        self.assertIn("in use by the relay with process id", str(caught.exception))

    def test_a_dump_shows_the_records_without_texts_and_with_masked_numbers(self) -> None:
        directory = self.mktemp()
        os.makedirs(os.path.join(directory, "journal"))
        with open(os.path.join(directory, "journal", "000000000001.seg"), "wb") as file:
            file.write(self.octets + b"torn")
        shown = list(dump(directory))
        self.assertEqual(
            [entry["record"] for entry in shown],
            [
                "header",
                "Message",
                "Message",
                "Idempotency",
                "Submitted",
                "Submitted",
                "Ended",
                "Receipt",
                "Receipt",
                "Settled",
                "Setting",
                "Learnt",
                "damaged",
            ],
        )
        self.assertEqual((shown[1]["from"], shown[1]["parts_bytes"]), ("4477009000**", [9]))
        self.assertNotIn("body of", repr(shown))
        self.assertIn("body of 1", repr(list(dump(directory, texts=True))))

    def test_a_dump_shows_no_text_of_a_handset_either(self) -> None:
        directory = self.mktemp()
        os.makedirs(os.path.join(directory, "journal"))
        with open(os.path.join(directory, "journal", "000000000001.seg"), "wb") as file:
            message = InboundMessage(bytes(16), "plain", "tier1", NOW, ADDRESSES, 0, b"a secret", parts=2)
            part = InboundPart("tier1", NOW, ADDRESSES, 7, 2, 1, 0, b"a secret")
            file.write(encode_header(1, NOW) + encode_frame([message, part]))
        shown = list(dump(directory))
        self.assertEqual([entry.get("octets_bytes") for entry in shown], [None, 8, 8])
        self.assertNotIn("secret", repr(shown))

    def test_a_dump_shows_no_setting_with_secrets(self) -> None:
        directory = self.mktemp()
        os.makedirs(os.path.join(directory, "journal"))
        names = ("notification_secret", "notification_secret_old", "conf.d/accounts/beta", "notify")
        with open(os.path.join(directory, "journal", "000000000001.seg"), "wb") as file:
            settings = [Setting("plain", name, f"value of {name}") for name in names]
            file.write(encode_header(1, NOW) + encode_frame([*settings, Setting("plain", names[0], None)]))
        shown = [entry["value"] for entry in list(dump(directory))[1:]]
        self.assertEqual(["not shown"] * 3 + ["value of notify", None], shown)
        self.assertIn("value of conf.d/accounts/beta", repr(list(dump(directory, texts=True))))


class FailingDiskTests(SynchronousTestCase):
    """What the store does when the disk fails, and after."""

    def setUp(self) -> None:
        self.clock = SettableClock()
        self.disk = SimulatedDisk()
        self.store = started(self.disk, self.clock)

    def sent(self, *numbers: int) -> None:
        wait_for(self.clock, self.store.accept([message(n) for n in numbers]))
        wait_for(self.clock, self.store.submitted([submitted(n) for n in numbers]))

    def test_messages_from_handsets_that_can_not_be_made_durable_leave_nothing_but_their_parts(self) -> None:
        part = InboundPart("tier1", NOW, ADDRESSES, 7, 2, 1, 0, b"part")
        whole = InboundMessage(message_id(1), "hooked", "tier1", NOW, ADDRESSES, 0, b"whole", parts=2, reference=7)
        wait_for(self.clock, self.store.keep_parts([part]))
        self.disk.write_error = NO_SPACE
        self.refused(self.store.receive([whole]))
        self.refused(self.store.receive([whole]))
        self.assertEqual(wait_for(self.clock, self.store.kept_parts()), [part])
        self.assertEqual((self.store.figures().messages, self.store.figures().owed), (0, 0))
        self.refused(self.store.keep_parts([msgspec.structs.replace(part, number=2)]))
        self.assertEqual(wait_for(self.clock, self.store.kept_parts()), [part])

    def refused(self, awaitable: Any) -> None:
        with self.assertRaises(StoreUnavailable):
            wait_for(self.clock, awaitable)

    def test_messages_that_can_not_be_made_durable_are_refused_and_not_known(self) -> None:
        self.disk.write_error = NO_SPACE
        self.refused(self.store.accept([message(1)], Idempotency("plain", "k", b"", b"", NOW)))
        self.assertIsNone(wait_for(self.clock, self.store.look_up(message_id(1))))
        self.assertIsNone(wait_for(self.clock, self.store.repeated("plain", "k")))
        figures = self.store.figures()
        self.assertEqual((figures.writable, figures.messages, figures.unsubmitted), (False, 0, 0))
        self.assertIn("No space left", figures.reason)

    def test_everything_that_waited_for_the_failed_commit_fails_in_order(self) -> None:
        self.sent(1)
        self.disk.sync_error = BROKEN
        fired: list[int] = []

        def note(failure: Failure, index: int) -> Failure:
            fired.append(index)
            return failure

        calls: list[Deferred[Any]] = [
            self.store.accept([message(2)]),
            self.store.receipts([receipt(1)]),
            self.store.put_setting("plain", "notify", "all"),
        ]
        for index, call in enumerate(calls):
            call.addErrback(note, index)
        for call in calls:
            self.refused(call)
        self.assertEqual(fired, [0, 1, 2])
        self.assertEqual(list(wait_for(self.clock, self.store.settings())), [])

    def test_a_part_that_could_not_be_marked_as_being_sent_is_not_in_doubt(self) -> None:
        wait_for(self.clock, self.store.accept([message(1), message(2)]))
        wait_for(self.clock, self.store.sending([(message_id(2), 0)], "tier1"))
        self.disk.write_error = NO_SPACE
        self.refused(self.store.sending([(message_id(1), 0)], "tier1"))
        self.refused(self.store.sending([(message_id(1), 0)], "tier1"))
        self.refused(self.store.sending([(message_id(2), 0)], ""))
        self.disk.write_error = None
        self.clock.advance(1.1)
        again = started(self.disk.crash(), self.clock)
        self.assertEqual(state_of(again), state_of(self.store))
        self.assertEqual([p.in_doubt for p in wait_for(self.clock, again.unsubmitted(None, 10))], ["", ""])

    def test_it_recovers_by_itself_within_seconds_and_writes_what_it_learnt_meanwhile(self) -> None:
        self.sent(1, 2, 3)
        self.disk.write_error = NO_SPACE
        self.refused(self.store.receipts([receipt(1)]))
        self.refused(self.store.submitted([submitted(2, b"late")]))
        self.refused(self.store.end([Ending(message_id(3), REJECTED, NOW)]))
        self.assertFalse(self.store.figures().writable)
        self.disk.write_error = None
        self.clock.advance(1.1)
        self.assertTrue(self.store.figures().writable)
        answer = wait_for(self.clock, self.store.receipts([receipt(1)]))
        self.assertEqual(list(answer.outcomes), [Outcome.REPEATED])
        wait_for(self.clock, self.store.accept([message(4)]))
        again = started(self.disk.crash(), self.clock)
        self.assertEqual(state_of(again), state_of(self.store))
        self.assertEqual(wait_for(self.clock, again.look_up(message_id(1))).state, DELIVERED)
        self.assertEqual(wait_for(self.clock, again.look_up(message_id(3))).state, REJECTED)

    def test_new_receipts_are_refused_while_the_disk_is_down_and_change_nothing(self) -> None:
        self.sent(1)
        self.disk.write_error = NO_SPACE
        self.refused(self.store.accept([message(2)]))
        self.refused(self.store.receipts([receipt(1)]))
        self.assertFalse(wait_for(self.clock, self.store.look_up(message_id(1))).final)

    def test_notifications_in_memory_are_still_delivered(self) -> None:
        self.sent(1, 2)
        wait_for(self.clock, self.store.receipts([receipt(1), receipt(2)]))
        self.disk.sync_error = BROKEN
        self.refused(self.store.accept([message(3)]))
        claim = wait_for(self.clock, self.store.claim(SMPP, 1, NOW + 5))
        self.refused(self.store.settle([Attempt(n, Verdict.DELIVERED, NOW + 5) for n in claim.notifications]))
        self.assertEqual(self.store.figures().owed, 1)
        self.disk.sync_error = None
        self.clock.advance(1.1)
        again = started(self.disk.crash(), self.clock)
        self.assertEqual(state_of(again), state_of(self.store))

    def claimed(self) -> list[bytes]:
        return [n.id for n in wait_for(self.clock, self.store.claim(SMPP, 10, NOW + 5)).notifications]

    def queues_of_housekeeping(self) -> frozenset[QueueKey]:
        queues: frozenset[QueueKey] = wait_for(self.clock, self.store.expire(self.clock.seconds())).queues
        return queues

    def test_a_final_state_is_notified_once_it_is_durable_and_not_before(self) -> None:
        self.sent(1, 2, 3)
        wait_for(self.clock, self.store.receipts([receipt(1)]))
        self.disk.sync_error = BROKEN
        self.refused(self.store.receipts([receipt(2)]))
        self.refused(self.store.end([Ending(message_id(3), REJECTED, NOW)]))
        self.assertEqual(self.claimed(), [message_id(1)])
        self.assertEqual(self.claimed(), [])
        self.disk.sync_error = None
        self.clock.advance(2)
        self.assertEqual(self.queues_of_housekeeping(), {SMPP})
        self.assertEqual(self.claimed(), [message_id(2), message_id(3)])
        again = started(self.disk.crash(), self.clock)
        self.assertEqual(wait_for(self.clock, again.look_up(message_id(3))).state, REJECTED)

    def test_a_final_state_whose_commit_is_under_way_is_not_notified_yet(self) -> None:
        self.sent(1)
        durable = self.store.receipts([receipt(1)])
        self.assertEqual(self.successResultOf(self.store.claim(SMPP, 10, NOW + 5)).notifications, [])
        wait_for(self.clock, durable)
        self.assertEqual(self.claimed(), [message_id(1)])

    def shown(self, number: int) -> tuple[int, bool, bool, list[int]]:
        """A message's state, whether it is final, whether it is ending, and the states of its parts, as shown."""
        view = wait_for(self.clock, self.store.look_up(message_id(number)))
        return view.state, view.final, view.ending, [part.state for part in view.parts]

    def fed(self) -> list[bytes]:
        return [entry.id for entry in wait_for(self.clock, self.store.feed("plain", 0, 10))]

    def test_a_final_state_is_shown_once_it_is_durable_and_not_before(self) -> None:
        self.sent(1, 2)
        wait_for(self.clock, self.store.accept([message(3)]))
        wait_for(self.clock, self.store.receipts([receipt(1)]))
        self.disk.sync_error = BROKEN
        self.refused(self.store.receipts([receipt(2, error=b"042")]))
        self.refused(self.store.end([Ending(message_id(3), REJECTED, NOW)]))
        self.assertEqual(self.shown(1), (DELIVERED, True, False, [DELIVERED]))
        self.assertEqual(self.shown(2), (ENROUTE, False, True, [ENROUTE]))
        self.assertEqual(self.shown(3), (SCHEDULED, False, True, [SCHEDULED]))
        view = wait_for(self.clock, self.store.look_up(message_id(2)))
        self.assertEqual((view.carrier_error, view.parts[0].carrier_error, view.done_at, view.owed), ("", "", None, []))
        self.assertEqual(self.fed(), [message_id(1)])
        delivered = wait_for(self.clock, self.store.recent("plain", state=DELIVERED))
        self.assertEqual([found.id for found in delivered], [message_id(1)])
        self.assertEqual(wait_for(self.clock, self.store.find_carrier_id(b"2"))[0].state, ENROUTE)
        self.disk.sync_error = None
        self.clock.advance(2)
        self.assertEqual(self.shown(2), (DELIVERED, True, False, [DELIVERED]))
        self.assertEqual(self.shown(3)[:3], (REJECTED, True, False))
        self.assertEqual(self.fed(), [message_id(1), message_id(2), message_id(3)])

    def test_a_new_feed_begins_before_the_states_that_are_not_durable(self) -> None:
        self.sent(1)
        self.disk.sync_error = BROKEN
        self.refused(self.store.receipts([receipt(1)]))
        place = self.store.figures().feed_place
        self.disk.sync_error = None
        self.clock.advance(2)
        self.assertEqual([e.id for e in wait_for(self.clock, self.store.feed("plain", place, 10))], [message_id(1)])

    def test_queues_that_a_failed_call_made_owed_are_announced_when_the_disk_is_back_and_then_no_more(self) -> None:
        self.sent(1)
        self.disk.sync_error = BROKEN
        self.refused(self.store.receipts([receipt(1)]))
        self.queues_of_housekeeping()
        self.disk.sync_error = None
        self.clock.advance(2)
        self.assertEqual(self.queues_of_housekeeping(), {SMPP})
        self.assertEqual(self.queues_of_housekeeping(), frozenset())

    def test_a_failed_sync_is_never_taken_for_durable_later(self) -> None:
        self.sent(1)
        before = bytes(self.disk.files[SEGMENT].octets)
        self.disk.sync_error = BROKEN
        self.refused(self.store.accept([message(2)]))
        self.disk.sync_error = None
        self.clock.advance(1.1)
        self.assertEqual(bytes(self.disk.files[SEGMENT].octets), before, "the segment ends where it was durable")
        self.assertIn("data/journal/000000000002.seg", self.disk.files)
        again = started(self.disk.kill(), self.clock)
        self.assertIsNone(wait_for(self.clock, again.look_up(message_id(2))))

    def test_it_keeps_trying_for_as_long_as_the_disk_is_full(self) -> None:
        self.sent(1)
        self.disk.capacity = self.disk.used() + 20
        self.refused(self.store.accept([message(2)]))
        for _ in range(5):
            self.clock.advance(1.0)
            self.assertFalse(self.store.figures().writable)
        self.disk.capacity = 1 << 30
        self.clock.advance(1.0)
        self.assertTrue(self.store.figures().writable)
        wait_for(self.clock, self.store.accept([message(2)]))
        again = started(self.disk.crash(), self.clock)
        self.assertEqual(state_of(again), state_of(self.store))

    def test_nothing_is_accepted_into_a_segment_that_somebody_deleted(self) -> None:
        self.sent(1)
        self.clock.advance(1)
        del self.disk.files[SEGMENT]
        self.refused(self.store.accept([message(2)]))
        for _ in range(3):
            self.clock.advance(1.1)
            figures = self.store.figures()
            self.assertFalse(figures.writable)
            self.assertIn("000000000001.seg was deleted or moved while the relay was running", figures.reason)
            self.assertIn("stop the relay, restore data_dir", figures.reason)
        self.refused(self.store.receipts([receipt(1)]))

    def test_nothing_is_accepted_while_the_data_directory_is_moved_away_and_all_is_well_when_it_is_back(self) -> None:
        self.sent(1)
        self.clock.advance(1)
        self.disk.move_away("data")
        self.refused(self.store.receipts([receipt(1)]))
        self.clock.advance(1.1)
        self.assertIn("data was deleted, moved or replaced", self.store.figures().reason)
        self.refused(self.store.accept([message(2)]))
        self.disk.move_back("data")
        self.clock.advance(1.1)
        self.assertTrue(self.store.figures().writable)
        wait_for(self.clock, self.store.accept([message(2)]))
        again = started(self.disk.crash(), self.clock)
        self.assertEqual(state_of(again), state_of(self.store))

    def test_a_segment_that_was_replaced_by_an_older_copy_is_not_gone_on_with(self) -> None:
        self.sent(1)
        copy = bytes(self.disk.files[SEGMENT].octets)
        self.sent(2)
        self.clock.advance(1)
        self.disk.remove(SEGMENT)
        handle = self.disk.open(SEGMENT, create=True)
        self.disk.write(handle, 0, copy)
        self.disk.close(handle)
        self.refused(self.store.accept([message(3)]))
        self.clock.advance(1.1)
        self.assertIn(f"replaced by a file of {len(copy)} octets", self.store.figures().reason)

    def test_short_writes_are_gone_on_with(self) -> None:
        self.disk.largest_write = 7
        self.sent(1, 2, 3)
        again = started(self.disk.crash(), self.clock)
        self.assertEqual(state_of(again), state_of(self.store))

    def test_a_stop_with_a_broken_disk_tries_once_more(self) -> None:
        self.sent(1)
        self.disk.sync_error = BROKEN
        self.refused(self.store.receipts([receipt(1)]))
        self.disk.sync_error = None
        wait_for(self.clock, self.store.stop())
        again = started(self.disk.crash(), self.clock)
        self.assertEqual(wait_for(self.clock, again.look_up(message_id(1))).state, DELIVERED)

    def test_after_a_stop_everything_is_refused_and_the_directory_is_free(self) -> None:
        self.sent(1)
        wait_for(self.clock, self.store.stop())
        wait_for(self.clock, self.store.stop())
        self.refused(self.store.accept([message(2)]))
        self.refused(self.store.receipts([receipt(1)]))
        self.refused(self.store.settle([]))
        started(self.disk, self.clock)

    def test_a_directory_that_can_not_be_made_stops_the_start_with_its_name(self) -> None:
        disk = SimulatedDisk()
        disk.open_error = OSError(13, "Permission denied")
        with self.assertRaises(JournalError) as caught:
            started(disk, self.clock)
        self.assertIn("data_dir data: can't be used", caught.exception.operator_message)


class CrashTests(SynchronousTestCase):
    """Power cuts at random moments: what was answered is there, and what was not may be, whole."""

    def test_nothing_that_was_answered_is_lost(self) -> None:
        for seed in range(60):
            self.play(seed)

    def play(self, seed: int) -> None:
        randomness = random.Random(seed)
        clock = SettableClock()
        disk = SimulatedDisk()
        answered: set[int] = set()
        ended: set[int] = set()

        def note(_: object, into: set[int], number: int) -> None:
            into.add(number)

        number = 0
        for _ in range(4):
            held: list[tuple[Any, Deferred[Any]]] = []

            def in_thread(work: Any, held: Any = held) -> "Deferred[Any]":
                done: Deferred[Any] = Deferred()
                held.append((work, done))
                return done

            store = started(disk, clock, in_thread=in_thread, segment_bytes=600)
            for n in sorted(answered):
                view = wait_for(clock, store.look_up(message_id(n)))
                self.assertIsNotNone(view, f"seed {seed}: message {n} is lost")
                self.assertTrue(n not in ended or view.final, f"seed {seed}: the receipt of {n} is lost")
            for _ in range(randomness.randint(1, 25)):
                number += 1
                mine = number
                accepted = store.accept([message(mine, registered_delivery=0)])
                accepted.addCallback(note, answered, mine)
                accepted.addErrback(lambda _: None)
                if randomness.random() < 0.7:
                    store.submitted([submitted(mine)]).addErrback(lambda _: None)
                    if randomness.random() < 0.7:
                        done = store.receipts([receipt(mine)])
                        done.addCallback(note, ended, mine)
                        done.addErrback(lambda _: None)
                clock.advance(0)
                if held and randomness.random() < 0.6:
                    work, finished = held.pop(0)
                    finished.callback(work())
            if held and randomness.random() < 0.5:
                # The power goes in the middle of a commit.
                held[0][0]()
            disk = disk.crash(randomness)
