"""Reads the header that a proxy writes at the beginning of a connection: PROXY protocol, versions 1 and 2.

https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt is the specification. Of a header, only the client's address
is used.
"""

import ipaddress
import struct
from typing import Final

import msgspec

#: The longest line of version 1, with its CR LF (section 2.1).
_LONGEST_LINE_BYTES: Final = 107
#: Version 2 may have any number of fields after the addresses. About 100 octets are usual, or 1,000 with a certificate.
_LONGEST_FIELDS_BYTES: Final = 4_096

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_LINE_BEGINS: Final = b"PROXY "
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
#: How many octets the addresses and ports of a family take.
_ADDRESSES_BYTES: Final = {_TCP4: 12, _TCP6: 36}


class NoProxyHeader(ValueError):
    """A connection doesn't begin with a PROXY header. The text says what is wrong."""


class ProxyHeader(msgspec.Struct, frozen=True, gc=False):
    """A header that was read.

    :ivar size_bytes: the size of the header.
    :ivar client: the client's address and port; None: the proxy itself is the client (a health check), or it doesn't
        know the client.
    """

    size_bytes: int
    client: tuple[str, int] | None


def read_proxy_header(octets: bytes) -> ProxyHeader | None:
    """Reads the header at the beginning of a connection; None: the header isn't complete yet.

    :raises NoProxyHeader: the octets aren't the beginning of a header.
    """
    if octets[:12] == _SIGNATURE[: len(octets)]:
        return _read_version_2(octets)
    if octets[:6] == _LINE_BEGINS[: len(octets)]:
        return _read_version_1(octets)
    raise NoProxyHeader("it doesn't begin with a PROXY header")


def _read_version_1(octets: bytes) -> ProxyHeader | None:
    line, end, _ = octets[:_LONGEST_LINE_BYTES].partition(b"\r\n")
    if not end:
        if len(octets) >= _LONGEST_LINE_BYTES:
            raise NoProxyHeader("its PROXY line has no end")
        return None
    size_bytes = len(line) + 2
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":
        return ProxyHeader(size_bytes, None)
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise NoProxyHeader("its PROXY line isn't of the form PROXY TCP4 SOURCE DESTINATION PORT PORT")
    try:
        address = ipaddress.ip_address(words[2].decode("ascii"))
        port = int(words[4].decode("ascii"))
    except ValueError as problem:
        raise NoProxyHeader(f"its PROXY line: {problem}") from None
    if address.version != int(words[1][3:]) or not 0 <= port <= 0xFFFF:
        raise NoProxyHeader("its PROXY line names the wrong kind of address, or a port above 65535")
    return ProxyHeader(size_bytes, (str(address), port))


def _read_version_2(octets: bytes) -> ProxyHeader | None:
    if len(octets) < 16:
        return None
    command, family, fields_bytes = struct.unpack_from(">BBH", octets, 12)
    if command not in (_LOCAL, _PROXY):
        raise NoProxyHeader(f"its PROXY header has version and command 0x{command:02X}")
    if fields_bytes > _LONGEST_FIELDS_BYTES:
        raise NoProxyHeader(f"its PROXY header has {fields_bytes} octets of fields, over {_LONGEST_FIELDS_BYTES}")
    size_bytes = 16 + fields_bytes
    if len(octets) < size_bytes:
        return None
    if command == _LOCAL or family not in _ADDRESSES_BYTES:
        # "The receiver must use the real connection endpoints" (2.2): for LOCAL, and for families it doesn't know.
        return ProxyHeader(size_bytes, None)
    if fields_bytes < _ADDRESSES_BYTES[family]:
        raise NoProxyHeader("its PROXY header is too short for its addresses")
    if family == _TCP4:
        source, _, port = struct.unpack_from(">4s4sH", octets, 16)
    else:
        source, _, port = struct.unpack_from(">16s16sH", octets, 16)
    return ProxyHeader(size_bytes, (str(ipaddress.ip_address(source)), port))
