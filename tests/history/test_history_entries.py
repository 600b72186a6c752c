"""The history's rows: what was written once is the same each time it is read and written again."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.history.history_entries import Entry, Group, Origin, entry_of, row_of, seq_of
from relay.values.messages import Message
from relay.values.states import DELIVERED

_ADDRESSES = b"\x05\x00RELAY\x00\x01\x01447700900123\x00"
_HEAD = _ADDRESSES[:-13]


class RowTests(SynchronousTestCase):
    @given(
        st.floats(1_600_000_000.0, 2_000_000_000.0),
        st.lists(st.floats(0.001, 1_000_000.0), min_size=4, max_size=4),
    )
    def test_times_stay_the_same_however_often_a_row_is_read_and_written(self, at: float, after: list[float]) -> None:
        expires, submitted, done, carrier_done = (at + seconds for seconds in after)
        message = Message(b"i" * 16, "acme", at, expires, _ADDRESSES, (b"",), 0, "smpp")
        entry = Entry(
            seq_of(at, 1), message, DELIVERED, 1, "tier1", b"7",
            submitted_at=submitted, done_at=done, carrier_done_at=carrier_done,
        )  # fmt: skip
        first = row = row_of(entry, b"321009007744", 1, 1)
        for _ in range(3):
            again = entry_of(row, Origin("smpp", _HEAD), Group("acme", "tier1", DELIVERED, b"", 1), 1)
            row = row_of(again, b"321009007744", 1, 1)
        self.assertEqual(first, row)
        self.assertLessEqual(abs(done - again.done_at), 0.0011)
