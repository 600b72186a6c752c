"""Finds all PDUs of one read with one call of a regular expression.

Nearly all PDUs that a generator gets have one of two shapes: responses to its requests, and requests of one length
that differ in a few fields. First the plain way takes one PDU of each shape apart. Then a regular expression of
exactly these two shapes finds all PDUs of a read in one call. This takes 0.3 us per PDU instead of 2 us, so the
generator costs less than the gateway that it measures. If a read doesn't match exactly, from end to end, the plain way
reads it.
"""

import re
from collections.abc import Sequence

#: Groups of one match, in the order of the two shapes; those of the other shape are empty.
Fields = tuple[bytes, ...]


class FastPath:
    """Two learnt shapes, and what they find."""

    def __init__(self) -> None:
        self._response: tuple[int, bytes, bytes] | None = None
        self._request: tuple[int, bytes, bytes] | None = None
        self._pattern: re.Pattern[bytes] | None = None

    def learn_response(self, pdu: bytes, fields: Sequence[tuple[int, int]]) -> None:
        """A response's shape: sequence_number is the first group, then the `fields` (from, to) of it."""
        self._response = self._shape(pdu, fields, [])
        self._compile()

    def learn_request(
        self, pdu: bytes, fields: Sequence[tuple[int, int]], constants: Sequence[tuple[int, int]] = ()
    ) -> None:
        """A request's shape, as for the response; `constants` are spans that every such PDU must have alike."""
        self._request = self._shape(pdu, fields, constants)
        self._compile()

    def find(self, data: bytes) -> tuple[list[Fields], list[Fields], int] | None:
        """Responses, requests and how many octets they took; None unless they are all there is but a cut last PDU."""
        if self._pattern is None or self._response is None or self._request is None:
            return None
        found = self._pattern.findall(data)
        responses = [fields for fields in found if fields[0]]
        requests = [fields for fields in found if not fields[0]] if len(responses) < len(found) else []
        consumed = len(responses) * self._response[0] + len(requests) * self._request[0]
        rest = len(data) - consumed
        if rest:
            for length, head, _ in (self._response, self._request):
                if 0 < rest < length and head.startswith(data[consumed : consumed + 12]):
                    break
            else:
                return None
        return responses, requests, consumed

    @staticmethod
    def _shape(
        pdu: bytes, fields: Sequence[tuple[int, int]], constants: Sequence[tuple[int, int]]
    ) -> tuple[int, bytes, bytes]:
        parts, at = [re.escape(pdu[:12]), b"(.{4})"], 16
        spans = sorted(
            [(begin, end, True) for begin, end in fields] + [(begin, end, False) for begin, end in constants]
        )
        for begin, end, captured in spans:
            parts.append(b".{%d}" % (begin - at))
            parts.append(b"(.{%d})" % (end - begin) if captured else re.escape(pdu[begin:end]))
            at = end
        parts.append(b".{%d}" % (len(pdu) - at))
        return len(pdu), pdu[:12], b"".join(parts)

    def _compile(self) -> None:
        if self._response and self._request:
            self._pattern = re.compile(self._response[2] + b"|" + self._request[2], re.DOTALL)
