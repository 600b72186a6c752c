"""Connections to the simulated carrier. `SimulatedCarrier` decides about messages and queries."""

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Protocol

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory

from relay.smpp.connection import SessionProtocol
from relay.smpp.session import Role, SessionLimits
from relay.values import smpp_constants as c
from relay.values.pdus import Answered, BindPdu, Ended, Event, MessageIdPdu, MessagePdu, OtherPdu, SubmitMultiPdu


class SimulatorSide(Protocol):
    """The simulated carrier, as its connections see it. A list is what came in one read."""

    def connected(self, protocol: "SimulatorProtocol") -> None:
        """A connection was made."""

    def bound(self, protocol: "SimulatorProtocol", pdu: BindPdu) -> None:
        """A login, to be answered."""

    def submitted(self, protocol: "SimulatorProtocol", pdus: Sequence[MessagePdu]) -> None:
        """Messages, all submit_sm or all data_sm."""

    def question(self, protocol: "SimulatorProtocol", pdu: MessageIdPdu) -> None:
        """query_sm or cancel_sm."""

    def acknowledged(self, protocol: "SimulatorProtocol", answers: Sequence[Answered]) -> None:
        """Answers to receipts."""

    def unacknowledged(self, protocol: "SimulatorProtocol", bodies: Sequence[object]) -> None:
        """Receipts that were not answered before their session ended, or in time."""

    def ended(self, protocol: "SimulatorProtocol") -> None:
        """Sends no more receipts on this session: it is lost, or unbound."""


class SimulatorProtocol(SessionProtocol):
    """One connection to the simulated carrier."""

    #: Who logged in, from a successful bind on.
    system_id: str | None = None

    def __init__(self, carrier: SimulatorSide, limits: SessionLimits, clock: IReactorTime) -> None:
        super().__init__(Role.SERVER, limits, clock)
        self._carrier = carrier

    def connectionMade(self) -> None:
        super().connectionMade()
        self._carrier.connected(self)

    def messages_received(self, pdus: list[MessagePdu]) -> None:
        # One batch has one response command; a change between submit_sm and data_sm begins the next batch.
        for _, batch in groupby(pdus, attrgetter("command_id")):
            self._carrier.submitted(self, tuple(batch))

    def answers_received(self, answers: list[Answered]) -> None:
        self._carrier.acknowledged(self, answers)

    def event_received(self, event: Event) -> None:
        if isinstance(event, BindPdu):
            self._carrier.bound(self, event)
        elif isinstance(event, MessageIdPdu):
            self._carrier.question(self, event)
        elif isinstance(event, OtherPdu | SubmitMultiPdu):
            self.respond(event.command_id | c.RESPONSE_BIT, [(event.sequence_number, c.ESME_RINVCMDID, b"")])

    def requests_unanswered(self, tokens: list[object]) -> None:
        self._carrier.unacknowledged(self, tokens)

    def session_ended(self, ended: Ended) -> None:
        self._carrier.ended(self)
        if ended.unanswered:
            self._carrier.unacknowledged(self, ended.unanswered)

    def session_lost(self, unanswered: Sequence[object], reason: str) -> None:
        self._carrier.ended(self)
        self._carrier.unacknowledged(self, unanswered)


class SimulatorFactory(Factory):
    """Makes the protocol for each connection to a simulated carrier."""

    noisy = False

    def __init__(self, carrier: SimulatorSide, clock: IReactorTime) -> None:
        self._carrier = carrier
        self._clock = clock
        self.limits = SessionLimits(window=500, pending_requests=20_000, bind_timeout_seconds=30.0)

    def buildProtocol(self, addr: IAddress | None) -> SimulatorProtocol:
        return SimulatorProtocol(self._carrier, self.limits, self._clock)
