"""Makes routes of the rules by which Kannel chooses a connection.

Kannel looks at the number and at the message's smsc-id, and sorts the connections into three kinds: preferred ones,
others, and those that may not take the message. The number counts only by its beginnings. So for each beginning that
any rule names, one route says the same: the preferred connections, after them the others, those of a kind in equal
shares.
"""

from collections.abc import Container, Iterable, Sequence

import msgspec

from relay.importing.imported import Imported, Table


class SmscRules(msgspec.Struct, frozen=True):
    """The rules of one connection of Kannel's.

    :ivar carrier: its name in the new configuration.
    :ivar unroutable: it has rules that can't be converted, so that no route names it.
    """

    carrier: str
    allowed_ids: Sequence[str] = ()
    denied_ids: Sequence[str] = ()
    preferred_ids: Sequence[str] = ()
    allowed: Sequence[str] = ()
    denied: Sequence[str] = ()
    preferred: Sequence[str] = ()
    unroutable: bool = False

    @property
    def prefixes(self) -> Iterable[str]:
        """Returns every beginning of numbers that the rules name."""
        return (*self.allowed, *self.denied, *self.preferred)


class Sender(msgspec.Struct, frozen=True):
    """What the routes of one account depend on.

    :ivar smsc_id: the smsc-id that all its messages have; empty: none.
    :ivar allowed: the only beginnings of numbers to which it may send; empty: all.
    :ivar replace_sender: the sender that all its messages get; empty: their own.
    """

    account: str
    smsc_id: str = ""
    allowed: Sequence[str] = ()
    replace_sender: str = ""

    @property
    def special(self) -> bool:
        """True if its messages can't take the routes that are for all accounts."""
        return bool(self.smsc_id or self.allowed or self.replace_sender)


#: The carriers of one place of a route's order.
_Places = tuple[tuple[str, ...], ...]


def add_routes(imported: Imported, place: str, rules: Sequence[SmscRules], senders: Sequence[Sender]) -> None:
    """Writes the routes. Accounts get routes of their own if they need other ones than the rest."""
    everyone = _table(rules, Sender(""), imported, place)
    own = {sender.account: _table(rules, sender, imported, place) for sender in senders if sender.special}
    if any(_match(prefix, table) is None for table in own.values() for prefix in everyone):
        # A message that none of its account's routes takes would take a route that is for all accounts.
        own = {sender.account: _table(rules, sender, imported, place) for sender in senders}
        everyone = {}
        imported.leave_out(
            place,
            "each route names its account, because some accounts may send to some numbers only; write routes for "
            "accounts that you add",
        )
    routes: list[Table] = []
    for sender in senders:
        for prefix, places in own.get(sender.account, {}).items():
            routes.append(_route(places, prefix, sender))
    routes += [_route(places, prefix, Sender("")) for prefix, places in everyone.items()]
    imported.tables["routes"] = routes


def _table(rules: Sequence[SmscRules], sender: Sender, imported: Imported, place: str) -> dict[str, _Places]:
    """The carriers by beginning of the number. A beginning without an entry is as the next shorter one."""
    table: dict[str, _Places] = {}
    beginnings = {"", *sender.allowed, *(prefix for rule in rules for prefix in rule.prefixes)}
    for prefix in sorted(beginnings, key=lambda prefix: (len(prefix), prefix)):
        places: _Places = ()
        if not sender.allowed or _begins(prefix, sender.allowed):
            places = tuple(kind for kind in _kinds(rules, sender.smsc_id, prefix) if kind)
        shorter = _match(prefix, table)
        if places == (table[shorter] if shorter is not None else ()):
            continue
        if places:
            table[prefix] = places
        else:
            imported.leave_out(
                place,
                f"numbers that begin with {prefix} have no carrier in Kannel"
                + (f" for the account {sender.account}" if sender.account else "")
                + f"; here they take the route of {shorter or 'all numbers'}. To refuse them, write them into a list "
                "(`lists` with `on_match: refuse`)",
            )
    return table


def _match(number: str, table: Container[str]) -> str | None:
    """The longest beginning of the number that the table has; None if it has none."""
    return next((number[:end] for end in range(len(number), -1, -1) if number[:end] in table), None)


def _kinds(rules: Sequence[SmscRules], smsc_id: str, prefix: str) -> _Places:
    """The preferred carriers, and the others."""
    standings = [(rule.carrier, _standing(rule, smsc_id, prefix)) for rule in rules]
    return tuple(tuple(carrier for carrier, found in standings if found == kind) for kind in (1, 0))


def _standing(rule: SmscRules, smsc_id: str, prefix: str) -> int:
    """Whether a connection may take a message: 1 preferably, 0 yes, -1 no."""
    if rule.unroutable:
        return -1
    if rule.allowed_ids:
        if smsc_id not in rule.allowed_ids:
            return -1
    elif smsc_id and smsc_id in rule.denied_ids:
        return -1
    allowed, denied = _begins(prefix, rule.allowed), _begins(prefix, rule.denied)
    # With both lists, Kannel refuses only numbers that one list denies and the other doesn't allow.
    if (rule.allowed or rule.denied) and (denied or not rule.denied) and not allowed:
        return -1
    return int(bool(smsc_id and smsc_id in rule.preferred_ids) or _begins(prefix, rule.preferred))


def _begins(number: str, prefixes: Iterable[str]) -> bool:
    return any(number.startswith(prefix) for prefix in prefixes)


def _route(places: _Places, prefix: str, sender: Sender) -> Table:
    route: Table = {}
    if prefix:
        route["prefix"] = prefix
    if sender.account:
        route["account"] = sender.account
    route["carriers"] = [place[0] if len(place) == 1 else dict.fromkeys(place, 1) for place in places]
    if sender.replace_sender:
        route["replace_sender"] = sender.replace_sender
    return route
