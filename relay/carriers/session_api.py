"""What a carrier's link knows of the ways to its carrier, be it SMPP sessions or POSTs to another relay.

A `SessionKeeper` keeps one `CarrierSession` alive. Both report to the link, which is the `SessionReports`. They report
a batch at a time, in the order of events.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from relay.values.pdus import Answered, LateAnswer, MessagePdu

#: One request: its body, and the token under which the link hears of it again.
Request = tuple[bytes, object]


class CarrierSession(Protocol):
    """A session with a carrier: it takes the link's requests while it is bound."""

    @property
    def takes_messages(self) -> bool:
        """Whether parts of messages may be sent over it."""

    @property
    def brings_receipts(self) -> bool:
        """Whether receipts come over it."""

    @property
    def room(self) -> int:
        """How many more requests its window takes now."""

    @property
    def outstanding(self) -> int:
        """How many of its requests have no response yet."""

    @property
    def heard_at(self) -> float:
        """When the carrier was last heard on it. Asked only of sessions that take query_sm and cancel_sm."""

    def send(self, command_id: int, requests: Sequence[Request]) -> None:
        """Sends requests, as many as there is `room` for. Each token comes back in exactly one report: `answered`,
        `unanswered`, `unsent` or `lost`."""

    def sending(self) -> Sequence[object]:
        """The tokens of the requests that have no response yet."""

    def unbind(self) -> None:
        """Ends the session politely. Its keeper may bind again."""


class SessionKeeper(Protocol):
    """Keeps one session with a carrier alive: connects, binds, and again after a pause that grows."""

    def start(self) -> None:
        """Begins to connect; returns at once."""

    def stop(self) -> "Deferred[None]":
        """Connects no more and closes what is open; fires when it is closed."""

    def sending(self) -> Sequence[object]:
        """The tokens of all requests that have no response yet, also while the session is not bound."""


class Responder(Protocol):
    """A session over which the carrier's own requests came, and over which they are answered."""

    def respond(self, command_id: int, responses: Sequence[tuple[int, int, bytes]]) -> None:
        """See `SessionProtocol.respond`."""


class SessionReports(Protocol):
    """What sessions and their keepers tell the link."""

    def bound(self, session: CarrierSession) -> None:
        """A session is bound: it takes requests from now on."""

    def bind_refused(self, command_status: int) -> None:
        """The carrier refused a bind. The keeper tries again."""

    def unreachable(self, reason: str) -> None:
        """No connection could be made, or it ended before the bind. The keeper tries again."""

    def lost(self, session: CarrierSession, tokens: Sequence[object], reason: str) -> None:
        """A bound session ended with these requests unanswered. The keeper tries again."""

    def answered(self, session: CarrierSession, answers: list[Answered]) -> None:
        """Responses to our requests."""

    def late_answers(self, session: CarrierSession, answers: list[LateAnswer]) -> None:
        """Responses that came after their time was up."""

    def unanswered(self, session: CarrierSession, tokens: Sequence[object]) -> None:
        """Requests whose time is up: the carrier may have them."""

    def abandoned(self, session: CarrierSession, tokens: Sequence[object]) -> None:
        """Requests of a session that is over: the carrier may have them. `lost` follows when it is closed."""

    def unsent(self, session: CarrierSession, tokens: Sequence[object]) -> None:
        """Requests that certainly did not reach the carrier."""

    def messages(self, session: Responder, pdus: list[MessagePdu]) -> None:
        """deliver_sm and data_sm. Each must be answered with `respond`, when what it says is durable."""

    def pause(self, seconds: float) -> None:
        """The carrier said when to come again: nothing is to be sent for so long."""


#: Makes the keepers that a carrier's settings ask for; none is started yet.
MakeKeepers = Callable[[SessionReports], Sequence[SessionKeeper]]
