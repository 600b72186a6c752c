"""How fast something may happen: a token bucket as a value that time is passed to."""


class TokenBucket:
    """`rate` tokens a second, at most `burst` of them saved up. A rate of 0 means no limit.

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
        """Takes as many of `count` tokens as there are, and says how many that was."""
        if self.rate <= 0.0:
            return count
        self._refill(now)
        # The tolerance keeps a token that is there but for rounding from costing another wait.
        taken = max(0, min(count, int(self._tokens + 1e-9)))
        self._tokens -= taken
        return taken

    def give_back(self, count: int) -> None:
        """Returns tokens that were taken and not used."""
        self._tokens = min(self.burst, self._tokens + count)

    def take(self, count: int, now: float) -> float:
        """Takes all `count` tokens and gives 0.0, or takes none and gives the seconds until they will be there.

        A count above the burst is let through when the bucket is full, and paid back by the time after it.
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
        """How long until a token is there."""
        if self.rate <= 0.0:
            return 0.0
        self._refill(now)
        return max(0.0, (1.0 - self._tokens) / self.rate)

    def remaining(self, now: float) -> int:
        """Whole tokens that are there."""
        self._refill(now)
        return max(0, int(self._tokens))
