"""Reads forms in multipart/form-data (RFC 7578) from a body in memory; it writes no files."""

import re
from typing import Final

from relay.http.problems import Problem

MULTIPART: Final = b"multipart/form-data"

_boundary = re.compile(rb';\s*boundary="?([^";,]{1,70})"?', re.IGNORECASE).search
_name = re.compile(rb'[;\s]name=(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))', re.IGNORECASE).search
_line_end = re.compile(rb"\r\n|\n")


def multipart_fields(content_type: bytes, body: bytes, most: int) -> list[tuple[bytes, bytes]]:
    """Returns the names and values of a form in their order, as octets.

    If a field is a file, its value is the file's content.

    :param content_type: the whole value of the header Content-Type, with the boundary.
    :param most: the most fields that the form may have.
    :raises Problem: 400: the body is not such a form, or it has more than `most` fields.
    """
    found = _boundary(content_type)
    if found is None:
        raise Problem(400, "multipart/form-data needs a boundary in its Content-Type.")
    delimiter = b"--" + found[1].rstrip()
    pieces = (b"\r\n" + body).split(b"\r\n" + delimiter)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise Problem(400, "The multipart body does not end with its boundary.")
    if len(pieces) - 2 > most:
        raise Problem(400, f"There are more than {most} fields.")
    fields: list[tuple[bytes, bytes]] = []
    for piece in pieces[1:-1]:
        head, separator, value = piece.partition(b"\r\n\r\n")
        name = _field_name(head)
        if not separator or name is None:
            raise Problem(400, "A part of the multipart body has no Content-Disposition with a name.")
        fields.append((name, value))
    return fields


def _field_name(head: bytes) -> bytes | None:
    for line in _line_end.split(head):
        key, _, value = line.partition(b":")
        if key.strip().lower() == b"content-disposition":
            found = _name(value)
            if found is None:
                return None
            quoted: bytes = found[1] if found[1] is not None else found[2]
            # Browsers write a quotation mark in a name in one of these two ways.
            return quoted.replace(b"%22", b'"').replace(b'\\"', b'"')
    return None
