"""The head of an HTTP answer, read as tolerantly as it is safe.

What a receiver has answered counts, also when the answer breaks a rule of RFC 9112: with a status of 2xx it has the
notification, and another POST would give it the same one again. But where a head breaks a rule, nobody can be sure
where the answer ends. Then the status counts, and the connection is closed and never used again.

Theory of operation: `read_head` gives a head that Twisted's strict parser takes. An ordinary one is given as it came.
"""

import re
from typing import Final, NamedTuple

#: Where a head ends: at the first empty line.
END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")

#: Twisted's parser takes no longer line, so that longer heads are written anew.
_LONGEST_LINE_BYTES: Final = 16_000

#: Content-Length has fewer digits than this.
_LONGEST_LENGTH: Final = 19

_ORDINARY: Final = re.compile(
    rb"HTTP/1\.([01]) ([2-5][0-9][0-9])(?: [^\r\n\0]*)?\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)*\r\n"
)
_STATUS: Final = re.compile(rb"HTTP/([0-9])(?:\.([0-9]+))?[ \t]+([1-9][0-9][0-9])(?![0-9])", re.IGNORECASE)
_FRAMING: Final = re.compile(rb"\n(content-length|transfer-encoding|connection):([^\r\n]*)", re.IGNORECASE)
_UNPRINTABLE: Final = re.compile(rb"[^\t\x20-\x7e]")

#: Answers with these statuses have no body.
_WITHOUT_BODY: Final = (204, 304)


class AnswerHead(NamedTuple):
    """What a head says.

    :ivar text: the head for Twisted's parser.
    :ivar length: of the body; None: up to the last chunk, or to the end of the connection.
    :ivar keeps: whether the connection may be used again.
    """

    status: int
    text: bytes
    length: int | None
    keeps: bool


def status_of_head(head: bytes) -> int | None:
    """The status in the first line of a head; None where that is no HTTP."""
    found = _STATUS.match(head)
    return int(found[3]) if found is not None else None


def read_head(head: bytes, follows: int) -> AnswerHead | None:
    """Reads a head up to its empty line, or as much of it as there is; None where it is no HTTP.

    :param follows: so many octets came behind it. Where the head doesn't say how long the body is, they are the body.
    """
    ordinary = _ORDINARY.fullmatch(head) if len(head) < _LONGEST_LINE_BYTES else None
    if ordinary is None:
        return _read_odd(head, follows)
    length: int | None = None
    framed = 0
    closes = ordinary[1] == b"0"
    status = int(ordinary[2])
    for name, value in _FRAMING.findall(head):
        value = value.strip(b" \t").lower()
        if len(name) == len(b"connection"):
            closes = b"close" in value or (closes and value != b"keep-alive")
            continue
        framed += 1
        if len(name) == len(b"content-length") and value.isdigit() and len(value) < _LONGEST_LENGTH:
            length = int(value)
        elif value != b"chunked" or ordinary[1] == b"0":
            return _read_odd(head, follows)
    if status in _WITHOUT_BODY:
        return AnswerHead(status, head, 0, not closes and (framed == 0 or length == 0))
    if framed > 1:
        return _read_odd(head, follows)
    return AnswerHead(status, head, length, not closes and framed == 1)


def _read_odd(head: bytes, follows: int) -> AnswerHead | None:
    """Reads a head that breaks a rule, and writes what counts in it anew."""
    status = status_of_head(head)
    if status is None:
        return None
    values: dict[bytes, list[bytes]] = {}
    last: list[bytes] = []
    for line in re.split(rb"\r?\n", head)[1:]:
        name, colon, value = line.partition(b":")
        if line[:1] in (b" ", b"\t"):
            # A header of several lines (obsolete since RFC 7230).
            if last:
                last[-1] += b" " + line.strip()
        elif colon:
            last = values.setdefault(name.strip().lower(), [])
            last.append(value.strip())
    text = b"HTTP/1.1 %d\r\n" % status
    for value in values.get(b"retry-after", ()):
        if not _UNPRINTABLE.search(value):
            text += b"Retry-After: %b\r\n" % value
    length = 0 if status in _WITHOUT_BODY else _odd_length(values, follows)
    text += b"Transfer-Encoding: chunked\r\n\r\n" if length is None else b"Content-Length: %d\r\n\r\n" % length
    return AnswerHead(status, text, length, keeps=False)


def _odd_length(values: dict[bytes, list[bytes]], follows: int) -> int | None:
    """The length of the body as far as it can be told; None: it comes in chunks."""
    encodings = [encoding.lower() for encoding in values.get(b"transfer-encoding", ())]
    if encodings == [b"chunked"]:
        return None
    lengths = {length.strip() for value in values.get(b"content-length", ()) for length in value.split(b",")}
    if len(lengths) == 1 and (encodings in ([], [b"identity"])):
        (length,) = lengths
        if length.isdigit() and len(length) < _LONGEST_LENGTH:
            return int(length)
    return follows
