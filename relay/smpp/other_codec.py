"""The codec for all other PDUs: binds, queries about messages, and their responses. It uses smpp.pdu.

Theory of operation. smpp.pdu knows the fields of every PDU and their order (`PDUEncoder`, `operations`). This module
gives it other field encoders, so that it reads what real peers send: numbers that no list has, passwords longer than
eight octets, characters that aren't ASCII. Times are kept as octets, because smpp.pdu's time parser prints to standard
output. Optional parameters are read by `relay.smpp.message_codec`, which accepts more.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Final

from smpp.pdu import constants as names
from smpp.pdu import operations
from smpp.pdu.error import PDUCorruptError, PDUParseError
from smpp.pdu.pdu_encoding import COctetStringEncoder, IEncoder, Int1Encoder, PDUEncoder
from smpp.pdu.pdu_types import CommandStatus

from relay.smpp.message_codec import MAX_SUBMIT_ADDRESS_OCTETS, decode_message, find_tlv, tlv
from relay.values import smpp_constants as c
from relay.values.pdus import BindPdu, CodecError, MessageIdPdu, MessagePdu, OtherPdu, ReplacePdu, SubmitMultiPdu

#: Our sc_interface_version.
INTERFACE_VERSION: Final = 0x34
#: The highest interface_version that may bind. SMPP 5.0 is 3.4 with additions that a peer need not use. Numbers from
#: 0x00 to 0x33 mean "3.3 or earlier" (section 5.2.4). Servers refuse a higher one.
MAX_INTERFACE_VERSION: Final = 0x50
#: The most destinations of a submit_multi (section 5.2.24), and the values of their dest_flag (section 5.2.25).
MAX_DESTINATIONS: Final = 254
_SME_ADDRESS: Final = 1
_DISTRIBUTION_LIST: Final = 2


def _string(max_octets: int, status: CommandStatus = CommandStatus.ESME_RUNKNOWNERR) -> COctetStringEncoder:
    return COctetStringEncoder(max_octets + 1, decodeErrorStatus=status)


# The specification allows passwords of 8 octets, but longer ones are common. Any number is accepted as a TON, an NPI or
# a state.
_FIELDS: Final[Mapping[str, IEncoder]] = {
    **PDUEncoder.DefaultRequiredParamEncoders,
    "system_id": _string(15, CommandStatus.ESME_RINVSYSID),
    "password": _string(64, CommandStatus.ESME_RINVPASWD),
    "system_type": _string(64, CommandStatus.ESME_RINVSYSTYP),
    "address_range": _string(64),
    "message_id": _string(64, CommandStatus.ESME_RINVMSGID),
    "service_type": _string(64, CommandStatus.ESME_RINVSERTYP),
    "source_addr": _string(64, CommandStatus.ESME_RINVSRCADR),
    "destination_addr": _string(64, CommandStatus.ESME_RINVDSTADR),
    "final_date": _string(16),
    **dict.fromkeys(
        (
            "addr_ton",
            "addr_npi",
            "source_addr_ton",
            "source_addr_npi",
            "dest_addr_ton",
            "dest_addr_npi",
            "message_state",
            "error_code",
        ),
        Int1Encoder(),
    ),
}

_BINDS: Final = {
    c.BIND_TRANSMITTER: operations.BindTransmitter,
    c.BIND_RECEIVER: operations.BindReceiver,
    c.BIND_TRANSCEIVER: operations.BindTransceiver,
}
_encoder: Final = PDUEncoder()


def _read(pdu_class: type[operations.PDU], body: bytes) -> dict[str, object]:
    """Reads the mandatory parameters of a body.

    :raises CodecError: a field is too long, or the body ends too early.
    """
    try:
        values: dict[str, object] = _encoder.decodeRequiredParams(pdu_class.mandatoryParams, _FIELDS, io.BytesIO(body))
    except PDUCorruptError as e:
        raise CodecError(f"{pdu_class.commandId.name}: {e}", c.ESME_RINVCMDLEN) from e
    except PDUParseError as e:
        raise CodecError(f"{pdu_class.commandId.name}: {e}", names.command_status_name_map[e.status.name]) from e
    return values


def _write(pdu_class: type[operations.PDU], **values: object) -> bytes:
    """Writes the mandatory parameters.

    :raises ValueError: a string is too long, or a number doesn't fit an octet.
    """
    body: bytes = _encoder.encodeRequiredParams(pdu_class.mandatoryParams, _FIELDS, values)
    return body


def _octets(value: object) -> bytes:
    """The octets of a C-octet string that smpp.pdu has read."""
    return value if isinstance(value, bytes) else b""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _text(value: object) -> str:
    # `Secret.matches` encodes in the same way. Octets that aren't UTF-8 are kept, so two passwords never become equal.
    return _octets(value).decode("utf-8", "surrogateescape")


def decode_request(
    command_id: int, sequence_number: int, body: bytes
) -> BindPdu | MessageIdPdu | SubmitMultiPdu | OtherPdu:
    """Reads the body of a request that isn't a message.

    :raises CodecError: the body can't be read.
    """
    if command_id in _BINDS:
        return _decode_bind(command_id, sequence_number, body)
    if command_id == c.SUBMIT_MULTI:
        return decode_submit_multi(sequence_number, body)
    if command_id == c.REPLACE_SM:
        return decode_replace_sm(sequence_number, body)
    if command_id == c.QUERY_SM:
        values = _read(operations.QuerySM, body)
    elif command_id == c.CANCEL_SM:
        values = _read(operations.CancelSM, body)
    else:
        return OtherPdu(command_id, sequence_number, body)
    return MessageIdPdu(
        command_id,
        sequence_number,
        _octets(values["message_id"]),
        _octets(values["source_addr"]),
        _octets(values.get("destination_addr")),
        _number(values["source_addr_ton"]),
        _number(values["source_addr_npi"]),
        _number(values.get("dest_addr_ton")),
        _number(values.get("dest_addr_npi")),
    )


def _decode_bind(command_id: int, sequence_number: int, body: bytes) -> BindPdu:
    values = _read(_BINDS[command_id], body)
    version = _number(values["interface_version"])
    return BindPdu(
        command_id,
        sequence_number,
        _text(values["system_id"]),
        _text(values["password"]),
        _text(values["system_type"]),
        version,
        _text(values["address_range"]),
    )


def decode_submit_multi(sequence_number: int, body: bytes) -> SubmitMultiPdu:
    """Reads the body of a submit_multi (section 4.5.1), and makes a submit_sm for each destination.

    A distribution list fails, because the relay has none.

    :raises CodecError: the body can't be read (ESME_RINVCMDLEN), has no destination or more than 254
        (ESME_RINVNUMDESTS), or has a dest_flag other than 1 and 2 (ESME_RINVDESTFLAG).
    """
    source_end = _after_string(body, _after_string(body, 0) + 2)
    head = body[:source_end]
    count = body[source_end] if source_end < len(body) else 0
    if not 0 < count <= MAX_DESTINATIONS:
        raise CodecError(f"submit_multi names {count} destinations", c.ESME_RINVNUMDESTS)
    addresses: list[bytes] = []
    failed: list[tuple[bytes, int]] = []
    at = source_end + 1
    for _ in range(count):
        flag = body[at] if at < len(body) else 0
        if flag == _SME_ADDRESS:
            end = _after_string(body, at + 3)
            addresses.append(body[at + 1 : end])
        elif flag == _DISTRIBUTION_LIST:
            end = _after_string(body, at + 1)
            failed.append((b"\0\0" + body[at + 1 : end], c.ESME_RINVDLNAME))
        else:
            raise CodecError(f"submit_multi has the dest_flag {flag}", c.ESME_RINVDESTFLAG)
        at = end
    messages: list[MessagePdu] = []
    for address in addresses:
        try:
            messages.append(decode_message(c.SUBMIT_SM, sequence_number, head + address + body[at:]))
        except CodecError as e:
            if e.command_status != c.ESME_RINVDSTADR:
                raise
            failed.append((address, e.command_status))
    return SubmitMultiPdu(c.SUBMIT_MULTI, sequence_number, tuple(messages), tuple(failed))


def decode_replace_sm(sequence_number: int, body: bytes) -> ReplacePdu:
    """Reads the body of a replace_sm (section 4.10.1).

    :raises CodecError: the body is no such body; the status says which field is wrong.
    """
    id_end = _after_string(body, 0, 64, c.ESME_RINVMSGID)
    source_end = _after_string(body, id_end + 2, MAX_SUBMIT_ADDRESS_OCTETS, c.ESME_RINVSRCADR)
    schedule_end = _after_string(body, source_end, 16, c.ESME_RINVSCHED)
    validity_end = _after_string(body, schedule_end, 16, c.ESME_RINVEXPIRY)
    text_at = validity_end + 3
    if len(body) < text_at:
        raise CodecError(f"replace_sm ends after {len(body)} octets, before its last field", c.ESME_RINVCMDLEN)
    registered_delivery, sm_default_msg_id, sm_length = body[validity_end:text_at]
    tlvs_at = text_at + sm_length
    if len(body) < tlvs_at:
        left = len(body) - text_at
        raise CodecError(f"replace_sm says sm_length {sm_length} with {left} octets left", c.ESME_RINVMSGLEN)
    return ReplacePdu(
        c.REPLACE_SM,
        sequence_number,
        body[: id_end - 1],
        body[id_end + 2 : source_end - 1],
        source_ton=body[id_end],
        source_npi=body[id_end + 1],
        schedule_delivery_time=body[source_end : schedule_end - 1],
        validity_period=body[schedule_end : validity_end - 1],
        registered_delivery=registered_delivery,
        sm_default_msg_id=sm_default_msg_id,
        short_message=body[text_at:tlvs_at],
        message_payload=None if sm_length else find_tlv(body, tlvs_at, c.TAG_MESSAGE_PAYLOAD),
    )


def _after_string(body: bytes, at: int, most_octets: int | None = None, status_if_long: int = 0) -> int:
    """The offset after the C-octet string at `at`.

    :raises CodecError: the body ends before the string does, or the string has more than `most_octets`.
    """
    end = body.find(0, at)
    if most_octets is not None and (len(body) if end < 0 else end) - at > most_octets:
        raise CodecError(f"a string has more than {most_octets} octets", status_if_long)
    if end < 0:
        raise CodecError(f"the body ends after {len(body)} octets, within a string", c.ESME_RINVCMDLEN)
    return end + 1


def submit_multi_resp_body(message_id: bytes, failed: Sequence[tuple[bytes, int]]) -> bytes:
    """Writes the body of a submit_multi_resp with ESME_ROK.

    :param failed: each destination that was refused: its ton, npi and address with the NUL, and its command_status.
    """
    unsuccess = b"".join(address + status.to_bytes(4, "big") for address, status in failed)
    return b"%b\0%b%b" % (message_id, bytes((len(failed),)), unsuccess)


def bind_body(
    command_id: int,
    system_id: str,
    password: str,
    *,
    system_type: str = "",
    interface_version: int = INTERFACE_VERSION,
    addr_ton: int = 0,
    addr_npi: int = 0,
    address_range: str = "",
) -> bytes:
    """Writes the body of a bind_transmitter, bind_receiver or bind_transceiver.

    :raises ValueError: system_id has more than 15 octets, or another string more than 64.
    """
    return _write(
        _BINDS[command_id],
        system_id=system_id.encode(),
        password=password.encode("utf-8", "surrogateescape"),
        system_type=system_type.encode(),
        interface_version=interface_version,
        addr_ton=addr_ton,
        addr_npi=addr_npi,
        address_range=address_range.encode(),
    )


def bind_resp_body(system_id: str, interface_version: int) -> bytes:
    """Writes the body of a bind response with ESME_ROK.

    :param interface_version: the peer's. Only 3.4 and later get sc_interface_version, because earlier
        versions have no optional parameters.
    :raises ValueError: system_id has more than 15 octets.
    """
    body = _write(operations.BindTransceiverResp, system_id=system_id.encode())
    if interface_version >= INTERFACE_VERSION:
        body += tlv(c.TAG_SC_INTERFACE_VERSION, bytes((INTERFACE_VERSION,)))
    return body


def decode_bind_resp(body: bytes) -> tuple[str, int]:
    """Reads system_id and sc_interface_version in a bind response. If the latter is missing, it is 0x33.

    It never raises, because a carrier that has accepted our bind is bound, whatever its response looks like.
    """
    end = body.find(0)
    if end < 0:
        return _text(body), 0x33
    version = find_tlv(body, end + 1, c.TAG_SC_INTERFACE_VERSION)
    return _text(body[:end]), version[0] if version else 0x33


def query_sm_body(message_id: bytes, ton: int = 0, npi: int = 0, source: bytes = b"") -> bytes:
    """Writes the body of a query_sm. The source must be the message's own.

    :raises ValueError: a string has more than 64 octets.
    """
    return _write(
        operations.QuerySM, message_id=message_id, source_addr_ton=ton, source_addr_npi=npi, source_addr=source
    )


def query_sm_resp_body(message_id: bytes, final_date: bytes, message_state: int, error_code: int) -> bytes:
    """Writes the body of a query_sm_resp with ESME_ROK.

    :param final_date: sixteen octets (section 7.1.1), or empty while the state isn't final.
    :raises ValueError: message_id has more than 64 octets, final_date more than 16, or a number doesn't fit an octet.
    """
    return _write(
        operations.QuerySMResp,
        message_id=message_id,
        final_date=final_date,
        message_state=message_state,
        error_code=error_code,
    )


def decode_query_sm_resp(body: bytes) -> tuple[bytes, bytes, int, int]:
    """Reads message_id, final_date, message_state and error_code in a query_sm_resp.

    :raises CodecError: the body can't be read.
    """
    values = _read(operations.QuerySMResp, body)
    return (
        _octets(values["message_id"]),
        _octets(values["final_date"]),
        _number(values["message_state"]),
        _number(values["error_code"]),
    )


def cancel_sm_body(message_id: bytes, addresses: bytes, service_type: bytes = b"") -> bytes:
    """Writes the body of a cancel_sm for one message.

    :param addresses: those of the message (see `MessagePdu.addresses`).
    """
    return service_type + b"\0" + message_id + b"\0" + addresses
