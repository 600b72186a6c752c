"""What the account page's forms change: one function a form, each ending in what to say of it."""

from collections.abc import Mapping
from typing import Final

from twisted.internet.interfaces import IReactorTime

from relay.account_pages.html import duration
from relay.account_pages.page_values import Flash
from relay.account_pages.settings_forms import DELIVERY_SETTINGS, current_values
from relay.accounts.account_settings import OLD_SECRET, ROTATION_SECONDS, SettingProblem
from relay.accounts.signing import new_secret
from relay.http.account_calls import AccountApi
from relay.http.collaborators import Customers, WebhookTester
from relay.http.problems import Problem
from relay.values.ids import RandomBytes, new_ids

#: Of a receiver's answer to a test, this much is shown.
SHOWN_BYTES: Final = 1000


class Changes:
    """Makes the account's settings. What they must be is `Customers.check_setting`'s business."""

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

    async def url(self, account: str, action: str, url: str) -> Flash:
        """Sets, removes or resets the notification URL.

        :raises SettingProblem: the URL won't do.
        """
        if action == "reset":
            await self._api.put_setting(account, "notification_url", None)
            return Flash(True, "The notification URL is the configuration's again.")
        if action == "remove":
            await self._api.put_setting(account, "notification_url", "")
            return Flash(True, "The notification URL is removed. Nobody is notified by HTTP any more.")
        if not url:
            raise SettingProblem("notification_url", "Enter a URL, or press Remove to have none.")
        self._accounts.check_setting(account, "notification_url", url)
        await self._api.put_setting(account, "notification_url", url)
        return Flash(True, "The notification URL is saved and holds from now on.")

    async def delivery(self, account: str, action: str, entered: Mapping[str, str]) -> dict[str, str]:
        """Saves or resets the other settings; gives what is wrong, by setting. Where anything is, nothing was saved."""
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
        """Makes, removes or resets the signing secret. A secret that is replaced signs on for a day."""
        if action == "remove":
            await self._api.put_setting(account, OLD_SECRET, None)
            await self._api.put_setting(account, "notification_secret", "")
            return Flash(True, "Notifications are not signed any more.")
        old = self._accounts.get(account).notification_secret
        if old is not None:
            # First the old one as the previous one: at no instant does a signature lack it.
            until = self._clock.seconds() + ROTATION_SECONDS
            await self._api.put_setting(account, OLD_SECRET, f"{until:.0f} {old.reveal().split()[0]}")
        if action == "reset":
            await self._api.put_setting(account, "notification_secret", None)
            return Flash(True, "The secret is the configuration's again; the other signs as well for 24 hours.")
        secret = new_secret(self._random_bytes)
        await self._api.put_setting(account, "notification_secret", secret)
        words = "This is the new secret. Copy it now: it is not shown again."
        if old is not None:
            words += " The old one signs as well for 24 hours."
        return Flash(True, words, secret=secret)

    def old_secret_until(self, account: str) -> float | None:
        """Until when the previous secret signs as well; None where there is none."""
        until = (self._accounts.setting(account, OLD_SECRET) or "").partition(" ")[0]
        return float(until) if until and float(until) > self._clock.seconds() else None

    async def test(self, account: str) -> Flash:
        """Sends a test notification, and tells what came back.

        :raises Problem: there is no URL.
        """
        try:
            tested = await self._webhooks.test(account, new_ids(1, self._random_bytes)[0])
        except LookupError:
            raise Problem(409, "Set a notification URL first.", kind="no-notification-url") from None
        answer = tested.answer
        facts = (
            ("Answer", answer.text),
            ("Time", duration(tested.seconds)),
            ("URL", tested.request.url),
            ("Sent", (tested.request.body or b"").decode("utf-8", "replace")),
        )
        words = "The test notification arrived." if answer.ok else "The test notification did not arrive."
        return Flash(answer.ok, words, facts, answer.body[:SHOWN_BYTES].decode("utf-8", "replace"))
