"""One SMPP session, without its transport: bytes and clock readings go in, events and bytes come out.

Theory of operation: see the methods. A session has a role (SERVER: the peer binds to us; CLIENT: we bind) and a state.
The edge calls `receive` for every read, acts on the events in order, then writes `take_output()` once. It keeps one
delayed call for `deadline` and calls `check_time` then. Nothing here waits, and one read costs one list of events and
one write, however many PDUs it held.
"""

import enum
from collections.abc import Iterable, Sequence

import msgspec

from relay.core.smpp.pdus import Event


class Role(enum.Enum):
    """Which end of the session we are."""

    SERVER = "server"
    CLIENT = "client"


class SessionState(enum.Enum):
    """Where a session stands (SMPP 3.4 section 2.2)."""

    OPEN = "open"
    BOUND_TX = "bound_tx"
    BOUND_RX = "bound_rx"
    BOUND_TRX = "bound_trx"
    UNBOUND = "unbound"
    CLOSED = "closed"


class SessionLimits(msgspec.Struct, frozen=True):
    """The bounds of a session; all times in seconds.

    :ivar window: requests of ours that may be unanswered at once.
    :ivar pending_requests: requests of the peer's that we may have unanswered at once; more get ESME_RTHROTTLED
        without being handed up.
    :ivar response_timeout_seconds: after it, a request of ours is reported `Unanswered`.
    :ivar enquire_link_seconds: silence after which we send enquire_link; two unanswered ones end the session.
    :ivar bind_timeout_seconds: how long a connection may stay unbound.
    :ivar inactivity_seconds: silence of the peer (nothing but enquire_link_resp) after which a server session ends;
        0 = never.
    """

    window: int = 100
    pending_requests: int = 1000
    max_pdu_bytes: int = 65536
    response_timeout_seconds: float = 60.0
    enquire_link_seconds: float = 30.0
    bind_timeout_seconds: float = 10.0
    inactivity_seconds: float = 0.0


class Session:
    """See the module's text.

    :param now: any monotonic reading in seconds; the same clock must serve every call.
    """

    def __init__(self, role: Role, limits: SessionLimits, now: float) -> None:
        raise NotImplementedError

    @property
    def state(self) -> SessionState:
        raise NotImplementedError

    @property
    def can_send(self) -> bool:
        """Whether requests of ours may be sent in this state: submit_sm for a client, deliver_sm for a server."""
        raise NotImplementedError

    @property
    def room(self) -> int:
        """How many requests the window still takes; 0 where `can_send` is false."""
        raise NotImplementedError

    @property
    def outstanding(self) -> int:
        """Requests of ours that wait for a response."""
        raise NotImplementedError

    @property
    def deadline(self) -> float | None:
        """When `check_time` has something to do next; None: nothing is timed. Cheap to ask after every call."""
        raise NotImplementedError

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Takes what was read and gives what it means, in order of arrival.

        Answered inside, without an event: enquire_link, requests in the wrong state (ESME_RINVBNDSTS), bodies that
        can't be decoded (their status), commands that are no command (generic_nack ESME_RINVCMDID), more than
        `pending_requests`. An unknown sequence number in a response is counted in `unknown_responses` and dropped.
        A framing error queues a generic_nack and ends the session (`Ended`); later bytes are ignored.
        """
        raise NotImplementedError

    def take_output(self) -> bytes:
        """What must be written now, once; b"" when there is nothing."""
        raise NotImplementedError

    def bind(
        self, command_id: int, system_id: str, password: str, *, system_type: str = "", interface_version: int = 0x34,
        address_range: str = "", now: float,
    ) -> None:
        """Sends our bind. The answer is `Bound` or `BindRefused`; after the latter the edge closes."""
        raise NotImplementedError

    def accept_bind(self, request: Event, system_id: str, now: float) -> None:
        """Answers a `BindPdu` with ESME_ROK; the session is bound from now on."""
        raise NotImplementedError

    def refuse_bind(self, request: Event, command_status: int) -> None:
        """Answers a `BindPdu` with a status; the session stays OPEN and the edge should close it."""
        raise NotImplementedError

    def request(self, command_id: int, requests: Iterable[tuple[bytes, object]], now: float) -> None:
        """Sends requests: (body, token) each. The caller keeps within `room`.

        :raises ValueError: more than `room`. Nothing of the batch was sent then.
        """
        raise NotImplementedError

    def respond(self, command_id: int, responses: Sequence[tuple[int, int, bytes]]) -> None:
        """Answers requests: (sequence_number, command_status, body) each, with `command_id` being the response's."""
        raise NotImplementedError

    def unbind(self, now: float) -> None:
        """Sends unbind; the answer (or its timeout) ends the session."""
        raise NotImplementedError

    def check_time(self, now: float) -> list[Event]:
        """Does what is due: enquire_link out, `Unanswered`, `BindRefused`, `Ended`."""
        raise NotImplementedError

    def connection_lost(self) -> Sequence[object]:
        """The transport is gone: gives the tokens of all unanswered requests, oldest first; the state is CLOSED."""
        raise NotImplementedError
