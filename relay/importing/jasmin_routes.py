"""Makes routes of Jasmin's MT routes, and inbound rules of its MO routes (`jcli`'s mtrouter and morouter)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from relay.importing.imported import Imported, Table, Unsuitable, url_needs_private
from relay.importing.number_patterns import beginnings_of, number_of, word_of
from relay.importing.pickle_reader import Stored
from relay.importing.route_tables import AccountRoutes, Places, add_routes


class JasminUser(msgspec.Struct, frozen=True):
    """What the routes of one user depend on.

    :ivar account: the name of its account.
    :ivar allowed: the only beginnings of numbers to which it may send.
    :ivar balance: what it may spend; None: it isn't limited.
    :ivar messages: how many messages it may send; None: it isn't limited.
    """

    account: str
    user_id: str
    group_id: str
    allowed: Sequence[str] = ("",)
    balance: float | None = None
    messages: int | None = None


class MtRoute(msgspec.Struct, frozen=True):
    """One MT route, with the conditions that can be converted. None: no condition.

    :ivar rate: what an SMS costs users who have a balance.
    """

    places: Places
    rate: float = 0.0
    beginnings: Sequence[str] = ("",)
    user_id: str | None = None
    group_id: str | None = None

    def takes(self, user: JasminUser, number: str) -> bool:
        return (
            self.user_id in (None, user.user_id)
            and self.group_id in (None, user.group_id)
            and number.startswith(tuple(self.beginnings))
        )


def mt_routes(table: Any, place: str, imported: Imported) -> list[MtRoute]:
    """The MT routes that can be converted, the highest order first. Jasmin takes the first one whose filters match."""
    return [route for order, stored in _ordered(table) if (route := _mt_route(order, stored, place, imported))]


def add_mt_routes(routes: Sequence[MtRoute], place: str, users: Sequence[JasminUser], imported: Imported) -> None:
    """Writes the routes."""

    def choice(user: JasminUser) -> Callable[[str], Places]:
        def places(number: str) -> Places:
            if not number.startswith(tuple(user.allowed)):
                return ()
            return next((route.places for route in routes if route.takes(user, number)), ())

        return places

    everyone = JasminUser("", "", "")
    accounts = [
        AccountRoutes(
            user.account,
            choice(user),
            special=user.allowed != ("",)
            or any(
                (route.user_id or route.group_id)
                and route.user_id in (None, user.user_id)
                and route.group_id in (None, user.group_id)
                for route in routes
            ),
        )
        for user in users
    ]
    beginnings = [beginning for route in routes for beginning in route.beginnings]
    beginnings += [beginning for user in users for beginning in user.allowed]
    add_routes(imported, place, beginnings, choice(everyone), accounts)


def _mt_route(order: int, stored: Stored, place: str, imported: Imported) -> MtRoute | None:
    here = f"{place}: route {order}"
    names = [str(connector.get("cid")) for connector in _connectors(stored)]
    known = [name for name in names if name in imported.table("carriers")]
    for name in names:
        if name not in known:
            imported.leave_out(here, f"there is no carrier {name}")
    if not known:
        return None
    one_each = "Failover" in stored.name
    places = tuple((name,) for name in known) if one_each else (tuple(known),)
    route = MtRoute(places, float(stored.get("rate") or 0.0))
    for rule in _filters(stored):
        try:
            route = msgspec.structs.replace(route, **_mt_condition(rule))
        except Unsuitable as problem:
            imported.leave_out(here, f"{problem}; messages take the routes below it")
            return None
    return route


def _mt_condition(rule: Stored) -> dict[str, Any]:
    match rule.name:
        case "TransparentFilter":
            return {}
        case "UserFilter":
            return {"user_id": str(_attribute(rule.get("user"), "uid"))}
        case "GroupFilter":
            return {"group_id": str(_attribute(rule.get("group"), "gid"))}
        case "DestinationAddrFilter":
            return {"beginnings": beginnings_of(pattern_of(rule.get("destination_addr")))}
    raise Unsuitable(f"it has a {rule.name}, which can't be converted")


def add_mo_routes(table: Any, place: str, imported: Imported) -> None:
    """Writes inbound rules: the first one that fits decides, as in Jasmin."""
    for order, stored in _ordered(table):
        here = f"{place}: route {order}"
        connectors = list(_connectors(stored))
        if len(connectors) > 1:
            imported.leave_out(here, "the relay sends a message from a handset to one receiver: only the first "
                               "connector is taken")  # fmt: skip
        try:
            account = _receiver(connectors[0], imported)
            rule, carriers = _mo_rule(stored, imported)
        except (Unsuitable, IndexError) as problem:
            imported.leave_out(here, str(problem) or "it has no connector")
            continue
        for name in carriers:
            carrier = imported.table("carriers", name)
            if "mobile_originated" in carrier:
                # A route above this one takes all messages.
                continue
            if rule:
                rules = carrier.setdefault("inbound", [])
                assert isinstance(rules, list)
                rules.append({**rule, "account": account})
            else:
                carrier["mobile_originated"] = account


def _mo_rule(stored: Stored, imported: Imported) -> tuple[Table, list[str]]:
    """The conditions of a rule, and the carriers for which it is."""
    rule: Table = {}
    carriers = list(imported.table("carriers"))
    for condition in _filters(stored):
        match condition.name:
            case "TransparentFilter":
                pass
            case "ConnectorFilter":
                name = str(_attribute(condition.get("connector"), "cid"))
                carriers = [carrier for carrier in carriers if carrier == name]
            case "DestinationAddrFilter":
                rule["to"] = number_of(pattern_of(condition.get("destination_addr")))
            case "ShortMessageFilter":
                rule["keyword"] = word_of(pattern_of(condition.get("short_message")))
            case _:
                raise Unsuitable(f"it has a {condition.name}, which can't be converted")
    return {key: value for key, value in rule.items() if value}, carriers


def _receiver(connector: Stored, imported: Imported) -> str:
    """The account that gets the messages. An HTTP connector becomes one."""
    if connector.name != "HttpConnector":
        raise Unsuitable(
            f"the messages go to SMPP user {connector.get('system_id')}: write an inbound rule once the account has "
            "an smpp login"
        )
    url = str(connector.get("baseurl"))
    private = url_needs_private(url)
    name = f"http-{connector.get('cid')}"
    account = imported.table("accounts", name)
    post = str(connector.get("method")).upper() == "POST"
    account |= {"inbound_url": url, "inbound_format": "jasmin" if post else "jasmin-get"}
    if private:
        account["allow_private_urls"] = True
    return name


def pattern_of(stored: Any) -> str:
    """Returns the text of a stored regular expression; "" if there is none."""
    pattern = stored.arguments[0] if isinstance(stored, Stored) and stored.arguments else ""
    if isinstance(pattern, bytes):
        return pattern.decode("latin-1")
    return pattern if isinstance(pattern, str) else ""


def _ordered(table: Any) -> Iterator[tuple[int, Stored]]:
    """The routes of a routing table, the highest order first."""
    rows = table.get("table", []) if isinstance(table, Stored) else []
    found = [item for row in rows if isinstance(row, dict) for item in row.items() if isinstance(item[1], Stored)]
    return iter(sorted(found, key=lambda item: int(item[0]), reverse=True))


def _connectors(route: Stored) -> Iterator[Stored]:
    found = route.get("connector")
    for connector in found if isinstance(found, list) else [found]:
        if isinstance(connector, Stored):
            yield connector


def _filters(route: Stored) -> Iterator[Stored]:
    for rule in route.get("filters") or ():
        if isinstance(rule, Stored):
            yield rule


def _attribute(stored: Any, name: str) -> Any:
    return stored.get(name) if isinstance(stored, Stored) else None
