"""Peers for tests: an SMPP client that is fast enough to send ten thousand messages in a test."""

import re
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from relay.smpp.connection import SessionProtocol
from relay.smpp.session import Role, SessionLimits
from relay.values import smpp_constants as c
from relay.values.pdus import Accepted, Answered, BindPdu, BindRefused, Bound, Ended, Event, MessagePdu, PeerUnbound

_RECEIPT = re.compile(rb"id:(\S*) sub:\S* dlvrd:\S* submit date:(\S*) done date:(\S*) stat:(\S*) err:(\S*) text:", re.I)


class BindFailed(Exception):
    """A bind was refused; `command_status` says why."""

    def __init__(self, command_status: int) -> None:
        super().__init__(c.status_name(command_status))
        self.command_status = command_status


def submit_body(
    to: str, text: bytes = b"hello", *, source: str = "4477001", registered_delivery: int = 1, esm_class: int = 0
) -> bytes:
    """The body of a submit_sm. `text` stands there as it is, with data_coding 0."""
    return b"\0\x01\x01%b\0\x01\x01%b\0%c\0\0\0\0%c\0\0\0%c%b" % (
        source.encode(),
        to.encode(),
        esm_class,
        registered_delivery,
        len(text),
        text,
    )


class ReceiptSeen:
    """A delivery receipt as a customer reads it."""

    __slots__ = ("error", "message_id", "pdu", "stat")

    def __init__(self, pdu: MessagePdu) -> None:
        found = _RECEIPT.match(pdu.short_message)
        if found is None:
            raise AssertionError(f"a receipt without the Appendix B text: {pdu.short_message!r}")
        self.pdu = pdu
        self.message_id = found[1].decode()
        self.stat = found[4].decode()
        self.error = found[5].decode()


class FastEsme(SessionProtocol):
    """A customer's SMPP client. Connect it with `connect_esme`.

    Receipts are acknowledged as they come, with what `answer` gives for them; None leaves one unanswered.

    :ivar receipts: the receipts that were answered ESME_ROK.
    :ivar others: deliver_sm that are not receipts.
    :ivar all_read: how many deliver_sm came, whatever the answer.
    """

    def __init__(self, clock: object, window: int = 500, enquire_link_seconds: float = 30.0) -> None:
        limits = SessionLimits(
            window=window,
            pending_requests=20_000,
            response_timeout_seconds=60.0,
            enquire_link_seconds=enquire_link_seconds,
        )
        super().__init__(Role.CLIENT, limits, clock)  # type: ignore[arg-type]
        self.receipts: list[ReceiptSeen] = []
        self.others: list[MessagePdu] = []
        self.all_read = 0
        self.answer: Callable[[MessagePdu], int | None] = lambda pdu: c.ESME_ROK
        self.gone: Deferred[str] = Deferred()
        self.end_reason = ""
        self._bind: Deferred[Bound] | None = None
        self._to_send: deque[tuple[bytes, int]] = deque()
        self._answers: list[tuple[int, str] | None] = []
        self._unanswered = 0
        self._submitted: Deferred[list[tuple[int, str]]] | None = None
        self._queries: dict[object, Deferred[Answered]] = {}

    # What tests call

    def bind(
        self,
        system_id: str,
        password: str,
        command_id: int = c.BIND_TRANSCEIVER,
        interface_version: int = 0x34,
    ) -> Deferred[Bound]:
        """Binds. Fails with `BindFailed`."""
        self._bind = Deferred()
        self.session.bind(
            command_id, system_id, password, now=self.clock.seconds(), interface_version=interface_version
        )
        self.flush()
        return self._bind

    def submit(self, bodies: Iterable[bytes]) -> Deferred[list[tuple[int, str]]]:
        """Sends submit_sm, as fast as the window allows, and gives (command_status, message_id) for each in order.

        One batch at a time. Those that the connection's end left unanswered have the status -1.
        """
        assert self._submitted is None, "one batch at a time"
        self._to_send.extend((body, index) for index, body in enumerate(bodies))
        self._unanswered = len(self._to_send)
        self._answers = [None] * self._unanswered
        done = self._submitted = Deferred()
        self._fill_window()
        return done

    def ask(self, command_id: int, body: bytes) -> Deferred[Answered]:
        """Sends one request of any kind."""
        done: Deferred[Answered] = Deferred()
        token = object()
        self._queries[token] = done
        self.send(command_id, [(body, token)])
        return done

    async def leave(self) -> None:
        """Unbinds, and waits until the connection is closed."""
        if not self.lost:
            self.unbind()
            await self.gone

    # What the session calls

    def messages_received(self, pdus: list[MessagePdu]) -> None:
        self.events_received([], pdus)

    def events_received(self, events: list[Event], messages: Sequence[MessagePdu] = ()) -> None:
        responses: list[tuple[int, int, bytes]] = []
        closing = False
        for event in [*one_by_one(events), *messages]:
            if isinstance(event, Answered):
                self._answered(event)
            elif isinstance(event, MessagePdu):
                self.all_read += 1
                status = self.answer(event)
                if status is None:
                    continue
                responses.append((event.sequence_number, status, b"\0"))
                if status == c.ESME_ROK:
                    if event.esm_class & c.ESM_CLASS_TYPE_MASK:
                        self.receipts.append(ReceiptSeen(event))
                    else:
                        self.others.append(event)
            elif isinstance(event, Bound):
                assert self._bind is not None
                self._bind.callback(event)
                self._bind = None
            elif isinstance(event, BindRefused):
                if self._bind is not None:
                    self._bind.errback(BindFailed(event.command_status))
                    self._bind = None
                closing = True
            elif isinstance(event, Ended):
                self.end_reason = event.reason
                closing = True
            elif isinstance(event, PeerUnbound):
                closing = True
        if responses:
            self.respond(c.DELIVER_SM_RESP, responses)
        if closing:
            self.flush()
            self.close()
        else:
            self._fill_window()
        self._settle()

    def session_lost(self, unanswered: Sequence[object], reason: str) -> None:
        if self._bind is not None:
            bind, self._bind = self._bind, None
            bind.errback(Failure(ConnectionDone(f"connection lost while binding: {reason}")))
        self._to_send.clear()
        self._unanswered = 0
        self._settle()
        for question in self._queries.values():
            question.errback(ConnectionDone(reason))
        self._queries.clear()
        self.gone.callback(self.end_reason or reason)

    # Inside

    def _answered(self, event: Answered) -> None:
        token = event.token
        if type(token) is int:
            if self._answers[token] is None:
                self._unanswered -= 1
            self._answers[token] = (event.command_status, event.message_id.decode())
        else:
            self._queries.pop(token).callback(event)

    def _fill_window(self) -> None:
        to_send = self._to_send
        room = min(self.session.room, len(to_send))
        if room > 0:
            self.send(c.SUBMIT_SM, [to_send.popleft() for _ in range(room)])

    def _settle(self) -> None:
        if self._submitted is not None and not self._unanswered:
            done, self._submitted = self._submitted, None
            done.callback([answer or (-1, "") for answer in self._answers])


def connect_esme(reactor: Any, port: int, window: int = 500) -> Deferred[FastEsme]:
    """A `FastEsme` connected to a port on loopback, not bound yet."""
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    connecting: Deferred[FastEsme] = connectProtocol(endpoint, FastEsme(reactor, window))
    return connecting


def pdu(command_id: int, body: bytes = b"", *, sequence_number: int = 1, command_status: int = 0) -> bytes:
    """A PDU's octets."""
    return struct.pack(">IIII", 16 + len(body), command_id, command_status, sequence_number) + body


def bind_body(system_id: str, password: str) -> bytes:
    """The body of a bind request."""
    return b"%b\0%b\0\0\x34\0\0\0" % (system_id.encode(), password.encode())


def parse_header(octets: bytes) -> tuple[int, int, int, int]:
    """command_length, command_id, command_status and sequence_number of a PDU's octets."""
    length, command_id, status, sequence_number = struct.unpack(">IIII", octets[:16])
    return length, command_id, status, sequence_number


def one_by_one(events: Iterable[Event]) -> Iterator[Event]:
    """The events, with an `Answered` for each request of an `Accepted`."""
    for event in events:
        yield from event.each() if isinstance(event, Accepted) else (event,)


class ScriptedSession(SessionProtocol):
    """One relay's connection to a `ScriptedCarrier`."""

    def __init__(self, carrier: "ScriptedCarrier", clock: object) -> None:
        super().__init__(Role.SERVER, SessionLimits(), clock)  # type: ignore[arg-type]
        self._carrier = carrier

    def deliver(self, *bodies: bytes) -> None:
        """Sends deliver_sm, all in one write."""
        self.queue_deliver(*bodies)
        self.flush()

    def queue_deliver(self, *bodies: bytes) -> None:
        """Prepares deliver_sm for the next write."""
        self.session.request(c.DELIVER_SM, [(body, body) for body in bodies], self.clock.seconds())

    def queue_answer(self, request: MessagePdu, message_id: bytes, command_status: int = c.ESME_ROK) -> None:
        """Prepares a submit_sm_resp for the next write."""
        body = message_id + b"\0" if command_status == c.ESME_ROK else b""
        self.session.respond(c.SUBMIT_SM_RESP, [(request.sequence_number, command_status, body)])

    def connectionMade(self) -> None:
        self._carrier.open.add(self)
        super().connectionMade()

    def messages_received(self, pdus: list[MessagePdu]) -> None:
        self.events_received([], pdus)

    def events_received(self, events: list[Event], messages: Sequence[MessagePdu] = ()) -> None:
        carrier = self._carrier
        for event in [*one_by_one(events), *messages]:
            if isinstance(event, BindPdu):
                self.session.accept_bind(event, "scripted", self.clock.seconds())
                carrier.bound.append(self)
            elif isinstance(event, MessagePdu):
                carrier.submits.append(event)
                carrier.on_submit(self, event)
            elif isinstance(event, Answered):
                carrier.answers.append((event.token, event.command_status))  # type: ignore[arg-type]
            elif isinstance(event, Ended | PeerUnbound):
                self.flush()
                self.close()

    def session_lost(self, unanswered: Sequence[object], reason: str) -> None:
        self._carrier.open.discard(self)
        if self in self._carrier.bound:
            self._carrier.bound.remove(self)


class ScriptedCarrier(Factory):
    """A carrier that does what the test says, for orders of events that none could be asked for.

    :ivar on_submit: called for each submit_sm; what it queues on the session leaves in one write a read.
    :ivar submits: every submit_sm that came.
    :ivar answers: (the receipt's body, command_status) of every deliver_sm_resp.
    :ivar bound: the sessions that are bound, oldest first.
    """

    noisy = False

    def __init__(self, clock: object) -> None:
        self._clock = clock
        self.on_submit: Callable[[ScriptedSession, MessagePdu], None] = lambda session, pdu: None
        self.submits: list[MessagePdu] = []
        self.answers: list[tuple[bytes, int]] = []
        self.bound: list[ScriptedSession] = []
        self.open: set[ScriptedSession] = set()

    def buildProtocol(self, addr: object) -> ScriptedSession:
        return ScriptedSession(self, self._clock)


def receipt_body(
    message_id: str, stat: str = "DELIVRD", error: str = "000", *, esm_class: int = 0x04, tlvs: bytes = b""
) -> bytes:
    """The body of a deliver_sm that is a receipt in Appendix B's words."""
    text = (
        f"id:{message_id} sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:{stat} err:{error} text:"
    ).encode()
    return b"\0\x01\x01447700900001\0\x01\x01447700900000\0%c\0\0\0\0\0\0\0\0%c%b%b" % (
        esm_class,
        len(text),
        text,
        tlvs,
    )


def one_turn(clock: Any) -> None:
    """Lets one turn of the reactor pass: does what is due, and leaves what is scheduled by that for the next turn."""
    due = [call for call in clock.getDelayedCalls() if call.getTime() <= clock.seconds()]
    for call in due:
        clock.calls.remove(call)
    for call in due:
        call.called = 1
        call.func(*call.args, **call.kw)
