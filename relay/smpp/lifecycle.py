"""The state of one session, and its deadlines: those of binds, of unbinds, and of enquire_link.

Theory of operation. `Session` tells this module what was sent and received. The tables in `relay.smpp.rules` say how
the state changes. This module writes nothing. It says which requests may come, which may be sent, and what is due at a
given time. It has a few plain attributes, because the session's receiving loop reads them.
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

#: No command has this number. The receiving loop compares with it while no message may come.
NO_COMMAND: Final = -1


class SessionLimits(msgspec.Struct, frozen=True):
    """The bounds of a session. All times are in seconds; 0 means never.

    :ivar window: how many requests of ours may be unanswered at once.
    :ivar pending_requests: how many requests of the peer may be unanswered at once. Further ones are answered with
        ESME_RTHROTTLED, and give no event.
    :ivar response_timeout_seconds: after so long without a response, a request of ours is reported as `Unanswered`.
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

    :ivar over: whether the state is UNBOUND or CLOSED. It is a bool, because to look for the state in a set of enum
        members takes half a microsecond for each read.
    :ivar may_send: whether our submit_sm (client) or deliver_sm (server) may be sent.
    :ivar message_request: the message request that may come in this state; `NO_COMMAND`: none may come.
    :ivar bind: the command_id and sequence_number of our bind, until it is answered.
    :ivar bind_offered: the sequence_number of the peer's bind, from its event until it is answered.
    :ivar unbind: the sequence_number of our unbind.
    :ivar peer_unbind: the sequence_number of the peer's unbind, while its last requests are being answered.
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
        """Whether the session is bound. It is still bound while an unbind waits for its answer."""
        return self.state in BOUND_STATES

    @property
    def probing(self) -> bool:
        """Whether a probe was sent, and no PDU has come since."""
        return self._probed_by is not None

    def may_come(self, command_id: int) -> bool:
        """Whether the peer may send this request now."""
        states = EXPECTED[self.role].get(command_id)
        return states is not None and self.state in states

    def may_come_early(self, command_id: int) -> bool:
        """Whether this request, which may not come yet, may come as soon as the peer has accepted our bind."""
        if self.bind is None:
            return False
        states = EXPECTED[self.role].get(command_id)
        return states is not None and STATE_AFTER_BIND[self.bind[0]] in states

    # Events

    def bind_sent(self, command_id: int, sequence_number: int, now: float) -> None:
        """Notes that our bind was sent. It must be answered in time."""
        self.bind = (command_id, sequence_number)
        self._since = now

    def become_bound(self, bind_command_id: int, now: float) -> None:
        """Notes that a bind was accepted. Other requests may come now, and silence begins to count."""
        self.bind = None
        self.bind_offered = None
        state = self.state = STATE_AFTER_BIND[bind_command_id]
        self.may_send = state in SENDING_STATES[self.role]
        message_request = MESSAGE_REQUEST[self.role]
        self.message_request = message_request if self.may_come(message_request) else NO_COMMAND
        self.liveness.begin(now)

    def unbind_sent(self, sequence_number: int, now: float) -> None:
        """Notes that our unbind was sent. It must be answered in time, and no more requests are sent."""
        self.unbind = sequence_number
        self._limit_unbind(now)

    def unbind_received(self, sequence_number: int, now: float) -> None:
        """Notes that the peer's unbind has come. It waits a while for the answers to the peer's last requests."""
        self.peer_unbind = sequence_number
        self.message_request = NO_COMMAND
        self._limit_unbind(now)

    def _limit_unbind(self, now: float) -> None:
        self.may_send = False
        seconds = self._limits.response_timeout_seconds
        self._unbind_by = now + seconds if seconds > 0.0 else None

    def probed(self, now: float, seconds: float) -> None:
        """Notes that an enquire_link was sent as a probe. Some PDU must come within `seconds`."""
        self._probed_at = now
        self._probed_by = now + seconds
        self.liveness.enquired(now)

    def stop(self, state: SessionState) -> None:
        """Notes that the session is over."""
        self.state = state
        self.over = True
        self.may_send = False

    # Deadlines

    @property
    def next_at(self) -> float | None:
        """The next deadline, apart from those of our requests; None: there is none."""
        if self.state is SessionState.OPEN:
            timeout_seconds = self._limits.bind_timeout_seconds
            return self._since + timeout_seconds if timeout_seconds > 0.0 else None
        if self.over:
            return None
        times = (self.liveness.enquire_at, self.liveness.idle_at, self._unbind_by, self._probed_by)
        return min((at for at in times if at is not None), default=None)

    def bind_overdue(self, now: float) -> bool:
        """Whether the session has been unbound for too long."""
        timeout_seconds = self._limits.bind_timeout_seconds
        return self.state is SessionState.OPEN and 0.0 < timeout_seconds <= now - self._since

    def unbind_overdue(self, now: float) -> bool:
        """Whether our unbind, or the peer's, has waited for too long."""
        return self._unbind_by is not None and now >= self._unbind_by

    def inactive(self, now: float) -> bool:
        """Whether the peer is alive, but has sent no requests for too long."""
        idle_at = self.liveness.idle_at
        return idle_at is not None and now >= idle_at

    def peer_gone(self, now: float) -> str:
        """Why the peer counts as gone; empty: it doesn't."""
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
        """Whether the peer has been silent for so long that an enquire_link must be sent."""
        enquire_at = self.liveness.enquire_at
        return enquire_at is not None and now >= enquire_at
