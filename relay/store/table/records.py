"""What the journal holds: the records that are not messages' own values.

Theory of operation: the journal is a history of decisions, not of questions. A record says what was concluded (this
message is now DELIVERED, these channels are owed a notification of it, this is its place in the feed), so that replay
needs neither the configuration nor the order of lookups that led there, and gives the same table whatever has been
reconfigured or forgotten meanwhile. `Message`, `Submitted`, `Receipt` (only those kept as orphans or unreadable) and
`Idempotency` are written as they stand in `relay.values.messages` and `relay.store.api`.

All are arrays in msgpack with their tag first. A field may only ever be added at the end, with a default; a tag is
never used again for something else. docs/journal.md lists them field by field.
"""

from typing import Final

import msgspec

from relay.store.api import Idempotency
from relay.values.messages import Message, Receipt, Submitted

#: `Learnt.part` where a record is about the message as a whole.
WHOLE_MESSAGE: Final = -1

# Verdicts in `Settled`: those of `relay.values.messages.Verdict`, and one more.
SETTLED_DELIVERED: Final = 0
SETTLED_RETRY: Final = 1
SETTLED_GIVEN_UP: Final = 2
#: The attempt was about a state that a later one has replaced: kept for show, changes nothing.
SETTLED_SUPERSEDED: Final = 3


class Learnt(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=4):
    """A state was learnt of a part or a message.

    :ivar part: index of the part, or WHOLE_MESSAGE. For a message of one part, part 0 is the message.
    :ivar owed: bits of the channels that are owed a notification from now on (see `relay.store.table.entries`).
    :ivar cursor: place in the account's feed; 0 where the state doesn't end the message.
    :ivar carrier: for a refusal: the carrier that refused, where no carrier took the message.
    :ivar wait_until: above 0.0: the record says nothing but that the part's receipt is waited for once more, until
        then. The other fields are as they were.
    :ivar stat: the carrier's word for the state, where that is another than Appendix B's; likewise in snapshots.
    :ivar carrier_done_at: when the state was reached, as the carrier says; 0.0: it doesn't say. Likewise in snapshots.
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


class Handed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=5):
    """Notifications were delivered, of which no more needs to be kept.

    :ivar channel: the channel's owed bit.
    :ivar ids: sixteen bytes a message, joined: one record a batch costs a quarter of one a message.
    """

    channel: int
    at: float
    ids: bytes


class Settled(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=6):
    """An attempt ended; also kept in memory, a few a message, for whoever asks what was tried."""

    id: bytes
    channel: int
    verdict: int
    attempt: int
    state: int
    at: float
    due_at: float = 0.0
    answer: str = ""
    seconds: float = 0.0


class OwedAgain(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=7):
    """Finished messages became owed once more on the webhook. `ids` as in `Handed`."""

    at: float
    ids: bytes


class Sending(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=9):
    """Parts are about to be written to a carrier whose messages end when in doubt (see `relay.store.table.in_doubt`).

    :ivar carrier: empty takes marks away again: the carrier did not take these parts, or they were not written.
    :ivar ids: as in `Handed`.
    :ivar indexes: one octet an id: the part's index.
    """

    carrier: str
    ids: bytes
    indexes: bytes


class Placed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=10):
    """A kept receipt was read again, has found its message, and is kept no more.

    The records that follow hold what it said.

    :ivar crc: `relay.store.table.orphans.kept_crc`, to tell it from others of the same read.
    :ivar key: the first of the keys that it was kept under; empty for an unreadable one.
    """

    carrier: str
    received_at: float
    crc: int
    key: bytes = b""


class Evidence(Receipt, frozen=True, gc=False, array_like=True, tag=11):
    """A receipt that waited for its id in vain is kept as evidence of a wrong dialect.

    It waits no more: the `Receipt` with the same fields is this one. Compaction copies it as it is.
    """


class MatchRate(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=12):
    """How many of a carrier's latest receipts found messages (see `relay.store.table.match_rates`).

    :ivar matched: of the latest receipts, how many found a message; `missed`, how many did not.
    :ivar usual: the share that found one before these.
    :ivar judged_to: orphans that came up to then wait no more: they are evidence, or dropped.
    :ivar dismissed_to: evidence that came up to then is kept no more.
    """

    carrier: str
    matched: float
    missed: float
    usual: float
    judged_to: float = 0.0
    dismissed_to: float = 0.0


class PartSnapshot(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One part in a `Snapshot`.

    :ivar body: the submit_sm's body; empty once a carrier has taken the part or the message has ended.
    :ivar named: whether the carrier message id leads to this message.
    :ivar given_id: the id as the carrier wrote it, where that was kept.
    :ivar waited: for parts of a long message: whether its receipt was waited for once more already.
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


class Snapshot(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=8):
    """A message's whole state, copied forward by compaction. It replaces whatever earlier records said.

    :ivar flags: the durable ones of `relay.store.table.entries`.
    :ivar former_ids: carrier, carrier message id and part of earlier submissions, as far as they still mean them.
    :ivar attempts: the last attempts, oldest first.
    :ivar again_at: when the webhook was last asked for once more.
    :ivar refused_by: the carrier that refused a long message as a whole.
    :ivar priority: as in `relay.values.messages.Message`; likewise `user_message_reference`, `scheduled_at`
        and `adapt`.
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
    adapt: int = 0


class Setting(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=21):
    """A setting made while running; `value` None takes it back."""

    account: str
    name: str
    value: str | None


class Counters(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=22):
    """Numbers that must never be used twice, kept when compaction drops the records that used them."""

    cursor: int


class Synced(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=30):
    """First in every commit: how much of this segment was known to be on the disk when the commit was written.

    It tells a torn tail from damage: what lies before `offset` can't have been torn by a crash.
    """

    offset: int


Record = (
    Message
    | Submitted
    | Receipt
    | Learnt
    | Handed
    | Settled
    | OwedAgain
    | Snapshot
    | Sending
    | Placed
    | Evidence
    | MatchRate
    | Idempotency
    | Setting
    | Counters
    | Synced
)
