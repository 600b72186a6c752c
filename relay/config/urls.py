"""Notification URLs: their form, and the addresses that they may lead to.

Customers choose where the relay sends requests, and the relay is inside the operator's network. So the relay checks a
URL twice: its form when the customer sets it (`parse_url`), and the addresses of its host at each connection
(`address_problem`). It then connects to the address that it has checked.
"""

import base64
import ipaddress
import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import msgspec

from relay.config.host_names import ascii_host

LONGEST_URL: Final = 2048


class UrlProblem(ValueError):
    """A text can't be a notification URL. The exception's own text tells the customer why."""


class WebUrl(msgspec.Struct, frozen=True, gc=False):
    """A URL, taken apart for the request that goes there.

    :ivar host: ASCII (IDNA), without brackets.
    :ivar authority: the Host header.
    :ivar target: path and query as they stand in the request line.
    :ivar authorization: an Authorization header of the URL's user and password; b"": the URL has none.
    :ivar plain: the URL without user, password and fragment.
    :ivar origin: scheme, host and port. They say where connections go.
    """

    secure: bool
    host: str
    port: int
    authority: bytes
    target: bytes
    authorization: bytes = b""
    plain: bytes = b""
    origin: str = ""


#: A URL whose path and query need no quoting. The part before them is parsed once for all URLs of an origin.
_ORDINARY: Final = re.compile(
    r"(https?://[^/?#\\\x00-\x20\x7f]+)(/[A-Za-z0-9/:@!$&'()*+,;=~._%-]*)(\?[A-Za-z0-9/:@!$&'()*+,;=~._%?{}|^`-]+)?"
)


def parse_url(text: str) -> WebUrl:
    """Takes a notification URL apart.

    :raises UrlProblem: the URL isn't allowed. The text is a sentence that says why.
    """
    ordinary = _ORDINARY.fullmatch(text) if len(text) <= LONGEST_URL else None
    if ordinary is None:
        return parse_any_url(text)
    # A message may have a URL of its own. It is parsed several times for each message: 27 µs without the cache.
    origin = _parse_origin(ordinary[1])
    target = text[ordinary.end(1) :].encode("ascii")
    return WebUrl(
        origin.secure,
        origin.host,
        origin.port,
        origin.authority,
        target,
        origin.authorization,
        origin.plain + target,
        origin.origin,
    )


def origin_and_path(text: str) -> tuple[str, str]:
    """Where a URL's connections go, and the URL without its query: such URLs lead to one place, and fail together.

    :raises UrlProblem: the URL is wrong.
    """
    ordinary = _ORDINARY.fullmatch(text) if len(text) <= LONGEST_URL else None
    if ordinary is None:
        url = parse_any_url(text)
        return url.origin, url.origin + url.target.partition(b"?")[0].decode()
    origin = _parse_origin(ordinary[1]).origin
    return origin, origin + ordinary[2]


@lru_cache(maxsize=4096)
def _parse_origin(text: str) -> WebUrl:
    """Parses a URL that ends after its authority."""
    url = parse_any_url(text + "/")
    return msgspec.structs.replace(url, plain=url.origin.encode("ascii"))


def parse_any_url(text: str) -> WebUrl:
    """Takes any URL apart, as `parse_url` does, but more slowly."""
    if len(text) > LONGEST_URL:
        raise UrlProblem(f"The URL is longer than {LONGEST_URL} characters.")
    if any(character <= " " or character == "\x7f" or character == "\\" for character in text):
        raise UrlProblem("The URL contains a space, a backslash or a control character.")
    try:
        text.encode("utf-8")
        split = urlsplit(text)
        port = split.port
        name = split.hostname or ""
    except ValueError as problem:
        raise UrlProblem(f"The URL can't be read: {problem}.") from None
    if split.scheme not in ("http", "https"):
        raise UrlProblem("The URL must begin with http:// or https://.")
    if not name:
        raise UrlProblem("The URL names no host.")
    if port == 0:
        raise UrlProblem("The URL's port must be from 1 to 65535.")
    secure = split.scheme == "https"
    host = _ascii_host(name)
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port is None or port == (443 if secure else 80) else f"{shown}:{port}"
    target = quote(split.path or "/", safe="/:@!$&'()*+,;=~-._%")
    if split.query:
        target += "?" + quote(split.query, safe="/:@!$&'()*+,;=~-._%?[]{}|^`")
    authorization = b""
    if split.username is not None:
        login = f"{unquote(split.username)}:{unquote(split.password or '')}"
        authorization = b"Basic " + base64.b64encode(login.encode())
    return WebUrl(
        secure,
        host,
        port or (443 if secure else 80),
        authority.encode("ascii"),
        target.encode("ascii"),
        authorization,
        f"{split.scheme}://{authority}{target}".encode("ascii"),
        f"{split.scheme}://{authority}",
    )


def check_url(text: str, *, allow_private: bool) -> WebUrl:
    """Does what `parse_url` does, and also checks the host if it is an address.

    :raises UrlProblem: the URL isn't allowed. The text is a sentence that says why.
    """
    url = parse_url(text)
    if not allow_private:
        name = url.host.removesuffix(".").lower()
        if name == "localhost" or name.endswith(".localhost"):
            raise UrlProblem("The URL leads to the relay's own machine.")
        try:
            ipaddress.ip_address(url.host)
        except ValueError:
            return url
        problem = address_problem(url.host)
        if problem:
            raise UrlProblem(f"The URL leads to {problem}.")
    return url


def _ascii_host(name: str) -> str:
    if ":" in name:
        try:
            address = ipaddress.IPv6Address(name)
        except ValueError:
            raise UrlProblem("The URL's host is not a valid IPv6 address.") from None
        if address.scope_id is not None:
            raise UrlProblem("The URL's IPv6 address names a network interface.")
        return str(address)
    try:
        host = ascii_host(name)
    except ValueError:
        raise UrlProblem("The URL's host name can't be written in ASCII (IDNA 2008).") from None
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or not all(_is_label(label) for label in labels):
        raise UrlProblem("The URL's host name is not valid.")
    if labels[-1].isdigit() or labels[-1][:2].lower() == "0x":
        # A resolver reads 127.1, 2130706433 and 0x7f.1 as 127.0.0.1. No host name ends in a number.
        try:
            return str(ipaddress.IPv4Address(host.removesuffix(".")))
        except ValueError:
            raise UrlProblem("The URL's host ends in a number. Write an IPv4 address as four numbers.") from None
    return host


def _is_label(label: str) -> bool:
    return 0 < len(label) <= 63 and all(c.isascii() and (c.isalnum() or c in "-_") for c in label)


# Only the well-known prefix. In 64:ff9b:1::/48 each network decides where the IPv4 address stands (RFC 8215). Addresses
# with that prefix are local, and are refused as such.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_V4_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
# Only this part of IPv6 is assigned for general use. Its special networks are listed below.
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6: Final = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
# `is_global` is true for these in some versions of Python.
_SPECIAL_V4: Final = tuple(map(ipaddress.IPv4Network, ("192.0.0.0/24", "192.88.99.0/24")))
# Azure's platform service. The address looks public, but only machines inside the cloud can reach it.
_PLATFORM: Final = frozenset({ipaddress.IPv4Address("168.63.129.16")})


def address_problem(text: str) -> str | None:
    """Says why a customer's webhook may not go to an IP address; None: it may.

    Refused are loopback, private, link-local (cloud metadata services have such addresses), carrier-grade NAT,
    multicast, reserved and unspecified addresses, also if they are inside an IPv6 address (mapped, compatible, 6to4,
    Teredo, NAT64).
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return f"{text!r}, which isn't an IP address"
    if isinstance(address, ipaddress.IPv6Address):
        embedded = _embedded_v4(address)
        if embedded is not None:
            return _v4_problem(embedded)
        special = any(address in network for network in _SPECIAL_V6)
        if special or address not in _GLOBAL_UNICAST or not address.is_global:
            return f"the private or reserved address {text}"
        return None
    return _v4_problem(address)


def _v4_problem(address: ipaddress.IPv4Address) -> str | None:
    if address.is_loopback:
        return f"the relay's own machine ({address})"
    special = address in _PLATFORM or any(address in network for network in _SPECIAL_V4)
    if special or not address.is_global or address.is_multicast:
        return f"the private or reserved address {address}"
    return None


def _embedded_v4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address to which a packet to this IPv6 address may go."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _V4_COMPATIBLE and int(address) > 0xFFFF:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
