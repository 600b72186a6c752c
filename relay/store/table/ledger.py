"""What accounts have used: how many messages on the present day and in its month, and their balances.

Theory of operation: the journal has a `Charged` record in the frame of the messages that it is about. So a message and
what it costs are durable together, or not at all. Compaction drops old records; before that it writes the totals of
each account (`AccountTotals`), which replace everything that was counted up to there.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from relay.store.table.records import AccountTotals, Charged, Refunded
from relay.values.charge import NOTHING_USED, AccountUse, Charge, ToppedUp, TopUp
from relay.values.messages import Message

#: The latest top-ups of an account that are kept, to be shown and to recognize repeats. A top-up takes some 300 octets.
TOP_UPS_KEPT: Final = 500


class _Totals:
    """The totals of one account. The fields are those of `AccountUse`.

    :ivar top_ups: by key, the oldest first.
    """

    __slots__ = ("balances", "day", "in_month", "on_day", "top_ups")

    def __init__(self) -> None:
        self.day = 0
        self.on_day = 0
        self.in_month = 0
        self.balances: dict[str, int] = {}
        self.top_ups: OrderedDict[str, TopUp] = OrderedDict()

    def add(self, amount: int, currency: str) -> None:
        """Changes the balance in a currency."""
        if amount:
            self.balances[currency] = self.balances.get(currency, 0) + amount

    def keep(self, top_up: TopUp) -> None:
        """Keeps a top-up, and forgets the oldest one over the bound."""
        self.top_ups[top_up.key] = top_up
        if len(self.top_ups) > TOP_UPS_KEPT:
            self.top_ups.popitem(last=False)


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

    def refund(self, record: Refunded) -> None:
        """Puts the price of a message back. Replay calls it, too, once for each message."""
        self._of(record.account).add(record.amount, record.currency)

    def take_back_refund(self, account: str, charge: Charge) -> None:
        """Undoes a refund, because its message could not be made durable."""
        if charge.prepaid:
            self._of(account).add(-charge.price, charge.currency)

    def top_up(self, top_up: TopUp) -> ToppedUp:
        """Adds to a balance, unless a top-up with this key is known. Replay calls it, too."""
        totals = self._of(top_up.account)
        earlier = totals.top_ups.get(top_up.key)
        if earlier is None:
            totals.add(top_up.amount, top_up.currency)
            totals.keep(top_up)
        return ToppedUp(totals.balances.get((earlier or top_up).currency, 0), earlier)

    def take_back_top_up(self, top_up: TopUp) -> None:
        """Undoes a `top_up` that counted, because it could not be made durable."""
        totals = self._of(top_up.account)
        if totals.top_ups.pop(top_up.key, None) is not None:
            totals.add(-top_up.amount, top_up.currency)

    def top_ups(self, account: str) -> list[TopUp]:
        """The latest top-ups of the account, newest first."""
        totals = self._totals.get(account)
        return [] if totals is None else list(reversed(totals.top_ups.values()))

    def restore(self, record: AccountTotals) -> None:
        """Takes totals that compaction has written."""
        totals = self._of(record.account)
        totals.day, totals.on_day, totals.in_month = record.day, record.on_day, record.in_month
        totals.balances = dict(record.balances)
        totals.top_ups = OrderedDict((top_up.key, top_up) for top_up in record.top_ups)

    def accounts(self) -> list[str]:
        """The accounts of which anything was counted."""
        return list(self._totals)

    def totals(self, accounts: Sequence[str]) -> list[AccountTotals]:
        """The present totals of these accounts, as records."""
        every = [(account, self._totals[account]) for account in accounts]
        return [
            AccountTotals(name, t.day, t.on_day, t.in_month, dict(t.balances), tuple(t.top_ups.values()))
            for name, t in every
        ]
