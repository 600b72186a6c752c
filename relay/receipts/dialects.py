"""What a carrier's dialect means: which ids are the same id, and which words are which state.

Theory of operation. A carrier names a message in its submit_sm_resp and again in each receipt, and may write the name
differently in each place. Each place has a function that makes the *canonical* id of what stands there, built once
from the configuration; two ids are the same when their canonical forms are equal octets. Numbers become their decimal
digits, so that any base may be compared with any other; what is no number in a place where one was promised stays
text, which no number can be taken for. The base is never guessed: `11259375` is a number in either.

Words work alike: one dict from the carrier's words to a state and whether it ends the message. Words that mean the
same wherever they have been seen are built in; all else is the configuration's. A word that nobody knows is UNKNOWN
and not final: the carrier has said something, and a guess at what would stay with the customer for ever.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from msgspec.structs import asdict

from relay.config.model import Dialect, IdForm
from relay.receipts.dates import time_zone
from relay.receipts.presets import PRESETS
from relay.values import smpp_constants as c
from relay.values import states as s

#: Makes the canonical form of an id as it stands in a PDU; empty where there is no id.
Canonical = Callable[[bytes], bytes]

#: Ids longer than this are none. SMPP 3.4 sections 5.2.23 and 5.3.2.12 allow 64; some carriers don't count the NUL.
MAX_ID_OCTETS: Final = 255
#: What surrounds ids and fields without belonging to them; 0xA0 is the no-break space of Latin-1.
BLANKS: Final = b" \t\r\n\x0b\x0c\0\xa0"


class Meaning(NamedTuple):
    """What a carrier's word says: a message_state, and whether it ends the message."""

    state: int
    final: bool


#: What may stand around a word without being a part of it.
_PUNCTUATION: Final = b"\"'.!|&/[]{}()<>"

#: For words that nobody knows.
UNHEARD_OF: Final = Meaning(s.UNKNOWN, False)

#: The words of SMPP 3.4 Appendix B, and those of carriers that mean one thing wherever they were seen.
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
    # Words of HTTP APIs that gateways hand on: they can't mean anything else.
    b"UNDELIVERED": s.UNDELIVERABLE,
    b"BUFFERED": s.ENROUTE,
    b"EN_ROUTE": s.ENROUTE,
    # mBlox; Kannel too takes both for "not yet".
    b"ACKED": s.ACCEPTED,
    b"BUFFRED": s.ENROUTE,
}

#: Appendix B's own word for each state, and that of section 5.2.28 for the one that it has none for.
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
    """`stat` where it is another word than the standard's for this state, else nothing: see `Receipt.own_word`."""
    return b"" if state is not None and stat.upper() == STANDARD_WORDS.get(state) else stat


#: What may stand at the right of the configuration's `states`.
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

#: What may stand in the configuration's `columns`.
COLUMN_NAMES: Final = frozenset({"", "id", "sub", "dlvrd", "submit date", "done date", "stat", "err"})


def resolve(dialect: Dialect) -> Dialect:
    """The dialect with its preset's settings where it has none of its own. `states` are merged word by word.

    :raises ValueError: there is no such preset; a state, a column or a combination of settings makes no sense. The
        text names the key.
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
                f"receipt_marks: {mark} is no message type in esm_class; give multiples of 4 from 4 to 60, such as 8, "
                "and unmarked_receipts for 0"
            )
    return resolved


class CarrierIds:
    """The ids of one carrier.

    :ivar response_key: for message_id in submit_sm_resp; empty where the carrier gave none.
    :ivar text_key: for the `id` in a receipt's text.
    :ivar tlv_key: for receipted_message_id.
    :raises ValueError: see `resolve`.
    """

    __slots__ = ("_text_first", "response_key", "text_key", "tlv_key")

    def __init__(self, dialect: Dialect) -> None:
        dialect = resolve(dialect)
        receipt_id = dialect.receipt_id or IdForm()
        self.response_key: Canonical = canonical(dialect.response_id or IdForm())
        self.text_key: Canonical = canonical(receipt_id)
        self.tlv_key: Canonical = self.text_key if dialect.tlv_id is None else canonical(dialect.tlv_id)
        self._text_first = bool(dialect.prefer_text_id)

    def candidates(self, tlv_id: bytes, text_id: bytes) -> tuple[bytes, ...]:
        """Under which keys a receipt is to be looked up, most trusted first.

        :param tlv_id: receipted_message_id as it came, b"" where there was none; `text_id` likewise.
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
    """The function that makes canonical ids of ids in this form. It takes any octets and never raises.

    What it does, in this order: cuts blanks, NULs, prefix and suffix off; truncates; reads the number, or folds the
    case and cuts zeros. An id of zeros alone is `0`. Prefix and suffix are cut off once, in any case where
    `fold_case` says so.
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
    # Quicker than int() and back, and the same digits.
    return key.lstrip(b"0") or b"0" if key.isdigit() else key


def _hex(raw: bytes) -> bytes:
    key = _folded(raw)
    number = _number(key, 16)
    return key if number is None else b"%d" % number


def _number(text: bytes, base: int) -> int | None:
    # int() takes signs, blanks and underscores as well, which make no id a number.
    if text.isalnum():
        try:
            return int(text, base)
        except ValueError:
            return None
    return None


class CarrierStates:
    """The states of one carrier.

    :ivar words: meanings by word, in capitals.
    :ivar quick: the same, each with its `own_word`. The hot path looks words up directly.
    :ivar numbers: meanings by message_state.
    :raises ValueError: see `resolve`.
    """

    __slots__ = ("numbers", "quick", "words")

    def __init__(self, dialect: Dialect) -> None:
        dialect = resolve(dialect)
        meanings = {state: Meaning(state, state in s.FINAL_STATES) for state in range(s.SKIPPED + 1)}
        if dialect.accepted_is_final:
            # To the customer ACCEPTD is "pending"; where it is the best that a carrier ever says, it is delivered.
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
        """What the `stat` of a receipt says, in any case, and with punctuation around it."""
        word = stat.upper()
        meaning = self.words.get(word)
        return self.words.get(word.strip(_PUNCTUATION), UNHEARD_OF) if meaning is None else meaning

    def of_number(self, message_state: int) -> Meaning:
        """What a message_state says."""
        return self.numbers.get(message_state, UNHEARD_OF)
