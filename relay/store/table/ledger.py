"""What accounts have used: how many messages on the present day and in its month, and their balances.

Theory of operation: the journal has a `Charged` record in the frame of the messages that it is about. So a message and
what it costs are durable together, or not at all. Compaction drops old records; before that it writes the totals of
each account (`AccountTotals`), which replace everything that was counted up to there.
"""

from collections.abc import Sequence

from relay.store.table.records import AccountTotals, Charged
from relay.values.charge import NOTHING_USED, AccountUse
from relay.values.messages import Message


class _Totals:
    """The totals of one account. The fields are those of `AccountUse`."""

    __slots__ = ("balances", "day", "in_month", "on_day")

    def __init__(self) -> None:
        self.day = 0
        self.on_day = 0
        self.in_month = 0
        self.balances: dict[str, int] = {}

    def add(self, amount: int, currency: str) -> None:
        """Changes the balance in a currency."""
        if amount:
            self.balances[currency] = self.balances.get(currency, 0) + amount


def charged(messages: Sequence[Message], day: int) -> Charged | None:
    """The record of the charges of messages, which are all of one account. None: they count for nothing.

    :param day: as in `AccountUse`.
    """
    charges = [m.charge for m in messages if m.charge is not None]
    if not charges:
        return None
    paid = [charge for charge in charges if charge.prepaid]
    currency = paid[0].currency if paid else ""
    return Charged(messages[0].account, day, len(charges), sum([charge.price for charge in paid]), currency)


class Ledger:
    """Counts what accounts use. An account of which nothing was counted takes no memory."""

    def __init__(self) -> None:
        self._totals: dict[str, _Totals] = {}

    def use(self, account: str) -> AccountUse:
        """What the account has used."""
        totals = self._totals.get(account)
        if totals is None:
            return NOTHING_USED
        return AccountUse(totals.day, totals.on_day, totals.in_month, dict(totals.balances))

    def _of(self, account: str) -> _Totals:
        totals = self._totals.get(account)
        if totals is None:
            totals = self._totals[account] = _Totals()
        return totals

    def charge(self, record: Charged) -> None:
        """Counts messages that were accepted. Replay calls it, too."""
        totals = self._of(record.account)
        if record.day != totals.day:
            # The day may also be an earlier one, because the system's clock was set back.
            if record.day // 100 != totals.day // 100:
                totals.in_month = 0
            totals.day, totals.on_day = record.day, 0
        totals.on_day += record.messages
        totals.in_month += record.messages
        totals.add(-record.amount, record.currency)

    def take_back(self, record: Charged) -> None:
        """Undoes `charge`, because the messages could not be made durable."""
        totals = self._of(record.account)
        totals.add(record.amount, record.currency)
        if record.day // 100 == totals.day // 100:
            totals.in_month -= record.messages
        if record.day == totals.day:
            totals.on_day -= record.messages

    def restore(self, record: AccountTotals) -> None:
        """Takes totals that compaction has written."""
        totals = self._of(record.account)
        totals.day, totals.on_day, totals.in_month = record.day, record.on_day, record.in_month
        totals.balances = dict(record.balances)

    def accounts(self) -> list[str]:
        """The accounts of which anything was counted."""
        return list(self._totals)

    def totals(self, accounts: Sequence[str]) -> list[AccountTotals]:
        """The present totals of these accounts, as records."""
        every = [(account, self._totals[account]) for account in accounts]
        return [AccountTotals(name, t.day, t.on_day, t.in_month, dict(t.balances)) for name, t in every]
