"""The store: who is asked what became of a message, and the one place where anything is made durable.

This is a seam. Everything above it (flow, carrier links, customer sessions, webhooks, API) knows this interface only,
and may not assume that the store is in the same process. It has four facets; whoever needs one takes that one.
`tests/store_contract.py` is the contract as a test suite; it runs against every store.

The contract
------------
* A call takes effect when it is made, not when its awaitable is awaited, and calls take effect in the order in which
  they are made. A `receipts` made after a `submitted` sees what that submitted, although neither awaitable has fired.
* The awaitable of a call that changes something fires when its batch is durable, and so is everything called before it.
  They may fire late and in bursts; they fire in the order of the calls.
* A question sees every call made before it, durable or not, and need not wait until they are durable. So does `claim`.
* A batch is a sequence and may be empty. It takes effect whole or, when the call raises, not at all.
* Ids that the store doesn't know (expired, compacted away) are skipped; they are no error.
* Nothing blocks. Nobody but the reactor thread may call.
* `StoreUnavailable`: the batch could not be made durable (disk full, I/O error, stopped). The store says through its
  figures when it is writable again; nobody needs to ask it to try. What the failure leaves depends on what was told:
  `accept` and `put_setting` asked for something, which has then not happened, and the caller answers with its
  protocol's "not now". `submitted`, `end`, `query_outcomes`, `settle` and `notify_again` told of something that has
  happened: the store knows it, and makes it durable by itself as soon as it can, so there is nothing to repeat.
  `receipts` may be either: the caller refuses the receipts, and when the carrier sends them again they may be REPEATED.
  So may `reread`. Final states that a failed call brought are not handed out before they are durable, or a crash could
  lead to another one; their queues are in the answer to an `expire` after that.
* `StoreFull`: a configured bound is reached.
* `StoreBusy`: of `recent`, `learnt_between` and `given_up`, whose cost grows with what is stored. They are answered in
  slices, one question of an account at a time, and few may wait.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from relay.values.messages import (
    AmbiguousReceipt,
    AtCarrier,
    Attempt,
    Claim,
    Ending,
    KeptReceipts,
    Message,
    MessageView,
    Notification,
    Pending,
    QueryOutcome,
    QueueKey,
    ReadAgain,
    Receipt,
    Recovery,
    Replacement,
    StoreResult,
    Submitted,
)


class StoreUnavailable(Exception):
    """The batch can't be made durable now. `retry_after_seconds` is a guess at when to try again."""

    def __init__(self, reason: str, retry_after_seconds: float = 5.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class StoreFull(StoreUnavailable):
    """A bound of the configuration is reached: no more messages until some have ended."""


class StoreBusy(StoreUnavailable):
    """Too many long questions of one account wait for their answers."""


class ReplayResult(msgspec.Struct, frozen=True, gc=False):
    """What became owed once more.

    :ivar messages: how many messages are told of again.
    :ivar queues: the queues to wake.
    """

    messages: int
    queues: frozenset[QueueKey]


class NotifyPolicy(msgspec.Struct, frozen=True, gc=False):
    """What an account wants to be told, asked for at the moment when a state is learnt.

    :ivar webhook: whether the account has a notification URL.
    :ivar intermediate: `notify: all`.
    :ivar unanswered: whether a message that never got a receipt ends with a notification (UNKNOWN) or silently.
    :ivar receipt_seconds: how long an SMPP receipt waits for the customer to bind before it is given up.
    """

    webhook: bool = False
    intermediate: bool = False
    unanswered: bool = True
    receipt_seconds: float = 72 * 3600.0


PolicyOf = Callable[[str], NotifyPolicy]


#: No carrier can be asked.
NOBODY: Mapping[str, int] = {}


class FeedEntry(msgspec.Struct, frozen=True, gc=False):
    """One line of an account's notification feed; `cursor` grows and is never used twice.

    :ivar at: when the final state was learnt.
    """

    cursor: int
    id: bytes
    state: int
    carrier_error: bytes
    at: float
    accepted_at: float = 0.0


class Idempotency(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=20):
    """A repeatable request: its key, a digest of its body, and the answer that every repeat gets."""

    account: str
    key: str
    digest: bytes
    answer: bytes
    at: float


#: Upper bounds of `StoreFigures.commit_buckets`, in seconds.
COMMIT_SECONDS_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class StoreFigures(msgspec.Struct, frozen=True, gc=False):
    """How full the store is. Counting is the store's business, so asking is cheap.

    :ivar writable: whether a batch could be made durable now; `reason` says why not.
    :ivar ambiguous: how often a carrier gave an id to a message while another live one had it; since the start, as
        the next four.
    :ivar ambiguous_receipts: receipts that could belong to more than one message; `latest_ambiguous` describes the
        latest one.
    :ivar contradicting: receipts that said something else of a message after it had ended.
    :ivar repeated: receipts that said the same again.
    :ivar scheduled: messages that wait for their time; none of them counts as unsubmitted.
    :ivar orphans_dropped: orphans over the bound or past their time, those that are kept as evidence among them.
    :ivar evidence: by carrier: how many receipts are kept as evidence of a wrong dialect. See `StoreQueries.evidence`.
    :ivar implausible_dates: by carrier, since the start: receipts whose date of the end is more than a day before the
        message's acceptance, or after the receipt's arrival. The arrival counts instead.
    :ivar feed_place: the latest place in the feed (`FeedEntry.cursor`) of all accounts.
    """

    messages: int = 0
    unsubmitted: int = 0
    awaiting_receipt: int = 0
    finished: int = 0
    orphans: int = 0
    unreadable: int = 0
    owed: int = 0
    journal_bytes: int = 0
    journal_segments: int = 0
    writable: bool = True
    reason: str = ""
    #: Commits since the start, calls and octets in them, and their seconds; `commit_buckets` counts the commits by
    #: `COMMIT_SECONDS_BOUNDS` (the last one: longer than all bounds). Empty where the store has no commits.
    commits: int = 0
    committed_batches: int = 0
    committed_bytes: int = 0
    commit_seconds: float = 0.0
    commit_buckets: Sequence[int] = ()
    ambiguous: int = 0
    contradicting: int = 0
    repeated: int = 0
    orphans_dropped: int = 0
    evidence: Mapping[str, int] = {}
    implausible_dates: Mapping[str, int] = {}
    feed_place: int = 0
    ambiguous_receipts: int = 0
    latest_ambiguous: str = ""
    scheduled: int = 0


class MessageStore(Protocol):
    """What becomes of messages: accepted, handed to carriers, receipted, ended. For the flow and the carriers."""

    def accept(self, messages: Sequence[Message], idempotency: Idempotency | None = None) -> Awaitable[None]:
        """Takes responsibility for messages. When the awaitable fires they survive anything. The caller sees to it
        that no message that the store knows has one of their ids; one that it has forgotten may have had.

        :raises StoreFull, StoreUnavailable: through the awaitable.
        """

    def unsubmitted(self, after: tuple[bytes, int] | None, limit: int) -> Awaitable[Sequence[Pending]]:
        """Parts that no carrier has taken, in the order of acceptance, from the one after `after` on (the last one
        that an earlier call gave out, whatever has become of it since). Messages that wait for their time are not
        among them."""

    def scheduled_due(self, now: float, limit: int) -> Awaitable[Sequence[Pending]]:
        """The parts of up to `limit` scheduled messages whose time has come, the earliest first. Each message is
        handed out once; from then on it is one of those that `unsubmitted` names, as it is after a restart."""

    def scheduled_count(self, account: str) -> int:
        """How many of the account's messages wait for their time."""

    def bodies(self, parts: Sequence[tuple[bytes, int]]) -> Awaitable[Sequence[bytes | None]]:
        """The submit_sm bodies of parts, from the journal; None where a part needs none any more.

        :raises StoreUnavailable: through the awaitable: they can't be read now.
        """

    def replace(self, replacement: Replacement) -> Awaitable[bool]:
        """Gives a message another text, receipts, validity and time, if it has one part and no carrier has taken it.
        Nobody else may be replacing it. False: nothing was changed, because a carrier may have it, or it has ended.

        :raises StoreUnavailable: through the awaitable; nothing was changed then either.
        """

    def sending(self, batch: Sequence[tuple[bytes, int]], carrier: str) -> Awaitable[None]:
        """Marks parts (message id, part) that are about to be written to a carrier whose messages end when in doubt.
        Only once the awaitable has fired may they be written. `submitted` and `end` take the mark away, and so does
        a call with an empty `carrier`: the parts were refused, or not written after all. What is marked at a start
        is handed out by `unsubmitted` with `Pending.in_doubt` set.

        :raises StoreUnavailable: through the awaitable; the parts are not marked then.
        """

    def submitted(self, batch: Sequence[Submitted]) -> Awaitable[StoreResult]:
        """Records what carriers took. Receipts that came early for these ids are matched at once."""

    def receipts(self, batch: Sequence[Receipt]) -> Awaitable[StoreResult]:
        """Finds the messages that receipts belong to, or keeps them as orphans. Never fails for an unknown id."""

    def query_outcomes(self, batch: Sequence[QueryOutcome]) -> Awaitable[StoreResult]:
        """Says of parts from `StoreResult.overdue` that they end unanswered after all, or are waited for once more: a
        second time is none, and ends the part. What has ended meanwhile stays as it is."""

    def end(self, batch: Sequence[Ending]) -> Awaitable[StoreResult]:
        """Ends messages by the relay's own verdict. A message that has ended already stays as it is."""

    def expire(self, now: float, askable: Mapping[str, int] = NOBODY) -> Awaitable[StoreResult]:
        """Does a slice of the housekeeping that is due: unanswered messages end, finished ones and orphans are
        forgotten, segments compacted. Called every second or so; each call takes a few milliseconds at the most.

        :param askable: the carriers that are asked about a part before it ends unanswered, and how many questions each
            takes now. `StoreResult.overdue` names the parts to ask about. Such a part is left alone until a receipt
            ends it or `query_outcomes` says what came of it; where neither comes it is named again later, and a part
            that could not be asked about in an hour ends (see `relay.store.table.overdue`). Whom a restart interrupts
            is asked again.
        """

    def kept_receipts(self, after: tuple[int, int] | None, limit: int) -> Awaitable[KeptReceipts]:
        """Receipts that wait for their id, such as could not be read, and evidence, up to `limit` of them, the oldest
        of each kind first, to go through all of them by and by; from the first on where `after` is None, and otherwise
        from where the call ended that gave it."""

    def reread(self, batch: Sequence[ReadAgain]) -> Awaitable[StoreResult]:
        """Finds the messages of kept receipts, as they are read now. They take the way of any receipt and are kept no
        more. Those that find none, and those that are no longer kept, are left as they are; their outcome is ORPHAN.
        One outcome a receipt. As with `receipts`, nothing has happened where it is refused, and something may have
        where it fails later; then those receipts are kept no more."""

    def dismiss_evidence(self, carrier: str) -> Awaitable[int]:
        """Keeps none of a carrier's receipts up to now as evidence any more; gives how many were. Whether the carrier
        matches too little is judged by the receipts to come.

        :raises StoreUnavailable: through the awaitable.
        """


class NotificationStore(Protocol):
    """What customers are owed: claimed for an attempt, settled, owed again. For whoever notifies customers.

    The store alone knows when a notification is due. It announces queues (`subscribe`); nobody else keeps times.
    """

    def queues(self) -> Awaitable[Sequence[QueueKey]]:
        """Every queue in which something can be claimed now: what to wake after a start."""

    def subscribe(self, due: Callable[[Sequence[QueueKey]], None]) -> None:
        """From now on, `due` is called with queues in which something has come due by the passing of time or by
        `bring_forward`: in batches, each queue once, and again only when something else comes due there. What becomes
        owed by a call is in that call's answer instead. Whoever serves a queue need not remember any time: a queue from
        which everything due was claimed is announced when its next notification is due. To be called once."""

    def claim(self, queue_key: QueueKey, limit: int, now: float) -> Awaitable[Claim]:
        """Hands out up to `limit` notifications that are due in a queue. What is claimed is not handed out again
        until it is settled for a retry, released, or the process starts anew. A final state is durable when it is
        handed out, so that nobody is ever told two."""

    def settle(self, batch: Sequence[Attempt]) -> Awaitable[None]:
        """Records how attempts ended."""

    def release(self, batch: Sequence[Notification]) -> None:
        """Gives claimed notifications back unattempted, to the head of their queues."""

    def bring_forward(self, place: QueueKey, recovery: Recovery) -> None:
        """Makes due what failed at a place, waits for a retry and may come sooner by this
        (`Attempt.brought_forward_by`); to be claimed as anything that is due, behind what is. The place is the queue
        itself, or has as its URL what `Attempt.place` said; then the queues are announced to the subscriber, those of
        the first some hundred at once and the others in later turns. Each such notification has its last attempt once
        more, under the same number, with `Notification.scheduled_at` set; settled for a retry at that instant, the
        schedule goes on as if it hadn't been brought forward. Where nothing waits, and a second time, it does nothing.
        Not durable: after a start of the process the schedule holds, and what waited then isn't brought forward."""

    def notify_again(self, account: str, ids: Sequence[bytes], now: float) -> Awaitable[ReplayResult]:
        """Makes finished messages of this account owed again on the webhook, as a first attempt. One that is being
        attempted right now is left alone, and isn't counted. Some hundred ids at a time: they are worked off in one
        turn."""

    def given_up(self, account: str, since: float, until: float, limit: int) -> Awaitable[Sequence[bytes]]:
        """Up to `limit` messages whose webhook was given up from `since` to just before `until`, for a replay."""

    def given_up_count(self, account: str) -> int:
        """How many messages of the account `given_up` would find."""

    def learnt_between(self, account: str, since: float, until: float, limit: int) -> Awaitable[Sequence[bytes]]:
        """Up to `limit` messages whose final state was learnt from `since` to just before `until`, for a replay."""


class StoreQueries(Protocol):
    """What the store knows: one message, lists, figures. Changes nothing. For the API, the pages and the operator."""

    def look_up(self, message_id: bytes) -> Awaitable[MessageView | None]:
        """All that is known of one message."""

    def recent(
        self, account: str, *, before: float | None = None, state: int | None = None, search: str = "", limit: int = 50
    ) -> Awaitable[Sequence[MessageView]]:
        """An account's latest messages, newest first; `search` matches an id, or a part of an id or number. How far
        back it goes is bounded; older messages can still be looked up by id."""

    def feed(self, account: str, after: int, limit: int) -> Awaitable[Sequence[FeedEntry]]:
        """The account's final states in the order in which they were learnt, from the one after cursor `after`."""

    def find_carrier_id(self, carrier_message_id: bytes) -> Awaitable[Sequence[MessageView]]:
        """The messages that have this carrier message id (canonical) with any carrier; for the operator."""

    def at_carriers(self, message_id: bytes) -> Awaitable[Sequence[AtCarrier]]:
        """The parts of a message that carriers have taken and that have not ended."""

    def receipts_out(self, carrier: str) -> Awaitable[int]:
        """How many parts this carrier took of messages that still wait for their receipt. It is counted at each call,
        by a walk through all that the carrier took: ask once a second at the most."""

    def carriers(self) -> Awaitable[Sequence[str]]:
        """The carriers that have taken parts of messages, as far as the store remembers; in no order."""

    def owed_by_account(self) -> Awaitable[Mapping[str, int]]:
        """How many notifications are owed, by account; only accounts that are owed any. It is counted at each call."""

    def orphans(self, limit: int) -> Awaitable[Sequence[Receipt]]:
        """The latest receipts that wait for their id, newest first."""

    def evidence(self, limit: int) -> Awaitable[Sequence[Receipt]]:
        """Receipts that found no message in time, of carriers whose receipts match nothing, or far less than they used
        to: kept until `dismiss_evidence`, and matched by `reread` only. Up to `limit` of each carrier, the latest
        first."""

    def unreadable(self, limit: int) -> Awaitable[Sequence[Receipt]]:
        """The latest receipts that could not be read, newest first."""

    def ambiguous(self, limit: int) -> Awaitable[Sequence[AmbiguousReceipt]]:
        """The latest receipts that could belong to more than one message, newest first. Not kept over a restart."""

    def figures(self) -> StoreFigures:
        """How full it is, now."""


class SettingsStore(Protocol):
    """Small things kept beside messages: settings made while running, and the answers to repeatable requests."""

    def settings(self) -> Awaitable[Sequence[tuple[str, str, str]]]:
        """Every setting made while running: account, name, value."""

    def put_setting(self, account: str, name: str, value: str | None) -> Awaitable[None]:
        """Keeps one setting that was made while running; None takes it back to the configuration's value."""

    def repeated(self, account: str, key: str) -> Awaitable[Idempotency | None]:
        """What an Idempotency-Key was used for in the last 24 hours (less where the bound on keys was reached)."""


class Store(MessageStore, NotificationStore, StoreQueries, SettingsStore, Protocol):
    """All four facets: what the daemon starts, and what the few who need more than one facet are given."""
