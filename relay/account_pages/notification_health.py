"""How an account's notifications fare: a warning for every page, and figures for the overview."""

from collections.abc import Mapping
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.web.template import Tag

from relay.account_pages.answer_words import answer_words
from relay.account_pages.html import Content, card, el, facts, moment
from relay.account_pages.list_question import ListQuestion
from relay.accounts.account_settings import OFF_BY_OPERATOR
from relay.http.collaborators import Customers, WebhookTester
from relay.store.api import Store
from relay.store.store_values import StoreBusy

#: The count of what is owed is used for so long, because each count reads all queues.
COUNTED_AGAIN_SECONDS: Final = 5.0


class NotificationHealth:
    """Says how notifications fare. One object serves all accounts."""

    def __init__(self, store: Store, accounts: Customers, webhooks: WebhookTester, clock: IReactorTime) -> None:
        self._store = store
        self._accounts = accounts
        self._webhooks = webhooks
        self._clock = clock
        self._owed: Mapping[str, int] = {}
        self._owed_due_at = 0.0

    def failing(self, account: str) -> str:
        """Since when the account's URL fails and why, or why it is off; "": it works. It changes when the page must."""
        if self._accounts.notification_url(account) is None:
            return ""
        health = self._webhooks.url_health(account)
        since = "" if health.failing_since is None else f"{health.failing_since:.0f} {health.last_error}"
        return self._webhooks.url_state(account).off or since

    def alarm(self, account: str) -> Tag:
        """The warning on top of every page. It is empty while notifications arrive."""
        failing = self.failing(account)
        return el("div", self._alarm(account) if failing else None, id="alarm", data_live=True)

    def _alarm(self, account: str) -> Tag:
        off, health = self._webhooks.url_state(account).off, self._webhooks.url_health(account)
        words: list[Content]
        if off == OFF_BY_OPERATOR:
            words = ["The operator has switched your notification URL off. Notifications wait."]
        elif off:
            words = [f"Your notification URL is off, because your server answered {off}. Notifications wait. ",
                     "Save the URL again to switch it on."]  # fmt: skip
        else:
            since = [] if health.failing_since is None else [moment(health.failing_since)]
            words = ["Notifications fail since ", *since, ". ", answer_words(health.last_error)]
        link = el("a", "Messages that wait", href=ListQuestion(notified="owed").url())
        return el("div", el("p", *words, " ", link, "."), class_="notice bad", role="alert")

    async def card(self, account: str) -> Tag:
        """The figures."""
        health = self._webhooks.url_health(account)
        attempts = health.delivered + health.failed
        share = f" ({health.failed * 1000 / attempts / 10:.1f} % of all attempts)" if health.failed else ""
        rows: list[tuple[str, Content]] = [
            ("Delivered", f"{health.delivered:,}"),
            ("Failed attempts", f"{health.failed:,}{share}"),
            ("Owed now", await self._owed_words(account)),
            ("Given up", self._given_up_words(account)),
        ]
        if health.last_error:
            error: Content = [answer_words(health.last_error), " ", moment(health.last_error_at)]
            rows.append(("Last error", error))
        return card(
            "How notifications arrive",
            el(
                "div",
                facts(rows),
                el("p", "Delivered and failed attempts at your own URL are counted since the relay's start, ",
                   moment(health.counted_since), ".", class_="hint"),
                id="health",
                data_live=True,
                class_="stack",
            ),
        )  # fmt: skip

    def _given_up_words(self, account: str) -> Content:
        count = self._store.given_up_count(account)
        return el("a", f"{count:,}", href=ListQuestion(notified="failed").url()) if count else "0"

    async def _owed_words(self, account: str) -> Content:
        try:
            count = (await self._owed_by_account()).get(account, 0)
            since = await self._store.owed_since(account) if count else None
        except StoreBusy:
            return "not counted: too many queries of the account are under way"
        if not count:
            return "0"
        words: list[Content] = [el("a", f"{count:,}", href=ListQuestion(notified="owed").url())]
        return words if since is None else [*words, ", the oldest since ", moment(since)]

    async def _owed_by_account(self) -> Mapping[str, int]:
        if self._clock.seconds() >= self._owed_due_at:
            # Until this count is done, other pages show the last one.
            self._owed_due_at = self._clock.seconds() + COUNTED_AGAIN_SECONDS
            self._owed = await self._store.owed_by_account()
        return self._owed
