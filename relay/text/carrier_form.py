"""The form in which one carrier wants messages that came over HTTP: alphabet, addresses, long messages, parameters.

Theory of operation: what is accepted is written once, in a form that says all (`relay.text.compose`): GSM's alphabet,
Latin-1 or UCS-2, numbers in international form, a concatenation header in each part. The carrier is chosen later, and
may be another one after a failure, so each part is put into its carrier's form when it is sent. Where a carrier has no
settings for it nothing is done at all.

Two things can't wait until then, because they decide how many parts a message has: how many characters fit into a part,
and whether a long text goes whole, in message_payload. `relay.text.text_form` is about these.

SMPP customers' messages are passed on as they are.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from relay.smpp.message_codec import (
    MAX_SHORT_MESSAGE_OCTETS,
    MAX_SUBMIT_ADDRESS_OCTETS,
    decode_message,
    encode_address,
    message_body,
    message_octets,
    tlv_values,
)
from relay.text import gsm0338
from relay.text.text_form import (
    DATA_CODING_DEFAULT,
    DATA_CODING_LATIN1,
    DATA_CODING_UCS2,
    FLASH,
    Alphabet,
    TextForm,
    holds,
)
from relay.text.tlv_text import write_tlvs
from relay.values import smpp_constants as c
from relay.values.messages import ADAPT_TEXT

LongMessages = Literal["udh", "sar", "payload"]
NumberForm = Literal["digits", "plus", "national"]

# Types of number and numbering plans, SMPP 3.4 sections 5.2.5 and 5.2.6.
INTERNATIONAL, NATIONAL, NETWORK_SPECIFIC, ALPHANUMERIC = 1, 2, 3, 5
UNKNOWN_PLAN, ISDN = 0, 1

_CONCATENATION_HEADER_OCTETS: Final = 6


class AddressForm(NamedTuple):
    """How a carrier wants the numbers of one side.

    :ivar ton: type of number by the address's kind: number, short_code or name. What it has none for is as detected.
    :ivar npi: numbering plan, likewise.
    :ivar form: of numbers with a country code.
    :ivar country_code: whose numbers `national` is for; others keep their country code.
    :ivar trunk_prefix: stands before a national number.
    """

    ton: Mapping[str, int] = {}
    npi: Mapping[str, int] = {}
    form: NumberForm = "digits"
    country_code: str = ""
    trunk_prefix: str = ""

    def write(self, ton: int, npi: int, digits: bytes) -> bytes:
        """An address in this form, with its NUL."""
        if not digits:
            # No sender: the carrier fills it in.
            return encode_address(ton, npi, digits)
        kind = "name" if ton == ALPHANUMERIC else "short_code" if ton == NETWORK_SPECIFIC else "number"
        if ton == INTERNATIONAL:
            code = self.country_code.encode()
            if self.form == "plus" and len(digits) < MAX_SUBMIT_ADDRESS_OCTETS:
                digits = b"+" + digits
            elif self.form == "national" and digits.startswith(code):
                ton = NATIONAL
                digits = (self.trunk_prefix.encode() + digits[len(code) :])[:MAX_SUBMIT_ADDRESS_OCTETS]
        return encode_address(self.ton.get(kind, ton), self.npi.get(kind, npi), digits)


#: Numbers in digits, with the type that `relay.text.compose` gives them.
AS_DETECTED: Final = AddressForm()


class CarrierForm:
    """Puts messages from HTTP into the form that one carrier wants.

    :param tlvs: optional parameters that every message gets which has none with the same tag.

    :ivar text_form: what matters before a carrier is chosen.
    :ivar changes_nothing: whether messages are as this carrier wants them.
    """

    def __init__(
        self,
        default_alphabet: Alphabet = "gsm",
        long_messages: LongMessages = "udh",
        service_type: str = "",
        source: AddressForm = AS_DETECTED,
        destination: AddressForm = AS_DETECTED,
        tlvs: Mapping[int, bytes] = {},
    ) -> None:
        self._alphabet: Alphabet = default_alphabet
        self._sar = long_messages == "sar"
        self._service_type = service_type.encode()
        self._source = source
        self._destination = destination
        self._tlvs = tlvs
        self.text_form = TextForm(frozenset((default_alphabet,)), long_messages == "payload")
        self.changes_nothing = (
            default_alphabet == "gsm"
            and not self._sar
            and not service_type
            and not tlvs
            and not any(side.ton or side.npi or side.form != "digits" for side in (source, destination))
        )

    def addresses(self, addresses: bytes) -> bytes:
        """Source and destination as this carrier wants them.

        :param addresses: as in `Message`.
        """
        middle = addresses.index(0, 2) + 1
        return self._source.write(addresses[0], addresses[1], addresses[2 : middle - 1]) + self._destination.write(
            addresses[middle], addresses[middle + 1], addresses[middle + 2 : -1]
        )

    def body(self, body: bytes, adapt: int) -> bytes:
        """A submit_sm's body as this carrier wants it.

        :param adapt: as in `Message`; above 0.
        """
        pdu = decode_message(c.SUBMIT_SM, 0, body)
        octets, data_coding, esm_class = message_octets(pdu), pdu.data_coding, pdu.esm_class
        parameters = tlv_values(body, pdu.tlvs_at)
        if adapt == ADAPT_TEXT:
            header = b""
            if esm_class & c.ESM_CLASS_UDHI:
                header, octets = octets[:_CONCATENATION_HEADER_OCTETS], octets[_CONCATENATION_HEADER_OCTETS:]
            octets, data_coding = self._in_alphabet(octets, data_coding)
            if header and self._sar:
                # The eight-bit reference, how many parts there are, and which one this is.
                parameters[c.TAG_SAR_MSG_REF_NUM] = b"\0" + header[3:4]
                parameters[c.TAG_SAR_TOTAL_SEGMENTS], parameters[c.TAG_SAR_SEGMENT_SEQNUM] = header[4:5], header[5:6]
                header = b""
                esm_class &= ~c.ESM_CLASS_UDHI
            octets = header + octets
        whole = parameters.pop(c.TAG_MESSAGE_PAYLOAD, None) is not None
        if whole or len(octets) > MAX_SHORT_MESSAGE_OCTETS:
            parameters[c.TAG_MESSAGE_PAYLOAD], octets = octets, b""
        return message_body(
            addresses=self.addresses(pdu.addresses),
            short_message=octets,
            esm_class=esm_class,
            protocol_id=pdu.protocol_id,
            priority_flag=pdu.priority_flag,
            schedule_delivery_time=pdu.schedule_delivery_time,
            validity_period=pdu.validity_period,
            registered_delivery=pdu.registered_delivery,
            replace_if_present_flag=pdu.replace_if_present_flag,
            data_coding=data_coding,
            service_type=pdu.service_type or self._service_type,
            tlvs=write_tlvs({**self._tlvs, **parameters}),
        )

    def _in_alphabet(self, octets: bytes, data_coding: int) -> tuple[bytes, int]:
        """A text's octets and data_coding, of those that `relay.text.compose` wrote."""
        coding, message_class = data_coding, 0
        if data_coding & 0xF0 == FLASH:
            # The alphabet in bits 2 and 3, and the class in bits 0 and 1.
            coding, message_class = data_coding & 0x0C, data_coding & 0x13
        if coding != DATA_CODING_LATIN1 and (coding != DATA_CODING_DEFAULT or self._alphabet == "gsm"):
            return octets, data_coding
        text = octets.decode("latin-1") if coding == DATA_CODING_LATIN1 else gsm0338.decode(octets)
        if holds(self._alphabet, text):
            codec = "ascii" if self._alphabet == "ascii" else "latin-1"
            return text.encode(codec), DATA_CODING_DEFAULT | message_class
        return text.encode("utf-16-be"), DATA_CODING_UCS2 | message_class


#: Of a carrier without settings.
PLAIN_CARRIER_FORM: Final = CarrierForm()
