"""The format of the journal's files: segment headers and frames. docs/journal.md draws it.

Theory of operation: a segment has a header and frames. A frame has a length, a CRC, and a msgpack array of records. One
call of the store makes one frame, so a batch is on the disk as a whole or not at all. Every commit begins with a frame
that says how much of the segment had been synced before it (`Synced`). A crash can tear only octets that were not
synced. So if a later `Synced` says that a bad frame had been synced, it is damage. Any other bad frame is a torn tail,
which is cut.

All functions work on octets. The relay, the repair, and the command that prints a journal use the same ones.
"""

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import Any, Final

import msgspec

from relay.store.table.records import Record, Setting, Synced
from relay.values.ids import id_text
from relay.values.messages import destination_of, source_of

MAGIC: Final = b"RLYJRNL\n"
#: It is raised when the journal gets a new kind of record, because an older relay would take that for damage.
#: 2: `Placed`. 3: `Evidence` and `MatchRate`. 4: `InboundMessage` and `InboundPart`.
#: 5: `RoundEnded` and `RoundLearnt`. 6: `Charged` and `AccountTotals`. 7: `Ended`.
FORMAT_VERSION: Final = 7
#: magic, format version, unused, sequence, created_at, CRC of all before it
_HEADER = Struct(">8sHHQdI")
HEADER_BYTES: Final = _HEADER.size
#: length of the payload, CRC-32 of the payload (as zlib computes it)
_FRAME = Struct(">II")
FRAME_HEADER_BYTES: Final = _FRAME.size
#: No frame has a longer payload. A larger number isn't a length.
MAX_PAYLOAD_BYTES: Final = 256 * 1024 * 1024

# A `Synced` record is written by hand, because its length must not depend on the number: it is an array with one array
# of the tag and a 32-bit integer.
_SYNCED_PREFIX = b"\x91\x92\x1e\xce"
_SYNCED = Struct(">4sI")
SYNCED_FRAME_BYTES: Final = FRAME_HEADER_BYTES + _SYNCED.size
_SYNCED_FRAME = re.compile(rb"\x00\x00\x00\x08(....)(" + re.escape(_SYNCED_PREFIX) + rb"....)", re.DOTALL)

SEGMENT_SUFFIX: Final = ".seg"
_SEGMENT_NAME = re.compile(r"^(\d{12})\.seg$")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Record])


class JournalError(Exception):
    """The journal can't be read. The relay must not guess what it had.

    :ivar operator_message: what is wrong, where, and what to do, for the operator.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.operator_message = message


class DamagedJournal(JournalError):
    """Octets in the middle of the journal are not as they were written.

    :ivar file: the segment's path.
    :ivar offset: the offset in the segment.
    """

    def __init__(self, file: str, offset: int, directory: str, what: str) -> None:
        super().__init__(
            f"{file}: damaged at offset {offset}: {what}. The relay has not started, and nothing was changed. "
            f"To go on without the damaged part: python -m relay journal --repair {directory} "
            "(it keeps a copy, and says what it drops)."
        )
        self.file = file
        self.offset = offset


class NewerJournal(JournalError):
    """The journal was written by a newer relay."""

    def __init__(self, file: str, version: int) -> None:
        super().__init__(
            f"{file}: journal format {version}; this relay reads formats up to {FORMAT_VERSION}. "
            "Run the relay version that wrote it, or a newer one."
        )


class SegmentHeader(msgspec.Struct, frozen=True):
    """The head of a segment file."""

    version: int
    sequence: int
    created_at: float


def segment_name(sequence: int) -> str:
    """The file name of a segment, `000000000017.seg`."""
    return f"{sequence:012d}{SEGMENT_SUFFIX}"


def segment_sequence(name: str) -> int | None:
    """The number in a segment's file name; None: it isn't a segment."""
    match = _SEGMENT_NAME.match(name)
    return int(match[1]) if match else None


def encode_header(sequence: int, created_at: float) -> bytes:
    """The first octets of a segment."""
    head = _HEADER.pack(MAGIC, FORMAT_VERSION, 0, sequence, created_at, 0)[:-4]
    return head + zlib.crc32(head).to_bytes(4, "big")


def decode_header(octets: bytes, file: str) -> SegmentHeader | None:
    """Reads a segment's first octets; None: they aren't a whole header.

    :raises NewerJournal: a newer version wrote the segment.
    """
    if len(octets) < HEADER_BYTES or not octets.startswith(MAGIC):
        return None
    _, version, _, sequence, created_at, crc = _HEADER.unpack_from(octets)
    if version > FORMAT_VERSION:
        raise NewerJournal(file, version)
    if zlib.crc32(octets[: HEADER_BYTES - 4]) != crc:
        return None
    return SegmentHeader(version, sequence, created_at)


def encode_frame(records: Sequence[Any]) -> bytes:
    """Makes one frame of these records."""
    payload = _encoder.encode(records)
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def synced_frame(offset: int) -> bytes:
    """Makes the frame that begins a commit. Its length is always SYNCED_FRAME_BYTES."""
    payload = _SYNCED.pack(_SYNCED_PREFIX, offset)
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def decode_records(payload: bytes | memoryview) -> list[Any]:
    """Reads the records of one frame.

    :raises msgspec.MsgspecError: the octets are intact, but another program or version wrote them.
    """
    return _decoder.decode(payload)


def frame_at(octets: bytes, at: int) -> bytes | None:
    """The payload of the frame that begins at `at`; None: there is no whole, intact frame."""
    end = at + FRAME_HEADER_BYTES
    if end > len(octets):
        return None
    length, crc = _FRAME.unpack_from(octets, at)
    if length > MAX_PAYLOAD_BYTES or end + length > len(octets):
        return None
    payload = octets[end : end + length]
    return payload if zlib.crc32(payload) == crc else None


def payload_bytes_at(octets: bytes, at: int) -> int | None:
    """The length in the frame header at `at`; None: there are too few octets for a header."""
    if at + FRAME_HEADER_BYTES > len(octets):
        return None
    length: int = _FRAME.unpack_from(octets, at)[0]
    return length


ReadBlock = Callable[[int, int], bytes]


def read_frames(
    read: ReadBlock, size: int, block_bytes: int = 1 << 20, *, start: int = HEADER_BYTES
) -> Iterator[tuple[int, bytes]]:
    """Yields the offset and payload of each intact frame of a segment of `size` octets. Ends at the first bad frame.

    :param read: reads a number of octets from an offset.
    :param start: where the first of them begins.
    """
    at = start
    base, octets = at, b""
    while at < size:
        length = payload_bytes_at(octets, at - base)
        wanted = FRAME_HEADER_BYTES if length is None else FRAME_HEADER_BYTES + length
        if length is not None and length > MAX_PAYLOAD_BYTES:
            return
        if at - base + wanted > len(octets):
            if at + wanted > size:
                return
            base, octets = at, read(at, max(wanted, min(block_bytes, size - at)))
            if len(octets) < wanted:
                return
            continue
        payload = frame_at(octets, at - base)
        if payload is None:
            return
        yield at, payload
        at += FRAME_HEADER_BYTES + len(payload)


def synced_beyond(octets: bytes, start: int, bad_at: int) -> bool:
    """Whether a commit at or after `start` says that the segment was synced beyond `bad_at`."""
    for match in _SYNCED_FRAME.finditer(octets, start):
        if zlib.crc32(match[2]) == int.from_bytes(match[1], "big") and _SYNCED.unpack(match[2])[1] > bad_at:
            return True
    return False


def next_intact(octets: bytes, start: int) -> int | None:
    """The offset of the first commit at or after `start`. Repair goes on there after damage."""
    for match in _SYNCED_FRAME.finditer(octets, start):
        if zlib.crc32(match[2]) == int.from_bytes(match[1], "big"):
            return match.start()
    return None


#: Settings whose values are secrets or have some: of webhooks' signatures, and files of conf.d in a cluster.
_SECRET_SETTING: Final = re.compile("notification_secret|conf\\.d/")


def dump(directory: str | Path, *, texts: bool = False) -> Iterator[dict[str, Any]]:
    """Yields the records of a journal as dicts for JSON, for people and scripts.

    Ids are written as UUIDs. Octets that aren't ASCII are written in hexadecimal. A bad end or a damaged place is a
    record of the kind `damaged`; the rest of that segment isn't read. It only reads, and doesn't disturb a running
    relay.

    :param texts: whether to show messages' bodies, and whole numbers.
    :raises NewerJournal: a newer version wrote the journal.
    :raises JournalError: there is no journal.
    """
    folder = Path(directory)
    if not any(segment_sequence(path.name) is not None for path in folder.iterdir()) and folder.name != "journal":
        folder = folder / "journal"
        if not folder.is_dir():
            raise no_journal(directory)
    for path in sorted(folder.iterdir()):
        if segment_sequence(path.name) is None:
            continue
        yield from _dump_segment(path, texts)


def no_journal(directory: str | Path) -> JournalError:
    """Makes the error for a directory without a journal."""
    return JournalError(
        f"{directory}: there is no journal ({segment_name(1)} and so on), and none in journal/ in it; name the "
        "configuration's data_dir"
    )


def _dump_segment(path: Path, texts: bool) -> Iterator[dict[str, Any]]:
    where = {"segment": path.name}
    size = path.stat().st_size
    with path.open("rb") as file:

        def read(offset: int, count: int) -> bytes:
            file.seek(offset)
            return file.read(count)

        header = decode_header(read(0, HEADER_BYTES), str(path))
        if header is None:
            yield {**where, "offset": 0, "record": "damaged", "bytes": size}
            return
        yield {**where, "offset": 0, "record": "header", **msgspec.structs.asdict(header)}
        end = HEADER_BYTES
        for offset, payload in read_frames(read, size):
            end = offset + FRAME_HEADER_BYTES + len(payload)
            for record in decode_records(payload):
                if type(record) is not Synced:
                    yield {**where, "offset": offset, "record": type(record).__name__, **_shown(record, texts)}
        if end < size:
            yield {**where, "offset": end, "record": "damaged", "bytes": size - end}


def _shown(record: Any, texts: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if name == "id":
            value = id_text(value)
        elif name == "ids":
            value = [id_text(value[at : at + 16]) for at in range(0, len(value), 16)]
        elif name == "addresses":
            shown["from"], shown["to"] = _number(source_of(value), texts), _number(destination_of(value), texts)
            continue
        elif name in ("body", "raw", "answer", "octets") and isinstance(value, bytes) and not texts:
            value = len(value)
            name = f"{name}_bytes"
        elif name == "parts" and not texts and isinstance(value, tuple) and value and isinstance(value[0], bytes):
            value = [len(body) for body in value]
            name = "parts_bytes"
        elif name == "value" and type(record) is Setting and not texts and _SECRET_SETTING.match(record.name):
            value = None if value is None else "not shown"
        else:
            value = _plain(value, texts)
        shown[name] = value
    return shown


def _number(digits: bytes, texts: bool) -> str:
    number = digits.decode("ascii", "backslashreplace")
    return number if texts or len(number) < 4 else number[:-2] + "**"


def _plain(value: Any, texts: bool) -> Any:
    if isinstance(value, bytes):
        return value.decode("ascii") if value.isascii() and value.decode("ascii").isprintable() else value.hex()
    if isinstance(value, msgspec.Struct):
        return _shown(value, texts)
    if isinstance(value, tuple | list):
        return [_plain(item, texts) for item in value]
    return value
