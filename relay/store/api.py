"""The interface of the store, which knows the state of every message, and makes everything durable.

All packages above (message flow, carriers, customers, webhooks, API) use only this interface. They may not assume that
the store is in the same process. The interface has six facets; code that needs one facet uses only that one.
`tests/store_contract.py` is the contract as a test suite, which runs against every store.

The contract
------------
* A message and everything about it is in one *shard*. Today there is one shard. What this text says of the order of
  calls, and of batches that take effect as a whole, holds within a shard. Of a batch that spans several shards, each
  shard's part takes effect as a whole. Nobody may rely on more.
* Only values cross: arguments and results are immutable values. The exceptions are `subscribe` and the functions that
  a store is made with (an account's policy, for example). These don't cross: whoever owns a shard has its own.
* A call takes effect when it is made, not when its awaitable is awaited. Calls take effect in the order in which they
  are made. So a `receipts` after a `submitted` sees what was submitted, even if neither awaitable has fired.
* The awaitable of a call that changes something fires when its batch and all earlier calls are durable. Awaitables may
  fire late and in bursts, but they fire in the order of the calls.
* A query sees all earlier calls, and doesn't wait until they are durable. But it shows a final state only when that is
  durable; until then the message looks as if it had not ended (`MessageView.ending`). `claim` does the same.
* A batch is a sequence and may be empty. It takes effect as a whole. If the call raises, it has no effect at all.
* Ids that the store doesn't know (expired, or dropped by compaction) are skipped. They are no error.
* No call blocks. Only the reactor thread may call.
* `StoreUnavailable`: the batch could not be made durable (disk full, I/O error, stopped). The store tries again by
  itself; its figures say when it is writable. The calls differ in what has happened then:

  * `accept`, `notify_old`, `put_setting` and `top_up` ask for a change. It has not happened, and the caller answers
    "not now" in its protocol.
  * `submitted`, `end`, `query_outcomes`, `settle` and `notify_again` report events. The store knows them, and makes
    them durable as soon as it can. The caller must not repeat the call.
  * `receipts` and `reread` may be either. The caller refuses the receipts. When the carrier sends them again, they may
    be REPEATED.

  Final states of a failed call aren't claimed before they are durable. Otherwise the relay could stop now, learn
  another final state after the start, and notify of both. A later `expire` returns their queues.
* `StoreFull`: a configured bound is reached.
* `StoreBusy`: only from `recent`, `learnt_between` and `given_up`, which take longer if more is stored. They are
  answered in slices, one query of an account at a time, and only few may wait.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from typing import Protocol

from relay.store.store_values import (
    NO_IDS,
    NOBODY,
    AcceptedBefore,
    FeedEntry,
    Idempotency,
    KeptReceipts,
    OtherCarrier,
    ReadAgain,
    ReplayResult,
    StoreFigures,
    StoreResult,
)
from relay.values.carrier_reports import AmbiguousReceipt, AtCarrier, QueryOutcome, Receipt, Submitted
from relay.values.charge import AccountUse, ToppedUp, TopUp
from relay.values.ended_counts import EndedCounts
from relay.values.inbound import InboundMessage, InboundPart
from relay.values.inbound_lists import InboundListed, InboundWanted
from relay.values.message_view import MessageView
from relay.values.messages import Ending, FailedOver, Message, Pending, Replacement
from relay.values.notifications import Attempt, Claim, Notification, QueueKey, Recovery


class MessageStore(Protocol):
    """The facet for the message flow and the carriers: messages are accepted, submitted, receipted and ended."""

    def accept(
        self,
        messages: Sequence[Message],
        idempotency: Idempotency | None = None,
        repeatable: Set[bytes] = NO_IDS,
        day: int = 0,
    ) -> Awaitable[AcceptedBefore | None]:
        """Accepts messages. When the awaitable fires, they are durable, and so is what was accepted before. None:
        nothing of it had been accepted before.

        No message that the store knows may have one of their ids, except for `repeatable` ones. A message that it has
        forgotten may have had it. To look a key up and to accept its messages is this one call. So two requests with
        the same key never both take effect, whoever makes them, and wherever.

        :param idempotency: the request that the messages are of. If another request had its key in the last 24 hours,
            that one is the result.
        :param repeatable: the ids of those messages whose ids were made of customers' keys. Messages that the store
            knows by these ids are in the result.
        :param day: the day on which the messages that have a charge count for their account, as in `AccountUse`; 0:
            they don't count. All messages are of one account then. What they cost is taken from its balance.
        :raises StoreFull, StoreUnavailable: through the awaitable.
        """

    def unsubmitted(self, after: tuple[bytes, int] | None, limit: int) -> Awaitable[Sequence[Pending]]:
        """Parts that no carrier has taken, in the order of acceptance.

        Messages that wait for their time, and those that `failed_over` returns or has returned, are left out.

        :param after: the last part that an earlier call returned. The result begins with the part after it.
        """

    def scheduled_due(self, now: float, limit: int) -> Awaitable[Sequence[Pending]]:
        """The parts of up to `limit` scheduled messages whose time has come, earliest first.

        Each message is returned once. From then on `unsubmitted` returns it, also after a restart.
        """

    def scheduled_count(self, account: str) -> int:
        """How many of the account's messages wait for their time."""

    def connect_routes(self, other_carrier: OtherCarrier) -> None:
        """From now on, asks `other_carrier` before a message goes to another carrier. Call it once only.

        Before this call, all messages end as their first carrier says.
        """

    def failed_over(self, limit: int) -> Awaitable[FailedOver]:
        """The parts of up to `limit` messages that go to another carrier (`Message.failover`).

        A message is returned once, each time that it goes on. When the awaitable fires, it is durable that it goes on.
        If this can't be made durable now, a later call returns the message. `unsubmitted` returns it after a restart.
        """

    def bodies(self, parts: Sequence[tuple[bytes, int]]) -> Awaitable[Sequence[bytes | None]]:
        """Reads the submit_sm bodies of parts; None: the part doesn't wait any more.

        :raises StoreUnavailable: through the awaitable: they can't be read now.
        """

    def replace(self, replacement: Replacement) -> Awaitable[bool]:
        """Gives a message another text, receipts, validity and time, if it has one part and no carrier has taken it.
        Nobody else may be replacing it. False: nothing was changed, because a carrier may have it, or it has ended.

        :raises StoreUnavailable: through the awaitable; nothing was changed then either.
        """

    def sending(self, batch: Sequence[tuple[bytes, int]], carrier: str) -> Awaitable[None]:
        """Marks parts (message id, part) that are about to be written to a carrier with `in_doubt: end`.

        They may be written only when the awaitable has fired. `submitted` and `end` remove the marks. A call with an
        empty `carrier` removes them, too: the parts were refused, or were not written. At a start, `unsubmitted`
        returns marked parts with `Pending.in_doubt` set.

        :raises StoreUnavailable: through the awaitable. The parts are not marked then.
        """

    def submitted(self, batch: Sequence[Submitted], sent_at: Sequence[float] = ()) -> Awaitable[StoreResult]:
        """Records the parts that carriers took. Receipts that came before these ids are matched at once.

        :param sent_at: for each part, when it was first written to the carrier; 0.0: that isn't known, and the
            acceptance counts; empty: it is known of no part. A receipt that came before that time is never matched to
            the part, although it has its id: it belongs to an earlier message, to which the carrier had given the same
            id.
        """

    def receipts(self, batch: Sequence[Receipt]) -> Awaitable[StoreResult]:
        """Finds the messages of receipts, or keeps the receipts as orphans. An unknown id is never an error.

        Each receipt is answered by itself: `StoreResult.refused` names those that could not be made durable.

        :raises StoreUnavailable: through the awaitable: none of them could be made durable.
        """

    def query_outcomes(self, batch: Sequence[QueryOutcome]) -> Awaitable[StoreResult]:
        """Records the results of queries about parts from `StoreResult.overdue`.

        Each part ends without a receipt, or is awaited once more. If it has been awaited once more before, it ends.
        Parts that have ended meanwhile don't change.
        """

    def end(self, batch: Sequence[Ending]) -> Awaitable[StoreResult]:
        """Ends messages by the relay's own decision. Messages that have ended already don't change."""

    def expire(self, now: float, askable: Mapping[str, int] = NOBODY) -> Awaitable[StoreResult]:
        """Does some of the housekeeping that is due. Call it about once a second; it takes a few milliseconds.

        Messages without receipts end, finished messages and orphans are forgotten, and segments are compacted.

        :param askable: the carriers that are asked about a part before it ends without a receipt, and how many queries
            each takes now. `StoreResult.overdue` names the parts to ask about. Such a part doesn't end until a receipt
            comes, or `query_outcomes` has its result. If neither comes, it is named again later. A part ends if its
            carrier could not be asked for an hour (see `relay.store.table.overdue`). Queries interrupted by a restart
            are repeated.
        """

    def kept_receipts(self, after: tuple[int, int] | None, limit: int) -> Awaitable[KeptReceipts]:
        """Reads the kept receipts step by step: orphans, unreadable receipts, and evidence. Of each kind, oldest first.

        :param after: None: begins with the first. Otherwise `KeptReceipts.after` of the last call.
        """

    def reread(self, batch: Sequence[ReadAgain]) -> Awaitable[StoreResult]:
        """Finds the messages of kept receipts that have been read again.

        Receipts that find their messages are handled like all others, and aren't kept any more. Other receipts, and
        those that aren't kept any more, don't change; their outcome is ORPHAN. There is one outcome for each receipt.
        If the call is refused, nothing has changed. If it fails later, some receipts may have found their messages;
        those aren't kept any more.
        """

    def dismiss_evidence(self, carrier: str) -> Awaitable[int]:
        """Drops all receipts of a carrier that are kept as evidence. Returns how many they were.

        From now on, only later receipts count for the decision whether too few of the carrier's receipts match.

        :raises StoreUnavailable: through the awaitable.
        """


class NotificationStore(Protocol):
    """The facet for the services that notify customers: notifications are claimed, settled, and owed again.

    Only the store knows when a notification is due. It announces queues (`subscribe`), so nobody else keeps times.
    """

    def queues(self) -> Awaitable[Sequence[QueueKey]]:
        """All queues with notifications that can be claimed now. They must be woken after a start."""

    def subscribe(self, due: Callable[[Sequence[QueueKey]], None]) -> None:
        """From now on, calls `due` with queues in which a notification has become due. Call it once only.

        These are notifications that are due by time or by `bring_forward`. They are announced in batches, each queue
        once, and again only when another notification becomes due there. The queues with notifications that a call
        makes owed are in that call's result instead. Services need not remember times: when all due notifications of a
        queue have been claimed, the queue is announced when its next one is due.
        """

    def claim(self, queue_key: QueueKey, limit: int, now: float) -> Awaitable[Claim]:
        """Claims up to `limit` notifications of a queue that are due.

        Nobody else gets them until they are settled for a retry, released, or the process starts again. Only durable
        final states are claimed, so that a customer never gets two.
        """

    def settle(self, batch: Sequence[Attempt]) -> Awaitable[None]:
        """Records how attempts ended."""

    def release(self, batch: Sequence[Notification]) -> None:
        """Puts claimed notifications back to the head of their queues, because no attempt was made."""

    def bring_forward(self, place: QueueKey, recovery: Recovery) -> None:
        """Makes retries at a place due that wait for this recovery (`Attempt.brought_forward_by`).

        They can be claimed after the notifications that are due already. The place is the queue itself, or has
        `Attempt.place` as its URL. In the second case the queues are announced to the subscriber: some hundred at once,
        and the others in later turns. Each notification repeats its last attempt, with the same number and with
        `Notification.scheduled_at` set. If the caller settles it for a retry at that instant, the schedule goes on as
        if it had not been brought forward. If no retry waits, the call does nothing. It isn't durable: after a restart
        the schedule holds.
        """

    def notify_again(self, account: str, ids: Sequence[bytes], now: float) -> Awaitable[ReplayResult]:
        """Makes webhooks of finished messages of this account owed again, as first attempts.

        A message with an attempt under way is skipped, and isn't counted. Give some hundred ids at a time, because they
        are handled in one turn of the reactor.
        """

    def notify_old(self, account: str, views: Sequence[MessageView], now: float) -> Awaitable[ReplayResult]:
        """As `notify_again`, for ended messages that the store has forgotten. It takes them back until they are told.

        Messages that the store knows are skipped, and aren't counted. Give some hundred at a time.

        :param views: the account's messages as the history knows them.
        :raises StoreFull, StoreUnavailable: through the awaitable; then nothing has changed.
        """

    def given_up(self, account: str, since: float, until: float, limit: int) -> Awaitable[Sequence[bytes]]:
        """Up to `limit` messages whose webhook was given up from `since` to just before `until`, for a replay."""

    def given_up_count(self, account: str) -> int:
        """How many messages of the account `given_up` would find."""

    def learnt_between(self, account: str, since: float, until: float, limit: int) -> Awaitable[Sequence[bytes]]:
        """Up to `limit` messages whose final state was learnt from `since` to just before `until`, for a replay."""


class StoreQueries(Protocol):
    """The facet for the API, the pages and the operator: one message, lists, and figures. It changes nothing."""

    def look_up(self, message_id: bytes) -> Awaitable[MessageView | None]:
        """Everything that the store knows about one message."""

    def recent(
        self, account: str, *, before: float | None = None, state: int | None = None, search: str = "", limit: int = 50
    ) -> Awaitable[Sequence[MessageView]]:
        """An account's latest messages, newest first. The number is bounded; older messages can be looked up by id.

        :param search: an id, or a part of an id or number.
        """

    def feed(self, account: str, after: int, limit: int) -> Awaitable[Sequence[FeedEntry]]:
        """The account's final states in the order in which they were learnt, from the one after cursor `after`."""

    def feed_begins(self, account: str) -> int:
        """The place after which the store still knows every entry of an account's feed."""

    def find_carrier_id(self, carrier_message_id: bytes) -> Awaitable[Sequence[MessageView]]:
        """The messages that have this carrier message id (canonical) at any carrier. It is for the operator."""

    def at_carriers(self, message_id: bytes) -> Awaitable[Sequence[AtCarrier]]:
        """The parts of a message that carriers have taken and that have not ended."""

    def receipts_out(self, carrier: str) -> Awaitable[int]:
        """How many parts that this carrier took still wait for their receipt.

        Each call counts them, and reads all parts that the carrier took. Call it at most once a second.
        """

    def carriers(self) -> Awaitable[Sequence[str]]:
        """The carriers that have taken parts of messages that the store knows, in no order."""

    def owed_by_account(self) -> Awaitable[Mapping[str, int]]:
        """How many notifications are owed to each account that is owed any. Each call counts them."""

    def owed_since(self, account: str) -> Awaitable[float | None]:
        """When the relay learnt the oldest final state of which the account is still owed a notification.

        None: no notification of a final state is owed. Each call reads the account's finished messages up to it.
        """

    def ended_counts(self, after: int, limit: int) -> Awaitable[EndedCounts]:
        """Counts how messages of all accounts ended, from the one after a place in the feed on. At most `limit` places.

        Only durable endings count, each once. Messages that have left the table meanwhile may be missing.
        """

    def orphans(self, limit: int) -> Awaitable[Sequence[Receipt]]:
        """The latest receipts that wait for their id, newest first."""

    def evidence(self, limit: int) -> Awaitable[Sequence[Receipt]]:
        """Receipts that found no message in time, of carriers whose receipts match far too little.

        They are kept until `dismiss_evidence`, and only `reread` matches them. Up to `limit` of each carrier, latest
        first.
        """

    def unreadable(self, limit: int) -> Awaitable[Sequence[Receipt]]:
        """The latest receipts that could not be read, newest first."""

    def ambiguous(self, limit: int) -> Awaitable[Sequence[AmbiguousReceipt]]:
        """The latest receipts that could belong to more than one message, newest first. Not kept over a restart."""

    def figures(self) -> StoreFigures:
        """How much is in the store now."""


class SettingsStore(Protocol):
    """The facet for settings that customers make, and for the answers to requests with an Idempotency-Key."""

    def settings(self) -> Awaitable[Sequence[tuple[str, str, str]]]:
        """All settings: account, name, value."""

    def put_setting(self, account: str, name: str, value: str | None) -> Awaitable[None]:
        """Keeps a setting. None removes it, so that the configuration's value holds."""

    def repeated(self, account: str, key: str) -> Awaitable[Idempotency | None]:
        """The request and answer of an Idempotency-Key in the last 24 hours (less if there are too many keys).

        It saves the work on a request that is a repeat. Whether it is one, `accept` decides.
        """


class InboundStore(Protocol):
    """Messages from handsets. They are owed to their accounts as notifications are, in queues of their own."""

    def receive(self, batch: Sequence[InboundMessage]) -> Awaitable[StoreResult]:
        """Takes responsibility for messages, and forgets the parts that they were put together from. When the
        awaitable fires they survive anything; `StoreResult.queues` are to be woken.

        :raises StoreFull, StoreUnavailable: through the awaitable.
        """

    def keep_parts(self, batch: Sequence[InboundPart]) -> Awaitable[None]:
        """Keeps parts until their message is received. A part that is kept already is replaced.

        :raises StoreUnavailable: through the awaitable.
        """

    def kept_parts(self) -> Awaitable[Sequence[InboundPart]]:
        """All parts that are kept, in no order: to be asked for after a start."""

    def look_up_inbound(self, message_id: bytes) -> Awaitable[MessageView | None]:
        """All that is known of one message; `MessageView.inbound` says what the handset sent."""

    def inbound_feed(self, account: str, after: int, limit: int) -> Awaitable[Sequence[MessageView]]:
        """The account's messages from handsets in the order in which they came, from the one after cursor `after` on
        (`InboundMessage.cursor`). Their cursors and those of `StoreQueries.feed` are places in one feed."""

    def latest_inbound(self, account: str, wanted: InboundWanted, limit: int) -> Awaitable[Sequence[InboundListed]]:
        """The account's latest messages from handsets that the operator wants to see, newest first. Places in the feed
        are those of all accounts, so `InboundWanted.before` means the same for each of them."""


class ChargingStore(Protocol):
    """The facet for quotas and balances. What messages cost comes with `MessageStore.accept`."""

    def account_use(self, account: str) -> AccountUse:
        """What the account has used. It takes a moment only, and sees all earlier calls, as all queries do."""

    def top_up(self, top_up: TopUp) -> Awaitable[ToppedUp]:
        """Adds an amount to an account's balance, once for each key: a repeat changes nothing, and says so.

        :raises StoreUnavailable: through the awaitable; nothing was changed.
        """

    def top_ups(self, account: str) -> Sequence[TopUp]:
        """The latest top-ups of the account, newest first. A key that is older than these is not recognized."""


class Store(MessageStore, NotificationStore, StoreQueries, InboundStore, SettingsStore, ChargingStore, Protocol):
    """All six facets, for the daemon, and for the few objects that need more than one."""
