"""The metrics of quotas and balances: only of accounts that have them."""

from collections.abc import Iterator, Sequence

from relay.charging.statement import Statement
from relay.routing.flow import MessageFlow
from relay.values.amounts import UNIT

#: The labels and the value of a sample.
Sample = tuple[dict[str, str], float]


def statements(flow: MessageFlow, accounts: Sequence[str], now: float) -> Iterator[tuple[str, Statement]]:
    """The statement of each of these accounts that has a quota or prices."""
    for account in accounts:
        found = flow.charging.statement(account, flow.store.account_use, now)
        if found is not None:
            yield account, found


def balances(found: Sequence[tuple[str, Statement]]) -> list[Sample]:
    """The balance of each prepaid account, in units of its currency."""
    return [
        ({"account": account, "currency": one.currency}, one.balance / UNIT) for account, one in found if one.prepaid
    ]


def low_balances(found: Sequence[tuple[str, Statement]]) -> list[Sample]:
    """Below which balance an operator wants to hear of an account, in units of its currency."""
    return [
        ({"account": account, "currency": one.currency}, one.low_balance / UNIT)
        for account, one in found
        if one.low_balance
    ]


def quotas(found: Sequence[tuple[str, Statement]]) -> list[Sample]:
    """How many more messages the quota of each account allows now."""
    return [({"account": account}, left) for account, one in found if (left := one.messages_left) is not None]
