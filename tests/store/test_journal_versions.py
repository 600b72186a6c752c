"""This relay reads the journals of earlier relays: tests/data/journal-v1 was written in the first format.

Never write the fixture again to make a test pass: the fixture exists to prevent that. Another format gets another one.
"""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from relay.store.journal.journal_format import FORMAT_VERSION, dump
from relay.store.journal.journal_store import JournalStore
from relay.values.notifications import Channel, QueueKey
from relay.values.states import DELIVERED, ENROUTE, REJECTED, SCHEDULED
from tests.simulated_disk import SimulatedDisk
from tests.stores import NOW, SettableClock, message_id, started, state_of, wait_for

FIXTURE = Path(__file__).resolve().parents[1] / "data" / "journal-v1"


class FirstFormatTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = SettableClock()
        disk = SimulatedDisk()
        for path in sorted(FIXTURE.glob("*.seg")):
            name = f"data/journal/{path.name}"
            disk.close(disk.open(name, create=True))
            file = disk.files[name]
            file.octets[:] = file.synced = path.read_bytes()
            file.entry_synced = True
        self.disk = disk.kill()
        self.store: JournalStore = started(self.disk, self.clock)

    def state(self, number: int) -> int:
        view = wait_for(self.clock, self.store.look_up(message_id(number)))
        return int(view.state)

    def test_the_fixture_holds_a_record_of_every_kind_of_that_time(self) -> None:
        kinds = {entry["record"] for entry in dump(FIXTURE)} - {"header"}
        expected = "Counters Handed Learnt Message OwedAgain Receipt Sending Settled Snapshot Submitted"
        self.assertEqual(kinds, {*expected.split(), "Idempotency", "Setting"})

    def test_messages_of_the_old_journal_are_in_their_old_state(self) -> None:
        self.assertEqual([self.state(n) for n in (1, 2, 3, 4)], [DELIVERED, DELIVERED, REJECTED, ENROUTE])
        self.assertEqual([self.state(n) for n in (5, 6)], [SCHEDULED, SCHEDULED])

    def test_waiting_parts_are_handed_out_with_their_bodies_and_parts_being_sent_are_in_doubt(self) -> None:
        waiting = wait_for(self.clock, self.store.unsubmitted(None, 10))
        self.assertEqual([(p.id, p.in_doubt) for p in waiting], [(message_id(5), "tier1"), (message_id(6), "")])
        bodies = wait_for(self.clock, self.store.bodies([(p.id, p.part) for p in waiting]))
        self.assertEqual(list(bodies), [b"body of 5", b"body of 6"])

    def test_owed_notifications_are_still_owed(self) -> None:
        owed = {queue.queue_key: queue.owed for queue in self.store.table.queues.owing()}
        self.assertEqual(
            owed,
            {
                QueueKey("plain", Channel.SMPP): 1,
                QueueKey("hooked", Channel.SMPP): 1,
                QueueKey("hooked", Channel.WEBHOOK): 1,
            },
        )

    def test_settings_keys_and_orphans_of_the_old_journal_are_read(self) -> None:
        self.assertEqual(list(wait_for(self.clock, self.store.settings())), [("plain", "notify", "all")])
        kept = wait_for(self.clock, self.store.repeated("plain", "k"))
        self.assertEqual((kept.digest, kept.answer, kept.at), (b"d", b"a", NOW))
        [orphan] = wait_for(self.clock, self.store.orphans(10))
        self.assertEqual(orphan.keys, (b"77",))

    def test_the_old_journal_can_be_continued_and_read_again(self) -> None:
        wait_for(self.clock, self.store.put_setting("plain", "notify", None))
        again = started(self.disk.crash(), self.clock)
        self.assertEqual(state_of(again), state_of(self.store))

    def test_new_frames_go_to_a_segment_of_the_present_format_and_old_segments_stay_unchanged(self) -> None:
        before = {name: bytes(file.octets) for name, file in self.disk.files.items() if name.endswith(".seg")}
        wait_for(self.clock, self.store.put_setting("plain", "notify", None))
        after = {name: bytes(file.octets) for name, file in self.disk.files.items() if name.endswith(".seg")}
        fresh = set(after) - set(before)
        self.assertEqual({name: after[name] for name in before}, before)
        self.assertEqual([int.from_bytes(after[name][8:10], "big") for name in fresh], [FORMAT_VERSION])
