"""Reads a message from one of Kannel's requests, with the checks of Kannel 1.4.5 in their order."""

import re
from contextlib import suppress
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from relay.customers.submissions import MAX_SCHEDULE_SECONDS
from relay.http.migration.gateway_fields import Fields, Refusal, decode_charset, leading_number, text_of
from relay.text import gsm0338
from relay.text.raw_parts import PART_OCTETS, PLAIN, PduFields, compose_octets, with_fields
from relay.text.text_form import DATA_CODING_DEFAULT, DATA_CODING_UCS2
from relay.webhooks.callbacks import LONGEST_MASK

#: The most recipients in one request.
MOST_RECIPIENTS: Final = 1000

GSM, OCTETS, UCS2 = 0, 1, 2

_NUMBER_CHARACTERS: Final = frozenset("0123456789 +-")
_MOST_ACCOUNT_OCTETS: Final = 64
_SHORTEST_URL: Final = len("http://a")
_not_in_account = re.compile("[\\[\\]\r\n]").search
_service_type = re.compile(rb"[!-~]{1,5}").fullmatch


class KannelMessage(NamedTuple):
    """Holds one of Kannel's requests after the checks.

    :ivar left_out: how many recipients are not numbers; the relay sends the message to the others.
    :ivar text: the text; None if the relay sends the octets unchanged.
    :ivar validity_minutes: the validity; None for the relay's default.
    """

    recipients: list[str]
    left_out: int
    sender: str
    reference: str | None
    url: str | None
    mask: int
    text: str | None
    octets: bytes
    coding: int
    udh: bytes
    mclass: int | None
    mwi: int | None
    alt_dcs: int
    validity_minutes: int | None
    deferred_minutes: int
    fields: PduFields


def read_message(fields: Fields, default_sender: str) -> KannelMessage:
    """Reads the message from the fields of a request.

    :param default_sender: the sender if the request has none.
    :raises Refusal: a field is wrong. The refusal has Kannel's words for the first wrong field.
    """
    words = _receivers(fields)
    udh = fields.get("udh", b"")
    if udh and udh[0] != len(udh) - 1:
        raise Refusal(400, "UDH field misformed, rejected")
    if len(udh) > PART_OCTETS:
        raise Refusal(400, "UDH field is too long, rejected")
    recipients = _recipients(words)
    sender = _sender(fields) or default_sender
    if not sender:
        raise Refusal(400, "Sender missing and no global set, rejected")
    account = text_of(fields, "account")
    if len(account.encode()) > _MOST_ACCOUNT_OCTETS or _not_in_account(account):
        raise Refusal(400, "Account field misformed or too long, rejected")
    url = text_of(fields, "dlr-url" if "dlr-url" in fields else "dlrurl").strip()
    if url and (len(url) < _SHORTEST_URL or not url.lower().startswith(("http://", "https://"))):
        raise Refusal(400, "DLR-URL field misformed, rejected")
    mask = _number(fields, "dlr-mask" if "dlr-mask" in fields else "dlrmask", LONGEST_MASK, "DLR-Mask") or 0
    mclass = _number(fields, "mclass", 3, "MClass")
    pid = _number(fields, "pid", 255, "PID") or 0
    rpi = _number(fields, "rpi", 2, "RPI") or 0
    alt_dcs = _number(fields, "alt-dcs", 1, "Alt-DCS") or 0
    mwi = _number(fields, "mwi", 7, "MWI")
    coding = _number(fields, "coding", 2, "Coding")
    if coding is None:
        coding = OCTETS if udh else GSM
    if _number(fields, "compress", 1, "Compress"):
        raise Refusal(400, "Compress field asks for compression, which no carrier reads, rejected")
    validity = _number(fields, "validity", None, "Validity")
    deferred = _number(fields, "deferred", None, "Deferred") or 0
    if deferred * 60 > MAX_SCHEDULE_SECONDS:
        raise Refusal(400, f"Deferred field is over {MAX_SCHEDULE_SECONDS / 60:.0f} minutes, rejected")
    priority = _number(fields, "priority", 3, "Priority") or 0
    text, octets = _content(fields, coding)
    return KannelMessage(
        recipients,
        len(words) - len(recipients),
        sender,
        account or None,
        url if url and mask else None,
        mask,
        text,
        octets,
        coding,
        udh,
        mclass,
        mwi,
        alt_dcs,
        validity,
        deferred,
        PduFields(protocol_id=pid, priority_flag=priority, service_type=_binfo(fields), reply_path=rpi > 0),
    )


def _binfo(fields: Fields) -> bytes:
    """Returns the service_type; refuses a request with optional parameters in `meta-data`."""
    if b"?smpp?" in unquote_to_bytes(fields.get("meta-data", b"")):
        raise Refusal(400, "Meta-Data field has optional parameters of SMPP, which are not taken here, rejected")
    binfo = fields.get("binfo", b"").strip()
    if binfo and not _service_type(binfo):
        raise Refusal(400, "BInfo field is no service_type of at most five characters, rejected")
    return binfo


def _receivers(fields: Fields) -> list[str]:
    if "to" not in fields:
        raise Refusal(400, "Missing receiver number, rejected")
    if not fields["to"]:
        raise Refusal(400, "Empty receiver number not allowed, rejected")
    # If a number is repeated, it gets the message only once.
    return list(dict.fromkeys(text_of(fields, "to").split()))


def _recipients(words: list[str]) -> list[str]:
    allowed = [word.replace("-", "") for word in words if _NUMBER_CHARACTERS.issuperset(word)]
    if not allowed or len(allowed) > MOST_RECIPIENTS:
        raise Refusal(400, "Number(s) has/have been denied by white- and/or black-lists.")
    return ["+" + number[2:] if number.startswith("00") else number for number in allowed]


def _sender(fields: Fields) -> str:
    sender = text_of(fields, "from")
    # If the customer did not percent-encode a plus sign, it arrives as a blank.
    if sender[:1] == " " and sender[1:].isdecimal():
        return "+" + sender[1:]
    return sender


def _number(fields: Fields, name: str, most: int | None, words: str) -> int | None:
    """Reads a number like Kannel.

    If the value is missing, empty, -1 or not a number, the field counts as not given, and the result is None.
    """
    number = leading_number(fields.get(name))
    if number is None or number == -1:
        return None
    if number < 0 or (most is not None and number > most):
        raise Refusal(400, f"{words} field misformed, rejected")
    return number


def _content(fields: Fields, coding: int) -> tuple[str | None, bytes]:
    """Returns the text and no octets, or None and the octets."""
    octets = fields.get("text", b"")
    charset = text_of(fields, "charset").strip()
    if coding == OCTETS:
        return None, octets
    try:
        if charset:
            return decode_charset(octets, charset), b""
        if coding == GSM:
            return _utf8_or_latin(octets), b""
    except ValueError:
        raise Refusal(400, "Charset or body misformed, rejected") from None
    try:
        return octets.decode("utf-16-be"), b""
    except UnicodeDecodeError:
        # The octets have half a surrogate pair or an odd length. Like Kannel, the relay sends them unchanged.
        return None, octets


def _utf8_or_latin(octets: bytes) -> str:
    """Decodes a text without `charset`: as UTF-8, or else as windows-1252, the default of older Kannels."""
    for charset in ("utf-8", "cp1252"):
        with suppress(UnicodeDecodeError):
            return octets.decode(charset)
    return octets.decode("latin-1")


def parts_of(
    message: KannelMessage, addresses: bytes, text_parts: tuple[bytes, ...], reference: int
) -> tuple[bytes, ...]:
    """Makes the submit_sm bodies for one recipient.

    :param text_parts: the parts from `relay.text.compose` if `is_text` is True; otherwise empty.
    :param reference: the number that joins the parts of a long message.
    :raises InvalidText: the user data header leaves no room for the text.
    """
    if text_parts:
        parts, alphabet = text_parts, UCS2 if _is_ucs2(message.text or "") else GSM
    else:
        octets, alphabet = _octets_of(message)
        parts = compose_octets(
            addresses,
            octets,
            _plain_coding(alphabet),
            septets=alphabet == GSM,
            pairs=alphabet == UCS2,
            udh=message.udh,
            reference=reference,
        )
    data_coding: int | None = _data_coding(message, alphabet)
    if data_coding == _plain_coding(alphabet):
        # The parts already have the plain data_coding of their form: leave it unchanged.
        data_coding = None
        if message.fields == PLAIN:
            return parts
    return tuple(with_fields(body, message.fields, data_coding) for body in parts)


def is_text(message: KannelMessage) -> bool:
    """Returns True if the message is a text that `relay.text.compose` can split."""
    return bool(message.text) and not message.udh


def names_coding(message: KannelMessage) -> bool:
    """Returns True if the customer asks for another data_coding than that of plain texts."""
    return _data_coding(message, GSM) != _plain_coding(GSM)


def _octets_of(message: KannelMessage) -> tuple[bytes, int]:
    if message.text is None:
        return message.octets, message.coding
    if message.coding == GSM:
        septets = gsm0338.encode(message.text)
        if septets is not None:
            return septets, GSM
    # The codec isn't strict: a text from another character set may have half a surrogate pair.
    return message.text.encode("utf-16-be", "surrogatepass"), UCS2


def _is_ucs2(text: str) -> bool:
    return gsm0338.encode(text) is None


def _plain_coding(alphabet: int) -> int:
    return (DATA_CODING_DEFAULT, 0x04, DATA_CODING_UCS2)[alphabet]


def _data_coding(message: KannelMessage, alphabet: int) -> int:
    """Returns the data_coding that Kannel would write (3GPP TS 23.038 section 4).

    If a request has both `mwi` and `mclass`, `mwi` counts.
    """
    if message.mwi is not None:
        if message.mwi >= 4:
            return 0xC0 + message.mwi - 4
        if alphabet != GSM:
            return 0xE0 + 8 + message.mwi
        return (0xD8 if message.text or message.octets else 0xC8) + message.mwi
    if message.mclass is not None:
        return (0xF0, 0xF4, 0x18)[alphabet] + message.mclass
    if message.alt_dcs and alphabet != UCS2:
        return (0xF1, 0xF5)[alphabet]
    return _plain_coding(alphabet)
