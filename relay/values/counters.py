"""The services' counters, as plain integers, for the metrics and the operator's page.

A service adds to them once for each batch. Counters begin at 0 when the process starts, and are never reset. A reader
who wants the count of a time compares two readings.
"""

from collections.abc import Iterable

from relay.values.histogram import QUICK_SECONDS, SLOW_SECONDS, Histogram
from relay.values.notifications import Attempt, Channel, Verdict


class ChannelCounters:
    """Counts the attempts to notify one account on one channel.

    :ivar attempts: one count for each `Verdict`. DELIVERED and GIVEN_UP end the notification; RETRY doesn't.
    """

    __slots__ = ("attempts",)

    def __init__(self) -> None:
        self.attempts = [0] * len(Verdict)


class AccountCounters:
    """Counts what one account has done since the start.

    :ivar accepted: messages that became durable, by interface.
    :ivar refused: messages that were refused, by SMPP command_status. Over HTTP, it is the status that SMPP would give.
    """

    __slots__ = ("accepted", "channels", "refused")

    def __init__(self) -> None:
        self.accepted: dict[str, int] = {"smpp": 0, "http": 0}
        self.refused: dict[int, int] = {}
        self.channels = {channel.value: ChannelCounters() for channel in Channel}

    def refuse(self, command_status: int, count: int = 1) -> None:
        """Counts messages that were refused."""
        self.refused[command_status] = self.refused.get(command_status, 0) + count


class Counters:
    """The counters of all accounts, and how long things took. The message flow owns it.

    :ivar accounts: by name. Only accounts of the configuration are counted, so that input can't add names.
    :ivar accept_seconds: from the moment when a batch of messages was read until it is durable and its answers leave.
    :ivar notification_seconds: by channel, from the moment when the relay learnt a state until the customer has the
        notification.
    :ivar webhook_seconds: how long a POST took, successful or not. The POST to the fallback URL is part of it.
    """

    __slots__ = ("accept_seconds", "accounts", "notification_seconds", "webhook_seconds")

    def __init__(self) -> None:
        self.accounts: dict[str, AccountCounters] = {}
        self.accept_seconds = Histogram(QUICK_SECONDS)
        self.notification_seconds = {channel.value: Histogram(SLOW_SECONDS) for channel in Channel}
        self.webhook_seconds = Histogram(QUICK_SECONDS)

    def account(self, name: str) -> AccountCounters:
        """The account's counters. They are made if there are none."""
        counters = self.accounts.get(name)
        if counters is None:
            counters = self.accounts[name] = AccountCounters()
        return counters

    def attempted(self, attempts: Iterable[Attempt]) -> None:
        """Counts attempts. They may be of several accounts and channels."""
        for attempt in attempts:
            n = attempt.notification
            self.account(n.account).channels[n.channel].attempts[attempt.verdict] += 1
            if attempt.verdict is Verdict.DELIVERED:
                self.notification_seconds[n.channel].observe(attempt.at - n.done_at)


class CarrierCounters:
    """Counts what happened at one carrier since the start.

    :ivar last_error: the last error, in words.
    :ivar without_id: parts that the carrier took without giving an id. No receipt can be matched to them.
    """

    __slots__ = (
        "bind_failures",
        "binds",
        "expired",
        "in_doubt",
        "last_error",
        "lost",
        "pauses",
        "refused",
        "response_seconds",
        "submitted",
        "taken",
        "throttled",
        "without_id",
    )

    def __init__(self) -> None:
        self.submitted = 0
        self.taken = 0
        self.without_id = 0
        self.refused = 0
        self.throttled = 0
        self.in_doubt = 0
        self.expired = 0
        self.binds = 0
        self.bind_failures = 0
        self.lost = 0
        self.pauses = 0
        self.last_error = ""
        self.response_seconds = Histogram(QUICK_SECONDS)
