"""Decides whether an account may send a message, and what the message costs.

Theory of operation: `Charging` has the terms of each account that has any; for the others it costs one look-up for each
batch. The flow makes a `Meter` for a batch, and asks it about each message that is otherwise fine. The meter begins
with what the store has counted, and counts the messages that it has admitted. The flow calls `accept` in the same turn
of the reactor, and the store counts then. So no two batches use the same rest of a quota.
"""

from collections.abc import Mapping, Sequence

from relay.charging.terms import Terms
from relay.config.model import Account
from relay.values.charge import COUNTED, AccountUse, Charge
from relay.values.messages import Refused
from relay.values.smpp_constants import ESME_RTHROTTLED


class Charging:
    """Knows the terms of the accounts, by the present configuration."""

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self._terms: dict[str, Terms] = {}
        self.replace(accounts)

    def replace(self, accounts: Mapping[str, Account]) -> None:
        """Applies a new configuration."""
        every = {name: Terms(account) for name, account in accounts.items()}
        self._terms = {name: terms for name, terms in every.items() if terms.any}

    def terms(self, account: str) -> Terms | None:
        """The account's terms; None: its messages are not counted and cost nothing."""
        return self._terms.get(account)

    def day(self, account: str, now: float) -> int:
        """The day on which messages of the account count now; 0: they are not counted."""
        terms = self._terms.get(account)
        return 0 if terms is None else terms.day(now)


class Meter:
    """Admits the messages of one batch, as far as the account's terms allow.

    :param use: what the store has counted for the account.
    """

    def __init__(self, terms: Terms, use: AccountUse, now: float) -> None:
        self._terms = terms
        self._now = now
        day = terms.day(now)
        self._on_day = use.on_day if use.day == day else 0
        self._in_month = use.in_month if use.day // 100 == day // 100 else 0

    def admit(self, addresses: bytes, parts: Sequence[bytes]) -> Charge | Refused:
        """The charge of the next message, or why it is refused. If it has a charge, the flow must accept it."""
        terms = self._terms
        if terms.monthly and self._in_month >= terms.monthly:
            return self._over(terms.monthly, "month", "monthly", terms.next_month(self._now).timestamp())
        if terms.daily and self._on_day >= terms.daily:
            return self._over(terms.daily, "day", "daily", terms.next_day(self._now).timestamp())
        self._on_day += 1
        self._in_month += 1
        return COUNTED

    def _over(self, limit: int, period: str, key: str, ends_at: float) -> Refused:
        seconds = ends_at - self._now
        hours, minutes = divmod(int(seconds + 59.0) // 60, 60)
        reason = (
            f"The account may send {limit} messages a {period} (quota.{key}), and has. The next {period} begins in "
            f"{hours} h {minutes} min ({self._terms.zone.key})."
        )
        # The same message is accepted later although nobody does anything, so the status is that of a rate.
        return Refused(ESME_RTHROTTLED, "", reason, seconds, "quota-exceeded")
