"""Top-ups of prepaid accounts, and what the operator sees of an account's balance."""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from relay.charging.statement import Statement
from relay.operator.looks import UseLook
from relay.operator.refusal import Refusal
from relay.routing.flow import MessageFlow
from relay.values.amounts import amount_of, amount_text
from relay.values.charge import TopUp
from relay.values.instants import instant

#: A balance stays within this, so that sums always fit into the journal: millionths of the currency.
_MOST_BALANCE: Final = 10**18


class KeyRefusal(Refusal):
    """A top-up's key can't be read, or was used for another amount."""


class TopUpRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An amount to add to an account's balance.

    :ivar amount: decimal text: `50`, `12.50`; below 0: a correction.
    :ivar key: the caller's own name for this payment. A repeat with the same key changes nothing.
    :ivar currency: "": that of the account's prices.
    """

    amount: str
    key: Annotated[str, Meta(min_length=1, max_length=100, pattern="^[!-~]+$")]
    currency: str = ""
    reason: Annotated[str, Meta(max_length=200)] = ""


class ToppedUpReport(msgspec.Struct, frozen=True):
    """The result of a top-up, in words and in figures.

    :ivar repeated: whether the same top-up had come before, so that nothing was changed now.
    """

    done: str
    balance: str
    currency: str
    repeated: bool


class TopUpLine(msgspec.Struct, frozen=True):
    """A top-up, as it is shown."""

    key: str
    amount: str
    currency: str
    at: str
    by: str
    reason: str


class BalanceReport(msgspec.Struct, frozen=True):
    """What an account has used and paid.

    :ivar balance: None: the account is not prepaid.
    :ivar messages_a_day: 0: no limit; likewise `messages_a_month`.
    :ivar top_ups: newest first.
    """

    account: str
    prepaid: bool
    balance: str | None
    currency: str
    messages_on_day: int
    messages_in_month: int
    messages_a_day: int
    messages_a_month: int
    time_zone: str
    top_ups: list[TopUpLine]


def statement_of(flow: MessageFlow, account: str, now: float) -> Statement | None:
    """What an account has used, and what it may use; None: it has neither quota nor prices."""
    return flow.charging.statement(account, flow.store.account_use, now)


def use_look(flow: MessageFlow, account: str, now: float) -> UseLook | None:
    """What an account has used, for an overview; None: it has neither quota nor prices."""
    found = statement_of(flow, account, now)
    if found is None:
        return None
    return UseLook(
        balance=found.balance_text if found.prepaid else None,
        currency=found.currency,
        messages_on_day=found.on_day,
        messages_in_month=found.in_month,
        messages_a_day=found.daily,
        messages_a_month=found.monthly,
        messages_left=found.messages_left,
        day_ends_at=found.day_ends_at,
        month_ends_at=found.month_ends_at,
        is_low=found.is_low,
    )


def balance_report(flow: MessageFlow, account: str, now: float) -> BalanceReport:
    """The report about an account.

    :raises Refusal: it has neither quota nor prices.
    """
    found = statement_of(flow, account, now)
    if found is None:
        raise Refusal(f"{account} has neither a quota nor prices", 409)
    return BalanceReport(
        account,
        found.prepaid,
        found.balance_text if found.prepaid else None,
        found.currency,
        found.on_day,
        found.in_month,
        found.daily,
        found.monthly,
        found.time_zone,
        top_up_lines(flow.store.top_ups(account)),
    )


def top_up_lines(top_ups: Sequence[TopUp]) -> list[TopUpLine]:
    """Top-ups as they are shown."""
    return [TopUpLine(t.key, amount_text(t.amount), t.currency, instant(t.at), t.by, t.reason) for t in top_ups]


def top_up_of(flow: MessageFlow, account: str, wanted: TopUpRequest, now: float, by: str) -> TopUp:
    """Makes the top-up that a request asks for.

    :raises Refusal: the amount can't be read, or the account has no balance in this currency.
    """
    found = statement_of(flow, account, now)
    if found is None or not found.prepaid:
        raise Refusal(f"{account} is not prepaid: give it prices and prepaid: true first", 409)
    if wanted.currency not in ("", found.currency):
        raise Refusal(f"the prices of {account} are in {found.currency}, not in {wanted.currency}", 409)
    try:
        amount = amount_of(wanted.amount)
    except ValueError as problem:
        raise Refusal(str(problem), 422) from None
    if not amount:
        raise Refusal("the amount is 0", 422)
    if abs(found.balance + amount) > _MOST_BALANCE:
        raise Refusal(f"the balance would be {amount_text(found.balance + amount)} {found.currency}", 422)
    return TopUp(account, wanted.key, amount, found.currency, now, by, wanted.reason)


def check_same(earlier: TopUp, top_up: TopUp) -> None:
    """Checks that a top-up with a key that was used before is the same one.

    :raises KeyRefusal: it is another one.
    """
    if (earlier.amount, earlier.currency) != (top_up.amount, top_up.currency):
        raise KeyRefusal(
            f"the key {top_up.key} was used on {instant(earlier.at)} for {amount_text(earlier.amount)} "
            f"{earlier.currency}; take a new key for each payment",
            409,
        )


def report_of(top_up: TopUp, balance: int, *, repeated: bool) -> ToppedUpReport:
    """The result of a top-up."""
    now = f"the balance of {top_up.account} is {amount_text(balance)} {top_up.currency}"
    said = f"nothing was changed: this key was used before; {now}"
    if not repeated:
        said = f"{amount_text(top_up.amount)} {top_up.currency} added; {now}"
    return ToppedUpReport(said, amount_text(balance), top_up.currency, repeated)
