"""Makes routes of another gateway's rules.

The rules look at a number only by its beginning. So for each beginning that any rule names, one route says the same.
A route is left out if the next shorter beginning has the same carriers.
"""

from collections.abc import Callable, Container, Iterable, Sequence

import msgspec

from relay.importing.imported import Imported, Table

#: The carriers of a message, in order of preference. Those of one place share the numbers equally.
Places = tuple[tuple[str, ...], ...]
#: Returns the carriers for a number; () if none may take it. It looks at the number by its beginnings only.
Choice = Callable[[str], Places]


class AccountRoutes(msgspec.Struct, frozen=True):
    """What the routes of one account depend on.

    :ivar special: its messages can't take the routes that are for all accounts.
    :ivar replace_sender: the sender that all its messages get; empty: their own.
    """

    account: str
    choice: Choice
    special: bool = False
    replace_sender: str = ""


def add_routes(
    imported: Imported, place: str, beginnings: Iterable[str], choice: Choice, accounts: Sequence[AccountRoutes]
) -> None:
    """Writes the routes. Accounts get routes of their own if they need other ones than the rest.

    :param place: where the rules stand, for what is left out.
    :param beginnings: all beginnings of numbers that any rule names.
    :param choice: the carriers for messages of all accounts that are not special.
    """
    ordered = sorted({"", *beginnings}, key=lambda prefix: (len(prefix), prefix))
    everyone = _table(ordered, AccountRoutes("", choice), imported, place)
    own = {account.account: _table(ordered, account, imported, place) for account in accounts if account.special}
    if any(_match(prefix, table) is None for table in own.values() for prefix in everyone):
        # A message that none of its account's routes takes would take a route that is for all accounts.
        own = {account.account: _table(ordered, account, imported, place) for account in accounts}
        everyone = {}
        imported.leave_out(
            place,
            "each route names its account, because some accounts may send to some numbers only; write routes for "
            "accounts that you add",
        )
    routes: list[Table] = []
    for account in accounts:
        for prefix, places in own.get(account.account, {}).items():
            routes.append(_route(places, prefix, account))
    routes += [_route(places, prefix, AccountRoutes("", choice)) for prefix, places in everyone.items()]
    imported.tables["routes"] = routes


def _table(beginnings: Sequence[str], account: AccountRoutes, imported: Imported, place: str) -> dict[str, Places]:
    """The carriers by beginning of the number. A beginning without an entry is as the next shorter one."""
    table: dict[str, Places] = {}
    for prefix in beginnings:
        places = account.choice(prefix)
        shorter = _match(prefix, table)
        if places == (table[shorter] if shorter is not None else ()):
            continue
        if places:
            table[prefix] = places
        else:
            imported.leave_out(
                place,
                f"numbers that begin with {prefix} have no carrier there"
                + (f" for the account {account.account}" if account.account else "")
                + f"; here they take the route of {shorter or 'all numbers'}. To refuse them, write them into a list "
                "(`lists` with `on_match: refuse`)",
            )
    return table


def _match(number: str, table: Container[str]) -> str | None:
    """The longest beginning of the number that the table has; None if it has none."""
    return next((number[:end] for end in range(len(number), -1, -1) if number[:end] in table), None)


def _route(places: Places, prefix: str, account: AccountRoutes) -> Table:
    route: Table = {}
    if prefix:
        route["prefix"] = prefix
    if account.account:
        route["account"] = account.account
    route["carriers"] = [place[0] if len(place) == 1 else dict.fromkeys(place, 1) for place in places]
    if account.replace_sender:
        route["replace_sender"] = account.replace_sender
    return route
