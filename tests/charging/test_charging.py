"""Which messages an account's quota admits, and when its days and months begin."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.charging.charging import Charging, Meter
from relay.charging.terms import Terms
from relay.config.model import Account, Quota
from relay.http.problems import of_refusal
from relay.values.charge import COUNTED, NOTHING_USED, AccountUse
from relay.values.messages import Refused
from relay.values.smpp_constants import ESME_RTHROTTLED

ADDRESSES = b"\x05\x00RELAY\x00\x01\x01447700900123\x00"


def at(text: str, zone: str = "UTC") -> float:
    """The instant of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def terms(**quota: Any) -> Terms:
    """The terms of an account with this quota."""
    return Terms(Account(quota=Quota(**quota)))


class DayTests(SynchronousTestCase):
    def test_a_day_begins_at_midnight_in_the_account_s_time_zone(self) -> None:
        for zone, day in (("UTC", 20261129), ("Asia/Kolkata", 20261130), ("America/New_York", 20261129)):
            self.assertEqual(terms(time_zone=zone).day(at("2026-11-29T23:30")), day, zone)

    def test_the_next_day_begins_in_23_hours_when_clocks_are_put_forward(self) -> None:
        berlin = terms(daily=1, time_zone="Europe/Berlin")
        begins = at("2026-03-29T00:00", "Europe/Berlin")
        self.assertEqual(berlin.next_day(begins).timestamp() - begins, 23 * 3600.0)

    def test_the_month_after_december_is_january(self) -> None:
        self.assertEqual(terms().next_month(at("2026-12-31T23:59")).timestamp(), at("2027-01-01T00:00"))

    @given(st.floats(0.0, 4e9), st.floats(-4e5, 4e5), st.sampled_from(["UTC", "Europe/London", "Pacific/Apia"]))
    def test_the_day_of_any_instant_is_that_of_the_calendar(self, first: float, later: float, zone: str) -> None:
        asked = terms(time_zone=zone)
        for now in (first, first + later):
            local = datetime.fromtimestamp(now, ZoneInfo(zone))
            self.assertEqual(asked.day(now), int(local.strftime("%Y%m%d")))
            self.assertGreater(asked.next_day(now).timestamp(), now)


class MeterTests(SynchronousTestCase):
    now = at("2026-11-29T20:30")

    def meter(self, use: AccountUse = NOTHING_USED, now: float | None = None, **quota: Any) -> Callable[[], Any]:
        meter = Meter(terms(**quota), use, self.now if now is None else now)
        return lambda: meter.admit(ADDRESSES, (b"body",))

    def refusal(self, answer: object) -> Refused:
        assert isinstance(answer, Refused), answer
        return answer

    def test_messages_are_admitted_until_the_day_s_quota_is_used_up(self) -> None:
        admit = self.meter(AccountUse(20261129, 3, 40), daily=5)
        self.assertEqual([admit(), admit()], [COUNTED, COUNTED])
        refusal = self.refusal(admit())
        self.assertEqual((refusal.command_status, refusal.retry_after_seconds), (ESME_RTHROTTLED, 3.5 * 3600.0))
        self.assertEqual(
            refusal.reason,
            "The account may send 5 messages a day (quota.daily), and has. The next day begins in 3 h 30 min (UTC).",
        )

    def test_messages_are_admitted_until_the_month_s_quota_is_used_up(self) -> None:
        admit = self.meter(AccountUse(20261128, 9, 9), daily=5, monthly=10)
        self.assertEqual(admit(), COUNTED)
        refusal = self.refusal(admit())
        self.assertIn("10 messages a month (quota.monthly)", refusal.reason)
        self.assertEqual(refusal.retry_after_seconds, at("2026-12-01T00:00") - self.now)

    def test_another_day_and_another_month_begin_with_nothing_used(self) -> None:
        full = AccountUse(20261130, 5, 50)
        self.assertIsInstance(self.meter(full, at("2026-11-30T12:00"), daily=5)(), Refused)
        self.assertEqual(self.meter(full, at("2026-12-01T00:00"), daily=5, monthly=50)(), COUNTED)
        # The same month of another year.
        self.assertEqual(self.meter(full, at("2027-11-30T00:00"), daily=5, monthly=50)(), COUNTED)

    def test_over_http_the_refusal_is_429_and_says_when_to_try_again(self) -> None:
        problem = of_refusal(self.refusal(self.meter(AccountUse(20261129, 1, 1), daily=1)()))
        self.assertEqual((problem.status, problem.kind), (429, "quota-exceeded"))
        self.assertEqual(problem.headers, ((b"Retry-After", b"12600"),))

    def test_an_account_without_a_quota_has_no_terms(self) -> None:
        charging = Charging({"free": Account(), "capped": Account(quota=Quota(daily=1))})
        self.assertEqual((charging.terms("free"), charging.day("free", self.now)), (None, 0))
        self.assertEqual(charging.day("capped", self.now), 20261129)
        charging.replace({"free": Account(quota=Quota(monthly=1)), "capped": Account()})
        self.assertEqual((charging.day("free", self.now), charging.day("capped", self.now)), (20261129, 0))
