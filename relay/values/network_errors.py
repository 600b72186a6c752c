"""The optional parameter network_error_code, in words (SMPP 3.4 section 5.3.2.31, SMPP 5.0 section 4.8.4.42).

It has three octets: one for the type of the network, and two for the number of the network's error.
"""

import re
from collections.abc import Mapping
from typing import Final

#: The types of networks. 8 stands for errors of the message centre itself.
_NETWORKS: Final[Mapping[int, bytes]] = {
    1: b"ANSI-136",
    2: b"IS-95",
    3: b"GSM",
    4: b"ANSI-136",
    5: b"IS-95",
    6: b"ANSI-41",
    7: b"SMPP",
    8: b"SMSC",
}


_in_words = re.compile(r"(?:(?:ANSI-136|IS-95|GSM|ANSI-41|SMPP|SMSC)|network [0-9]+ error) ([0-9]+)", re.A).fullmatch


def network_error_text(code: bytes) -> bytes:
    """The error in words, such as `GSM 21`. Empty if there is no error, or if its number is zero.

    A parameter of another length is given as it is if it has only letters and digits, and otherwise in hexadecimal.
    """
    if not code.strip(b"\0") or (len(code) == 3 and code[1:] == b"\0\0"):
        return b""
    if len(code) == 3 and code[0] in _NETWORKS:
        return b"%b %d" % (_NETWORKS[code[0]], int.from_bytes(code[1:]))
    text = code.strip(b"\0")
    if text.isalnum():
        return text
    if len(code) == 3:
        return b"network %d error %d" % (code[0], int.from_bytes(code[1:]))
    return code.hex().encode()


def error_number(error: str) -> int:
    """The number in a carrier's error: its err, or the number behind `network_error_text`'s words; 0: it has none."""
    if error.isdecimal() and error.isascii():
        return int(error)
    found = _in_words(error)
    return int(found[1]) if found is not None else 0


def error_in_receipts(error: bytes, network_error_code: bytes) -> bytes:
    """A carrier's error for the field `err` of a receipt: the network error's number in three digits, if there is one.

    :param error: the carrier's err, or `network_error_text`.
    """
    if error and len(network_error_code) == 3 and error == network_error_text(network_error_code) and b" " in error:
        return b"%03d" % int.from_bytes(network_error_code[1:])
    return error
