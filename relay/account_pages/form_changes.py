"""Makes the changes of the forms on My Account. Each function returns what the next page says about it."""

from collections.abc import Mapping
from typing import Final

from twisted.internet.interfaces import IReactorTime

from relay.account_pages.html import duration
from relay.account_pages.page_values import Flash
from relay.account_pages.settings_forms import DELIVERY_SETTINGS, current_values
from relay.accounts.account_settings import OLD_SECRET, ROTATION_SECONDS, UNSEEN_SECRET, SettingProblem
from relay.accounts.signing import new_secret
from relay.http.account_calls import AccountApi
from relay.http.collaborators import Customers, WebhookTester
from relay.http.problems import Problem
from relay.values.ids import RandomBytes, new_ids

#: How much of a receiver's answer to a test notification is shown.
SHOWN_BYTES: Final = 1000


class Changes:
    """Changes the account's settings. `Customers.check_setting` checks them."""

    def __init__(
        self,
        api: AccountApi,
        accounts: Customers,
        webhooks: WebhookTester,
        clock: IReactorTime,
        random_bytes: RandomBytes,
    ) -> None:
        self._api = api
        self._accounts = accounts
        self._webhooks = webhooks
        self._clock = clock
        self._random_bytes = random_bytes
        #: The accounts at whose URL a test notification has arrived since the start.
        self.tested: set[str] = set()

    async def url(self, account: str, action: str, url: str) -> Flash:
        """Sets, removes or resets the notification URL.

        :raises SettingProblem: the URL isn't allowed.
        """
        if action == "reset":
            await self._api.put_setting(account, "notification_url", None)
            return Flash(True, "The relay uses the notification URL of its configuration again.")
        if action == "remove":
            await self._api.put_setting(account, "notification_url", "")
            return Flash(True, "The notification URL is removed. No more notifications are posted.")
        if not url:
            raise SettingProblem("notification_url", "Enter a URL, or press Remove to have none.")
        self._accounts.check_setting(account, "notification_url", url)
        await self._api.put_setting(account, "notification_url", url)
        return Flash(True, "The notification URL is saved. The relay uses it from now on.")

    async def delivery(self, account: str, action: str, entered: Mapping[str, str]) -> dict[str, str]:
        """Saves or resets the other settings. Returns the problem of each wrong one; if any is wrong, none is saved."""
        if action == "reset":
            for name in DELIVERY_SETTINGS:
                if self._accounts.setting(account, name) is not None:
                    await self._api.put_setting(account, name, None)
            return {}
        before = current_values(self._accounts.get(account))
        changed = {name: entered[name] for name in before if name in entered and entered[name] != before[name]}
        problems = {}
        for name, value in changed.items():
            try:
                self._accounts.check_setting(account, name, value)
            except SettingProblem as problem:
                problems[name] = str(problem)
        if not problems:
            for name, value in changed.items():
                await self._api.put_setting(account, name, value)
        return problems

    async def secret(self, account: str, action: str) -> Flash:
        """Makes, removes or resets the signing secret. A replaced secret signs, too, for another day.

        :param action: "seen": the customer has copied the secret that the relay made by itself.
        """
        if self._accounts.setting(account, UNSEEN_SECRET) is not None:
            await self._api.put_setting(account, UNSEEN_SECRET, None)
        if action == "seen":
            return Flash(True, "The secret is not shown any more.")
        if action == "remove":
            await self._api.put_setting(account, OLD_SECRET, None)
            await self._api.put_setting(account, "notification_secret", "")
            return Flash(True, "Notifications are not signed any more.")
        old = self._accounts.get(account).notification_secret
        if old is not None:
            # The old secret is stored first. So if we stop here, signatures with the old secret go on.
            until = self._clock.seconds() + ROTATION_SECONDS
            await self._api.put_setting(account, OLD_SECRET, f"{until:.0f} {old.reveal().split()[0]}")
        if action == "reset":
            await self._api.put_setting(account, "notification_secret", None)
            return Flash(True, "The relay signs with the secret of its configuration again. The other one signs, too, "
                         "for 24 hours.")  # fmt: skip
        secret = new_secret(self._random_bytes)
        await self._api.put_setting(account, "notification_secret", secret)
        words = "This is the new secret. Copy it now: it is not shown again."
        if old is not None:
            words += " The old one signs, too, for 24 hours."
        return Flash(True, words, secret=secret)

    def old_secret_until(self, account: str) -> float | None:
        """Until when the previous secret signs, too; None: there is no previous secret."""
        until = (self._accounts.setting(account, OLD_SECRET) or "").partition(" ")[0]
        return float(until) if until and float(until) > self._clock.seconds() else None

    async def test(self, account: str) -> Flash:
        """Sends a test notification, and returns the receiver's answer.

        :raises Problem: the account has no notification URL.
        """
        try:
            tested = await self._webhooks.test(account, new_ids(1, self._random_bytes)[0])
        except LookupError:
            raise Problem(409, "Set a notification URL first.", kind="no-notification-url") from None
        answer = tested.answer
        if answer.ok:
            self.tested.add(account)
        facts = (
            ("Answer", answer.text),
            ("Time", duration(tested.seconds)),
            ("URL", tested.request.url),
            ("Sent", (tested.request.body or b"").decode("utf-8", "replace")),
        )
        words = "The test notification arrived." if answer.ok else "The test notification did not arrive."
        return Flash(answer.ok, words, facts, answer.body[:SHOWN_BYTES].decode("utf-8", "replace"))
