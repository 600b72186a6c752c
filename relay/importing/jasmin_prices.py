"""Makes price tables and prepaid accounts of Jasmin's balances, and of the rates of its MT routes.

Jasmin takes a route's rate from the balance of the user for each SMS, and refuses the message if the balance is too
small. A user without a balance pays nothing. The relay has one price for each beginning of numbers, so for each
beginning that any route names, a table has the rate of the route that Jasmin would take.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from relay.importing.imported import Imported, Table
from relay.importing.jasmin_routes import JasminUser, MtRoute
from relay.values.amounts import MOST, UNIT, amount_text

#: ISO 4217's code for "no currency": Jasmin doesn't know in which one its amounts are.
_CURRENCY: Final = "XXX"
#: The table of accounts that may send a number of messages, whatever they cost.
_COUNTED: Final = "jasmin-messages"
_RATES: Final = "jasmin-rates"


def add_charges(routes: Sequence[MtRoute], place: str, users: Sequence[JasminUser], imported: Imported) -> None:
    """Makes accounts prepaid whose users have a balance, or may send a number of messages.

    :param routes: the highest order first.
    :param place: where the users stand, for what is left out.
    """
    for user in users:
        here = f"{place}: user {user.account}"
        if user.balance is not None:
            prices = {beginning: _amount(rate, here, imported) for beginning, rate in _rates(routes, user).items()}
            _make_prepaid(user, _table_of(prices, user, imported), here, user.balance, imported)
            if user.messages is not None:
                imported.leave_out(here, "submit_sm_count: the balance is taken, and the relay has one of them for an "
                                   "account; see quota, which counts by day and month")  # fmt: skip
        elif user.messages is not None:
            imported.table("prices", _COUNTED).update({"currency": _CURRENCY, "by_prefix": {"": "1"}})
            _make_prepaid(user, _COUNTED, here, user.messages, imported)
    if any(route.rate for route in routes) and all(user.balance is None for user in users):
        imported.leave_out(place, "rate of MT routes: no user has a balance, and Jasmin charges no others")


def _make_prepaid(user: JasminUser, table: str, here: str, balance: float, imported: Imported) -> None:
    imported.table("accounts", user.account).update({"prices": table, "prepaid": True})
    amount = _amount(balance, here, imported)
    command = f"python -m relay balance {user.account} --add {amount} --key jasmin-import"
    if not balance:
        said = "balance: it is 0.00, so the relay refuses its messages until somebody tops it up (relay balance)"
    elif table == _COUNTED:
        said = f"submit_sm_count: each SMS costs 1, and the relay's journal has the balance. Once it runs: {command}"
    else:
        said = (
            f"balance: the relay's journal has it. Write its currency into prices.{table} instead of {_CURRENCY}, and "
            f"once the relay runs: {command}"
        )
    imported.leave_out(here, said)


def _rates(routes: Sequence[MtRoute], user: JasminUser) -> dict[str, float]:
    """The rate by beginning of the number. A beginning without an entry costs as much as the next shorter one."""
    beginnings = {"", *user.allowed, *(beginning for route in routes for beginning in route.beginnings)}
    rates: dict[str, float] = {}
    for beginning in sorted(beginnings, key=lambda text: (len(text), text)):
        if not beginning.startswith(tuple(user.allowed)):
            continue
        route = next((route for route in routes if route.takes(user, beginning)), None)
        if route is None:
            continue
        shorter = next((beginning[:end] for end in range(len(beginning), -1, -1) if beginning[:end] in rates), None)
        if shorter is None or rates[shorter] != route.rate:
            rates[beginning] = route.rate
    return rates


def _table_of(prices: dict[str, str], user: JasminUser, imported: Imported) -> str:
    """The name of a table with these prices. Accounts with the same prices share it."""
    table: Table = {"currency": _CURRENCY, "by_prefix": prices or {"": "0"}}
    tables = imported.table("prices")
    name = next((known for known, other in tables.items() if other == table), "")
    if not name:
        name = _RATES if _RATES not in tables else f"{_RATES}-{user.account}"
        tables[name] = table
    return name


def _amount(value: float, here: str, imported: Imported) -> str:
    """An amount as the relay writes it."""
    exact = Decimal(str(value)) * UNIT
    millionths = min(max(int(exact), 0), MOST)
    if millionths != exact:
        taken = amount_text(millionths)
        imported.leave_out(here, f"{value} is taken as {taken}: the relay's amounts begin with 0 and have six decimals")
    return amount_text(millionths)
