"""A customer's connection to us. What a bind, a message or a question means is for `CustomerSessions` to say."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory
from twisted.protocols.policies import ProtocolWrapper

from relay.runtime.fair_share import HEAVY_BYTES, FairShare
from relay.smpp.connection import SLOW_SECONDS, SessionProtocol
from relay.smpp.session import Role, SessionLimits
from relay.values.pdus import Answered, BindPdu, Ended, Event, MessageIdPdu, MessagePdu, SubmitMultiPdu


class CustomerSide(Protocol):
    """Who decides about customers' sessions. Lists are one read's worth."""

    def connected(self, protocol: "SmppServerProtocol", address: str) -> bool:
        """A connection was made; false: there are too many, and it is closed without a word."""

    def bind(self, protocol: "SmppServerProtocol", pdu: BindPdu) -> None:
        """Answers a bind."""

    def messages(self, protocol: "SmppServerProtocol", pdus: list[MessagePdu]) -> None:
        """submit_sm and data_sm, to be answered when durable."""

    def question(self, protocol: "SmppServerProtocol", pdu: MessageIdPdu) -> None:
        """query_sm or cancel_sm."""

    def submit_multi(self, protocol: "SmppServerProtocol", pdu: SubmitMultiPdu) -> None:
        """submit_multi, to be answered when durable."""

    def answered(self, protocol: "SmppServerProtocol", answers: list[Answered]) -> None:
        """Responses to our deliver_sm."""

    def unanswered(self, protocol: "SmppServerProtocol", tokens: Sequence[object]) -> None:
        """Our deliver_sm that will not be answered any more."""

    def lost(self, protocol: "SmppServerProtocol", reason: str) -> None:
        """The connection is gone; its `unanswered` has been called."""


class SmppServerProtocol(SessionProtocol):
    """One customer's connection.

    :param address: the customer's: of what has connected, or what a proxy says.
    """

    #: The account, from a successful bind on.
    account = ""
    #: What the customer said it speaks.
    interface_version = 0x34

    def __init__(
        self, side: CustomerSide, limits: SessionLimits, clock: IReactorTime, fair_share: FairShare, address: str
    ) -> None:
        super().__init__(Role.SERVER, limits, clock)
        self.address = address
        self._side = side
        self._fair_share = fair_share
        self._read_bytes = 0

    def connectionMade(self) -> None:
        super().connectionMade()
        if not self._side.connected(self, self.address):
            self.abort()

    def dataReceived(self, data: bytes) -> None:
        fair_share, seconds, session = self._fair_share, self.clock.seconds, self.session
        throttled = session.throttled_requests
        began_at = seconds()
        super().dataReceived(data)
        now = seconds()
        fair_share.heard(self.account, now)
        pause_seconds = fair_share.worked(began_at, now) if len(data) >= HEAVY_BYTES else 0.0
        if session.throttled_requests != throttled:
            self.slow_down(max(pause_seconds, SLOW_SECONDS))
        elif pause_seconds:
            self.slow_down(pause_seconds)
        if fair_share.octets != self._read_bytes:
            self._read_bytes = fair_share.octets
            _limit_reads(self.transport, fair_share.octets)

    def messages_received(self, pdus: list[MessagePdu]) -> None:
        self._side.messages(self, pdus)

    def answers_received(self, answers: list[Answered]) -> None:
        self._side.answered(self, answers)

    def event_received(self, event: Event) -> None:
        if isinstance(event, BindPdu):
            self._side.bind(self, event)
        elif isinstance(event, MessageIdPdu):
            self._side.question(self, event)
        elif isinstance(event, SubmitMultiPdu):
            self._side.submit_multi(self, event)

    def requests_unanswered(self, tokens: list[object]) -> None:
        # A late answer changes nothing: the notification was offered again when its time was up, and the customer
        # dedupes on id and status.
        self._side.unanswered(self, tokens)

    def session_ended(self, ended: Ended) -> None:
        if ended.unanswered:
            self._side.unanswered(self, ended.unanswered)

    def session_lost(self, unanswered: Sequence[object], reason: str) -> None:
        if unanswered:
            self._side.unanswered(self, unanswered)
        self._side.lost(self, reason)


class SmppServerFactory(Factory):
    """Makes the protocol for each connection that a customer opens."""

    noisy = False

    def __init__(
        self, side: CustomerSide, limits: SessionLimits, clock: IReactorTime, fair_share: FairShare | None = None
    ) -> None:
        self._side = side
        self._limits = limits
        self._clock = clock
        self._fair_share = fair_share or FairShare()
        #: Whether the process may keep a connection that has just been accepted.
        self.has_room: Callable[[], bool] = lambda: True

    def buildProtocol(self, addr: IAddress | None) -> SmppServerProtocol | None:
        if not self.has_room():
            return None
        address = getattr(addr, "host", "")
        return SmppServerProtocol(self._side, self._limits, self._clock, self._fair_share, address)


def _limit_reads(transport: Any, octets: int) -> None:
    """Sets how much one read of a TCP connection, under TLS or not, may bring. Other transports are left alone."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    if hasattr(transport, "bufferSize"):
        transport.bufferSize = octets
