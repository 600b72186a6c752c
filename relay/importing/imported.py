"""The result of an import, and helpers that both gateways need."""

from collections.abc import Mapping
from typing import Final, cast

from relay.config.endpoint_text import join_description
from relay.config.urls import UrlProblem, check_url

#: A part of the configuration, as YAML has it: texts, numbers, booleans, lists and tables.
Table = dict[str, object]

#: What people write before the country code.
_INTERNATIONAL_PREFIXES: Final = ("+", "00")


class ImportProblem(Exception):
    """The other gateway's configuration can't be read. The text says where, why, and what to do."""


class Imported:
    """Collects the new configuration and what could not be brought along.

    :ivar tables: the new configuration, by its tables' names, in the order in which they are written.
    :ivar left_out: one line each: the place in the old configuration, the setting, and what to do instead.
    """

    def __init__(self) -> None:
        self.tables: Table = {}
        self.left_out: list[str] = []

    def table(self, *path: str) -> Table:
        """Returns a table of the new configuration, and makes it if it is missing."""
        here = self.tables
        for name in path:
            here = cast(Table, here.setdefault(name, {}))
        return here

    def drop_empty(self) -> None:
        """Takes tables out that have nothing in them."""
        self.tables = {name: table for name, table in self.tables.items() if table}

    def leave_out(self, place: str, text: str) -> None:
        """Notes something that the new configuration doesn't have. The text must not hold a secret."""
        line = f"{place}: {text}"
        if line not in self.left_out:
            self.left_out.append(line)

    def add_account(self, place: str, name: str, password: str) -> Table:
        """Adds an account with an API key. Two accounts can't have the same key: the second one gets none."""
        accounts = self.table("accounts")
        account = self.table("accounts", name)
        if not password:
            self.leave_out(place, f"accounts.{name} has no password here: write an api_key for it")
            return account
        keys = {cast(Mapping[str, object], other).get("api_key"): owner for owner, other in accounts.items()}
        if password in keys:
            self.leave_out(
                place,
                f"accounts.{name} has the same password as accounts.{keys[password]}. The relay needs different API "
                "keys: write another api_key for it, and tell the customer",
            )
        else:
            account["api_key"] = password
        return account


class Unsuitable(ValueError):
    """A value has no counterpart. The text says why."""


def prefix_of(text: str) -> str:
    """Returns the beginning of numbers as the relay writes it: digits with the country code.

    :raises Unsuitable: the text is something else.
    """
    digits = text
    for written in _INTERNATIONAL_PREFIXES:
        if digits.startswith(written):
            digits = digits[len(written) :]
            break
    if not digits.isascii() or not digits.isdigit() or digits.startswith("0"):
        raise Unsuitable(f"{text!r} is not the beginning of a number with a country code")
    return digits


def endpoint(host: str, port: int, *, tls: bool = False) -> str:
    """Returns Twisted's description of a client endpoint."""
    return join_description(["tls" if tls else "tcp", host, str(port)])


def listener(port: int, interface: str = "", *, key_file: str = "", certificate_file: str = "") -> str:
    """Returns Twisted's description of a server endpoint. Without an interface it listens on all of them.

    :param key_file: if it is given, the endpoint speaks TLS. Without `certificate_file`, this file has both.
    """
    parts = ["tcp", str(port)]
    if key_file:
        parts = ["ssl", str(port), f"privateKey={key_file}", f"certKey={certificate_file or key_file}"]
    if interface not in ("", "0.0.0.0", "*"):
        parts.append(f"interface={interface}")
    return join_description(parts)


def url_needs_private(url: str) -> bool:
    """Whether a URL is only allowed with `allow_private_urls`.

    :raises Unsuitable: the relay can't use the URL at all.
    """
    try:
        check_url(url, allow_private=True)
    except UrlProblem as problem:
        raise Unsuitable(str(problem)) from None
    try:
        check_url(url, allow_private=False)
    except UrlProblem:
        return True
    return False
