"""Instants in texts."""

from twisted.trial.unittest import SynchronousTestCase

from relay.values.instants import instant, instant_of


class InstantTests(SynchronousTestCase):
    def test_a_time_needs_its_offset_from_utc(self) -> None:
        self.assertEqual(instant_of("1970-01-01T01:00+01:00"), 0.0)
        self.assertEqual(instant_of("1970-01-01T00:01Z"), 60.0)
        for text in ("1970-01-01T00:00", "noon", ""):
            self.assertIsNone(instant_of(text), text)

    def test_what_is_written_is_read_again(self) -> None:
        self.assertEqual(instant(1_795_824_000.5), "2026-11-28T00:00:00.500Z")
        self.assertEqual(instant_of(instant(1_795_824_000.5)), 1_795_824_000.5)
