"""The operator's actions on a running relay, and their records.

Each action is written to the journal before it takes effect: who did what, when and why. It is a setting of the
account "", which no customer can have. The last `AUDITED` records are kept. The journal also keeps which carriers are
held, so a held carrier stays held after a restart.
"""

import itertools
from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec
from twisted.internet.task import deferLater
from twisted.logger import Logger

from relay.accounts.account_settings import OFF_BY_OPERATOR, SUSPENDED, URL_OFF
from relay.accounts.accounts import Accounts
from relay.carriers.draining import DrainingCarriers
from relay.carriers.link import CarrierLink
from relay.config.changes import ReloadResult
from relay.customers.smpp_sessions import CustomerSessions
from relay.operator.balances import ToppedUpReport, TopUpRequest, check_same, report_of, top_up_of
from relay.operator.operator_logins import Actor
from relay.operator.purge import Purged, PurgeRequest, end_messages, messages_of_route, queued_messages
from relay.operator.refusal import Refusal
from relay.operator.trace_lines import Kind, TraceView
from relay.operator.traces import KEPT, Trace, TraceRefused, TraceRequest, Traces
from relay.routing.explanation import words
from relay.routing.flow import MessageFlow
from relay.values.amounts import amount_text
from relay.values.ids import parse_id

#: The account that has the operator's own settings.
OPERATOR: Final = ""
HELD: Final = "held."
_AUDIT: Final = "audit."
#: Audit records kept; the oldest is overwritten.
AUDITED: Final = 1000
#: The most notifications that one replay sends again, and how many of them in one turn of the reactor.
MOST_REPLAYED: Final = 100_000
_REPLAYED_AT_ONCE: Final = 250


class AuditRecord(msgspec.Struct, frozen=True):
    """The record of one action of an operator."""

    number: int
    at: float
    what: str
    reason: str
    peer: str
    user: str = "operator"


class ReplayRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The notifications to send again: those of messages, by id, or those that were given up in a time.

    :ivar dry_run: only count them.
    """

    ids: list[str] = []
    since: float | None = None
    until: float | None = None
    reason: str = ""
    dry_run: bool = False


class Replayed(msgspec.Struct, frozen=True):
    """The result of a replay.

    :ivar count: messages whose notification is sent again.
    :ivar passed_over: how many ids were skipped, because the relay keeps no finished message of the account for them.
    """

    count: int
    passed_over: int = 0


class Reloads(Protocol):
    """Reloads the configuration file.

    :ivar last: how the last reload went; None: there was none.
    """

    last: ReloadResult | None

    async def reload_now(self) -> ReloadResult:
        """Reloads, and returns when it is done. Raises an exception with `problems` if the relay isn't ready."""

    async def dry_run(self) -> ReloadResult:
        """Says what a reload would do. It changes nothing."""


class Operated(Protocol):
    """The parts of the daemon that an operator's actions need."""

    flow: MessageFlow
    links: dict[str, CarrierLink]
    draining_carriers: DrainingCarriers
    accounts: Accounts
    sessions: CustomerSessions
    webhooks: Any
    reloader: Reloads | None


class OperatorActions:
    """Does the operator's actions, and records them.

    :ivar clock: the reactor's time.
    :ivar traces: the traces of carriers and accounts.
    :raises Refusal: from every action: it can't be done, and nothing has changed.
    :raises StoreUnavailable: from every action: it can't be recorded, and nothing has changed.
    """

    log = Logger()

    def __init__(self, daemon: Operated, clock: Any) -> None:
        self._daemon = daemon
        self.clock = clock
        self.traces = Traces(daemon, clock)
        self._numbers: itertools.count[int] | None = None

    async def hold(self, carrier: str, reason: str, by: Actor) -> str:
        """Sends nothing more to a carrier until `resume`. Its receipts are handled as before."""
        link = self._link(carrier)
        await self.record(f"hold {carrier}", reason, by)
        await self._daemon.flow.store.put_setting(OPERATOR, HELD + carrier, reason or "held")
        link.hold(True)
        return f"{carrier} is held; {link.queued} parts wait"

    async def resume(self, carrier: str, reason: str, by: Actor) -> str:
        """Ends a hold."""
        link = self._link(carrier)
        await self.record(f"resume {carrier}", reason, by)
        await self._daemon.flow.store.put_setting(OPERATOR, HELD + carrier, None)
        link.hold(False)
        return f"{carrier} gets messages again"

    async def reload(self, reason: str, by: Actor) -> ReloadResult:
        """Reloads the configuration file. If it is wrong, the result has its problems, and nothing has changed."""
        reloader = self._reloader()
        await self.record("reload the configuration", reason, by)
        try:
            return await reloader.reload_now()
        except Exception as problem:
            raise Refusal(str(problem), 409) from None

    async def reload_dry_run(self) -> ReloadResult:
        """Says what a reload would change, and what is wrong in the file. It changes nothing, and is not recorded."""
        return await self._reloader().dry_run()

    async def unbind_carrier(self, carrier: str, reason: str, by: Actor) -> str:
        """Unbinds a removed carrier that drains, without waiting for its last receipts."""
        if self._daemon.draining_carriers.link(carrier) is None:
            raise Refusal(f"{carrier!r} does not drain: take it out of the configuration and reload", 409)
        await self.record(f"unbind the removed carrier {carrier}", reason, by)
        self._daemon.draining_carriers.cut_short(carrier)
        return f"{carrier} is being unbound"

    async def dismiss_evidence(self, carrier: str, reason: str, by: Actor) -> str:
        """Keeps a carrier's receipts up to now as evidence of a wrong dialect no longer."""
        store = self._daemon.flow.store
        # The carrier may have been removed since.
        if carrier not in store.figures().evidence:
            raise Refusal(f"no receipts of {carrier!r} are kept as evidence", 409)
        await self.record(f"dismiss the evidence about {carrier}", reason, by)
        return f"{await store.dismiss_evidence(carrier)} receipts of {carrier} are kept no more"

    async def unbind(self, account: str, reason: str, by: Actor) -> str:
        """Ends the SMPP sessions of an account. It may bind again."""
        self._account(account)
        await self.record(f"unbind {account}", reason, by)
        return f"{self._daemon.sessions.drop(account)} sessions of {account} are being unbound"

    async def suspend(self, account: str, reason: str, by: Actor) -> str:
        """Suspends an account until `unsuspend`.

        Its SMPP sessions end, its logins are refused, and its messages that no carrier has taken wait. It is still
        notified of the others.
        """
        self._account(account)
        await self.record(f"suspend {account}", reason, by)
        await self._set(account, SUSPENDED, reason or "suspended")
        dropped, parts = self._daemon.sessions.drop(account), self._daemon.flow.suspended.begin(account)
        return f"{account} is suspended; {dropped} sessions are being unbound, and {parts} parts wait"

    async def unsuspend(self, account: str, reason: str, by: Actor) -> str:
        """Ends a suspension: the account may log in, and its messages are sent."""
        self._account(account)
        if not self._daemon.accounts.is_suspended(account):
            raise Refusal(f"{account} is not suspended", 409)
        await self.record(f"end the suspension of {account}", reason, by)
        await self._set(account, SUSPENDED, None)
        parts = await self._daemon.flow.suspended.end(account)
        return f"{account} is no longer suspended; {parts} parts are sent"

    async def purge_carrier(self, carrier: str, wanted: PurgeRequest, by: Actor) -> Purged:
        """Ends the messages in a carrier's queue as DELETED. Their customers are notified."""
        link = self._link(carrier)
        self._daemon.flow.drop_cancelled()
        return await self._purge(queued_messages([link], None), f"the queue of {carrier}", wanted, by)

    async def purge_account(self, account: str, wanted: PurgeRequest, by: Actor) -> Purged:
        """Ends the messages of an account in all queues as DELETED. The account is notified."""
        self._account(account)
        self._daemon.flow.drop_cancelled()
        kept = self._daemon.flow.suspended.messages(account)
        ids = queued_messages(self._daemon.links.values(), account, kept)
        return await self._purge(ids, f"the queued messages of {account}", wanted, by)

    async def purge_route(self, place: str, wanted: PurgeRequest, by: Actor) -> Purged:
        """Ends the messages in all queues that a route takes as DELETED. Their customers are notified.

        :param place: the route's place in the configuration, from 0: the number in `routes[0]`.
        """
        flow = self._daemon.flow
        if not place.isdecimal() or int(place) >= len(flow.routes.compiled):
            raise Refusal(f"there is no route {place!r}: routes are numbered from 0 to {len(flow.routes.compiled) - 1}")
        route = flow.routes.compiled[int(place)]
        said = words(route.route)
        if wanted.route and wanted.route != said:
            raise Refusal(f"routes[{route.index}] is for {said} since a reload; count the messages again", 409)
        flow.drop_cancelled()
        kept = flow.suspended.messages(None)
        ids = queued_messages(self._daemon.links.values(), route.route.account or None, kept)
        ids = await messages_of_route(flow, ids, route.index, self.clock)
        purged = await self._purge(ids, f"the messages of routes[{route.index}] ({said})", wanted, by)
        return msgspec.structs.replace(purged, route=said)

    async def _purge(self, ids: Sequence[bytes], what: str, wanted: PurgeRequest, by: Actor) -> Purged:
        if wanted.dry_run or not ids:
            return Purged(len(ids))
        await self.record(f"purge {what}: {len(ids)} messages", wanted.reason, by)
        ended = await end_messages(self._daemon.flow, ids, self.clock)
        return Purged(ended, len(ids) - ended)

    async def trace(self, kind: Kind, name: str, wanted: TraceRequest, by: Actor) -> TraceView:
        """Begins to trace a carrier (also one that drains) or an account. The trace ends by itself."""
        if kind == "account":
            self._account(name)
        elif self._daemon.draining_carriers.link(name) is None:
            self._link(name)
        try:
            self.traces.check(kind, name, wanted.minutes)
            await self.record(f"trace the {kind} {name} for {wanted.minutes:g} minutes", wanted.reason, by)
            return self.traces.begin(kind, name, wanted.minutes, by.user)
        except TraceRefused as problem:
            raise Refusal(str(problem), 409) from None

    async def end_trace(self, number: str, reason: str, by: Actor) -> TraceView:
        """Ends a trace before its time."""
        trace = self.trace_of(number)
        if not trace.ended:
            await self.record(f"end trace {number} of the {trace.kind} {trace.name}", reason, by)
            self.traces.end(trace.number, f"{by.user} ended it")
        return trace.view

    def trace_of(self, number: str) -> Trace:
        """Finds a trace that runs or is kept."""
        trace = self.traces.find(int(number)) if number.isascii() and number.isdigit() and len(number) < 10 else None
        if trace is None:
            raise Refusal(f"there is no trace {number!r}; the last {KEPT} are kept, until a restart")
        return trace

    async def top_up(self, account: str, wanted: TopUpRequest, by: Actor) -> ToppedUpReport:
        """Adds an amount to the balance of a prepaid account, once for each key."""
        self._account(account)
        flow = self._daemon.flow
        top_up = top_up_of(flow, account, wanted, self.clock.seconds(), by.user)
        if all(known.key != top_up.key for known in flow.store.top_ups(account)):
            what = f"add {amount_text(top_up.amount)} {top_up.currency} to the balance of {account} (key {top_up.key})"
            await self.record(what, wanted.reason, by)
        result = await flow.store.top_up(top_up)
        if result.earlier is not None:
            check_same(result.earlier, top_up)
        return report_of(top_up, result.balance, repeated=result.earlier is not None)

    async def url_off(self, account: str, reason: str, by: Actor) -> str:
        """Stops posting to an account's notification URL. Its notifications wait until their retry window ends."""
        self._account(account)
        url = self._daemon.accounts.notification_url(account)
        if url is None:
            raise Refusal(f"{account} has no notification URL", 409)
        await self.record(f"switch the URL of {account} off", reason, by)
        await self._set_url_off(account, f"{self.clock.seconds():.0f} {OFF_BY_OPERATOR} {url}")
        return f"{url} is off"

    async def url_on(self, account: str, reason: str, by: Actor) -> str:
        """Posts to an account's notification URL again, and at once."""
        self._account(account)
        await self.record(f"switch the URL of {account} on", reason, by)
        await self._set_url_off(account, None)
        return f"the notification URL of {account} is on"

    async def replay(self, account: str, wanted: ReplayRequest, by: Actor) -> Replayed:
        """Sends the notifications of finished messages again, as long as the relay keeps the messages."""
        self._account(account)
        store = self._daemon.flow.store
        now = self.clock.seconds()
        ids: Sequence[bytes]
        if wanted.ids:
            parsed = [(text, parse_id(text)) for text in wanted.ids]
            unknown = [text for text, message_id in parsed if message_id is None]
            if unknown:
                raise Refusal(f"{unknown[0]!r} is not a message id", 422)
            ids = await self._ended(account, [message_id for _, message_id in parsed if message_id is not None])
            said = f"{len(ids)} messages"
        else:
            since, until = wanted.since or 0.0, now if wanted.until is None else wanted.until
            ids = await store.given_up(account, since, until, MOST_REPLAYED)
            said = f"{len(ids)} messages whose notification was given up"
        if wanted.dry_run:
            return Replayed(len(ids), len(wanted.ids) - len(ids) if wanted.ids else 0)
        if ids:
            await self.record(f"replay {said} of {account}", wanted.reason, by)
        count = 0
        for start in range(0, len(ids), _REPLAYED_AT_ONCE):
            again = await store.notify_again(account, ids[start : start + _REPLAYED_AT_ONCE], now)
            self._daemon.flow.wake(again.queues)
            count += again.messages
        return Replayed(count, len(wanted.ids) - count if wanted.ids else 0)

    async def _ended(self, account: str, ids: Sequence[bytes]) -> list[bytes]:
        """Returns the ids that belong to finished messages of the account."""
        found: list[bytes] = []
        for number, message_id in enumerate(ids, 1):
            view = await self._daemon.flow.store.look_up(message_id)
            if view is not None and view.final and view.account == account:
                found.append(message_id)
            if number % _REPLAYED_AT_ONCE == 0:
                await deferLater(self.clock, 0.0)
        return found

    async def audit(self) -> list[AuditRecord]:
        """The records of actions, newest first."""
        records = [
            msgspec.json.decode(value, type=AuditRecord)
            for account, name, value in await self._daemon.flow.store.settings()
            if account == OPERATOR and name.startswith(_AUDIT)
        ]
        return sorted(records, key=lambda record: -record.number)

    async def record_own(self, what: str, reason: str) -> None:
        """Records what the relay did by itself."""
        await self.record(what, reason, Actor("relay", ""))

    async def record(self, what: str, reason: str, by: Actor) -> None:
        """Writes the record of an action that is done next."""
        if self._numbers is None:
            done = await self.audit()
            # It is checked again, because another action may have begun meanwhile.
            if self._numbers is None:
                self._numbers = itertools.count(done[0].number + 1 if done else 1)
        record = AuditRecord(next(self._numbers), self.clock.seconds(), what, reason, by.address, by.user)
        value = msgspec.json.encode(record).decode()
        await self._daemon.flow.store.put_setting(OPERATOR, f"{_AUDIT}{record.number % AUDITED:03d}", value)
        self.log.info(
            "operator_did: {what}, by {user} from {peer}: {reason}",
            what=what, user=by.user, peer=by.address, reason=reason,
        )  # fmt: skip

    async def _set_url_off(self, account: str, value: str | None) -> None:
        await self._set(account, URL_OFF, value)
        self._daemon.webhooks.url_changed(account)

    async def _set(self, account: str, name: str, value: str | None) -> None:
        # If the relay stops in between, the next start reads the setting.
        await self._daemon.flow.store.put_setting(account, name, value)
        self._daemon.accounts.apply_setting(account, name, value)

    def _reloader(self) -> Reloads:
        if self._daemon.reloader is None:
            raise Refusal("this relay was not started with a configuration file", 409)
        return self._daemon.reloader

    def _link(self, carrier: str) -> CarrierLink:
        link = self._daemon.links.get(carrier)
        if link is None:
            raise Refusal(f"there is no carrier {carrier!r}")
        return link

    def _account(self, account: str) -> None:
        if self._daemon.accounts.find(account) is None:
            raise Refusal(f"there is no account {account!r}")


def held_carriers(settings: Sequence[tuple[str, str, str]]) -> set[str]:
    """Reads at a start which carriers are held, in the settings that the store has kept."""
    return {name[len(HELD) :] for account, name, _ in settings if account == OPERATOR and name.startswith(HELD)}
