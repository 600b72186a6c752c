"""What the configuration says about one account's quota and prices, and when its days begin."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from relay.config.account_config import Account, PriceTable
from relay.config.prefix_table import PrefixTable
from relay.config.time_zones import time_zone
from relay.values.amounts import amount_of
from relay.values.charge import COUNTED, Charge
from relay.values.states import DELETED, EXPIRED, REJECTED, UNDELIVERABLE, UNKNOWN

_NO_DAY: Final = (0.0, 0.0, 0)
_STATES: Final = {
    "EXPIRED": EXPIRED,
    "DELETED": DELETED,
    "UNDELIV": UNDELIVERABLE,
    "UNKNOWN": UNKNOWN,
    "REJECTD": REJECTED,
}
#: So many different charges are remembered for an account, because messages share them.
_KEPT_CHARGES: Final = 10_000


class Prices:
    """The prices of one SMS, by the beginning of the number. It never changes; accounts share it.

    :ivar currency: its three letters.
    :raises ValueError: a price is no amount.
    """

    def __init__(self, table: PriceTable) -> None:
        self.currency = table.currency
        prices = {prefix.encode(): amount_of(price) for prefix, price in table.by_prefix.items()}
        self._table: PrefixTable[int | None] = PrefixTable(prices, None)

    def of(self, addresses: bytes) -> int | None:
        """The price of one SMS to the destination, in millionths; None: there is none.

        :param addresses: as in `Message`.
        """
        return self._table.find(addresses)


class Terms:
    """The quota and the prices of one account.

    :ivar daily: messages a day; 0: no limit.
    :ivar monthly: messages a month; 0: no limit.
    :ivar prices: None: its messages have no price.
    :ivar prepaid: whether it must have paid before.
    :ivar low_balance: below this the balance is low, in millionths; 0: it never is.
    :raises ValueError: there is no such time zone, or `low_balance` is no amount.
    """

    def __init__(self, account: Account, prices: Prices | None = None) -> None:
        quota = account.quota
        self.daily = quota.daily
        self.monthly = quota.monthly
        self.zone = time_zone(quota.time_zone)
        self.prices = prices
        self.prepaid = account.prepaid and prices is not None
        self.low_balance = amount_of(account.low_balance) if self.prepaid else 0
        self._refunds = bits_of(account.refund)
        self._charges: dict[int, Charge] = {}
        #: When the present day begins and ends, and its number: it is computed once a day.
        self._day = _NO_DAY

    @property
    def any(self) -> bool:
        """Whether anything has to be counted."""
        return bool(self.daily or self.monthly or self.prices is not None)

    def charge(self, price: int) -> Charge:
        """The charge of a message that costs so much altogether."""
        if self.prices is None:
            return COUNTED
        charge = self._charges.get(price)
        if charge is None:
            if len(self._charges) >= _KEPT_CHARGES:
                self._charges.clear()
            charge = self._charges[price] = Charge(price, self.prices.currency, self.prepaid, self._refunds)
        return charge

    def day(self, now: float) -> int:
        """The day in the account's time zone, as in `relay.values.charge.AccountUse`."""
        begins_at, ends_at, day = self._day
        if not begins_at <= now < ends_at:
            local = datetime.fromtimestamp(now, self.zone)
            day = local.year * 10_000 + local.month * 100 + local.day
            midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
            self._day = (midnight.timestamp(), self.next_day(now).timestamp(), day)
        return day

    def next_day(self, now: float) -> datetime:
        """When the next day begins."""
        tomorrow = datetime.fromtimestamp(now, self.zone).date() + timedelta(days=1)
        return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=self.zone)

    def next_month(self, now: float) -> datetime:
        """When the next month begins."""
        today = datetime.fromtimestamp(now, self.zone)
        year, month = divmod(today.year * 12 + today.month, 12)
        return datetime(year, month + 1, 1, tzinfo=self.zone)


def bits_of(states: Iterable[str]) -> int:
    """Final states as `Charge.refunds` has them."""
    return sum({1 << _STATES[state] for state in states})


def terms_of(accounts: Mapping[str, Account], tables: Mapping[str, PriceTable]) -> dict[str, Terms]:
    """The terms of each account that has any.

    :param tables: the price tables of the configuration.
    """
    prices = {name: Prices(table) for name, table in tables.items()}
    every = {name: Terms(account, prices.get(account.prices)) for name, account in accounts.items()}
    return {name: terms for name, terms in every.items() if terms.any}
