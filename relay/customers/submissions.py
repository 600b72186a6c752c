"""Makes submissions of customers' submit_sm and data_sm, and checks them."""

import re
from typing import Final

import msgspec

from relay.smpp.message_codec import find_tlv, submit_body_from_data_sm, with_registered_delivery, with_schedule
from relay.smpp.times import seconds_until, smpp_time_text
from relay.text.compose import source_address
from relay.values import smpp_constants as c
from relay.values.messages import MAX_PRIORITY, Submission, source_of
from relay.values.pdus import MessagePdu

#: How far in the future a message may be scheduled.
MAX_SCHEDULE_SECONDS: Final = 30 * 86_400.0

#: Message types that an ESME may send: none, and the two acknowledgements (SMPP 3.4 section 5.2.12).
_LAWFUL_TYPES: Final = frozenset({0x00, 0x08, 0x10})
#: The size of user_message_reference.
_REFERENCE_OCTETS: Final = 2
#: Octets that addresses may not have: control characters confuse those who print or parse them, and octets beyond
#: ASCII mean different things to different carriers.
_unprintable = re.compile(rb"[^ -~]").search


def submission(pdu: MessagePdu, now: float) -> Submission | int:
    """Makes a submission of a submit_sm or data_sm. Returns the command_status that refuses it if it isn't valid.

    :param now: seconds since 1970.
    """
    status = _address_status(pdu)
    if status:
        return status
    if pdu.esm_class & c.ESM_CLASS_TYPE_MASK not in _LAWFUL_TYPES:
        return c.ESME_RINVESMCLASS
    scheduled_seconds = 0.0
    if pdu.schedule_delivery_time:
        try:
            scheduled_seconds = max(0.0, seconds_until(pdu.schedule_delivery_time, now))
        except ValueError:
            return c.ESME_RINVSCHED
        if scheduled_seconds > MAX_SCHEDULE_SECONDS:
            return c.ESME_RINVSCHED
    validity: float | None = None
    if pdu.validity_period:
        try:
            validity = seconds_until(pdu.validity_period, now)
        except ValueError:
            return c.ESME_RINVEXPIRY
        if not pdu.validity_period.endswith(b"R"):
            validity -= scheduled_seconds
        if validity <= 0.0:
            return c.ESME_RINVEXPIRY
    if pdu.command_id == c.DATA_SM:
        body = submit_body_from_data_sm(pdu, c.REGISTERED_DELIVERY_FINAL)
    elif pdu.schedule_delivery_time:
        # A time in the past means now. A relative time is made absolute, because the message may wait in a queue first.
        scheduled_at = smpp_time_text(now + scheduled_seconds) if scheduled_seconds else b""
        body = with_schedule(pdu, scheduled_at, c.REGISTERED_DELIVERY_FINAL)
    else:
        body = with_registered_delivery(pdu, c.REGISTERED_DELIVERY_FINAL)
    reference = find_tlv(pdu.body, pdu.tlvs_at, c.TAG_USER_MESSAGE_REFERENCE) if pdu.tlvs_at < len(pdu.body) else None
    return Submission(
        pdu.addresses,
        (body,),
        pdu.registered_delivery,
        "smpp",
        validity,
        None,
        None,
        scheduled_seconds,
        pdu.priority_flag if pdu.priority_flag <= MAX_PRIORITY else MAX_PRIORITY,
        # It has two octets (SMPP 3.4 section 5.3.2.17). A longer one is ignored.
        int.from_bytes(reference) if reference and len(reference) <= _REFERENCE_OCTETS else None,
    )


def with_default_sender(one: Submission, sender: str) -> Submission:
    """Gives the submission this sender if it has none.

    :param sender: as an HTTP customer would write it.
    """
    if source_of(one.addresses):
        return one
    # An empty source has three octets: ton, npi and NUL. In a body, it comes right after the service_type.
    source = source_address(sender)
    bodies = []
    for body in one.parts:
        begin = body.index(0) + 1
        bodies.append(body[:begin] + source + body[begin + 3 :])
    return msgspec.structs.replace(one, addresses=source + one.addresses[3:], parts=tuple(bodies))


def _address_status(pdu: MessagePdu) -> int:
    """Checks both addresses. Returns ESME_ROK if they are printable ASCII and the destination isn't empty."""
    destination = pdu.destination
    # Most addresses have only digits or letters. For them, isalnum is faster than a search.
    if not destination.isalnum() and (not destination or _unprintable(destination)):
        return c.ESME_RINVDSTADR
    source = pdu.addresses[2 : -len(destination) - 4]
    if source and not source.isalnum() and _unprintable(source):
        return c.ESME_RINVSRCADR
    return c.ESME_ROK
