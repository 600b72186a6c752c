"""Makes submit_sm bodies of a text from the HTTP API: chooses the alphabet, splits the text, writes the addresses.

Theory of operation. A text is sent in the GSM default alphabet if that has all its characters, and in UCS-2 otherwise.
So no character is lost. If a carrier that may get the text has another default alphabet, that must have all characters,
too (`relay.text.carrier_form` translates the text then). A text that is too long for one part is cut into several. Each
part begins with a concatenation header (3GPP TS 23.040 section 9.2.3.24.1, eight-bit reference). A cut never separates
two units that the handset shows as one character: an escape and the septet after it, or a surrogate pair.

SMPP customers do all this themselves. The relay doesn't change the texts of their submit_sm.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from relay.smpp.message_codec import encode_address, message_body, tlv
from relay.text import gsm0338
from relay.text.text_form import (
    DATA_CODING_DEFAULT,
    DATA_CODING_LATIN1,
    DATA_CODING_UCS2,
    FLASH,
    PLAIN,
    TextForm,
    holds,
)
from relay.values.smpp_constants import ESM_CLASS_UDHI, TAG_MESSAGE_PAYLOAD

#: On the air a part has 140 octets, or 160 septets. The header takes six octets, or seven septets, of these.
GSM_SEPTETS_ALONE: Final = 160
GSM_SEPTETS_A_PART: Final = 153
OCTETS_ALONE: Final = 140
OCTETS_A_PART: Final = 134
MAX_PARTS: Final = 255

# Types of number and numbering plans, SMPP 3.4 sections 5.2.5 and 5.2.6.
_INTERNATIONAL, _NETWORK_SPECIFIC, _ALPHANUMERIC = 1, 3, 5
_UNKNOWN_PLAN, _ISDN = 0, 1

_number = re.compile(r"\+?([0-9]{3,20})", re.ASCII).fullmatch
#: A sender of at most so many digits, without a plus, is a short code.
_SHORT_CODE_DIGITS: Final = 8
_MAX_ALPHANUMERIC: Final = 11
#: The characters of an alphanumeric sender: the printable ones that GSM's alphabet and ASCII share. Carriers read the
#: octets of source_addr as ASCII, so other letters of GSM's alphabet would not arrive. A name needs a letter, because
#: a sender without letters is most likely a mistyped number.
_alphanumeric = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 !\"#$%&'()*+,\-./:;<=>?@_]+", re.ASCII).fullmatch


class InvalidText(ValueError):
    """A customer's request can't become a message.

    :ivar field: the field that is wrong: "to", "from" or "text".
    :ivar reason: a sentence for the customer. It doesn't repeat the field's value.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Composed(NamedTuple):
    """A message ready to be accepted. The fields are those of `relay.values.messages.Submission`.

    :ivar data_coding: the data_coding of every part.
    """

    addresses: bytes
    parts: tuple[bytes, ...]
    data_coding: int


def compose(
    source: str,
    destination: str,
    text: str,
    *,
    reference: int,
    validity_period: bytes = b"",
    form: TextForm = PLAIN,
    flash: bool = False,
    tlvs: bytes = b"",
) -> Composed:
    """Makes the submit_sm bodies of a text. Each of them asks for a receipt.

    :param source: a number (a short code up to eight digits) or up to eleven letters and digits.
    :param destination: a number with its country code, with or without a plus.
    :param reference: the number by which the handset knows the parts of one long message. Only its lowest eight bits
        are used. Each message should have the next number.
    :param validity_period: the field of the submit_sm, see `relay.smpp.times`.
    :param form: of the carriers that may get the text.
    :param flash: the handset shows the text at once, and doesn't keep it.
    :param tlvs: optional parameters for every part, as octets.
    :raises InvalidText: the source, the destination or the text can't be sent.
    """
    addresses = source_address(source) + destination_address(destination)
    octets, data_coding = encode(text, form, flash=flash)
    whole = form.payload and not _fits_alone(octets, data_coding)
    pieces = [octets] if whole else split(octets, data_coding)
    if len(pieces) == 1:
        body = message_body(
            addresses=addresses,
            short_message=b"" if whole else octets,
            data_coding=data_coding,
            validity_period=validity_period,
            tlvs=tlv(TAG_MESSAGE_PAYLOAD, octets) + tlvs if whole else tlvs,
        )
        return Composed(addresses, (body,), data_coding)
    head = bytes((5, 0, 3, reference & 0xFF, len(pieces)))
    parts = tuple(
        message_body(
            addresses=addresses,
            short_message=head + bytes((number,)) + piece,
            esm_class=ESM_CLASS_UDHI,
            data_coding=data_coding,
            validity_period=validity_period,
            tlvs=tlvs,
        )
        for number, piece in enumerate(pieces, 1)
    )
    return Composed(addresses, parts, data_coding)


def encode(text: str, form: TextForm = PLAIN, *, flash: bool = False) -> tuple[bytes, int]:
    """Encodes a text. Returns its octets and their data_coding.

    They are Latin-1 if GSM's alphabet can't write the text and Latin-1 is the default alphabet of all carriers.

    :raises InvalidText: the text is empty, or has half of a surrogate pair.
    """
    if not text:
        raise InvalidText("text", "The text is empty.")
    shown_at_once = FLASH if flash else 0
    if form.alphabets is PLAIN.alphabets or all(holds(alphabet, text) for alphabet in form.alphabets):
        septets = gsm0338.encode(text)
        if septets is not None:
            return septets, DATA_CODING_DEFAULT | shown_at_once
        if form.alphabets is not PLAIN.alphabets and not flash:
            return text.encode("latin-1"), DATA_CODING_LATIN1
    try:
        # The standard says UCS-2, which has no surrogate pairs. Handsets read them, so characters beyond UCS-2 go so.
        return text.encode("utf-16-be"), DATA_CODING_UCS2 | shown_at_once
    except UnicodeEncodeError as error:
        raise InvalidText(
            "text", f"Character {error.start + 1} is half of a surrogate pair. Send the whole pair, or leave it out."
        ) from None


def decode(octets: bytes, data_coding: int) -> str:
    """Decodes what `encode` returned, but for Latin-1."""
    if data_coding & ~FLASH == DATA_CODING_UCS2:
        return octets.decode("utf-16-be", "replace")
    return gsm0338.decode(octets)


def _fits_alone(octets: bytes, data_coding: int) -> bool:
    return len(octets) <= (GSM_SEPTETS_ALONE if data_coding & ~FLASH == DATA_CODING_DEFAULT else OCTETS_ALONE)


def split(octets: bytes, data_coding: int) -> list[bytes]:
    """Splits an encoded text into pieces, without headers. A text that fits into one part stays one piece.

    :raises InvalidText: the text needs more than 255 parts.
    """
    if _fits_alone(octets, data_coding):
        return [octets]
    gsm, ucs2 = (data_coding & ~FLASH == coding for coding in (DATA_CODING_DEFAULT, DATA_CODING_UCS2))
    size = GSM_SEPTETS_A_PART if gsm else OCTETS_A_PART
    pieces: list[bytes] = []
    start = 0
    while start < len(octets):
        end = start + size
        if end < len(octets) and (
            # UCS-2: the last character before the cut is a high surrogate. GSM: the last septet is an escape. `encode`
            # never writes an escape as the second septet of an escape sequence.
            (ucs2 and 0xD8 <= octets[end - 2] <= 0xDB) or (gsm and octets[end - 1] == gsm0338.ESCAPE)
        ):
            end -= 2 if ucs2 else 1
        pieces.append(octets[start:end])
        start = end
    if len(pieces) > MAX_PARTS:
        raise InvalidText("text", f"The text needs {len(pieces)} parts; a message has {MAX_PARTS} at the most.")
    return pieces


def destination_address(destination: str) -> bytes:
    """Writes a destination as a submit_sm has it.

    :raises InvalidText: the destination isn't a number.
    """
    found = _number(destination)
    if found is None:
        raise InvalidText("to", "Expected a number of 3 to 20 digits with its country code, with or without a plus.")
    return encode_address(_INTERNATIONAL, _ISDN, found[1].encode())


@lru_cache(1024)
def source_address(source: str) -> bytes:
    """Writes a source as a submit_sm has it.

    :raises InvalidText: the source is neither a number nor a name that can be sent.
    """
    found = _number(source)
    if found is not None:
        if len(source) <= _SHORT_CODE_DIGITS and source[0] != "+":
            return encode_address(_NETWORK_SPECIFIC, _UNKNOWN_PLAN, source.encode())
        return encode_address(_INTERNATIONAL, _ISDN, found[1].encode())
    if _alphanumeric(source) is not None and len(source) <= _MAX_ALPHANUMERIC:
        return encode_address(_ALPHANUMERIC, _UNKNOWN_PLAN, source.encode())
    if not source:
        reason = "A sender is needed: a number, or up to 11 letters and digits."
    elif len(source) > _MAX_ALPHANUMERIC:
        reason = "Expected a number of 3 to 20 digits, or up to 11 ASCII letters, digits, spaces and punctuation marks."
    else:
        reason = "A sender's name may only have ASCII letters, digits, spaces and punctuation marks."
    raise InvalidText("from", reason)
