"""What a message costs its account, and what an account has used: values that packages pass to each other."""

from collections.abc import Mapping
from typing import Final

import msgspec

from relay.values.amounts import amount_text


class Charge(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a message costs its account. It is decided when the message is accepted, and never changes.

    A message that has one counts for the account's quota. The journal has it in this form, so a new field may only be
    added at the end, with a default.

    :ivar price: of the whole message, in millionths of the currency.
    :ivar currency: "": the account has no prices.
    :ivar prepaid: whether the price was taken from the account's balance.
    :ivar refunds: the final states after which the price is given back: bit 1 << state for each.
    """

    price: int = 0
    currency: str = ""
    prepaid: bool = False
    refunds: int = 0

    @property
    def price_text(self) -> str:
        """The price as decimal text."""
        return amount_text(self.price)


#: The charge of a message that only counts for a quota.
COUNTED: Final = Charge()


class AccountUse(msgspec.Struct, frozen=True, gc=False):
    """What an account has used, as the store knows it.

    :ivar day: the day of `on_day`, and its month that of `in_month`: 20261129 is the 29th of November 2026 in the
        account's time zone. 0: nothing was counted yet.
    :ivar on_day: the messages that were accepted on that day; `in_month`: in its month.
    :ivar balances: by currency, in millionths.
    """

    day: int = 0
    on_day: int = 0
    in_month: int = 0
    balances: Mapping[str, int] = {}

    def counts(self, day: int) -> tuple[int, int]:
        """The messages that were accepted on this day, and in its month."""
        return self.on_day if self.day == day else 0, self.in_month if self.day // 100 == day // 100 else 0


class TopUp(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=43):
    """An amount that was added to an account's balance, and the journal's record of it.

    :ivar key: the payer's own name for it. A second one with the same key changes nothing.
    :ivar amount: in millionths of the currency; below 0: a correction.
    :ivar at: when, in seconds since 1970.
    :ivar by: the operator who did it.
    :ivar reason: why.
    """

    account: str
    key: str
    amount: int
    currency: str
    at: float
    by: str = ""
    reason: str = ""


class ToppedUp(msgspec.Struct, frozen=True, gc=False):
    """The result of a top-up.

    :ivar balance: after it, in millionths of its currency.
    :ivar earlier: the top-up with the same key that had come before; None: there was none, so this one counts.
    """

    balance: int
    earlier: TopUp | None = None


#: An account of which nothing was counted.
NOTHING_USED: Final = AccountUse()
