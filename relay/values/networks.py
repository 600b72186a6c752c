"""Which addresses are one party's: whatever is counted or limited by address is counted by network."""

import ipaddress
from functools import lru_cache
from typing import Final

#: An IPv6 customer is given at least so many leading bits of its own (RFC 6177), and may use any address under them.
_IPV6_PREFIX: Final = 64


@lru_cache(maxsize=16_384)
def network_of(address: str) -> str:
    """The network that an address is counted as: an IPv4 address itself, the /64 of an IPv6 address.

    An IPv4 address in IPv6 form (::ffff:192.0.2.1, as a listener on :: sees it) counts as the IPv4 address. What is no
    address, a path of a UNIX socket for instance, counts as itself.
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
