"""What several messages share in the table, and what few of them have: the values that a row refers to.

Everything that several messages have in common is one shared object. A batch's times and place in the journal are a
`Acceptance`, what a carrier's batch of responses has in common is a `CarrierHandoff`, and errors are `CarrierError`s; a
row holds references. What few messages have (several parts, a reference, retries) hangs in `RareFields`. Bodies are not
kept: a row knows where in the journal they are. None of these is tracked by the garbage collector.
"""

from typing import Final

import msgspec

from relay.store.table.records import Settled
from relay.values.states import SCHEDULED

# Row.flags. The channels' bits stand so that OWED << 2 is CLAIMED, << 4 is RETRY and << 8 is GIVEN_UP of the same
# channel. All that a row usually has together stays under 257, where CPython shares the integers.
FINAL: Final = 1
OWED_WEBHOOK: Final = 2
OWED_SMPP: Final = 4
CLAIMED_WEBHOOK: Final = 8
CLAIMED_SMPP: Final = 16
RETRY_WEBHOOK: Final = 32
RETRY_SMPP: Final = 64
#: The row stands in the table's list of finished messages.
KEPT: Final = 128
#: The row has left the table; whoever still holds it drops it.
FORGOTTEN: Final = 256
GIVEN_UP_WEBHOOK: Final = 512
GIVEN_UP_SMPP: Final = 1024
#: `state` is an intermediate one that a carrier reported (and not ENROUTE because a carrier took the message).
REPORTED: Final = 2048
#: Its receipt was overdue and is waited for once more, because the carrier said that the message is under way.
WAITED: Final = 4096
#: The row waits for the time that its customer asked for (see `relay.store.table.scheduled`).
LATER: Final = 8192
#: With LATER: it was unsubmitted before, and still stands in the list of these.
LISTED: Final = 16384

OWED: Final = OWED_WEBHOOK | OWED_SMPP
#: What the journal keeps of the flags.
DURABLE_FLAGS: Final = FINAL | OWED | GIVEN_UP_WEBHOOK | GIVEN_UP_SMPP | REPORTED | WAITED

#: Attempts kept a message, for show.
ATTEMPTS_KEPT: Final = 12


class Segment(msgspec.Struct, eq=False):
    """A journal file, as table and journal both know it.

    :ivar end_bytes: its length once everything appended is written.
    :ivar committed_bytes: how much of it callers have been told is durable; a failed commit is cut back to it.
    :ivar synced_bytes: how much of it is known to be on the disk. With `sync: always` the same.
    :ivar rows: messages whose body and first record are in it.
    """

    sequence: int
    created_at: float
    end_bytes: int = 0
    committed_bytes: int = 0
    synced_bytes: int = 0
    rows: int = 0


class Acceptance(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What the messages of one journal frame have in common."""

    accepted_at: float
    expires_at: float
    segment: Segment
    offset: int


class CarrierHandoff(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What the parts that a carrier took together have in common. `at` is None for a carrier that refused."""

    carrier: str
    at: float | None
    receipt_due_at: float
    parts_receipted: int = 0


class CarrierError(msgspec.Struct, frozen=True, gc=False, eq=False):
    """A carrier's own words on an outcome.

    :ivar stat: where it is another word than Appendix B's own for the state.
    """

    error: bytes = b""
    network_error_code: bytes = b""
    stat: bytes = b""


NO_CARRIER_ERROR: Final = CarrierError()


class Part(msgspec.Struct, gc=False, eq=False):
    """One part of a long message. Fields as in `Row` and `RareFields`; `waited` is what WAITED is for a row."""

    handoff: CarrierHandoff | None = None
    carrier_message_id: bytes = b""
    state: int = SCHEDULED
    final: bool = False
    carrier_error: CarrierError = NO_CARRIER_ERROR
    done_at: float = 0.0
    given_id: bytes = b""
    waited: bool = False
    carrier_done_at: float = 0.0


class Tries(msgspec.Struct, gc=False, eq=False):
    """The retries of one notification: how many attempts ended, and when the next is due."""

    attempts: int = 0
    due_at: float = 0.0


class RareFields(msgspec.Struct, gc=False, eq=False):
    """What only some messages have.

    :ivar parts: for long messages; None where there is one part, which is then in the row itself.
    :ivar former_ids: carrier, carrier message id and part of earlier submissions of the same part, when one was
        submitted again: a late receipt for them still counts.
    :ivar again_at: when somebody last asked for the webhook to be sent again.
    :ivar user_message_reference: as in `Message`.
    :ivar given_id: of the only part: its carrier message id as the carrier wrote it, where it can be asked by it and
        wrote it in another way than the canonical one.
    """

    parts: list[Part] | None = None
    reference: str | None = None
    url: str | None = None
    former_ids: tuple[tuple[str, bytes, int], ...] = ()
    webhook: Tries | None = None
    smpp: Tries | None = None
    attempts: tuple[Settled, ...] = ()
    given_up_at: float = 0.0
    again_at: float = 0.0
    given_id: bytes = b""
    user_message_reference: int | None = None
    scheduled_at: float = 0
