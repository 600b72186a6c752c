"""The interfaces between a carrier's link and its sessions, over SMPP or over HTTP to another relay.

A `SessionKeeper` keeps one `CarrierSession` alive. Both report to the link, which implements `SessionReports`. They
report batches, in the order of events.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from relay.values.pdus import Accepted, Answered, LateAnswer, MessagePdu
from relay.values.wire_tap import WireTap

#: One request: its body, and the token that the reports about it have.
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
        """How many more requests its window can take now."""

    @property
    def outstanding(self) -> int:
        """How many of its requests have no response yet."""

    @property
    def heard_at(self) -> float:
        """When the carrier was last heard on it. Asked only of sessions that take query_sm and cancel_sm."""

    def send(self, command_id: int, requests: Sequence[Request]) -> None:
        """Sends requests. There must be `room` for them.

        Each token comes back in exactly one report: `answered`, `unanswered`, `unsent` or `lost`.
        """

    def sending(self) -> Sequence[object]:
        """The tokens of the requests that have no response yet."""

    def unbind(self) -> None:
        """Ends the session with an unbind. Its keeper may bind again."""


class SessionKeeper(Protocol):
    """Keeps one session with a carrier alive: connects, binds, and tries again after pauses that grow."""

    def start(self) -> None:
        """Begins to connect, and returns at once."""

    def stop(self) -> "Deferred[None]":
        """Stops to connect, and closes the connection. Fires when it is closed."""

    def sending(self) -> Sequence[object]:
        """The tokens of all requests that have no response yet, also while the session is not bound."""

    def tap(self, tap: WireTap | None) -> None:
        """Gives `tap` what goes between us and the carrier from now on; None: nobody gets it any more."""


class Responder(Protocol):
    """A session over which the carrier sends its own requests, and gets the responses."""

    def respond(self, command_id: int, responses: Sequence[tuple[int, int, bytes]]) -> None:
        """See `SessionProtocol.respond`."""


class SessionReports(Protocol):
    """Gets the reports of sessions and their keepers. The link implements it."""

    def bound(self, session: CarrierSession) -> None:
        """A session is bound, and takes requests from now on."""

    def bind_refused(self, command_status: int) -> None:
        """The carrier refused a bind. The keeper tries again."""

    def unreachable(self, reason: str) -> None:
        """No connection could be made, or it ended before the bind. The keeper tries again."""

    def lost(self, session: CarrierSession, tokens: Sequence[object], reason: str) -> None:
        """A bound session ended with these requests unanswered. The keeper tries again."""

    def answered(self, session: CarrierSession, answers: list[Answered]) -> None:
        """Responses to our requests have come."""

    def accepted(self, session: CarrierSession, accepted: Accepted) -> None:
        """Responses to submit_sm have come, and all say ESME_ROK."""

    def late_answers(self, session: CarrierSession, answers: list[LateAnswer]) -> None:
        """Responses have come after the response timeout."""

    def unanswered(self, session: CarrierSession, tokens: Sequence[object]) -> None:
        """Requests got no response in time. The carrier may have them."""

    def abandoned(self, session: CarrierSession, tokens: Sequence[object]) -> None:
        """A session is over, and these requests got no response. The carrier may have them. `lost` follows."""

    def unsent(self, session: CarrierSession, tokens: Sequence[object]) -> None:
        """Requests certainly did not reach the carrier."""

    def messages(self, session: Responder, pdus: list[MessagePdu]) -> None:
        """deliver_sm and data_sm have come. Each must be answered with `respond` when it is durable."""

    def pause(self, seconds: float) -> None:
        """The carrier asked for a pause. Nothing may be sent for so many seconds."""


#: Makes the keepers that a carrier's settings ask for, and doesn't start them.
MakeKeepers = Callable[[SessionReports], Sequence[SessionKeeper]]
