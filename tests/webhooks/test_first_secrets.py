"""The signing secret that an account gets with its first webhook."""

from typing import Any

from twisted.internet.defer import Deferred, fail

from relay.accounts.account_settings import UNSEEN_SECRET
from relay.accounts.accounts import Accounts
from relay.accounts.first_secrets import FirstSecrets
from relay.accounts.signing import secret_key, signature
from relay.config.account_config import Account
from relay.store.store_values import StoreUnavailable
from relay.values.secret import Secret
from relay.webhooks.delivery import WebhookDelivery
from relay.webhooks.webhook_sender import Webhooks
from tests.webhooks.test_webhook_sender import URL, WebhooksTestCase

SECRET = "whsec_" + "A" * 32


class FirstSecretTests(WebhooksTestCase):
    def build(self, **settings: Any) -> None:
        settings.setdefault("notification_url", URL)
        self.accounts = Accounts({"acme": Account(**settings)})
        secrets = FirstSecrets(self.store, self.accounts, lambda count: b"\7" * count)
        delivery = WebhookDelivery(self.store, self.accounts, self.client, self.clock, self.wall, secrets)
        self.webhooks = Webhooks(self.store, self.accounts, delivery, self.clock, lambda: 0.0)
        self.store.announce(self.clock, self.announced)

    def signed(self) -> list[bool]:
        return [b"Webhook-Signature" in sent.headers for sent in self.client.sent]

    def test_the_first_webhook_is_signed_with_a_secret_that_is_durable_before(self) -> None:
        held: list[Deferred[None]] = []

        def put_setting(account: str, name: str, value: str | None) -> Deferred[None]:
            self.store.settings.append((account, name, value))
            held.append(Deferred())
            return held[-1]

        self.store.put_setting = put_setting
        self.owe(3)
        self.assertEqual((self.client.sent, len(held)), ([], 1), "three webhooks make one secret")
        held[0].callback(None)
        self.assertEqual(self.client.sent, [])
        held[1].callback(None)
        self.turn()
        self.assertEqual(self.signed(), [True] * 3)
        names = [name for _, name, _ in self.store.settings]
        self.assertEqual(names, [UNSEEN_SECRET, "notification_secret"])
        sent = self.client.sent[0]
        (webhook_id,), (timestamp,) = sent.headers[b"Webhook-Id"], sent.headers[b"Webhook-Timestamp"]
        key = secret_key(self.store.settings[1][2])
        self.assertEqual(sent.headers[b"Webhook-Signature"], [signature([key], webhook_id, timestamp, sent.body)])

    def test_an_account_with_a_secret_or_without_signatures_gets_none(self) -> None:
        for settings in ({"notification_secret": Secret(SECRET)}, {"sign": False}):
            self.client.sent.clear()
            self.build(**settings)
            self.owe(1)
            self.assertEqual(self.signed(), ["sign" not in settings])
        self.build()
        self.accounts.apply_setting("acme", "notification_secret", "")
        self.client.sent.clear()
        self.owe(1)
        self.assertEqual(self.signed(), [False], "the customer wants none")
        self.assertEqual(self.store.settings, [])

    def test_while_the_disk_is_full_webhooks_go_unsigned_and_later_ones_are_signed(self) -> None:
        keeps = self.store.put_setting
        self.store.put_setting = lambda *setting: fail(StoreUnavailable("the disk is full"))
        self.owe(1)
        self.store.put_setting = keeps
        self.owe(1, first=1)
        self.assertEqual(self.signed(), [False, True])

    def test_a_test_notification_is_signed_too(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.webhooks.test("acme", b"\1" * 16)))
        self.assertEqual(self.signed(), [True])
