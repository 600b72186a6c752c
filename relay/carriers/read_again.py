"""Reads a kept receipt again, with the present dialect of its carrier.

Theory of operation: the store keeps the body of the PDU, without its command_id. A very long body has been cut. In a
deliver_sm the two times are empty (SMPP 3.4 section 4.6.1). If a data_sm is read as a deliver_sm, the tag of its first
optional parameter is in the place of the times. So a body with empty times is a deliver_sm. Another body is a data_sm
if its last parameter ends where the body ends. A body that is neither is not read, because half an id may be that of
another message.
"""

from msgspec.structs import replace

from relay.receipts.reader import ReceiptReader
from relay.receipts.tlvs import ends_even
from relay.smpp.message_codec import decode_damaged_receipt, decode_message
from relay.store.table.orphans import is_unreadable
from relay.values import smpp_constants as c
from relay.values.carrier_reports import Receipt
from relay.values.pdus import CodecError, MessagePdu


def read_again(reader: ReceiptReader, kept: Receipt) -> Receipt | None:
    """Reads a kept receipt again. The result has the time at which the receipt came; None: it is unreadable.

    :param reader: the reader of the receipt's carrier.
    """
    pdu = _decoded(kept.raw)
    if pdu is None:
        return None
    receipt = reader.read(pdu, kept.received_at)
    if is_unreadable(receipt):
        return None
    # All receipts of a carrier must have the same string object, because the table compares by identity first.
    return replace(receipt, carrier=kept.carrier)


def _decoded(body: bytes) -> MessagePdu | None:
    """Decodes a kept body as a deliver_sm or a data_sm; None: it is neither."""
    if not body:
        # The receipt was made of an answer to a query_sm, which has no such body.
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
