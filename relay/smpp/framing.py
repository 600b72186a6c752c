"""The beginning of a PDU that waits for its rest, between two reads.

Theory of operation. The session's loop cuts complete PDUs out of a read by itself. What is left over comes here, with
the number of octets that it takes to go on; pieces are kept as they come and joined once, so that a peer that sends
octet by octet costs no more than its octets.
"""

from relay.smpp.rules import HEADER_OCTETS
from relay.values import smpp_constants as c
from relay.values.pdus import CodecError


class FramingError(CodecError):
    """No PDU can have this command_length: where the next one begins is unknown, and the session must end.

    :ivar sequence_number: what the generic_nack is to say; 0 where the PDU can't be decoded as far (section 4.3.1).
    """

    def __init__(self, message: str, sequence_number: int) -> None:
        super().__init__(message, c.ESME_RINVCMDLEN, fatal=True)
        self.sequence_number = sequence_number


class Remainder:
    """What was left over of a read.

    :ivar octets: how many; 0: `complete` need not be asked.
    """

    __slots__ = ("_max_pdu_octets", "_needed_octets", "_pieces", "octets")

    def __init__(self, max_pdu_octets: int) -> None:
        self._max_pdu_octets = max_pdu_octets
        self._pieces: list[bytes] = []
        self._needed_octets = 0
        self.octets = 0

    def complete(self, data: bytes) -> bytes:
        """Adds a read and gives all there is, once that makes a PDU (or tells more of its header); b"" until then."""
        self._pieces.append(data)
        self.octets += len(data)
        if self.octets < self._needed_octets:
            return b""
        joined = b"".join(self._pieces)
        self.clear()
        return joined

    def keep(self, data: bytes, at: int) -> None:
        """Keeps what `data` holds from `at` on: the beginning of a PDU, and never the whole of a good one.

        A length under 16 is noticed as soon as it is there, because such a PDU may never have a whole header. One that
        is too long is noticed when its header, which has the number, is there. So how TCP cuts the stream changes
        nothing.

        :raises FramingError: command_length is impossible.
        """
        octets = len(data) - at
        needed_octets = 4
        if octets >= 4:
            needed_octets = HEADER_OCTETS
            length = int.from_bytes(data[at : at + 4], "big")
            if length < HEADER_OCTETS:
                raise FramingError(f"command_length {length} is less than a header's", 0)
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
        """Keeps what `data` holds from `at` on, whatever it is. The next `complete` gives it back."""
        self._needed_octets = 0
        self._pieces.append(data[at:])
        self.octets += len(data) - at

    def clear(self) -> None:
        """Forgets what was kept."""
        self._pieces.clear()
        self.octets = 0
