"""Applies a carrier's dialect: says which ids are the same id, and which words mean which state.

Theory of operation. A carrier writes a message's id in submit_sm_resp and in each receipt, and perhaps not in the same
way. For each place there is a function that makes the *canonical* id. It is made once, from the configuration. Two ids
are the same if their canonical forms are equal octets. Numbers become decimal digits, so that numbers of different
bases can be compared. If the dialect promises a number and an id isn't one, the id stays text, which never equals a
number. The base is never guessed, because `11259375` is a number in both.

For words, there is a dict from each of the carrier's words to a state, and to whether the state is final. It has all
words that mean the same at every carrier. The configuration can add others. An unknown word means UNKNOWN, and is not
final, because a wrong guess would be final for the customer.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import asdict

from relay.config.carrier_config import Dialect, IdForm
from relay.receipts.dates import time_zone
from relay.receipts.presets import PRESETS
from relay.values import smpp_constants as c
from relay.values import states as s

#: Makes the canonical form of an id in a PDU; empty: there is no id.
Canonical = Callable[[bytes], bytes]

#: A longer text isn't an id. SMPP 3.4 sections 5.2.23 and 5.3.2.12 allow 64 octets; some carriers don't count the NUL.
MAX_ID_OCTETS: Final = 255
#: Characters around ids and fields that don't belong to them. 0xA0 is the no-break space of Latin-1.
BLANKS: Final = b" \t\r\n\x0b\x0c\0\xa0"


class Meaning(NamedTuple):
    """The meaning of a carrier's word: a message_state, and whether it ends the message."""

    state: int
    final: bool


#: Characters around a word that don't belong to it.
_PUNCTUATION: Final = b"\"'.!|&/[]{}()<>"

#: The meaning of unknown words.
UNHEARD_OF: Final = Meaning(s.UNKNOWN, False)

#: The words of SMPP 3.4 Appendix B, and those words of carriers that mean the same at every carrier.
WORDS: Final[Mapping[bytes, int]] = {
    b"DELIVRD": s.DELIVERED,
    b"EXPIRED": s.EXPIRED,
    b"DELETED": s.DELETED,
    b"UNDELIV": s.UNDELIVERABLE,
    b"ACCEPTD": s.ACCEPTED,
    b"UNKNOWN": s.UNKNOWN,
    b"REJECTD": s.REJECTED,
    # The names of SMPP 3.4 section 5.2.28 and SMPP 5.0 section 4.7.15.
    b"SCHEDULED": s.SCHEDULED,
    b"ENROUTE": s.ENROUTE,
    b"DELIVERED": s.DELIVERED,
    b"UNDELIVERABLE": s.UNDELIVERABLE,
    b"ACCEPTED": s.ACCEPTED,
    b"REJECTED": s.REJECTED,
    b"SKIPPED": s.SKIPPED,
    # CM.com's manual prints eight letters.
    b"DELIVERD": s.DELIVERED,
    # Seen with a three-letter word in a public gateway's log.
    b"DLV": s.DELIVERED,
    # Vonage, Kaleyra, Route Mobile.
    b"FAILED": s.UNDELIVERABLE,
    # Indian carriers, for numbers in the do-not-disturb register.
    b"DND_REJECTED": s.REJECTED,
    # Words of HTTP APIs that gateways pass on. They can't mean anything else.
    b"UNDELIVERED": s.UNDELIVERABLE,
    b"BUFFERED": s.ENROUTE,
    b"EN_ROUTE": s.ENROUTE,
    # mBlox. Kannel, too, reads both as "not yet".
    b"ACKED": s.ACCEPTED,
    b"BUFFRED": s.ENROUTE,
}

#: Appendix B's word for each state. It has none for one state, which has the word of section 5.2.28.
STANDARD_WORDS: Final[Mapping[int, bytes]] = {
    s.ENROUTE: b"ENROUTE",
    s.DELIVERED: b"DELIVRD",
    s.EXPIRED: b"EXPIRED",
    s.DELETED: b"DELETED",
    s.UNDELIVERABLE: b"UNDELIV",
    s.ACCEPTED: b"ACCEPTD",
    s.UNKNOWN: b"UNKNOWN",
    s.REJECTED: b"REJECTD",
}


def own_word(stat: bytes, state: int | None) -> bytes:
    """Returns `stat` if it isn't the standard's word for this state, otherwise b"": see `Receipt.own_word`."""
    return b"" if state is not None and stat.upper() == STANDARD_WORDS.get(state) else stat


#: The values that the configuration's `states` may have.
STATE_NAMES: Final[Mapping[str, int]] = {
    "SCHEDULED": s.SCHEDULED,
    "ENROUTE": s.ENROUTE,
    "DELIVRD": s.DELIVERED,
    "EXPIRED": s.EXPIRED,
    "DELETED": s.DELETED,
    "UNDELIV": s.UNDELIVERABLE,
    "ACCEPTD": s.ACCEPTED,
    "UNKNOWN": s.UNKNOWN,
    "REJECTD": s.REJECTED,
    "SKIPPED": s.SKIPPED,
}

#: The names that the configuration's `columns` may have.
COLUMN_NAMES: Final = frozenset({"", "id", "sub", "dlvrd", "submit date", "done date", "stat", "err"})


def resolve(dialect: Dialect) -> Dialect:
    """Adds the preset's settings to a dialect that has none of its own for them. `states` are merged word by word.

    :raises ValueError: there is no such preset; or a state, a column or a combination of settings isn't valid. The text
        names the key.
    """
    resolved = dialect
    if dialect.preset:
        preset = PRESETS.get(dialect.preset)
        if preset is None:
            raise ValueError(f"preset: there is no {dialect.preset!r}; there are {', '.join(sorted(PRESETS))}")
        settings = asdict(preset.dialect)
        settings.update((name, value) for name, value in asdict(dialect).items() if value is not None)
        if preset.dialect.states and dialect.states:
            settings["states"] = {**preset.dialect.states, **dialect.states}
        resolved = Dialect(**settings)
    for name, form in (
        ("response_id", resolved.response_id),
        ("receipt_id", resolved.receipt_id),
        ("tlv_id", resolved.tlv_id),
    ):
        if form is not None and form.low_32_bits and form.base == "as-is":
            raise ValueError(f"{name}.low_32_bits: only numbers have bits; set base to decimal or hex")
    for word, state in (resolved.states or {}).items():
        if state.upper() not in STATE_NAMES:
            raise ValueError(f"states.{word}: there is no state {state!r}; there are {', '.join(STATE_NAMES)}")
    for column in resolved.columns or ():
        if column not in COLUMN_NAMES:
            raise ValueError(f"columns: there is no {column!r}; there are {', '.join(sorted(COLUMN_NAMES - {''}))}")
    try:
        time_zone(resolved.time_zone or "")
    except ValueError as problem:
        raise ValueError(f"time_zone: {problem}") from None
    for mark in resolved.receipt_marks or ():
        if not mark or mark & ~c.ESM_CLASS_TYPE_MASK:
            raise ValueError(
                f"receipt_marks: {mark} is not a message type in esm_class; give multiples of 4 from 4 to 60, such as "
                "8; for 0, set unmarked_receipts"
            )
    return resolved


class CarrierIds:
    """Makes canonical ids of one carrier's ids.

    :ivar response_key: makes the key of a message_id in submit_sm_resp; empty: the carrier gave none.
    :ivar text_key: makes the key of the `id` in a receipt's text.
    :ivar tlv_key: makes the key of a receipted_message_id.
    :raises ValueError: the dialect isn't valid, see `resolve`.
    """

    __slots__ = ("_as_written", "_text_first", "response_key", "text_key", "tlv_key")

    def __init__(self, dialect: Dialect) -> None:
        dialect = resolve(dialect)
        receipt_id = dialect.receipt_id or IdForm()
        self.response_key: Canonical = canonical(dialect.response_id or IdForm())
        #: Whether ids of small letters and digits are their own keys.
        self._as_written = self.response_key in (_folded, _stripped)
        self.text_key: Canonical = canonical(receipt_id)
        self.tlv_key: Canonical = self.text_key if dialect.tlv_id is None else canonical(dialect.tlv_id)
        self._text_first = bool(dialect.prefer_text_id)

    def response_keys(self, message_ids: Sequence[bytes]) -> Sequence[bytes]:
        """The `response_key` of each of these ids."""
        if self._as_written:
            joined = b"".join(message_ids)
            # Usual ids are their own keys. One look at all of them saves a call for each.
            if joined.isalnum() and joined == joined.lower() and max(map(len, message_ids)) <= MAX_ID_OCTETS:
                return message_ids
        return list(map(self.response_key, message_ids))

    def candidates(self, tlv_id: bytes, text_id: bytes) -> tuple[bytes, ...]:
        """The canonical ids under which a receipt is looked up, most trusted first.

        :param tlv_id: receipted_message_id as it came; b"": there was none.
        :param text_id: the `id` in the text, likewise.
        """
        if not tlv_id:
            key = self.text_key(text_id)
            return (key,) if key else ()
        first = self.tlv_key(tlv_id)
        if not text_id or (text_id == tlv_id and self.tlv_key is self.text_key):
            return (first,) if first else ()
        second = self.text_key(text_id)
        if first == second or not second:
            return (first,) if first else ()
        if not first:
            return (second,)
        return (second, first) if self._text_first else (first, second)


def canonical(form: IdForm) -> Canonical:
    """Makes the function that makes canonical ids of ids in this form. The function takes any octets and never raises.

    It first removes blanks, NULs, prefix and suffix. Then it truncates. Then it reads the number, or makes all letters
    capitals and removes leading zeros. An id of only zeros becomes `0`. Prefix and suffix are removed once. With
    `fold_case`, capitals and small letters in them don't differ.
    """
    if form == IdForm():
        return _folded
    if form == IdForm(fold_case=False):
        return _stripped
    if form == IdForm(base="decimal"):
        return _decimal
    if form == IdForm(base="hex"):
        return _hex
    prefix, suffix = form.strip_prefix.encode(), form.strip_suffix.encode()
    if form.fold_case:
        prefix, suffix = prefix.lower(), suffix.lower()

    def key_of(raw: bytes) -> bytes:
        text = _folded(raw) if form.fold_case else _stripped(raw)
        text = text.removeprefix(prefix).removesuffix(suffix)
        if form.truncate:
            text = text[: form.truncate]
        if form.base == "as-is":
            return text.lstrip(b"0") or text[:1] if form.strip_zeros else text
        number = _number(text, 10 if form.base == "decimal" else 16)
        if number is None:
            return text
        return b"%d" % (number & 0xFFFFFFFF if form.low_32_bits else number)

    return key_of


def _folded(raw: bytes) -> bytes:
    key = raw.strip(BLANKS).lower()
    return key if len(key) <= MAX_ID_OCTETS else b""


def _stripped(raw: bytes) -> bytes:
    key = raw.strip(BLANKS)
    return key if len(key) <= MAX_ID_OCTETS else b""


def _decimal(raw: bytes) -> bytes:
    key = _folded(raw)
    # It is faster than int() and back, and gives the same digits.
    return key.lstrip(b"0") or b"0" if key.isdigit() else key


def _hex(raw: bytes) -> bytes:
    key = _folded(raw)
    number = _number(key, 16)
    return key if number is None else b"%d" % number


def _number(text: bytes, base: int) -> int | None:
    # int() also accepts signs, blanks and underscores. An id with these is not a number.
    if text.isalnum():
        try:
            return int(text, base)
        except ValueError:
            return None
    return None


class CarrierStates:
    """Knows what one carrier's words and numbers mean.

    :ivar words: the meaning of each word, in capitals.
    :ivar quick: the same, each with its `own_word`. The code that handles each receipt reads it directly.
    :ivar numbers: the meaning of each message_state.
    :raises ValueError: the dialect isn't valid, see `resolve`.
    """

    __slots__ = ("numbers", "quick", "words")

    def __init__(self, dialect: Dialect) -> None:
        dialect = resolve(dialect)
        meanings = {state: Meaning(state, state in s.FINAL_STATES) for state in range(s.SKIPPED + 1)}
        if dialect.accepted_is_final:
            # For customers ACCEPTD is "pending". But for carriers that never say more, it means delivered.
            meanings[s.ACCEPTED] = Meaning(s.DELIVERED, True)
        self.numbers: Mapping[int, Meaning] = meanings
        words = {word: meanings[state] for word, state in WORDS.items()}
        for word, name in (dialect.states or {}).items():
            words[word.upper().encode()] = meanings[STATE_NAMES[name.upper()]]
        self.words: Mapping[bytes, Meaning] = words
        self.quick: Mapping[bytes, tuple[int, bool, bytes]] = {
            word: (meaning.state, meaning.final, own_word(word, meaning.state)) for word, meaning in words.items()
        }

    def of_word(self, stat: bytes) -> Meaning:
        """The meaning of a receipt's `stat`. Case, and punctuation around the word, don't matter."""
        word = stat.upper()
        meaning = self.words.get(word)
        return self.words.get(word.strip(_PUNCTUATION), UNHEARD_OF) if meaning is None else meaning

    def of_number(self, message_state: int) -> Meaning:
        """The meaning of a message_state."""
        return self.numbers.get(message_state, UNHEARD_OF)
