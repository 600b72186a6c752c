"""Customers' sessions: when a submit_sm is answered, with what, and what comes after the answer."""

import random
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from relay.accounts.accounts import Accounts
from relay.config import model
from relay.customers.smpp_sessions import CustomerSessions
from relay.routing.flow import MessageFlow
from relay.routing.routes import Routes
from relay.smpp.connection import SLOW_SECONDS
from relay.smpp.server import SmppServerFactory
from relay.smpp.session import SessionLimits
from relay.store.api import StoreFull, StoreUnavailable
from relay.values import smpp_constants as c
from relay.values.ids import parse_id
from relay.values.messages import Attempt, Claim, Message, QueueKey
from relay.values.secret import Secret
from tests.fakes import bind_body, parse_header, pdu, submit_body
from tests.routing.test_flow import FakeLink, RecordingStore

SUBMIT = pdu(c.SUBMIT_SM, submit_body("447700900001"), sequence_number=7)


class SlowStore(RecordingStore):
    """Durable when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.durable: Deferred[None] = Deferred()

    def accept(self, messages: Sequence[Message], idempotency: object = None) -> Deferred[None]:
        self.accepted.extend(messages)
        return self.durable

    def claim(self, queue_key: QueueKey, limit: int, now: float) -> Deferred[Claim]:
        return succeed(Claim((), None))

    def settle(self, batch: Sequence[Attempt]) -> Deferred[None]:
        return succeed(None)


class SessionTestCase(SynchronousTestCase):
    """`acme`, bound as a transmitter."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = SlowStore()
        smpp = model.AccountSmpp(system_id="acme", password=Secret("secret08"))
        accounts = Accounts({"acme": model.Account(smpp=smpp, rate=1.0, burst=2)})
        flow = MessageFlow(
            store=self.store,  # type: ignore[arg-type]
            rates=accounts,
            routes=Routes([model.Route(carriers=["tier1"])]),
            clock=self.clock,
            random_bytes=random.Random(1).randbytes,
            validity_seconds=3600.0,
        )
        self.link = FakeLink()
        flow.connect({"tier1": self.link}, {})
        self.side = CustomerSessions(flow, accounts, model.SmppListener(), model.Limits(), self.clock)
        self.factory = SmppServerFactory(
            self.side, SessionLimits(enquire_link_seconds=0.0), self.clock, flow.fair_share
        )
        self.transport: Any = StringTransport()
        self.protocol = self.factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        self.protocol.dataReceived(pdu(c.BIND_TRANSMITTER, bind_body("acme", "secret08")))
        self.transport.clear()


class SubmitTests(SessionTestCase):
    def answer(self) -> tuple[int, int, int, bytes]:
        """command_id, status, sequence_number and body of the one PDU that was written."""
        octets = self.transport.value()
        length, command_id, status, number = parse_header(octets)
        self.assertEqual(len(octets), length)
        return command_id, status, number, octets[16:]

    def test_a_submit_sm_is_answered_when_it_is_durable_and_sent_on_after_the_answer(self) -> None:
        self.protocol.dataReceived(SUBMIT)
        self.assertEqual((self.transport.value(), self.link.offered), (b"", []))
        written_first: list[bytes] = []
        offer = self.link.offer
        self.link.offer = lambda parts: (written_first.append(self.transport.value()), offer(parts))[1]  # type: ignore
        self.store.durable.callback(None)
        command_id, status, number, body = self.answer()
        self.assertEqual((command_id, status, number), (c.SUBMIT_SM_RESP, c.ESME_ROK, 7))
        (message,) = self.store.accepted
        self.assertEqual(parse_id(body[:-1].decode()), message.id)
        self.assertEqual([part.id for part in self.link.offered], [message.id])
        self.assertEqual(written_first, [self.transport.value()])

    def test_what_can_not_be_made_durable_is_refused_and_not_sent_on(self) -> None:
        for problem, expected in ((StoreUnavailable("full disk"), c.ESME_RSYSERR), (StoreFull("x"), c.ESME_RMSGQFUL)):
            self.store.durable = Deferred()
            self.protocol.dataReceived(SUBMIT)
            self.store.durable.errback(problem)
            self.assertEqual(self.answer(), (c.SUBMIT_SM_RESP, expected, 7, b""))
            self.assertEqual(self.link.offered, [])
            self.transport.clear()

    def test_who_goes_on_above_its_rate_is_told_so_and_not_read_for_a_moment(self) -> None:
        self.protocol.dataReceived(SUBMIT * 2)
        self.assertEqual(self.transport.producerState, "producing")
        self.protocol.dataReceived(SUBMIT)
        self.assertEqual(self.answer(), (c.SUBMIT_SM_RESP, c.ESME_RTHROTTLED, 7, b""))
        self.assertEqual(self.transport.producerState, "paused")
        self.clock.advance(SLOW_SECONDS)
        self.assertEqual(self.transport.producerState, "producing")


class StopTests(SessionTestCase):
    """A stop while a deliver_sm waits for its response."""

    def setUp(self) -> None:
        super().setUp()
        self.protocol.connectionLost()
        self.protocol = self.factory.buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)
        self.protocol.dataReceived(pdu(c.BIND_TRANSCEIVER, bind_body("acme", "secret08")))
        self.transport.clear()
        self.protocol.send(c.DELIVER_SM, [(submit_body("447700900001"), None)])
        (_, _, _, self.number) = parse_header(self.transport.value())
        self.stopped = Deferred.fromCoroutine(self.side.stop(10.0))
        self.assertNoResult(self.stopped)

    def test_it_waits_for_the_response(self) -> None:
        self.protocol.dataReceived(pdu(c.DELIVER_SM_RESP, b"\0", sequence_number=self.number))
        self.successResultOf(self.stopped)

    def test_it_does_not_wait_for_who_has_left(self) -> None:
        self.protocol.connectionLost()
        self.successResultOf(self.stopped)

    def test_it_waits_no_longer_than_it_may(self) -> None:
        self.clock.advance(9.9)
        self.assertNoResult(self.stopped)
        self.clock.advance(0.2)
        self.successResultOf(self.stopped)
