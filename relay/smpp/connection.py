"""What the SMPP server's and client's protocols have in common: one `Session` on one transport.

Bytes go in, the session's events go to `events_received` in one list a read, and whatever the session has to say
goes out in one write. One delayed call a connection serves every timeout of the session.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol, cast

from twisted.internet import protocol
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, INegotiated, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from relay.runtime.direct_write import write_at_once
from relay.smpp.session import Role, Session, SessionLimits
from relay.values.pdus import (
    Answered,
    BindRefused,
    Ended,
    Event,
    LateAnswer,
    MessagePdu,
    PeerUnbound,
    Unanswered,
)

#: How long a peer may take to read what was written before the connection is closed.
CLOSE_SECONDS: Final = 10.0
#: What is at least as long is sent at once. What is shorter goes in the reactor's next turn, together with what else is
#: said in this one: messages that come one by one over HTTP go to the carrier together.
AT_ONCE_BYTES: Final = 1024
#: How long nothing is read from a peer that goes on although it was told to wait.
SLOW_SECONDS: Final = 0.05


class StreamTransport(Protocol):
    """What is used of a TCP or TLS transport."""

    def write(self, data: bytes) -> object: ...
    def registerProducer(self, producer: Any, streaming: bool) -> object: ...
    def unregisterProducer(self) -> object: ...
    def pauseProducing(self) -> object: ...
    def resumeProducing(self) -> object: ...
    def loseConnection(self) -> object: ...
    def abortConnection(self) -> object: ...


@implementer(IPushProducer, IHandshakeListener)
class SessionProtocol(protocol.Protocol):
    """A `Session` with a transport and a timer. Sub-classes say what events mean.

    As a producer it stops reading from a peer that doesn't read: what we owe such a peer is bounded by what it may
    ask of us, and that stops growing.
    """

    #: Who is at the other end, for the log.
    PEER = "peer"

    def __init__(self, role: Role, limits: SessionLimits, clock: IReactorTime) -> None:
        self.clock = clock
        self.session = Session(role, limits, clock.seconds())
        self._timer: IDelayedCall | None = None
        self._timer_at = 0.0
        self.lost = False
        self._closing = False
        #: Why nothing is read: the peer doesn't read either, or goes on although it was told to wait.
        self._unread = False
        self._slowed: IDelayedCall | None = None
        self.stream: StreamTransport

    # What Twisted calls

    def connectionMade(self) -> None:
        self.stream = cast(StreamTransport, self.transport)
        set_no_delay = getattr(self.transport, "setTcpNoDelay", None)
        if set_no_delay is not None:
            set_no_delay(True)
        # Over TLS what we write now can't go out before the handshake, and pausing would keep it from being read.
        if not INegotiated.providedBy(self.transport):
            self.stream.registerProducer(self, True)
        self.flush()

    def handshakeCompleted(self) -> None:
        if not self.lost:
            self.stream.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        session = self.session
        events = session.receive(data, self.clock.seconds())
        if events:
            self.events_received(events)
            while session.held and not self._closing:
                # A bind was answered; what followed it in the same read comes after the answer.
                events = session.receive(b"", self.clock.seconds())
                if not events:
                    break
                self.events_received(events)
        self.flush()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self.lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._slowed is not None:
            self._slowed.cancel()
            self._slowed = None
        self.session_lost(self.session.connection_lost(), reason.getErrorMessage())

    def pauseProducing(self) -> None:
        self._unread = True
        self.stream.pauseProducing()

    def resumeProducing(self) -> None:
        self._unread = False
        if not self.lost and self._slowed is None:
            self.stream.resumeProducing()

    def stopProducing(self) -> None:
        """The transport is going away; `connectionLost` does what is to be done."""

    # What services call

    def send(self, command_id: int, requests: Iterable[tuple[bytes, object]]) -> None:
        """Sends requests of ours; see `Session.request`."""
        self.session.request(command_id, requests, self.clock.seconds())
        self.flush()

    def respond(self, command_id: int, responses: Sequence[tuple[int, int, bytes]]) -> None:
        """Answers requests of the peer's; see `Session.respond`. A peer that has left is not answered."""
        if not self.lost:
            self.session.respond(command_id, responses)
            self.flush()

    def slow_down(self, seconds: float = SLOW_SECONDS) -> None:
        """Reads nothing from this peer for a moment. What it goes on sending waits in its own socket."""
        if self._slowed is None and not self.lost and not self._closing:
            self._slowed = self.clock.callLater(seconds, self._slow_no_more)
            self.stream.pauseProducing()

    def _slow_no_more(self) -> None:
        self._slowed = None
        if not self._unread:
            self.stream.resumeProducing()

    def unbind(self) -> None:
        """Ends the session politely; the connection closes when the peer has answered or its time is up."""
        self.session.unbind(self.clock.seconds())
        self.flush()

    def close(self) -> None:
        """Closes the connection once what has been written is out, in `CLOSE_SECONDS` at the latest.

        Harmless when repeated.
        """
        if not self.lost and not self._closing:
            self._closing = True
            # A producer that stays registered would keep loseConnection from ever finishing.
            self.stream.unregisterProducer()
            self.stream.loseConnection()
            # Nor would it finish with a peer that doesn't read; the timer has nothing else to do by now.
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.clock.callLater(CLOSE_SECONDS, self._close_overdue)

    def _close_overdue(self) -> None:
        self._timer = None
        self.abort()

    def abort(self) -> None:
        """Drops the connection at once."""
        if not self.lost:
            self.stream.abortConnection()

    def flush(self) -> None:
        """Writes what the session has to say, and sees to the timer. Called after every use of the session."""
        output = self.session.take_output()
        if output and not self.lost:
            if len(output) >= AT_ONCE_BYTES:
                write_at_once(self.stream, output)
            else:
                self.stream.write(output)
        deadline = self.session.deadline
        if deadline is None or self.lost or self._closing:
            return
        # The timer is moved only forward in time by its own firing: most deadlines are pushed back by each read, and
        # re-arming on every one of them would cost more than the reads.
        if self._timer is None:
            self._arm(deadline)
        elif deadline < self._timer_at:
            self._timer.cancel()
            self._arm(deadline)

    def _arm(self, deadline: float) -> None:
        self._timer_at = deadline
        self._timer = self.clock.callLater(max(0.0, deadline - self.clock.seconds()), self._time_passed)

    def _time_passed(self) -> None:
        self._timer = None
        events = self.session.check_time(self.clock.seconds())
        if events:
            self.events_received(events)
        self.flush()

    # Events, sorted into batches

    def events_received(self, events: list[Event]) -> None:
        """Acts on what one read, or the passing of time, meant.

        Binds and questions are handled one by one, in order. Then each batch is handed over: responses before
        messages, because a receipt may be in the same read as the response that names its id, and the table must
        have the id first. The end of the session comes last.
        """
        # Most reads bring one kind, and the list goes on as it is: 0.03 µs an event, where sorting takes 0.07.
        kinds = set(map(type, events))
        if kinds == {MessagePdu}:
            self.messages_received(events)  # type: ignore[arg-type]
        elif kinds == {Answered}:
            self.answers_received(events)  # type: ignore[arg-type]
        else:
            self._sort(events)

    def _sort(self, events: list[Event]) -> None:
        """Sorts events of several kinds into batches, and hands each batch over."""
        answers: list[Answered] = []
        messages: list[MessagePdu] = []
        late: list[LateAnswer] = []
        unanswered: list[object] = []
        ended: Ended | None = None
        closing = False
        for event in events:
            kind = type(event)
            if kind is MessagePdu:
                messages.append(event)  # type: ignore[arg-type]
            elif kind is Answered:
                answers.append(event)  # type: ignore[arg-type]
            elif isinstance(event, Unanswered):
                unanswered.append(event.token)
            elif isinstance(event, LateAnswer):
                late.append(event)
            elif isinstance(event, Ended):
                ended = event
            elif isinstance(event, PeerUnbound):
                ended = Ended(f"the {self.PEER} unbound")
            else:
                self.event_received(event)
                closing = closing or isinstance(event, BindRefused)
        if answers:
            self.answers_received(answers)
        if late:
            self.late_answers_received(late)
        if messages:
            self.messages_received(messages)
        if unanswered:
            self.requests_unanswered(unanswered)
        if ended is not None:
            self.session_ended(ended)
        if ended is not None or closing:
            self.flush()
            if ended is not None and ended.peer_gone:
                self.abort()
            else:
                self.close()

    # What sub-classes say

    def messages_received(self, pdus: list[MessagePdu]) -> None:
        """Acts on the messages of one read. Each must be answered with `respond`."""
        raise NotImplementedError

    def answers_received(self, answers: list[Answered]) -> None:
        """Acts on the responses to our requests that one read brought."""
        raise NotImplementedError

    def event_received(self, event: Event) -> None:
        """Acts on a bind, the answer to our bind, or a question. All other events come in batches."""
        raise NotImplementedError

    def late_answers_received(self, answers: list[LateAnswer]) -> None:
        """Acts on responses that came after their time was up. A sub-class that has no use for them does nothing."""

    def requests_unanswered(self, tokens: list[object]) -> None:
        """Acts on requests of ours whose time is up."""
        raise NotImplementedError

    def session_ended(self, ended: Ended) -> None:
        """Acts on the end of a session whose connection still stands; it is closed when this returns."""
        raise NotImplementedError

    def session_lost(self, unanswered: Sequence[object], reason: str) -> None:
        """The connection is gone, with these requests unanswered."""
        raise NotImplementedError
