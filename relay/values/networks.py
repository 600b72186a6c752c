"""Networks: everything that is counted or limited by address counts the network of the address."""

import ipaddress
from functools import lru_cache
from typing import Final

#: An IPv6 customer has at least so many leading bits of its own (RFC 6177), and may use any address under them.
_IPV6_PREFIX: Final = 64


@lru_cache(maxsize=16_384)
def network_of(address: str) -> str:
    """The network of an address: an IPv4 address itself, or the /64 of an IPv6 address.

    An IPv4 address in IPv6 form (::ffff:192.0.2.1, as a listener on :: sees it) counts as the IPv4 address. A text
    that is no address, such as the path of a UNIX socket, counts as itself.
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
