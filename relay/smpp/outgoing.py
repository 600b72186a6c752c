"""The sending half of a session: our requests, our answers, binds, and timeouts.

Theory of operation. All output is appended to one list, which `take_output` joins. So each read or batch leads to one
write. `relay.smpp.session` adds the receiving half.
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
    """The part of a session that sends, and that checks timeouts. Use `Session`, which can receive, too."""

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
        #: How many message requests of the peer have given events and are not answered yet.
        self._pending = 0
        #: Messages that a carrier sent before it accepted our bind.
        self._early: list[Event] = []
        self.throttled_requests = 0
        self.refused_requests = 0
        self._deadline: float | None = None
        self._set_deadline()

    @property
    def state(self) -> SessionState:
        """The state of the session. While an unbind waits for its answer, the session is still bound."""
        return self._life.state

    @property
    def can_send(self) -> bool:
        """Whether requests of ours may be sent in this state: submit_sm for a client, deliver_sm for a server."""
        return self._life.may_send

    @property
    def room(self) -> int:
        """How many more requests the window can take; 0 if `can_send` is false."""
        return max(0, self._limits.window - self._window.count) if self._life.may_send else 0

    @property
    def outstanding(self) -> int:
        """How many requests of ours wait for a response."""
        return self._window.count

    @property
    def unknown_responses(self) -> int:
        """How many responses belonged to no request of ours, or had the wrong command for it."""
        return self._window.unknown_responses

    @property
    def heard_at(self) -> float:
        """When the peer's last complete PDU came."""
        return self._life.liveness.heard_at

    @property
    def unfinished(self) -> bytes:
        """The octets of a PDU whose rest has not come yet."""
        return self._remainder.kept

    def tokens(self) -> Sequence[object]:
        """The tokens of these requests."""
        return self._window.tokens()

    @property
    def deadline(self) -> float | None:
        """When to call `check_time` next; None: nothing is due. It takes almost no time, so read it after every call.

        It is never too late, but it may be too early. Every PDU moves a deadline to a later time, and this is taken
        into account only when `check_time` computes the deadline again.
        """
        return self._deadline

    # Sending

    def take_output(self) -> bytes:
        """Removes the output and returns it, so that the caller writes it now; b"": there is none."""
        output = self._output
        if not output:
            return b""
        data = b"".join(output)
        output.clear()
        return data

    def request(self, command_id: int, requests: Iterable[tuple[bytes, object]], now: float) -> None:
        """Sends requests: the body and token of each. There must be `room` for all.

        :raises ValueError: there isn't room for all. None was sent.
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
        """Answers requests: the sequence_number, command_status and body of each. Does nothing if the session is over.

        :param command_id: the command_id of the response.
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
                # `check_time` answers the unbind, because it can return the event.
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
        """Sends our bind, once. It leads to the event `Bound`, or to `BindRefused`, after which the caller closes.

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
        """Answers a `BindPdu` with ESME_ROK. The session is bound from now on. Does nothing if the session is over.

        :raises ValueError: `system_id` has more than 15 octets.
        """
        if isinstance(request, BindPdu) and self._life.state is SessionState.OPEN:
            body = other_codec.bind_resp_body(system_id, request.interface_version)
            self._life.become_bound(request.command_id, now)
            self._set_deadline()
            self.respond(request.command_id | c.RESPONSE_BIT, [(request.sequence_number, c.ESME_ROK, body)])

    def refuse_bind(self, request: Event, command_status: int) -> None:
        """Answers a `BindPdu` with another status. The session stays OPEN, and the caller should close it.

        PDUs that followed the bind in the same read are dropped.
        """
        if isinstance(request, BindPdu) and self._life.state is SessionState.OPEN:
            self._life.bind_offered = None
            self._remainder.clear()
            self.held = False
            self._output.append(refusal(request.command_id, command_status, request.sequence_number))

    def unbind(self, now: float) -> None:
        """Sends unbind. Its answer, or its timeout, ends the session.

        A second call, or a call while the session isn't bound, does nothing.
        """
        if self._life.bound and self._life.unbind is None:
            self._life.unbind_sent(self._send(c.UNBIND, b""), now)
            self._set_deadline()

    def probe(self, now: float, seconds: float) -> None:
        """Sends enquire_link at once. If nothing comes from the peer within `seconds`, the session ends (`Ended`).

        It does nothing while an earlier probe waits, or if the session isn't bound.
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
        """Does everything that is due: sends enquire_link, and returns timeouts and ends as events."""
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
        """Computes the deadline. Called when a timeout begins, and after `check_time`."""
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
        """Ends the session, because the transport has gone. Returns the tokens of unanswered requests, oldest first.

        Tokens that an `Ended` has named are not returned again.
        """
        return self._close()
