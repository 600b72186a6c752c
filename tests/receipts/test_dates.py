"""Dates in receipts."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.receipts.dates import DoneDates, date_readings, nearest, time_zone


class Readings(SynchronousTestCase):
    def test_every_known_form_of_a_date_is_read(self) -> None:
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
    def test_any_octets_are_read_as_a_date_or_as_none(self, raw: bytes) -> None:
        self.assertTrue(all(2000 <= reading.year < 2100 for reading in date_readings(raw) if b"-" not in raw))


class DoneDateTests(SynchronousTestCase):
    """When a carrier says that a message has ended, as an instant."""

    def at(self, raw: bytes, zone: str = "", now: float = 1_790_000_000.0) -> str:
        dates = DoneDates(zone)
        instants = {dates.at(raw, now) for _ in range(2)}
        self.assertEqual(len(instants), 1)
        instant = instants.pop()
        return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d %H:%M:%S") if instant else ""

    def test_a_date_is_in_the_carrier_s_time_zone(self) -> None:
        for zone, expected in (
            ("", "2026-09-21 14:13:00"),
            ("UTC", "2026-09-21 14:13:00"),
            ("+05:30", "2026-09-21 08:43:00"),
            ("+0530", "2026-09-21 08:43:00"),
            ("-3", "2026-09-21 17:13:00"),
            ("UTC+2", "2026-09-21 12:13:00"),
            ("Asia/Kolkata", "2026-09-21 08:43:00"),
            ("Europe/Berlin", "2026-09-21 12:13:00"),
        ):
            self.assertEqual(self.at(b"2609211413", zone), expected, zone)
        self.assertEqual(self.at(b"2601211413", "Europe/Berlin"), "2026-01-21 13:13:00")

    def test_a_date_that_names_its_zone_keeps_it(self) -> None:
        self.assertEqual(self.at(b"2013-02-17T00:04:29Z", "+05:30"), "2013-02-17 00:04:29")
        self.assertEqual(self.at(b"180711070003912+", "+05:30"), "2018-07-11 04:00:03")

    def test_of_an_hour_that_comes_twice_the_one_nearest_to_the_receipt_counts(self) -> None:
        first = datetime(2026, 10, 25, 0, 31, tzinfo=UTC).timestamp()
        dates = DoneDates("Europe/Berlin")
        self.assertEqual([dates.at(b"2610250230", first + hours * 3600) - first for hours in (0, 1)], [-60, 3540])

    def test_a_text_that_is_no_date_gives_no_date(self) -> None:
        for raw in (b"", b"0000000000", b"2613011413", b"null", b"1999-01-01 00:00:00", b"0001-01-01 00:00:00"):
            self.assertEqual(self.at(raw, "+14"), "", raw)

    def test_an_unknown_time_zone_is_refused_with_what_may_stand_there(self) -> None:
        for zone in ("Mars/Olympus", "+99:00", "../etc/passwd", "/etc/passwd"):
            with self.assertRaisesRegex(ValueError, "Asia/Kolkata"):
                time_zone(zone)

    @given(st.binary(max_size=30), st.sampled_from(["", "-14", "+14:00", "Asia/Kolkata"]))
    def test_any_octets_give_an_instant_of_this_century_or_nothing(self, raw: bytes, zone: str) -> None:
        at = DoneDates(zone).at(raw, 0.0)
        self.assertTrue(at == 0.0 or 946_000_000 < at < 4_103_000_000)
