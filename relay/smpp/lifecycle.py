"""Where one session stands, and what is due when: binds, unbinds and signs of life.

Theory of operation. `Session` tells this module what was sent and received; the tables in `relay.smpp.rules` say what
the state becomes. This module writes nothing: it answers what may come, what may be sent, and what is due at a given
reading of the clock. It keeps few plain attributes, because the session's receiving loop reads them.
"""

from typing import Final

import msgspec

from relay.smpp.liveness import Liveness
from relay.smpp.rules import (
    BOUND_STATES,
    EXPECTED,
    MESSAGE_REQUEST,
    SENDING_STATES,
    STATE_AFTER_BIND,
    Role,
    SessionState,
)

#: No command: what the receiving loop compares with while no message may come.
NO_COMMAND: Final = -1


class SessionLimits(msgspec.Struct, frozen=True):
    """The bounds of a session. All times are in seconds; 0 means never.

    :ivar window: how many requests of ours may be unanswered at once.
    :ivar pending_requests: how many requests of the peer we may have unanswered at once. Further requests are answered
        with ESME_RTHROTTLED and not handed up.
    :ivar response_timeout_seconds: a request of ours that is older is reported as `Unanswered`.
    :ivar enquire_link_seconds: we send enquire_link after this much silence. Two unanswered ones end the session.
    :ivar bind_timeout_seconds: how long a connection may stay unbound.
    :ivar inactivity_seconds: a server session ends after this much time with nothing but enquire_link_resp.
    """

    window: int = 100
    pending_requests: int = 1000
    max_pdu_bytes: int = 65536
    response_timeout_seconds: float = 60.0
    enquire_link_seconds: float = 30.0
    bind_timeout_seconds: float = 10.0
    inactivity_seconds: float = 0.0


class Lifecycle:
    """A session's state and its deadlines, without its messages.

    :ivar over: the state is UNBOUND or CLOSED. A plain bool: the set of enum members costs half a microsecond a read.
    :ivar may_send: our submit_sm (client) or deliver_sm (server) may go out.
    :ivar message_request: the message request that may come in this state; `NO_COMMAND` where none may.
    :ivar bind: command_id and sequence_number of our bind, until it is answered.
    :ivar bind_offered: sequence_number of the peer's bind, from the time it is handed up until it is answered.
    :ivar unbind: sequence_number of our unbind.
    :ivar peer_unbind: sequence_number of the peer's unbind, while its last requests are being answered.
    """

    __slots__ = (
        "_limits",
        "_probed_at",
        "_probed_by",
        "_since",
        "_unbind_by",
        "bind",
        "bind_offered",
        "liveness",
        "may_send",
        "message_request",
        "over",
        "peer_unbind",
        "role",
        "state",
        "unbind",
    )

    def __init__(self, role: Role, limits: SessionLimits, now: float) -> None:
        self.role = role
        self._limits = limits
        self.state = SessionState.OPEN
        self.over = False
        self.may_send = False
        self.message_request = NO_COMMAND
        self.bind: tuple[int, int] | None = None
        self.bind_offered: int | None = None
        self.unbind: int | None = None
        self.peer_unbind: int | None = None
        self._unbind_by: float | None = None
        self._probed_at = 0.0
        self._probed_by: float | None = None
        #: When the connection was made, or our bind was sent.
        self._since = now
        inactivity_seconds = limits.inactivity_seconds if role is Role.SERVER else 0.0
        self.liveness = Liveness(limits.enquire_link_seconds, inactivity_seconds, now)

    @property
    def bound(self) -> bool:
        """Whether the session is bound. It still is while an unbind waits for its answer."""
        return self.state in BOUND_STATES

    @property
    def probing(self) -> bool:
        """Whether a probe waits for a sign of life."""
        return self._probed_by is not None

    def may_come(self, command_id: int) -> bool:
        """Whether the peer may send this request now."""
        states = EXPECTED[self.role].get(command_id)
        return states is not None and self.state in states

    def may_come_early(self, command_id: int) -> bool:
        """Whether a request that may not come yet may come as soon as the peer has accepted our bind."""
        if self.bind is None:
            return False
        states = EXPECTED[self.role].get(command_id)
        return states is not None and STATE_AFTER_BIND[self.bind[0]] in states

    # What happened

    def bind_sent(self, command_id: int, sequence_number: int, now: float) -> None:
        """Our bind was sent: it must be answered in time."""
        self.bind = (command_id, sequence_number)
        self._since = now

    def become_bound(self, bind_command_id: int, now: float) -> None:
        """A bind was accepted: other requests may come now, and silence begins to count."""
        self.bind = None
        self.bind_offered = None
        state = self.state = STATE_AFTER_BIND[bind_command_id]
        self.may_send = state in SENDING_STATES[self.role]
        message_request = MESSAGE_REQUEST[self.role]
        self.message_request = message_request if self.may_come(message_request) else NO_COMMAND
        self.liveness.begin(now)

    def unbind_sent(self, sequence_number: int, now: float) -> None:
        """Our unbind was sent: nothing more is sent, and it must be answered in time."""
        self.unbind = sequence_number
        self._limit_unbind(now)

    def unbind_received(self, sequence_number: int, now: float) -> None:
        """The peer's unbind waits until the peer's last requests are answered, for a limited time."""
        self.peer_unbind = sequence_number
        self.message_request = NO_COMMAND
        self._limit_unbind(now)

    def _limit_unbind(self, now: float) -> None:
        self.may_send = False
        seconds = self._limits.response_timeout_seconds
        self._unbind_by = now + seconds if seconds > 0.0 else None

    def probed(self, now: float, seconds: float) -> None:
        """An enquire_link was sent that must be followed by any PDU within `seconds`."""
        self._probed_at = now
        self._probed_by = now + seconds
        self.liveness.enquired(now)

    def stop(self, state: SessionState) -> None:
        """The session is over."""
        self.state = state
        self.over = True
        self.may_send = False

    # What is due

    @property
    def next_at(self) -> float | None:
        """When something is due next, apart from our requests; None: nothing is timed."""
        if self.state is SessionState.OPEN:
            timeout_seconds = self._limits.bind_timeout_seconds
            return self._since + timeout_seconds if timeout_seconds > 0.0 else None
        if self.over:
            return None
        times = (self.liveness.enquire_at, self.liveness.idle_at, self._unbind_by, self._probed_by)
        return min((at for at in times if at is not None), default=None)

    def bind_overdue(self, now: float) -> bool:
        """Whether the session stayed unbound for too long."""
        timeout_seconds = self._limits.bind_timeout_seconds
        return self.state is SessionState.OPEN and 0.0 < timeout_seconds <= now - self._since

    def unbind_overdue(self, now: float) -> bool:
        """Whether an unbind waited for too long, ours or the peer's."""
        return self._unbind_by is not None and now >= self._unbind_by

    def inactive(self, now: float) -> bool:
        """Whether the peer lives, but asked for nothing for too long."""
        idle_at = self.liveness.idle_at
        return idle_at is not None and now >= idle_at

    def peer_gone(self, now: float) -> str:
        """Why the peer must be taken for gone; empty where it need not be."""
        liveness = self.liveness
        if self._probed_by is not None and now >= self._probed_by:
            seconds = self._probed_by - self._probed_at
            if liveness.unanswered and liveness.heard_at <= self._probed_at:
                return f"its place was needed, and enquire_link was not answered in {seconds:g} s"
            self._probed_by = None
        if self.enquire_due(now) and liveness.unanswered >= Liveness.ENQUIRIES:
            return f"{liveness.unanswered} enquire_link were not answered"
        return ""

    def enquire_due(self, now: float) -> bool:
        """Whether the peer was silent for so long that it must be asked."""
        enquire_at = self.liveness.enquire_at
        return enquire_at is not None and now >= enquire_at
