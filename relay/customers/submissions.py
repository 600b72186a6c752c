"""Makes submissions of customers' submit_sm and data_sm, and replacements of their replace_sm, and checks them."""

import re
from typing import Final

import msgspec

from relay.smpp.message_codec import (
    find_tlv,
    submit_body_from_data_sm,
    with_other_text,
    with_registered_delivery,
    with_schedule,
    with_source,
)
from relay.smpp.times import seconds_until, smpp_time_text
from relay.text.compose import source_address
from relay.values import smpp_constants as c
from relay.values.message_view import MessageView
from relay.values.messages import MAX_PRIORITY, Replacement, Submission, source_of
from relay.values.pdus import MessagePdu, ReplacePdu

#: How far in the future a message may be scheduled.
MAX_SCHEDULE_SECONDS: Final = 30 * 86_400.0

#: Message types that an ESME may send: none, and the two acknowledgements (SMPP 3.4 section 5.2.12).
_LAWFUL_TYPES: Final = frozenset({0x00, 0x08, 0x10})
#: The size of user_message_reference.
_REFERENCE_OCTETS: Final = 2
#: Octets that addresses may not have: control characters confuse those who print or parse them, and octets beyond
#: ASCII mean different things to different carriers.
_unprintable = re.compile(rb"[^ -~]").search


def submission(pdu: MessagePdu, now: float, login: str = "") -> Submission | int:
    """Makes a submission of a submit_sm or data_sm. Returns the command_status that refuses it if it isn't valid.

    :param now: seconds since 1970.
    :param login: as in `Message`.
    """
    status = _address_status(pdu)
    if status:
        return status
    if pdu.esm_class & c.ESM_CLASS_TYPE_MASK not in _LAWFUL_TYPES:
        return c.ESME_RINVESMCLASS
    scheduled_seconds = 0.0
    if pdu.schedule_delivery_time:
        try:
            scheduled_seconds = _scheduled_seconds(pdu.schedule_delivery_time, now)
        except ValueError:
            return c.ESME_RINVSCHED
    validity: float | None = None
    if pdu.validity_period:
        try:
            validity = _validity_seconds(pdu.validity_period, now, scheduled_seconds)
        except ValueError:
            return c.ESME_RINVEXPIRY
    scheduled_parts: tuple[bytes, ...] = ()
    if pdu.command_id == c.DATA_SM:
        body = submit_body_from_data_sm(pdu, c.REGISTERED_DELIVERY_FINAL)
    elif pdu.schedule_delivery_time:
        # A time in the past means now. The message waits here, or at a carrier that keeps scheduled messages. For the
        # carrier a relative time is made absolute, because the message may wait in a queue first.
        body = with_schedule(pdu, b"", c.REGISTERED_DELIVERY_FINAL)
        if scheduled_seconds:
            scheduled_at = smpp_time_text(now + scheduled_seconds)
            scheduled_parts = (with_schedule(pdu, scheduled_at, c.REGISTERED_DELIVERY_FINAL),)
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
        scheduled_parts,
        login=login,
    )


def _scheduled_seconds(schedule_delivery_time: bytes, now: float) -> float:
    """How long a message is to wait; 0.0 where the time is past.

    :raises ValueError: it is no SMPP time, or too far ahead.
    """
    seconds = max(0.0, seconds_until(schedule_delivery_time, now))
    if seconds > MAX_SCHEDULE_SECONDS:
        raise ValueError("more than 30 days ahead")
    return seconds


def _validity_seconds(validity_period: bytes, now: float, scheduled_seconds: float) -> float:
    """How long a message is valid, from the time for which it is scheduled on.

    :raises ValueError: it is no SMPP time, or ends before that.
    """
    seconds = seconds_until(validity_period, now)
    if not validity_period.endswith(b"R"):
        seconds -= scheduled_seconds
    if seconds <= 0.0:
        raise ValueError("it ends before it begins")
    return seconds


def replacement(pdu: ReplacePdu, view: MessageView, body: bytes, now: float) -> Replacement | int:
    """What a replace_sm makes of a message (SMPP 3.4 section 4.10), or the command_status to refuse it with.

    :param body: the message's submit_sm.
    :param now: seconds since 1970.
    """
    # When it was, or is to be, sent: the validity counts from then.
    before_at = view.scheduled_at or view.accepted_at
    scheduled_at = view.scheduled_at if view.waits_for_its_time else 0
    if pdu.schedule_delivery_time:
        try:
            seconds = _scheduled_seconds(pdu.schedule_delivery_time, now)
        except ValueError:
            return c.ESME_RINVSCHED
        scheduled_at = now + seconds if seconds else 0
    if pdu.validity_period:
        waits_seconds = max(0.0, scheduled_at - now)
        try:
            expires_at = now + waits_seconds + _validity_seconds(pdu.validity_period, now, waits_seconds)
        except ValueError:
            return c.ESME_RINVEXPIRY
    elif pdu.schedule_delivery_time:
        expires_at = (scheduled_at or now) + view.expires_at - before_at
    else:
        expires_at = view.expires_at
    body = with_other_text(
        body,
        pdu.short_message,
        pdu.message_payload,
        validity_period=pdu.validity_period,
        sm_default_msg_id=pdu.sm_default_msg_id,
        # It may have been meant for a carrier that keeps scheduled messages. Another time is kept here.
        keep_schedule=not pdu.schedule_delivery_time,
    )
    return Replacement(view.id, body, pdu.registered_delivery, expires_at, scheduled_at)


def with_default_sender(one: Submission, sender: str) -> Submission:
    """Gives the submission this sender if it has none.

    :param sender: as an HTTP customer would write it.
    """
    if source_of(one.addresses):
        return one
    source = source_address(sender)
    return msgspec.structs.replace(
        one,
        addresses=source + one.addresses[3:],
        parts=tuple([with_source(body, source) for body in one.parts]),
        scheduled_parts=tuple([with_source(body, source) for body in one.scheduled_parts]),
    )


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
