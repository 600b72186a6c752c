"""The journal's own records.

Theory of operation: a record has a decision, and not the event that led to it: this message is now DELIVERED, these
channels are owed a notification, this is its place in the feed. So a replay doesn't need the configuration, and doesn't
repeat look-ups. It gives the same table, whatever was reconfigured or forgotten meanwhile. `Message`, `Submitted`,
`Receipt` (only of orphans and unreadable receipts), `TopUp` and `Idempotency` are written as `relay.values` and
`relay.store.api` define them.

All records are msgpack arrays that begin with their tag. A field may only be added at the end, with a default. A tag is
never used for another record. docs/journal.md lists all fields.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from relay.store.store_values import Idempotency
from relay.values.carrier_reports import Receipt, Submitted
from relay.values.charge import Charge, TopUp
from relay.values.failover_rule import FailoverRule
from relay.values.inbound import InboundMessage, InboundPart
from relay.values.messages import Message
from relay.values.trace_context import TraceContext

#: The value of `Learnt.part` if a record is about the whole message.
WHOLE_MESSAGE: Final = -1

# The verdicts in `Settled` are those of `relay.values.messages.Verdict`, and one more.
SETTLED_DELIVERED: Final = 0
SETTLED_RETRY: Final = 1
SETTLED_GIVEN_UP: Final = 2
#: The attempt was about a state that a later one has replaced. It is kept to be shown, and changes nothing.
SETTLED_SUPERSEDED: Final = 3


def each_id(joined: bytes) -> Iterator[bytes]:
    """Gives each of the ids that a record has joined."""
    return (joined[at : at + 16] for at in range(0, len(joined), 16))


class Learnt(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=4):
    """The state of a part or a message was learnt.

    :ivar part: the index of the part, or WHOLE_MESSAGE. For a message of one part, part 0 is the message.
    :ivar owed: the bits of the channels that are owed a notification (see `relay.store.table.entries`).
    :ivar cursor: the place in the account's feed; 0: the state doesn't end the message.
    :ivar carrier: the carrier that refused the message, if no carrier took it.
    :ivar wait_until: above 0.0: the record only says that the relay waits for the part's receipt once more, until
        then. The other fields have the present values.
    :ivar stat: the carrier's word for the state, if it isn't Appendix B's. Snapshots have it, too.
    :ivar carrier_done_at: when the part reached the state, as the carrier says; 0.0: the carrier doesn't say. Snapshots
        have it, too.
    """

    id: bytes
    part: int
    state: int
    final: bool
    at: float
    owed: int = 0
    cursor: int = 0
    error: bytes = b""
    network_error_code: bytes = b""
    carrier: str = ""
    wait_until: float = 0.0
    stat: bytes = b""
    carrier_done_at: float = 0.0


class Ended(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=17):
    """Receipts ended messages of one part, and said the same of all of them.

    It says what a final `Learnt` says, and its fields are those. One record for a batch takes a quarter of the octets,
    and less time.

    :ivar cursor: the place of the first message in the feed. The others have the next places, in their order.
    :ivar ids: as in `Handed`.
    """

    state: int
    at: float
    owed: int
    cursor: int
    error: bytes
    network_error_code: bytes
    carrier_done_at: float
    ids: bytes

    def each(self) -> Iterator[Learnt]:
        """Gives the record that would say it of each message."""
        code, done_at = self.network_error_code, self.carrier_done_at
        for cursor, message_id in enumerate(each_id(self.ids), self.cursor):
            yield Learnt(
                message_id, 0, self.state, True, self.at, self.owed, cursor, self.error, code, carrier_done_at=done_at
            )


class Handed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=5):
    """Notifications were delivered. Nothing else about these attempts is kept.

    :ivar channel: the channel's owed bit.
    :ivar ids: the ids of the messages, sixteen bytes each, joined. One record for a batch takes a quarter of the time.
    """

    channel: int
    at: float
    ids: bytes


class Settled(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=6):
    """An attempt ended. The last few attempts of each message are also kept in memory, to be shown.

    :ivar url: as in `relay.values.messages.Attempt`; likewise `body`.
    """

    id: bytes
    channel: int
    verdict: int
    attempt: int
    state: int
    at: float
    due_at: float = 0.0
    answer: str = ""
    seconds: float = 0.0
    url: str = ""
    body: str = ""


class OwedAgain(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=7):
    """Webhooks of finished messages became owed again. `ids` is as in `Handed`."""

    at: float
    ids: bytes


class Sending(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=9):
    """Parts are about to be written to a carrier with `in_doubt: end` (see `relay.store.table.in_doubt`).

    :ivar carrier: empty: removes the marks, because the carrier did not take these parts, or they were not written.
    :ivar ids: as in `Handed`.
    :ivar indexes: for each id one octet, the part's index.
    """

    carrier: str
    ids: bytes
    indexes: bytes


class Placed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=10):
    """A kept receipt was read again and has found its message. It isn't kept any more.

    The next records have the states that it brought.

    :ivar crc: `relay.store.table.orphans.kept_crc`, which differs for the receipts of one read.
    :ivar key: the first of its keys; empty: it was unreadable.
    """

    carrier: str
    received_at: float
    crc: int
    key: bytes = b""


class Evidence(Receipt, frozen=True, gc=False, array_like=True, tag=11):
    """A receipt whose id never came is kept as evidence of a wrong dialect.

    It doesn't wait any more. It is the earlier `Receipt` with the same fields. Compaction copies it unchanged.
    """


class MatchRate(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=12):
    """How many of a carrier's latest receipts found messages (see `relay.store.table.match_rates`).

    :ivar matched: how many of the latest receipts found a message. `missed`: how many did not.
    :ivar usual: the share of earlier receipts that found one.
    :ivar judged_to: orphans up to this time don't wait any more. They are evidence, or were dropped.
    :ivar dismissed_to: evidence up to this time isn't kept any more.
    """

    carrier: str
    matched: float
    missed: float
    usual: float
    judged_to: float = 0.0
    dismissed_to: float = 0.0


class RoundEnded(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=15):
    """A round ended, and the message waits for another carrier (see `relay.store.table.failing_over`).

    For a long message, earlier records have the states of its parts.

    :ivar state: the state in which it would have ended; if not `final`, the present one: no receipt came in time.
    """

    id: bytes
    state: int
    final: bool
    at: float
    error: bytes = b""
    network_error_code: bytes = b""
    stat: bytes = b""
    carrier_done_at: float = 0.0


class RoundLearnt(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=16):
    """A late receipt brought the final state of a part in an earlier round.

    :ivar round: the number of the round, from 0.
    :ivar decides: whether the message ends with this round's state, as the next record says.
    """

    id: bytes
    round: int
    part: int
    state: int
    at: float
    error: bytes = b""
    network_error_code: bytes = b""
    stat: bytes = b""
    carrier_done_at: float = 0.0
    decides: bool = False


class PartSnapshot(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One part in a `Snapshot`.

    :ivar body: the submit_sm's body; empty: a carrier has taken the part, or the message has ended.
    :ivar named: whether the carrier message id leads to this message.
    :ivar given_id: the id as the carrier wrote it, if that was kept.
    :ivar waited: for a part of a long message, whether the relay has waited once more for its receipt.
    """

    body: bytes = b""
    carrier: str = ""
    carrier_message_id: bytes = b""
    submitted_at: float | None = None
    receipt_due_at: float = 0.0
    parts_receipted: int = 0
    state: int = 0
    final: bool = False
    error: bytes = b""
    network_error_code: bytes = b""
    done_at: float = 0.0
    named: bool = True
    given_id: bytes = b""
    waited: bool = False
    stat: bytes = b""
    carrier_done_at: float = 0.0


class RoundSnapshot(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An earlier round in a `Snapshot`; `former_ids` is as there."""

    parts: tuple[PartSnapshot, ...]
    former_ids: tuple[tuple[str, bytes, int], ...] = ()


class FailoverSnapshot(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a `Snapshot` says of a message that may go to another carrier.

    :ivar decided_by: as in `relay.store.table.entry_values.FailoverState`.
    """

    rule: FailoverRule
    rounds: tuple[RoundSnapshot, ...] = ()
    decided_by: int = -1


class Snapshot(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=8):
    """The whole state of a message, which compaction has copied. It replaces all earlier records about the message.

    :ivar flags: the durable flags of `relay.store.table.entries`.
    :ivar former_ids: the carrier, carrier message id and part of each earlier submission, if the id still leads to it.
    :ivar attempts: the last attempts, oldest first.
    :ivar again_at: when somebody last asked to send the webhook again.
    :ivar refused_by: the carrier that refused a long message as a whole.
    :ivar priority: as in `relay.values.messages.Message`; likewise `user_message_reference`, `scheduled_at`,
        `adapt`, `tags`, `charge` and `login`.
    :ivar inbound: of a message from a handset: what it says.
    :ivar failover: None: the message doesn't go to another carrier.
    :ivar trace: as in `relay.values.messages.Message`.
    """

    id: bytes
    account: str
    interface: str
    registered_delivery: int
    addresses: bytes
    accepted_at: float
    expires_at: float
    state: int
    flags: int
    done_at: float
    cursor: int
    parts: tuple[PartSnapshot, ...]
    error: bytes = b""
    network_error_code: bytes = b""
    reference: str | None = None
    notification_url: str | None = None
    former_ids: tuple[tuple[str, bytes, int], ...] = ()
    webhook_attempts: int = 0
    webhook_due_at: float = 0.0
    smpp_attempts: int = 0
    smpp_due_at: float = 0.0
    given_up_at: float = 0.0
    attempts: tuple[Settled, ...] = ()
    again_at: float = 0.0
    refused_by: str = ""
    stat: bytes = b""
    priority: int = 0
    carrier_done_at: float = 0.0
    user_message_reference: int | None = None
    scheduled_at: float = 0
    inbound: InboundMessage | None = None
    adapt: int = 0
    tags: tuple[str, ...] = ()
    failover: FailoverSnapshot | None = None
    charge: Charge | None = None
    login: str = ""
    trace: TraceContext | None = None


class Setting(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=21):
    """A setting that was made while the relay runs. `value` None removes it."""

    account: str
    name: str
    value: str | None


class Counters(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=22):
    """Numbers that must never be used twice. They are kept when compaction drops the records with them."""

    cursor: int


class Charged(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=40):
    """Messages of an account were accepted that count for its quota, or cost something. They are in the same frame.

    :ivar day: as in `relay.values.charge.AccountUse`.
    :ivar messages: how many they are.
    :ivar amount: what was taken from the account's balance in `currency`, in millionths.
    """

    account: str
    day: int
    messages: int
    amount: int = 0
    currency: str = ""


class Refunded(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=42):
    """The price of a message was given back. The next record ends the message.

    :ivar account: as in `Charged`; likewise `amount` and `currency`: what was put back to the balance; 0: the message
        was not prepaid.
    """

    id: bytes
    account: str
    amount: int = 0
    currency: str = ""


class AccountTotals(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=41):
    """What an account has used up to here. Compaction writes it before it drops the records with the single charges.

    :ivar day: as in `relay.values.charge.AccountUse`; likewise `on_day`, `in_month` and `balances`.
    :ivar top_ups: the latest top-ups, oldest first.
    """

    account: str
    day: int
    on_day: int
    in_month: int
    balances: dict[str, int] = {}
    top_ups: tuple[TopUp, ...] = ()


class Synced(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=30):
    """The first record of every commit: how much of this segment was certainly on the disk before the commit.

    A crash can't have torn anything before `offset`. So a bad frame there is damage, and not a torn tail.
    """

    offset: int


Record = (
    Message
    | Submitted
    | Receipt
    | Learnt
    | Ended
    | Handed
    | Settled
    | OwedAgain
    | Snapshot
    | Sending
    | Placed
    | Evidence
    | MatchRate
    | InboundMessage
    | InboundPart
    | RoundEnded
    | RoundLearnt
    | Idempotency
    | Setting
    | Counters
    | Charged
    | Refunded
    | TopUp
    | AccountTotals
    | Synced
)
