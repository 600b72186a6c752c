"""Limits how often something may happen: a token bucket. The caller passes the time."""


class TokenBucket:
    """Gives `rate` tokens a second, and saves up at most `burst` of them. A rate of 0 means no limit.

    :param now: seconds on any clock; the same clock must serve every call.
    """

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = max(1.0, burst)
        self._tokens = self.burst
        self._at = now

    def _refill(self, now: float) -> None:
        # A clock that was set back must not take tokens away.
        if now > self._at:
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now

    def take_up_to(self, count: int, now: float) -> int:
        """Takes as many of `count` tokens as the bucket has. Returns how many it took."""
        if self.rate <= 0.0:
            return count
        self._refill(now)
        # Rounding may leave a token a tiny bit short. Without the tolerance the caller would wait once more for it.
        taken = max(0, min(count, int(self._tokens + 1e-9)))
        self._tokens -= taken
        return taken

    def give_back(self, count: int) -> None:
        """Returns tokens that were taken and not used."""
        self._tokens = min(self.burst, self._tokens + count)

    def take(self, count: int, now: float) -> float:
        """Takes all `count` tokens, or none.

        If `count` is above the burst, they are taken when the bucket is full, and the bucket then owes the rest.

        :returns: 0.0 if they were taken; otherwise the seconds until the bucket has enough.
        """
        if self.rate <= 0.0:
            return 0.0
        self._refill(now)
        needed = min(float(count), self.burst)
        if self._tokens >= needed:
            self._tokens -= count
            return 0.0
        return (needed - self._tokens) / self.rate

    def seconds_until_one(self, now: float) -> float:
        """The seconds until the bucket has a token."""
        if self.rate <= 0.0:
            return 0.0
        self._refill(now)
        return max(0.0, (1.0 - self._tokens) / self.rate)

    def remaining(self, now: float) -> int:
        """How many whole tokens the bucket has."""
        self._refill(now)
        return max(0, int(self._tokens))
