"""A daemon for tests of the operator's pages: real flow, links and sessions, no connections, and a quick store."""

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from relay.accounts.accounts import Accounts
from relay.carriers.draining import DrainingCarriers
from relay.carriers.handset_messages import HandsetMessages
from relay.carriers.link import CarrierLink
from relay.carriers.session_api import CarrierSession
from relay.cluster.membership import Membership
from relay.config.account_config import Account, AccountSmpp
from relay.config.carrier_config import Carrier
from relay.config.daemon_config import Limits
from relay.config.model import Config
from relay.config.route_config import Route
from relay.customers.smpp_sessions import CustomerSessions
from relay.history.message_lists import MessageLists
from relay.quality.quality_rules import Avoided
from relay.quality.quality_watch import QualityWatch
from relay.routing.flow import MessageFlow
from relay.routing.housekeeping import Housekeeping
from relay.routing.routes import Routes
from relay.routing.stale_names import StaleNames
from relay.store.store_values import ReplayResult, StoreBusy, StoreFigures, StoreResult, StoreUnavailable
from relay.store.table.ledger import Ledger
from relay.tracing.tracing import Tracing
from relay.values.carrier_reports import AmbiguousReceipt, Receipt
from relay.values.charge import AccountUse, ToppedUp, TopUp
from relay.values.ended_counts import COUNTS, FIRST_CLASS, TOOK_SECONDS, EndedCounts, QualityGroup
from relay.values.inbound_lists import InboundListed, InboundWanted
from relay.values.message_view import MessageView
from relay.values.messages import Ending, Message, Submission
from relay.values.notifications import QueueKey
from relay.values.secret import Secret
from relay.values.wire_tap import WireTap
from relay.webhooks.answer import UrlState
from tests.unused_store import UnusedStore

ADDRESSES = b"\x05\x00RELAY\x00\x01\x01447700900123\x00"


def configuration(**more: Any) -> Config:
    return Config(
        accounts={
            "acme": Account(api_key=Secret("key"), smpp=AccountSmpp(system_id="acme", password=Secret("secret08"))),
            "quiet": Account(api_key=Secret("other")),
        },
        carriers={
            "tier1": Carrier(connect="tcp:127.0.0.1:2776", window=50, binds=2),
            "tier2": Carrier(connect="tcp:127.0.0.1:2777"),
        },
        routes=[Route(carriers=["tier1", "tier2"])],
        **more,
    )


def place(listed: InboundListed) -> int:
    """Its place in the feed."""
    assert listed.view.inbound is not None
    return listed.view.inbound.cursor


class OperatedStore(UnusedStore):
    """Every call is durable at once, unless `unavailable`."""

    def __init__(self) -> None:
        self.shown = StoreFigures()
        self.unavailable = False
        self.accepted: list[Message] = []
        self.kept: dict[tuple[str, str], str] = {}
        self.given_up_at: dict[bytes, float] = {}
        self.told_again: list[list[bytes]] = []
        self.views: dict[bytes, MessageView] = {}
        self.orphaned: list[Receipt] = []
        self.kept_as_evidence: list[Receipt] = []
        self.dismissed: list[str] = []
        self.ambiguous_ones: list[AmbiguousReceipt] = []
        self.out: dict[str, int] = {}
        self.owed: dict[str, int] = {}
        self.owed_at: dict[str, float] = {}
        self.busy = False
        #: Messages from handsets, newest first, and what was asked about them.
        self.inbound: list[InboundListed] = []
        self.wanted: list[InboundWanted] = []
        self.ledger = Ledger()

    def account_use(self, account: str) -> AccountUse:
        return self.ledger.use(account)

    def top_ups(self, account: str) -> list[TopUp]:
        return self.ledger.top_ups(account)

    def top_up(self, top_up: TopUp) -> Deferred[ToppedUp]:
        return succeed(self.ledger.top_up(top_up))

    def figures(self) -> StoreFigures:
        return self.shown

    def subscribe(self, due: Callable[[Sequence[QueueKey]], None]) -> None:
        """Nothing ever comes due here."""

    def accept(self, messages: Sequence[Message], *keys: object, **more: object) -> Deferred[None]:
        if self.unavailable:
            failed: Deferred[None] = Deferred()
            failed.errback(StoreUnavailable("disk full"))
            return failed
        self.accepted.extend(messages)
        return succeed(None)

    def submitted(self, batch: Sequence[object], sent_at: Sequence[float] = ()) -> Deferred[StoreResult]:
        return succeed(StoreResult(frozenset(), ()))

    receipts = submitted

    def end(self, batch: Sequence[Ending]) -> Deferred[StoreResult]:
        for ending in batch:
            if ending.id in self.views:
                ended = msgspec.structs.replace(self.views[ending.id], state=ending.state, final=True)
                self.views[ending.id] = ended
        return succeed(StoreResult(frozenset(), ()))

    def put_setting(self, account: str, name: str, value: str | None) -> Deferred[None]:
        if self.unavailable:
            failed: Deferred[None] = Deferred()
            failed.errback(StoreUnavailable("disk full"))
            return failed
        self.kept.pop((account, name), None)
        if value is not None:
            self.kept[account, name] = value
        return succeed(None)

    def settings(self) -> Deferred[Sequence[tuple[str, str, str]]]:
        return succeed([(account, name, value) for (account, name), value in self.kept.items()])

    def given_up(self, account: str, since: float, until: float, limit: int) -> Deferred[list[bytes]]:
        return succeed([message_id for message_id, at in self.given_up_at.items() if since <= at < until][:limit])

    def given_up_count(self, account: str) -> int:
        return len(self.given_up_at)

    def notify_again(self, account: str, ids: Sequence[bytes], now: float) -> Deferred[ReplayResult]:
        self.told_again.append(list(ids))
        return succeed(ReplayResult(len(ids), frozenset({QueueKey(account, "webhook")})))

    def look_up(self, message_id: bytes) -> Deferred[MessageView | None]:
        return succeed(self.views.get(message_id))

    def find_carrier_id(self, carrier_message_id: bytes) -> Deferred[list[MessageView]]:
        wanted = carrier_message_id.decode()
        return succeed([v for v in self.views.values() if wanted in [part.carrier_message_id for part in v.parts]])

    def latest_inbound(self, account: str, wanted: InboundWanted, limit: int) -> Deferred[Sequence[InboundListed]]:
        self.wanted.append(wanted)
        found = [each for each in self.inbound if each.view.account == account]
        return succeed([each for each in found if not wanted.before or place(each) < wanted.before][:limit])

    def carriers(self) -> Deferred[list[str]]:
        return succeed(list(self.out))

    def owed_by_account(self) -> Deferred[dict[str, int]]:
        return succeed(dict(self.owed))

    def owed_since(self, account: str) -> Deferred[float | None]:
        return fail(StoreBusy("busy", 1.0)) if self.busy else succeed(self.owed_at.get(account))

    def receipts_out(self, carrier: str) -> Deferred[int]:
        return succeed(self.out.get(carrier, 0))

    def recent(
        self, account: str, *, before: float | None = None, state: int | None = None, search: str = "", limit: int = 50
    ) -> Deferred[list[MessageView]]:
        return succeed([view for view in self.views.values() if view.account == account][:limit])

    def orphans(self, limit: int) -> Deferred[list[Receipt]]:
        return succeed(self.orphaned[:limit])

    def ambiguous(self, limit: int) -> Deferred[list[AmbiguousReceipt]]:
        return succeed(self.ambiguous_ones[:limit])

    def evidence(self, limit: int) -> Deferred[list[Receipt]]:
        return succeed(self.kept_as_evidence[:limit])

    def dismiss_evidence(self, carrier: str) -> Deferred[int]:
        self.dismissed.append(carrier)
        return succeed(self.shown.evidence[carrier])

    def unreadable(self, limit: int) -> Deferred[list[Receipt]]:
        return succeed([])


def idle_keepers(settings: Carrier, reports: object) -> "list[IdleKeeper]":
    """As many as the carrier has binds."""
    return [IdleKeeper()] * settings.binds


class OperatedDaemon:
    """What metrics, health and pages read."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or configuration()
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.store = OperatedStore()
        self.lists = MessageLists(self.store)
        self.history: Any = None
        self.accounts = Accounts(self.config.accounts)
        self.flow = MessageFlow(
            store=self.store,
            rates=self.accounts,
            routes=Routes(self.config.routes),
            clock=self.clock,
            random_bytes=random.Random(1).randbytes,
            validity_seconds=3600.0,
        )
        self.sessions = CustomerSessions(self.flow, self.accounts, self.config.smpp, self.config.limits, self.clock)
        self.housekeeping = Housekeeping(self.flow, self.clock)
        self.quality = QualityWatch(self.flow, self.clock, 100)
        self.handset_messages = HandsetMessages(
            self.flow, self.accounts.find, lambda name: None, lambda account, pdu: None, self.clock, bytes, Limits()
        )
        self.links = {
            name: CarrierLink(
                name,
                settings,
                self.flow,
                self.clock,
                partial(idle_keepers, settings),
                queue_bytes=1_000_000,
            )
            for name, settings in self.config.carriers.items()
        }
        self.flow.connect(self.links, {})
        self.draining_carriers = DrainingCarriers(
            self.flow,
            self.clock,
            limit_seconds=lambda: self.config.drain_hours * 3600.0,
            shutdown_seconds=lambda: 1.0,
            gone=self.gone,
        )
        self.stale_names = StaleNames(
            self.flow, self.clock, known_carriers=lambda: self.links, known_accounts=lambda: self.config.accounts
        )
        self.not_ready = ""
        self.membership: Membership | None = None
        self.tracing: Tracing | None = None
        self.webhooks = OperatedWebhooks()
        self.reloader: Any = None
        self.editor: Any = None
        self.listening = ["tcp 127.0.0.1:2775"]

    def avoid(self, carrier: str) -> Avoided:
        """Makes the route avoid a carrier."""
        avoided = Avoided("all numbers", carrier, 900.0, 0.12, 250, 0.6)
        self.quality.rules.avoided[avoided.route, carrier] = avoided
        return avoided

    def ended(self, carrier: str, account: str, country: str, delivered: int, failed: int, unanswered: int = 0) -> None:
        """Messages have ended that a carrier took; those that were delivered within ten seconds."""
        counts = [delivered, failed, unanswered] + [0] * (COUNTS - FIRST_CLASS)
        counts[FIRST_CLASS + TOOK_SECONDS.index(10.0)] = delivered
        self.quality.quality.add(EndedCounts(1, {QualityGroup(carrier, account, country): counts}))

    async def gone(self, name: str) -> None:
        """A carrier that drained is unbound."""

    def bind(self, carrier: str) -> list[CarrierSession]:
        """Has all the sessions of a carrier be bound."""
        link = self.links[carrier]
        link.start()
        sessions: list[CarrierSession] = [BoundSession() for _ in range(link.wanted_count)]
        for session in sessions:
            link.bound(session)
        return sessions

    def take(self, count: int = 1, account: str = "acme", interface: str = "smpp") -> None:
        """Accepts messages."""
        submissions = [Submission(ADDRESSES, (b"body",), interface=interface)] * count
        messages = [message for message in self.flow.prepare(account, submissions) if isinstance(message, Message)]
        accepted = Deferred.fromCoroutine(self.flow.accept(messages))
        accepted.addErrback(lambda failure: failure.trap(StoreUnavailable))
        assert accepted.called


class OperatedWebhooks:
    """No URL has failed, unless the test says so."""

    def __init__(self) -> None:
        self.states: dict[str, UrlState] = {}
        self.changed: list[str] = []

    def url_state(self, account: str) -> UrlState:
        return self.states.get(account, UrlState("", 0, False, None, 0))

    def url_changed(self, account: str) -> None:
        self.changed.append(account)

    def tap(self, account: str, tap: WireTap | None) -> None:
        pass


class IdleKeeper:
    """Keeps no session alive: a test binds one itself."""

    def start(self) -> None:
        pass

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def sending(self) -> Sequence[object]:
        return ()

    def tap(self, tap: WireTap | None) -> None:
        pass


class BoundSession:
    """A session that is bound, and over which nothing goes."""

    takes_messages = brings_receipts = True
    outstanding = 0
    heard_at = 0.0
    room = 0

    def send(self, command_id: int, requests: Sequence[tuple[bytes, object]]) -> None:
        raise AssertionError("sent without room")

    def sending(self) -> Sequence[object]:
        return ()

    def unbind(self) -> None:
        pass
