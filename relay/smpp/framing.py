"""Keeps the beginning of a PDU between two reads, until the rest comes.

Theory of operation. The session's loop takes complete PDUs out of a read by itself. The rest of a read is kept here,
with the number of octets that are needed to go on. Pieces are kept as they come, and joined once. So even a peer that
sends octet by octet takes little time.
"""

from relay.smpp.rules import HEADER_OCTETS
from relay.values import smpp_constants as c
from relay.values.pdus import CodecError


class FramingError(CodecError):
    """A command_length isn't possible. So it is unknown where the next PDU begins, and the session must end.

    :ivar sequence_number: the sequence_number for the generic_nack; 0: it can't be decoded (section 4.3.1).
    """

    def __init__(self, message: str, sequence_number: int) -> None:
        super().__init__(message, c.ESME_RINVCMDLEN, fatal=True)
        self.sequence_number = sequence_number


class Remainder:
    """The rest of a read: the beginning of a PDU.

    :ivar octets: how many octets are kept; 0: `complete` need not be called.
    """

    __slots__ = ("_max_pdu_octets", "_needed_octets", "_pieces", "octets")

    def __init__(self, max_pdu_octets: int) -> None:
        self._max_pdu_octets = max_pdu_octets
        self._pieces: list[bytes] = []
        self._needed_octets = 0
        self.octets = 0

    def complete(self, data: bytes) -> bytes:
        """Adds a read. Returns all octets if they have a whole PDU, or more of its header; otherwise b""."""
        self._pieces.append(data)
        self.octets += len(data)
        if self.octets < self._needed_octets:
            return b""
        joined = b"".join(self._pieces)
        self.clear()
        return joined

    def keep(self, data: bytes, at: int) -> None:
        """Keeps `data` from `at` on. It must be the beginning of a PDU, and not a whole one.

        A length below 16 is refused as soon as it has come, because such a PDU may never have a whole header. A length
        that is too large is refused when the whole header has come, because that has the sequence_number. So the result
        doesn't depend on how TCP divides the stream.

        :raises FramingError: command_length isn't possible.
        """
        octets = len(data) - at
        needed_octets = 4
        if octets >= 4:
            needed_octets = HEADER_OCTETS
            length = int.from_bytes(data[at : at + 4], "big")
            if length < HEADER_OCTETS:
                raise FramingError(f"command_length {length} is less than that of a header", 0)
            if octets >= HEADER_OCTETS:
                needed_octets = length
                if length > self._max_pdu_octets:
                    raise FramingError(
                        f"command_length {length} is over the limit of {self._max_pdu_octets}",
                        int.from_bytes(data[at + 12 : at + 16], "big"),
                    )
        self._needed_octets = needed_octets
        self._pieces.append(data[at:])
        self.octets = octets

    def hold(self, data: bytes, at: int) -> None:
        """Keeps `data` from `at` on, whatever it is. The next `complete` returns it."""
        self._needed_octets = 0
        self._pieces.append(data[at:])
        self.octets += len(data) - at

    @property
    def kept(self) -> bytes:
        """The octets that are kept."""
        return b"".join(self._pieces)

    def clear(self) -> None:
        """Drops the kept octets."""
        self._pieces.clear()
        self.octets = 0
