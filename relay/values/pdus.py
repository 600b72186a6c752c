"""PDUs and events of a session, as values.

One type serves submit_sm, deliver_sm and data_sm, because the relay needs the same fields of all three. Decoding reads
only the fields that every message needs. The others stay in `body` until something reads them. The garbage collector
doesn't track these values.
"""

from collections.abc import Sequence

import msgspec

from relay.values import smpp_constants as c


class CodecError(Exception):
    """The one exception that decoding raises.

    :ivar command_status: the SMPP status to answer the PDU with.
    :ivar fatal: whether framing is lost, so that the session must end after a generic_nack.
    """

    def __init__(self, message: str, command_status: int, *, fatal: bool = False) -> None:
        super().__init__(message)
        self.command_status = command_status
        self.fatal = fatal


class MessagePdu(msgspec.Struct, frozen=True, gc=False):
    """A submit_sm, deliver_sm or data_sm.

    :ivar body: all octets after the header.
    :ivar addresses: source_addr_ton .. destination_addr with its NUL, as it stands in the body.
    :ivar destination: destination_addr without its NUL.
    :ivar registered_delivery_at: where in `body` that octet is, so that a relay can change it in place.
    :ivar short_message: the octets of short_message; for data_sm always empty (see `message_payload`).
    :ivar tlvs_at: where in `body` the optional parameters begin.
    """

    command_id: int
    sequence_number: int
    body: bytes
    addresses: bytes
    destination: bytes
    esm_class: int
    registered_delivery: int
    registered_delivery_at: int
    data_coding: int
    short_message: bytes
    tlvs_at: int
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: bytes = b""
    validity_period: bytes = b""
    replace_if_present_flag: int = 0
    service_type: bytes = b""

    @property
    def destination_address(self) -> bytes:
        """dest_addr_ton, dest_addr_npi and destination_addr with its NUL."""
        return self.addresses[-len(self.destination) - 3 :]


class SubmitMultiPdu(msgspec.Struct, frozen=True, gc=False):
    """A submit_multi, as the submit_sm that it stands for.

    :ivar messages: one submit_sm for each destination. All have this PDU's sequence_number.
    :ivar failed: the destinations that can't be served: ton, npi and address with its NUL, and the command_status that
        says why.
    """

    command_id: int
    sequence_number: int
    messages: tuple[MessagePdu, ...]
    failed: tuple[tuple[bytes, int], ...] = ()


class BindPdu(msgspec.Struct, frozen=True, gc=False):
    """A bind_transmitter, bind_receiver or bind_transceiver."""

    command_id: int
    sequence_number: int
    system_id: str
    password: str
    system_type: str
    interface_version: int
    address_range: str = ""


class MessageIdPdu(msgspec.Struct, frozen=True, gc=False):
    """A query_sm, cancel_sm or replace_sm (see `ReplacePdu`): a request about a message, by its id.

    :ivar source: the message's source address, with `source_ton` and `source_npi`; empty if the sender doesn't know it.
    :ivar destination: likewise the message's destination. Only cancel_sm has it.
    """

    command_id: int
    sequence_number: int
    message_id: bytes
    source: bytes = b""
    destination: bytes = b""
    source_ton: int = 0
    source_npi: int = 0
    destination_ton: int = 0
    destination_npi: int = 0


class ReplacePdu(MessageIdPdu, frozen=True, gc=False):
    """A replace_sm. The times are as they stand in it; empty: they stay as they are.

    :ivar message_payload: the new text where `short_message` is empty and this parameter is there.
    """

    schedule_delivery_time: bytes = b""
    validity_period: bytes = b""
    registered_delivery: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = b""
    message_payload: bytes | None = None


class OtherPdu(msgspec.Struct, frozen=True, gc=False):
    """A request that the relay doesn't decode, because it needs only the command_id."""

    command_id: int
    sequence_number: int
    body: bytes


class Bound(msgspec.Struct, frozen=True, gc=False):
    """Our bind was accepted.

    :ivar interface_version: the peer's sc_interface_version; 0x33 if the bind response has none.
    """

    system_id: str
    interface_version: int


class BindRefused(msgspec.Struct, frozen=True, gc=False):
    """Our bind was refused, or not answered in time (then `command_status` is ESME_RBINDFAIL)."""

    command_status: int


class Answered(msgspec.Struct, frozen=True, gc=False):
    """The response to a request of ours.

    :ivar token: the token that the sender gave with the request.
    :ivar message_id: the body's message_id without NUL; empty if there is none.
    :ivar body: all octets after the header, for responses with further fields (query_sm_resp).
    """

    token: object
    command_id: int
    command_status: int
    message_id: bytes
    body: bytes = b""


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """Several message requests of ours were answered ESME_ROK: what an `Answered` for each would say, in columns.

    :ivar tokens: as in `Answered`, in order of arrival. `message_ids` has the same order.
    :ivar command_id: that of all responses.
    """

    command_id: int
    tokens: Sequence[object]
    message_ids: Sequence[bytes]

    def each(self) -> list[Answered]:
        """The same as one event for each response."""
        pairs = zip(self.tokens, self.message_ids, strict=True)
        return [Answered(token, self.command_id, c.ESME_ROK, message_id) for token, message_id in pairs]


class Unanswered(msgspec.Struct, frozen=True, gc=False):
    """A request got no response within the response timeout. A response that comes later is a `LateAnswer`."""

    token: object


class LateAnswer(msgspec.Struct, frozen=True, gc=False):
    """The response to a request that had been reported as `Unanswered`, if the session still knows its number."""

    token: object
    command_status: int
    message_id: bytes


class PeerUnbound(msgspec.Struct, frozen=True, gc=False):
    """The peer asked to unbind, and the session has answered. Write the output, then close the connection."""


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The session is over. Write the output, then close the connection.

    :ivar reason: for the log, in a few words.
    :ivar unanswered: the tokens of the requests that will never get a response now.
    :ivar peer_gone: the peer is silent. Drop the connection at once, because the peer may never read the output.
    """

    reason: str
    unanswered: tuple[object, ...] = ()
    peer_gone: bool = False


Event = (
    MessagePdu
    | BindPdu
    | MessageIdPdu
    | SubmitMultiPdu
    | OtherPdu
    | Bound
    | BindRefused
    | Answered
    | Accepted
    | Unanswered
    | LateAnswer
    | PeerUnbound
    | Ended
)

#: The responses to requests that count against `pending_requests`: all requests that carry messages.
COUNTED_RESPONSES = frozenset({c.SUBMIT_SM_RESP, c.DELIVER_SM_RESP, c.DATA_SM_RESP, c.SUBMIT_MULTI_RESP})
