"""The API keys that customers make."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from relay.accounts.accounts import Accounts
from relay.accounts.api_keys import (
    MOST_NETWORKS,
    SETTING,
    ApiKey,
    NetworkProblem,
    digest_of,
    networks_of,
    new_key,
    read,
    written,
)
from relay.config.account_config import Account
from relay.values.secret import Secret
from tests.accounts.test_accounts import account_of, basic


def api_key(secret: str = "rk_x", **fields: Any) -> ApiKey:
    """A key of somebody's."""
    return ApiKey("0a0b0c0d", "till", digest_of(secret.encode()), 1000.0, "all", ())._replace(**fields)


class ApiKeyTests(SynchronousTestCase):
    def test_what_is_written_is_read_again_and_has_no_key_in_it(self) -> None:
        for key in (api_key(), api_key(scope="send", networks=networks_of("192.0.2.0/24 2001:db8::1"), ends_at=5000.0)):
            self.assertEqual(read(key.id, written(key)), key)
            self.assertNotIn("rk_x", written(key))

    def test_a_key_of_a_later_version_or_a_damaged_one_opens_nothing(self) -> None:
        text = written(api_key(scope="send"))
        for wrong in (text.replace('"v":1', '"v":2'), text.replace("send", "root"), "{}", "x"):
            self.assertIsNone(read("0a0b0c0d", wrong))

    def test_a_new_key_can_not_be_guessed(self) -> None:
        key = new_key(lambda count: b"\xff" * count)
        self.assertEqual(len(key), len("rk_") + 24 * 8 // 6)

    def test_a_key_is_used_only_for_its_scope_and_from_its_networks(self) -> None:
        sender = api_key(scope="send", networks=networks_of("192.0.2.0/24, 2001:db8::/32"))
        self.assertEqual(sender.refusal("192.0.2.7", "send"), "")
        self.assertEqual(sender.refusal("::ffff:192.0.2.7", "any"), "")
        self.assertEqual(sender.refusal("2001:db8::5", "send"), "")
        self.assertEqual(sender.refusal("192.0.2.7", "read"), "This key is for sending messages only.")
        self.assertEqual(sender.refusal("192.0.2.7", "all"), "This key is for sending messages only.")
        for address in ("198.51.100.7", "2001:db9::5", "", "nonsense"):
            self.assertEqual(sender.refusal(address, "send"), "This key may not be used from this address.")
        self.assertEqual([api_key().refusal("", use) for use in ("all", "send", "read", "any")], [""] * 4)

    def test_networks_that_are_none_are_named(self) -> None:
        self.assertEqual(networks_of(" "), ())
        for text, said in (("192.0.2.0/33", "'192.0.2.0/33' is no network"), ("192.0.2.7/24", "is no network"),
                           (" ".join(["192.0.2.1"] * (MOST_NETWORKS + 1)), "At most")):  # fmt: skip
            self.assertIn(said, str(self.assertRaises(NetworkProblem, networks_of, text)))


class RingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.accounts = Accounts({"acme": Account(api_key=Secret("key-a")), "other": Account(api_key=Secret("key-o"))})
        self.accounts.apply_setting("acme", SETTING + "0a0b0c0d", written(api_key()))

    def test_a_key_opens_its_account_in_every_way(self) -> None:
        for login in (
            self.accounts.by_authorization(b"Bearer rk_x"),
            self.accounts.by_authorization(basic("acme:rk_x")),
            self.accounts.by_login("acme", "rk_x"),
        ):
            assert login is not None and login.key is not None
            self.assertEqual((login.account, login.key.name), ("acme", "till"))
        self.assertEqual(account_of(self.accounts.by_login("acme", "key-a")), "acme")

    def test_it_opens_no_other_account(self) -> None:
        self.assertIsNone(self.accounts.by_login("other", "rk_x"))
        self.assertIsNone(self.accounts.by_authorization(basic("other:rk_x")))

    def test_it_survives_a_reload_and_a_restart_but_not_its_end_or_its_account(self) -> None:
        self.accounts.replace({"acme": Account(api_key=Secret("key-b"))})
        self.assertEqual(account_of(self.accounts.by_login("acme", "rk_x")), "acme")
        restarted = Accounts({"acme": Account(api_key=Secret("key-b"))})
        restarted.load_settings([("acme", SETTING + "0a0b0c0d", written(api_key()))])
        self.assertEqual(account_of(restarted.by_authorization(b"Bearer rk_x")), "acme")
        restarted.apply_setting("acme", SETTING + "0a0b0c0d", None)
        self.assertIsNone(restarted.by_authorization(b"Bearer rk_x"))
        self.accounts.replace({"other": Account(api_key=Secret("key-o"))})
        self.assertIsNone(self.accounts.by_authorization(b"Bearer rk_x"))
