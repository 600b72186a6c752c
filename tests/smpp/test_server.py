"""A customer's connection that sends more than its share."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from relay.runtime.fair_share import ALONE_BYTES, PAUSES, TOGETHER_BYTES, FairShare
from relay.smpp.connection import SLOW_SECONDS
from relay.smpp.server import SmppServerFactory, SmppServerProtocol
from relay.smpp.session import SessionLimits
from relay.values import smpp_constants as c
from relay.values.pdus import BindPdu, MessagePdu
from tests.fakes import bind_body, pdu, submit_body

MANY = b"".join(pdu(c.SUBMIT_SM, submit_body("447700900001"), sequence_number=n) for n in range(1, 41))
ONE = pdu(c.SUBMIT_SM, submit_body("447700900001"), sequence_number=50)


class Side:
    """Takes every bind and every message; each read of messages takes `seconds` of the clock's time."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self.taken = 0

    def connected(self, protocol: SmppServerProtocol, address: str) -> bool:
        return True

    def bind(self, protocol: SmppServerProtocol, pdu: BindPdu) -> None:
        protocol.account = pdu.system_id
        protocol.session.accept_bind(pdu, "relay", self._clock.seconds())

    def messages(self, protocol: SmppServerProtocol, pdus: list[MessagePdu]) -> None:
        self.taken += len(pdus)
        # Not `advance`: no delayed call is due in the middle of a turn.
        self._clock.rightNow += self._seconds

    def unanswered(self, protocol: SmppServerProtocol, tokens: Sequence[object]) -> None: ...

    def lost(self, protocol: SmppServerProtocol, reason: str) -> None: ...


class TurnsOfConnections(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.side = Side(self.clock, 0.001)
        limits = SessionLimits(pending_requests=60, enquire_link_seconds=0.0)
        self.factory = SmppServerFactory(self.side, limits, self.clock, FairShare())  # type: ignore[arg-type]

    def bound(self, system_id: str) -> tuple[Any, Any]:
        protocol: Any = self.factory.buildProtocol(None)
        transport: Any = StringTransport()
        transport.bufferSize = ALONE_BYTES
        protocol.makeConnection(transport)
        protocol.dataReceived(pdu(c.BIND_TRANSCEIVER, bind_body(system_id, "secret08")))
        return protocol, transport

    def test_a_customer_that_is_alone_is_read_without_pauses(self) -> None:
        protocol, transport = self.bound("acme")
        protocol.dataReceived(MANY)
        self.assertEqual(transport.producerState, "producing")
        self.assertEqual(transport.bufferSize, ALONE_BYTES)

    def test_among_others_reads_are_small_and_one_that_brought_much_is_followed_by_a_pause(self) -> None:
        acme, transport = self.bound("acme")
        other, others_transport = self.bound("other")
        acme.dataReceived(MANY)
        self.assertEqual(transport.bufferSize, TOGETHER_BYTES)
        self.assertEqual(transport.producerState, "paused")
        other.dataReceived(ONE)
        self.assertEqual(others_transport.producerState, "producing")
        self.clock.advance(PAUSES * 0.001)
        self.assertEqual(transport.producerState, "producing")

    def test_a_throttled_customer_is_not_read_for_a_moment(self) -> None:
        protocol, transport = self.bound("acme")
        protocol.dataReceived(MANY)
        protocol.dataReceived(MANY)
        self.assertEqual(self.side.taken, 60)
        self.assertEqual(transport.producerState, "paused")
        self.clock.advance(SLOW_SECONDS)
        self.assertEqual(transport.producerState, "producing")

    def test_a_pause_that_ends_leaves_a_peer_unread_that_does_not_read_itself(self) -> None:
        protocol, transport = self.bound("acme")
        protocol.slow_down()
        protocol.pauseProducing()
        self.clock.advance(SLOW_SECONDS)
        self.assertEqual(transport.producerState, "paused")
        protocol.resumeProducing()
        self.assertEqual(transport.producerState, "producing")
        protocol.slow_down()
        protocol.pauseProducing()
        protocol.resumeProducing()
        self.assertEqual(transport.producerState, "paused")

    def test_a_connection_that_ends_in_a_pause_leaves_no_timer(self) -> None:
        protocol, _ = self.bound("acme")
        protocol.slow_down()
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
