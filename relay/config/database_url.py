"""Reads the URL of a PostgreSQL database: its servers, and what the connections need.

The form is libpq's: `postgresql://USER@HOST[:PORT][,HOST[:PORT]...]/DATABASE[?NAME=VALUE&...]`. A Unix socket's
directory stands in the parameter `host`. The password is not in the URL, so that the URL can be shown.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

_DEFAULT_PORT: Final = 5432
#: The parameters of libpq that a URL may have. The relay sets others itself.
PARAMETERS: Final = ("host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "channel_binding")
#: The only value of `sslmode` that checks who the server is.
VERIFY: Final = "verify-full"


class DatabaseUrlProblem(ValueError):
    """A text can't be the URL of a database. The exception's text says why."""


class DatabaseUrl(msgspec.Struct, frozen=True):
    """A database, and how its servers are reached.

    :ivar servers: host and port of each; a host that begins with a slash is the directory of a Unix socket.
    :ivar parameters: further parameters of libpq, such as `sslrootcert`.
    """

    user: str
    servers: tuple[tuple[str, int], ...]
    database: str
    parameters: Mapping[str, str]

    @property
    def on_loopback(self) -> bool:
        """Whether all servers are on this machine."""
        return all(_is_local(host) for host, _ in self.servers)


def parse_database_url(text: str) -> DatabaseUrl:
    """Takes a database's URL apart, and checks it.

    :raises DatabaseUrlProblem: it can't be used.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("postgresql", "postgres"):
        raise DatabaseUrlProblem('write a URL such as "postgresql://relay@db1,db2/relay"')
    if parts.fragment:
        raise DatabaseUrlProblem("it has a #; write %23 for one that belongs to a value")
    login, _, place = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    parameters = _parameters(parts.query)
    if colon or "password" in parameters:
        raise DatabaseUrlProblem("put the password into cluster.password, so that the URL can be shown")
    database = unquote(parts.path.removeprefix("/"))
    if not user or not database or "/" in database:
        raise DatabaseUrlProblem("write the user and the database: postgresql://USER@HOST/DATABASE")
    servers = _servers(place, parameters)
    for name in parameters:
        if name not in PARAMETERS:
            raise DatabaseUrlProblem(f"the parameter {name!r} isn't for here; there are {', '.join(PARAMETERS)}")
    kept = {name: value for name, value in parameters.items() if name not in ("host", "port")}
    url = DatabaseUrl(unquote(user), servers, database, kept)
    if not url.on_loopback and kept.get("sslmode", VERIFY) != VERIFY:
        raise DatabaseUrlProblem(f"sslmode={kept['sslmode']} doesn't check who the server is: leave it out, or write "
                                 f"{VERIFY}, which is the default off loopback")  # fmt: skip
    return url


def _parameters(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise DatabaseUrlProblem("after the ? write NAME=VALUE, and & between two of them") from None
    return dict(pairs)


def _servers(place: str, parameters: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    if "host" in parameters:
        if place:
            raise DatabaseUrlProblem("it has hosts before the database's name and in the parameter host; leave one out")
        ports = parameters.get("port", "")
        return tuple((host, _port(ports)) for host in parameters["host"].split(",") if host)
    if not place:
        raise DatabaseUrlProblem("it names no server: postgresql://USER@HOST/DATABASE")
    return tuple(_server(server) for server in place.split(","))


def _server(text: str) -> tuple[str, int]:
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise DatabaseUrlProblem(f"{text!r} is no server: write an IPv6 address as [2001:db8::1]:5432")
        port = rest[1:]
    else:
        host, _, port = text.partition(":")
    if not host:
        raise DatabaseUrlProblem("a server's name is missing beside a comma")
    return unquote(host), _port(port)


def _port(text: str) -> int:
    if not text:
        return _DEFAULT_PORT
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65_535:
        raise DatabaseUrlProblem(f"{text!r} is no port: write a number from 1 to 65535")
    return int(text)


def _is_local(host: str) -> bool:
    if host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
