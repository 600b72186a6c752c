"""The message flow: gives messages to carriers, and wakes the senders of notifications. Read it from top to bottom.

Message: a listener (SMPP or HTTP) calls `prepare`, which makes messages of submissions or refuses them. It awaits
`accept`, after which the messages are durable, and writes its answer with the ids. Then it calls `dispatch`, which
gives every part to a carrier link. The customer gets the answer before the dispatch, so no receipt can reach the
customer before the id.

Receipt: a carrier link gives the receipt to the store, and calls `follow_up`. When the receipt is durable, the flow
wakes the queues that have new notifications. The sender of such a queue claims from the store only as many
notifications as it can send now. So notifications wait in the store only.
"""

import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence, Set

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from relay.charging.charging import Charging, Meter
from relay.config.sender_patterns import AllowedSenders
from relay.decisions.decision_service import Decider, NoDecisions
from relay.routing.cancelled import CancelledMessages
from relay.routing.carrier_order import RouteCarriers, without
from relay.routing.flow_api import Link, NotificationSender, Outgoing, RateLimits
from relay.routing.routes import Routes
from relay.routing.set_endings import SetEnding
from relay.routing.suspended import SuspendedAccounts
from relay.runtime.fair_share import FairShare
from relay.runtime.tasks import Tasks
from relay.smpp.message_codec import with_source
from relay.store.api import Store
from relay.store.store_values import NO_IDS, AcceptedBefore, Idempotency, StoreFull, StoreResult, StoreUnavailable
from relay.text.text_form import PLAIN, TextForm, in_common
from relay.values.account_share import NO_SHARE, AccountShare
from relay.values.carrier_reports import AtCarrier
from relay.values.charge import Charge
from relay.values.counters import Counters
from relay.values.failover_rule import FailoverRule
from relay.values.ids import RandomBytes, new_ids
from relay.values.message_view import MessageView
from relay.values.messages import (
    ADAPT_NOTHING,
    Ending,
    Message,
    Pending,
    Refused,
    Replacement,
    Submission,
    destination_of,
    source_of,
)
from relay.values.notifications import Channel, QueueKey
from relay.values.smpp_constants import (
    ESME_RINVDSTADR,
    ESME_RINVSRCADR,
    ESME_RMSGQFUL,
    ESME_RSYSERR,
    ESME_RTHROTTLED,
)
from relay.values.states import DELETED, REJECTED, UNKNOWN
from relay.values.work_gate import ALWAYS_OPEN, WorkGate

#: Scheduled messages, or messages for another carrier, that are sent in one turn of the reactor, some 4 ms; the pause
#: after them; and how many such slices one call may send.
_AT_ONCE = 200
_PAUSE_SECONDS = 0.005
_SLICES = 50

#: How many dropped parts of one message may stand in carriers' queues. Each replacement makes one more.
_MOST_REPLACED = 10


class MessageFlow:
    """Gives messages to carriers, and wakes the senders of notifications when receipts come.

    It owns the routes, the links, and the list of messages that were cancelled or replaced while queued. The store
    keeps the messages.

    :ivar routes: the present routes.
    :param senders_of: the senders that an account may use; None: all.
    :param most_scheduled: messages of an account that may wait for their time (`limits.scheduled`).
    :ivar gate: whether this relay may send. The links ask it.
    :ivar share_of: an account's share (weight, priority) of a carrier when several accounts wait for that carrier.
    """

    log = Logger()

    def __init__(
        self,
        *,
        store: Store,
        rates: RateLimits,
        routes: Routes,
        clock: IReactorTime,
        random_bytes: RandomBytes,
        validity_seconds: float,
        share_of: Callable[[str], AccountShare] = lambda account: NO_SHARE,
        senders_of: Callable[[str], AllowedSenders | None] = lambda account: None,
        most_scheduled: int = 100_000,
        gate: WorkGate = ALWAYS_OPEN,
        decisions: Decider | None = None,
        charging: Charging | None = None,
    ) -> None:
        #: Decides about messages before `prepare`. Whoever calls `prepare` asks it first.
        self.decisions: Decider = decisions or NoDecisions()
        #: What accounts may use, and what their messages cost. A reload changes it.
        self.charging = charging or Charging({}, {})
        self._most_scheduled = most_scheduled
        self._senders_of = senders_of
        self.gate = gate
        self.share_of = share_of
        self.store = store
        self._rates = rates
        self._clock = clock
        self._random_bytes = random_bytes
        self._validity_seconds = validity_seconds
        self.routes = routes
        self._links: dict[str, Link] = {}
        #: True if no carrier wants texts in a form of its own.
        self._plain_texts = True
        #: Links that a reload has replaced or removed, and that still have parts under way.
        self._leaving: list[Link] = []
        self._servers: dict[str, NotificationSender] = {}
        self._tasks = Tasks(self.log)
        #: Cancelled and replaced messages whose parts may still be in the links' queues.
        self.cancelled = CancelledMessages()
        #: The parts of accounts that an operator has suspended.
        self.suspended = SuspendedAccounts(lambda: self._links, self.send, clock)
        #: Messages that are being replaced.
        self._replacing: set[bytes] = set()
        #: The metrics read these. The senders of notifications count their attempts here.
        self.counters = Counters()
        #: Called with the messages that have ended (`StoreResult.ended`), for message records. None: nobody needs them.
        self.on_ended: Callable[[Sequence[MessageView]], None] | None = None
        #: Shares the reactor's time among the customers' connections.
        self.fair_share = FairShare()
        #: False as soon as a stop begins: from then on the flow accepts no messages.
        self.open = True

    # Wiring

    def connect(self, links: Mapping[str, Link], servers: Mapping[Channel, NotificationSender]) -> None:
        """Sets the links to carriers and the senders of notifications. Call it once, before the first message."""
        self._links = dict(links)
        self._plain_texts = all(link.text_form == PLAIN for link in links.values())
        self._servers = {channel.value: server for channel, server in servers.items()}
        self.store.subscribe(self.wake)
        self.store.connect_routes(self._has_other_carrier)

    def reroute(self, routes: Routes, links: Mapping[str, Link], validity_seconds: float) -> None:
        """Uses the routes and carriers of a new configuration for all messages that are dispatched after this."""
        self.routes = routes
        leaving = [*self._leaving, *(link for name, link in self._links.items() if links.get(name) is not link)]
        self._leaving = [link for link in leaving if link.busy]
        self._links = dict(links)
        self._plain_texts = all(link.text_form == PLAIN for link in links.values())
        self._validity_seconds = validity_seconds

    async def send_anew(self, parts: Sequence[Outgoing]) -> None:
        """Sends parts of removed carriers again, by the present routes. Drops parts of messages that have ended."""
        for part in parts:
            view = await self.store.look_up(part.id)
            if view is not None and not (view.final or view.ending):
                part.carriers = self._carriers_left(
                    view.addresses, part.account, self._clock.seconds(), view.tried, view.tags
                )
                self.send([part])
            else:
                self.cancelled.take(part.id, part)

    def text_form(self, account: str, addresses: bytes, tags: Sequence[str] = ()) -> TextForm:
        """Returns the form of text that suits all carriers that may get the message.

        :param tags: as in `Message`.
        """
        if self._plain_texts:
            return PLAIN
        links = self._links
        carriers = self.routes.carriers_of(addresses, account, self._clock.seconds(), tags)
        return in_common([links[name].text_form for name in carriers if name in links])

    # The way of a message

    def prepare(
        self, account: str, submissions: Sequence[Submission], *, each_alone: bool = False
    ) -> list[Message | Refused]:
        """Makes a `Message` or a `Refused` of each submission, in order. Counts for the rate limit; stores nothing.

        :param each_alone: the rate limit accepts as many submissions as it allows, from the first one on. Otherwise it
            accepts all of them or none.
        """
        now = self._clock.seconds()
        if not self.open:
            return [Refused(ESME_RSYSERR, "", "The relay is stopping; try again in a moment.", 5.0)] * len(submissions)
        over_rate = 0
        if each_alone:
            allowed, wait_seconds = self._rates.allow_up_to(account, len(submissions), now)
            over_rate = len(submissions) - allowed
        else:
            wait_seconds = self._rates.allow(account, len(submissions), now)
            over_rate = len(submissions) if wait_seconds > 0.0 else 0
        throttled: list[Message | Refused] = []
        if over_rate:
            self.counters.account(account).refuse(ESME_RTHROTTLED, over_rate)
            reason = f"More messages than the account's rate allows; try again in {wait_seconds:.1f} s."
            throttled = [Refused(ESME_RTHROTTLED, "", reason, wait_seconds)] * over_rate
            submissions = submissions[: len(submissions) - over_rate]
        result: list[Message | Refused] = []
        ids = new_ids(len(submissions), self._random_bytes)
        default_expiry = now + self._validity_seconds
        carriers_of = self.routes.chooser(account, now)
        senders, refuses = self._senders_of(account), self.routes.refuses
        # In a batch, neighbouring messages mostly have the same route. So one check for room serves all of them, which
        # saves 0.5 µs per message.
        asked: tuple[str, ...] = ()
        room = False
        later = 0
        new_source = b""
        failover: FailoverRule | None = None
        meter: Meter | None = None
        terms = self.charging.terms(account)
        if terms is not None:
            meter = Meter(terms, self.store.account_use(account), now)
        charge: Charge | Refused | None
        for message_id, s in zip(ids, submissions, strict=True):
            scheduled_at: float = 0
            charge = None
            parts = s.parts
            if s.tags:
                carriers = self.routes.carriers_of(s.addresses, account, now, s.tags)
            else:
                carriers = carriers_of(s.addresses)
            if s.scheduled_seconds:
                if s.scheduled_parts and carriers and self._can_schedule(carriers):
                    parts = s.scheduled_parts
                else:
                    # The relay chooses the route at that time. But it refuses the message now if no route will match.
                    scheduled_at = now + s.scheduled_seconds
                    carriers = self.routes.carriers_of(s.addresses, account, scheduled_at, s.tags)
                    later += 1
            if carriers is not asked:
                asked, room = carriers, self._any_room(carriers)
                new_source, failover = b"", None
                if type(carriers) is RouteCarriers:
                    new_source, failover = carriers.source, carriers.failover
            if not carriers:
                self.counters.account(account).refuse(ESME_RINVDSTADR)
                result.append(Refused(ESME_RINVDSTADR, "to", "No route leads to this number."))
            elif senders is not None and not senders.allow(source_of(s.addresses)):
                self.counters.account(account).refuse(ESME_RINVSRCADR)
                result.append(Refused(ESME_RINVSRCADR, "from", "The account may not send with this sender."))
            elif refuses is not None and refuses(destination_of(s.addresses)):
                self.counters.account(account).refuse(ESME_RINVDSTADR)
                result.append(
                    Refused(ESME_RINVDSTADR, "to", "The number is on a list of numbers that get no messages.")
                )
            elif scheduled_at and self.store.scheduled_count(account) + later > self._most_scheduled:
                self.counters.account(account).refuse(ESME_RMSGQFUL)
                reason = f"The account has {self._most_scheduled} messages scheduled, which is the limit."
                result.append(Refused(ESME_RMSGQFUL, "", reason, 60.0))
            elif not (room or scheduled_at):
                self.counters.account(account).refuse(ESME_RMSGQFUL)
                result.append(Refused(ESME_RMSGQFUL, "", "The queues to the carriers are full; try again later.", 5.0))
            elif (
                meter is not None
                and type(carriers) is not SetEnding
                and type(charge := meter.admit(s.addresses, parts)) is Refused
            ):
                self.counters.account(account).refuse(charge.command_status)
                result.append(charge)
            else:
                expires_at = default_expiry if s.validity_seconds is None else now + s.validity_seconds
                expires_at += s.scheduled_seconds
                source = s.source or new_source
                result.append(
                    Message(
                        message_id,
                        account,
                        now,
                        expires_at,
                        s.addresses,
                        tuple([with_source(body, source) for body in parts]) if source else parts,
                        s.registered_delivery,
                        s.interface,
                        s.reference,
                        s.notification_url,
                        s.priority,
                        s.user_message_reference,
                        scheduled_at,
                        s.adapt,
                        s.tags,
                        # The time in the body would be over for the next carrier.
                        None if parts is s.scheduled_parts else failover,
                        charge=charge,
                        login=s.login,
                    )
                )
        return result + throttled if throttled else result

    def count_refusal(self, account: str, command_status: int) -> None:
        """Counts a message that was refused before `prepare`."""
        self.counters.account(account).refuse(command_status)

    async def accept(
        self, messages: Sequence[Message], idempotency: Idempotency | None = None, repeatable: Set[bytes] = NO_IDS
    ) -> AcceptedBefore | None:
        """Waits until the messages are durable. All messages of a batch are of one account and one interface.

        Arguments and result are those of `relay.store.api.MessageStore.accept`.

        :raises StoreFull, StoreUnavailable: the messages are not durable; tell the sender.
        """
        begun_at = self._clock.seconds()
        counters = self.counters
        try:
            day = self.charging.day(messages[0].account, begun_at) if messages else 0
            before = await self.store.accept(messages, idempotency, repeatable, day)
        except StoreUnavailable as reason:
            if messages:
                status = ESME_RMSGQFUL if isinstance(reason, StoreFull) else ESME_RSYSERR
                counters.account(messages[0].account).refuse(status, len(messages))
            raise
        count = len(messages)
        if before is not None:
            count = 0 if before.request is not None else count - len(before.messages)
        if count:
            first = messages[0]
            counters.account(first.account).accepted[first.interface] += count
            counters.accept_seconds.observe(self._clock.seconds() - begun_at, count)
        return before

    def dispatch(self, messages: Sequence[Message]) -> None:
        """Gives accepted messages to carriers, except scheduled ones. Call it once, after the answer has been written.

        All messages of a batch are of one account, and come from one call of `prepare`.
        """
        if not messages:
            return
        # Choose the routes for the time of `prepare`: a message keeps its route even if the route's hours have ended.
        carriers_of = self.routes.chooser(messages[0].account, messages[0].accepted_at)
        outgoing: list[Outgoing] = []
        for m in messages:
            if m.scheduled_at:
                # `_send_scheduled` sends it when its time comes.
                continue
            carriers = carriers_of(m.addresses) if not m.tags else self._carriers_of(m)
            parts = m.parts
            if len(parts) == 1:
                outgoing.append(
                    Outgoing(m.id, 0, parts[0], m.expires_at, carriers, m.account, m.priority, adapt=m.adapt)
                )
            else:
                outgoing.extend(
                    Outgoing(m.id, n, body, m.expires_at, carriers, m.account, m.priority, adapt=m.adapt)
                    for n, body in enumerate(parts)
                )
        self.send(outgoing)

    def _carriers_of(self, m: Message) -> tuple[str, ...]:
        return self.routes.carriers_of(m.addresses, m.account, m.accepted_at, m.tags)

    async def _send_scheduled(self, now: float) -> None:
        """Sends the scheduled messages whose time has come, by the present routes.

        Very many may be due in one second. They are sent in slices, between which the reactor serves everybody else.
        One call sends `_SLICES` slices at the most; the next call goes on.
        """
        for _ in range(_SLICES):
            due = await self.store.scheduled_due(now, _AT_ONCE)
            carriers_of = self.routes.carriers_of
            parts = [
                Outgoing(
                    p.id,
                    p.part,
                    None,
                    p.expires_at,
                    carriers_of(p.addresses, p.account, now, p.tags),
                    p.account,
                    p.priority,
                    adapt=p.adapt,
                )
                for p in due
            ]
            if self.cancelled:
                for part in parts:
                    self.cancelled.keep(part)
            self.send(parts)
            if len(due) < _AT_ONCE:
                break
            await deferLater(self._clock, _PAUSE_SECONDS)

    def _carriers_left(
        self, addresses: bytes, account: str, at: float, tried: Collection[str], tags: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Returns the carriers of a message's route that have not tried the message yet."""
        carriers = self.routes.carriers_of(addresses, account, at, tags)
        return without(carriers, tried) if tried else carriers

    def _has_other_carrier(
        self, account: str, addresses: bytes, accepted_at: float, tags: tuple[str, ...], tried: Collection[str]
    ) -> bool:
        left = self._carriers_left(addresses, account, accepted_at, tried, tags)
        return any(name in self._links for name in left)

    async def _send_failed_over(self, now: float) -> None:
        """Sends messages to another carrier after one could not deliver them, by the present routes. In slices."""
        for _ in range(_SLICES):
            found = await self.store.failed_over(_AT_ONCE)
            for message_id, parts, expires_at in found.dropped:
                self.cancelled.add(message_id, parts, expires_at, now)
            self._send_pending(found.parts)
            if len(found.parts) < _AT_ONCE and not found.dropped:
                break
            await deferLater(self._clock, _PAUSE_SECONDS)

    def _send_pending(self, pending: Sequence[Pending], *, sent_before: bool = False) -> None:
        """Sends parts whose bodies only the journal has, by the routes for the time of acceptance.

        :param sent_before: true if a carrier may have them already.
        """
        self.send(
            [
                Outgoing(
                    p.id,
                    p.part,
                    None,
                    p.expires_at,
                    self._carriers_left(p.addresses, p.account, p.accepted_at, p.tried, p.tags),
                    p.account,
                    p.priority,
                    sent_before=sent_before,
                    adapt=p.adapt,
                )
                for p in pending
            ]
        )

    async def resume(self) -> int:
        """Dispatches all parts that no carrier had taken, and wakes every queue. Call it after a start.

        Returns the number of parts. A part that is in doubt at a carrier with `in_doubt: end` is not sent: its message
        ends as UNKNOWN. The relay never got a carrier message id for it, so it could match no receipt.
        """
        count = 0
        in_doubt: list[Ending] = []
        after: tuple[bytes, int] | None = None
        while True:
            pending = await self.store.unsubmitted(after, 1000)
            if not pending:
                break
            after = (pending[-1].id, pending[-1].part)
            count += len(pending)
            self._send_pending([p for p in pending if not p.in_doubt], sent_before=True)
            now = self._clock.seconds()
            in_doubt += [Ending(p.id, UNKNOWN, now, b"", p.in_doubt) for p in pending if p.in_doubt]
        if in_doubt:
            self.log.warn(
                "messages_in_doubt: {count} submit_sm may have reached a carrier before the relay was stopped; with "
                "in_doubt: end their messages end as UNKNOWN",
                count=len(in_doubt),
            )
            self.end_later(in_doubt)
        self.wake(await self.store.queues())
        return count

    def send(self, parts: Iterable[Outgoing]) -> None:
        """Gives each part to the first of its carriers that is up and has room.

        If there is no such carrier, the part waits for the first of its carriers. The parts of suspended accounts are
        kept until the suspension ends.

        If the route has `spill_over_seconds`, a carrier has room only for messages that it would send within that
        time. If no carrier has such room, the setting doesn't count.
        """
        if self.suspended:
            parts = self.suspended.allowed(parts)
        by_link: dict[str, list[Outgoing]] = {}
        refused: list[Outgoing] = []
        spilling: list[Outgoing] = []
        # As in `prepare`, neighbouring parts with the same carriers share one choice.
        asked: tuple[str, ...] | None = None
        chosen = refused
        set_endings: list[Outgoing] = []
        for part in parts:
            if part.carriers is not asked:
                asked = part.carriers
                if type(asked) is RouteCarriers and asked.spill_over_seconds:
                    chosen = spilling
                elif type(asked) is SetEnding:
                    chosen = set_endings
                else:
                    name = self._choose(asked)
                    chosen = refused if name is None else by_link.setdefault(name, [])
            chosen.append(part)
        if spilling:
            self._spill(spilling, by_link, refused)
        for name, batch in by_link.items():
            self._links[name].offer(batch)
        if set_endings:
            now = self._clock.seconds()
            states = {part.id: part.carriers.state for part in set_endings if type(part.carriers) is SetEnding}
            self.end_later([Ending(message_id, state, now) for message_id, state in states.items()])
        if refused:
            now = self._clock.seconds()
            self.end_later([Ending(part.id, REJECTED, now) for part in refused])

    def _spill(self, parts: Sequence[Outgoing], by_link: dict[str, list[Outgoing]], refused: list[Outgoing]) -> None:
        """Chooses a carrier for each of these parts, whose routes have `spill_over_seconds`."""
        #: How many more parts a carrier would send: by carrier, account and `spill_over_seconds`.
        room: dict[tuple[str, str, float], int] = {}
        for part in parts:
            carriers = part.carriers
            assert isinstance(carriers, RouteCarriers)
            seconds = carriers.spill_over_seconds
            name = None
            for each in carriers:
                link = self._links.get(each)
                if link is None or not link.up or link.room <= 0:
                    continue
                key = (each, part.account, seconds)
                if key not in room:
                    room[key] = link.room_within(seconds, part.account)
                if room[key] > 0:
                    room[key] -= 1
                    name = each
                    break
            if name is None:
                name = self._choose(carriers)
            (refused if name is None else by_link.setdefault(name, [])).append(part)

    def link_changed(self) -> None:
        """Moves parts that wait for a carrier that is down to one that is up. Links call it when they go up or down."""
        links = self._links.values()
        if not any(link.up for link in links):
            # Otherwise each part would go back to its queue, and with a million parts the relay would pause.
            return
        for link in links:
            if not link.up:
                moved = link.take_back()
                if moved:
                    self.send(moved)

    async def cancel(self, message_id: bytes) -> bool:
        """Cancels a message for a customer.

        Returns true if the message has ended as DELETED; then its queued parts are not sent. Returns false if the
        message goes on, or has ended with another state.

        If carriers have taken the message, and all of them support cancel_sm, the relay asks them to cancel it. It is
        cancelled when every carrier has cancelled every part. A part that is being written to a carrier can't be
        cancelled.

        :raises StoreUnavailable: the message is cancelled, but this can't be made durable now.
        """
        view = await self.store.look_up(message_id)
        if view is None or view.final or view.ending or self._is_sending(message_id):
            return False
        if any(part.done_at is None for parts in view.rounds[:-1] for part in parts):
            # An earlier carrier may still deliver it.
            return False
        waiting = sum(part.submitted_at is None for part in view.parts)
        if waiting:
            now = self._clock.seconds()
            if not view.waits_for_its_time:
                self.cancelled.add(message_id, waiting, view.expires_at, now)
            # If we stop here, then the message is sent after the next start. The customer has no answer yet.
            await self.follow_up(self.store.end([Ending(message_id, DELETED, now)]))
            return await self._is_deleted(message_id)
        parts = await self.store.at_carriers(message_id)
        links = [self._links.get(part.carrier) for part in parts]
        if not parts or any(link is None or not link.can_cancel for link in links):
            return False
        asked = [link.cancel(part) for link, part in zip(links, parts, strict=True) if link is not None]
        if not all([await answer for answer in asked]):
            return False
        # If we stop here, then the carrier's receipt says DELETED, or the message ends when that receipt is overdue.
        await self.follow_up(self.store.end([Ending(message_id, DELETED, self._clock.seconds())]))
        return await self._is_deleted(message_id)

    def drop_cancelled(self) -> None:
        """Takes the parts of cancelled messages out of the queues, so that they don't count there any more.

        It looks at each queued part. So a cancelled part otherwise stays in its queue until its turn comes.
        """
        if self.cancelled:
            for link in self._links.values():
                link.drop_cancelled()
            self.suspended.drop_cancelled(self.cancelled)

    async def _is_deleted(self, message_id: bytes) -> bool:
        # A receipt or a time limit may have ended the message first, with another state.
        view = await self.store.look_up(message_id)
        return view is not None and view.state == DELETED

    def may_submit(self, account: str) -> bool:
        """Counts one request against an account's rate. False: the account must try again later."""
        return self._rates.allow(account, 1, self._clock.seconds()) == 0.0

    async def replace(self, replacement: Replacement) -> bool:
        """Replaces a message's text and times for a customer.

        Returns true if the new text and times are durable. Returns false if nothing was changed. The reason is one of
        these: a carrier may have the message; the message has several parts; it has ended; the account has reached its
        limit of scheduled messages; or the message was replaced very often while it stood in a queue.

        :raises StoreUnavailable: nothing was changed.
        """
        message_id = replacement.id
        view = await self.store.look_up(message_id)
        if view is None or message_id in self._replacing or self._is_sending(message_id):
            return False
        if view.final or len(view.parts) != 1 or view.parts[0].submitted_at is not None or view.rounds:
            return False
        if self.cancelled.parts_of(message_id) >= _MOST_REPLACED:
            return False
        full = self.store.scheduled_count(view.account) >= self._most_scheduled
        if replacement.scheduled_at and full and not view.waits_for_its_time:
            return False
        now = self._clock.seconds()
        # The part is queued again without its body: the journal has the right one, even if the replacement fails.
        part = Outgoing(message_id, 0, None, view.expires_at, (), view.account, view.priority, adapt=view.adapt)
        expires_at = max(view.expires_at, replacement.expires_at)
        later = view.waits_for_its_time
        self._replacing.add(message_id)
        try:
            replacing = self.store.replace(replacement)
            # From now on no link sends the old text.
            if not view.waits_for_its_time:
                self.cancelled.add(message_id, 1, expires_at, now, kept=part)
            # If we stop here, then one of the two texts is sent after the next start. The customer has no answer yet.
            replaced = await replacing
            if replaced:
                later = bool(replacement.scheduled_at)
                part.expires_at = replacement.expires_at
                part.adapt = ADAPT_NOTHING
            return replaced
        finally:
            self._replacing.discard(message_id)
            if not later:
                part.carriers = self.routes.carriers_of(view.addresses, view.account, self._clock.seconds(), view.tags)
                self.send([part])

    def _is_sending(self, message_id: bytes) -> bool:
        self._leaving = [link for link in self._leaving if link.busy]
        return any(link.is_sending(message_id) for link in (*self._links.values(), *self._leaving))

    # The way of a receipt

    async def follow_up(self, change: Awaitable[StoreResult]) -> StoreResult:
        """Waits until a change of the store is durable, then wakes the queues that have new notifications.

        It also passes the messages that have ended to the message records.

        :param change: the awaitable that a method of the store returned: `follow_up(store.receipts(batch))`.
        :raises StoreUnavailable: the change is not durable; `relay.store.api` says what that means.
        """
        result = await change
        if result.queues:
            self.wake(result.queues)
        if result.ended and self.on_ended is not None:
            self.on_ended(result.ended)
        return result

    def follow_up_later(self, change: Awaitable[StoreResult]) -> None:
        """Like `follow_up`, for a caller that doesn't wait for the result.

        If the store can't write the change now, it keeps it and writes it later.
        """
        self._tasks.start(self._follow_up_later(change))

    async def _follow_up_later(self, change: Awaitable[StoreResult]) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self.follow_up(change)

    def end_later(self, batch: Sequence[Ending]) -> None:
        """Ends messages with a state that the relay itself decides, not a carrier. Doesn't wait for the store."""
        self.follow_up_later(self.store.end(batch))

    async def housekeeping(self, now: float) -> None:
        """Does the regular work: scheduled messages, time limits, and queries to carriers about overdue parts.

        One call does one slice of the store's work.
        """
        await self._send_scheduled(now)
        askable = {name: count for name, link in self._links.items() if (count := link.queries) is not None}
        result = await self.follow_up(self.store.expire(now, askable))
        await self._send_failed_over(now)
        by_carrier: dict[str, list[AtCarrier]] = {}
        for part in result.overdue:
            by_carrier.setdefault(part.carrier, []).append(part)
        for name, parts in by_carrier.items():
            link = self._links.get(name)
            # If a reload has removed the carrier, nobody can query it. The store returns these parts again later, and
            # then they end.
            if link is not None:
                link.ask(parts)

    def wake(self, queues: Iterable[QueueKey]) -> None:
        """Tells the senders of these queues that there are notifications."""
        servers = self._servers
        for queue_key in queues:
            server = servers.get(queue_key.channel)
            if server is not None:
                server.wake(queue_key)

    def _choose(self, carriers: tuple[str, ...]) -> str | None:
        links = self._links
        waiting: str | None = None
        for name in carriers:
            link = links.get(name)
            if link is None:
                continue
            if link.up and link.room > 0:
                return name
            if waiting is None:
                waiting = name
        return waiting

    def _can_schedule(self, carriers: tuple[str, ...]) -> bool:
        return type(carriers) is not SetEnding and all(self._links[name].can_schedule for name in carriers)

    def _any_room(self, carriers: tuple[str, ...]) -> bool:
        if type(carriers) is SetEnding:
            return True
        links = self._links
        for name in carriers:
            link = links.get(name)
            if link is not None and link.room > 0:
                return True
        return False

    async def stop(self) -> None:
        """Stops accepting messages, and waits until its background tasks have ended."""
        self.open = False
        await self.decisions.stop()
        await self._tasks.wait()
