"""Dates in receipts."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.receipts.dates import date_readings, nearest


class Readings(SynchronousTestCase):
    def test_every_shape_that_was_met(self) -> None:
        for raw, iso in (
            (b"2609211413", "2026-09-21T14:13:00"),
            (b"260921141359", "2026-09-21T14:13:59"),
            (b"201506201641", "2015-06-20T16:41:00"),
            (b"20110314181534", "2011-03-14T18:15:34"),
            (b"2011031418153499", "2011-03-14T18:15:34"),
            (b"2013-02-17 00:04:29", "2013-02-17T00:04:29"),
            (b"2013-02-17T00:04:29Z", "2013-02-17T00:04:29+00:00"),
            (b"2013-02-17 00:04", "2013-02-17T00:04:00"),
            (b"180711070003912+", "2018-07-11T07:00:03+03:00"),
            (b"180711070003912-", "2018-07-11T07:00:03-03:00"),
        ):
            self.assertEqual([reading.isoformat() for reading in date_readings(raw)], [iso], raw)

    def test_ten_digits_are_never_a_year_of_four(self) -> None:
        self.assertEqual([r.isoformat() for r in date_readings(b"2012151145")], ["2020-12-15T11:45:00"])

    def test_twelve_digits_may_be_read_both_ways(self) -> None:
        self.assertEqual(
            [reading.isoformat() for reading in date_readings(b"200809011130")],
            ["2020-08-09T01:11:30", "2008-09-01T11:30:00"],
        )

    def test_the_reading_nearest_to_what_is_known_is_to_be_believed(self) -> None:
        readings = date_readings(b"200809011130")
        self.assertEqual(nearest(readings, datetime(2008, 9, 1, 12, tzinfo=UTC).timestamp()), readings[1])
        self.assertEqual(nearest(readings, datetime(2020, 8, 9, tzinfo=UTC).timestamp()), readings[0])
        self.assertIsNone(nearest((), 0.0))

    def test_zeros_and_words_are_no_date(self) -> None:
        for raw in (b"0000000000", b"000000000000", b"", b"null", b"99", b"2613011413", b"2013-02-30 00:00:00"):
            self.assertEqual(date_readings(raw), (), raw)

    @given(st.one_of(st.binary(max_size=30), st.from_regex(rb"[0-9]{8,20}[+-]?", fullmatch=True)))
    def test_no_octets_are_too_odd(self, raw: bytes) -> None:
        self.assertTrue(all(2000 <= reading.year < 2100 for reading in date_readings(raw) if b"-" not in raw))
