"""Accounts: which key belongs to which account, which settings count, and how fast an account may submit."""

import base64

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.accounts.account_settings import SETTABLE, URL_OFF, SettingProblem
from relay.accounts.accounts import Accounts
from relay.accounts.api_keys import Login
from relay.accounts.smpp_logins import FIRST
from relay.config.account_config import Account, AccountSmpp
from relay.config.urls import UrlProblem
from relay.values.secret import Secret


def basic(login: str) -> bytes:
    return b"Basic " + base64.b64encode(login.encode())


def account_of(login: Login | None) -> str | None:
    """The account of a login that is right."""
    return None if login is None else login.account


class LoginTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.accounts = Accounts(
            {
                "acme": Account(api_key=Secret("key-a"), smpp=AccountSmpp(system_id="acme1", password=Secret("p"))),
                "bühne": Account(api_key=Secret("clé")),
                "mute": Account(),
                "empty": Account(api_key=Secret("")),
            }
        )

    def test_a_key_opens_its_own_account_only(self) -> None:
        self.assertEqual(account_of(self.accounts.by_authorization(basic("acme:key-a"))), "acme")
        self.assertEqual(account_of(self.accounts.by_authorization(b"bearer key-a")), "acme")
        self.assertEqual(account_of(self.accounts.by_authorization(basic("bühne:clé"))), "bühne")
        for header in (basic("bühne:key-a"), basic("mute:"), basic("empty:"), b"Bearer ", b"Basic ", b"", None):
            self.assertIsNone(self.accounts.by_authorization(header), header)

    @given(st.binary(max_size=40))
    def test_no_header_does_anything_but_be_refused(self, value: bytes) -> None:
        for header in (value, b"Basic " + value, b"Bearer " + value, b"Basic " + base64.b64encode(value)):
            self.assertIsNone(self.accounts.by_authorization(header))

    def test_a_login_form_is_checked_in_the_same_way(self) -> None:
        self.assertEqual(account_of(self.accounts.by_login("acme", "key-a")), "acme")
        self.assertIsNone(self.accounts.by_login("acme", "key-b"))
        self.assertIsNone(self.accounts.by_login("mute", ""))

    def test_a_system_id_leads_to_its_account(self) -> None:
        found = self.accounts.by_system_id("acme1")
        assert found is not None
        self.assertEqual((found.account, found.name), ("acme", FIRST))
        self.assertIsNone(self.accounts.by_system_id("acme"))

    def test_a_reload_takes_keys_away_and_brings_new_ones(self) -> None:
        self.accounts.replace({"acme": Account(api_key=Secret("new"))})
        self.assertIsNone(self.accounts.by_authorization(basic("acme:key-a")))
        self.assertEqual(account_of(self.accounts.by_authorization(basic("acme:new"))), "acme")
        self.assertIsNone(self.accounts.by_system_id("acme1"))


class SettingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.accounts = Accounts({"acme": Account(notification_url="http://file.example/", notify="all")})

    def test_a_setting_holds_over_the_configuration_until_it_is_taken_back(self) -> None:
        self.accounts.apply_setting("acme", "notification_url", "http://set.example/")
        self.assertEqual(self.accounts.notification_url("acme"), "http://set.example/")
        self.accounts.replace({"acme": Account(notification_url="http://file2.example/")})
        self.assertEqual(self.accounts.notification_url("acme"), "http://set.example/")
        self.accounts.apply_setting("acme", "notification_url", None)
        self.assertEqual(self.accounts.notification_url("acme"), "http://file2.example/")

    def test_an_empty_url_means_none(self) -> None:
        self.accounts.apply_setting("acme", "notification_url", "")
        self.assertIsNone(self.accounts.notification_url("acme"))
        self.assertFalse(self.accounts.policy("acme").webhook)

    def test_settings_from_the_store_hold_and_impossible_ones_are_passed_over(self) -> None:
        self.accounts.load_settings(
            [
                ("acme", "notification_batch", "50"),
                ("acme", "notification_format", "xml"),
                ("acme", "from_a_later_version", "x"),
                ("gone", "notify", "final"),
            ]
        )
        account = self.accounts.get("acme")
        self.assertEqual((account.notification_batch, account.notification_format), (50, "json"))

    def test_impossible_values_are_refused_by_name(self) -> None:
        for name, value in (
            ("notification_url", "ftp://x"),
            ("notification_fallback_url", "http://127.0.0.1/"),
            ("notification_format", "xml"),
            ("notification_batch", "0"),
            ("notification_batch", "many"),
            ("notification_secret", "whsec_short"),
            ("notify", "never"),
            ("error_codes", ""),
            ("rate", "1000"),
            (URL_OFF, "x"),
        ):
            problem = self.assertRaises(SettingProblem, self.accounts.check_setting, "acme", name, value)
            self.assertEqual(problem.field, name)

    def test_every_setting_has_a_value_that_would_do(self) -> None:
        secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
        values = {
            "notification_url": "http://a.example/",
            "notification_fallback_url": "",
            "notification_format": "form",
            "notification_secret": secret,
            "notification_batch": "1000",
            "notify": "final",
            "error_codes": "carrier",
        }
        self.assertEqual(set(values), SETTABLE)
        for name, value in values.items():
            self.accounts.check_setting("acme", name, value)
            self.accounts.apply_setting("acme", name, value)
        target = self.accounts.target("acme")
        assert target is not None
        self.assertEqual((target.keys, target.batch, target.format), ((b"k" * 32,), 1000, "form"))

    def test_a_reload_with_a_secret_that_is_none_changes_nothing(self) -> None:
        broken = {"acme": Account(notification_secret=Secret("nonsense"))}
        self.assertRaises(SettingProblem, self.accounts.replace, broken)
        self.assertEqual(self.accounts.notification_url("acme"), "http://file.example/")

    def test_the_policy_follows_the_account(self) -> None:
        policy = self.accounts.policy("acme")
        self.assertEqual((policy.webhook, policy.intermediate, policy.unanswered), (True, True, True))
        gone = self.accounts.policy("gone")
        self.assertEqual((gone.webhook, gone.unanswered), (False, False))

    def test_a_url_is_checked_by_what_the_account_may_reach(self) -> None:
        self.assertRaises(UrlProblem, self.accounts.check_url, "acme", "http://127.0.0.1/")
        self.accounts.replace({"acme": Account(allow_private_urls=True)})
        self.assertEqual(self.accounts.check_url("acme", "http://127.0.0.1/").port, 80)


class RateTests(SynchronousTestCase):
    def test_without_a_rate_everything_passes(self) -> None:
        accounts = Accounts({"acme": Account()})
        self.assertEqual(accounts.allow("acme", 1_000_000, 0.0), 0.0)
        self.assertIsNone(accounts.allowance("acme", 0.0))

    def test_burst_and_rate_are_kept_and_the_rest_is_reported(self) -> None:
        accounts = Accounts({"acme": Account(rate=10.0, burst=20)})
        self.assertEqual(accounts.allow("acme", 20, 0.0), 0.0)
        self.assertAlmostEqual(accounts.allow("acme", 1, 0.0), 0.1)
        self.assertEqual(accounts.allowance("acme", 1.0), (10.0, 20, 10))

    def test_a_reload_does_not_fill_the_bucket(self) -> None:
        accounts = Accounts({"acme": Account(rate=10.0)})
        accounts.allow("acme", 10, 0.0)
        accounts.replace({"acme": Account(rate=10.0, notify="all")})
        self.assertGreater(accounts.allow("acme", 1, 0.0), 0.0)

    def test_a_new_rate_holds_after_a_reload(self) -> None:
        accounts = Accounts({"acme": Account(rate=10.0)})
        accounts.allow("acme", 10, 0.0)
        accounts.replace({"acme": Account(rate=1000.0)})
        self.assertEqual(accounts.allow("acme", 500, 0.0), 0.0)
