"""The methods of values that packages pass to each other."""

from twisted.trial.unittest import SynchronousTestCase

from relay.values import smpp_constants as c
from relay.values.messages import same_addresses
from relay.values.pdus import MessageIdPdu

#: Alphanumeric RELAY (ton 5) to an international number (ton 1, npi 1).
ADDRESSES = b"\x05\x00RELAY\x00\x01\x01447700900123\x00"


class SameAddressesTests(SynchronousTestCase):
    def same(self, *fields: object) -> bool:
        """For source, destination, and their ton and npi, two by two."""
        return same_addresses(MessageIdPdu(c.CANCEL_SM, 1, b"id", *fields), ADDRESSES)  # type: ignore[arg-type]

    def test_missing_addresses_match_any_message(self) -> None:
        self.assertTrue(self.same())
        self.assertTrue(self.same(b"RELAY"))
        self.assertTrue(self.same(b"", b"447700900123"))

    def test_given_addresses_must_be_those_of_the_message(self) -> None:
        self.assertTrue(self.same(b"RELAY", b"447700900123", 5, 0, 1, 1))
        for wrong in (
            (b"RELAX",),
            (b"447700900123",),
            (b"RELAY", b"447700900124"),
            (b"RELAY", b"447700900123", 1, 0, 1, 1),
            (b"RELAY", b"447700900123", 5, 1, 1, 1),
            (b"RELAY", b"447700900123", 5, 0, 2, 1),
            (b"RELAY", b"447700900123", 5, 0, 1, 9),
        ):
            self.assertFalse(self.same(*wrong), wrong)

    def test_an_empty_source_matches_an_empty_one(self) -> None:
        addresses = b"\0\0\0" + ADDRESSES[8:]
        self.assertTrue(same_addresses(MessageIdPdu(c.QUERY_SM, 1, b"id"), addresses))
        self.assertFalse(same_addresses(MessageIdPdu(c.QUERY_SM, 1, b"id", b"1"), addresses))

    def test_ton_and_npi_are_ignored_without_an_address(self) -> None:
        self.assertTrue(self.same(b"", b"", 5, 9))
