"""What the daemon is given: the parts of the relay that it does not make itself."""

import random
from typing import Any, Protocol

import msgspec
from treq.client import HTTPClient

from relay.accounts.accounts import Accounts
from relay.app.sd_notify import SystemdNotifier
from relay.cluster.membership import Membership
from relay.history.history import History
from relay.history.message_lists import MessageLists
from relay.history.message_records import MessageRecords
from relay.quality.quality_watch import QualityWatch
from relay.routing.flow import MessageFlow
from relay.runtime.open_files import OpenFiles
from relay.store.api import Store
from relay.tracing.tracing import Tracing
from relay.values.ids import RandomBytes


class DurableStore(Store, Protocol):
    """A store that can be started and stopped. The daemon starts it first and stops it last."""

    async def start(self) -> None:
        """Opens the store and reads its contents."""

    async def stop(self) -> None:
        """Makes everything durable, and closes the store."""


class WebhookService(Protocol):
    """Delivers notifications by HTTP."""

    async def start(self) -> None:
        """Begins to send the notifications that are owed."""

    async def stop(self, limit_seconds: float) -> None:
        """Waits until the requests under way have ended, `limit_seconds` at the most."""

    def url_changed(self, account: str) -> None:
        """Tells that the account's notification settings have changed."""


class Collaborators(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of the relay that the daemon does not make itself. `relay.tap.build` or a simulation makes them.

    :ivar records: writes message records; None: the configuration wants none.
    :ivar history: follows the journal, where the configuration wants a history.
    :ivar lists: finds messages: in the history where there is one, or else in memory.
    :ivar open_files: keeps some open files free for the journal, carriers and webhooks; None: there are always enough.
    :ivar notifier: tells the service manager when the relay is ready and when it stops.
    :ivar membership: this relay's place in its cluster; None: it is alone.
    :ivar quality: counts what carriers deliver; None: the daemon makes one, which a restart makes forget.
    :ivar tracing: makes spans of what happens to messages; None: the relay has no traces.
    :ivar carrier_http: a treq client, for carriers that are spoken to over HTTP; None: there are no such carriers.
    """

    reactor: Any
    randomness: random.Random
    random_bytes: RandomBytes
    store: DurableStore
    accounts: Accounts
    flow: MessageFlow
    webhooks: WebhookService
    records: MessageRecords | None = None
    history: History | None = None
    lists: MessageLists | None = None
    open_files: OpenFiles | None = None
    notifier: SystemdNotifier | None = None
    carrier_http: HTTPClient | None = None
    membership: Membership | None = None
    quality: QualityWatch | None = None
    tracing: Tracing | None = None
