"""The journal's format, octet by octet."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.store.journal.journal_format import (
    HEADER_BYTES,
    SYNCED_FRAME_BYTES,
    decode_header,
    decode_records,
    encode_frame,
    encode_header,
    frame_at,
    next_intact,
    read_frames,
    segment_name,
    segment_sequence,
    synced_beyond,
    synced_frame,
)
from relay.store.table.records import Setting, Synced

frames = st.lists(
    st.lists(st.builds(Setting, st.text(max_size=5), st.text(max_size=30), st.none()), max_size=5), max_size=8
)


class FormatTests(SynchronousTestCase):
    """Frames and headers."""

    @given(frames, st.integers(1, 200))
    def test_frames_are_read_back_whatever_the_size_of_the_reads(self, wanted: list[list[Setting]], block: int) -> None:
        octets = encode_header(1, 5.0) + b"".join(encode_frame(records) for records in wanted)
        found = list(read_frames(lambda at, count: octets[at : at + count], len(octets), block))
        self.assertEqual([decode_records(payload) for _, payload in found], wanted)
        self.assertEqual([frame_at(octets, at) for at, _ in found], [payload for _, payload in found])

    @given(frames.filter(bool), st.data())
    def test_a_changed_octet_ends_the_reading_there_and_not_later(
        self, wanted: list[list[Setting]], data: st.DataObject
    ) -> None:
        octets = bytearray(encode_header(1, 5.0) + b"".join(encode_frame(records) for records in wanted))
        at = data.draw(st.integers(HEADER_BYTES, len(octets) - 1))
        octets[at] ^= data.draw(st.integers(1, 255))
        found = list(read_frames(lambda at, count: bytes(octets[at : at + count]), len(octets)))
        self.assertEqual([decode_records(payload) for _, payload in found], wanted[: len(found)])
        end = found[-1][0] + 8 + len(found[-1][1]) if found else HEADER_BYTES
        self.assertLessEqual(end, at)

    @given(st.binary(max_size=300))
    def test_octets_of_any_kind_raise_nothing(self, octets: bytes) -> None:
        list(read_frames(lambda at, count: octets[at : at + count], len(octets)))
        self.assertIsNone(decode_header(b"\0" + octets, "f"))

    @given(st.integers(0, 2**32 - 1))
    def test_a_mark_has_the_same_length_for_any_offset(self, offset: int) -> None:
        mark = synced_frame(offset)
        self.assertEqual(len(mark), SYNCED_FRAME_BYTES)
        self.assertEqual(decode_records(mark[8:]), [Synced(offset)])

    @given(st.binary(max_size=60), st.integers(0, 100), st.integers(0, 100), st.binary(max_size=30))
    def test_marks_are_found_in_any_rubbish(self, before: bytes, offset: int, bad_at: int, after: bytes) -> None:
        octets = before + synced_frame(offset) + after
        self.assertEqual(synced_beyond(octets, 0, bad_at), offset > bad_at)
        self.assertEqual(next_intact(octets, 0), len(before))

    @given(st.integers(0, 10**12 - 1), st.floats(0, 1e12))
    def test_a_header_is_read_back_and_a_changed_one_is_not(self, sequence: int, created_at: float) -> None:
        octets = encode_header(sequence, created_at)
        header = decode_header(octets, "f")
        assert header is not None
        self.assertEqual((header.sequence, header.created_at, len(octets)), (sequence, created_at, HEADER_BYTES))
        self.assertIsNone(decode_header(octets[:20] + bytes([octets[20] ^ 1]) + octets[21:], "f"))
        self.assertEqual(segment_sequence(segment_name(sequence)), sequence)

    def test_other_files_are_no_segments(self) -> None:
        names = ["1.seg", "000000000001.seg.new", "000000000001.seg.damaged-1", "lock", "0000000000001.seg"]
        self.assertEqual([segment_sequence(name) for name in names], [None] * len(names))
