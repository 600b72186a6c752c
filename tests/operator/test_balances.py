"""What operators see of an account's balance, who may top it up, and what a top-up does."""

import json
import re
from io import StringIO
from typing import Any
from urllib.parse import urlencode

from relay.cli.command_parser import Paint
from relay.cli.status import report
from relay.config.account_config import Account, PriceTable, Quota
from relay.config.listener_config import AdminUser, Role
from relay.config.password_hash import hash_password
from relay.operator.actions import OperatorActions
from relay.operator.admin_pages import AdminPages
from relay.operator.admin_site import Page
from relay.operator.metrics import Metrics
from relay.operator.overview import Observer
from relay.store.table.records import AccountTotals
from relay.values.amounts import UNIT
from relay.values.charge import TopUp
from relay.values.secret import Secret
from tests.operator.operated import OperatedDaemon
from tests.operator.test_admin_pages import PagesTestCase
from tests.operator.test_admin_site import AdminSiteTestCase, basic
from tests.operator.test_operator_site import SiteTestCase

RETAIL = PriceTable(currency="EUR", by_prefix={"": "1"})
PAID = {"amount": "12.50", "key": "invoice-7", "reason": "paid by bank"}


def charged(daemon: OperatedDaemon) -> None:
    """Makes the account `acme` prepaid, with a quota; `quiet` stays without both."""
    accounts = {"acme": Account(prices="retail", prepaid=True, quota=Quota(daily=10)), "quiet": Account()}
    daemon.flow.charging.replace(accounts, {"retail": RETAIL})


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

    def test_the_status_has_columns_for_balances_and_quotas_only_if_an_account_has_any(self) -> None:
        self.daemon.store.ledger.restore(AccountTotals("acme", 0, 0, 0, {"EUR": 12 * UNIT}))
        look = self.ask("GET", "/status")[1]
        self.assertIsNone(look["accounts"][1]["use"])
        use = look["accounts"][0]["use"]
        self.assertEqual(("12.00", "EUR", 10), (use["balance"], use["currency"], use["messages_left"]))
        text = report(look, Paint(StringIO()))
        self.assertRegex(text, r"given up +balance +quota left +notification URL")
        self.assertRegex(text, r"acme .* 12\.00 EUR +10 +-")
        self.assertRegex(text, r"quiet .* - +- +-")
        self.daemon.flow.charging.replace({"acme": Account(quota=Quota(daily=10))}, {})
        self.assertNotIn("balance", report(self.ask("GET", "/status")[1], Paint(StringIO())))
        self.daemon.flow.charging.replace({}, {})
        self.assertNotIn("quota", report(self.ask("GET", "/status")[1], Paint(StringIO())))

    def test_a_low_balance_is_among_what_is_wrong(self) -> None:
        said = "acme's balance is low: 0.00 EUR. Tell the customer: when it is used up, messages are refused"
        self.assertNotIn(said, self.ask("GET", "/status")[1]["troubles"])
        account = Account(prices="retail", prepaid=True, low_balance="5")
        self.daemon.flow.charging.replace({"acme": account}, {"retail": RETAIL})
        self.assertIn(said, self.ask("GET", "/status")[1]["troubles"])
        self.top_up(amount="5")
        self.assertNotIn("balance", "".join(self.ask("GET", "/status")[1]["troubles"]))


class BalancePageTests(SiteTestCase):
    def setUp(self) -> None:
        super().setUp()
        charged(self.daemon)

    def test_the_page_of_an_account_shows_its_balance_its_quota_and_its_top_ups(self) -> None:
        top_up = TopUp("acme", "invoice-7", 5 * UNIT, "EUR", 1000.0, "alice", "paid by bank")
        self.daemon.store.ledger.top_up(top_up)
        shown = self.shown("/page/accounts/acme")
        self.assertIn("Balance and quota Balance 5.00 EUR Today 0 of 10 messages, 10 left begins anew 02 Jan", shown)
        self.assertIn("01 Jan 1970 00:16 :40 5.00 EUR invoice-7 alice paid by bank", shown)
        self.assertNotIn("alance", self.shown("/page/accounts/quiet"))
        self.assertIn("quiet is not prepaid", self.shown("/page/accounts/quiet/top-up", 404).lower())

    def test_a_top_up_is_done_after_a_question_that_shows_the_balance_before_and_after(self) -> None:
        form = self.reply("GET", "/page/accounts/acme/top-up").body.decode()
        self.assertIn('<form method="get" action="/page/accounts/acme/top-up"', form)
        (key,) = re.findall(r'name="key" [^>]*value="([^"]+)"|value="([^"]+)"[^>]* name="key"', form)
        path = "/page/accounts/acme/top-up?" + urlencode({"amount": "12.5", "key": "".join(key)})
        self.assertIn("Amount 12.50 EUR", self.shown(path))
        self.assertIn("Balance now 0.00 EUR Balance then 12.50 EUR", self.shown(path))
        self.assertEqual([], self.daemon.store.top_ups("acme"))
        page = self.reply("GET", path).body.decode()
        fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
        done = self.reply("POST", "/page/accounts/acme/top-up", fields | {"reason": "paid by bank"})
        shown = self.shown(dict(done.headers)["Location"])
        self.assertIn("12.50 EUR added; the balance of acme is 12.50 EUR.", shown)
        self.assertIn("operator paid by bank", shown)
        # The browser's back button, and the form once more.
        self.assertIn("This key was used before", self.shown(path))
        self.assertIn("Balance now 12.50 EUR Balance then 12.50 EUR", self.shown(path))
        done = self.reply("POST", "/page/accounts/acme/top-up", fields)
        self.assertIn("Nothing was changed: this key was used before", self.shown(dict(done.headers)["Location"]))
        self.assertEqual(1, len(self.daemon.store.top_ups("acme")))
        self.assertIn("add 12.50 EUR to the balance of acme", self.shown("/page/audit"))

    def test_a_wrong_amount_or_key_is_said_beside_its_field_which_keeps_its_value(self) -> None:
        self.daemon.store.ledger.top_up(TopUp("acme", "used", UNIT, "EUR", 1000.0))
        for amount, key, field, said in (
            ("five", "a", "amount", "&#x27;five&#x27; is no amount"),
            ("0", "a", "amount", "The amount is 0"),
            ("5", "a b", "key", "The key must have 1 to 100"),
            ("5", "used", "key", "The key used was used on"),
        ):
            path = "/page/accounts/acme/top-up?" + urlencode({"amount": amount, "key": key})
            page = self.reply("GET", path).body.decode().replace("'", "&#x27;")
            self.assertIn(f'id="{field}-problem" class="wrong" role="alert">{said}', page)
            self.assertIn(f'value="{key}"', page)
            self.assertNotIn("Add to the balance", page)
        for fields in ({"amount": "5", "key": ""}, {"amount": "five", "key": "b"}):
            token = re.findall(
                r'name="csrf" value="([^"]+)"', self.reply("GET", "/page/carriers/tier1/hold").body.decode()
            )
            done = self.reply("POST", "/page/accounts/acme/top-up", {"csrf": token[0]} | fields)
            self.assertIn("Refused: ", self.shown(dict(done.headers)["Location"]))


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
        self.assertIn("View has the role view. This needs the role act in admin.users.", body)
        status, _, body = self.ask(f"GET {path}", self.login("act"))
        self.assertEqual(200, status)
        self.assertIn("<form", body)

    def test_view_sees_the_balance_on_the_page_but_no_button_to_top_it_up(self) -> None:
        for role, shown in (("view", False), ("act", True)):
            _, _, body = self.ask("GET /page/accounts/acme", self.login(role))  # type: ignore[arg-type]
            self.assertIn("Balance and quota", body)
            self.assertEqual(shown, "Top up" in body, role)
            status, _, _ = self.ask("GET /page/accounts/acme/top-up", self.login(role))  # type: ignore[arg-type]
            self.assertEqual(200 if shown else 403, status)
