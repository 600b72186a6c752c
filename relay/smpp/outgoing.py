"""The half of a session that sends: our requests, our answers, binds, and what time makes due.

Theory of operation. Everything to be written is appended to one list, which `take_output` joins: one write a read or a
batch. `relay.smpp.session` adds the half that receives.
"""

from collections.abc import Iterable, Sequence

from relay.smpp import other_codec
from relay.smpp.framing import Remainder
from relay.smpp.lifecycle import Lifecycle, SessionLimits
from relay.smpp.rules import HEADER_OCTETS, MESSAGE_RESPONSE, Role, SessionState, header, refusal
from relay.smpp.window import Window
from relay.values import smpp_constants as c
from relay.values.pdus import COUNTED_RESPONSES, BindPdu, BindRefused, Ended, Event, PeerUnbound, Unanswered


class OutgoingSession:
    """What a session may send, what it waits for, and when. Use `Session`, which can receive, too."""

    def __init__(self, role: Role, limits: SessionLimits, now: float, *, first_sequence_number: int = 1) -> None:
        self._role = role
        self._limits = limits
        self._life = Lifecycle(role, limits, now)
        self._window = Window(limits.response_timeout_seconds, 4 * limits.window, first_sequence_number)
        self._output: list[bytes] = []
        self._remainder = Remainder(limits.max_pdu_bytes)
        self.held = False
        #: The response that answers the messages that we send.
        self._message_response = MESSAGE_RESPONSE[role]
        #: The peer's message requests that are handed up and not answered.
        self._pending = 0
        #: Messages that a carrier sent before it accepted our bind.
        self._early: list[Event] = []
        self.throttled_requests = 0
        self.refused_requests = 0
        self._deadline: float | None = None
        self._set_deadline()

    @property
    def state(self) -> SessionState:
        """Where the session stands. While unbind waits for its answer, it is still bound."""
        return self._life.state

    @property
    def can_send(self) -> bool:
        """Whether requests of ours may be sent in this state: submit_sm for a client, deliver_sm for a server."""
        return self._life.may_send

    @property
    def room(self) -> int:
        """How many requests the window still takes; 0 where `can_send` is false."""
        return max(0, self._limits.window - self._window.count) if self._life.may_send else 0

    @property
    def outstanding(self) -> int:
        """Requests of ours that wait for a response."""
        return self._window.count

    @property
    def unknown_responses(self) -> int:
        """How many responses answered nothing of ours, or were of another type than the request needs."""
        return self._window.unknown_responses

    @property
    def heard_at(self) -> float:
        """When the peer's last complete PDU came."""
        return self._life.liveness.heard_at

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
        if command_id | c.RESPONSE_BIT != self._message_response:
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
        if self._life.over:
            return
        write = self._output.append
        pack_header = header.pack
        for sequence_number, status, body in responses:
            write(pack_header(16 + len(body), command_id, status, sequence_number))
            write(body)
        if command_id in COUNTED_RESPONSES:
            self._pending = max(0, self._pending - len(responses))
            if self._life.peer_unbind is not None and not self._pending:
                # `check_time` answers the unbind, so that the event has a way out.
                self._deadline = 0.0

    def bind(
        self,
        command_id: int,
        system_id: str,
        password: str,
        *,
        system_type: str = "",
        interface_version: int = 0x34,
        addr_ton: int = 0,
        addr_npi: int = 0,
        address_range: str = "",
        now: float,
    ) -> None:
        """Sends our bind, once. The answer is `Bound` or `BindRefused`; after the latter the edge closes.

        :raises ValueError: system_id has more than 15 octets or another string more than 64, or a bind was sent.
        """
        if self._life.state is not SessionState.OPEN or self._life.bind is not None:
            raise ValueError("a session binds once")
        body = other_codec.bind_body(
            command_id,
            system_id,
            password,
            system_type=system_type,
            interface_version=interface_version,
            addr_ton=addr_ton,
            addr_npi=addr_npi,
            address_range=address_range,
        )
        self._life.bind_sent(command_id, self._send(command_id, body), now)
        self._set_deadline()

    def accept_bind(self, request: Event, system_id: str, now: float) -> None:
        """Answers a `BindPdu` with ESME_ROK; the session is bound from now on. Does nothing if it is over by now.

        :raises ValueError: `system_id` has more than 15 octets.
        """
        if isinstance(request, BindPdu) and self._life.state is SessionState.OPEN:
            body = other_codec.bind_resp_body(system_id, request.interface_version)
            self._life.become_bound(request.command_id, now)
            self._set_deadline()
            self.respond(request.command_id | c.RESPONSE_BIT, [(request.sequence_number, c.ESME_ROK, body)])

    def refuse_bind(self, request: Event, command_status: int) -> None:
        """Answers a `BindPdu` with a status. The session stays OPEN, and the edge should close it.

        What followed the bind in the same read is dropped.
        """
        if isinstance(request, BindPdu) and self._life.state is SessionState.OPEN:
            self._life.bind_offered = None
            self._remainder.clear()
            self.held = False
            self._output.append(refusal(request.command_id, command_status, request.sequence_number))

    def unbind(self, now: float) -> None:
        """Sends unbind; the answer (or its timeout) ends the session. Does nothing when repeated or not bound."""
        if self._life.bound and self._life.unbind is None:
            self._life.unbind_sent(self._send(c.UNBIND, b""), now)
            self._set_deadline()

    def probe(self, now: float, seconds: float) -> None:
        """Sends enquire_link at once. The session ends (`Ended`) if nothing comes from the peer within `seconds`.

        Does nothing while an earlier probe waits, or when the session isn't bound.
        """
        if self._life.bound and not self._life.probing:
            self._send(c.ENQUIRE_LINK, b"")
            self._life.probed(now, seconds)
            self._set_deadline()

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
        life = self._life
        if life.bind_overdue(now):
            if self._role is Role.CLIENT:
                self._close()
                events.append(BindRefused(c.ESME_RBINDFAIL))
            else:
                self._end(f"no bind within {self._limits.bind_timeout_seconds:g} s", events)
        elif life.bound:
            events.extend([Unanswered(token) for token in self._window.expire(now)])
            overdue = life.unbind_overdue(now)
            if life.peer_unbind is not None and (overdue or not self._pending):
                self._answer_unbind(life.peer_unbind, events)
            elif overdue:
                self._end("unbind was not answered", events)
            else:
                self._check_life(now, events)
        self._set_deadline()
        return events

    def _check_life(self, now: float, events: list[Event]) -> None:
        life = self._life
        if life.inactive(now):
            self._end(f"inactive for {self._limits.inactivity_seconds:g} s", events)
            return
        reason = life.peer_gone(now)
        if reason:
            self._end(reason, events, peer_gone=True)
        elif life.enquire_due(now):
            self._send(c.ENQUIRE_LINK, b"")
            life.liveness.enquired(now)

    def _set_deadline(self) -> None:
        """Works the deadline out. Called when something timed begins, and after the time was checked."""
        deadline = self._life.next_at
        if self._life.bound:
            due_at = self._window.due_at
            if due_at is not None and (deadline is None or due_at < deadline):
                deadline = due_at
        self._deadline = deadline

    def _answer_unbind(self, sequence_number: int, events: list[Event]) -> None:
        self._output.append(header.pack(HEADER_OCTETS, c.UNBIND_RESP, c.ESME_ROK, sequence_number))
        self._stop(SessionState.UNBOUND)
        events.append(PeerUnbound())

    def _end(self, reason: str, events: list[Event], *, peer_gone: bool = False) -> None:
        events.append(Ended(reason, tuple(self._close()), peer_gone))

    def _close(self) -> Sequence[object]:
        self._stop(SessionState.CLOSED)
        return self._window.clear()

    def _stop(self, state: SessionState) -> None:
        self._life.stop(state)
        self._deadline = None
        self._remainder.clear()
        self._early.clear()
        self.held = False

    def connection_lost(self) -> Sequence[object]:
        """The transport is gone: gives the tokens of all unanswered requests, oldest first; the state is CLOSED.

        Tokens that an `Ended` has named are not given again.
        """
        return self._close()
