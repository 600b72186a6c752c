"""What an account has used and what is left, for its customer, for operators, and for Jasmin's callers."""

import msgspec

from relay.charging.terms import Terms
from relay.values.amounts import amount_text
from relay.values.charge import AccountUse


class Statement(msgspec.Struct, frozen=True):
    """What an account has used, and what its terms allow.

    :ivar currency: "": its messages have no price.
    :ivar prepaid: whether its messages are paid from `balance`.
    :ivar balance: in millionths of the currency.
    :ivar low_balance: below this the balance is low; 0: it never is.
    :ivar on_day: the messages of the present day, if any limit is set; `in_month`: of its month.
    :ivar daily: messages a day; 0: no limit. `monthly`: a month.
    :ivar day_ends_at: seconds since 1970; likewise `month_ends_at`.
    """

    currency: str
    prepaid: bool
    balance: int
    low_balance: int
    on_day: int
    in_month: int
    daily: int
    monthly: int
    time_zone: str
    day_ends_at: float
    month_ends_at: float

    @property
    def balance_text(self) -> str:
        """The balance as decimal text."""
        return amount_text(self.balance)

    @property
    def is_low(self) -> bool:
        """Whether the balance is lower than the configuration wants it to be."""
        return bool(self.low_balance) and self.balance < self.low_balance

    @property
    def messages_left(self) -> int | None:
        """How many more messages the quota allows now; None: it has no limit."""
        left = [
            max(0, limit - used) for limit, used in ((self.daily, self.on_day), (self.monthly, self.in_month)) if limit
        ]
        return min(left) if left else None


def statement(terms: Terms, use: AccountUse, now: float) -> Statement:
    """The statement of an account.

    :param use: what the store has counted for it.
    """
    on_day, in_month = use.counts(terms.day(now))
    currency = "" if terms.prices is None else terms.prices.currency
    return Statement(
        currency,
        terms.prepaid,
        use.balances.get(currency, 0),
        terms.low_balance,
        on_day,
        in_month,
        terms.daily,
        terms.monthly,
        terms.zone.key,
        terms.next_day(now).timestamp(),
        terms.next_month(now).timestamp(),
    )
