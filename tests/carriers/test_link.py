"""A carrier link, talking SMPP in memory to the simulated carrier."""

import random
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.binds import smpp_binds
from relay.carriers.link import CarrierLink
from relay.config.carrier_config import Carrier, Simulator
from relay.config.route_config import Route
from relay.routing.flow import MessageFlow
from relay.routing.flow_api import Outgoing
from relay.routing.routes import Routes
from relay.simulator.simulated_carrier import SimulatedCarrier
from relay.smpp.client import SmppClientProtocol
from relay.smpp.message_codec import message_body
from relay.store.store_values import StoreResult, StoreUnavailable
from relay.values import smpp_constants as c
from relay.values.carrier_reports import Outcome, Receipt, Submitted
from relay.values.messages import Message, Pending, Submission
from relay.values.pdus import Answered
from relay.values.states import EXPIRED, REJECTED, UNKNOWN
from tests.memory_network import MemoryNetwork
from tests.routing.test_flow import ADDRESSES, Rates, RecordingStore


class LinkStore(RecordingStore):
    """Remembers, besides, what carriers took and said; can refuse receipts, and keeps bodies for who asks."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Submitted] = []
        self.sent_at: list[float] = []
        self.received: list[Receipt] = []
        self.order: list[str] = []
        self.full_disk = self.journal_unreadable = False
        self.sent: list[tuple[bytes, int, str]] = []
        #: Set to have every second receipt of the next batch refused.
        self.refuses_odd_receipts = False
        #: Set to have marks wait.
        self.slow_disk: list[Deferred[None]] | None = None

    def sending(self, batch: Sequence[tuple[bytes, int]], carrier: str) -> Deferred[None]:
        if self.full_disk and carrier:
            return fail(StoreUnavailable("the disk is full"))
        self.sent.extend((message_id, part, carrier) for message_id, part in batch)
        self.order.append("sending" if carrier else "not sending")
        if self.slow_disk is None:
            return succeed(None)
        durable: Deferred[None] = Deferred()
        self.slow_disk.append(durable)
        return durable

    def submitted(self, batch: Sequence[Submitted], sent_at: Sequence[float] = ()) -> Deferred[StoreResult]:
        self.taken.extend(batch)
        self.sent_at.extend(sent_at)
        self.order.append("submitted")
        return succeed(StoreResult(frozenset(), ()))

    def receipts(self, batch: Sequence[Receipt]) -> Deferred[StoreResult]:
        if self.full_disk:
            return fail(StoreUnavailable("the disk is full"))
        refused = frozenset[int]()
        if self.refuses_odd_receipts and len(batch) > 2:
            refused, self.refuses_odd_receipts = frozenset(range(1, len(batch), 2)), False
        self.received.extend(receipt for index, receipt in enumerate(batch) if index not in refused)
        self.order.append("receipts")
        return succeed(StoreResult(frozenset(), [Outcome.FINAL] * len(batch), refused=refused))

    def bodies(self, parts: Sequence[tuple[bytes, int]]) -> Deferred[Sequence[bytes | None]]:
        if self.journal_unreadable:
            return fail(StoreUnavailable("the journal can't be read"))
        by_id = {message.id: message for message in self.accepted}
        return succeed([by_id[message_id].parts[part] if message_id in by_id else None for message_id, part in parts])


class CarrierLinkTestCase(SynchronousTestCase):
    """Links over a network in memory, to simulated carriers."""

    def make_store(self) -> Any:
        """What the links write to."""
        return LinkStore()

    def routes(self, *carriers: str) -> list[Route]:
        """Everything goes to these."""
        return [Route(carriers=list(carriers))]

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000.0)
        self.network = MemoryNetwork(self.clock)
        self.store: Any = self.make_store()
        self.flow = MessageFlow(
            store=self.store,
            rates=Rates(),
            routes=Routes(self.routes("sim", "other")),
            clock=self.clock,
            random_bytes=random.Random(1).randbytes,
            validity_seconds=3600.0,
        )
        self.links: dict[str, CarrierLink] = {}
        self.carriers: dict[str, SimulatedCarrier] = {}

    def link(
        self, name: str = "sim", queue_bytes: int = 1_000_000, simulator: Any = None, **fields: Any
    ) -> CarrierLink:
        carrier = SimulatedCarrier(
            Simulator(**(simulator or {"receipt_delay_seconds": 0.0})), self.clock, random.Random(1)
        )
        self.carriers[name] = carrier
        self.network.listen(name, carrier.factory)
        return self.make_link(name, queue_bytes, **fields)

    def make_link(self, name: str, queue_bytes: int = 1_000_000, **fields: Any) -> CarrierLink:
        """A link, started, to whatever listens under this name."""
        settings = Carrier(**{"throttle_seconds": 1.0, "reconnect_min_seconds": 1.0, **fields})
        link = self.links[name] = CarrierLink(
            name,
            settings,
            self.flow,
            self.clock,
            smpp_binds(settings, self.network.endpoint(name), self.clock, pdu_bytes=65536, fraction=lambda: 1.0),
            queue_bytes=queue_bytes,
        )
        self.flow.connect(self.links, {})
        link.start()
        self.turn()
        return link

    def turn(self, seconds: float = 0.0, steps: int = 60) -> None:
        """Lets everything that is due happen."""
        self.clock.advance(seconds)
        for _ in range(steps):
            self.clock.advance(0.0)

    def submit(self, count: int = 1, **fields: Any) -> list[Message]:
        body = message_body(addresses=ADDRESSES, short_message=b"hello")
        prepared = self.flow.prepare("acme", [Submission(ADDRESSES, (body,), **fields)] * count)
        messages = [m for m in prepared if isinstance(m, Message)]
        assert len(messages) == count
        self.store.accept(messages)
        self.flow.dispatch(messages)
        self.turn()
        return messages


class CarrierLinkTests(CarrierLinkTestCase):
    def test_a_message_is_submitted_and_its_carrier_message_id_recorded(self) -> None:
        self.link()
        [message] = self.submit()
        self.assertEqual([(s.id, s.carrier) for s in self.store.taken], [(message.id, "sim")])
        self.assertTrue(self.store.taken[0].carrier_message_id)

    def test_receipts_are_due_in_whole_seconds_which_messages_share_and_never_too_soon(self) -> None:
        self.link(receipt_hours=2.0)
        expires_at = {}
        for _ in range(3):
            self.turn(0.25)
            expires_at.update({m.id: m.expires_at for m in self.submit(2)})
        due_at = [s.receipt_due_at for s in self.store.taken]
        for s in self.store.taken:
            late_seconds = s.receipt_due_at - (expires_at[s.id] + 7200.0)
            self.assertTrue(0.0 <= late_seconds < 1.0, late_seconds)
        self.assertEqual(len(due_at), 6)
        self.assertLess(len({id(due) for due in due_at}), 3)

    def test_its_receipt_comes_back_under_the_same_carrier_message_id(self) -> None:
        self.link()
        self.submit()
        self.turn(1.0)
        [receipt] = self.store.received
        self.assertEqual(receipt.keys, (self.store.taken[0].carrier_message_id,))
        self.assertEqual(self.carriers["sim"].counters.acked, 1)

    def test_the_table_hears_of_the_response_before_the_receipt_of_the_same_read(self) -> None:
        self.link(simulator={"receipt_delay_seconds": 0.0})
        self.submit(20)
        self.turn(1.0)
        self.assertEqual(self.store.order[0], "submitted")
        self.assertEqual((len(self.store.taken), len(self.store.received)), (20, 20))

    def test_a_receipt_that_can_t_be_made_durable_is_refused_and_comes_again(self) -> None:
        self.link()
        self.store.full_disk = True
        self.submit()
        self.turn(1.0)
        self.assertEqual((self.store.received, self.carriers["sim"].counters.acked), ([], 0))
        self.store.full_disk = False
        for _ in range(40):
            self.turn(5.0)
        self.assertEqual(len(self.store.received), 1)

    def test_of_a_batch_of_receipts_only_those_that_are_not_durable_are_refused_and_come_again(self) -> None:
        link = self.link()
        self.store.refuses_odd_receipts = True
        self.submit(20)
        for _ in range(40):
            self.turn(5.0)
        self.assertGreater(link.intake.not_durable, 0)
        # Those that were durable were answered ESME_ROK, so they didn't come again.
        self.assertEqual(len(self.store.received), 20)
        self.assertEqual(len({receipt.keys for receipt in self.store.received}), 20)
        self.assertEqual(link.intake.outcomes[Outcome.FINAL], 20)

    def test_messages_that_a_carrier_takes_without_an_id_are_counted_and_logged_once_a_minute(self) -> None:
        link = self.link()
        logged = self.enterContext(capturedLogs())

        def answered(*message_ids: bytes) -> None:
            parts = [
                Outgoing(b"%016d" % n, 0, b"", self.clock.seconds() + 60, ("sim",)) for n in range(len(message_ids))
            ]
            answers = [Answered(p, c.SUBMIT_SM_RESP, 0, m) for p, m in zip(parts, message_ids, strict=True)]
            link.answered(SmppClientProtocol, answers)  # type: ignore[arg-type]

        answered(b"", b"17", b"  ", b"0")
        answered(b"")
        self.assertEqual((link.counters.taken, link.counters.without_id), (5, 3))
        said = [event for event in logged if "carrier_gave_no_id" in event.get("log_format", "")]
        self.assertEqual([(event["carrier"], event["count"]) for event in said], [("sim", 2)])
        self.turn(60.0)
        answered(b"")
        said = [event for event in logged if "carrier_gave_no_id" in event.get("log_format", "")]
        self.assertEqual([event["count"] for event in said], [2, 4])

    def test_the_response_time_counts_what_was_sent_first_and_what_was_sent_last(self) -> None:
        link = self.link(window=10)
        link.answered(
            link._sessions.senders[0],
            [Answered(self.sent_ago(seconds), c.SUBMIT_SM_RESP, 0, b"%d" % seconds) for seconds in (40, 30, 2, 1)],
        )
        histogram = link.counters.response_seconds
        self.assertEqual((4, 2 * 40.0 + 2 * 1.0), (histogram.count, histogram.total))

    def sent_ago(self, seconds: float) -> Outgoing:
        now = self.clock.seconds()
        return Outgoing(b"%016d" % seconds, 0, b"", now + 60.0, ("sim",), sent_at=now - seconds)

    def test_no_more_than_the_window_is_unanswered(self) -> None:
        link = self.link(window=3)
        self.network.latency_seconds = 1.0
        body = message_body(addresses=ADDRESSES, short_message=b"hello")
        messages = self.flow.prepare("acme", [Submission(ADDRESSES, (body,))] * 10)
        self.flow.dispatch([m for m in messages if isinstance(m, Message)])
        self.assertEqual((link.in_flight, link.queued), (3, 7))

    def test_the_rate_is_kept_over_all_binds(self) -> None:
        link = self.link(rate=10.0, binds=2)
        self.submit(50)
        sent_at_first = link.counters.submitted
        for _ in range(20):
            self.turn(0.1)
        self.assertLessEqual(sent_at_first, 3)
        self.assertLessEqual(link.counters.submitted, sent_at_first + 21)
        self.assertGreaterEqual(link.counters.submitted, 18)

    def dispatch(self, account: str, count: int, **fields: Any) -> list[Message]:
        """Hands messages of an account to the links, which send what they may."""
        body = message_body(addresses=ADDRESSES, short_message=b"hello")
        prepared = self.flow.prepare(account, [Submission(ADDRESSES, (body,), **fields)] * count)
        messages = [m for m in prepared if isinstance(m, Message)]
        self.flow.dispatch(messages)
        return messages

    def test_a_bulk_sending_keeps_another_account_s_message_waiting_for_one_of_its_messages(self) -> None:
        self.link(rate=20.0)
        self.dispatch("bulk", 400)
        already_sent = self.links["sim"].counters.submitted
        [otp] = self.dispatch("otp", 1)
        for _ in range(20):
            self.turn(0.05)
        sent = [submitted.id for submitted in self.store.taken]
        self.assertEqual(sent.index(otp.id), already_sent + 1)

    def test_after_a_restart_accounts_take_turns_and_priorities_hold_as_before(self) -> None:
        link = self.link(rate=20.0, queue_bytes=0)
        bulk, [otp, urgent] = (
            [(b"%016d" % n, account, priority) for n, account, priority in each]
            for each in ([(n, "bulk", 0) for n in range(100)], [(200, "otp", 0), (201, "bulk", 1)])
        )
        body = message_body(addresses=ADDRESSES, short_message=b"hello")
        now = self.clock.seconds()
        for message_id, account, _ in [*bulk, otp, urgent]:
            self.store.accepted.append(Message(message_id, account, now, now + 3600.0, ADDRESSES, (body,)))
        self.store.pending = [
            Pending(message_id, 0, account, ADDRESSES, now, now + 3600.0, priority=priority)
            for message_id, account, priority in [*bulk, otp, urgent]
        ]
        link.hold(True)
        Deferred.fromCoroutine(self.flow.resume())
        link.hold(False)
        for _ in range(10):
            self.turn(0.1)
        sent = [submitted.id for submitted in self.store.taken]
        self.assertEqual(sent[:4], [urgent[0], otp[0], bulk[0][0], bulk[1][0]])

    def test_messages_that_would_wait_for_a_slow_carrier_go_to_the_next_one(self) -> None:
        slow, other = self.link(rate=20.0), self.link("other")
        route = Route(carriers=["sim", "other"], spill_over_seconds=5.0)
        self.flow.reroute(Routes([route]), self.links, 3600.0)
        self.dispatch("bulk", 400)
        self.assertEqual((slow.queued + slow.in_flight, other.queued + other.in_flight), (100, 300))
        # For another account the first carrier has a place at once.
        self.dispatch("otp", 1)
        self.assertEqual(slow.queued + slow.in_flight, 101)

    def test_a_throttled_message_waits_with_the_link_paused_and_is_sent_again(self) -> None:
        link = self.link(simulator={"receipt_delay_seconds": 0.0, "throttle_share": 0.5, "seed": 3})
        self.submit(20)
        self.assertGreater(link.counters.throttled, 0)
        self.assertLess(len(self.store.taken), 20)
        for _ in range(200):
            self.turn(2.0, steps=20)
        self.assertEqual(len({s.id for s in self.store.taken}), 20)
        self.assertEqual(self.store.ended, [])

    def test_a_throttled_message_whose_validity_ends_is_expired_and_not_rejected(self) -> None:
        self.link(simulator={"throttle_share": 1.0})
        [message] = self.submit(validity_seconds=30.0)
        for _ in range(30):
            self.turn(2.0, steps=20)
        self.assertEqual([(e.id, e.state) for e in self.store.ended], [(message.id, EXPIRED)])

    def test_a_permanent_refusal_goes_to_the_next_carrier(self) -> None:
        self.link("sim", simulator={"reject_share": 1.0})
        self.link("other")
        [message] = self.submit()
        self.assertEqual([(s.id, s.carrier) for s in self.store.taken], [(message.id, "other")])

    def test_refused_by_every_carrier_the_message_ends_rejected_with_the_reason(self) -> None:
        self.link("sim", simulator={"reject_share": 1.0})
        self.link("other", simulator={"reject_share": 1.0})
        [message] = self.submit()
        [ending] = self.store.ended
        self.assertEqual((ending.id, ending.state), (message.id, REJECTED))
        self.assertTrue(ending.error.startswith(b"ESME_"))

    def test_messages_that_wait_while_the_carrier_is_away_are_sent_when_it_is_back(self) -> None:
        link = self.link()
        self.network.unlisten("sim")
        self.network.cut("sim")
        self.turn()
        self.assertFalse(link.up)
        self.submit(5)
        self.assertEqual(link.queued, 5)
        self.network.listen("sim", self.carriers["sim"].factory)
        for _ in range(10):
            self.turn(10.0)
        self.assertEqual(len(self.store.taken), 5)

    def in_doubt(self, policy: str) -> list[Message]:
        """Submits a message whose connection is cut before the response comes."""
        self.link(in_doubt=policy)
        self.network.latency_seconds = 1.0
        body = message_body(addresses=ADDRESSES, short_message=b"hello")
        messages = [m for m in self.flow.prepare("acme", [Submission(ADDRESSES, (body,))]) if isinstance(m, Message)]
        self.flow.dispatch(messages)
        self.network.cut("sim")
        self.network.latency_seconds = 0.0
        for _ in range(10):
            self.turn(10.0)
        return messages

    def test_a_submit_in_doubt_is_sent_again_when_the_session_is_back(self) -> None:
        [message] = self.in_doubt("resend")
        self.assertEqual([s.id for s in self.store.taken], [message.id])

    def test_the_store_hears_when_a_part_was_written_unless_it_may_have_been_written_before(self) -> None:
        self.in_doubt("resend")
        # A receipt of the first submit_sm may be there already, so nothing is said about the time of the second one.
        self.assertEqual(self.store.sent_at, [0.0])
        self.submit()
        self.turn()
        self.assertEqual(self.store.sent_at, [0.0, self.clock.seconds()])

    def test_a_part_of_an_earlier_start_may_have_been_written_before(self) -> None:
        self.link()
        body = message_body(addresses=ADDRESSES, short_message=b"hello")
        self.flow.send([Outgoing(b"%016d" % 1, 0, body, self.clock.seconds() + 60.0, ("sim",), sent_before=True)])
        self.turn()
        self.assertEqual(self.store.sent_at, [0.0])

    def test_unanswered_parts_of_a_lost_session_are_sent_over_another_one_at_once(self) -> None:
        link = self.link(binds=2, reconnect_min_seconds=60.0)
        self.network.latency_seconds = 1.0
        self.submit()
        [busy] = [session for session in link._sessions.senders if session.outstanding]
        assert isinstance(busy, SmppClientProtocol)
        busy.abort()
        self.turn(1.0)
        self.assertEqual((link.bound_count, link.queued, link.in_flight), (1, 0, 1))

    def test_a_submit_in_doubt_ends_unknown_where_the_carrier_s_policy_says_so(self) -> None:
        [message] = self.in_doubt("end")
        self.assertEqual([(e.id, e.state) for e in self.store.ended], [(message.id, UNKNOWN)])
        self.assertEqual(self.store.taken, [])

    def test_a_response_that_comes_after_its_time_settles_what_waits_to_be_sent_again(self) -> None:
        late = {"receipt_first": True, "receipt_delay_seconds": 10.0}
        link = self.link(simulator=late, response_timeout_seconds=4.0, enquire_link_seconds=0.0)
        [message] = self.submit()
        link.hold(True)
        self.turn(5.0)
        self.assertEqual((link.queued, link.counters.in_doubt, self.store.taken), (1, 1, []))
        self.turn(6.0)
        self.assertEqual([taken.id for taken in self.store.taken], [message.id])
        link.hold(False)
        self.turn(5.0)
        self.assertEqual((link.queued, self.carriers["sim"].counters.submits), (0, 1))

    def test_a_carrier_that_ends_what_is_in_doubt_gets_nothing_before_the_journal_knows(self) -> None:
        link = self.link(in_doubt="end")
        self.store.slow_disk = []
        [message] = self.submit()
        self.assertEqual(self.store.sent, [(message.id, 0, "sim")])
        self.assertEqual((link.counters.submitted, self.carriers["sim"].counters.submits), (0, 0))
        self.store.slow_disk.pop().callback(None)
        self.turn()
        self.assertEqual((self.store.order[:2], self.carriers["sim"].counters.submits), (["sending", "submitted"], 1))

    def test_a_carrier_that_is_sent_to_again_costs_no_mark(self) -> None:
        self.link(in_doubt="resend")
        self.submit(5)
        self.assertEqual(self.store.sent, [])

    def test_parts_that_could_not_be_marked_are_sent_when_the_disk_works_again(self) -> None:
        self.link(in_doubt="end")
        self.store.full_disk = True
        self.submit(5)
        self.turn(3.0)
        self.assertEqual(self.carriers["sim"].counters.submits, 0)
        self.store.full_disk = False
        self.turn(3.0)
        self.assertEqual((len(self.store.taken), self.carriers["sim"].counters.submits), (5, 5))

    def test_a_part_that_was_marked_and_not_written_loses_its_mark_and_is_sent_when_the_session_is_back(self) -> None:
        link = self.link(in_doubt="end")
        self.store.slow_disk = []
        [message] = self.submit()
        self.network.cut("sim")
        self.turn()
        [durable], self.store.slow_disk = self.store.slow_disk, None
        durable.callback(None)
        self.assertEqual((self.store.sent[-1], link.queued), ((message.id, 0, ""), 1))
        for _ in range(10):
            self.turn(10.0)
        self.assertEqual(([s.id for s in self.store.taken], self.store.ended), ([message.id], []))

    def test_a_refusal_takes_the_mark_away_before_the_part_goes_elsewhere(self) -> None:
        self.link("sim", in_doubt="end", simulator={"reject_share": 1.0})
        self.link("other")
        [message] = self.submit()
        self.assertEqual(self.store.sent, [(message.id, 0, "sim"), (message.id, 0, "")])

    def test_a_stop_does_not_write_what_is_still_being_marked(self) -> None:
        link = self.link(in_doubt="end")
        self.store.slow_disk = []
        self.submit()
        stopped = Deferred.fromCoroutine(link.stop(10.0))
        [durable], self.store.slow_disk = self.store.slow_disk, None
        durable.callback(None)
        for _ in range(5):
            self.turn(1.0)
        self.successResultOf(stopped)
        self.assertEqual((self.carriers["sim"].counters.submits, self.store.order[-1]), (0, "not sending"))

    def test_texts_that_the_journal_does_not_give_are_asked_for_until_it_does(self) -> None:
        self.link(queue_bytes=1)
        self.store.journal_unreadable = True
        self.submit(2)
        self.turn(10.0)
        self.assertEqual(len(self.store.taken), 1)
        self.store.journal_unreadable = False
        self.turn(1.0)
        self.assertEqual(len(self.store.taken), 2)

    def test_texts_past_the_queue_s_bytes_wait_in_the_journal_and_are_fetched_when_their_turn_comes(self) -> None:
        link = self.link(queue_bytes=200)
        self.network.unlisten("sim")
        self.network.cut("sim")
        self.turn()
        self.submit(100)
        self.assertLess(link.queue.octets, 300)
        self.network.listen("sim", self.carriers["sim"].factory)
        for _ in range(10):
            self.turn(10.0)
        self.assertEqual(len({s.id for s in self.store.taken}), 100)
        self.assertEqual((link.queued, link.queue.octets), (0, 0))

    def test_texts_that_are_at_hand_while_a_batch_is_taken_go_out_after_it_and_none_is_lost(self) -> None:
        link = self.link(queue_bytes=120, window=3)
        self.network.unlisten("sim")
        self.network.cut("sim")
        self.turn()
        messages = self.submit(20)
        # The first one has its text, the others are fetched while it is taken.
        self.assertGreater(link.queue.octets, 0)
        self.network.listen("sim", self.carriers["sim"].factory)
        for _ in range(10):
            self.turn(10.0)
        self.assertEqual([s.id for s in self.store.taken], [message.id for message in messages])
        self.assertEqual((link.queued, link.queue.octets, link.in_flight), (0, 0, 0))

    def test_transmitter_and_receiver_share_one_id_space(self) -> None:
        link = self.link(bind="transmitter+receiver")
        self.assertEqual((link.bound_count, link.wanted_count), (2, 2))
        self.submit(5)
        self.turn(1.0)
        self.assertEqual({r.keys[0] for r in self.store.received}, {s.carrier_message_id for s in self.store.taken})

    def test_a_stop_waits_for_answers_in_flight_and_unbinds(self) -> None:
        link = self.link()
        self.network.latency_seconds = 0.5
        body = message_body(addresses=ADDRESSES, short_message=b"hello")
        messages = [m for m in self.flow.prepare("acme", [Submission(ADDRESSES, (body,))]) if isinstance(m, Message)]
        self.flow.dispatch(messages)
        stopped = Deferred.fromCoroutine(link.stop(10.0))
        self.assertNoResult(stopped)
        for _ in range(20):
            self.turn(0.5, steps=5)
        self.successResultOf(stopped)
        self.assertEqual(len(self.store.taken), 1)
        self.assertEqual(self.network.connections, [])

    def test_a_stop_does_not_wait_for_ever_for_a_carrier_that_is_silent(self) -> None:
        link = self.link()
        self.network.latency_seconds = 1e6
        body = message_body(addresses=ADDRESSES, short_message=b"hello")
        messages = [m for m in self.flow.prepare("acme", [Submission(ADDRESSES, (body,))]) if isinstance(m, Message)]
        self.flow.dispatch(messages)
        stopped = Deferred.fromCoroutine(link.stop(10.0))
        self.turn(10.0)
        self.network.latency_seconds = 0.0
        for _ in range(20):
            self.turn(5.0, steps=5)
        self.network.cut("sim")
        self.turn(1.0)
        self.successResultOf(stopped)
