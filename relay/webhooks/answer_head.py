"""Reads the head of an HTTP answer: it accepts broken heads as far as this is safe.

An answer counts even if it breaks a rule of RFC 9112. A receiver that answers 2xx has the notification, and a second
POST would send it the same notification again. But if a head breaks a rule, the relay can't know for sure where the
answer ends. Then the status counts, and the relay closes the connection and never uses it again.

Theory of operation: `read_head` returns a head that Twisted's strict parser accepts. It leaves an ordinary head as it
is.
"""

import re
from typing import Final, NamedTuple

#: A head ends at its first empty line.
END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")

#: Twisted's parser refuses longer lines, so `read_head` rewrites longer heads.
_LONGEST_LINE_BYTES: Final = 16_000

#: The relay accepts a Content-Length only if it has fewer digits than this.
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
    """The facts that the relay needs from a head.

    :ivar text: the head in a form that Twisted's parser accepts.
    :ivar length: octets in the body; None: the body ends with its last chunk, or with the connection.
    :ivar keeps: True if the relay may use the connection again.
    """

    status: int
    text: bytes
    length: int | None
    keeps: bool


def status_of_head(head: bytes) -> int | None:
    """Returns the status in the first line of a head; None if that line isn't HTTP."""
    found = _STATUS.match(head)
    return int(found[3]) if found is not None else None


def read_head(head: bytes, follows: int) -> AnswerHead | None:
    """Reads a head, which may be incomplete; returns None if it isn't HTTP.

    :param head: the octets up to the empty line, or those that came before the connection broke off.
    :param follows: how many octets came after the head. If the head gives no length, these octets are the body.
    """
    ordinary = _ORDINARY.fullmatch(head) if len(head) < _LONGEST_LINE_BYTES else None
    if ordinary is None:
        return _read_odd(head, follows)
    length: int | None = None
    framed = 0
    # Several Connection headers may contradict each other: then `close` counts.
    keeps, closes = ordinary[1] == b"1", False
    status = int(ordinary[2])
    for name, value in _FRAMING.findall(head):
        value = value.strip(b" \t").lower()
        if len(name) == len(b"connection"):
            keeps, closes = keeps or value == b"keep-alive", closes or b"close" in value
            continue
        framed += 1
        if len(name) == len(b"content-length") and value.isdigit() and len(value) < _LONGEST_LENGTH:
            length = int(value)
        elif value != b"chunked" or ordinary[1] == b"0":
            return _read_odd(head, follows)
    keeps = keeps and not closes
    if status in _WITHOUT_BODY:
        return AnswerHead(status, head, 0, keeps and (framed == 0 or length == 0))
    if framed > 1:
        return _read_odd(head, follows)
    return AnswerHead(status, head, length, keeps and framed == 1)


def _read_odd(head: bytes, follows: int) -> AnswerHead | None:
    """Reads a head that breaks a rule, and writes a valid head with the facts that count."""
    status = status_of_head(head)
    if status is None:
        return None
    values: dict[bytes, list[bytes]] = {}
    last: list[bytes] = []
    for line in re.split(rb"\r?\n", head)[1:]:
        name, colon, value = line.partition(b":")
        if line[:1] in (b" ", b"\t"):
            # The line continues the header above (obsolete since RFC 7230).
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
    """Returns the length of the body, or the best guess; None: the body comes in chunks."""
    encodings = [encoding.lower() for encoding in values.get(b"transfer-encoding", ())]
    if encodings == [b"chunked"]:
        return None
    lengths = {length.strip() for value in values.get(b"content-length", ()) for length in value.split(b",")}
    if len(lengths) == 1 and (encodings in ([], [b"identity"])):
        (length,) = lengths
        if length.isdigit() and len(length) < _LONGEST_LENGTH:
            return int(length)
    return follows
