"""The values that rows of the table refer to: those that messages share, and those that few messages have.

Messages share everything that they have in common, to save memory. Rows refer to an `Acceptance` (the times of a batch,
and its place in the journal), to a `CarrierHandoff` (what a carrier's batch of responses has in common), and to a
`LatestState`. `RareFields` has what only few messages have: several parts, a reference, retries. Bodies are not kept,
because a row knows where they are in the journal. The garbage collector tracks none of these values.
"""

from typing import Final

import msgspec

from relay.store.table.records import Settled
from relay.values.failover_rule import FailoverRule
from relay.values.inbound import InboundMessage
from relay.values.states import ENROUTE, SCHEDULED
from relay.values.trace_context import TraceContext

# Row.flags. For each channel, OWED << 2 is CLAIMED, OWED << 4 is RETRY, and OWED << 8 is GIVEN_UP. The usual flags of a
# row together are below 257, because CPython shares the objects of such integers.
FINAL: Final = 1
OWED_WEBHOOK: Final = 2
OWED_SMPP: Final = 4
CLAIMED_WEBHOOK: Final = 8
CLAIMED_SMPP: Final = 16
RETRY_WEBHOOK: Final = 32
RETRY_SMPP: Final = 64
#: The row is in the table's list of finished messages.
KEPT: Final = 128
#: The row has left the table. Lists that still have it must drop it.
FORGOTTEN: Final = 256
GIVEN_UP_WEBHOOK: Final = 512
GIVEN_UP_SMPP: Final = 1024
#: The state is an intermediate one that a carrier reported. (It isn't only ENROUTE because a carrier took the message.)
REPORTED: Final = 2048
#: The receipt was overdue. The relay waits for it once more, because the carrier said that the message is under way.
WAITED: Final = 4096
#: The row waits for the time that its customer asked for (see `relay.store.table.scheduled`).
LATER: Final = 8192
#: With LATER: it was unsubmitted before, and still stands in the list of these.
LISTED: Final = 16384
#: The message may go to another carrier (see `relay.store.table.failing_over`).
FAILS_OVER: Final = 32768
#: The message waits for another carrier since some moment after the start of the process.
GOES_ON: Final = 65536
#: The message's price was given back.
REFUNDED: Final = 131072

OWED: Final = OWED_WEBHOOK | OWED_SMPP
#: The flags that the journal keeps.
DURABLE_FLAGS: Final = FINAL | OWED | GIVEN_UP_WEBHOOK | GIVEN_UP_SMPP | REPORTED | WAITED | FAILS_OVER | REFUNDED

#: How many attempts of a message are kept, to be shown.
ATTEMPTS_KEPT: Final = 12


class Segment(msgspec.Struct, eq=False):
    """A journal file. Both the table and the journal use it.

    :ivar end_bytes: its length when everything that was appended has been written.
    :ivar committed_bytes: its length at the last successful commit. After a failed commit it is cut back to this.
    :ivar synced_bytes: how many of its octets are certainly on the disk. With `sync: always` it equals
        `committed_bytes`.
    :ivar rows: how many messages have their bodies and first records in it.
    """

    sequence: int
    created_at: float
    end_bytes: int = 0
    committed_bytes: int = 0
    synced_bytes: int = 0
    rows: int = 0


class Acceptance(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What the messages of one journal frame have in common.

    :ivar validity_seconds: the same object for most frames (`SharedValues.seconds`), as an instant wouldn't be.
    """

    accepted_at: float
    validity_seconds: float
    segment: Segment
    offset: int

    @property
    def expires_at(self) -> float:
        """When the validity ends. The sum is exact, because the difference of two close instants is never rounded."""
        return self.accepted_at + self.validity_seconds


class CarrierHandoff(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What the parts that a carrier took together have in common. If a carrier refused a message, `at` is None."""

    carrier: str
    at: float | None
    receipt_due_at: float
    parts_receipted: int = 0


class CarrierError(msgspec.Struct, frozen=True, gc=False, eq=False):
    """A carrier's own words on an outcome.

    :ivar stat: the carrier's word for the state, if it isn't Appendix B's.
    """

    error: bytes = b""
    network_error_code: bytes = b""
    stat: bytes = b""


NO_CARRIER_ERROR: Final = CarrierError()


class LatestState(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What was learnt last of a message. All messages that wait share one value, and those of one read share some.

    :ivar done_at: when it was learnt; 0.0: nothing was learnt yet.
    :ivar carrier_done_at: when the state was reached, as the carrier says; 0.0: the carrier doesn't say.
    """

    state: int
    carrier_error: CarrierError = NO_CARRIER_ERROR
    done_at: float = 0.0
    carrier_done_at: float = 0.0


NOTHING_LEARNT: Final = LatestState(SCHEDULED)
#: A carrier took the message, and nothing else was learnt.
TAKEN: Final = LatestState(ENROUTE)


class Part(msgspec.Struct, gc=False, eq=False):
    """One part of a long message. The fields mean the same as in `Row` and `RareFields`; `waited` is WAITED."""

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
    """The retries of one notification: how many attempts have ended, and when the next one is due."""

    attempts: int = 0
    due_at: float = 0.0


class Round(msgspec.Struct, gc=False, eq=False):
    """What carriers did with a message before it went to another carrier.

    :ivar parts: the parts as they were then, also for a message of one part. Late receipts still change them.
    :ivar former_ids: as in `RareFields`.
    """

    parts: list[Part]
    former_ids: tuple[tuple[str, bytes, int], ...] = ()


class FailoverState(msgspec.Struct, gc=False, eq=False):
    """The rounds of a message that may go to another carrier.

    :ivar rounds: the earlier rounds. The present round is in the row itself.
    :ivar decided_by: the earlier round whose receipt ended the message; -1: it was not ended by an earlier round.
    :ivar timer: the key of the row in `FailoverTimers`; 0: it has no timer.
    """

    rule: FailoverRule
    rounds: list[Round] = []
    decided_by: int = -1
    timer: int = 0


class RareFields(msgspec.Struct, gc=False, eq=False):
    """The fields that only few messages have.

    :ivar parts: the parts of a long message; None: there is one part, which is in the row itself.
    :ivar former_ids: for each part that was submitted again: carrier, carrier message id and part of the earlier
        submission. A late receipt with such an id still counts.
    :ivar again_at: when somebody last asked to send the webhook again.
    :ivar user_message_reference: as in `Message`.
    :ivar given_id: for a message of one part, the carrier's own spelling of its id. It is kept only if queries are
        enabled, and it differs from the canonical id.
    :ivar tags: as in `Message`; likewise `trace`.
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
    inbound: InboundMessage | None = None
    tags: tuple[str, ...] = ()
    failover: FailoverState | None = None
    trace: TraceContext | None = None
