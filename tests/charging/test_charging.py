"""Which messages an account's quota admits, and when its days and months begin."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.charging.charging import Charging, Meter
from relay.charging.sms_count import segments
from relay.charging.terms import Terms, terms_of
from relay.config.account_config import Account, PriceTable, Quota
from relay.http.problems import of_refusal
from relay.smpp.message_codec import message_body, tlv
from relay.values.amounts import MOST, UNIT, amount_of, amount_text
from relay.values.charge import COUNTED, NOTHING_USED, AccountUse, Charge
from relay.values.messages import Refused
from relay.values.smpp_constants import ESME_RINVDSTADR, ESME_RSUBMITFAIL, ESME_RTHROTTLED, TAG_MESSAGE_PAYLOAD
from relay.values.states import REJECTED, UNDELIVERABLE

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
        charging = Charging({"free": Account(), "capped": Account(quota=Quota(daily=1))}, {})
        self.assertEqual((charging.terms("free"), charging.day("free", self.now)), (None, 0))
        self.assertEqual(charging.day("capped", self.now), 20261129)
        charging.replace({"free": Account(quota=Quota(monthly=1)), "capped": Account()}, {})
        self.assertEqual((charging.day("free", self.now), charging.day("capped", self.now)), (20261129, 0))


RETAIL = PriceTable(currency="EUR", by_prefix={"44": "0.035", "4470": "0.05", "1": "0"})


def priced(**account: Any) -> Terms:
    """The terms of an account with these prices."""
    return terms_of({"a": Account(prices="retail", **account)}, {"retail": RETAIL})["a"]


def to(number: str) -> bytes:
    """Addresses with this destination."""
    return b"\x05\x00RELAY\x00\x01\x01" + number.encode() + b"\x00"


class PriceTests(SynchronousTestCase):
    now = at("2026-11-29T20:30")

    def meter(self, balance: str = "0", **account: Any) -> Meter:
        return Meter(priced(**account), AccountUse(balances={"EUR": amount_of(balance)}), self.now)

    def test_the_longest_prefix_decides_and_each_part_costs(self) -> None:
        meter = self.meter()
        for number, parts, price in (("4471", 1, "0.035"), ("+4470", 1, "0.05"), ("4470", 3, "0.15"), ("1", 9, "0.00")):
            charge = meter.admit(to(number), (b"body",) * parts)
            assert isinstance(charge, Charge)
            self.assertEqual((charge.price_text, charge.currency, charge.prepaid), (price, "EUR", False))

    def test_a_number_without_a_price_is_refused(self) -> None:
        refusal = self.meter().admit(to("33123"), (b"body",))
        assert isinstance(refusal, Refused)
        self.assertEqual((refusal.command_status, refusal.field, refusal.kind), (ESME_RINVDSTADR, "to", "no-price"))
        self.assertEqual(of_refusal(refusal).status, 422)

    def test_a_prepaid_account_is_stopped_when_its_balance_does_not_pay_for_a_message(self) -> None:
        meter = self.meter("0.10", prepaid=True)
        answers = [meter.admit(to("4471"), (b"body",)) for _ in range(3)]
        self.assertEqual([type(answer) for answer in answers], [Charge, Charge, Refused])
        refusal = answers[2]
        assert isinstance(refusal, Refused)
        self.assertEqual(
            refusal.reason,
            "The message costs 0.035 EUR, and the account's balance is 0.03 EUR. Top it up, and send the message "
            "again.",
        )
        problem = of_refusal(refusal)
        self.assertEqual((refusal.command_status, problem.status, problem.kind), (ESME_RSUBMITFAIL, 402, "no-credit"))
        # What costs nothing goes on, and so does what the rest pays for.
        self.assertIsInstance(meter.admit(to("1"), (b"body",)), Charge)

    def test_the_balance_in_another_currency_pays_for_nothing(self) -> None:
        meter = Meter(priced(prepaid=True), AccountUse(balances={"USD": UNIT}), self.now)
        self.assertIsInstance(meter.admit(to("4471"), (b"body",)), Refused)

    def test_the_states_after_which_the_price_is_given_back_are_those_of_the_time_of_acceptance(self) -> None:
        charge = self.meter(refund=["REJECTD", "UNDELIV"]).admit(to("4471"), (b"body",))
        assert isinstance(charge, Charge)
        self.assertEqual([state for state in range(10) if charge.refunds >> state & 1], [UNDELIVERABLE, REJECTED])


class SegmentTests(SynchronousTestCase):
    def count(self, text: bytes, **fields: Any) -> int:
        long = len(text) > 254
        tlvs = tlv(TAG_MESSAGE_PAYLOAD, text) if long else b""
        return segments([message_body(addresses=ADDRESSES, short_message=b"" if long else text, tlvs=tlvs, **fields)])

    def test_a_message_costs_for_each_sms_that_a_handset_gets_however_it_is_submitted(self) -> None:
        self.assertEqual(segments([b"one", b"two", b"three"]), 3)
        for size, expected in ((1, 1), (160, 1), (161, 2), (306, 2), (307, 3)):
            self.assertEqual(self.count(b"x" * size), expected, size)
        for size, expected in ((140, 1), (141, 2), (268, 2), (269, 3)):
            self.assertEqual(self.count(b"x" * size, data_coding=8), expected, size)
            self.assertEqual(self.count(b"x" * size, data_coding=4), expected, size)

    def test_a_part_with_a_header_is_one_sms_unless_too_much_follows_the_header(self) -> None:
        header = b"\x05\x00\x03\x01\x02\x01"
        self.assertEqual(self.count(header + b"x" * 153, esm_class=0x40), 1)
        self.assertEqual(self.count(header + b"x" * 134, esm_class=0x40, data_coding=8), 1)
        self.assertEqual(self.count(header + b"x" * 1000, esm_class=0x40), 7)


class AmountTests(SynchronousTestCase):
    def test_amounts_are_decimal_text_with_at_least_two_decimals(self) -> None:
        for text, written in (("12", "12.00"), ("0.035", "0.035"), ("-0.5", "-0.50"), ("0.000001", "0.000001")):
            self.assertEqual(amount_text(amount_of(text)), written)

    def test_what_is_no_amount_is_refused(self) -> None:
        for text in ("", "1.", ".5", "1e3", "0.0000001", "+1", "1,5", "nan", "١", "9999999999"):
            with self.assertRaises(ValueError):
                amount_of(text)

    @given(st.integers(-MOST + 1, MOST - 1))
    def test_each_amount_is_read_as_it_is_written(self, amount: int) -> None:
        self.assertEqual(amount_of(amount_text(amount)), amount)


class StatementTests(SynchronousTestCase):
    def test_a_balance_is_low_below_the_account_s_own_limit_if_it_has_one(self) -> None:
        for limit, balance, low in (("0", "-1", False), ("10", "9.99", True), ("10", "10", False)):
            account = Account(prices="retail", prepaid=True, low_balance=limit)
            charging = Charging({"a": account}, {"retail": RETAIL})
            uses = {"a": AccountUse(balances={"EUR": amount_of(balance)})}
            found = charging.statement("a", uses.__getitem__, at("2026-11-29T20:30"))
            assert found is not None
            self.assertEqual(found.is_low, low, (limit, balance))

    def test_it_says_what_is_used_and_what_is_left(self) -> None:
        account = Account(prices="retail", prepaid=True, quota=Quota(daily=5, monthly=8))
        charging = Charging({"a": account, "b": Account()}, {"retail": RETAIL})
        now = at("2026-11-29T20:30")
        found = charging.statement("a", lambda name: AccountUse(20261129, 2, 7, {"EUR": amount_of("1.5")}), now)
        assert found is not None
        self.assertEqual((found.balance_text, found.messages_left, found.on_day, found.in_month), ("1.50", 1, 2, 7))
        self.assertFalse(found.is_low)
        self.assertIsNone(charging.statement("b", lambda name: NOTHING_USED, now))
