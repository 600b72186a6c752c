"""The values that packages pass to each other: messages, submissions, receipts, notifications, attempts.

They are immutable and know no transport and no store. Packages pass batches (plain sequences) of them. All are msgspec
structs that the garbage collector doesn't track. They hold no cycles, so it need not; and with a million tracked
objects each full collection would pause the relay for half a second.

The journal has `Message`, `Submitted` and `Receipt` in this form (`array_like`). So a new field may only be added at
the end, with a default.
"""

import enum
from collections.abc import Sequence, Set
from typing import Final, NamedTuple

import msgspec

from relay.values.charge import Charge
from relay.values.failover_rule import FailoverRule
from relay.values.inbound import InboundMessage
from relay.values.pdus import MessageIdPdu
from relay.values.trace_context import TraceContext


class Channel(enum.StrEnum):
    """The ways in which a customer is notified."""

    WEBHOOK = "webhook"
    SMPP = "smpp"


class QueueKey(NamedTuple):
    """Names one notification queue. Its notifications go the same way, so they fail together.

    :ivar url: the notification URL that the messages were submitted with. It is empty for the account's own URL, which
        may change until the attempt is made. Over SMPP it is the login that gets the receipts (`Message.login`).
    """

    account: str
    channel: str
    url: str = ""


#: The highest priority of a message (SMPP 3.4 section 5.2.14). Higher numbers are reserved.
MAX_PRIORITY: Final = 3


#: `Message.adapt`: which of a carrier's settings change its bodies before they are sent. SMPP customers' messages are
#: passed on as they are. Of octets that came over HTTP only addresses and parameters are changed, of texts also the
#: alphabet and the concatenation.
ADAPT_NOTHING = 0
ADAPT_ADDRESSES = 1
ADAPT_TEXT = 2


class Message(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=1):
    """A message as a customer submitted it, and the journal's record of its acceptance.

    :ivar id: sixteen bytes, see `relay.values.ids`.
    :ivar account: the customer's name in the configuration.
    :ivar accepted_at: seconds since 1970.
    :ivar expires_at: end of the message's validity: no carrier is tried after it.
    :ivar addresses: source and destination as they stand in a submit_sm: ton, npi, address, NUL, twice.
    :ivar parts: for each part the body of its submit_sm, ready to be sent: registered_delivery is 1 already.
    :ivar registered_delivery: what the customer asked for over SMPP; 0 for messages from HTTP.
    :ivar interface: "smpp" or "http".
    :ivar priority: 1 to `MAX_PRIORITY` if the customer asked for one; 0: the account's default.
    :ivar user_message_reference: the optional parameter of the submission, which receipts repeat; None: it had none.
    :ivar scheduled_at: no carrier gets the message before this instant; 0: it is sent at once.
    :ivar adapt: ADAPT_NOTHING, ADAPT_ADDRESSES or ADAPT_TEXT.
    :ivar tags: tags that the decision service gave the message. Its number may have more tags from the lists.
    :ivar failover: when the message goes to another carrier; None: never.
    :ivar replaces: this stands for an accepted message with the same id, which its customer replaced (replace_sm).
    :ivar charge: what it costs its account; None: nothing, and it counts for no quota.
    :ivar login: the name of the SMPP login whose sessions get the receipts; "": the account's first.
    :ivar trace: the trace that the customer's request belongs to. None: it belongs to none, or the relay has no traces.
    """

    id: bytes
    account: str
    accepted_at: float
    expires_at: float
    addresses: bytes
    parts: tuple[bytes, ...]
    registered_delivery: int = 0
    interface: str = "smpp"
    reference: str | None = None
    notification_url: str | None = None
    priority: int = 0
    user_message_reference: int | None = None
    # An integer takes one octet in the journal, and 0.0 nine.
    scheduled_at: float = 0
    adapt: int = 0
    tags: tuple[str, ...] = ()
    failover: FailoverRule | None = None
    replaces: bool = False
    charge: Charge | None = None
    login: str = ""
    trace: TraceContext | None = None


def destination_of(addresses: bytes) -> bytes:
    """The destination's digits in `Message.addresses`."""
    return addresses[addresses.index(b"\0", 2) + 3 : -1]


def source_of(addresses: bytes) -> bytes:
    """The source address's characters in `Message.addresses`."""
    return addresses[2 : addresses.index(b"\0", 2)]


def same_addresses(pdu: MessageIdPdu, addresses: bytes) -> bool:
    """Whether the addresses in a query_sm or cancel_sm are those of the message.

    SMPP 3.4 sections 4.8.1 and 4.9.1 want this check "for verification purposes": source and destination must be those
    of the submission. They may be NULL if the sender doesn't know them, or (4.9.1) names the message by its id.

    :param addresses: as in `Message`.
    """
    middle = addresses.index(b"\0", 2) + 1
    return _same_address(pdu.source_ton, pdu.source_npi, pdu.source, addresses[:middle]) and _same_address(
        pdu.destination_ton, pdu.destination_npi, pdu.destination, addresses[middle:]
    )


def _same_address(ton: int, npi: int, address: bytes, own: bytes) -> bool:
    # Without an address, ton and npi mean nothing: some clients fill them in, and leave the address out.
    return not address or (address == own[2:-1] and ton in (0, own[0]) and npi in (0, own[1]))


class Submission(msgspec.Struct, frozen=True, gc=False):
    """A customer's request as a message that has no id yet. The fields mean the same as in `Message`.

    :ivar validity_seconds: None: the configuration's default.
    :ivar scheduled_seconds: how long the message shall wait, here or at the carrier. The validity begins after it.
    :ivar scheduled_parts: `parts` with the time in them, for carriers that keep scheduled messages
        (`scheduled_delivery: pass`). Empty: the message waits here in any case.
    :ivar source: the address that carriers get instead of the customer's, as a submit_sm has it; b"": the customer's.
    """

    addresses: bytes
    parts: tuple[bytes, ...]
    registered_delivery: int = 0
    interface: str = "smpp"
    validity_seconds: float | None = None
    reference: str | None = None
    notification_url: str | None = None
    scheduled_seconds: float = 0.0
    priority: int = 0
    user_message_reference: int | None = None
    scheduled_parts: tuple[bytes, ...] = ()
    adapt: int = 0
    tags: tuple[str, ...] = ()
    source: bytes = b""
    login: str = ""


class Replacement(msgspec.Struct, frozen=True, gc=False):
    """What takes the place of a message of one part that no carrier has taken. Fields as in `Message`."""

    id: bytes
    body: bytes
    registered_delivery: int
    expires_at: float
    scheduled_at: float = 0


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Says why a submission was refused.

    :ivar command_status: the status for SMPP.
    :ivar field: for HTTP, the field of the request that is wrong; "" if none is.
    :ivar reason: a sentence for the customer.
    :ivar retry_after_seconds: above 0 if the same request may succeed later (429 or 503 over HTTP).
    :ivar kind: for HTTP, the kind of the problem (`relay.http.problems`); "": the other fields say it.
    """

    command_status: int
    field: str
    reason: str
    retry_after_seconds: float = 0.0
    kind: str = ""


class PartsReceipted(enum.IntEnum):
    """The parts of a long message for which a carrier sends receipts (key `parts_receipted` of the carrier)."""

    ALL = 0
    FIRST = 1
    LAST = 2
    ANY = 3


class Submitted(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=2):
    """A carrier took a part: its submit_sm_resp said ESME_ROK.

    :ivar carrier_message_id: canonical (see `relay.receipts.dialects`). Empty if the carrier gave none; then no receipt
        can be matched to the part.
    :ivar receipt_due_at: when the relay stops waiting for the part's receipt (validity + 73 h, per carrier).
    :ivar given_id: the carrier's own spelling of the id; empty if it is the canonical one; None if queries are off for
        the carrier. In a batch, either all parts of a carrier have it or none.
    :ivar orphans_left: the store sets it if some orphans with this id stay orphans, because they name another number.
        `Placed` records name the orphans that were matched.
    """

    id: bytes
    part: int
    carrier: str
    carrier_message_id: bytes
    at: float
    receipt_due_at: float
    parts_receipted: int = 0
    given_id: bytes | None = None
    orphans_left: bool = False


class AtCarrier(msgspec.Struct, frozen=True, gc=False):
    """A part that a carrier has taken and that has not ended. The relay can ask the carrier about it.

    :ivar carrier_message_id: canonical. The relay makes a receipt with this id of the carrier's answer.
    :ivar given_id: the id to send to the carrier. It has the carrier's own spelling, if that was kept.
    :ivar addresses: as in `Message`; likewise `adapt`.
    """

    id: bytes
    part: int
    carrier: str
    carrier_message_id: bytes
    given_id: bytes
    addresses: bytes
    adapt: int = 0


class QueryOutcome(msgspec.Struct, frozen=True, gc=False):
    """The result of a query about an overdue part for which the carrier named no final state.

    :ivar wait_until: until when the relay waits for the receipt, because the carrier says that the part is under way.
        0.0: the part ends now, without a receipt.
    """

    id: bytes
    part: int
    at: float
    wait_until: float = 0.0


class Receipt(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=3):
    """A receipt: a carrier's report about one part, as `relay.receipts.reader` reads it.

    :ivar keys: canonical carrier message ids to look for, most trusted first. Empty: the receipt is unreadable.
    :ivar state: message_state, or None if none could be read.
    :ivar final: whether the state ends the part (a carrier's `accepted_is_final` is already applied).
    :ivar error: the carrier's `err`, verbatim.
    :ivar stat: the carrier's `stat`, verbatim.
    :ivar network_error_code: the TLV's octets.
    :ivar raw: the body of the PDU, kept if the receipt can't be matched or read.
    :ivar own_word: `stat`, if it is not Appendix B's word for `state`. It is kept together with the state.
    :ivar carrier_done_at: when the part reached the state, by the carrier's `done date`; 0.0: the receipt has no date.
    """

    carrier: str
    keys: tuple[bytes, ...]
    state: int | None
    final: bool
    received_at: float
    error: bytes = b""
    stat: bytes = b""
    network_error_code: bytes = b""
    raw: bytes = b""
    own_word: bytes = b""
    carrier_done_at: float = 0.0


class AmbiguousReceipt(msgspec.Struct, frozen=True, gc=False):
    """A receipt that may belong to more than one message, because they have the same carrier message id.

    :ivar carrier_message_id: the id, canonical.
    :ivar message_id: the message to which the relay matched the receipt. Empty: to none, because the receipt names
        another number; the receipt is then kept as an orphan.
    :ivar others: the other messages that the receipt may belong to.
    """

    carrier: str
    carrier_message_id: bytes
    received_at: float
    message_id: bytes
    others: tuple[bytes, ...]


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


class Ending(msgspec.Struct, frozen=True, gc=False):
    """The relay ends a message itself: every carrier refused it, it expired, it was cancelled, or no receipt came."""

    id: bytes
    state: int
    at: float
    error: bytes = b""
    carrier: str = ""


class Outcome(enum.IntEnum):
    """What the store did with a receipt."""

    FINAL = 0
    INTERMEDIATE = 1
    PART = 2
    REPEATED = 3
    CONTRADICTING = 4
    LATE_INTERMEDIATE = 5
    ORPHAN = 6
    UNREADABLE = 7
    #: A final state after which the message goes to another carrier.
    FAILED_OVER = 8


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
    ended: "Sequence[MessageView]" = ()
    first_accepted_at: float = 0.0
    overdue: Sequence[AtCarrier] = ()
    refused: Set[int] = NONE_REFUSED


def _not_before(accepted_at: float, carrier_done_at: float) -> float:
    """Corrects a carrier's date that is up to a minute before acceptance, because most dates have no seconds."""
    return accepted_at if accepted_at - 60.0 < carrier_done_at < accepted_at else carrier_done_at


class Notification(msgspec.Struct, frozen=True, gc=False):
    """A notification that was claimed for an attempt.

    :ivar channel: see `Channel`.
    :ivar attempt: the number of this attempt, from 1.
    :ivar addresses: as in `Message`: the customer's own source first.
    :ivar url: as in `QueueKey`.
    :ivar done_at: when the relay learnt the state.
    :ivar carrier_done_at: when the message reached the state, as the carrier says; 0.0: the carrier doesn't say.
    :ivar user_message_reference: the optional parameter of the submission; None: it had none.
    :ivar scheduled_at: above 0 if the notification was brought forward (`Store.bring_forward`). Then this attempt
        repeats attempt number `attempt`, and `scheduled_at` is when the schedule makes the next attempt due.
    :ivar taken: whether a carrier took the message. `taken`, `carrier` and `carrier_message_id` are known only if the
        message has a notification URL of its own.
    :ivar carrier: the carrier that took or refused the message; "": it was sent to none.
    :ivar carrier_message_id: the canonical id, for a message of one part.
    :ivar inbound: what a handset sent, if this is no notification but a message for the customer.
    """

    id: bytes
    account: str
    channel: str
    state: int
    final: bool
    attempt: int
    accepted_at: float
    done_at: float
    addresses: bytes
    carrier_error: bytes = b""
    network_error_code: bytes = b""
    url: str = ""
    reference: str | None = None
    owed_since: float = 0.0
    parts: int = 1
    scheduled_at: float = 0.0
    taken: bool = True
    carrier: str = ""
    carrier_message_id: bytes = b""
    carrier_done_at: float = 0.0
    user_message_reference: int | None = None
    inbound: InboundMessage | None = None

    @property
    def told_done_at(self) -> float:
        """When the message reached its state: as the carrier says, or else when the relay learnt it."""
        return _not_before(self.accepted_at, self.carrier_done_at) or self.done_at

    @property
    def queue_key(self) -> QueueKey:
        """The queue that this notification was claimed from."""
        return QueueKey(self.account, self.channel, self.url)


class Claim(msgspec.Struct, frozen=True, gc=False):
    """The notifications that were claimed. `more` says whether others in the queue are due now, too."""

    notifications: Sequence[Notification]
    more: bool = False


class Verdict(enum.IntEnum):
    """How an attempt ended."""

    DELIVERED = 0
    RETRY = 1
    GIVEN_UP = 2


class Recovery(enum.IntEnum):
    """The event that brings a retry forward.

    OUTAGE_ENDED also brings forward the retries that wait for REACHED.
    """

    #: No event brings the retry forward.
    NOTHING = 0
    #: The customer's URL was skipped for a while, and takes notifications again.
    OUTAGE_ENDED = 1
    #: The customer could not be reached, and has taken a notification since.
    REACHED = 2


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """The end of an attempt to notify a customer.

    :ivar due_at: for RETRY, when the next attempt is due.
    :ivar answer: the customer's answer in a word or two: "204", "ESME_RX_T_APPN", "timeout".
    :ivar seconds: how long the attempt took.
    :ivar brought_forward_by: for RETRY, the event that makes the next attempt due before `due_at`
        (`Store.bring_forward`).
    :ivar place: for RETRY, the part of the URL that failed and has to recover. "": the queue's own place.
    :ivar url: for webhooks: the URL that gave the answer, without its secrets (`relay.values.shown_url`).
    :ivar body: the beginning of the answer's body, as text.
    """

    notification: Notification
    verdict: Verdict
    at: float
    due_at: float = 0.0
    answer: str = ""
    seconds: float = 0.0
    brought_forward_by: Recovery = Recovery.NOTHING
    place: str = ""
    url: str = ""
    body: str = ""


class Pending(msgspec.Struct, frozen=True, gc=False):
    """A part that no carrier has taken yet. The store gives these parts to the message flow at a start.

    :ivar in_doubt: the carrier to which the part may have been written (see `Store.sending`); empty: to none.
    :ivar priority: as in `Message`; likewise `adapt` and `tags`.
    :ivar tried: the carriers that could not deliver the message; none of them gets it again.
    """

    id: bytes
    part: int
    account: str
    addresses: bytes
    accepted_at: float
    expires_at: float
    in_doubt: str = ""
    priority: int = 0
    adapt: int = 0
    tags: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()


class FailedOver(msgspec.Struct, frozen=True, gc=False):
    """Messages that go to another carrier, as `Store.failed_over` returns them.

    :ivar parts: the parts to send.
    :ivar dropped: messages that were returned earlier, and that have ended before a carrier took all of their parts:
        message id, number of parts that wait, end of the validity. These parts need not be sent any more.
    """

    parts: Sequence[Pending] = ()
    dropped: Sequence[tuple[bytes, int, float]] = ()


class AttemptView(msgspec.Struct, frozen=True, gc=False):
    """One attempt, as shown to customer and operator.

    :ivar status: the word in the notification, such as "DELIVRD".
    :ivar due_at: when the next attempt was due then; 0.0: none was.
    :ivar url: as in `Attempt`; "": it isn't known, or the attempt was over SMPP.
    :ivar body: as in `Attempt`.
    """

    channel: str
    attempt: int
    at: float
    answer: str
    seconds: float
    status: str
    due_at: float = 0.0
    url: str = ""
    body: str = ""


class PartView(msgspec.Struct, frozen=True, gc=False):
    """One part, as shown to customer and operator.

    :ivar carrier_stat: the carrier's word for the state, if it isn't one of Appendix B's.
    :ivar carrier_done_at: when the part reached the state, as the carrier says; None: the carrier doesn't say.
    """

    carrier: str
    carrier_message_id: str
    state: int
    carrier_error: str
    submitted_at: float | None
    done_at: float | None
    carrier_stat: str = ""
    carrier_done_at: float | None = None


class MessageView(msgspec.Struct, frozen=True, gc=False):
    """Everything that the store knows of a message, for queries.

    :ivar state: SCHEDULED until a carrier has taken the message.
    :ivar done_at: when the relay learnt the final state; None before.
    :ivar carrier_done_at: when the message reached it, as the carrier says; None: the carrier doesn't say.
    :ivar priority: as in `Message`; likewise `scheduled_at`, `adapt`, `tags` and `charge`.
    :ivar refunded: whether its price was given back.
    :ivar waits_for_its_time: `scheduled_at` has not come; the message is in no carrier's queue.
    :ivar rounds: for a message that went to another carrier: its parts in each round, in order of time, the present
        round last. `parts` are those of the round that decided, or of the present one. Otherwise it is empty.
    :ivar inbound: what a handset sent; None: it is a customer's message.
    :ivar brought_back: the store had forgotten the message, and has taken it back from the history to tell it again
        (`Store.notify_old`). It lacks the attempts, the price and earlier rounds, which the history has.
    :ivar url_is_whole: false: `notification_url` can't be used any more, because the history keeps none of its login,
        query and fragment. False also for callbacks of other interfaces in the history.
    :ivar ending: the message has ended, but this isn't durable yet. So the final state isn't shown, and `final` is
        false. Nothing more may be sent.
    """

    id: bytes
    account: str
    addresses: bytes
    state: int
    final: bool
    carrier: str
    carrier_error: str
    interface: str
    accepted_at: float
    expires_at: float
    done_at: float | None
    parts: Sequence[PartView]
    attempts: Sequence[AttemptView]
    owed: Sequence[str]
    reference: str | None = None
    notification_url: str | None = None
    carrier_done_at: float | None = None
    priority: int = 0
    scheduled_at: float = 0.0
    waits_for_its_time: bool = False
    adapt: int = 0
    inbound: InboundMessage | None = None
    tags: tuple[str, ...] = ()
    ending: bool = False
    rounds: Sequence[Sequence[PartView]] = ()
    charge: Charge | None = None
    refunded: bool = False
    brought_back: bool = False
    url_is_whole: bool = True

    @property
    def cost(self) -> Charge | None:
        """What the message costs; None: it has no price."""
        return self.charge if self.charge is not None and self.charge.currency else None

    @property
    def tried(self) -> tuple[str, ...]:
        """The carriers that could not deliver the message before it went to another one."""
        return tuple(dict.fromkeys(part.carrier for parts in self.rounds[:-1] for part in parts))

    @property
    def told_done_at(self) -> float | None:
        """When the message reached its final state: as the carrier says, or else when the relay learnt it."""
        return _not_before(self.accepted_at, self.carrier_done_at or 0.0) or self.done_at
