"""The values that the store's calls take and return, and its errors."""

from collections.abc import Callable, Collection, Mapping, Sequence, Set

import msgspec

from relay.values.carrier_reports import AtCarrier, Outcome, Receipt
from relay.values.message_view import MessageView
from relay.values.notifications import QueueKey


class StoreUnavailable(Exception):
    """The batch can't be made durable now. `retry_after_seconds` is a guess at when to try again."""

    def __init__(self, reason: str, retry_after_seconds: float = 5.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class StoreFull(StoreUnavailable):
    """A bound of the configuration is reached. The store accepts no more messages until some have ended."""


class StoreBusy(StoreUnavailable):
    """Too many long queries of one account wait for their answers."""


class ReplayResult(msgspec.Struct, frozen=True, gc=False):
    """The notifications that became owed again.

    :ivar messages: how many messages they are about.
    :ivar queues: the queues to wake.
    """

    messages: int
    queues: frozenset[QueueKey]


class NotifyPolicy(msgspec.Struct, frozen=True, gc=False):
    """The notifications that an account wants. It is read at the moment when a state is learnt.

    :ivar webhook: whether the account has a notification URL.
    :ivar intermediate: whether intermediate states that carriers report are told.
    :ivar progress: whether the customer is also told that a carrier has taken the message.
    :ivar unanswered: whether a message that never got a receipt ends with a notification (UNKNOWN) or silently.
    :ivar receipt_seconds: how long an SMPP receipt waits for the customer to bind before it is given up.
    """

    webhook: bool = False
    intermediate: bool = False
    unanswered: bool = True
    receipt_seconds: float = 72 * 3600.0
    progress: bool = False


PolicyOf = Callable[[str], NotifyPolicy]

#: Gets a message's account, addresses, time of acceptance and tags, and the carriers that had it. Returns whether its
#: route has another carrier.
OtherCarrier = Callable[[str, bytes, float, tuple[str, ...], Collection[str]], bool]


NO_IDS: Set[bytes] = frozenset()
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


class AcceptedBefore(msgspec.Struct, frozen=True, gc=False):
    """What the store had accepted before an `accept` with keys. What is named here was not accepted once more.

    :ivar request: the earlier request with the same Idempotency-Key. Then nothing at all was accepted now.
    :ivar messages: the messages among the `repeatable` ones that the store knew. The others were accepted.
    """

    request: Idempotency | None = None
    messages: Sequence[MessageView] = ()


#: Upper bounds of `StoreFigures.commit_buckets`, in seconds.
COMMIT_SECONDS_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class StoreFigures(msgspec.Struct, frozen=True, gc=False):
    """How much is in the store. The store keeps these counts, so a call takes almost no time.

    :ivar writable: whether a batch could be made durable now. If not, `reason` says why.
    :ivar ambiguous: how often a carrier gave an id to a message while another live message had it. This and the next
        four count since the start.
    :ivar ambiguous_receipts: receipts that could belong to more than one message; `latest_ambiguous` describes the
        latest one.
    :ivar contradicting: receipts with another state for a message that had ended.
    :ivar repeated: receipts with the same state again.
    :ivar scheduled: messages that wait for their time; none of them counts as unsubmitted.
    :ivar orphans_dropped: orphans over the bound or past their time, those that are kept as evidence among them.
    :ivar evidence: by carrier: how many receipts are kept as evidence of a wrong dialect. See `StoreQueries.evidence`.
    :ivar implausible_dates: by carrier, since the start: receipts whose date of the end is more than a day before the
        message's acceptance, or after the receipt's arrival. The arrival counts instead.
    :ivar failed_over: by carrier, since the start: messages that went to another carrier.
    :ivar feed_place: the latest durable place in the feed (`FeedEntry.cursor`) of all accounts.
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
    #: The commits since the start, their calls and octets, and their seconds. `commit_buckets` counts the commits by
    #: `COMMIT_SECONDS_BOUNDS`; the last bucket has those that took longer than all bounds. It is empty if the store has
    #: no commits.
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
    failed_over: Mapping[str, int] = {}


class KeptReceipts(msgspec.Struct, frozen=True, gc=False):
    """Some of the receipts that the store keeps because they match no message or can't be read.

    :ivar after: the argument `after` of the next call; None: there are no more.
    """

    receipts: Sequence[Receipt]
    after: tuple[int, int] | None


class ReadAgain(msgspec.Struct, frozen=True, gc=False):
    """A kept receipt, and the same receipt as the carrier's present dialect reads it."""

    kept: Receipt
    receipt: Receipt


#: All receipts of a batch are durable.
NONE_REFUSED: Set[int] = frozenset()


class StoreResult(msgspec.Struct, frozen=True, gc=False):
    """The result of a batch of receipts, responses or endings, once it is durable.

    :ivar queues: queues that have new notifications. The caller must wake the services that send them.
    :ivar outcomes: for a batch of receipts, the outcome of each, in the same order. Otherwise one outcome for each
        orphan that found its message.
    :ivar refused: for a batch of receipts, the indexes of those that could not be made durable, because the owner of
        their messages is away. Their outcomes mean nothing. The carrier must send them again.
    :ivar accepted_at: when the last of the messages that this batch ended was accepted; 0.0 if it ended none.
    :ivar first_accepted_at: for a batch of receipts, when the first of these messages was accepted; 0.0 likewise.
    :ivar ended: the messages that this batch ended, in their present state. It is empty unless the store was made with
        `views_of_ended=True`. Only message records need it, and a view takes longer than all other work on a receipt.
    :ivar overdue: only from `Store.expire`: the parts about which carriers must be asked before the parts end.
    """

    queues: frozenset[QueueKey]
    outcomes: Sequence[Outcome]
    accepted_at: float = 0.0
    ended: Sequence[MessageView] = ()
    first_accepted_at: float = 0.0
    overdue: Sequence[AtCarrier] = ()
    refused: Set[int] = NONE_REFUSED
