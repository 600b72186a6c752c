"""The interfaces of the services that the HTTP API calls."""

from collections.abc import Iterable, Sequence, Set
from typing import Protocol

from relay.accounts.api_keys import KeyRing, Login
from relay.charging.charging import Charging
from relay.config.account_config import Account
from relay.config.urls import WebUrl
from relay.decisions.decision_service import Decider
from relay.runtime.fair_share import FairShare
from relay.store.api import Store
from relay.store.store_values import NO_IDS, AcceptedBefore, Idempotency
from relay.values.messages import Message, Refused, Submission
from relay.values.notifications import Notification, QueueKey
from relay.webhooks.answer import Tested, UrlState
from relay.webhooks.request import WebhookRequest
from relay.webhooks.url_health import UrlHealth


class SubmissionFlow(Protocol):
    """Takes messages: `relay.routing.flow.MessageFlow`."""

    store: Store
    fair_share: FairShare
    decisions: Decider
    charging: Charging

    def prepare(self, account: str, submissions: Sequence[Submission]) -> list[Message | Refused]:
        """Makes a message of each submission, or says why it is refused."""

    async def accept(
        self, messages: Sequence[Message], idempotency: Idempotency | None = None, repeatable: Set[bytes] = NO_IDS
    ) -> AcceptedBefore | None:
        """Returns when the messages are durable. See `relay.store.api.MessageStore.accept`."""

    def dispatch(self, messages: Sequence[Message]) -> None:
        """Gives accepted messages to carriers. Call it only after the answer has been written."""

    def count_refusal(self, account: str, command_status: int) -> None:
        """Counts a message that was refused before `prepare`."""

    async def cancel(self, message_id: bytes) -> bool:
        """Cancels a message. False: the message goes on, or has ended otherwise."""

    def wake(self, queues: Iterable[QueueKey]) -> None:
        """Tells that these queues have new notifications."""


class Compose(Protocol):
    """Makes addresses and submit_sm bodies of a customer's text."""

    def __call__(
        self,
        to: str,
        sender: str,
        text: str,
        *,
        account: str = "",
        flash: bool = False,
        tlvs: bytes = b"",
        tags: Sequence[str] = (),
    ) -> tuple[bytes, tuple[bytes, ...]]:
        """Returns addresses and parts as in `Submission`.

        :param account: its routes say in which form the carriers want the text.
        :param flash: the handset shows the text at once, and doesn't keep it.
        :param tlvs: optional parameters for every part, as octets.
        :param tags: tags of the message that its routes may ask for.
        :raises ValueError: they can't be made. It has the attributes `field` (to, from or text) and `reason`, a
            sentence for the customer.
        """


class Customers(Protocol):
    """Knows the accounts: `relay.accounts.accounts.Accounts`, which describes each method."""

    keys: KeyRing

    def by_authorization(self, header: bytes | None) -> Login | None:
        """The login in an Authorization header."""

    def by_login(self, account: str, key: str) -> Login | None:
        """The login with an account's name and a key."""

    def is_suspended(self, name: str) -> bool:
        """Whether an operator has suspended the account."""

    def get(self, name: str) -> Account:
        """The account with its settings."""

    def notification_url(self, name: str) -> str | None:
        """Its notification URL."""

    def check_url(self, account: str, url: str) -> WebUrl:
        """Checks whether the account may be notified at the URL."""

    def check_setting(self, account: str, name: str, value: str) -> None:
        """Checks whether a setting may have this value."""

    def apply_setting(self, account: str, name: str, value: str | None) -> None:
        """Applies a setting."""

    def setting(self, account: str, name: str) -> str | None:
        """The setting's value, if the customer has set one."""

    def allowance(self, name: str, now: float) -> tuple[float, int, int] | None:
        """The rate, the burst, and how many messages are allowed now; None: there is no limit."""


class WebhookTester(Protocol):
    """Sends webhooks: `relay.webhooks.webhook_sender.Webhooks`."""

    def url_changed(self, account: str) -> None:
        """Tells that the account's notification settings have changed."""

    def url_state(self, account: str) -> UrlState:
        """The state of the account's URL."""

    def url_health(self, account: str) -> UrlHealth:
        """How the attempts at the account's URL have ended."""

    def built_again(self, notification: Notification, at: float) -> WebhookRequest | None:
        """The request of an earlier attempt, without its secrets; None: it can't be made any more."""

    async def test(self, account: str, test_id: bytes) -> Tested:
        """Sends a test notification, and returns the receiver's answer.

        :raises LookupError: the account has no notification URL.
        """
