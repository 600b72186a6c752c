"""A customer's SMPP connection. `CustomerSessions` decides about its binds, messages and queries."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory
from twisted.protocols.policies import ProtocolWrapper

from relay.runtime.fair_share import HEAVY_BYTES, FairShare
from relay.smpp.connection import SLOW_SECONDS, SessionProtocol
from relay.smpp.session import Role, SessionLimits
from relay.values.pdus import Accepted, Answered, BindPdu, Ended, Event, MessageIdPdu, MessagePdu, SubmitMultiPdu


class CustomerSide(Protocol):
    """Decides about customers' sessions. A list has the PDUs of one read."""

    def connected(self, protocol: "SmppServerProtocol", address: str) -> bool:
        """Handles a new connection. False: there are too many, and the connection is closed without an answer."""

    def bind(self, protocol: "SmppServerProtocol", pdu: BindPdu) -> None:
        """Answers a bind."""

    def messages(self, protocol: "SmppServerProtocol", pdus: list[MessagePdu]) -> None:
        """Handles submit_sm and data_sm. They are answered when they are durable."""

    def question(self, protocol: "SmppServerProtocol", pdu: MessageIdPdu) -> None:
        """Handles a query_sm or cancel_sm."""

    def submit_multi(self, protocol: "SmppServerProtocol", pdu: SubmitMultiPdu) -> None:
        """Handles a submit_multi. It is answered when its messages are durable."""

    def answered(self, protocol: "SmppServerProtocol", answers: list[Answered]) -> None:
        """Handles responses to our deliver_sm."""

    def accepted(self, protocol: "SmppServerProtocol", accepted: Accepted) -> None:
        """Handles responses to our deliver_sm that all say ESME_ROK."""

    def unanswered(self, protocol: "SmppServerProtocol", tokens: Sequence[object]) -> None:
        """Handles the tokens of deliver_sm that will get no response any more."""

    def lost(self, protocol: "SmppServerProtocol", reason: str) -> None:
        """Handles the end of a connection. `unanswered` was called before."""


class SmppServerProtocol(SessionProtocol):
    """One connection of a customer.

    :param address: the customer's address: the connection's, or the one that a proxy has written.
    """

    #: The account; "": the connection isn't bound yet.
    account = ""
    #: The name of the account's login that has bound; "": the first one.
    login = ""
    #: The login that gets the receipts of the session's messages.
    receipts_to = ""
    #: The interface_version of the customer's bind.
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

    def requests_accepted(self, accepted: Accepted) -> None:
        self._side.accepted(self, accepted)

    def event_received(self, event: Event) -> None:
        if isinstance(event, BindPdu):
            self._side.bind(self, event)
        elif isinstance(event, MessageIdPdu):
            self._side.question(self, event)
        elif isinstance(event, SubmitMultiPdu):
            self._side.submit_multi(self, event)

    def requests_unanswered(self, tokens: list[object]) -> None:
        # A late response changes nothing. The notification is sent again, and the customer drops it if it has its id
        # and status already.
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
    """Sets the size of reads of a TCP connection, with TLS or without. Does nothing for other transports."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    if hasattr(transport, "bufferSize"):
        transport.bufferSize = octets
