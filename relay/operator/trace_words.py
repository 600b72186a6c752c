"""Writes PDUs and HTTP requests as lines of a trace, without texts, passwords, keys, signatures and URL queries.

Only fields that are known to hold none of these are written. Of others the line says how long they are. Numbers lose
their last two digits.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from relay.receipts.receipt_fields import read_fields
from relay.smpp import other_codec
from relay.smpp.message_codec import decode_message, tlv_values
from relay.values import smpp_constants as c
from relay.values.masking import masked
from relay.values.messages import destination_of, source_of
from relay.values.pdus import BindPdu, CodecError, MessageIdPdu, MessagePdu, SubmitMultiPdu
from relay.values.shown_url import without_secrets

_HEADER_OCTETS: Final = 16
_NAMES: Final = {
    c.BIND_RECEIVER: "bind_receiver",
    c.BIND_TRANSMITTER: "bind_transmitter",
    c.BIND_TRANSCEIVER: "bind_transceiver",
    c.OUTBIND: "outbind",
    c.UNBIND: "unbind",
    c.ENQUIRE_LINK: "enquire_link",
    c.SUBMIT_SM: "submit_sm",
    c.SUBMIT_MULTI: "submit_multi",
    c.DELIVER_SM: "deliver_sm",
    c.DATA_SM: "data_sm",
    c.QUERY_SM: "query_sm",
    c.CANCEL_SM: "cancel_sm",
    c.REPLACE_SM: "replace_sm",
    c.ALERT_NOTIFICATION: "alert_notification",
}
_MESSAGES: Final = frozenset({c.SUBMIT_SM, c.DELIVER_SM, c.DATA_SM})
_MESSAGE_RESPONSES: Final = frozenset(command | c.RESPONSE_BIT for command in _MESSAGES)
_BIND_RESPONSES: Final = frozenset(command | c.RESPONSE_BIT for command in c.BIND_COMMANDS)
#: Optional parameters whose values are numbers.
_NUMBERS: Final = {
    c.TAG_USER_MESSAGE_REFERENCE: "user_message_reference",
    c.TAG_SAR_MSG_REF_NUM: "sar_msg_ref_num",
    c.TAG_SAR_TOTAL_SEGMENTS: "sar_total_segments",
    c.TAG_SAR_SEGMENT_SEQNUM: "sar_segment_seqnum",
    c.TAG_MESSAGE_STATE: "message_state",
}
#: Words of a peer are cut off after so many characters.
_WORD_CHARACTERS: Final = 65

#: HTTP headers whose values are written.
_HEADERS: Final = frozenset(
    {"content-type", "webhook-id", "webhook-timestamp", "x-relay-attempt", "x-relay-carrier-error", "x-relay-test"}
)
#: Fields of JSON objects and forms whose values are written.
_FIELDS: Final = ("id", "send_status", "status", "error")
_OBJECTS_WRITTEN: Final = 3


def pdu_words(pdu: bytes) -> str:
    """Writes a PDU as a line."""
    command_id, status, sequence_number = (int.from_bytes(pdu[at : at + 4], "big") for at in (4, 8, 12))
    body = pdu[_HEADER_OCTETS:]
    name = command_name(command_id)
    words = [c.status_name(status)] if command_id & c.RESPONSE_BIT else []
    try:
        words += _body_words(command_id, sequence_number, body)
    except CodecError as problem:
        # Its own words may have a part of the body.
        words.append(f"a body of {len(body)} octets that can't be read ({c.status_name(problem.command_status)})")
    return f"{name} {sequence_number}" + (f": {', '.join(words)}" if words else "")


def command_name(command_id: int) -> str:
    """The name of a command: `submit_sm_resp`; its number if the specification doesn't name it."""
    if command_id == c.GENERIC_NACK:
        return "generic_nack"
    name = _NAMES.get(command_id & ~c.RESPONSE_BIT)
    if name is None:
        return f"command 0x{command_id:08X}"
    return f"{name}_resp" if command_id & c.RESPONSE_BIT else name


def _body_words(command_id: int, sequence_number: int, body: bytes) -> list[str]:
    if command_id in _MESSAGES:
        return _message_words(decode_message(command_id, sequence_number, body))
    if command_id in _MESSAGE_RESPONSES:
        message_id = body.partition(b"\0")[0]
        return [f"message_id {_word(message_id)}"] if message_id else []
    if command_id in _BIND_RESPONSES:
        system_id, version = other_codec.decode_bind_resp(body)
        return [f"system_id {_word(system_id)}, version 0x{version:02X}"] if body else []
    if command_id == c.QUERY_SM_RESP and body:
        message_id, final_date, state, error = other_codec.decode_query_sm_resp(body)
        return [f"message_id {_word(message_id)}, final_date {_word(final_date)}, message_state {state}, error {error}"]
    if not body:
        return []
    if command_id & c.RESPONSE_BIT or command_id in (c.OUTBIND, c.ALERT_NOTIFICATION) or command_id not in _NAMES:
        return [f"a body of {len(body)} octets"]
    request = other_codec.decode_request(command_id, sequence_number, body)
    if isinstance(request, BindPdu):
        version, kind, numbers = request.interface_version, request.system_type, request.address_range
        return [
            f"system_id {_word(request.system_id)}", "the password is masked", f"system_type {_word(kind)}",
            f"version 0x{version:02X}", f"address_range of {len(numbers)} characters",
        ]  # fmt: skip
    if isinstance(request, SubmitMultiPdu):
        count = len(request.messages)
        return [f"{count} destinations", *(_message_words(request.messages[0]) if count else ())]
    if isinstance(request, MessageIdPdu):
        return [f"message_id {_word(request.message_id)}", f"source {_number(request.source)}"]
    return [f"a body of {len(body)} octets"]


def _message_words(pdu: MessagePdu) -> list[str]:
    addresses = pdu.addresses
    source_ton, source_npi = addresses[0], addresses[1]
    ton, npi = pdu.destination_address[:2]
    words = [
        f"from {_number(source_of(addresses))} ({source_ton}/{source_npi})",
        f"to {_number(destination_of(addresses))} ({ton}/{npi})",
        f"esm_class 0x{pdu.esm_class:02X}",
        f"data_coding {pdu.data_coding}",
    ]
    if pdu.command_id != c.DELIVER_SM:
        words.append(f"registered_delivery {pdu.registered_delivery}")
    for name, value in (("schedule", pdu.schedule_delivery_time), ("validity", pdu.validity_period)):
        if value:
            words.append(f"{name} {_word(value)}")
    words += _receipt_words(pdu) or [f"text of {len(pdu.short_message)} octets, masked"]
    return words + [_tlv_words(tag, value) for tag, value in tlv_values(pdu.body, pdu.tlvs_at).items()]


def _receipt_words(pdu: MessagePdu) -> list[str]:
    """The fields of a receipt's text; [] if the message is no receipt."""
    fields = read_fields(pdu)
    marked = pdu.esm_class & c.ESM_CLASS_TYPE_MASK == c.ESM_CLASS_DELIVERY_RECEIPT
    if pdu.command_id == c.SUBMIT_SM or not (marked or (fields.text_id and fields.stat)):
        return []
    known: list[tuple[str, bytes]] = [
        ("id", fields.text_id), ("stat", fields.stat), ("err", fields.err),
        ("submit date", fields.submit_date), ("done date", fields.done_date),
    ]  # fmt: skip
    said = " ".join(f"{name}:{_word(_first_word(value))}" for name, value in known if value)
    return [f"receipt {said or 'without known fields'}", f"its text of {len(pdu.short_message)} octets is masked"]


def _first_word(value: bytes) -> bytes:
    words = value.split(None, 1)
    return words[0] if words else b""


def _tlv_words(tag: int, value: bytes) -> str:
    if tag == c.TAG_RECEIPTED_MESSAGE_ID:
        return f"receipted_message_id {_word(value.rstrip(bytes(1)))}"
    if tag == c.TAG_NETWORK_ERROR_CODE:
        return f"network_error_code {value[:8].hex()}"
    if tag == c.TAG_MESSAGE_PAYLOAD:
        return f"message_payload of {len(value)} octets, masked"
    if tag in _NUMBERS and len(value) <= 8:
        return f"{_NUMBERS[tag]} {int.from_bytes(value, 'big')}"
    return f"parameter 0x{tag:04X} of {len(value)} octets"


def _word(value: bytes | str) -> str:
    """A peer's word as printable characters."""
    text = value if isinstance(value, str) else value.decode("ascii", "backslashreplace")
    text = "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)
    return f"{text[:_WORD_CHARACTERS]}…" if len(text) > _WORD_CHARACTERS else text or '""'


def _number(address: bytes) -> str:
    """A number without its last two digits. A name stays as it is."""
    text = _word(address)
    return text if any(character.isalpha() for character in text) else masked(text)


def request_words(method: str, url: str, headers: Mapping[bytes, Sequence[bytes]], body: bytes | None) -> str:
    """Writes an HTTP request as a line."""
    said: list[str] = []
    masked_headers: list[str] = []
    content_type = ""
    for raw, values in headers.items():
        name = raw.decode("latin-1")
        value = values[0].decode("latin-1") if values else ""
        if name.lower() == "content-type":
            content_type = value
        if name.lower() in _HEADERS:
            said.append(f"{name}: {_word(value)}")
        else:
            masked_headers.append(name)
    shown = without_secrets(url)
    words = [f"{method} {shown}" + (" (its query is masked)" if "?" in url else "")]
    if said:
        words.append("; ".join(said))
    if masked_headers:
        words.append(f"masked headers: {' '.join(masked_headers)}")
    if body is not None:
        words.append(f"body of {len(body)} octets{_content_words(body, content_type)}")
    return ", ".join(words)


def _content_words(body: bytes, content_type: str) -> str:
    """The known fields of a notification; "" if the body is something else."""
    objects: Any = []
    try:
        if content_type.startswith("application/json"):
            objects = msgspec.json.decode(body)
        elif content_type.startswith("application/x-www-form-urlencoded"):
            objects = dict(parse_qsl(body.decode("latin-1")))
    except (msgspec.DecodeError, ValueError):
        return ""
    objects = objects if isinstance(objects, list) else [objects]
    known = [words for one in objects if isinstance(one, dict) and (words := _field_words(one))]
    if not known:
        return ""
    more = f" and {len(known) - _OBJECTS_WRITTEN} more" if len(known) > _OBJECTS_WRITTEN else ""
    return f": {'; '.join(known[:_OBJECTS_WRITTEN])}{more}"


def _field_words(fields: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_word(str(fields[name]))}" for name in _FIELDS if isinstance(fields.get(name), str | int))
