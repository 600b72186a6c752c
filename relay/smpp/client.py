"""Our end of a connection to a carrier: binds, and then passes its events to the carrier's link.

The bind is made in connectionMade, and not in ClientService's prepareConnection. If a connection were lost or refused
there, ClientService would be left in a state without transitions, and the socket would stay open.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory

from relay.smpp.connection import SessionProtocol
from relay.smpp.session import Role, SessionLimits
from relay.smpp.tapping import begin_tap, end_tap
from relay.values import smpp_constants as c
from relay.values.pdus import Accepted, Answered, BindRefused, Bound, Ended, Event, LateAnswer, MessagePdu
from relay.values.wire_tap import WireTap

_BIND_NAMES: Final = {
    c.BIND_TRANSCEIVER: "bind_transceiver",
    c.BIND_TRANSMITTER: "bind_transmitter",
    c.BIND_RECEIVER: "bind_receiver",
}


class CarrierBind(Protocol):
    """Owns a connection to a carrier. Calls come in the order of events. A list has the events of one read."""

    def bound(self, protocol: "SmppClientProtocol") -> None:
        """The carrier accepted the bind."""

    def bind_refused(self, protocol: "SmppClientProtocol", command_status: int) -> None:
        """The carrier refused the bind. The connection is being closed."""

    def answered(self, protocol: "SmppClientProtocol", answers: list[Answered]) -> None:
        """Responses to our requests have come."""

    def accepted(self, protocol: "SmppClientProtocol", accepted: Accepted) -> None:
        """Responses to our submit_sm have come, and all say ESME_ROK."""

    def late_answers(self, protocol: "SmppClientProtocol", answers: list[LateAnswer]) -> None:
        """Responses have come after the response timeout."""

    def unanswered(self, protocol: "SmppClientProtocol", tokens: list[object]) -> None:
        """Requests got no response in time."""

    def abandoned(self, protocol: "SmppClientProtocol", tokens: list[object]) -> None:
        """A session is over, and these requests got no response. Its connection is being closed."""

    def messages(self, protocol: "SmppClientProtocol", pdus: list[MessagePdu]) -> None:
        """deliver_sm and data_sm have come. Each must be answered with `respond` when it is durable."""

    def lost(self, protocol: "SmppClientProtocol", tokens: Sequence[object], reason: str) -> None:
        """The connection has ended, and these requests got no response."""


class BindRequest(msgspec.Struct, frozen=True):
    """The fields of our bind request.

    :ivar addr_ton: together with `addr_npi` and `address_range`, the numbers whose messages we take.
    """

    command_id: int
    system_id: str
    password: str
    system_type: str = ""
    interface_version: int = 0x34
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: str = ""


class SmppClientProtocol(SessionProtocol):
    """One connection to a carrier."""

    PEER = "carrier"

    def __init__(self, owner: CarrierBind, request: BindRequest, limits: SessionLimits, clock: IReactorTime) -> None:
        super().__init__(Role.CLIENT, limits, clock)
        self._owner = owner
        self.request = request
        #: The reason why the session ended, for the log; empty: the transport's own words are used.
        self.end_reason = ""

    def connectionMade(self) -> None:
        r = self.request
        self.session.bind(
            r.command_id,
            r.system_id,
            r.password,
            system_type=r.system_type,
            interface_version=r.interface_version,
            addr_ton=r.addr_ton,
            addr_npi=r.addr_npi,
            address_range=r.address_range,
            now=self.clock.seconds(),
        )
        super().connectionMade()

    def messages_received(self, pdus: list[MessagePdu]) -> None:
        self._owner.messages(self, pdus)

    def answers_received(self, answers: list[Answered]) -> None:
        self._owner.answered(self, answers)

    def requests_accepted(self, accepted: Accepted) -> None:
        self._owner.accepted(self, accepted)

    def late_answers_received(self, answers: list[LateAnswer]) -> None:
        self._owner.late_answers(self, answers)

    def event_received(self, event: Event) -> None:
        if isinstance(event, Bound):
            self._owner.bound(self)
        elif isinstance(event, BindRefused):
            self._owner.bind_refused(self, event.command_status)

    def requests_unanswered(self, tokens: list[object]) -> None:
        self._owner.unanswered(self, tokens)

    def session_ended(self, ended: Ended) -> None:
        self.end_reason = ended.reason
        if ended.unanswered:
            self._owner.abandoned(self, list(ended.unanswered))

    @property
    def takes_messages(self) -> bool:
        """Whether submit_sm may be sent over it."""
        return self.request.command_id != c.BIND_RECEIVER

    @property
    def brings_receipts(self) -> bool:
        """Whether deliver_sm come over it."""
        return self.request.command_id != c.BIND_TRANSMITTER

    @property
    def room(self) -> int:
        """How many more requests the window can take."""
        return self.session.room

    @property
    def outstanding(self) -> int:
        """How many requests have no answer yet."""
        return self.session.outstanding

    @property
    def heard_at(self) -> float:
        """When the carrier's last complete PDU came."""
        return self.session.heard_at

    def sending(self) -> Sequence[object]:
        """The tokens of the requests that have no answer yet."""
        return self.session.tokens()

    def session_lost(self, unanswered: Sequence[object], reason: str) -> None:
        self._owner.lost(self, unanswered, self.end_reason or reason)


class SmppClientFactory(Factory):
    """Makes the protocol for each attempt to connect."""

    noisy = False

    def __init__(self, owner: CarrierBind, request: BindRequest, limits: SessionLimits, clock: IReactorTime) -> None:
        self._owner = owner
        self._request = request
        self._limits = limits
        self._clock = clock
        self._tap: WireTap | None = None
        self._latest: SmppClientProtocol | None = None

    def tap(self, tap: WireTap | None) -> None:
        """Gives `tap` what goes over the connection, and over later ones; None: nobody gets it any more."""
        self._tap = tap
        if self._latest is not None and not self._latest.lost:
            self._tap_latest(self._latest)

    def _tap_latest(self, protocol: SmppClientProtocol) -> None:
        if self._tap is None:
            end_tap(protocol)
        else:
            begin_tap(protocol, self._tap, f"a connection for {_BIND_NAMES[self._request.command_id]}")

    def buildProtocol(self, addr: IAddress | None) -> SmppClientProtocol:
        protocol = self._latest = SmppClientProtocol(self._owner, self._request, self._limits, self._clock)
        if self._tap is not None:
            self._tap_latest(protocol)
        return protocol
