"""The services' counters, as plain integers, for the metrics and the operator's page.

A service adds once a batch. Counters begin at 0 with the process and are never reset: readers take differences.
"""

from collections.abc import Iterable

from relay.values.histogram import QUICK_SECONDS, SLOW_SECONDS, Histogram
from relay.values.messages import Attempt, Channel, Verdict


class ChannelCounters:
    """Attempts to notify one account, on one channel.

    :ivar attempts: by `Verdict`. DELIVERED and GIVEN_UP end the notification; RETRY doesn't.
    """

    __slots__ = ("attempts",)

    def __init__(self) -> None:
        self.attempts = [0] * len(Verdict)


class AccountCounters:
    """Counts of one account since the start.

    :ivar accepted: messages that became durable, by interface.
    :ivar refused: messages that were refused, by SMPP command_status (for HTTP: the status that SMPP would give).
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
    """All counts by account. The flow owns it; accounts come from the configuration, never from input.

    :ivar accept_seconds: time from a batch of messages being read to its being durable, when its answers leave.
    :ivar notification_seconds: by channel, time from the relay learning a state to the customer being notified.
    :ivar webhook_seconds: how long one POST took, successful or not, with the POST to the fallback URL if there was
        one.
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
        """Counts attempts, of any accounts and channels."""
        for attempt in attempts:
            n = attempt.notification
            self.account(n.account).channels[n.channel].attempts[attempt.verdict] += 1
            if attempt.verdict is Verdict.DELIVERED:
                self.notification_seconds[n.channel].observe(attempt.at - n.done_at)


class CarrierCounters:
    """Counts of one carrier since the start.

    :ivar last_error: the last error, in words.
    :ivar without_id: of those taken, the parts that the carrier gave no id, so that no receipt can be matched to them.
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
