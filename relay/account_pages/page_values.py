"""What the account page needs of the services, and the few values that pass between them."""

from typing import Protocol

import msgspec

from relay.account_pages.delivery_stats import DeliveryStatsView, Span


class Flash(msgspec.Struct, frozen=True):
    """What one page says once, of what was just done.

    :ivar good: whether it went well.
    :ivar text: a sentence.
    :ivar facts: names and values that belong to it: a test notification's status and time, for instance.
    :ivar body: what a receiver answered, as it came.
    :ivar secret: a new secret; it is never shown again.
    """

    good: bool
    text: str
    facts: tuple[tuple[str, str], ...] = ()
    body: str = ""
    secret: str = ""


class TooManyAttempts(Exception):
    """Someone must wait before trying to log in again."""

    def __init__(self, wait_seconds: float) -> None:
        super().__init__(f"too many attempts; the next one in {wait_seconds:.0f} s")
        self.wait_seconds = wait_seconds


class Session(Protocol):
    """One browser that is logged in: `relay.account_pages.page_sessions.PageSession`."""

    account: str
    csrf: str
    flash: Flash | None


class Sessions(Protocol):
    """Who knows the logins: `relay.account_pages.page_sessions.PageSessions`, where each of these is described."""

    session_seconds: float

    def log_in(self, address: str, account: str, key: str) -> str | None:
        """A new session's token where the key is the account's.

        :raises TooManyAttempts: whoever tries must wait.
        """

    def new_token(self) -> str:
        """Text that nobody can guess."""

    def find(self, token: str, *, use: bool = True) -> Session | None:
        """The session of a token."""

    def log_out(self, token: str) -> None:
        """Ends a session."""


class StatsSource(Protocol):
    """Who counts: `relay.account_pages.page_stats.PageStats`."""

    async def view(self, account: str, span: Span) -> DeliveryStatsView:
        """An account's counts over a span."""
