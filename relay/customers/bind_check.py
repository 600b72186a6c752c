"""Decides whether a customer's bind is right: its system_id, its password and its address."""

import ipaddress
from collections.abc import Sequence

import msgspec

from relay.accounts.accounts import Accounts
from relay.accounts.smpp_logins import SmppLogin, refuse
from relay.customers.bind_guard import BindGuard
from relay.smpp.other_codec import MAX_INTERFACE_VERSION
from relay.values import smpp_constants as c
from relay.values.pdus import BindPdu


class BindVerdict(msgspec.Struct, frozen=True, gc=False):
    """The decision about a bind.

    :ivar status: ESME_ROK if the bind is accepted.
    :ivar login: the login of the bind, if it is accepted.
    :ivar reason: why it is refused, for the log. The customer gets only the status.
    :ivar guessed: whether the system_id or the password was wrong. Only such a bind counts as a failure of the address.
        If others counted, a customer who has to wait, or has too many sessions, would be kept out for trying again.
    """

    status: int
    login: SmppLogin | None = None
    reason: str = ""
    guessed: bool = False


def check_bind(accounts: Accounts, guard: BindGuard, address: str, pdu: BindPdu, now: float) -> BindVerdict:
    """Decides about a bind. How many sessions the login has is not asked."""
    if not guard.may_try(address, now):
        return BindVerdict(c.ESME_RBINDFAIL, reason="too many wrong passwords from its network")
    if pdu.interface_version > MAX_INTERFACE_VERSION:
        reason = f"interface_version 0x{pdu.interface_version:02X} is over 0x{MAX_INTERFACE_VERSION:02X}"
        return BindVerdict(c.ESME_RBINDFAIL, reason=reason)
    login = accounts.by_system_id(pdu.system_id)
    if login is None:
        # An unknown name takes the same time and gets the same answer as a wrong password, so that nobody learns which
        # names exist.
        refuse(pdu.password)
        return BindVerdict(c.ESME_RBINDFAIL, reason="no account has this system_id", guessed=True)
    right = login.accepts(pdu.password, now)
    if not may_come_from(login, address):
        return BindVerdict(c.ESME_RBINDFAIL, reason="its network is not in allow_from")
    if not right:
        return BindVerdict(c.ESME_RBINDFAIL, reason="the password is wrong", guessed=True)
    if accounts.is_suspended(login.account):
        return BindVerdict(c.ESME_RBINDFAIL, reason="the account is suspended")
    return BindVerdict(c.ESME_ROK, login)


def may_come_from(login: SmppLogin, address: str) -> bool:
    """Whether the login may be used from an address."""
    return not login.settings.allow_from or _within(address, login.settings.allow_from)


def _within(address: str, networks: Sequence[str]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in ipaddress.ip_network(network, strict=False) for network in networks)
