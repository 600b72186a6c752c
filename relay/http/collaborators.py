"""What the HTTP edge needs of the services, and nothing more."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from relay.config.model import Account
from relay.config.urls import WebUrl
from relay.runtime.fair_share import FairShare
from relay.store.api import Idempotency, Store
from relay.values.messages import Message, QueueKey, Refused, Submission
from relay.webhooks.answer import Tested, UrlState


class SubmissionFlow(Protocol):
    """Who takes messages: `relay.routing.flow.MessageFlow`."""

    store: Store
    fair_share: FairShare

    def prepare(self, account: str, submissions: Sequence[Submission]) -> list[Message | Refused]:
        """Says of each submission what it becomes."""

    async def accept(self, messages: Sequence[Message], idempotency: Idempotency | None = None) -> None:
        """Returns when the messages are durable."""

    def dispatch(self, messages: Sequence[Message]) -> None:
        """Sends accepted messages on their way; only after the answer has been written."""

    def wake(self, queues: Iterable[QueueKey]) -> None:
        """Something is owed in these queues."""


class Compose(Protocol):
    """Who turns a customer's words into what goes to a carrier."""

    def __call__(
        self, to: str, sender: str, text: str, *, account: str = "", flash: bool = False, tlvs: bytes = b""
    ) -> tuple[bytes, tuple[bytes, ...]]:
        """Addresses and parts as in `Submission`.

        :param account: whose routes say in which form the carriers want the text.
        :param flash: the handset shows the text at once, and doesn't keep it.
        :param tlvs: optional parameters that every part gets, ready made.

        :raises ValueError: with attributes `field` (to, from or text) and `reason`, a sentence for the customer.
        """


class Customers(Protocol):
    """Who knows the accounts: `relay.accounts.accounts.Accounts`, where each of these is described."""

    def by_authorization(self, header: bytes | None) -> str | None:
        """The account of an Authorization header."""

    def by_login(self, account: str, key: str) -> str | None:
        """The account's name where the key is its API key."""

    def get(self, name: str) -> Account:
        """The account with its settings."""

    def notification_url(self, name: str) -> str | None:
        """Its notification URL."""

    def check_url(self, account: str, url: str) -> WebUrl:
        """Whether it may be notified there."""

    def check_setting(self, account: str, name: str, value: str) -> None:
        """Whether a setting may have this value."""

    def apply_setting(self, account: str, name: str, value: str | None) -> None:
        """Makes a setting hold."""

    def setting(self, account: str, name: str) -> str | None:
        """What was set while running."""

    def allowance(self, name: str, now: float) -> tuple[float, int, int] | None:
        """Rate, burst and what is left; None without a limit."""


class WebhookTester(Protocol):
    """Who sends webhooks: `relay.webhooks.webhook_sender.Webhooks`."""

    def url_changed(self, account: str) -> None:
        """The account's notification settings have changed."""

    def url_state(self, account: str) -> UrlState:
        """How the account's URL is doing."""

    async def test(self, account: str, test_id: bytes) -> Tested:
        """Sends a made-up notification.

        :raises LookupError: the account has no notification URL.
        """
