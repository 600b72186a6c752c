"""One SMPP session, without its transport. Octets and the time go in; events and octets come out.

Theory of operation. A session has a role (SERVER: the peer binds to us; CLIENT: we bind) and a state. The caller calls
`receive` for every read, handles the events in order, and then writes `take_output()` once. It keeps one delayed call
for `deadline`, and calls `check_time` then. Nothing in the session waits. A read leads to one list of events and one
write, however many PDUs it has.

Every PDU goes through the loop in `receive_batches`. The loop finds the frames, and handles two kinds of PDU itself:
responses to our messages, and the message request that the peer sends (submit_sm to a server, deliver_sm to a client).
If several of a kind follow each other with the same length, they are read together (`relay.smpp.runs`). `_other`
handles all others. Read on in `relay.smpp.rules` (tables: which request may come when), `relay.smpp.lifecycle` (the
state and its deadlines), `relay.smpp.window` (our unanswered requests) and `relay.smpp.outgoing` (sending).
"""

from typing import Any, Final

from relay.smpp import other_codec
from relay.smpp.framing import FramingError
from relay.smpp.lifecycle import SessionLimits
from relay.smpp.message_codec import RESPONSE_ROWS, decode_damaged_receipt, decode_message, submit_body_from_data_sm
from relay.smpp.outgoing import OutgoingSession
from relay.smpp.rules import HEADER_OCTETS, Role, SessionState, header, refusal, refusal_status
from relay.smpp.runs import SHORTEST_RUN, decode_run, end_of_run
from relay.values import smpp_constants as c
from relay.values.pdus import (
    Accepted,
    Answered,
    BindPdu,
    BindRefused,
    Bound,
    CodecError,
    Event,
    SubmitMultiPdu,
)

__all__ = ["Role", "Session", "SessionLimits", "SessionState"]

_MESSAGES: Final = frozenset({c.SUBMIT_SM, c.DELIVER_SM, c.DATA_SM})


class Session(OutgoingSession):
    """One end of an SMPP session: makes events of the octets that are read, and octets of requests and answers.

    :param now: seconds of any clock that is never set back. All calls must use the same clock.
    :param first_sequence_number: the sequence number of our first request, for tests.

    :ivar held: whether the rest of the last read waits until the peer's bind is answered. Then call `receive` with b""
        to go on.
    :ivar throttled_requests: how many requests were answered ESME_RTHROTTLED, because too many were unanswered.
    :ivar refused_requests: how many requests were answered with another error, without an event.
    """

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Takes the octets of a read. Returns their events, in order of arrival, one for each PDU. Never raises."""
        batches: list[Event] = []
        self.receive_batches(data, now, batches, batches)
        events: list[Event] = []
        for event in batches:
            events += event.each() if isinstance(event, Accepted) else [event]
        return events

    def receive_batches(self, data: bytes, now: float, events: list[Event], messages: list[Any]) -> None:
        """Takes the octets of a read, and adds their events to two lists, in order of arrival. Never raises.

        :param messages: gets the usual message requests. So nobody has to sort hundreds of events by their kind.
        :param events: gets all other events, and may be the same list.

        The session itself answers enquire_link, requests in the wrong state (ESME_RINVBNDSTS), bodies that can't be
        decoded (with the status that says why), unknown commands (generic_nack ESME_RINVCMDID), and requests beyond
        `pending_requests`. They give no events. A response with an unknown sequence_number is counted in
        `unknown_responses` and dropped. After a framing error, the session sends a generic_nack and ends (`Ended`).
        Later octets are ignored.
        """
        life = self._life
        if life.over:
            return
        if life.bind_offered is not None:
            events += self._hold(data, 0)
            return
        self.held = False
        if self._remainder.octets:
            data = self._remainder.complete(data)
            if not data:
                return
        unpack_header = header.unpack_from
        waiting = self._window.waiting
        message_request = life.message_request
        message_response = self._message_response
        pending = self._pending
        max_octets = self._limits.max_pdu_bytes
        max_pending = self._limits.pending_requests
        end = len(data)
        at = 0
        #: Up to here, messages are read alone: they are no run.
        alone_to = 0
        quiet_octets = 0
        while end - at >= 16:
            length, command_id, status, sequence_number = unpack_header(data, at)
            next_at = at + length
            if next_at > end or length < 16 or length > max_octets:
                break
            if command_id == message_request:
                if at >= alone_to and end - at >= SHORTEST_RUN * length:
                    alone_to = end_of_run(data, at, length)
                    run_end = min(alone_to, at + (max_pending - pending) * length)
                    long_enough = run_end - at >= SHORTEST_RUN * length
                    run = decode_run(command_id, data, at, run_end, length) if long_enough else None
                    if run is not None:
                        messages += run
                        pending += len(run)
                        at = run_end
                        continue
                if pending >= max_pending:
                    self._throttle(command_id, sequence_number)
                else:
                    try:
                        messages.append(decode_message(command_id, sequence_number, data[at + 16 : next_at]))
                        pending += 1
                    except CodecError as e:
                        body = data[at + 16 : next_at]
                        if self._damaged(command_id, e.command_status, sequence_number, body, messages):
                            pending += 1
            elif command_id == message_response:
                if length in RESPONSE_ROWS and data.startswith(data[at : at + 8], next_at):
                    at = self._window.settle_row(data, at, length, events)
                    continue
                entry = waiting.pop(sequence_number, None)
                # Nearly always the body has only message_id and its NUL. To compare two octets is faster than a search.
                message_id = data[at + 16 : next_at if data[next_at - 1] else next_at - 1]
                if entry is None or 0 in message_id:
                    body = data[at + 16 : next_at]
                    self._window.settle_unusual(entry, command_id, status, sequence_number, body, events)
                else:
                    events.append(Answered(entry[0], command_id, status, message_id))
            else:
                if command_id == c.ENQUIRE_LINK_RESP:
                    quiet_octets += length
                self._pending = pending
                self._other(command_id, status, sequence_number, data[at + 16 : next_at], now, events)
                if life.over:
                    return
                pending = self._pending
                message_request = life.message_request
                if life.bind_offered is not None:
                    events.extend(self._hold(data, next_at))
                    end = next_at
            at = next_at
        self._pending = pending
        if at:
            liveness = life.liveness
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

    def _damaged(
        self, command_id: int, command_status: int, sequence_number: int, body: bytes, messages: list[Any]
    ) -> bool:
        """Handles a message whose body can't be decoded: refuses it, unless it is a receipt.

        A receipt is added to `messages` with what can be read (true), because the carrier would only send the same
        again.
        """
        if self._role is Role.CLIENT:
            pdu = decode_damaged_receipt(command_id, sequence_number, body)
            if pdu is not None:
                messages.append(pdu)
                return True
        self._refuse(command_id, command_status, sequence_number)
        return False

    def _hold(self, data: bytes, at: int) -> list[Event]:
        """Keeps the octets after the peer's bind until the bind is answered."""
        events: list[Event] = []
        if at < len(data):
            self.held = True
            self._remainder.hold(data, at)
            if self._remainder.octets > self._limits.max_pdu_bytes + len(data):
                self._end("the peer sent too much before its bind was answered", events)
        return events

    def _other(
        self, command_id: int, status: int, sequence_number: int, body: bytes, now: float, events: list[Event]
    ) -> None:
        """Handles all PDUs other than usual messages and their responses."""
        if command_id & c.RESPONSE_BIT:
            self._other_response(command_id, status, sequence_number, body, now, events)
            return
        life = self._life
        if not life.may_come(command_id):
            if command_id in _MESSAGES and life.may_come_early(command_id):
                # The carrier has sent it before its bind_resp, which will still come.
                self._message(command_id, sequence_number, body, self._early)
            else:
                self._refuse(command_id, refusal_status(self._role, life.state, command_id), sequence_number)
        elif command_id == c.ENQUIRE_LINK:
            self._output.append(header.pack(HEADER_OCTETS, c.ENQUIRE_LINK_RESP, c.ESME_ROK, sequence_number))
        elif life.peer_unbind is not None:
            self._refuse(command_id, c.ESME_RINVBNDSTS, sequence_number)
        elif command_id == c.UNBIND:
            if self._pending:
                # Earlier requests are answered before the unbind. If a peer unbinds right after its last submit_sm, it
                # still gets their ids.
                life.unbind_received(sequence_number, now)
                self._set_deadline()
            else:
                self._answer_unbind(sequence_number, events)
        elif command_id in _MESSAGES:
            self._message(command_id, sequence_number, body, events)
        else:
            self._hand_up(command_id, sequence_number, body, events)

    def _message(self, command_id: int, sequence_number: int, body: bytes, events: list[Event]) -> None:
        """Handles a message that isn't the role's usual one, or came early, as the loop handles the others."""
        if self._pending >= self._limits.pending_requests:
            self._throttle(command_id, sequence_number)
            return
        try:
            pdu = decode_message(command_id, sequence_number, body)
            if command_id == c.DATA_SM and self._role is Role.SERVER:
                # A customer's data_sm is sent on as a submit_sm. If that isn't possible, it is refused now.
                submit_body_from_data_sm(pdu)
        except CodecError as e:
            if self._damaged(command_id, e.command_status, sequence_number, body, events):
                self._pending += 1
            return
        events.append(pdu)
        self._pending += 1

    def _hand_up(self, command_id: int, sequence_number: int, body: bytes, events: list[Event]) -> None:
        if command_id == c.SUBMIT_MULTI and self._pending >= self._limits.pending_requests:
            self._throttle(command_id, sequence_number)
            return
        try:
            request = other_codec.decode_request(command_id, sequence_number, body)
        except CodecError as e:
            self._refuse(command_id, e.command_status, sequence_number)
            return
        if isinstance(request, SubmitMultiPdu):
            self._pending += 1
        elif isinstance(request, BindPdu):
            self._life.bind_offered = sequence_number
        events.append(request)

    def _other_response(
        self, command_id: int, status: int, sequence_number: int, body: bytes, now: float, events: list[Event]
    ) -> None:
        if command_id == c.ENQUIRE_LINK_RESP:
            return
        life = self._life
        nack = command_id == c.GENERIC_NACK
        bind = life.bind
        if bind is not None and sequence_number == bind[1] and (nack or command_id == bind[0] | c.RESPONSE_BIT):
            if status == c.ESME_ROK and not nack:
                life.become_bound(bind[0], now)
                self._set_deadline()
                events.append(Bound(*other_codec.decode_bind_resp(body)))
                events.extend(self._early)
            else:
                life.bind = None
                events.append(BindRefused(status or c.ESME_RBINDFAIL))
            self._early.clear()
        elif sequence_number == life.unbind and (nack or command_id == c.UNBIND_RESP):
            self._end("unbound", events)
        else:
            self._window.settle_other(command_id, status, sequence_number, body, events)
