"""The page about API keys, and what keys may do."""

import re

from relay.accounts.api_keys import SETTING, USED_SETTING
from relay.accounts.login_uses import KEPT_AFTER_SECONDS
from relay.accounts.smpp_logins import SmppLogin
from relay.config.account_config import Account, AccountSmpp
from relay.customers.bound_logins import LoginView
from relay.values.secret import Secret
from tests.account_pages.test_account_site import SiteTestCase
from tests.http.http_driver import KEY, Reply

MESSAGE = {"to": "447700900123", "from": "RELAY", "text": "x"}


class AccessTests(SiteTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.site.log_in()

    def make(self, name: str = "till", scope: str = "all", **fields: str) -> str:
        """A new key."""
        made = self.site.post("/my/access", action="make", name=name, scope=scope, **fields)
        self.assertEqual(made.status, 303)
        return self.shown()

    def shown(self) -> str:
        """The key that the page shows."""
        (key,) = re.findall(r'id="secret">([^<]+)<', self.site.get("/my/access"))
        return str(key)

    def ids(self) -> list[str]:
        return re.findall(r'name="id" value="([^"]+)"', self.site.get("/my/access"))

    def use(self, key: str, method: str = "GET", path: str = "/account", body: object = None) -> Reply:
        return self.site.driver.ask(method, path, body, {"Authorization": f"Bearer {key}"}, login=None)

    def test_a_key_is_shown_once_and_only_its_hash_is_kept(self) -> None:
        key = self.make()
        self.assertEqual(self.use(key).status, 200)
        page = self.site.get("/my/access")
        self.assertIn("The relay's configuration", page)
        self.assertIn("<strong>till</strong>", page)
        self.assertNotIn(key, page + repr(self.site.driver.store.kept))

    def test_an_ended_key_opens_nothing_and_is_forgotten_after_a_question(self) -> None:
        key = self.make()
        (key_id,) = self.ids()
        self.assertIn("End the key 'till'?", self.site.post("/my/access", action="end", id=key_id).body.decode())
        self.assertEqual(self.use(key).status, 200)
        self.site.post("/my/access", action="end", id=key_id, sure="yes")
        self.assertEqual(self.use(key).status, 401)
        self.assertEqual(self.ids(), [])
        self.assertIsNone(self.site.settings[SETTING + key_id])
        self.assertEqual(self.site.post("/my/access", action="end", id=key_id, sure="yes").status, 404)

    def test_a_replaced_key_goes_on_for_a_day_beside_its_successor(self) -> None:
        old = self.make(scope="send", networks="192.0.2.0/24")
        (old_id,) = self.ids()
        self.site.post("/my/access", action="replace", id=old_id)
        new = self.shown()
        self.assertEqual([self.use(key, "POST", "/messages", MESSAGE).status for key in (old, new)], [202, 202])
        self.site.driver.clock.advance(24 * 3600.0)
        self.assertEqual([self.use(key, "POST", "/messages", MESSAGE).status for key in (old, new)], [401, 202])
        self.assertEqual(self.use(new).status, 200, "GET /account is for every key")
        self.assertEqual(self.use(new, "GET", "/notifications").status, 403, "it has the scope of the old one")
        self.site.log_in()
        self.assertEqual(len(self.ids()), 1)

    def test_a_key_with_limits_is_refused_beyond_them_by_name(self) -> None:
        reader, sender = self.make(scope="read"), self.make(scope="send")
        for key, method, path, status in (
            (reader, "GET", "/notifications", 200),
            (reader, "POST", "/messages", 403),
            (reader, "PUT", "/account/notification-url", 403),
            (sender, "POST", "/messages", 202),
            (sender, "GET", "/notifications", 403),
            (sender, "POST", "/notifications/replay", 403),
        ):
            reply = self.use(key, method, path, MESSAGE if method != "GET" else None)
            self.assertEqual(reply.status, status, (method, path))
            if status == 403:
                self.assertEqual(reply.json["type"], "/docs#problem-key-not-for-this")
        elsewhere = self.make(networks="198.51.100.0/24")
        self.assertIn("from this address", self.use(elsewhere).json["detail"])

    def test_only_a_key_without_limits_opens_my_account_and_its_logins_end_with_it(self) -> None:
        whole, reader = self.make("whole"), self.make("reader", scope="read")
        whole_id, _ = self.ids()
        admin = self.site.cookies["relay_session"]
        self.site.cookies.clear()
        self.assertEqual(self.site.log_in(key=reader).status, 403)
        self.assertEqual(self.site.log_in(key=whole).status, 303)
        used = self.site.cookies["relay_session"]
        self.site.cookies["relay_session"] = admin
        self.site.post("/my/access", action="end", id=whole_id, sure="yes")
        self.assertEqual(self.site.ask("GET", "/").status, 200)
        self.site.cookies["relay_session"] = used
        self.assertEqual(self.site.ask("GET", "/").status, 303)

    def test_the_page_says_when_a_key_was_used_last_also_after_a_restart(self) -> None:
        key = self.make()
        (key_id,) = self.ids()
        self.assertIn("Never used.", self.site.get("/my/access"))
        at = self.site.driver.clock.seconds()
        self.use(key)
        self.assertIn("Last used <time", self.site.get("/my/access"))
        self.assertNotIn(USED_SETTING + key_id, self.site.settings)
        self.site.driver.clock.advance(KEPT_AFTER_SECONDS)
        self.assertEqual(self.site.settings[USED_SETTING + key_id], f"{at:.0f}")

    def test_what_is_wrong_is_said_at_its_field_and_there_are_only_so_many_keys(self) -> None:
        reply = self.site.post("/my/access", action="make", name="", networks="everywhere")
        self.assertEqual(reply.status, 422)
        self.assertEqual(re.findall(r'id="(\w+)-problem"', reply.body.decode()), ["name", "networks"])
        for number in range(20):
            self.make(f"key {number}")
        self.assertEqual(self.site.post("/my/access", action="make", name="one more").status, 422)
        self.assertEqual(self.site.post("/my/access", action="replace", id=self.ids()[0]).status, 409)

    def test_an_account_may_have_no_key_in_the_configuration_any_more(self) -> None:
        key = self.make()
        self.site.driver.accounts.replace({"acme": Account(), "other": Account(api_key=Secret(KEY))})
        self.assertEqual(self.use(key).status, 200)
        self.site.cookies.clear()
        self.assertEqual(self.site.log_in(key=key).status, 303)

    def test_another_accounts_keys_are_not_there(self) -> None:
        self.make()
        (key_id,) = self.ids()
        self.site.cookies.clear()
        self.site.log_in("other", "o")
        self.assertEqual(self.ids(), [])
        self.assertEqual(self.site.post("/my/access", action="end", id=key_id, sure="yes").status, 404)

    def test_the_page_shows_the_smpp_logins_without_their_passwords(self) -> None:
        self.assertIn("There is none. The relay's operator can add one.", self.site.get("/my/access"))
        now = self.site.driver.clock.seconds()
        first = AccountSmpp(system_id="acme", password=Secret("pass-one"), max_binds=4)
        other = AccountSmpp(
            system_id="billing",
            password=Secret("pass-two"),
            old_password=Secret("pass-old"),
            allow_from=["192.0.2.0/24"],
            receipts="first",
        )
        self.site.logins = [
            LoginView(SmppLogin("acme", "", first, 0.0), 2, now),
            LoginView(SmppLogin("acme", "billing", other, now + 60.0), 0, None),
        ]
        page = re.sub("<[^>]+>", "", self.site.get("/my/access"))
        self.assertIn("acme2 of 4 sessions bound.", page)
        self.assertIn("0 of 4 sessions bound, from 192.0.2.0/24. Its receipts go to the first login. Never used.", page)
        self.assertIn("Its old password is valid until", page)
        self.assertNotIn("pass-", page)
        self.site.driver.clock.advance(60.0)
        self.assertNotIn("old password", self.site.get("/my/access"))
