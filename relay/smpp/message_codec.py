"""The fast codec for messages: reads and writes submit_sm, deliver_sm and data_sm.

Theory of operation. Nearly all messages have an empty service_type and no times. So all fields between the addresses
and short_message have fixed offsets. A regular expression finds the addresses, and one struct reads the other fields.
If the expression doesn't match, `_walk` reads the body field by field. It knows every layout, and only it says what is
wrong with a body. Optional parameters are not parsed until some code asks for one. Until then they are octets, and are
passed on unchanged.

smpp.pdu reads and writes all other PDUs (`relay.smpp.other_codec`). It isn't used here, because it takes 25 to 35 µs
for each PDU, refuses receipts that real carriers send, and drops vendors' TLVs. Property tests check that this module
agrees with it for every PDU that it accepts.
"""

import re
from struct import Struct
from typing import Final, NoReturn

from relay.values import smpp_constants as c
from relay.values.pdus import CodecError, MessagePdu

#: The largest short_message, section 5.2.21. A peer's message with 255 octets is read, too.
MAX_SHORT_MESSAGE_OCTETS: Final = 254
#: The largest source_addr and destination_addr of a submit_sm, without their NUL, section 4.4.1.
MAX_SUBMIT_ADDRESS_OCTETS: Final = 20

#: For each length, the layout of a response whose body has a message_id of up to 65 octets, and one more octet, which
#: should be its NUL. The first eight octets (length and command) are one field, because they are the same in
#: consecutive responses.
RESPONSE_ROWS: Final = {length: Struct(f">8sII{length - 17}sB") for length in range(17, 17 + 66)}

_five_octets = Struct("5B")
_ten_octets = Struct("10B")
_tlv_head = Struct(">HH")
_OCTETS: Final = tuple(bytes((value,)) for value in range(256))

# Measured on a 130-octet receipt (CPython 3.11): this regex and `_five_octets` 0.96 µs, a general regex with a group a
# field 1.46 µs, `_walk` (find() and slices) 1.5 µs; possessive repeats save 0.1 µs over plain ones.
_match_common = re.compile(rb"\0(..[^\0]{0,20}+\0..([^\0]{0,20}+)\0)...\0\0", re.DOTALL).match


class _Layout:
    """The longest strings of a command, and its name for error messages."""

    __slots__ = ("address_octets", "name", "service_type_octets", "time_octets")

    def __init__(self, name: str, service_type_octets: int, address_octets: int, time_octets: int) -> None:
        self.name = name
        self.service_type_octets = service_type_octets
        self.address_octets = address_octets
        self.time_octets = time_octets


# A submit_sm is passed on, so a carrier must accept it. A deliver_sm isn't passed on, and some carriers stop their
# queue if a receipt is refused. So its strings may be as long as the longest address in SMPP (65 with NUL).
_LAYOUTS: Final = {
    c.SUBMIT_SM: _Layout("submit_sm", 5, MAX_SUBMIT_ADDRESS_OCTETS, 16),
    c.DELIVER_SM: _Layout("deliver_sm", 64, 64, 64),
    c.DATA_SM: _Layout("data_sm", 64, 64, 0),
}


def decode_message(command_id: int, sequence_number: int, body: bytes) -> MessagePdu:
    """Reads the body of a submit_sm, deliver_sm or data_sm.

    Numbers that aren't in the specification's lists are kept. Octets after short_message are not read.

    :raises CodecError: the body can't be read. `command_status` says why: ESME_RINVSRCADR, ESME_RINVDSTADR,
        ESME_RINVSERTYP, ESME_RINVSCHED, ESME_RINVEXPIRY (the field is too long), ESME_RINVMSGLEN (sm_length is beyond
        the end), ESME_RINVCMDLEN (the body ends too early).
    """
    if command_id != c.DATA_SM:
        found = _match_common(body)
        if found is not None:
            addresses, destination = found.groups()
            at = found.end()
            text_at = at + 5
            if text_at <= len(body):
                registered_delivery, replace_if_present, data_coding, _, sm_length = _five_octets.unpack_from(body, at)
                tlvs_at = text_at + sm_length
                if tlvs_at <= len(body):
                    # The arguments are positional, because with keywords a msgspec struct takes twice as long.
                    return MessagePdu(
                        command_id,
                        sequence_number,
                        body,
                        addresses,
                        destination,
                        body[at - 5],
                        registered_delivery,
                        at,
                        data_coding,
                        body[text_at:tlvs_at],
                        tlvs_at,
                        body[at - 4],
                        body[at - 3],
                        b"",
                        b"",
                        replace_if_present,
                    )
    return _walk(command_id, sequence_number, body)


def _walk(command_id: int, sequence_number: int, body: bytes) -> MessagePdu:
    """Does what `decode_message` does, field by field."""
    layout = _LAYOUTS[command_id]
    find = body.find
    service_type_end = find(0)
    source_at = service_type_end + 3
    source_end = find(0, source_at)
    destination_at = source_end + 3
    destination_end = find(0, destination_at)
    # If a string has no NUL, its end is -1, and its length is negative.
    if not (
        0 <= service_type_end <= layout.service_type_octets
        and 0 <= source_end - source_at <= layout.address_octets
        and 0 <= destination_end - destination_at <= layout.address_octets
    ):
        _explain(layout, body)
    at = destination_end + 1
    if command_id == c.DATA_SM:
        if len(body) < at + 3:
            _explain(layout, body)
        return MessagePdu(
            command_id,
            sequence_number,
            body,
            addresses=body[service_type_end + 1 : at],
            destination=body[destination_at:destination_end],
            esm_class=body[at],
            registered_delivery=body[at + 1],
            registered_delivery_at=at + 1,
            data_coding=body[at + 2],
            short_message=b"",
            tlvs_at=at + 3,
            service_type=body[:service_type_end],
        )
    schedule_at = at + 3
    schedule_end = find(0, schedule_at)
    validity_at = schedule_end + 1
    validity_end = find(0, validity_at)
    flags_at = validity_end + 1
    text_at = flags_at + 5
    if not (
        0 <= schedule_end - schedule_at <= layout.time_octets
        and 0 <= validity_end - validity_at <= layout.time_octets
        and text_at <= len(body)
    ):
        _explain(layout, body)
    registered_delivery, replace_if_present, data_coding, _, sm_length = _five_octets.unpack_from(body, flags_at)
    tlvs_at = text_at + sm_length
    if len(body) < tlvs_at:
        left = len(body) - text_at
        raise CodecError(f"{layout.name} says sm_length {sm_length} with {left} octets left", c.ESME_RINVMSGLEN)
    return MessagePdu(
        command_id,
        sequence_number,
        body,
        body[service_type_end + 1 : at],
        body[destination_at:destination_end],
        body[at],
        registered_delivery,
        flags_at,
        data_coding,
        body[text_at:tlvs_at],
        tlvs_at,
        body[at + 1],
        body[at + 2],
        body[schedule_at:schedule_end],
        body[validity_at:validity_end],
        replace_if_present,
        body[:service_type_end],
    )


def decode_damaged_receipt(command_id: int, sequence_number: int, body: bytes) -> MessagePdu | None:
    """Reads a damaged receipt: a deliver_sm or data_sm that `decode_message` refuses, as far as possible.

    If a receipt is refused, the carrier sends it again and again, and may stop its queue. And perhaps its text can
    still be read. The result has all octets after the mandatory parameters as short_message, or none if the body ends
    before.

    :return: None: esm_class doesn't mark it as a receipt, or the body ends before esm_class.
    """
    at = 0
    # Skips service_type, and then source and destination, each with its ton and npi before it.
    for skipped in (0, 2, 2):
        end = body.find(0, at + skipped)
        if end < 0:
            return None
        at = end + 1
    if at >= len(body) or not body[at] & c.ESM_CLASS_TYPE_MASK:
        return None
    addresses_at = body.index(0) + 1
    destination_at = body.index(0, addresses_at + 2) + 3
    text_at = len(body)
    schedule_end = body.find(0, at + 3)
    validity_end = -1 if schedule_end < 0 else body.find(0, schedule_end + 1)
    if command_id == c.DELIVER_SM and 0 <= validity_end <= len(body) - 6:
        text_at = validity_end + 6
    return MessagePdu(
        command_id,
        sequence_number,
        body,
        body[addresses_at:at],
        body[destination_at : at - 1],
        body[at],
        0,
        at,
        body[text_at - 3] if text_at < len(body) else 0,
        body[text_at:],
        len(body),
    )


def _explain(layout: _Layout, body: bytes) -> NoReturn:
    """Says what is wrong with a body that `_walk` could not read.

    :raises CodecError: always.
    """
    name = layout.name
    at = _string_end(body, 0, layout.service_type_octets, name, "service_type", c.ESME_RINVSERTYP) + 1
    at = _string_end(body, at + 2, layout.address_octets, name, "source_addr", c.ESME_RINVSRCADR) + 1
    at = _string_end(body, at + 2, layout.address_octets, name, "destination_addr", c.ESME_RINVDSTADR) + 1
    if layout.time_octets:
        at = _string_end(body, at + 3, layout.time_octets, name, "schedule_delivery_time", c.ESME_RINVSCHED) + 1
        _string_end(body, at, layout.time_octets, name, "validity_period", c.ESME_RINVEXPIRY)
    raise CodecError(f"{name} ends after {len(body)} octets, before its last field", c.ESME_RINVCMDLEN)


def _string_end(body: bytes, at: int, limit_octets: int, pdu_name: str, field: str, status_if_long: int) -> int:
    """The offset of the NUL of the C-octet string at `at`.

    :raises CodecError: the string is longer than `limit_octets`, or the body ends before the NUL.
    """
    end = body.find(0, at)
    length = (len(body) if end < 0 else end) - at
    if length > limit_octets:
        raise CodecError(f"{pdu_name}: {field} has {length} octets, {limit_octets} are allowed", status_if_long)
    if end < 0:
        raise CodecError(f"{pdu_name} ends within {field}, after {len(body)} octets", c.ESME_RINVCMDLEN)
    return end


def message_octets(pdu: MessagePdu) -> bytes:
    """The octets of the text: short_message, or message_payload if short_message is empty (section 5.3.2.32)."""
    return pdu.short_message or find_tlv(pdu.body, pdu.tlvs_at, c.TAG_MESSAGE_PAYLOAD) or b""


def message_body(
    *,
    addresses: bytes,
    short_message: bytes = b"",
    esm_class: int = 0,
    protocol_id: int = 0,
    priority_flag: int = 0,
    schedule_delivery_time: bytes = b"",
    validity_period: bytes = b"",
    registered_delivery: int = 1,
    replace_if_present_flag: int = 0,
    data_coding: int = 0,
    sm_default_msg_id: int = 0,
    service_type: bytes = b"",
    tlvs: bytes = b"",
) -> bytes:
    """Writes the body of a submit_sm or deliver_sm.

    :param addresses: as in `MessagePdu.addresses`: two `encode_address`, the source's first.
    :param tlvs: the optional parameters, in octets (see `tlv`).
    :raises ValueError: short_message has more than 254 octets (use message_payload), or a number doesn't fit an octet.
    """
    octets = len(short_message)
    if octets > MAX_SHORT_MESSAGE_OCTETS:
        raise ValueError(f"short_message has {octets} octets, 254 are allowed; use message_payload")
    if schedule_delivery_time or validity_period:
        return b"%b\0%b%b%b\0%b\0%b%b%b" % (
            service_type,
            addresses,
            bytes((esm_class, protocol_id, priority_flag)),
            schedule_delivery_time,
            validity_period,
            bytes((registered_delivery, replace_if_present_flag, data_coding, sm_default_msg_id, octets)),
            short_message,
            tlvs,
        )
    flags = _ten_octets.pack(
        esm_class,
        protocol_id,
        priority_flag,
        0,
        0,
        registered_delivery,
        replace_if_present_flag,
        data_coding,
        sm_default_msg_id,
        octets,
    )
    return b"".join((service_type, b"\0", addresses, flags, short_message, tlvs))


def deliver_body_from_data_sm(pdu: MessagePdu) -> bytes:
    """Makes the body of a deliver_sm from a data_sm, with all its optional parameters."""
    return message_body(
        addresses=pdu.addresses,
        esm_class=pdu.esm_class,
        registered_delivery=pdu.registered_delivery,
        data_coding=pdu.data_coding,
        service_type=pdu.service_type,
        tlvs=pdu.body[pdu.tlvs_at :],
    )


def submit_body_from_data_sm(pdu: MessagePdu, registered_delivery: int | None = None) -> bytes:
    """Makes the body of a submit_sm from a data_sm. All optional parameters are kept, also message_payload.

    :param registered_delivery: None: the value of the data_sm.
    :raises CodecError: an address or service_type is too long for a submit_sm. (In a data_sm they may have 64 octets.)
    """
    body = message_body(
        addresses=pdu.addresses,
        esm_class=pdu.esm_class,
        registered_delivery=pdu.registered_delivery if registered_delivery is None else registered_delivery,
        data_coding=pdu.data_coding,
        service_type=pdu.service_type,
        tlvs=pdu.body[pdu.tlvs_at :],
    )
    if len(pdu.addresses) > MAX_SUBMIT_ADDRESS_OCTETS + 6 or len(pdu.service_type) > 5:
        decode_message(c.SUBMIT_SM, pdu.sequence_number, body)
    return body


def with_registered_delivery(pdu: MessagePdu, value: int) -> bytes:
    """The PDU's body with another registered_delivery. All other octets stay the same.

    :raises IndexError: `value` doesn't fit an octet.
    """
    if pdu.registered_delivery == value:
        return pdu.body
    body = pdu.body
    at = pdu.registered_delivery_at
    return body[:at] + _OCTETS[value] + body[at + 1 :]


def with_schedule(pdu: MessagePdu, schedule_delivery_time: bytes, registered_delivery: int) -> bytes:
    """A submit_sm's body with another schedule_delivery_time and registered_delivery. All other octets stay the same.

    :raises IndexError: `registered_delivery` doesn't fit an octet.
    """
    body = with_registered_delivery(pdu, registered_delivery)
    # Before it are service_type and its NUL, the addresses, esm_class, protocol_id and priority_flag.
    at = len(pdu.service_type) + 1 + len(pdu.addresses) + 3
    return body[:at] + schedule_delivery_time + body[at + len(pdu.schedule_delivery_time) :]


def with_source(body: bytes, source: bytes) -> bytes:
    """A submit_sm's body with another source address, every other octet as it came.

    :param source: as `encode_address` gives it.
    """
    # Behind service_type and its NUL: ton, npi and the address's characters.
    at = body.index(0) + 1
    return body[:at] + source + body[body.index(0, at + 2) + 1 :]


def with_other_text(
    body: bytes,
    short_message: bytes,
    message_payload: bytes | None,
    *,
    validity_period: bytes,
    sm_default_msg_id: int,
    keep_schedule: bool = True,
) -> bytes:
    """A submit_sm's body with another text, in the same data_coding; every other octet as it came.

    :param message_payload: the text where it doesn't stand in `short_message`.
    :param validity_period: empty: as it is.
    :param keep_schedule: false: without schedule_delivery_time.
    """
    if not keep_schedule:
        pdu = decode_message(c.SUBMIT_SM, 0, body)
        body = with_schedule(pdu, b"", pdu.registered_delivery)
    pdu = decode_message(c.SUBMIT_SM, 0, body)
    flags_at = pdu.registered_delivery_at
    validity_at = flags_at - 1 - len(pdu.validity_period)
    tlvs = _without_tlv(body, pdu.tlvs_at, c.TAG_MESSAGE_PAYLOAD)
    if message_payload is not None:
        # The others may end in padding, which would be taken for a part of it.
        tlvs = tlv(c.TAG_MESSAGE_PAYLOAD, message_payload) + tlvs
    return b"%b%b\0%b%b%b%b" % (
        body[:validity_at],
        validity_period or pdu.validity_period,
        body[flags_at : flags_at + 3],
        bytes((sm_default_msg_id, len(short_message))),
        short_message,
        tlvs,
    )


def _without_tlv(body: bytes, tlvs_at: int, tag: int) -> bytes:
    """The optional parameters from `tlvs_at` on, but for those with this tag. Lenient as `find_tlv`."""
    kept = []
    end = len(body)
    at = tlvs_at
    while at + 4 <= end:
        found, length = _tlv_head.unpack_from(body, at)
        next_at = at + 1 if found == 0 else at + 4 + length
        if found != tag:
            kept.append(body[at:next_at])
        at = next_at
    return b"".join([*kept, body[at:]])


def encode_address(ton: int, npi: int, address: bytes) -> bytes:
    """Writes an address for a body: type of number, numbering plan, the characters, NUL.

    :raises ValueError: `address` has a NUL, or a number doesn't fit an octet.
    """
    if 0 in address:
        raise ValueError("an address can't have a NUL octet")
    return bytes((ton, npi)) + address + b"\0"


def decode_message_id(body: bytes) -> bytes:
    """Reads the message_id in the body of a submit_sm_resp, deliver_sm_resp or data_sm_resp; empty: there is none.

    A missing NUL and a missing body are accepted, because some carriers leave them out, with errors or without.
    """
    end = body.find(0)
    return body if end < 0 else body[:end]


def tlv(tag: int, value: bytes) -> bytes:
    """Writes an optional parameter.

    :raises ValueError: `value` has more than 65535 octets.
    """
    if len(value) > 0xFFFF:
        raise ValueError(f"an optional parameter has at most 65535 octets, not {len(value)}")
    return _tlv_head.pack(tag, len(value)) + value


def find_tlv(body: bytes, tlvs_at: int, tag: int) -> bytes | None:
    """The value of the first optional parameter with this tag; None: there is none.

    Tag 0, which the specification reserves, is padding, and is skipped octet by octet. A parameter that runs over the
    end of the body counts as missing.
    """
    # Most messages don't have the parameter. One search for the two octets of its tag shows this.
    if body.find(tag.to_bytes(2, "big"), tlvs_at) < 0:
        return None
    head = _tlv_head.unpack_from
    end = len(body)
    at = tlvs_at
    while at + 4 <= end:
        found, length = head(body, at)
        if found == 0:
            at += 1
            continue
        value_at = at + 4
        at = value_at + length
        if found == tag:
            return body[value_at:at] if at <= end else None
    return None


def tlv_values(body: bytes, tlvs_at: int) -> dict[int, bytes]:
    """All optional parameters by tag; of each tag, the first. It is faster than three calls of `find_tlv`."""
    head = _tlv_head.unpack_from
    end = len(body)
    at = tlvs_at
    values: dict[int, bytes] = {}
    while at + 4 <= end:
        tag, length = head(body, at)
        if tag == 0:
            at += 1
            continue
        value_at = at + 4
        at = value_at + length
        if at <= end and tag not in values:
            values[tag] = body[value_at:at]
    return values
