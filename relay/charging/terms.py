"""What the configuration says about one account's quota, and when its days begin."""

from datetime import datetime, timedelta
from typing import Final

from relay.config.model import Account
from relay.config.time_zones import time_zone

_NO_DAY: Final = (0.0, 0.0, 0)


class Terms:
    """The quota of one account.

    :ivar daily: messages a day; 0: no limit.
    :ivar monthly: messages a month; 0: no limit.
    :raises ValueError: there is no such time zone.
    """

    def __init__(self, account: Account) -> None:
        quota = account.quota
        self.daily = quota.daily
        self.monthly = quota.monthly
        self.zone = time_zone(quota.time_zone)
        #: When the present day begins and ends, and its number: it is computed once a day.
        self._day = _NO_DAY

    @property
    def any(self) -> bool:
        """Whether anything has to be counted."""
        return bool(self.daily or self.monthly)

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
