"""Networks of addresses. A limit for one address holds for its network: an IPv6 customer has very many addresses."""

import ipaddress
from functools import lru_cache
from typing import Final

#: An IPv6 customer gets a network of at most this prefix length (RFC 6177), and may use every address in it.
_IPV6_PREFIX: Final = 64


@lru_cache(maxsize=16_384)
def network_of(address: str) -> str:
    """The network of an address: an IPv4 address itself, or the /64 of an IPv6 address.

    A listener on :: sees IPv4 addresses in IPv6 form (::ffff:192.0.2.1). They count as IPv4 addresses. If the text is
    no address, such as the path of a UNIX socket, the text itself is returned.
    """
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> _IPV6_PREFIX << _IPV6_PREFIX, _IPV6_PREFIX)))
