"""The base of the SMPP server's and client's protocols: it connects one `Session` with one transport.

Each read gives its octets to the session. The session's events go to `events_received` in one list, and its output goes
out in one write. Each connection has one delayed call, for all timeouts of the session.
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
    Accepted,
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
#: Output of at least this length is sent at once. Shorter output is sent in the reactor's next turn, together with all
#: other output of this turn. So messages that come one by one over HTTP go to the carrier together.
AT_ONCE_BYTES: Final = 1024
#: How long nothing is read from a peer that goes on sending although it was told to wait.
SLOW_SECONDS: Final = 0.05


class StreamTransport(Protocol):
    """The methods of a TCP or TLS transport that are used."""

    def write(self, data: bytes) -> object: ...
    def registerProducer(self, producer: Any, streaming: bool) -> object: ...
    def unregisterProducer(self) -> object: ...
    def pauseProducing(self) -> object: ...
    def resumeProducing(self) -> object: ...
    def loseConnection(self) -> object: ...
    def abortConnection(self) -> object: ...


@implementer(IPushProducer, IHandshakeListener)
class SessionProtocol(protocol.Protocol):
    """A `Session` with a transport and a timer. Subclasses handle its events.

    It is also the transport's producer. If the peer doesn't read, it stops to read from the peer. So the peer makes no
    more requests, and the output that waits for it doesn't grow.
    """

    #: The word for the other end, for the log.
    PEER = "peer"

    def __init__(self, role: Role, limits: SessionLimits, clock: IReactorTime) -> None:
        self.clock = clock
        self.session = Session(role, limits, clock.seconds())
        self._timer: IDelayedCall | None = None
        self._timer_at = 0.0
        self.lost = False
        self._closing = False
        #: Whether nothing is read, because the peer doesn't read, or goes on sending although it was told to wait.
        self._unread = False
        self._slowed: IDelayedCall | None = None
        self.stream: StreamTransport

    # Called by Twisted

    def connectionMade(self) -> None:
        self.stream = cast(StreamTransport, self.transport)
        set_no_delay = getattr(self.transport, "setTcpNoDelay", None)
        if set_no_delay is not None:
            set_no_delay(True)
        # With TLS, output can't be sent before the handshake. If reading were paused because of it, the handshake could
        # not go on.
        if not INegotiated.providedBy(self.transport):
            self.stream.registerProducer(self, True)
        self.flush()

    def handshakeCompleted(self) -> None:
        if not self.lost:
            self.stream.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        session = self.session
        events: list[Event] = []
        messages: list[MessagePdu] = []
        session.receive_batches(data, self.clock.seconds(), events, messages)
        if events:
            self.events_received(events, messages)
            while session.held and not self._closing:
                # A bind was answered. Now the PDUs that followed it in the same read are handled.
                events, messages = [], []
                session.receive_batches(b"", self.clock.seconds(), events, messages)
                if not events and not messages:
                    break
                self.events_received(events, messages)
        elif messages:
            self.messages_received(messages)
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
        """Does nothing: the transport is closing, and `connectionLost` will do the work."""

    # Called by services

    def send(self, command_id: int, requests: Iterable[tuple[bytes, object]]) -> None:
        """Sends requests, see `Session.request`."""
        self.session.request(command_id, requests, self.clock.seconds())
        self.flush()

    def respond(self, command_id: int, responses: Sequence[tuple[int, int, bytes]]) -> None:
        """Answers requests of the peer, see `Session.respond`. Does nothing if the peer has gone."""
        if not self.lost:
            self.session.respond(command_id, responses)
            self.flush()

    def slow_down(self, seconds: float = SLOW_SECONDS) -> None:
        """Reads nothing from this peer for a moment. The data that it sends waits in its own socket."""
        if self._slowed is None and not self.lost and not self._closing:
            self._slowed = self.clock.callLater(seconds, self._slow_no_more)
            self.stream.pauseProducing()

    def _slow_no_more(self) -> None:
        self._slowed = None
        if not self._unread:
            self.stream.resumeProducing()

    def unbind(self) -> None:
        """Ends the session with an unbind. The connection closes when the peer has answered, or its time is over."""
        self.session.unbind(self.clock.seconds())
        self.flush()

    def close(self) -> None:
        """Closes the connection when all output has been sent, in `CLOSE_SECONDS` at the latest.

        A second call does nothing.
        """
        if not self.lost and not self._closing:
            self._closing = True
            # loseConnection never finishes while a producer is registered.
            self.stream.unregisterProducer()
            self.stream.loseConnection()
            # Nor does it finish if the peer doesn't read. The timer is free now, and closes the connection.
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
        """Writes the session's output, and sets the timer. It must be called after every use of the session."""
        output = self.session.take_output()
        if output and not self.lost:
            if len(output) >= AT_ONCE_BYTES:
                write_at_once(self.stream, output)
            else:
                self.stream.write(output)
        deadline = self.session.deadline
        if deadline is None or self.lost or self._closing:
            return
        # The timer isn't set again if the deadline has moved later. Each read moves most deadlines, and it would take
        # longer than the read to set the timer. When the timer fires too early, it is set again.
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

    def events_received(self, events: list[Event], messages: Sequence[MessagePdu] = ()) -> None:
        """Handles the events of one read, or of a timer, and the messages of the read that are not among the events.

        Binds and queries are handled one by one, in order. Then the batches are handled: responses before messages.
        A receipt may be in the same read as the response that has its id, and the table must have the id first. The end
        of the session is handled last.
        """
        accepted: list[Accepted] = []
        answers: list[Answered] = []
        others: list[MessagePdu] = []
        late: list[LateAnswer] = []
        unanswered: list[object] = []
        ended: Ended | None = None
        closing = False
        for event in events:
            kind = type(event)
            if kind is Accepted:
                accepted.append(event)  # type: ignore[arg-type]
            elif kind is MessagePdu:
                others.append(event)  # type: ignore[arg-type]
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
        for batch in accepted:
            self.requests_accepted(batch)
        if answers:
            self.answers_received(answers)
        if late:
            self.late_answers_received(late)
        if messages or others:
            self.messages_received([*others, *messages] if others else list(messages))
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

    # Implemented by subclasses

    def messages_received(self, pdus: list[MessagePdu]) -> None:
        """Handles the messages of one read. Each must be answered with `respond`."""
        raise NotImplementedError

    def answers_received(self, answers: list[Answered]) -> None:
        """Handles the responses of one read to our requests."""
        raise NotImplementedError

    def requests_accepted(self, accepted: Accepted) -> None:
        """Handles responses that all say ESME_ROK. By default, as `answers_received` handles others."""
        self.answers_received(accepted.each())

    def event_received(self, event: Event) -> None:
        """Handles a bind, the answer to our bind, or a query. All other events come in batches."""
        raise NotImplementedError

    def late_answers_received(self, answers: list[LateAnswer]) -> None:
        """Handles responses that came after the response timeout. Subclasses may do nothing."""

    def requests_unanswered(self, tokens: list[object]) -> None:
        """Handles our requests that got no response in time."""
        raise NotImplementedError

    def session_ended(self, ended: Ended) -> None:
        """Handles the end of a session whose connection is still open. It is closed when this returns."""
        raise NotImplementedError

    def session_lost(self, unanswered: Sequence[object], reason: str) -> None:
        """Handles the end of the connection.

        :param unanswered: the tokens of our requests that got no response.
        """
        raise NotImplementedError
