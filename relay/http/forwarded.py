"""Finds the client's address behind proxies, in X-Forwarded-For or Forwarded (RFC 7239).

Anybody can write these headers. So the relay reads them only on connections from trusted proxies. Each proxy adds the
address that it saw at the end of the list. So the list is read from the right. The first address that isn't a trusted
proxy's is the client's. The client itself may have written everything left of it.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from twisted.web.http_headers import Headers

#: How many addresses of a header are read, from the right.
_MOST_HOPS: Final = 20

_for = re.compile(r'(?:^|;)\s*for=("[^"]*"|[^;]*)', re.IGNORECASE)


class TrustedProxies:
    """Knows the trusted proxies, and finds the client's address in their headers.

    :param networks: the proxies' networks, such as "10.0.0.0/8" or "::1".
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]
        self.trusts = lru_cache(maxsize=4_096)(self._trusts)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def _trusts(self, host: str) -> bool:
        """Whether this is the address of a trusted proxy."""
        if not self._networks:
            return False
        address = parse_address(host)
        return address is not None and any(address in network for network in self._networks)

    def client_address(self, host: str, headers: Headers) -> str:
        """The address of the client that sent a request over a connection from `host`.

        If a request has both headers, X-Forwarded-For counts. So proxies that write only Forwarded must remove it.
        """
        client = host
        for hop in _hops(headers):
            if not self.trusts(client):
                break
            address = parse_address(hop)
            if address is None:
                # "unknown", or a made-up name. The address of the proxy that wrote it is the last one that is known.
                break
            client = str(address)
        return client


def _hops(headers: Headers) -> Iterator[str]:
    """The addresses that proxies wrote, last one first."""
    forwarded_for = headers.getRawHeaders(b"X-Forwarded-For")
    if forwarded_for:
        hops = b",".join(forwarded_for).decode("latin-1").rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]
        yield from (hop.strip() for hop in reversed(hops))
        return
    forwarded = headers.getRawHeaders(b"Forwarded") or []
    for element in reversed(b",".join(forwarded).decode("latin-1").rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]):
        found = _for.search(element.strip())
        yield found[1].strip().strip('"') if found else ""


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Reads an address from a header or a socket: 192.0.2.1, 192.0.2.1:80, [2001:db8::1]:80; None: it isn't one."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
