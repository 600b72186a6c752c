"""Messages of SMPP customers about which a decision service is asked: when they are answered, and with what."""

from twisted.internet.defer import Deferred, succeed

from relay.config import account_config, route_config
from relay.routing.routes import Routes
from relay.smpp.message_codec import decode_message
from relay.values import smpp_constants as c
from relay.values.message_view import MessageView
from relay.values.messages import destination_of, source_of
from relay.values.states import SCHEDULED
from tests.customers.test_smpp_sessions import NOW, SessionTestCase
from tests.decisions.deciding import service_in_hand
from tests.fakes import pdu, submit_body
from tests.routing.test_flow import FakeLink
from tests.smpp.strategies import frames_in


class DecidedMessageTests(SessionTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.accounts.replace({"acme": account_config.Account(smpp=self.accounts.get("acme").smpp)})
        flow = self.side._flow
        self.gold = FakeLink()
        routes = [route_config.Route(carriers=["tier1"]), route_config.Route(carriers=["gold"], tag="gold")]
        flow.reroute(Routes(routes), {"tier1": self.link, "gold": self.gold}, 3600.0)
        self.service, self.hand = service_in_hand(self.clock)
        flow.decisions = self.service
        self.store.durable = succeed(None)

    def submit(self, *numbers: int) -> None:
        self.protocol.dataReceived(
            b"".join(pdu(c.SUBMIT_SM, submit_body(f"44770090{n:04}"), sequence_number=n) for n in numbers)
        )

    def test_a_message_is_accepted_when_it_is_decided_and_goes_the_way_of_its_tag_with_its_new_sender(self) -> None:
        self.submit(1)
        self.assertEqual((self.answers(), self.store.accepted), ([], []))
        self.hand.answer(lambda message: {"tags": ["gold"], "from": "60300"})
        self.assertEqual(self.answers(), [(c.SUBMIT_SM_RESP, "ESME_ROK", 1)])
        self.assertEqual((self.link.offered, len(self.gold.offered)), ([], 1))
        [message] = self.store.accepted
        self.assertEqual((message.tags, source_of(message.addresses)), (("gold",), b"4477001"))
        sent = decode_message(c.SUBMIT_SM, 0, message.parts[0])
        self.assertEqual((source_of(sent.addresses), destination_of(sent.addresses)), (b"60300", b"447700900001"))

    def test_a_slow_decision_delays_only_its_own_message(self) -> None:
        self.submit(1)
        self.hand.answer(lambda message: {"cache_seconds": 60})
        self.answers()
        self.submit(2, 1, 3)
        self.assertEqual(self.answers(), [(c.SUBMIT_SM_RESP, "ESME_ROK", 1)])
        self.submit(4)
        self.hand.answer(place=1)
        self.assertEqual(self.answers(), [(c.SUBMIT_SM_RESP, "ESME_ROK", 4)])
        self.hand.answer()
        self.assertEqual(self.answers(), [(c.SUBMIT_SM_RESP, "ESME_ROK", n) for n in (2, 3)])

    def test_a_refusal_has_the_status_that_the_service_names_and_is_counted(self) -> None:
        self.submit(1, 2)
        statuses = {"447700900001": "ESME_RINVDSTADR", "447700900002": 1061}
        self.hand.answer(lambda message: {"refuse": "No.", "smpp_status": statuses[message["to"]]})
        self.assertEqual(
            self.answers(), [(c.SUBMIT_SM_RESP, "ESME_RINVDSTADR", 1), (c.SUBMIT_SM_RESP, "0x00000425", 2)]
        )
        refused = self.side._flow.counters.account("acme").refused
        self.assertEqual((self.store.accepted, refused), ([], {c.ESME_RINVDSTADR: 1, 1061: 1}))

    def test_a_session_that_is_gone_when_its_message_is_decided_submits_nothing(self) -> None:
        self.submit(1)
        self.protocol.connectionLost()
        self.hand.answer()
        self.assertEqual(self.store.accepted, [])

    def test_an_unbind_is_answered_after_the_messages_that_wait_for_decisions(self) -> None:
        self.submit(1)
        self.protocol.dataReceived(pdu(c.UNBIND, sequence_number=2))
        self.assertEqual(self.answers(), [])
        self.hand.answer()
        self.clock.advance(0.0)
        self.assertEqual(self.answers(), [(c.SUBMIT_SM_RESP, "ESME_ROK", 1), (c.UNBIND_RESP, "ESME_ROK", 2)])

    def test_a_customer_with_too_many_waiting_messages_is_throttled_and_not_read_for_a_moment(self) -> None:
        self.service.reconfigure(route_config.Decisions(url="http://127.0.0.1:1/", concurrency=1, waiting=1))
        self.submit(1)
        self.submit(2)
        self.submit(3)
        self.assertEqual(self.answers(), [(c.SUBMIT_SM_RESP, "ESME_RTHROTTLED", 3)])
        self.assertEqual(self.transport.producerState, "paused")

    def test_a_submit_multi_is_answered_when_all_its_messages_are_decided(self) -> None:
        head = b"\0\1\1ACME\0\2"
        numbers = [b"\1\1\x01447700900001\0", b"\1\1\x01447700900002\0"]
        body = head + b"".join(numbers) + b"\0\0\0\0\0\1\0\0\0\2hi"
        self.protocol.dataReceived(pdu(c.SUBMIT_MULTI, body, sequence_number=5))
        self.assertEqual(self.answers(), [])
        self.hand.answer(lambda message: {"refuse": "No."} if message["to"] == "447700900002" else {})
        self.assertEqual(self.answers(), [(c.SUBMIT_MULTI_RESP, "ESME_ROK", 5)])
        self.assertEqual([destination_of(m.addresses) for m in self.store.accepted], [b"447700900001"])

    def test_a_replacement_is_asked_about_too(self) -> None:
        self.submit(1)
        self.hand.answer()
        [message] = self.store.accepted
        [(_, _, _, body)] = frames_in(self.transport.value())
        self.transport.clear()
        view = MessageView(
            message.id, "acme", message.addresses, SCHEDULED, False, "", "", "smpp", NOW, NOW + 60, None, [], [], []
        )
        self.store.look_up = lambda message_id: succeed(view)  # type: ignore[method-assign]
        self.store.bodies = lambda parts: succeed([message.parts[0]])  # type: ignore[method-assign]
        replaced = body + b"\1\1" + b"4477001\0" + b"\0\0\1\0\3new"
        self.protocol.dataReceived(pdu(c.REPLACE_SM, replaced, sequence_number=2))
        self.assertEqual(self.hand.asked[0][0][0]["length"], 3)
        self.hand.answer(lambda message: {"refuse": "No."})
        self.assertEqual(self.answers(), [(c.REPLACE_SM_RESP, "ESME_RSUBMITFAIL", 2)])

    def test_a_stop_answers_what_waits(self) -> None:
        self.submit(1)
        self.successResultOf(Deferred.fromCoroutine(self.side._flow.stop()))
        self.assertEqual(self.answers(), [(c.SUBMIT_SM_RESP, "ESME_RSYSERR", 1)])
        self.assertEqual(self.store.accepted, [])
