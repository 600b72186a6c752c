"""What My Account shows of balances, quotas and prices."""

import re

from relay.charging.charging import Charging
from relay.config.account_config import Account, PriceTable, Quota
from relay.values.charge import COUNTED, AccountUse, Charge
from tests.account_pages.test_account_site import SiteTestCase

PAID = Charge(35_000, "EUR", prepaid=True)


class UseTests(SiteTestCase):
    def shown(self, path: str = "/", *, today: int = 0, month: int = 0, balance: int = 0, **account: object) -> str:
        """The text of a page for an account with these settings."""
        charging = Charging(
            {"acme": Account(**account)},  # type: ignore[arg-type]
            {"retail": PriceTable(currency="EUR", by_prefix={"": "0.035"})},
        )
        self.site.driver.flow.charging = charging
        day = charging.day("acme", self.site.driver.clock.seconds())
        self.site.driver.store.use = AccountUse(day, today, month, {"EUR": balance})
        if not self.site.cookies:
            self.site.log_in()
        return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", self.site.get(path)))

    def test_nothing_is_shown_of_an_account_that_has_neither_quota_nor_prices(self) -> None:
        self.message()
        shown = self.shown()
        for word in ("alance", "uota", "Price"):
            self.assertNotIn(word, shown)

    def test_the_overview_shows_the_balance_and_the_quota_and_when_it_begins_anew(self) -> None:
        quota = Quota(daily=10, monthly=2000, time_zone="Europe/London")
        shown = self.shown(today=3, month=1500, balance=12_500_000, prices="retail", prepaid=True, quota=quota)
        self.assertIn("Balance and quota Balance 12.50 EUR Today 3 of 10 messages, 7 left begins anew 15 Nov", shown)
        self.assertIn("This month 1,500 of 2,000 messages, 500 left begins anew 01 Dec 2023 00:00", shown)
        self.assertIn("Days begin at midnight, Europe/London", shown)
        self.assertNotIn("used up", shown)

    def test_what_is_used_up_is_marked(self) -> None:
        shown = self.shown(today=12, balance=-500_000, prices="retail", prepaid=True, quota=Quota(daily=10))
        self.assertIn("Balance -0.50 EUR used up Today 12 of 10 messages, 0 left used up", shown)
        self.assertNotIn("This month", shown)

    def test_a_balance_below_the_account_s_limit_is_marked_as_low(self) -> None:
        shown = self.shown(balance=4_990_000, prices="retail", prepaid=True, low_balance="5")
        self.assertIn("Balance 4.99 EUR low", shown)

    def test_an_account_that_is_not_prepaid_has_no_balance(self) -> None:
        shown = self.shown(prices="retail")
        self.assertIn("Prices Currency EUR; the account is not prepaid", shown)
        self.assertNotIn("Balance", shown)

    def test_messages_have_their_price_in_the_list_and_on_their_page(self) -> None:
        self.message(1, charge=PAID)
        self.message(2, charge=PAID, refunded=True)
        self.message(3)
        self.message(4, charge=COUNTED)
        for path in ("/", "/my/messages"):
            shown = self.shown(path)
            self.assertEqual(shown.count("0.035 EUR"), 2, path)
            self.assertIn("0.035 EUR, given back", shown)
            self.assertIn("Notified Price", shown)
        shown = self.shown("/my/messages/02020202-0202-0202-0202-020202020202")
        self.assertIn("Price 0.035 EUR, given back", shown)
        self.assertNotIn("Price", self.shown("/my/messages/04040404-0404-0404-0404-040404040404"))
