"""Decides for the simulated carrier: ids, refusals, final states, and the words of its receipts.

Theory of operation: `Simulation.decide` draws everything about a message at once (refuse it, drop the connection, which
final state, no receipt, two receipts). A choice whose share is 0 or 1 draws nothing, and the draws depend only on the
order of the messages. So one seed always gives the same events, however the messages fall into reads. All ids of one
message write the same number; each message gets the next number.

This module writes receipts itself, without the relay's writer. If the carrier shared that code, it would prove nothing
about how the relay reads receipts.
"""

import enum
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from relay.config.carrier_config import Simulator
from relay.simulator.demands import Demands
from relay.smpp.message_codec import message_body
from relay.text.compose import encode, split
from relay.values import smpp_constants as c
from relay.values import states
from relay.values.ids import id_text
from relay.values.pdus import MessageIdPdu, MessagePdu


class Randomness(Protocol):
    """The part of `random.Random` that is used."""

    def random(self) -> float:
        """A number from 0 up to 1."""

    def getrandbits(self, k: int, /) -> int:
        """An integer of `k` random bits."""


class Word(msgspec.Struct, frozen=True):
    """The words with which a receipt names a state."""

    state: int
    stat: bytes
    error: bytes


#: The states that `Simulator.states` may name. Their errors are the simulator's own: none of them is one of the
#: customer's error numbers, so that a test notices a relay that passes them through.
WORDS = {
    "DELIVRD": Word(states.DELIVERED, b"DELIVRD", b"000"),
    "EXPIRED": Word(states.EXPIRED, b"EXPIRED", b"027"),
    "DELETED": Word(states.DELETED, b"DELETED", b"034"),
    "UNDELIV": Word(states.UNDELIVERABLE, b"UNDELIV", b"011"),
    "ACCEPTD": Word(states.ACCEPTED, b"ACCEPTD", b"000"),
    "UNKNOWN": Word(states.UNKNOWN, b"UNKNOWN", b"255"),
    "REJECTD": Word(states.REJECTED, b"REJECTD", b"069"),
}
_ENROUTE = Word(states.ENROUTE, b"ENROUTE", b"000")
_BY_STATE = {word.state: word for word in (*WORDS.values(), _ENROUTE)}


class Fate(enum.Enum):
    """What the carrier does with a submit_sm that it neither takes nor refuses."""

    DROP = "drop"


class Taken(msgspec.Struct, gc=False):
    """A message that the simulated carrier has taken.

    :ivar response_id: the id in the response.
    :ivar receipt_id: the id in receipts.
    :ivar addresses: the addresses of receipts: those of the submit_sm, swapped.
    :ivar due_at: when the receipt is due, on the clock that `decide` was given.
    :ivar receipts: how many final receipts it gets: 0, 1, or 2 for a duplicate.
    :ivar text: the first octets of the text, if they are characters.
    :ivar ended: whether its receipt is out, or would be out if it got one.
    :ivar replied: whether the handset replies to it.
    """

    response_id: bytes
    receipt_id: bytes
    addresses: bytes
    state: int
    taken_at: float
    due_at: float
    receipts: int
    text: bytes = b""
    ended: bool = False
    replied: bool = False


def _writer(form: str, randomness: Randomness) -> Callable[[int], bytes]:
    writers: dict[str, Callable[[int], bytes]] = {
        "decimal": lambda number: b"%d" % number,
        "hex": lambda number: b"%x" % number,
        "upper_hex": lambda number: b"%X" % number,
        "padded": lambda number: b"%020d" % number,
        "low_32": lambda number: b"%d" % (number & 0xFFFFFFFF),
        "prefixed": lambda number: b"sim-%d" % number,
        "suffixed": lambda number: b"%d-sim" % number,
        "uuid": lambda number: id_text(
            randomness.getrandbits(48).to_bytes(6) + b"\x40\x00\x80\x00" + number.to_bytes(6)
        ).encode(),
    }
    return writers[form]


class Simulation:
    """The decisions of one simulated carrier.

    :param first_number: the number in the first message's ids, below 2**48. Give a later one at each start (a clock
        reading, say): a carrier that uses its ids again confuses receipts.
    :raises ValueError: the settings' `states` names an unknown state, or gives no state a share above 0; or `tlvs` has
        what is no tag.
    """

    def __init__(self, settings: Simulator, randomness: Randomness, first_number: int = 1 << 40) -> None:
        self._settings = settings
        self._random = randomness.random
        self._number = first_number
        self._replies = 0
        self._write_response_id = _writer(settings.response_id, randomness)
        self._write_receipt_id = (
            None if settings.receipt_id in ("same", settings.response_id) else _writer(settings.receipt_id, randomness)
        )
        self._shares = _cumulative(settings.states)
        self._dates: dict[int, bytes] = {}
        self._demands = Demands(settings)

    def decide(self, pdu: MessagePdu, now: float) -> Taken | int | Fate:
        """Decides about one submit_sm or data_sm: it is taken, refused with a command_status, or the connection drops.

        :param now: seconds since 1970, or any clock in a test.
        """
        settings = self._settings
        random = self._random
        share = settings.drop_share
        if share and random() < share:
            return Fate.DROP
        share = settings.throttle_share
        if share and random() < share:
            return c.ESME_RTHROTTLED
        share = settings.reject_share
        if share and random() < share:
            return c.ESME_RINVDSTADR
        text = pdu.short_message[:20] if not pdu.data_coding and not pdu.esm_class & c.ESM_CLASS_UDHI else b""
        if self._demands.any:
            refusal = self._demands.refusal(pdu)
            if refusal:
                return refusal
            if text:
                text = (self._demands.text(pdu) or "")[:20].encode("latin-1", "replace")
        shares = self._shares
        state = shares[-1][1]
        if len(shares) > 1:
            drawn = random()
            for bound, candidate in shares:
                if drawn < bound:
                    state = candidate
                    break
        receipts = 1
        share = settings.silent_share
        if share and random() < share:
            receipts = 0
        share = settings.duplicate_share
        if share and random() < share:
            receipts *= 2
        if not _asked_for(pdu.registered_delivery, state):
            receipts = 0
        if settings.parts_receipted != "all" and not _is_receipted(pdu, settings.parts_receipted):
            receipts = 0
        share = settings.reply_share
        replied = share > 0 and random() < share
        number = self._number
        self._number = number + 1
        response_id = self._write_response_id(number)
        write = self._write_receipt_id
        addresses = pdu.addresses
        middle = addresses.index(b"\0", 2) + 1
        return Taken(
            response_id,
            response_id if write is None else write(number),
            addresses[middle:] + addresses[:middle],
            state,
            now,
            now + settings.receipt_delay_seconds,
            receipts,
            text,
            replied=replied,
        )

    def receipt(self, taken: Taken) -> bytes:
        """The body of the deliver_sm that tells a message's final state."""
        return self._body(taken, _BY_STATE[taken.state], c.ESM_CLASS_DELIVERY_RECEIPT, taken.due_at)

    def intermediate(self, taken: Taken) -> bytes:
        """The body of the deliver_sm that tells that a message is on its way."""
        return self._body(taken, _ENROUTE, c.ESM_CLASS_INTERMEDIATE, taken.taken_at)

    def replies(self, taken: Taken) -> list[bytes]:
        """The bodies of the deliver_sm that bring the handset's reply to a message."""
        octets, data_coding = encode(self._settings.reply_text)
        pieces = split(octets, data_coding)
        self._replies += 1
        head = bytes((5, 0, 3, self._replies & 0xFF, len(pieces)))
        return [
            message_body(
                addresses=taken.addresses,
                short_message=piece if len(pieces) == 1 else head + bytes((number,)) + piece,
                esm_class=0 if len(pieces) == 1 else c.ESM_CLASS_UDHI,
                registered_delivery=0,
                data_coding=data_coding,
            )
            for number, piece in enumerate(pieces, 1)
        ]

    def answer(self, pdu: MessageIdPdu, taken: Taken | None) -> tuple[int, bytes]:
        """The command_status and body of the response to a query_sm or cancel_sm.

        :param taken: the message that it names, if there is one. A cancelled one is DELETED from now on.
        """
        query = pdu.command_id == c.QUERY_SM
        if self._settings.refuse_questions or pdu.command_id == c.REPLACE_SM:
            return c.ESME_RINVCMDID, b""
        if taken is None or not _names(pdu, taken) or (taken.ended and not query):
            return c.ESME_RQUERYFAIL if query else c.ESME_RCANCELFAIL, b""
        if query:
            return c.ESME_ROK, self._query_answer(taken)
        taken.state = states.DELETED
        return c.ESME_ROK, b""

    def _query_answer(self, taken: Taken) -> bytes:
        if not taken.ended:
            return taken.response_id + b"\0\0" + bytes((states.ENROUTE, 0))
        seconds = datetime.fromtimestamp(taken.due_at, UTC).strftime("%y%m%d%H%M%S").encode()
        return taken.response_id + b"\0" + seconds + b"000+\0" + bytes((taken.state, int(_BY_STATE[taken.state].error)))

    def _body(self, taken: Taken, word: Word, esm_class: int, done_at: float) -> bytes:
        if self._settings.tlv_only:
            size = len(taken.receipt_id) + 1
            return (
                b"\0%b%c\0\0\0\0\0\0\0\0\0" % (taken.addresses, esm_class)
                + b"\x00\x1e%b%b\0" % (size.to_bytes(2), taken.receipt_id)
                + b"\x04\x27\x00\x01%c" % word.state
            )
        text = b"id:%b sub:001 dlvrd:%b submit date:%b done date:%b stat:%b err:%b text:%b" % (
            taken.receipt_id,
            b"001" if word.state == states.DELIVERED else b"000",
            self._minute(taken.taken_at),
            self._minute(done_at),
            word.stat,
            word.error,
            taken.text,
        )
        return b"\0%b%c\0\0\0\0\0\0\0\0%c%b" % (taken.addresses, esm_class, len(text), text)

    def _minute(self, at: float) -> bytes:
        minute = int(at) // 60
        written = self._dates.get(minute)
        if written is None:
            if len(self._dates) > 100:
                self._dates.clear()
            written = datetime.fromtimestamp(minute * 60, UTC).strftime("%y%m%d%H%M").encode()
            self._dates[minute] = written
        return written


def _names(pdu: MessageIdPdu, taken: Taken) -> bool:
    """Whether the addresses of a query_sm or cancel_sm are the message's. An empty address matches any."""
    middle = taken.addresses.index(b"\0", 2) + 1
    destination, source = taken.addresses[:middle], taken.addresses[middle:]
    return pdu.source in (b"", source[2:-1]) and pdu.destination in (b"", destination[2:-1])


def _cumulative(shares: dict[str, float]) -> list[tuple[float, int]]:
    unknown = sorted(set(shares) - set(WORDS))
    if unknown:
        raise ValueError(f"states: {', '.join(unknown)}: not a final state; there are {', '.join(WORDS)}")
    total = sum(shares.values())
    if total <= 0 or min(shares.values()) < 0:
        raise ValueError("states: shares may not be negative, and one of them must be above 0")
    bounds: list[tuple[float, int]] = []
    reached = 0.0
    for name, share in shares.items():
        if share:
            reached += share / total
            bounds.append((reached, WORDS[name].state))
    return bounds


def _asked_for(registered_delivery: int, state: int) -> bool:
    """Whether a final receipt was asked for (SMPP 3.4 section 5.2.17, and 5.0's value 3: success only)."""
    wanted = registered_delivery & 0x03
    if wanted == 1:
        return True
    if wanted == c.REGISTERED_DELIVERY_FAILURE:
        return state != states.DELIVERED
    return wanted == c.REGISTERED_DELIVERY_SUCCESS and state == states.DELIVERED


def _is_receipted(pdu: MessagePdu, parts_receipted: str) -> bool:
    """Whether a part of a long message gets receipts. Other messages always do."""
    place = _place(pdu)
    if place is None:
        return True
    reference, count, number = place
    if parts_receipted == "any":
        # The same part of a message each time, also when it is submitted again.
        return number == reference % count + 1
    return number == (1 if parts_receipted == "first" else count)


def _place(pdu: MessagePdu) -> tuple[int, int, int] | None:
    """A part's reference, how many there are, and its number from 1; None where it isn't one (3GPP TS 23.040 sections
    9.2.3.24.1 and 9.2.3.24.8)."""
    octets = pdu.short_message
    if not pdu.esm_class & c.ESM_CLASS_UDHI or not octets:
        return None
    at, end = 1, 1 + octets[0]
    while at + 2 <= min(end, len(octets)):
        kind, size = octets[at], octets[at + 1]
        value = octets[at + 2 : at + 2 + size]
        if (kind, len(value)) in ((0x00, 3), (0x08, 4)) and value[-2]:
            return int.from_bytes(value[:-2]), value[-2], value[-1]
        at += 2 + size
    return None
