"""Sessions for tests: alone and bound, or two of them talking to each other."""

from collections.abc import Iterable
from typing import TypeVar

from relay.smpp.session import Role, Session, SessionLimits
from relay.values import smpp_constants as c
from relay.values.pdus import BindPdu, Event
from tests.smpp.strategies import frame, frames_in

Kind = TypeVar("Kind")


def of_kind(kind: type[Kind], events: Iterable[object]) -> list[Kind]:
    """The events, each of which has to be of this kind."""
    checked = []
    for event in events:
        assert isinstance(event, kind), event
        checked.append(event)
    return checked


def bound_session(
    role: Role, bind: int = c.BIND_TRANSCEIVER, limits: SessionLimits | None = None, now: float = 0.0, first: int = 1
) -> Session:
    """One session, bound, with nothing in its output."""
    session = Session(role, limits or SessionLimits(), now, first_sequence_number=first)
    if role is Role.CLIENT:
        session.bind(bind, "relay", "secret", now=now)
        ((_, _, sequence_number, _),) = frames_in(session.take_output())
        session.receive(frame(bind | c.RESPONSE_BIT, sequence_number, b"carrier\0"), now)
    else:
        body = b"acme\0secret\0\0\x34\0\0\0"
        (request,) = session.receive(frame(bind, 1, body), now)
        session.accept_bind(request, "relay", now)
        session.take_output()
    return session


class Pair:
    """A client session and a server session on a perfect line.

    :ivar client_events: what the client has said so far; likewise `server_events`.
    """

    def __init__(self, limits: SessionLimits | None = None, now: float = 0.0) -> None:
        self.client = Session(Role.CLIENT, limits or SessionLimits(), now)
        self.server = Session(Role.SERVER, limits or SessionLimits(), now)
        self.client_events: list[Event] = []
        self.server_events: list[Event] = []

    def bind(self, command_id: int = c.BIND_TRANSCEIVER, now: float = 0.0) -> None:
        """Binds the client with the server's consent; the events of it are dropped."""
        self.client.bind(command_id, "acme", "secret", now=now)
        self.carry(now)
        (request,) = self.server_events
        assert isinstance(request, BindPdu)
        self.server.accept_bind(request, "relay", now)
        self.carry(now)
        self.client_events.clear()
        self.server_events.clear()

    def carry(self, now: float = 0.0) -> None:
        """Carries what either has to say until both are quiet."""
        while True:
            to_server, to_client = self.client.take_output(), self.server.take_output()
            if not to_server and not to_client:
                return
            self.server_events += self.server.receive(to_server, now)
            self.client_events += self.client.receive(to_client, now)
