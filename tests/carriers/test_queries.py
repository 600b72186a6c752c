"""query_sm for overdue messages and cancel_sm to carriers: flow, link and store, with a simulated carrier."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.binds import smpp_binds
from relay.carriers.link import CarrierLink
from relay.config.carrier_config import Carrier, Simulator
from relay.config.route_config import Route
from relay.routing.flow import MessageFlow
from relay.routing.routes import Routes
from relay.simulator.simulated_carrier import SimulatedCarrier
from relay.simulator.simulator_connection import SimulatorProtocol
from relay.smpp.message_codec import message_body
from relay.smpp.other_codec import query_sm_resp_body
from relay.store.store_values import StoreUnavailable
from relay.values import smpp_constants as c
from relay.values.message_view import MessageView
from relay.values.messages import Message, Submission
from relay.values.pdus import MessageIdPdu, MessagePdu
from relay.values.states import DELETED, DELIVERED, ENROUTE, EXPIRED, SCHEDULED, UNDELIVERABLE, UNKNOWN
from tests.memory_network import MemoryNetwork
from tests.routing.test_flow import ADDRESSES, Rates
from tests.simulated_disk import SimulatedDisk
from tests.stores import SettableClock, started, wait_for

HOUR = 3600.0
VALIDITY = 1000.0
#: (command_status, body) to a question; None: no answer.
Answer = tuple[int, bytes] | None


class AskedCarrier(SimulatedCarrier):
    """A simulated carrier that notes what it gets and is asked, and answers as a test says where it says so."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.got: list[MessagePdu] = []
        self.asked: list[MessageIdPdu] = []
        self.answer: Callable[[MessageIdPdu], Answer] | None = None

    def submitted(self, protocol: SimulatorProtocol, pdus: Sequence[MessagePdu]) -> None:
        self.got += pdus
        super().submitted(protocol, pdus)

    def question(self, protocol: SimulatorProtocol, pdu: MessageIdPdu) -> None:
        self.asked.append(pdu)
        if self.answer is None:
            super().question(protocol, pdu)
        elif (answer := self.answer(pdu)) is not None:
            protocol.respond(pdu.command_id | c.RESPONSE_BIT, [(pdu.sequence_number, *answer)])


def says(state: int, error: int = 0, message_id: bytes | None = None) -> Callable[[MessageIdPdu], tuple[int, bytes]]:
    """A carrier that gives this state of every message."""
    return lambda pdu: (
        c.ESME_ROK,
        query_sm_resp_body(pdu.message_id if message_id is None else message_id, b"", state, error),
    )


class QuestionsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = SettableClock()
        self.network = MemoryNetwork(self.clock)
        self.disk = SimulatedDisk()
        self.begin()

    def begin(self) -> None:
        """Opens the store, and makes a flow that begins with it."""
        self.store: Any = started(self.disk, self.clock)
        self.flow = MessageFlow(
            store=self.store,
            rates=Rates(),
            routes=Routes([Route(carriers=["sim"])]),
            clock=self.clock,
            random_bytes=random.Random(1).randbytes,
            validity_seconds=VALIDITY,
        )

    def link(self, simulator: dict[str, Any] | None = None, **settings: Any) -> CarrierLink:
        """A link to a carrier that never sends a receipt unless the test says otherwise."""
        self.carrier = AskedCarrier(
            Simulator(**{"silent_share": 1.0, "receipt_delay_seconds": 0.0, **(simulator or {})}),
            self.clock,
            random.Random(1),
        )
        self.network.listen("sim", self.carrier.factory)
        fields = {"query_sm": True, "cancel_sm": True, "receipt_hours": 1.0, "enquire_link_seconds": 0.0}
        carrier = msgspec.convert({**fields, **settings}, Carrier)
        keepers = smpp_binds(carrier, self.network.endpoint("sim"), self.clock, pdu_bytes=65536, fraction=lambda: 1.0)
        link = CarrierLink("sim", carrier, self.flow, self.clock, keepers, queue_bytes=1_000_000)
        self.flow.connect({"sim": link}, {})
        link.start()
        self.turn()
        return link

    def turn(self, seconds: float = 0.0, steps: int = 60) -> None:
        """Lets everything that is due happen."""
        self.clock.advance(seconds)
        for _ in range(steps):
            self.clock.advance(0.0)

    def submit(self, count: int = 1, parts: int = 1) -> list[bytes]:
        body = message_body(addresses=ADDRESSES, short_message=b"hello")
        prepared = self.flow.prepare("plain", [Submission(ADDRESSES, (body,) * parts)] * count)
        messages = [m for m in prepared if isinstance(m, Message)]
        wait_for(self.clock, self.flow.accept(messages))
        self.flow.dispatch(messages)
        self.turn()
        return [m.id for m in messages]

    def look(self, seconds: float = 0.0) -> None:
        """The housekeeping, so much later."""
        self.turn(seconds)
        wait_for(self.clock, self.flow.housekeeping(self.clock.seconds()))
        self.turn()

    def overdue(self) -> None:
        """Just past the hour for which receipts are waited."""
        self.look(VALIDITY + HOUR + 1)

    def view(self, message_id: bytes) -> MessageView:
        view = wait_for(self.clock, self.store.look_up(message_id))
        assert isinstance(view, MessageView)
        return view

    def cancel(self, message_id: bytes) -> "list[bool]":
        """Asks for it; the answer stands in the list once it is there."""
        answers: list[bool] = []
        Deferred.fromCoroutine(self.flow.cancel(message_id)).addCallback(answers.append)
        self.turn()
        return answers


class QueryTests(QuestionsTestCase):
    def test_the_answer_ends_the_message_as_a_receipt_would(self) -> None:
        link = self.link({"states": {"UNDELIV": 1.0}})
        [message] = self.submit()
        self.look(VALIDITY + HOUR - 5)
        self.assertEqual((self.carrier.asked, self.view(message).final), ([], False))
        self.look(10)
        view = self.view(message)
        self.assertEqual((view.state, view.final, view.carrier_error), (UNDELIVERABLE, True, "11"))
        self.assertEqual(link.query_counts["query_sm", "answered"], 1)
        self.assertEqual(link.intake.outcomes[0], 1)
        # An answer is no measure of how long the carrier's receipts take.
        self.assertEqual(sum(link.intake.receipt_seconds.counts), 0)
        self.assertEqual(link.in_flight, 0)

    def test_a_query_has_the_carriers_own_id_and_the_messages_source(self) -> None:
        self.link()
        self.submit()
        self.overdue()
        [asked] = self.carrier.asked
        [given] = self.carrier._remembered
        self.assertEqual((asked.message_id, asked.source), (given, b"RELAY"))
        self.assertEqual((asked.source_ton, asked.source_npi), (5, 0))

    def test_the_carrier_is_told_the_sender_that_it_knows_or_none(self) -> None:
        self.link(replace_sender="60300")
        self.submit()
        self.overdue()
        self.assertEqual([(asked.source_ton, asked.source) for asked in self.carrier.asked], [(3, b"60300")])

    def test_where_a_route_replaces_senders_the_carrier_is_told_none(self) -> None:
        self.link({"receipt_delay_seconds": 900.0, "silent_share": 0.0})
        [message] = self.submit()
        self.flow.routes = Routes([Route(carriers=["sim"], replace_sender="60300")])
        self.assertEqual(self.cancel(message), [True])
        [asked] = self.carrier.asked
        self.assertEqual((asked.source, asked.destination), (b"", b"447700900123"))

    def test_a_query_has_the_id_as_the_carrier_wrote_it_whatever_the_dialect_makes_of_it(self) -> None:
        dialects: list[tuple[str, dict[str, Any]]] = [
            ("upper_hex", {"response_id": {"base": "hex"}, "receipt_id": {"base": "decimal"}}),
            ("upper_hex", {}),
            ("padded", {"response_id": {"base": "decimal"}}),
            ("padded", {"response_id": {"strip_zeros": True}}),
            ("prefixed", {"response_id": {"strip_prefix": "sim-"}}),
            ("suffixed", {"response_id": {"strip_suffix": "-sim"}}),
            ("suffixed", {"response_id": {"truncate": 12}}),
            ("hex", {"response_id": {"base": "hex", "low_32_bits": True}}),
        ]
        for response_id, dialect in dialects:
            self.setUp()
            self.link({"response_id": response_id}, dialect=dialect)
            [message] = self.submit()
            self.overdue()
            self.assertEqual(self.view(message).state, DELIVERED, (response_id, dialect))
            self.assertIn(self.carrier.asked[0].message_id, self.carrier._remembered)

    def test_an_id_that_was_not_kept_as_written_is_not_guessed(self) -> None:
        # Taken while the carrier was not to be asked: what is known is the decimal number, which would be another id.
        link = self.link(
            {"response_id": "hex"}, query_sm=False, cancel_sm=False, dialect={"response_id": {"base": "hex"}}
        )
        [message] = self.submit()
        link.settings = Carrier(query_sm=True, cancel_sm=True)
        self.assertEqual(self.cancel(message), [False])
        self.overdue()
        self.assertEqual((self.carrier.asked, self.view(message).state), ([], UNKNOWN))

    def test_without_the_setting_nothing_is_asked(self) -> None:
        self.link(query_sm=False)
        [message] = self.submit()
        self.overdue()
        self.assertEqual((self.carrier.asked, self.view(message).state), ([], UNKNOWN))

    def test_a_refusal_ends_the_message(self) -> None:
        for status in (c.ESME_RQUERYFAIL, c.ESME_RINVMSGID, c.ESME_RINVCMDID, 0x500):
            self.setUp()
            link = self.link()
            self.carrier.answer = lambda pdu, status=status: (status, b"")
            [message] = self.submit()
            self.overdue()
            self.assertEqual(self.view(message).state, UNKNOWN)
            self.assertEqual(link.query_counts["query_sm", "refused"], 1)

    def test_no_answer_ends_the_message(self) -> None:
        link = self.link()
        self.carrier.answer = lambda pdu: None
        [message] = self.submit()
        self.overdue()
        self.assertFalse(self.view(message).final)
        self.assertEqual(link.in_flight, 1)
        self.turn(61.0)
        self.assertEqual((self.view(message).state, self.view(message).final), (UNKNOWN, True))
        self.assertEqual(link.query_counts["query_sm", "unanswered"], 1)

    def test_an_answer_that_can_not_be_believed_ends_the_message(self) -> None:
        bodies = [b"", b"id", b"id\0\0\2", query_sm_resp_body(b"another", b"", DELIVERED, 0), b"\0\0\x63\0"]
        for body in bodies:
            self.setUp()
            self.link()
            self.carrier.answer = lambda pdu, body=body: (c.ESME_ROK, body)
            [message] = self.submit()
            self.overdue()
            self.assertEqual(self.view(message).state, UNKNOWN, body)

    def test_an_answer_may_leave_the_id_out_or_write_it_as_receipts_do(self) -> None:
        for message_id in (b"", b"0" * 9):
            self.setUp()
            self.link(
                {"response_id": "hex"}, dialect={"response_id": {"base": "hex"}, "receipt_id": {"base": "decimal"}}
            )

            def answer(pdu: MessageIdPdu, message_id: bytes = message_id) -> Answer:
                written = message_id and b"%d" % int(pdu.message_id, 16)
                return c.ESME_ROK, query_sm_resp_body(written, b"", DELIVERED, 0)

            self.carrier.answer = answer
            [message] = self.submit()
            self.overdue()
            self.assertEqual(self.view(message).state, DELIVERED)

    def test_states_mean_what_the_dialect_says_they_mean(self) -> None:
        self.link(dialect={"accepted_is_final": True})
        self.carrier.answer = says(6)
        [message] = self.submit()
        self.overdue()
        self.assertEqual(self.view(message).state, DELIVERED)

    def test_a_message_under_way_is_waited_for_once_more_and_queried_a_last_time(self) -> None:
        self.link()
        self.carrier.answer = says(ENROUTE)
        [message] = self.submit()
        self.overdue()
        self.look(10)
        self.assertEqual((self.view(message).state, len(self.carrier.asked)), (ENROUTE, 1))
        self.look(HOUR)
        self.assertEqual((self.view(message).state, len(self.carrier.asked)), (UNKNOWN, 2))

    def test_a_receipt_during_the_second_wait_ends_it(self) -> None:
        self.link()
        self.carrier.answer = says(ENROUTE)
        [message] = self.submit()
        self.overdue()
        self.carrier.answer = says(EXPIRED)
        self.look(HOUR + 10)
        self.assertEqual(self.view(message).state, EXPIRED)

    def test_each_part_of_a_long_message_is_asked_about(self) -> None:
        self.link()
        [message] = self.submit(parts=3)
        self.overdue()
        self.assertEqual(len({pdu.message_id for pdu in self.carrier.asked}), 3)
        self.assertEqual([part.state for part in self.view(message).parts], [DELIVERED] * 3)
        self.assertEqual(self.view(message).state, DELIVERED)

    def test_queries_take_only_a_share_of_the_window(self) -> None:
        link = self.link(window=30)
        self.carrier.answer = lambda pdu: None
        self.submit(20)
        self.overdue()
        self.assertEqual((len(self.carrier.asked), link.in_flight), (3, 3))
        self.look(1)
        self.assertEqual(len(self.carrier.asked), 3)

    def test_all_overdue_messages_are_queried_in_the_end(self) -> None:
        self.link(window=30)
        messages = self.submit(20)
        self.turn(VALIDITY + HOUR + 1)
        for _ in range(8):
            self.look(1)
        self.assertEqual({self.view(message).state for message in messages}, {DELIVERED})
        self.assertEqual(len(self.carrier.asked), 20)

    def test_queries_keep_to_the_rate(self) -> None:
        self.link(rate=1.0)
        for _ in range(2):
            self.submit(2)
            self.turn(2.0)
        self.overdue()
        asked = [len(self.carrier.asked)]
        for _ in range(2):
            self.turn(1.0)
            asked.append(len(self.carrier.asked))
        self.assertEqual(asked, [2, 3, 4])

    def test_a_carrier_that_throttles_queries_is_not_queried_for_a_while(self) -> None:
        link = self.link(throttle_seconds=5.0)
        self.carrier.answer = lambda pdu: (c.ESME_RTHROTTLED, b"")
        [message] = self.submit()
        self.overdue()
        self.assertEqual((len(self.carrier.asked), self.view(message).final), (1, False))
        self.assertEqual((link.queries, link.can_cancel), (0, False))
        self.submit()
        self.assertEqual(self.carrier.counters.submits, 1)
        self.carrier.answer = says(DELIVERED)
        self.look(1300.0)
        self.assertEqual(self.view(message).state, DELIVERED)

    def test_a_query_whose_connection_ended_is_repeated(self) -> None:
        self.link()
        self.carrier.answer = lambda pdu: None
        [message] = self.submit()
        self.overdue()
        self.network.cut("sim")
        self.turn(5.0)
        self.carrier.answer = says(DELIVERED)
        self.look(10.0)
        self.assertFalse(self.view(message).final)
        self.look(1300.0)
        self.assertEqual(self.view(message).state, DELIVERED)

    def test_a_query_whose_session_ended_with_an_error_is_repeated(self) -> None:
        self.link()
        self.carrier.answer = lambda pdu: None
        [message] = self.submit()
        self.overdue()
        [session] = self.carrier._sessions
        session.stream.write(bytes(16))
        self.turn(5.0)
        self.carrier.answer = says(DELIVERED)
        self.assertFalse(self.view(message).final)
        self.look(1300.0)
        self.assertEqual(self.view(message).state, DELIVERED)

    def test_a_carrier_that_is_away_for_more_than_an_hour_costs_the_answer_and_nothing_else(self) -> None:
        self.link()
        [message] = self.submit()
        self.network.unlisten("sim")
        self.network.cut("sim")
        self.overdue()
        self.assertFalse(self.view(message).final)
        self.look(HOUR)
        self.assertEqual((self.view(message).state, self.carrier.asked), (UNKNOWN, []))

    def test_an_answer_that_can_not_be_made_durable_is_asked_for_again(self) -> None:
        self.link()
        [message] = self.submit()
        self.turn(VALIDITY + HOUR + 1)
        self.carrier.answer = lambda pdu: None
        self.look()
        [asked] = self.carrier.asked
        receipts = self.store.receipts
        self.store.receipts = lambda batch: fail(StoreUnavailable("the disk is full"))
        [session] = self.carrier._sessions
        session.respond(c.QUERY_SM_RESP, [(asked.sequence_number, *says(DELIVERED)(asked))])
        self.turn()
        self.assertFalse(self.view(message).final)
        self.store.receipts = receipts
        self.carrier.answer = says(DELIVERED)
        self.look(1300.0)
        self.assertEqual(self.view(message).state, DELIVERED)

    def test_a_stop_waits_for_answers_and_asks_nothing_more(self) -> None:
        link = self.link()
        self.carrier.answer = lambda pdu: None
        [message] = self.submit()
        self.overdue()
        stopped: list[Any] = []
        Deferred.fromCoroutine(link.stop(10.0)).addCallback(stopped.append)
        self.turn()
        self.assertEqual((stopped, link.queries), ([], 0))
        [session] = self.carrier._sessions
        [asked] = self.carrier.asked
        session.respond(c.QUERY_SM_RESP, [(asked.sequence_number, *says(DELIVERED)(asked))])
        self.turn(1.0)
        self.assertEqual((stopped, self.view(message).state), ([None], DELIVERED))

    def dies(self, pdu: MessageIdPdu) -> Answer:
        """As Jasmin's server: the session ends without an answer."""
        self.network.cut("sim")
        return None

    def test_a_carrier_whose_sessions_end_on_questions_is_asked_no_more(self) -> None:
        link = self.link(cancel_sm=True)
        said = self.enterContext(capturedLogs())
        self.carrier.answer = self.dies
        [message] = self.submit()
        self.overdue()
        self.turn(5.0)
        self.assertEqual((len(self.carrier.asked), link.queries is None), (1, False))
        self.look(1300.0)
        self.turn(5.0)
        self.assertEqual((len(self.carrier.asked), link.queries, link.can_cancel, link.up), (2, None, False, True))
        self.look(1300.0)
        self.turn(5.0)
        self.assertEqual((len(self.carrier.asked), self.view(message).state), (2, UNKNOWN))
        lines = [line for line in said if (line.get("log_format") or "").startswith("carrier_dies_of_questions")]
        self.assertEqual([line["carrier"] for line in lines], ["sim"])

    def test_sessions_that_end_on_cancels_count_as_well(self) -> None:
        link = self.link(cancel_sm=True)
        self.carrier.answer = self.dies
        first, second, third = self.submit(3)
        for message in (first, second):
            self.assertTrue(link.can_cancel)
            cancelled = self.cancel(message)
            self.turn(5.0)
            self.assertEqual(cancelled, [False])
        self.assertEqual(self.cancel(third), [False])
        self.assertEqual((len(self.carrier.asked), link.can_cancel), (2, False))

    def goes_silent(self, pdu: MessageIdPdu) -> Answer:
        """The session reads and writes nothing more, and stays open."""
        for connection in self.network.connections:
            connection.server.connected = False
        return None

    def check_that_silence_counts(self, response_timeout_seconds: float) -> None:
        link = self.link(enquire_link_seconds=30.0, response_timeout_seconds=response_timeout_seconds)
        self.carrier.answer = self.goes_silent
        for message in self.submit(2):
            self.assertTrue(link.can_cancel)
            cancelled = self.cancel(message)
            for _ in range(7):
                self.turn(30.0)
            self.assertEqual(cancelled, [False])
        self.assertEqual((len(self.carrier.asked), link.can_cancel, link.up), (2, False, True))

    def test_sessions_that_go_silent_on_questions_and_then_end_count_as_well(self) -> None:
        self.check_that_silence_counts(60.0)

    def test_sessions_that_end_in_silence_before_the_questions_time_is_up_count_as_well(self) -> None:
        self.check_that_silence_counts(300.0)

    def test_a_session_that_ends_long_after_an_unanswered_question_does_not_count(self) -> None:
        link = self.link(enquire_link_seconds=30.0)
        self.carrier.answer = lambda pdu: None
        for message in self.submit(3):
            self.cancel(message)
            for _ in range(7):
                self.turn(30.0)
            self.network.cut("sim")
            self.turn()
            self.turn(5.0)
        self.assertEqual((len(self.carrier.asked), link.can_cancel), (3, True))

    def test_an_answer_between_two_ends_of_a_session_says_that_questions_are_not_the_cause(self) -> None:
        link = self.link(cancel_sm=True)
        for message in self.submit(3):
            self.carrier.answer = self.dies
            self.cancel(message)
            self.turn(5.0)
            self.carrier.answer = lambda pdu: (c.ESME_ROK, b"")
            self.assertEqual(self.cancel(message), [True])
        self.assertTrue(link.can_cancel)

    def test_a_carrier_that_knows_no_queries_is_logged_once(self) -> None:
        self.link({"refuse_questions": True})
        said = self.enterContext(capturedLogs())
        self.submit(3)
        self.overdue()
        self.assertEqual(len(self.carrier.asked), 3)
        lines = [line for line in said if (line.get("log_format") or "").startswith("carrier_knows_no_questions")]
        self.assertEqual([line["carrier"] for line in lines], ["sim"])


class CancelTests(QuestionsTestCase):
    def test_a_message_that_a_carrier_has_taken_is_cancelled_at_the_carrier(self) -> None:
        link = self.link({"receipt_delay_seconds": 60.0, "silent_share": 0.0})
        [message] = self.submit()
        self.assertEqual(self.cancel(message), [True])
        view = self.view(message)
        self.assertEqual((view.state, view.final), (DELETED, True))
        [asked] = self.carrier.asked
        self.assertEqual((asked.command_id, asked.source, asked.destination), (c.CANCEL_SM, b"RELAY", b"447700900123"))
        self.assertEqual(link.query_counts["cancel_sm", "answered"], 1)
        self.turn(61.0)
        self.assertEqual((self.view(message).state, link.intake.outcomes[3]), (DELETED, 1))

    def test_the_carriers_refusal_changes_nothing(self) -> None:
        link = self.link({"receipt_delay_seconds": 60.0, "silent_share": 0.0})
        self.carrier.answer = lambda pdu: (c.ESME_RCANCELFAIL, b"")
        [message] = self.submit()
        self.assertEqual(self.cancel(message), [False])
        self.assertFalse(self.view(message).final)
        self.assertEqual(link.query_counts["cancel_sm", "refused"], 1)
        self.turn(61.0)
        self.assertEqual(self.view(message).state, DELIVERED)

    def test_without_the_setting_or_the_carrier_it_is_refused_at_once(self) -> None:
        link = self.link(cancel_sm=False)
        [message] = self.submit()
        self.assertEqual((self.cancel(message), self.carrier.asked), ([False], []))
        link.settings = Carrier(cancel_sm=True)
        link.hold(True)
        self.assertEqual((self.cancel(message), self.carrier.asked), ([False], []))
        link.hold(False)
        self.network.unlisten("sim")
        self.network.cut("sim")
        self.turn()
        self.assertEqual((self.cancel(message), self.carrier.asked), ([False], []))

    def test_no_answer_or_a_lost_connection_is_a_refusal(self) -> None:
        self.link()
        self.carrier.answer = lambda pdu: None
        [message] = self.submit()
        waiting = self.cancel(message)
        self.assertEqual(waiting, [])
        self.turn(61.0)
        self.assertEqual(waiting, [False])
        waiting = self.cancel(message)
        self.network.cut("sim")
        self.turn()
        self.assertEqual((waiting, self.view(message).final), ([False], False))

    def test_a_cancel_that_waits_for_the_window_is_refused_when_the_link_ends(self) -> None:
        link = self.link(window=1)
        self.carrier.answer = lambda pdu: None
        first, second = self.submit(2)
        self.turn(1.0)
        answers = [self.cancel(first), self.cancel(second)]
        self.assertEqual((answers, len(self.carrier.asked)), ([[], []], 1))
        link.retire(lambda parts: None)
        self.turn()
        self.assertEqual(answers, [[], [False]])

    def test_a_cancel_that_waits_is_refused_when_the_carrier_is_held_or_lost(self) -> None:
        link = self.link(window=1)
        self.carrier.answer = lambda pdu: None
        first, second, third = self.submit(3)
        self.turn(1.0)
        self.cancel(first)
        held = self.cancel(second)
        link.hold(True)
        self.turn()
        self.assertEqual(held, [False])
        link.hold(False)
        lost = self.cancel(third)
        self.network.unlisten("sim")
        self.network.cut("sim")
        self.turn()
        self.assertEqual(lost, [False])

    def test_every_part_of_a_long_message_is_cancelled(self) -> None:
        self.link({"receipt_delay_seconds": 60.0})
        [message] = self.submit(parts=3)
        self.assertEqual(self.cancel(message), [True])
        self.assertEqual((len(self.carrier.asked), self.view(message).state), (3, DELETED))

    def test_one_part_that_can_not_be_cancelled_is_a_refusal(self) -> None:
        self.link()
        [message] = self.submit(parts=2)
        answers = iter([(c.ESME_ROK, b""), (c.ESME_RCANCELFAIL, b"")])
        self.carrier.answer = lambda pdu: next(answers)
        self.assertEqual((self.cancel(message), self.view(message).final), ([False], False))

    def test_a_final_receipt_that_came_first_stays(self) -> None:
        self.link({"silent_share": 0.0, "receipt_delay_seconds": 5.0})
        self.carrier.answer = lambda pdu: None
        [message] = self.submit()
        waiting = self.cancel(message)
        self.turn(6.0)
        [session] = self.carrier._sessions
        session.respond(c.CANCEL_SM_RESP, [(self.carrier.asked[0].sequence_number, c.ESME_ROK, b"")])
        self.turn()
        self.assertEqual((waiting, self.view(message).state), ([False], DELIVERED))

    def test_cancelling_an_ended_or_unknown_message_is_refused(self) -> None:
        self.link({"silent_share": 0.0})
        [message] = self.submit()
        self.turn(1.0)
        self.assertEqual((self.cancel(message), self.cancel(b"?" * 16), self.carrier.asked), ([False], [False], []))

    def test_a_message_in_the_queue_is_cancelled_and_never_sent(self) -> None:
        link = self.link(window=1)
        link.hold(True)
        first, second, third = self.submit(3)
        self.assertEqual((self.view(second).state, self.cancel(second)), (SCHEDULED, [True]))
        link.hold(False)
        self.turn(1.0)
        self.turn(1.0)
        self.assertEqual((self.carrier.counters.submits, self.view(second).state), (2, DELETED))
        self.assertEqual([self.view(m).state for m in (first, third)], [ENROUTE, ENROUTE])
        self.assertEqual((link.queued, len(self.flow.cancelled)), (0, 0))

    def test_of_a_long_message_that_is_cancelled_half_sent_nothing_is_remembered_once_the_rest_is_dropped(self) -> None:
        link = self.link(rate=1.0)
        [message] = self.submit(parts=3)
        self.assertEqual((self.carrier.counters.submits, self.cancel(message)), (2, [True]))
        for _ in range(3):
            self.turn(1.0)
        self.assertEqual((self.carrier.counters.submits, link.queued, len(self.flow.cancelled)), (2, 0, 0))

    def test_a_message_that_is_just_being_written_can_not_be_called_back(self) -> None:
        self.link({"receipt_first": True, "receipt_delay_seconds": 30.0})
        [message] = self.submit()
        self.assertEqual((self.view(message).state, self.cancel(message)), (SCHEDULED, [False]))
        self.turn(31.0)
        self.assertEqual(self.view(message).state, ENROUTE)

    def test_a_message_just_being_written_to_a_removed_carrier_can_not_be_called_back(self) -> None:
        self.link({"receipt_first": True, "receipt_delay_seconds": 30.0})
        [message] = self.submit()
        self.flow.reroute(Routes([]), {}, VALIDITY)
        self.assertEqual((self.view(message).state, self.cancel(message)), (SCHEDULED, [False]))
        self.turn(31.0)
        self.assertEqual((self.view(message).state, self.cancel(message), self.flow._leaving), (ENROUTE, [False], []))
