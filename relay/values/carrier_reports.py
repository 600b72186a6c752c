"""What carriers say about messages: that they took a part, and what became of it.

The journal has `Submitted` and `Receipt` in this form (`array_like`). So a new field may only be added at the end, with
a default.
"""

import enum

import msgspec


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
