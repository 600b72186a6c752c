"""One SMPP session, without its transport: bytes and clock readings go in, events and bytes come out.

Theory of operation. A session has a role (SERVER: the peer binds to us; CLIENT: we bind) and a state. The edge calls
`receive` for every read, acts on the events in order, then writes `take_output()` once. It keeps one delayed call for
`deadline` and calls `check_time` then. Nothing here waits, and one read costs one list of events and one write,
however many PDUs it held.

`receive` is the loop that every PDU of the daemon goes through. It cuts the frames itself and deals with two kinds
of PDU on the spot: responses to our messages, and the message request that a peer of ours sends (submit_sm to a
server, deliver_sm to a client). Everything else takes `_other`. Which request may come when is in
`relay.smpp.rules`; which of our requests are unanswered, and since when, in `relay.smpp.window`.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from relay.smpp import other_codec
from relay.smpp.framing import FramingError, Remainder
from relay.smpp.liveness import Liveness
from relay.smpp.message_codec import (
    RESPONSE_ROWS,
    decode_damaged_receipt,
    decode_message,
    decode_message_id,
    submit_body_from_data_sm,
)
from relay.smpp.rules import (
    BOUND_STATES,
    EXPECTED,
    HEADER_OCTETS,
    SENDING_STATES,
    STATE_AFTER_BIND,
    Role,
    SessionState,
    header,
    refusal,
    refusal_status,
)
from relay.smpp.window import Window
from relay.values import smpp_constants as c
from relay.values.pdus import (
    MESSAGE_ID_RESPONSES,
    Answered,
    BindPdu,
    BindRefused,
    Bound,
    CodecError,
    Ended,
    Event,
    LateAnswer,
    PeerUnbound,
    Unanswered,
)

__all__ = ["Role", "Session", "SessionLimits", "SessionState"]

#: The request that makes up nearly all of what each role receives.
_MESSAGE_REQUEST: Final = {Role.SERVER: c.SUBMIT_SM, Role.CLIENT: c.DELIVER_SM}
#: No command: what `receive` compares with while no message may come.
_NO_COMMAND: Final = -1


class SessionLimits(msgspec.Struct, frozen=True):
    """The bounds of a session; all times in seconds, and a time of 0 means: never.

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
    :param first_sequence_number: of our requests; for tests.

    :ivar unknown_responses: responses that answered nothing of ours.
    :ivar throttled_requests: requests that were answered ESME_RTHROTTLED for want of room.
    :ivar refused_requests: requests that were answered with another error without being handed up.
    """

    def __init__(self, role: Role, limits: SessionLimits, now: float, *, first_sequence_number: int = 1) -> None:
        self._role = role
        self._limits = limits
        self._state = SessionState.OPEN
        self._expected = EXPECTED[role]
        #: Whether the session is UNBOUND or CLOSED, and whether our requests may go out: asked at every read and every
        #: batch, where a set of enum members would cost half a microsecond.
        self._over = False
        self._may_send = False
        #: The message request that may come in this state.
        self._message_request = _NO_COMMAND
        self._window = Window(limits.response_timeout_seconds, 4 * limits.window, first_sequence_number)
        self._output: list[bytes] = []
        self._remainder = Remainder(limits.max_pdu_bytes)
        #: The peer's message requests that are handed up and not answered.
        self._pending = 0
        #: Our bind: command and sequence number while it waits for its response.
        self._bind: tuple[int, int] | None = None
        #: The peer's bind that is handed up and not answered.
        self._bind_offered: int | None = None
        #: Our unbind's sequence number, and when we stop waiting for its response.
        self._unbind: int | None = None
        #: The peer's unbind's sequence number, while its last requests are being answered.
        self._peer_unbind: int | None = None
        self._unbind_by: float | None = None
        #: When the connection was made, or our bind sent.
        self._since = now
        inactivity_seconds = limits.inactivity_seconds if role is Role.SERVER else 0.0
        self._liveness = Liveness(limits.enquire_link_seconds, inactivity_seconds, now)
        self.unknown_responses = 0
        self.throttled_requests = 0
        self.refused_requests = 0
        self._deadline: float | None = None
        self._set_deadline()

    @property
    def state(self) -> SessionState:
        """Where the session stands. While unbind waits for its answer, it is still bound."""
        return self._state

    @property
    def can_send(self) -> bool:
        """Whether requests of ours may be sent in this state: submit_sm for a client, deliver_sm for a server."""
        return self._may_send

    @property
    def room(self) -> int:
        """How many requests the window still takes; 0 where `can_send` is false."""
        return max(0, self._limits.window - self._window.count) if self._may_send else 0

    @property
    def outstanding(self) -> int:
        """Requests of ours that wait for a response."""
        return self._window.count

    def tokens(self) -> Sequence[object]:
        """The tokens of these requests."""
        return self._window.tokens()

    @property
    def deadline(self) -> float | None:
        """When to call `check_time` next; None: nothing is timed. Cheap to ask after every call.

        Never later than the next thing to do, and sometimes earlier: what pushes a deadline back (every PDU does) is
        taken into account only when `check_time` works it out again.
        """
        return self._deadline

    # Receiving

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Takes what was read and gives what it means, in order of arrival. Never raises.

        Answered inside, without an event: enquire_link, requests in the wrong state (ESME_RINVBNDSTS), bodies that
        can't be decoded (their status), commands that are no command (generic_nack ESME_RINVCMDID), more than
        `pending_requests`. An unknown sequence number in a response is counted in `unknown_responses` and dropped.
        A framing error queues a generic_nack and ends the session (`Ended`); later bytes are ignored.
        """
        if self._over:
            return []
        if self._remainder.octets:
            data = self._remainder.complete(data)
            if not data:
                return []
        events: list[Event] = []
        unpack_header = header.unpack_from
        waiting = self._window.waiting
        message_request = self._message_request
        pending = self._pending
        max_octets = self._limits.max_pdu_bytes
        max_pending = self._limits.pending_requests
        end = len(data)
        at = 0
        quiet_octets = 0
        while end - at >= 16:
            length, command_id, status, sequence_number = unpack_header(data, at)
            next_at = at + length
            if next_at > end or length < 16 or length > max_octets:
                break
            if command_id == message_request:
                if pending >= max_pending:
                    self._throttle(command_id, sequence_number)
                else:
                    try:
                        events.append(decode_message(command_id, sequence_number, data[at + 16 : next_at]))
                        pending += 1
                    except CodecError as e:
                        body = data[at + 16 : next_at]
                        if self._damaged(command_id, e.command_status, sequence_number, body, events):
                            pending += 1
            elif command_id in MESSAGE_ID_RESPONSES:
                if length in RESPONSE_ROWS and data.startswith(data[at : at + 8], next_at):
                    at = self._responses(data, at, length, events)
                    continue
                entry = waiting.pop(sequence_number, None)
                # Nearly always the body is message_id and its NUL, which two looks tell faster than a search.
                message_id = data[at + 16 : next_at if data[next_at - 1] else next_at - 1]
                if entry is None or 0 in message_id:
                    self._unusual_response(entry, command_id, status, sequence_number, data[at + 16 : next_at], events)
                else:
                    events.append(Answered(entry[0], command_id, status, message_id))
            else:
                if command_id == c.ENQUIRE_LINK_RESP:
                    quiet_octets += length
                self._pending = pending
                self._other(command_id, status, sequence_number, data[at + 16 : next_at], now, events)
                if self._over:
                    return events
                pending = self._pending
                message_request = self._message_request
            at = next_at
        self._pending = pending
        if at:
            liveness = self._liveness
            liveness.heard_at = now
            liveness.unanswered = 0
            if at > quiet_octets:
                liveness.active_at = now
        if at < end:
            try:
                self._remainder.keep(data, at)
            except FramingError as e:
                self._output.append(refusal(c.GENERIC_NACK, e.command_status, e.sequence_number))
                self._end(str(e), events)
        return events

    def _damaged(
        self, command_id: int, command_status: int, sequence_number: int, body: bytes, events: list[Event]
    ) -> bool:
        """A message whose body can't be decoded: refused, but for receipts. These are handed up (true) as far as they
        can be read, for a carrier would only send the same again."""
        if self._role is Role.CLIENT:
            pdu = decode_damaged_receipt(command_id, sequence_number, body)
            if pdu is not None:
                events.append(pdu)
                return True
        self._refuse(command_id, command_status, sequence_number)
        return False

    def _responses(self, data: bytes, at: int, length: int, events: list[Event]) -> int:
        """What `receive` does with a response, for a row of them of one length and command; gives where the row ends.

        Responses come in rows, because the requests were sent in them; taken apart together they cost 0.3 µs each, and
        one by one 0.5.
        """
        pop = self._window.waiting.pop
        head = data[at : at + 8]
        command_id = int.from_bytes(head[4:], "big")
        whole = at + (len(data) - at) // length * length
        row = RESPONSE_ROWS[length].iter_unpack(memoryview(data)[at:whole])
        for same, status, sequence_number, message_id, last in row:
            if same != head:
                break
            entry = pop(sequence_number, None)
            if last:
                # A message_id without its NUL.
                message_id = data[at + 16 : at + length]
            if entry is None or 0 in message_id:
                self._unusual_response(entry, command_id, status, sequence_number, data[at + 16 : at + length], events)
            else:
                events.append(Answered(entry[0], command_id, status, message_id))
            at += length
        return at

    def _unusual_response(
        self,
        entry: tuple[object, float] | None,
        command_id: int,
        status: int,
        sequence_number: int,
        body: bytes,
        events: list[Event],
    ) -> None:
        """A response that comes late or answers nothing, or has more in it than a message_id."""
        message_id = decode_message_id(body)
        if entry is not None:
            events.append(Answered(entry[0], command_id, status, message_id, body))
            return
        late = self._window.late(sequence_number)
        if late is None:
            self.unknown_responses += 1
        else:
            events.append(LateAnswer(late[0], status, message_id))

    def _other(
        self, command_id: int, status: int, sequence_number: int, body: bytes, now: float, events: list[Event]
    ) -> None:
        """Every PDU but a message and its response."""
        if command_id & c.RESPONSE_BIT:
            self._other_response(command_id, status, sequence_number, body, now, events)
            return
        states = self._expected.get(command_id)
        if states is None or self._state not in states:
            self._refuse(command_id, refusal_status(self._role, self._state, command_id), sequence_number)
        elif command_id == c.ENQUIRE_LINK:
            self._output.append(header.pack(HEADER_OCTETS, c.ENQUIRE_LINK_RESP, c.ESME_ROK, sequence_number))
        elif self._peer_unbind is not None:
            self._refuse(command_id, c.ESME_RINVBNDSTS, sequence_number)
        elif command_id == c.UNBIND:
            if self._pending:
                # What came before the unbind is answered before it: a peer that unbinds right after its last
                # submit_sm wants to know their ids.
                self._peer_unbind = sequence_number
                self._message_request = _NO_COMMAND
                self._limit_unbind(now)
            else:
                self._answer_unbind(sequence_number, events)
        elif command_id in c.BIND_COMMANDS and self._bind_offered is not None:
            self._refuse(command_id, c.ESME_RALYBND, sequence_number)
        else:
            self._hand_up(command_id, sequence_number, body, events)

    def _hand_up(self, command_id: int, sequence_number: int, body: bytes, events: list[Event]) -> None:
        try:
            if command_id == c.DATA_SM:
                if self._pending >= self._limits.pending_requests:
                    self._throttle(command_id, sequence_number)
                    return
                try:
                    pdu = decode_message(command_id, sequence_number, body)
                except CodecError as e:
                    if self._damaged(command_id, e.command_status, sequence_number, body, events):
                        self._pending += 1
                    return
                if self._role is Role.SERVER:
                    # What a customer hands in goes on as a submit_sm; say now if it can't.
                    submit_body_from_data_sm(pdu)
                events.append(pdu)
                self._pending += 1
                return
            request = other_codec.decode_request(command_id, sequence_number, body)
        except CodecError as e:
            self._refuse(command_id, e.command_status, sequence_number)
            return
        if isinstance(request, BindPdu):
            self._bind_offered = sequence_number
        events.append(request)

    def _other_response(
        self, command_id: int, status: int, sequence_number: int, body: bytes, now: float, events: list[Event]
    ) -> None:
        if command_id == c.ENQUIRE_LINK_RESP:
            return
        nack = command_id == c.GENERIC_NACK
        bind = self._bind
        if bind is not None and sequence_number == bind[1] and (nack or command_id == bind[0] | c.RESPONSE_BIT):
            self._bind = None
            if status == c.ESME_ROK and not nack:
                self._become(STATE_AFTER_BIND[bind[0]], now)
                events.append(Bound(*other_codec.decode_bind_resp(body)))
            else:
                events.append(BindRefused(status or c.ESME_RBINDFAIL))
        elif sequence_number == self._unbind and (nack or command_id == c.UNBIND_RESP):
            self._end("unbound", events)
        elif (question := self._window.answer(sequence_number, command_id)) is not None:
            events.append(Answered(question[0], command_id, status, decode_message_id(body), body))
        elif nack:
            entry = self._window.waiting.pop(sequence_number, None)
            self._unusual_response(entry, command_id, status, sequence_number, body, events)
        else:
            # A bind_resp or query_sm_resp doesn't settle a message, whatever number it has.
            self.unknown_responses += 1

    # Sending

    def take_output(self) -> bytes:
        """What must be written now, once; b"" when there is nothing."""
        output = self._output
        if not output:
            return b""
        data = b"".join(output)
        output.clear()
        return data

    def request(self, command_id: int, requests: Iterable[tuple[bytes, object]], now: float) -> None:
        """Sends requests: (body, token) each. The caller keeps within `room`.

        :raises ValueError: more than `room`. Nothing of the batch was sent then.
        """
        batch = requests if isinstance(requests, (list, tuple)) else list(requests)
        if len(batch) > self.room:
            raise ValueError(f"{len(batch)} requests, but there is room for {self.room}")
        window = self._window
        waiting = window.waiting
        if command_id in c.QUESTION_COMMANDS:
            self._ask(command_id, batch, now)
            return
        if not waiting and window.response_timeout_seconds > 0.0:
            due_at = now + window.response_timeout_seconds
            if self._deadline is None or due_at < self._deadline:
                self._deadline = due_at
        write = self._output.append
        pack_header = header.pack
        for sequence_number, (body, token) in zip(window.numbers(len(batch)), batch, strict=True):
            waiting[sequence_number] = (token, now)
            write(pack_header(16 + len(body), command_id, 0, sequence_number))
            write(body)

    def _ask(self, command_id: int, batch: Sequence[tuple[bytes, object]], now: float) -> None:
        window = self._window
        for sequence_number, (body, token) in zip(window.numbers(len(batch)), batch, strict=True):
            window.asked[sequence_number] = (token, now, command_id | c.RESPONSE_BIT)
            self._output.append(header.pack(16 + len(body), command_id, 0, sequence_number) + body)
        self._set_deadline()

    def respond(self, command_id: int, responses: Sequence[tuple[int, int, bytes]]) -> None:
        """Answers requests: (sequence_number, command_status, body) each, with `command_id` being the response's.

        Does nothing once the session is over.
        """
        if self._over:
            return
        write = self._output.append
        pack_header = header.pack
        for sequence_number, status, body in responses:
            write(pack_header(16 + len(body), command_id, status, sequence_number))
            write(body)
        if command_id in MESSAGE_ID_RESPONSES:
            self._pending = max(0, self._pending - len(responses))
            if self._peer_unbind is not None and not self._pending:
                # `check_time` answers the unbind, so that the event has a way out.
                self._deadline = self._since

    def bind(
        self,
        command_id: int,
        system_id: str,
        password: str,
        *,
        system_type: str = "",
        interface_version: int = 0x34,
        address_range: str = "",
        now: float,
    ) -> None:
        """Sends our bind, once. The answer is `Bound` or `BindRefused`; after the latter the edge closes.

        :raises ValueError: system_id has more than 15 octets or another string more than 64, or a bind was sent.
        """
        if self._state is not SessionState.OPEN or self._bind is not None:
            raise ValueError("a session binds once")
        body = other_codec.bind_body(
            command_id,
            system_id,
            password,
            system_type=system_type,
            interface_version=interface_version,
            address_range=address_range,
        )
        self._bind = (command_id, self._send(command_id, body))
        self._since = now
        self._set_deadline()

    def accept_bind(self, request: Event, system_id: str, now: float) -> None:
        """Answers a `BindPdu` with ESME_ROK; the session is bound from now on. Does nothing if it is over by now.

        :raises ValueError: `system_id` has more than 15 octets.
        """
        if isinstance(request, BindPdu) and self._state is SessionState.OPEN:
            body = other_codec.bind_resp_body(system_id, request.interface_version)
            self._bind_offered = None
            self._become(STATE_AFTER_BIND[request.command_id], now)
            self.respond(request.command_id | c.RESPONSE_BIT, [(request.sequence_number, c.ESME_ROK, body)])

    def refuse_bind(self, request: Event, command_status: int) -> None:
        """Answers a `BindPdu` with a status; the session stays OPEN and the edge should close it."""
        if isinstance(request, BindPdu) and self._state is SessionState.OPEN:
            self._bind_offered = None
            self._output.append(refusal(request.command_id, command_status, request.sequence_number))

    def unbind(self, now: float) -> None:
        """Sends unbind; the answer (or its timeout) ends the session. Does nothing when repeated or not bound."""
        if self._state in BOUND_STATES and self._unbind is None:
            self._unbind = self._send(c.UNBIND, b"")
            self._limit_unbind(now)

    def _send(self, command_id: int, body: bytes) -> int:
        (sequence_number,) = self._window.numbers(1)
        self._output.append(header.pack(HEADER_OCTETS + len(body), command_id, 0, sequence_number) + body)
        return sequence_number

    def _refuse(self, command_id: int, command_status: int, sequence_number: int) -> None:
        self.refused_requests += 1
        self._output.append(refusal(command_id, command_status, sequence_number))

    def _throttle(self, command_id: int, sequence_number: int) -> None:
        self.throttled_requests += 1
        self._output.append(refusal(command_id, c.ESME_RTHROTTLED, sequence_number))

    # Time and ends

    def check_time(self, now: float) -> list[Event]:
        """Does what is due: enquire_link out, `Unanswered`, `BindRefused`, `PeerUnbound`, `Ended`."""
        events: list[Event] = []
        if self._state is SessionState.OPEN:
            self._check_bind(now, events)
        elif self._state in BOUND_STATES:
            events.extend([Unanswered(token) for token in self._window.expire(now)])
            overdue = self._unbind_by is not None and now >= self._unbind_by
            if self._peer_unbind is not None and (overdue or not self._pending):
                self._answer_unbind(self._peer_unbind, events)
            elif overdue:
                self._end("unbind was not answered", events)
            else:
                self._check_life(now, events)
        self._set_deadline()
        return events

    def _check_bind(self, now: float, events: list[Event]) -> None:
        timeout_seconds = self._limits.bind_timeout_seconds
        if timeout_seconds <= 0.0 or now < self._since + timeout_seconds:
            return
        if self._role is Role.CLIENT:
            self._close()
            events.append(BindRefused(c.ESME_RBINDFAIL))
        else:
            self._end(f"no bind within {timeout_seconds:g} s", events)

    def _check_life(self, now: float, events: list[Event]) -> None:
        liveness = self._liveness
        idle_at = liveness.idle_at
        if idle_at is not None and now >= idle_at:
            self._end(f"inactive for {self._limits.inactivity_seconds:g} s", events)
            return
        enquire_at = liveness.enquire_at
        if enquire_at is None or now < enquire_at:
            return
        if liveness.unanswered >= Liveness.ENQUIRIES:
            self._end(f"{liveness.unanswered} enquire_link were not answered", events)
            return
        self._send(c.ENQUIRE_LINK, b"")
        liveness.enquired(now)

    def _set_deadline(self) -> None:
        """Works the deadline out. Called when something timed begins, and after the time was checked."""
        if self._state is SessionState.OPEN:
            timeout_seconds = self._limits.bind_timeout_seconds
            self._deadline = self._since + timeout_seconds if timeout_seconds > 0.0 else None
        elif self._state in BOUND_STATES:
            times = (self._window.due_at, self._liveness.enquire_at, self._liveness.idle_at, self._unbind_by)
            self._deadline = min((at for at in times if at is not None), default=None)
        else:
            self._deadline = None

    def _become(self, state: SessionState, now: float) -> None:
        """Bound: what may come changes, and silence begins to count."""
        self._state = state
        message_request = _MESSAGE_REQUEST[self._role]
        self._may_send = state in SENDING_STATES[self._role]
        self._message_request = message_request if state in self._expected[message_request] else _NO_COMMAND
        self._liveness.begin(now)
        self._set_deadline()

    def _limit_unbind(self, now: float) -> None:
        self._may_send = False
        seconds = self._limits.response_timeout_seconds
        self._unbind_by = now + seconds if seconds > 0.0 else None
        self._set_deadline()

    def _answer_unbind(self, sequence_number: int, events: list[Event]) -> None:
        self._output.append(header.pack(HEADER_OCTETS, c.UNBIND_RESP, c.ESME_ROK, sequence_number))
        self._stop(SessionState.UNBOUND)
        events.append(PeerUnbound())

    def _end(self, reason: str, events: list[Event]) -> None:
        events.append(Ended(reason, tuple(self._close())))

    def _close(self) -> Sequence[object]:
        self._stop(SessionState.CLOSED)
        return self._window.clear()

    def _stop(self, state: SessionState) -> None:
        self._state = state
        self._over = True
        self._may_send = False
        self._deadline = None
        self._remainder.clear()

    def connection_lost(self) -> Sequence[object]:
        """The transport is gone: gives the tokens of all unanswered requests, oldest first; the state is CLOSED.

        Tokens that an `Ended` has named are not given again.
        """
        return self._close()
