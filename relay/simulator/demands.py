"""What a simulated carrier asks of a submit_sm's form, so that a test sees whether the relay's settings have it."""

from collections.abc import Container, Iterator
from typing import Final

from relay.config.carrier_config import Simulator
from relay.smpp.message_codec import message_octets, tlv_values
from relay.text import gsm0338
from relay.text.text_form import DATA_CODING_DEFAULT
from relay.text.tlv_text import read_tag
from relay.values import smpp_constants as c
from relay.values.pdus import MessagePdu

_CODECS: Final = {"latin1": "latin-1", "ascii": "ascii"}
_KEYS: Final = (
    "default_alphabet", "long_messages", "service_type", "source_ton", "source_npi", "destination_ton",
    "destination_npi", "source_begins", "destination_begins", "tlvs",
)  # fmt: skip


class Demands:
    """Says whether messages have the form that the settings ask for.

    :raises ValueError: the settings' `tlvs` can't be read.
    """

    def __init__(self, settings: Simulator) -> None:
        self._settings = settings
        self._tags = frozenset(read_tag(tag) for tag in settings.tlvs)
        defaults = Simulator()
        #: Whether it asks for anything.
        self.any = any(getattr(settings, key) != getattr(defaults, key) for key in _KEYS)

    def refusal(self, pdu: MessagePdu) -> int:
        """The command_status with which the message is refused; ESME_ROK: it isn't."""
        return next((status for wrong, status in self._findings(pdu) if wrong), c.ESME_ROK)

    def text(self, pdu: MessagePdu) -> str | None:
        """The text of a message with data_coding 0; None: its octets are no characters of the alphabet."""
        octets = message_octets(pdu)
        if pdu.esm_class & c.ESM_CLASS_UDHI and octets:
            octets = octets[octets[0] + 1 :]
        alphabet = self._settings.default_alphabet
        if alphabet == "ucs2":
            return None
        if alphabet == "gsm":
            return gsm0338.decode(octets) if octets.isascii() else None
        try:
            return octets.decode(_CODECS.get(alphabet, "latin-1"))
        except UnicodeDecodeError:
            return None

    def _findings(self, pdu: MessagePdu) -> Iterator[tuple[bool, int]]:
        settings = self._settings
        addresses = pdu.addresses
        middle = addresses.index(0, 2) + 1
        yield settings.service_type.encode() not in (b"", pdu.service_type), c.ESME_RINVSERTYP
        yield settings.source_ton not in (None, addresses[0]), c.ESME_RINVSRCTON
        yield settings.source_npi not in (None, addresses[1]), c.ESME_RINVSRCNPI
        yield settings.destination_ton not in (None, addresses[middle]), c.ESME_RINVDSTTON
        yield settings.destination_npi not in (None, addresses[middle + 1]), c.ESME_RINVDSTNPI
        yield not addresses[2:].startswith(settings.source_begins.encode()), c.ESME_RINVSRCADR
        yield not pdu.destination.startswith(settings.destination_begins.encode()), c.ESME_RINVDSTADR
        parameters = tlv_values(pdu.body, pdu.tlvs_at)
        yield not self._tags <= parameters.keys(), c.ESME_RMISSINGOPTPARAM
        wanted = settings.long_messages
        yield wanted != "any" and not _long_forms(pdu, parameters) <= {wanted}, c.ESME_RINVESMCLASS
        yield pdu.data_coding == DATA_CODING_DEFAULT and self.text(pdu) is None, c.ESME_RSUBMITFAIL


def _long_forms(pdu: MessagePdu, tags: Container[int]) -> set[str]:
    """In which forms the message is a long one, or a part of one."""
    found = set()
    # Information elements 0 and 8: concatenation with a reference of eight and of sixteen bits.
    if pdu.esm_class & c.ESM_CLASS_UDHI and pdu.short_message[1:2] in (b"\0", b"\x08"):
        found.add("udh")
    if c.TAG_SAR_MSG_REF_NUM in tags:
        found.add("sar")
    if c.TAG_MESSAGE_PAYLOAD in tags:
        found.add("payload")
    return found
