"""Writing receipts: the deliver_sm by which an SMPP customer hears of a message.

Theory of operation. All receipts that say the same state in the same way differ in addresses, id and dates only, and
there are few ways; so everything around those is kept ready as a template, by what they say. Dates have the
precision of a minute: a formatted minute is kept, too. What is left for each receipt is to write the id in
hexadecimal and to put the pieces together.

The text is that of SMPP 3.4 Appendix B, in full and in its order, because customers' software reads it by position
and by regex. Its `text:` stays empty: a message's text is not repeated to anybody.
"""

from datetime import UTC, datetime
from typing import Final, NamedTuple

from relay.core import states
from relay.core.dialects import BLANKS
from relay.core.ids import id_octets
from relay.core.messages import Notification
from relay.core.smpp import constants as c
from relay.core.smpp.hot import tlv

#: How many formatted minutes are kept, and how many templates: a customer waits for days at the most.
_KEPT_MINUTES: Final = 2_000
_KEPT_TEMPLATES: Final = 2_000
#: A carrier's own err is passed on up to this length; the rest of the text must still fit into short_message.
_ERROR_OCTETS: Final = 32
#: Larger counts of parts can't be said in three digits.
_MOST_PARTS: Final = 255

#: receipted_message_id with 36 characters and the NUL that a template's tail begins with.
_ID_AHEAD: Final = c.TAG_RECEIPTED_MESSAGE_ID.to_bytes(2) + (37).to_bytes(2)
#: States that SMPP 3.4 and Appendix B have no word for are said as the word that the customer reads.
_NUMBERS: Final = {states.SCHEDULED: states.ENROUTE, states.SKIPPED: states.UNKNOWN}


#: State, final, the carrier's err, the account's error_codes, parts, network_error_code.
_Kind = tuple[int, bool, bytes, str, int, bytes]


class _Template(NamedTuple):
    """What is the same in all receipts of one kind. `text` holds three `%b`, for the id and the two dates."""

    head: bytes
    text: bytes
    tail: bytes


class ReceiptWriter:
    """Writes receipts for customers. Keep one and use it for all: it keeps what it has formatted."""

    __slots__ = ("_minutes", "_templates")

    def __init__(self) -> None:
        self._minutes: dict[int, bytes] = {}
        self._templates: dict[_Kind, _Template] = {}

    def deliver_sm_body(
        self, notification: Notification, error_codes: str = "standard", with_tlvs: bool = True
    ) -> bytes:
        """The body of a deliver_sm that says what `notification` says.

        Source and destination are the message's, swapped; esm_class is 0x04, or 0x20 where the state is not final
        (SMPP 3.4 section 5.2.12). Dates are UTC.

        :param error_codes: the account's setting: "carrier" puts the carrier's `err` into the text as it came, where
            it sent one.
        :param with_tlvs: false for peers bound with an interface_version under 0x34, which know no optional
            parameters.
        """
        key = (
            notification.state,
            notification.final,
            notification.carrier_error,
            error_codes,
            notification.parts,
            notification.network_error_code,
        )
        template = self._templates.get(key)
        if template is None:
            template = self._make_template(key)
        head, text, tail = template
        minutes = self._minutes
        minute = int(notification.accepted_at) // 60
        submit_date = minutes.get(minute) or self._format(minute)
        minute = int(notification.done_at) // 60
        done_date = minutes.get(minute) or self._format(minute)
        addresses = notification.addresses
        cut = addresses.index(0, 2) + 1
        message_id = id_octets(notification.id)
        text %= (message_id, submit_date, done_date)
        if not with_tlvs:
            return b"".join((b"\0", addresses[cut:], addresses[:cut], head, text))
        return b"".join((b"\0", addresses[cut:], addresses[:cut], head, text, _ID_AHEAD, message_id, tail))

    def _make_template(self, key: _Kind) -> _Template:
        state, final, error, error_codes, parts, network_error_code = key
        words = states.customer_words(state, error)
        # What Appendix B's readers would take for the end of the field can't be in it.
        error = error.translate(None, BLANKS + b":,;")[:_ERROR_OCTETS] if error_codes == "carrier" else b""
        parts = min(parts, _MOST_PARTS)
        text = b"id:%%b sub:%03d dlvrd:%03d submit date:%%b done date:%%b stat:%b err:%b text:" % (
            parts,
            parts if state == states.DELIVERED else 0,
            words.status.encode(),
            (error or words.error.encode()).replace(b"%", b"%%"),
        )
        esm_class = c.ESM_CLASS_DELIVERY_RECEIPT if final else c.ESM_CLASS_INTERMEDIATE
        size = len(text % (b"0" * 36, b"0" * 10, b"0" * 10))
        head = bytes((esm_class, 0, 0, 0, 0, 0, 0, 0, 0, size))
        tail = b"\0" + tlv(c.TAG_MESSAGE_STATE, bytes((_NUMBERS.get(state, state),)))
        if network_error_code:
            tail += tlv(c.TAG_NETWORK_ERROR_CODE, network_error_code)
        if len(self._templates) >= _KEPT_TEMPLATES:
            self._templates.clear()
        template = self._templates[key] = _Template(head, text, tail)
        return template

    def _format(self, minute: int) -> bytes:
        if len(self._minutes) >= _KEPT_MINUTES:
            self._minutes.clear()
        written = self._minutes[minute] = datetime.fromtimestamp(minute * 60, UTC).strftime("%y%m%d%H%M").encode()
        return written
