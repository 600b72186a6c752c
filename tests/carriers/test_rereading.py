"""Receipts that matched no message with a wrong dialect find their messages when the dialect is corrected."""

from typing import Any

import msgspec
from twisted.logger import capturedLogs

from relay.carriers.link import CarrierLink
from relay.carriers.rereading import Rereading
from relay.config.carrier_config import Carrier
from relay.smpp.message_codec import decode_message, encode_address, message_body
from relay.store.store_values import StoreUnavailable
from relay.values import smpp_constants as c
from relay.values.states import DELIVERED, ENROUTE, EXPIRED, UNDELIVERABLE
from tests.carriers.test_queries import QuestionsTestCase
from tests.late_store import LateStore
from tests.stores import started, wait_for

ADDRESSES = encode_address(1, 1, b"447700900123") + encode_address(5, 0, b"RELAY")
RIGHT = {"receipt_id": {"strip_prefix": "R-"}, "states": {"HANDED": "DELIVRD"}}


class RereadingTests(QuestionsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.links: dict[str, CarrierLink] = {}
        self.slices: list[int] = []
        self.rereading = Rereading(self.flow, self.clock, self.links.get)
        self.logged = self.enterContext(capturedLogs())

    @property
    def said(self) -> list[tuple[int, int]]:
        """What the log says of each reading: how many found their message, of how many."""
        events = [event for event in self.logged if str(event.get("log_format", "")).startswith("orphans_reread")]
        return [(event["found"], event["read"]) for event in events]

    def correct(self, dialect: dict[str, Any] = RIGHT) -> CarrierLink:
        """What a reload puts in the place of the link; it isn't bound."""
        settings = msgspec.convert({"dialect": dialect}, Carrier)
        link = self.links["sim"] = CarrierLink(
            "sim", settings, self.flow, self.clock, lambda reports: (), queue_bytes=1_000_000
        )
        return link

    def deliver(self, *texts: bytes) -> None:
        """Has the carrier send these as receipts, each by itself."""
        mailbox = self.carrier._mailboxes["relay"]
        for text in texts:
            mailbox.waiting.append(message_body(addresses=ADDRESSES, short_message=text, esm_class=0x04))
            mailbox.pump()
            self.turn(1.0)

    def ids(self) -> list[bytes]:
        """The carrier's names for what it has taken, in order."""
        return list(self.carrier._remembered)

    def reread(self, **options: Any) -> None:
        self.rereading.begin(["sim"], **options)
        self.turn(0.1)
        for _ in range(200):
            self.turn(0.01, steps=3)

    def test_orphans_and_unreadable_receipts_find_their_messages_and_the_others_stay(self) -> None:
        old = self.link()
        messages = self.submit(4)
        first, second, third, _ = self.ids()
        came_at = self.clock.seconds()
        self.deliver(b"id:R-%b stat:UNDELIV err:011" % first, b"id:%b stat:HANDED err:000" % second)
        self.deliver(b"id:R-%b stat:HANDED err:000" % third, b"id:R-4711 stat:DELIVRD err:000", b"id: stat:")
        self.assertEqual((self.store.figures().orphans, self.store.figures().unreadable), (2, 3))
        self.assertEqual({self.view(m).state for m in messages}, {ENROUTE})
        link = self.correct()
        self.reread()
        states = [self.view(m).state for m in messages]
        self.assertEqual(states, [UNDELIVERABLE, DELIVERED, DELIVERED, ENROUTE])
        self.assertLess((self.view(messages[0]).done_at or 0.0) - came_at, 2.0)
        self.assertEqual((self.store.figures().orphans, self.store.figures().unreadable), (1, 1))
        self.assertEqual(self.said, [(3, 5)])
        self.assertEqual((link.intake.reread, sum(link.intake.outcomes), sum(old.intake.outcomes)), (3, 0, 5))
        self.assertEqual(dict(link.intake.ended), {UNDELIVERABLE: 1, DELIVERED: 2})
        # Once more changes nothing and counts nothing.
        self.reread()
        self.assertEqual((link.intake.reread, self.said[1:]), (3, [(0, 2)]))
        figures = self.store.figures()
        self.assertEqual((figures.repeated, figures.contradicting, figures.orphans), (0, 0, 1))

    def test_a_receipt_that_found_its_message_is_matched_after_a_restart_and_no_longer_kept(self) -> None:
        self.link()
        messages = self.submit(2)
        self.deliver(b"id:R-%b stat:EXPIRED err:003" % self.ids()[0], b"id:R-4711 stat:DELIVRD err:000")
        self.correct()
        self.reread()
        store = started(self.disk.crash(), self.clock)
        self.assertEqual(wait_for(self.clock, store.look_up(messages[0])).state, EXPIRED)
        self.assertEqual([r.keys for r in wait_for(self.clock, store.orphans(10))], [(b"r-4711",)])

    def test_a_start_with_another_dialect_finds_them_too_and_one_with_the_same_says_nothing(self) -> None:
        self.link()
        [message] = self.submit()
        self.deliver(b"id:R-%b stat:DELIVRD err:000" % self.ids()[0])
        self.store = self.flow.store = started(self.disk.crash(), self.clock)
        self.correct({})
        store: Any = self.flow.store
        store.reread = self.fail
        # What reads as it did is no question to the store.
        self.reread(at_start=True)
        del store.reread
        self.assertEqual((self.view(message).state, self.said), (ENROUTE, []))
        self.correct()
        self.reread(at_start=True)
        self.assertEqual((self.view(message).state, self.said), (DELIVERED, [(1, 1)]))

    def test_evidence_that_is_left_is_dismissed_once_some_has_found_its_messages_and_not_before(self) -> None:
        self.link()
        [message] = self.submit()
        self.deliver(b"id:R-%b stat:DELIVRD err:000" % self.ids()[0], b"id:R-4711 stat:DELIVRD err:000")
        self.turn(0.1)
        wait_for(self.clock, self.store.expire(self.clock.seconds() + 3600.0))
        self.assertEqual(dict(self.store.figures().evidence), {"sim": 2})
        self.correct({"receipt_id": {"strip_prefix": "r"}})
        self.reread()
        self.assertEqual((dict(self.store.figures().evidence), self.said), ({"sim": 2}, [(0, 2)]))
        self.correct()
        self.reread()
        self.assertEqual((self.view(message).state, self.said[1:]), (DELIVERED, [(1, 2)]))
        self.assertEqual(dict(self.store.figures().evidence), {})

    def test_a_response_that_comes_meanwhile_finds_its_receipt_once(self) -> None:
        late = self.flow.store = LateStore(self.store, self.clock)
        self.link()
        messages = self.submit(40)
        for key in self.ids():
            self.deliver(b"id:R-%b stat:DELIVRD err:000" % key)
        self.turn(1.0)
        link = self.correct()
        self.rereading.begin(["sim"])
        # While the question is on its way, some of them leave.
        taken = [self.store.table.orphans.take("sim", b"r-" + key) for key in self.ids()[:10]]
        self.assertEqual(sum(map(len, taken)), 10)
        for _ in range(100):
            self.turn(0.01, steps=3)
        self.assertEqual(link.intake.reread, 30)
        self.assertEqual([self.view(m).final for m in messages], [False] * 10 + [True] * 30)
        self.assertGreater(late.answered, 0)

    def test_many_are_read_in_small_slices_and_those_of_other_carriers_are_left_alone(self) -> None:
        self.link()
        self.submit(1)
        reader = self.correct().intake._reader
        pdu = message_body(addresses=ADDRESSES, short_message=b"id:R-7 stat:DELIVRD err:000", esm_class=0x04)
        receipt = reader.read(decode_message(c.DELIVER_SM, 0, pdu), 1.0)
        now = self.clock.seconds()
        kept = [
            msgspec.structs.replace(receipt, carrier=carrier, keys=(b"R-%d" % n,), received_at=now + n / 1000)
            for n in range(1000)
            for carrier in ("sim", "other")
        ]
        wait_for(self.clock, self.store.receipts(kept))
        batches: list[int] = []
        reread = self.store.reread

        def counted(batch: Any) -> Any:
            batches.append(len(batch))
            return reread(batch)

        self.store.reread = counted
        self.reread()
        self.assertEqual((sum(batches), self.said), (1000, [(0, 1000)]))
        self.assertLessEqual(max(batches), 200)
        self.assertEqual(self.store.figures().orphans, 2000)

    def test_while_nothing_can_be_written_they_wait_and_are_found_when_it_can(self) -> None:
        self.link()
        [message] = self.submit()
        self.deliver(b"id:R-%b stat:DELIVRD err:000" % self.ids()[0])
        self.correct()
        self.disk.capacity = self.disk.used()
        with self.assertRaises(StoreUnavailable):
            wait_for(self.clock, self.store.put_setting("plain", "notify", "all"))
        self.reread()
        self.assertEqual((self.view(message).state, self.said), (ENROUTE, []))
        self.disk.capacity = 1 << 40
        self.turn(10.0)
        self.reread()
        self.assertEqual((self.view(message).state, self.said), (DELIVERED, [(1, 1)]))

    def test_a_stop_ends_it_while_it_waits_for_the_disk(self) -> None:
        self.link()
        self.submit()
        self.deliver(b"id:R-%b stat:DELIVRD err:000" % self.ids()[0])
        self.correct()
        self.disk.capacity = self.disk.used()
        with self.assertRaises(StoreUnavailable):
            wait_for(self.clock, self.store.put_setting("plain", "notify", "all"))
        self.reread()
        wait_for(self.clock, self.rereading.stop())
        self.disk.capacity = 1 << 40
        self.turn(10.0)
        self.reread()
        self.assertEqual(self.store.figures().orphans, 1)
