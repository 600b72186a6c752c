"""Parsing a request that arrived in one piece and is plain, which is what nearly all of them are.

twisted.web reads a request line by line, and decides on each; for a small request that costs more than everything that
is done with it (60 µs; this: 10 µs). Whatever isn't plain, in any way, is left to twisted.web: this module gives None
and nothing has happened. `tests/http/test_whole_request.py` holds it to twisted.web's reading.
"""

import re
from typing import Final, NamedTuple

#: twisted.web's own bounds.
MOST_HEAD_BYTES: Final = 16_384
MOST_HEADERS: Final = 500

#: Headers that ask for something special.
_UNUSUAL: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"cookie", b"te", b"trailer"})

_KNOWN_NAMES: Final = 1_000

_request_line = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/1\.1").fullmatch
_token = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch

#: By a name as clients write it: its canonical form.
_names: dict[bytes, bytes] = {}


class Whole(NamedTuple):
    """A request. Header names are canonical ("Content-Type")."""

    method: bytes
    target: bytes
    headers: dict[bytes, list[bytes]]
    body: bytes


def parse_whole(data: bytes, most_body_bytes: int) -> Whole | None:
    """The one request that `data` consists of; None where it is anything but exactly one plain request."""
    end = data.find(b"\r\n\r\n")
    if end < 0 or end > MOST_HEAD_BYTES:
        return None
    head = data[:end]
    first, *lines = head.split(b"\r\n")
    breaks = len(lines)
    if breaks > MOST_HEADERS or head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head:
        return None
    found = _request_line(first)
    if found is None:
        return None
    headers: dict[bytes, list[bytes]] = {}
    length = 0
    for line in lines:
        written, colon, value = line.partition(b":")
        name = _names.get(written) or _canonical(written)
        if not name or not colon:
            return None
        value = value.strip(b" \t")
        if name == b"Content-Length":
            if name in headers or not value.isdigit() or len(value) > 10:
                return None
            length = int(value)
        elif name == b"Connection" and value.lower() != b"keep-alive":
            return None
        if name in headers:
            headers[name].append(value)
        else:
            headers[name] = [value]
    if length > most_body_bytes or len(data) != end + 4 + length:
        return None
    return Whole(found[1], found[2], headers, data[end + 4 :])


def _canonical(written: bytes) -> bytes:
    """A header's name in canonical form; b"" where it is none, or asks for something special."""
    if _token(written) is None or written.lower() in _UNUSUAL:
        return b""
    name = b"-".join([word.capitalize() for word in written.split(b"-")])
    # A few are written otherwise; they are not read here, and twisted.web knows them.
    if name in (b"Content-Md5", b"Dnt", b"Etag", b"P3p", b"Www-Authenticate", b"X-Xss-Protection"):
        return b""
    if len(_names) < _KNOWN_NAMES:
        _names[written] = name
    return name
