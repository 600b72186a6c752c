"""Makes routes of the rules by which Kannel chooses a connection.

Kannel looks at the number and at the message's smsc-id, and sorts the connections into three kinds: preferred ones,
others, and those that may not take the message. It takes a preferred one if it can, and shares messages out within a
kind.
"""

from collections.abc import Iterable, Sequence

import msgspec

from relay.importing.imported import Imported
from relay.importing.route_tables import AccountRoutes, Places, add_routes


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


class Sender(msgspec.Struct, frozen=True):
    """What Kannel's choice depends on besides the number.

    :ivar smsc_id: the smsc-id that all messages of the account have; empty: none.
    :ivar allowed: the only beginnings of numbers to which it may send; empty: all.
    :ivar replace_sender: the sender that all its messages get; empty: their own.
    """

    account: str
    smsc_id: str = ""
    allowed: Sequence[str] = ()
    replace_sender: str = ""


def add_kannel_routes(imported: Imported, place: str, rules: Sequence[SmscRules], senders: Sequence[Sender]) -> None:
    """Writes the routes of all connections and accounts.

    :param place: as `relay.importing.route_tables.add_routes` needs it.
    """
    beginnings = [prefix for sender in senders for prefix in sender.allowed]
    for rule in rules:
        beginnings += [*rule.allowed, *rule.denied, *rule.preferred]
    accounts = [
        AccountRoutes(
            sender.account,
            lambda number, sender=sender: _choice(rules, sender, number),  # type: ignore[misc]
            special=bool(sender.smsc_id or sender.allowed or sender.replace_sender),
            replace_sender=sender.replace_sender,
        )
        for sender in senders
    ]
    add_routes(imported, place, beginnings, lambda number: _choice(rules, Sender(""), number), accounts)


def _choice(rules: Sequence[SmscRules], sender: Sender, number: str) -> Places:
    """The preferred carriers, and the others."""
    if sender.allowed and not _begins(number, sender.allowed):
        return ()
    standings = [(rule.carrier, _standing(rule, sender.smsc_id, number)) for rule in rules]
    kinds = (tuple(carrier for carrier, found in standings if found == kind) for kind in (1, 0))
    return tuple(kind for kind in kinds if kind)


def _standing(rule: SmscRules, smsc_id: str, number: str) -> int:
    """Whether a connection may take a message: 1 preferably, 0 yes, -1 no."""
    if rule.unroutable:
        return -1
    if rule.allowed_ids:
        if smsc_id not in rule.allowed_ids:
            return -1
    elif smsc_id and smsc_id in rule.denied_ids:
        return -1
    allowed, denied = _begins(number, rule.allowed), _begins(number, rule.denied)
    # With both lists, Kannel refuses only numbers that one list denies and the other doesn't allow.
    if (rule.allowed or rule.denied) and (denied or not rule.denied) and not allowed:
        return -1
    return int(bool(smsc_id and smsc_id in rule.preferred_ids) or _begins(number, rule.preferred))


def _begins(number: str, prefixes: Iterable[str]) -> bool:
    return any(number.startswith(prefix) for prefix in prefixes)
