"""The rows of a shard's log as values, and the chain of digests that ties each row to the row before.

Theory of operation: a row's digest covers its octets, its place, its epoch, and the digest of the row before. So two
logs with the same last digest are the same from end to end. A relay that comes back to its database compares only the
last row that it knows. A reader notices at once if rows were replaced after it had read them.
"""

import hashlib
from typing import Final

import msgspec

_DIGEST_BYTES: Final = 16


class LogPlace(msgspec.Struct, frozen=True):
    """The last row of a log, as a relay knows it.

    :ivar sequence: 0: the log is empty.
    :ivar segment: the segment of the row.
    """

    sequence: int = 0
    digest: bytes = b""
    segment: int = 0


#: The place before the first row.
EMPTY_LOG: Final = LogPlace()


class LogRow(msgspec.Struct, frozen=True):
    """One commit of the journal.

    :ivar start: the offset of the octets in the segment.
    :ivar before: the digest of the row before; empty: this is the first row.
    """

    sequence: int
    epoch: int
    before: bytes
    digest: bytes
    segment: int
    start: int
    octets: bytes

    @property
    def place(self) -> LogPlace:
        """The place of this row."""
        return LogPlace(self.sequence, self.digest, self.segment)

    @property
    def is_intact(self) -> bool:
        """Whether the row is as it was written."""
        return self.digest == _digest(self.before, self.sequence, self.epoch, self.segment, self.start, self.octets)


def row_after(last: LogPlace, epoch: int, segment: int, start: int, octets: bytes) -> LogRow:
    """Makes the row that follows the last one."""
    sequence = last.sequence + 1
    digest = _digest(last.digest, sequence, epoch, segment, start, octets)
    return LogRow(sequence, epoch, last.digest, digest, segment, start, octets)


def _digest(before: bytes, sequence: int, epoch: int, segment: int, start: int, octets: bytes) -> bytes:
    digest = hashlib.blake2b(b"%d %d %d %d " % (sequence, epoch, segment, start), digest_size=_DIGEST_BYTES)
    digest.update(before)
    digest.update(octets)
    return digest.digest()
