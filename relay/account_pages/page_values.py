"""The interfaces that My Account needs, and the values that its modules pass to each other."""

from typing import Protocol

import msgspec

from relay.account_pages.delivery_stats import DeliveryStatsView, Span


class Flash(msgspec.Struct, frozen=True):
    """A message that the next page shows once, about an action that was just done.

    :ivar good: whether the action succeeded.
    :ivar text: a sentence.
    :ivar facts: names and values that belong to it, such as the status and time of a test notification.
    :ivar body: a receiver's answer, unchanged.
    :ivar secret: a new secret. It is shown only here.
    """

    good: bool
    text: str
    facts: tuple[tuple[str, str], ...] = ()
    body: str = ""
    secret: str = ""


class TooManyAttempts(Exception):
    """There were too many attempts to log in. The next one must wait."""

    def __init__(self, wait_seconds: float) -> None:
        super().__init__(f"too many attempts; the next one in {wait_seconds:.0f} s")
        self.wait_seconds = wait_seconds


class AccountSuspended(Exception):
    """An operator has suspended the account."""


class Session(Protocol):
    """The session of one browser: `relay.account_pages.page_sessions.PageSession`."""

    account: str
    csrf: str
    flash: Flash | None


class Sessions(Protocol):
    """Logs customers in and out: `relay.account_pages.page_sessions.PageSessions`, which describes each method.

    Await `ready` before any other call.
    """

    session_seconds: float

    async def ready(self) -> None:
        """Returns when sessions can be found."""

    async def log_in(self, address: str, account: str, key: str) -> str | None:
        """Makes a session and returns its token; None: the key is wrong.

        :raises TooManyAttempts: the next attempt must wait.
        :raises AccountSuspended: the key is right, but the account is suspended.
        """

    def new_token(self) -> str:
        """Text that nobody can guess."""

    def find(self, token: str, *, use: bool = True) -> Session | None:
        """The session of a token."""

    async def log_out(self, token: str) -> None:
        """Ends a session."""


class StatsSource(Protocol):
    """Counts messages: `relay.account_pages.page_stats.PageStats`."""

    async def view(self, account: str, span: Span) -> DeliveryStatsView:
        """An account's counts over a span."""
