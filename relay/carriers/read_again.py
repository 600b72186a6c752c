"""A kept receipt, read again with the dialect that its carrier has now.

Theory of operation: what is kept is the PDU's body, without its command and cut where it was over-long. In a
deliver_sm the two times are empty (SMPP 3.4 section 4.6.1); a data_sm read as one has the tag of its first optional
parameter there. So a body whose times are empty is a deliver_sm, another one is a data_sm if its parameters end where
it does, and what is neither is left alone, because half an id could be another message's.
"""

from msgspec.structs import replace

from relay.receipts.reader import ReceiptReader
from relay.receipts.tlvs import ends_even
from relay.smpp.message_codec import decode_damaged_receipt, decode_message
from relay.store.table.orphans import is_unreadable
from relay.values import smpp_constants as c
from relay.values.messages import Receipt
from relay.values.pdus import CodecError, MessagePdu


def read_again(reader: ReceiptReader, kept: Receipt) -> Receipt | None:
    """What a kept receipt says now, with the time at which it came; None where it is unreadable now.

    :param reader: of the receipt's carrier.
    """
    pdu = _decoded(kept.raw)
    if pdu is None:
        return None
    receipt = reader.read(pdu, kept.received_at)
    if is_unreadable(receipt):
        return None
    # One and the same object for all: what the table compares first.
    return replace(receipt, carrier=kept.carrier)


def _decoded(body: bytes) -> MessagePdu | None:
    """The PDU that a body was of, as far as that can be told."""
    if not body:
        # Said by an answer to query_sm, which has no such body.
        return None
    deliver = _message(c.DELIVER_SM, body)
    if deliver is not None and not deliver.schedule_delivery_time and not deliver.validity_period:
        return deliver
    data = _message(c.DATA_SM, body)
    if data is not None and ends_even(body, data.tlvs_at):
        return data
    return decode_damaged_receipt(c.DELIVER_SM, 0, body) if deliver is None else None


def _message(command_id: int, body: bytes) -> MessagePdu | None:
    try:
        return decode_message(command_id, 0, body)
    except CodecError:
        return None
