"""Messages: as customers submit them, as the relay accepts them, and as it ends them.

All values that packages pass to each other are immutable, and know no transport and no store. Packages pass batches
(plain sequences) of them. All are msgspec structs that the garbage collector doesn't track. They hold no cycles, so it
need not; and with a million tracked objects each full collection would pause the relay for half a second.

The journal has `Message` in this form (`array_like`). So a new field may only be added at the end, with a default.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from relay.values.charge import Charge
from relay.values.failover_rule import FailoverRule
from relay.values.pdus import MessageIdPdu
from relay.values.trace_context import TraceContext

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


class Ending(msgspec.Struct, frozen=True, gc=False):
    """The relay ends a message itself: every carrier refused it, it expired, it was cancelled, or no receipt came."""

    id: bytes
    state: int
    at: float
    error: bytes = b""
    carrier: str = ""


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
