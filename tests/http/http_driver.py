"""The HTTP API without a network: requests in, replies out, with a flow and a store that the test controls."""

import base64
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from relay.accounts.accounts import Accounts
from relay.charging.charging import Charging
from relay.config.account_config import Account
from relay.config.daemon_config import Limits
from relay.decisions.decision_service import Decider, NoDecisions
from relay.http.forwarded import TrustedProxies
from relay.http.http_api import HttpApi
from relay.runtime.fair_share import FairShare
from relay.store.store_values import (
    NO_IDS,
    AcceptedBefore,
    FeedEntry,
    Idempotency,
    ReplayResult,
    StoreFigures,
    StoreUnavailable,
)
from relay.text.compose import compose
from relay.values.charge import NOTHING_USED, AccountUse
from relay.values.ids import id_text
from relay.values.message_view import MessageView
from relay.values.messages import Message, Refused, Submission
from relay.values.notifications import Channel, Notification, QueueKey
from relay.values.secret import Secret
from relay.values.states import DELETED
from relay.webhooks.answer import Answer, Tested, UrlState
from relay.webhooks.request import WebhookRequest, webhook_request
from relay.webhooks.url_health import UrlHealth

KEY = "k" * 24


def composed(
    to: str,
    sender: str,
    text: str,
    *,
    account: str = "",
    flash: bool = False,
    tlvs: bytes = b"",
    tags: Sequence[str] = (),
) -> tuple[bytes, tuple[bytes, ...]]:
    """Addresses and parts, for carriers without settings of their own."""
    return compose(sender, to, text, reference=1, flash=flash, tlvs=tlvs)[:2]


class Reply(msgspec.Struct):
    """A reply as the client reads it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class FakeStore:
    """Remembers idempotency keys and settings; the rest is what tests put here."""

    def __init__(self) -> None:
        self.views: dict[bytes, MessageView] = {}
        self.entries: list[FeedEntry] = []
        self.keys: dict[tuple[str, str], Idempotency] = {}
        self.kept: dict[tuple[str, str], str | None] = {}
        self.again: list[bytes] = []
        self.lost: list[bytes] = []
        self.feed_place = 0
        self.use = NOTHING_USED

    def look_up(self, message_id: bytes) -> Deferred[MessageView | None]:
        return succeed(self.views.get(message_id))

    def recent(
        self, account: str, *, before: float | None = None, state: int | None = None, search: str = "", limit: int = 50
    ) -> Deferred[list[MessageView]]:
        found = [
            view
            for view in reversed(self.views.values())
            if view.account == account
            and state in (None, view.state)
            and (before is None or view.accepted_at < before)
            and (search in id_text(view.id) or search.encode() in view.addresses)
        ]
        return succeed(found[:limit])

    def feed(self, account: str, after: int, limit: int) -> Deferred[Sequence[FeedEntry]]:
        return succeed([entry for entry in self.entries if entry.cursor > after][:limit])

    def repeated(self, account: str, key: str) -> Deferred[Idempotency | None]:
        return succeed(self.keys.get((account, key)))

    def put_setting(self, account: str, name: str, value: str | None) -> Deferred[None]:
        self.kept[account, name] = value
        return succeed(None)

    def settings(self) -> Deferred[Sequence[tuple[str, str, str]]]:
        return succeed([(*key, value) for key, value in self.kept.items() if value is not None])

    def figures(self) -> StoreFigures:
        return StoreFigures(feed_place=self.feed_place)

    def notify_again(self, account: str, ids: Sequence[bytes], now: float) -> Deferred[ReplayResult]:
        self.again.extend(ids)
        return succeed(ReplayResult(len(ids), frozenset({QueueKey(account, Channel.WEBHOOK)})))

    def notify_old(self, account: str, views: Sequence[MessageView], now: float) -> Deferred[ReplayResult]:
        return self.notify_again(account, [view.id for view in views if view.id not in self.views], now)

    def given_up(self, account: str, since: float, until: float, limit: int) -> Deferred[Sequence[bytes]]:
        return succeed(self.lost[:limit])

    def account_use(self, account: str) -> AccountUse:
        return self.use

    def given_up_count(self, account: str) -> int:
        return len(self.lost)

    def owed_since(self, account: str) -> Deferred[float | None]:
        owed = [view.done_at for view in self.views.values() if view.account == account and view.owed and view.done_at]
        return succeed(min(owed, default=None))

    def owed_by_account(self) -> Deferred[Mapping[str, int]]:
        return succeed(Counter(view.account for view in self.views.values() if view.owed))

    def learnt_between(self, account: str, since: float, until: float, limit: int) -> Deferred[Sequence[bytes]]:
        return succeed([entry.id for entry in self.entries if since <= entry.at < until][:limit])


class FakeFlow:
    """Takes everything, or what `refusal` says; `durable` may hold the acceptance up."""

    def __init__(self, store: FakeStore, clock: Clock) -> None:
        self.store: Any = store
        self.fair_share = FairShare()
        self.decisions: Decider = NoDecisions()
        self.charging = Charging({}, {})
        self.refused: list[tuple[str, int]] = []
        self._clock = clock
        self._random = random.Random(1)
        self.refusal: Refused | None = None
        self.durable: Deferred[None] | None = None
        self.broken: StoreUnavailable | None = None
        #: What the next `accept` finds: another node has accepted it after the look-up.
        self.before: AcceptedBefore | None = None
        self.accepted: list[Message] = []
        self.prepared: list[Submission] = []
        self.dispatched: list[Message] = []
        self.woken: list[QueueKey] = []

    def count_refusal(self, account: str, command_status: int) -> None:
        self.refused.append((account, command_status))

    def prepare(self, account: str, submissions: Sequence[Submission]) -> list[Message | Refused]:
        self.prepared += submissions
        now = self._clock.seconds()
        return [
            self.refusal
            or Message(
                self._random.randbytes(16),
                account,
                now,
                now + (s.validity_seconds or 100.0) + s.scheduled_seconds,
                s.addresses,
                s.parts,
                0,
                s.interface,
                s.reference,
                s.notification_url,
                s.priority,
                scheduled_at=now + s.scheduled_seconds if s.scheduled_seconds else 0,
            )
            for s in submissions
        ]

    async def cancel(self, message_id: bytes) -> bool:
        view = self.store.views[message_id]
        if view.final or view.carrier:
            return False
        self.store.views[message_id] = msgspec.structs.replace(view, state=DELETED, final=True)
        return True

    async def accept(
        self, messages: Sequence[Message], idempotency: Idempotency | None = None, repeatable: Set[bytes] = NO_IDS
    ) -> AcceptedBefore | None:
        before, self.before = self.before, None
        if before is not None:
            known = {view.id for view in before.messages}
            self.accepted += [] if before.request else [m for m in messages if m.id not in known]
            return before
        if self.durable is not None:
            await self.durable
        if self.broken is not None:
            raise self.broken
        self.accepted += messages
        if idempotency is not None:
            self.store.keys[idempotency.account, idempotency.key] = idempotency
        return None

    def dispatch(self, messages: Sequence[Message]) -> None:
        self.dispatched += messages

    def wake(self, queues: Iterable[QueueKey]) -> None:
        self.woken += queues


class FakeWebhooks:
    """Says what a test notification came to."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.changed: list[str] = []
        self.state = UrlState("", 0, False, None, 0)
        self.health = UrlHealth(1_699_990_000.0)

    def url_changed(self, account: str) -> None:
        self.changed.append(account)

    def url_state(self, account: str) -> UrlState:
        return self.state

    def url_health(self, account: str) -> UrlHealth:
        return self.health

    def built_again(self, notification: Notification, at: float) -> WebhookRequest | None:
        url = notification.url or self._accounts.notification_url(notification.account)
        if not url:
            return None
        return webhook_request([notification], url, form=False, array=False, error_codes="standard", keys=(), now=at)

    async def test(self, account: str, test_id: bytes) -> Tested:
        url = self._accounts.notification_url(account)
        if url is None:
            raise LookupError(account)
        return Tested(WebhookRequest("POST", url, {}, b"{}"), Answer(200, body=b"thanks"), 0.25)


class HttpDriver:
    """An API, and a client of it."""

    def __init__(
        self,
        accounts: Mapping[str, Account] | None = None,
        limits: Limits | None = None,
        *,
        kannel: bool = False,
        jasmin: bool = False,
        failed_logins_a_minute: int = 0,
        proxies: Sequence[str] = (),
    ) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000.0)
        self.accounts = Accounts(
            accounts or {"acme": Account(api_key=Secret(KEY)), "other": Account(api_key=Secret("o" * 24))}
        )
        self.store = FakeStore()
        self.flow = FakeFlow(self.store, self.clock)
        self.webhooks = FakeWebhooks(self.accounts)
        self.api = HttpApi(
            flow=self.flow,
            accounts=self.accounts,
            webhooks=self.webhooks,
            compose=composed,
            clock=self.clock,
            random_bytes=random.Random(2).randbytes,
            limits=limits or Limits(),
            version="1.2.3",
            kannel=kannel,
            jasmin=jasmin,
            failed_logins_a_minute=failed_logins_a_minute,
            proxies=TrustedProxies(proxies),
        )

    def serve(self) -> None:
        """Has the requests answered that wait for a turn."""
        while self.api.site.turns.waiting:
            self.clock.advance(0.0)

    def turn(self) -> None:
        """One turn of the reactor; `Clock.advance` would go on as long as there is something to do."""
        due = [call for call in self.clock.getDelayedCalls() if call.getTime() <= self.clock.seconds()]
        for call in due:
            self.clock.calls.remove(call)  # type: ignore[arg-type]
            call.func()  # type: ignore[attr-defined]

    def connect(self, address: str = "192.0.2.1") -> "Connection":
        """A new connection."""
        return Connection(self, address)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        login: str | None = f"acme:{KEY}",
        address: str = "192.0.2.1",
    ) -> Reply:
        """One request on a connection of its own; fails where no reply has come when it returns."""
        connection = self.connect(address)
        connection.send(method, path, body, headers, login)
        return connection.reply()


class Connection:
    """One connection, on a transport in memory."""

    def __init__(self, driver: HttpDriver, address: str = "192.0.2.1") -> None:
        self.driver = driver
        peer = IPv4Address("TCP", address, 4000)
        self.transport = StringTransport(peerAddress=peer)
        self.channel: Any = driver.api.site.buildProtocol(peer)
        if self.channel is not None:
            self.channel.makeConnection(self.transport)

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        login: str | None = f"acme:{KEY}",
        *,
        host: str = "relay.example",
    ) -> None:
        """Sends a request. A body that is no bytes goes as JSON."""
        octets = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
        if login is not None:
            lines.append("Authorization: Basic " + base64.b64encode(login.encode()).decode())
        if octets:
            lines.append(f"Content-Length: {len(octets)}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.write("\r\n".join(lines).encode() + b"\r\n\r\n" + octets)

    def write(self, octets: bytes) -> None:
        """Sends octets as they are."""
        self.channel.dataReceived(octets)

    @property
    def answered(self) -> bool:
        """Whether anything has come back."""
        return bool(self.transport.value())

    def reply(self) -> Reply:
        """Takes what has come as one reply."""
        self.driver.serve()
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        self.transport.clear()
        status, *lines = head.decode().split("\r\n")
        if not status:
            raise AssertionError("no reply has come")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return Reply(int(status.split(" ")[1]), headers, body)

    def lose(self) -> None:
        """The client goes away."""
        from twisted.internet.error import ConnectionDone
        from twisted.python.failure import Failure

        self.channel.connectionLost(Failure(ConnectionDone()))
