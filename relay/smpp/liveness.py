"""Decides when to send enquire_link, and when the peer counts as gone.

Theory of operation. Every complete PDU shows that the peer is there. After `enquire_link_seconds` of silence, an
enquire_link is sent, and another one after the same time. After the same time once more, the session ends (sections
2.8, 7.2). If only enquire_link_resp come, the peer is inactive: it is there, but makes no requests.
"""


class Liveness:
    """Knows when one session's peer was last heard. All times are in seconds; 0 means never.

    :ivar heard_at: when the last complete PDU came.
    :ivar active_at: when the last PDU came that wasn't an enquire_link_resp.
    :ivar unanswered: how many enquire_link were sent since `heard_at`.
    """

    #: After so many unanswered enquire_link the session ends.
    ENQUIRIES = 2

    __slots__ = ("_enquire_link_seconds", "_enquired_at", "_inactivity_seconds", "active_at", "heard_at", "unanswered")

    def __init__(self, enquire_link_seconds: float, inactivity_seconds: float, now: float) -> None:
        self._enquire_link_seconds = enquire_link_seconds
        self._inactivity_seconds = inactivity_seconds
        self.begin(now)

    def begin(self, now: float) -> None:
        """Begins to count silence."""
        self.heard_at = self.active_at = self._enquired_at = now
        self.unanswered = 0

    def enquired(self, now: float) -> None:
        """Notes that an enquire_link is being sent."""
        self._enquired_at = now
        self.unanswered += 1

    @property
    def enquire_at(self) -> float | None:
        """When to send the next enquire_link, or, if `ENQUIRIES` are unanswered, when the peer counts as gone."""
        if self._enquire_link_seconds <= 0.0:
            return None
        return max(self.heard_at, self._enquired_at) + self._enquire_link_seconds

    @property
    def idle_at(self) -> float | None:
        """When the peer will have been inactive for too long."""
        return self.active_at + self._inactivity_seconds if self._inactivity_seconds > 0.0 else None
