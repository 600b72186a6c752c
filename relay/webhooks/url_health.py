"""Counts how the attempts at each account's own notification URL end, and remembers since when it fails."""

from collections.abc import Callable

import msgspec


class UrlHealth(msgspec.Struct, frozen=True):
    """How the attempts at an account's own URL ended.

    :ivar counted_since: when the counting began, seconds since 1970: at the relay's start.
    :ivar delivered: notifications that arrived.
    :ivar failed: attempts that failed, counted for each notification.
    :ivar last_error: how the last failed attempt ended, as in `Attempt.answer`; "": none failed.
    :ivar failing_since: when the first of the failures was since the last success; None: the last attempt succeeded,
        or there was none.
    """

    counted_since: float
    delivered: int = 0
    failed: int = 0
    last_error: str = ""
    last_error_at: float = 0.0
    failing_since: float | None = None


class _Counts:
    __slots__ = ("delivered", "failed", "failing_since", "last_error", "last_error_at")

    def __init__(self) -> None:
        self.delivered = 0
        self.failed = 0
        self.last_error = ""
        self.last_error_at = 0.0
        self.failing_since: float | None = None


class UrlHealthBook:
    """Keeps the counts of all accounts. There are as many as accounts that were notified.

    :param clock: gives the time, in seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self._counts: dict[str, _Counts] = {}

    def succeeded(self, account: str, notifications: int) -> None:
        """Counts notifications that arrived."""
        counts = self._of(account)
        counts.delivered += notifications
        counts.failing_since = None

    def failed(self, account: str, notifications: int, error: str) -> None:
        """Counts notifications that did not arrive.

        :param error: how the attempt ended.
        """
        counts = self._of(account)
        now = self._clock()
        counts.failed += notifications
        counts.last_error, counts.last_error_at = error, now
        if counts.failing_since is None:
            counts.failing_since = now

    def url_changed(self, account: str) -> None:
        """Forgets the failures of the old URL. The counts go on."""
        counts = self._of(account)
        counts.failing_since, counts.last_error, counts.last_error_at = None, "", 0.0

    def health(self, account: str) -> UrlHealth:
        """The health of an account's own URL."""
        c = self._counts.get(account) or _Counts()
        return UrlHealth(self._since, c.delivered, c.failed, c.last_error, c.last_error_at, c.failing_since)

    def _of(self, account: str) -> _Counts:
        counts = self._counts.get(account)
        if counts is None:
            counts = self._counts[account] = _Counts()
        return counts
