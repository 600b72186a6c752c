"""What operators see of an account's balance, who may top it up, and what a top-up does."""

import json
from typing import Any

from relay.config.model import Account, AdminUser, PriceTable, Quota, Role
from relay.config.password_hash import hash_password
from relay.operator.actions import OperatorActions
from relay.operator.admin_pages import AdminPages
from relay.operator.admin_site import Page
from relay.operator.metrics import Metrics
from relay.operator.overview import Observer
from relay.store.table.records import AccountTotals
from relay.values.amounts import UNIT
from relay.values.secret import Secret
from tests.operator.operated import OperatedDaemon
from tests.operator.test_admin_pages import PagesTestCase
from tests.operator.test_admin_site import AdminSiteTestCase, basic

PAID = {"amount": "12.50", "key": "invoice-7", "reason": "paid by bank"}


def charged(daemon: OperatedDaemon) -> None:
    """Makes the account `acme` prepaid, with a quota; `quiet` stays without both."""
    accounts = {"acme": Account(prices="retail", prepaid=True, quota=Quota(daily=10)), "quiet": Account()}
    daemon.flow.charging.replace(accounts, {"retail": PriceTable(currency="EUR", by_prefix={"": "1"})})


class BalanceCallTests(PagesTestCase):
    def setUp(self) -> None:
        super().setUp()
        charged(self.daemon)

    def top_up(self, status: int = 200, **more: str) -> Any:
        answered, answer = self.ask("POST", "/accounts/acme/balance", PAID | more)
        self.assertEqual(status, answered, answer)
        return answer

    def test_a_top_up_is_recorded_and_shown_with_the_balance(self) -> None:
        self.assertEqual("12.50 EUR added; the balance of acme is 12.50 EUR", self.top_up()["done"])
        self.assertEqual([("add 12.50 EUR to the balance of acme (key invoice-7)", "paid by bank")], self.audit())
        status, report = self.ask("GET", "/accounts/acme/balance")
        self.assertEqual((200, "12.50", "EUR"), (status, report["balance"], report["currency"]))
        [line] = report["top_ups"]
        self.assertEqual(("invoice-7", "12.50", "operator"), (line["key"], line["amount"], line["by"]))

    def test_a_repeat_changes_nothing_and_is_not_recorded_again(self) -> None:
        self.top_up()
        again = self.top_up()
        self.assertEqual((True, "12.50"), (again["repeated"], again["balance"]))
        self.assertEqual(1, len(self.audit()))
        self.assertIn("take a new key for each payment", self.top_up(409, amount="5")["error"])
        self.assertEqual("12.50", self.ask("GET", "/accounts/acme/balance")[1]["balance"])

    def test_a_top_up_that_makes_no_sense_is_refused_and_not_recorded(self) -> None:
        self.daemon.store.ledger.restore(AccountTotals("acme", 0, 0, 0, {"EUR": 10**12 * UNIT}))
        for status, said, more in (
            (422, "the amount is 0", {"amount": "0"}),
            (422, "'five' is no amount", {"amount": "five"}),
            (409, "the prices of acme are in EUR, not in USD", {"currency": "USD"}),
            (422, "the balance would be 1000000000001.00 EUR", {"amount": "1"}),
        ):
            self.assertIn(said, self.top_up(status, **more)["error"])
        self.assertEqual([], self.audit())

    def test_an_account_without_a_balance_has_none_to_top_up_or_to_show(self) -> None:
        self.assertEqual(409, self.ask("POST", "/accounts/quiet/balance", PAID)[0])
        self.assertEqual(409, self.ask("GET", "/accounts/quiet/balance")[0])
        self.assertEqual(404, self.ask("GET", "/accounts/nobody/balance")[0])
        self.assertEqual(404, self.ask("GET", "/accounts/acme")[0])


class RoleTests(AdminSiteTestCase):
    """The calls about balances, as users of each role."""

    hashed = hash_password("right", b"0123456789abcdef")

    def setUp(self) -> None:
        super().setUp()
        self.daemon = OperatedDaemon()
        charged(self.daemon)
        actions = OperatorActions(self.daemon, self.daemon.clock)
        metrics = Metrics(self.daemon, self.daemon.clock.seconds)
        observer = Observer(self.daemon, self.daemon.clock)
        self.admin_pages = AdminPages(self.daemon, metrics, observer, actions)  # type: ignore[arg-type]

    def pages(self) -> dict[tuple[str, str], Page]:
        return self.admin_pages.pages()

    def login(self, role: Role) -> str:
        self.users[role] = AdminUser(password=Secret(self.hashed), role=role)
        return basic(role, "right")

    def balance(self, role: Role) -> str:
        status, _, body = self.ask("GET /accounts/acme/balance", self.login(role))
        self.assertEqual(200, status)
        return str(json.loads(body)["balance"])

    def test_view_reads_a_balance_and_may_not_top_it_up(self) -> None:
        action = "X-Relay-Action: 1"
        status, _, body = self.ask("POST /accounts/acme/balance", self.login("view"), action, body=json.dumps(PAID))
        self.assertEqual(403, status)
        self.assertIn("view has the role view. This needs the role act in admin.users.", body)
        self.assertEqual("0.00", self.balance("view"))
        status, _, body = self.ask("POST /accounts/acme/balance", self.login("act"), action, body=json.dumps(PAID))
        self.assertEqual(200, status, body)
        self.assertEqual("12.50", self.balance("view"))
        self.assertEqual("act", self.daemon.store.top_ups("acme")[0].by)

    def test_view_is_told_that_an_action_needs_another_role_before_it_fills_in_the_form(self) -> None:
        path = "/page/accounts/acme/suspend"
        status, _, body = self.ask(f"GET {path}", self.login("view"))
        self.assertEqual(403, status)
        self.assertIn("This needs the role act; view has the role view", body)
        status, _, body = self.ask(f"GET {path}", self.login("act"))
        self.assertEqual(200, status)
        self.assertIn("<form", body)
