"""Several messages with one carrier message id: how the numbers decide which of them a receipt belongs to."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.config import daemon_config
from relay.config.carrier_config import NumberComparison
from relay.store.store_values import NotifyPolicy
from relay.store.table.accept import accept
from relay.store.table.entries import Row
from relay.store.table.entry_values import Segment
from relay.store.table.same_id import fit, is_of, receipt_numbers
from relay.store.table.table import Table
from tests.stores import NOW, message, message_id, numbers_in, receipt


def row_to(destination: bytes, source: bytes = b"447700900900") -> Row:
    """A message with these addresses."""
    table = Table(daemon_config.Limits(), lambda account: NotifyPolicy())
    addresses = numbers_in(source, destination)
    accept(table, [message(1, addresses=addresses)], Segment(1, NOW), 0)
    return table.shards[message_id(1)[0]][message_id(1)]


class NumberTests(SynchronousTestCase):
    """Whether a receipt's number is a message's destination."""

    def fits(self, source: bytes, row: Row, comparison: NumberComparison = "ending", to: bytes = b"12345") -> bool:
        raw = b"\0" + numbers_in(source, to) + b"\4\0\0\0\0\0\0\0\0\0"
        return fit(receipt_numbers(receipt(1, raw=raw), comparison), row, comparison) > 0

    def test_the_same_number_in_another_format_matches(self) -> None:
        for destination, written in [
            (b"447700900001", b"447700900001 +447700900001 00447700900001 07700900001 7700900001 0044-7700-900001"),
            (b"74951234567", b"84951234567 4951234567 81074951234567"),
            (b"525512345678", b"5215512345678 5512345678"),
            (b"07700900001", b"447700900001"),
            (b"81234", b"81234 081234"),
        ]:
            for source in written.split():
                self.assertTrue(self.fits(source, row_to(destination)), source)

    def test_another_number_does_not_match(self) -> None:
        for destination, written in [
            (b"447700900001", b"447700900002 337700900001 7700900002 0001 1 ACME"),
            (b"12125550100", b"13105550100 3105550100"),
            (b"81234", b"81235 1234 4481235"),
        ]:
            for source in written.split():
                self.assertFalse(self.fits(source, row_to(destination)), source)

    def test_exact_compares_all_digits_and_never_compares_none(self) -> None:
        row = row_to(b"447700900001")
        self.assertTrue(self.fits(b"+00447700900001", row, "exact"))
        self.assertFalse(self.fits(b"07700900001", row, "exact"))
        self.assertFalse(self.fits(b"447700900001", row, "never"))

    def test_addresses_that_the_carrier_did_not_swap_are_compared_as_they_are(self) -> None:
        row = row_to(b"447700900001", source=b"447700900900")
        self.assertTrue(self.fits(b"447700900900", row, to=b"447700900001"))
        self.assertFalse(self.fits(b"447700900900", row, to=b"447700900002"))
        self.assertFalse(self.fits(b"447700900901", row, to=b"447700900001"))

    def test_a_receipt_without_a_number_may_be_any_message_s(self) -> None:
        row = row_to(b"447700900001")
        bodies = [b"", b"{}", b"\0\5\0ACME\0\1\1447700900002\0", b"\0\1\1447700900002", b"\0\0\0\0\0\0\0"]
        for raw in bodies:
            self.assertTrue(is_of(receipt(1, raw=raw), row, "ending"), raw)

    @given(st.binary(max_size=60))
    def test_any_octets_are_compared_without_an_error(self, raw: bytes) -> None:
        found: Any = is_of(receipt(1, raw=raw), row_to(b"447700900001"), "ending")
        self.assertIn(found, (True, False))
