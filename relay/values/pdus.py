"""PDUs and events of a session, as values.

One type serves submit_sm, deliver_sm and data_sm, because the relay needs the same fields of all three. Decoding reads
the fields that every message needs; the rest stays in `body` until it is needed. The garbage collector tracks nothing
here.
"""

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
    """A submit_multi.

    :ivar messages: for each destination the submit_sm that says the same, all with this PDU's sequence_number.
    :ivar failed: destinations that can't be served, and why: (ton, npi and address with its NUL, command_status).
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
    """A query_sm or cancel_sm (or replace_sm, see `ReplacePdu`): a question about a message id.

    :ivar source: with `source_ton` and `source_npi` the message's own, empty where the asker doesn't know it; likewise
        `destination`, which only cancel_sm has.
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
    """A request that the relay knows by its number only."""

    command_id: int
    sequence_number: int
    body: bytes


class Bound(msgspec.Struct, frozen=True, gc=False):
    """Our bind was accepted.

    :ivar interface_version: what the peer said in sc_interface_version, 0x33 where it said nothing.
    """

    system_id: str
    interface_version: int


class BindRefused(msgspec.Struct, frozen=True, gc=False):
    """Our bind was refused, or not answered in time (then `command_status` is ESME_RBINDFAIL)."""

    command_status: int


class Answered(msgspec.Struct, frozen=True, gc=False):
    """The response to a request of ours.

    :ivar token: what was given with the request.
    :ivar message_id: the body's message_id without NUL; empty where there is none.
    :ivar body: the response's octets after the header, for the responses with more in them (query_sm_resp).
    """

    token: object
    command_id: int
    command_status: int
    message_id: bytes
    body: bytes = b""


class Unanswered(msgspec.Struct, frozen=True, gc=False):
    """No response within the response timeout. A late one will be reported as `LateAnswer`."""

    token: object


class LateAnswer(msgspec.Struct, frozen=True, gc=False):
    """A response that came after its `Unanswered`, as long as the session remembers the number."""

    token: object
    command_status: int
    message_id: bytes


class PeerUnbound(msgspec.Struct, frozen=True, gc=False):
    """The peer asked to unbind and was answered; write what is in the output and close."""


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The session is over: write what is in the output and close the connection.

    :ivar reason: for the log, in a few words.
    :ivar unanswered: the tokens of the requests that will now never be answered.
    :ivar peer_gone: the peer is silent: drop the connection, and wait for nothing to be read.
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
    | Unanswered
    | LateAnswer
    | PeerUnbound
    | Ended
)

#: Responses to what counts against `pending_requests`: messages of every kind.
COUNTED_RESPONSES = frozenset({c.SUBMIT_SM_RESP, c.DELIVER_SM_RESP, c.DATA_SM_RESP, c.SUBMIT_MULTI_RESP})
