"""Whether the peer is still there: when to ask it with enquire_link, and when to stop waiting.

Theory of operation. Every complete PDU is a sign of life, so nothing is asked of a busy peer. After
`enquire_link_seconds` of silence we ask, and again after as many more; a third silence ends the session (sections
2.8, 7.2). Silence that enquire_link_resp alone breaks is inactivity: the peer lives, but wants nothing.
"""


class Liveness:
    """One session's signs of life. All times in seconds; 0 means: never.

    :ivar heard_at: when the last complete PDU came.
    :ivar active_at: when the last one came that wasn't an enquire_link_resp.
    :ivar unanswered: enquire_links since `heard_at`.
    """

    #: Unanswered enquire_links that end a session.
    ENQUIRIES = 2

    __slots__ = ("_enquire_link_seconds", "_enquired_at", "_inactivity_seconds", "active_at", "heard_at", "unanswered")

    def __init__(self, enquire_link_seconds: float, inactivity_seconds: float, now: float) -> None:
        self._enquire_link_seconds = enquire_link_seconds
        self._inactivity_seconds = inactivity_seconds
        self.begin(now)

    def begin(self, now: float) -> None:
        """Silence counts from now."""
        self.heard_at = self.active_at = self._enquired_at = now
        self.unanswered = 0

    def enquired(self, now: float) -> None:
        """An enquire_link is being sent."""
        self._enquired_at = now
        self.unanswered += 1

    @property
    def enquire_at(self) -> float | None:
        """When to ask next, or to give up if `ENQUIRIES` are unanswered by then."""
        if self._enquire_link_seconds <= 0.0:
            return None
        return max(self.heard_at, self._enquired_at) + self._enquire_link_seconds

    @property
    def idle_at(self) -> float | None:
        """When the peer has been inactive for too long."""
        return self.active_at + self._inactivity_seconds if self._inactivity_seconds > 0.0 else None
