"""What a message costs its account, and what an account has used: values that packages pass to each other."""

from collections.abc import Mapping
from typing import Final

import msgspec


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


#: An account of which nothing was counted.
NOTHING_USED: Final = AccountUse()
