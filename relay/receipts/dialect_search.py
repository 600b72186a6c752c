"""Finds a carrier's dialect from ids in responses and the receipts that belong to them.

Theory of operation. Carriers write ids in few ways: numbers in two bases, with zeros, of a certain length, only the low
32 bits, with a prefix or a suffix. So the search tries all of them on every pair, alone and together. It suggests those
with which most pairs match; if several match equally well, those with the fewest settings. A setting that makes ids of
two responses equal isn't suggested, because it would match any receipt. Prefixes and suffixes are found in the pairs
themselves.

The search doesn't decide. More than one dialect may fit a few pairs, and the operator sees all of them.
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
from msgspec.structs import fields as struct_fields
from msgspec.structs import replace

from relay.config.carrier_config import Dialect, IdForm
from relay.receipts.dialects import UNHEARD_OF, Canonical, CarrierStates, canonical
from relay.receipts.presets import PRESETS
from relay.receipts.reader import ReceiptReader
from relay.receipts.receipt_fields import ReceiptFields, read_fields
from relay.smpp.message_codec import decode_message
from relay.values import smpp_constants as c
from relay.values.carrier_reports import Receipt
from relay.values.pdus import CodecError, MessagePdu

#: The most suggestions that fit equally well.
_MOST_SUGGESTIONS: Final = 3
#: The forms of numbers that are tried, in responses and in receipts.
_HEX, _DECIMAL = IdForm(base="hex"), IdForm(base="decimal")
_LOW_HEX, _LOW_DECIMAL = IdForm(base="hex", low_32_bits=True), IdForm(base="decimal", low_32_bits=True)
_FORMS: Final = (
    (IdForm(), IdForm()),
    (IdForm(strip_zeros=True), IdForm(strip_zeros=True)),
    (_DECIMAL, _DECIMAL),
    (_HEX, _HEX),
    (_HEX, _DECIMAL),
    (_DECIMAL, _HEX),
    (_LOW_HEX, _DECIMAL),
    (_LOW_HEX, _HEX),
    (_LOW_DECIMAL, _DECIMAL),
    (_LOW_DECIMAL, _HEX),
)

_FOLDED: Final = canonical(IdForm())
#: Accepts only receipts with marks that only the network writes.
_STRICT_READER: Final = ReceiptReader("", Dialect())


class Sample(msgspec.Struct, frozen=True):
    """A receipt, and the response's id if it is known.

    :ivar response_id: b"": it isn't known.
    :ivar unmarked: whether the receipt has neither a mark in esm_class nor the optional parameters of a receipt.
    :ivar mark: its message type in esm_class, if that isn't a receipt's; otherwise 0.
    :ivar behind_text: whether it could be read only with the fields after `text:`.
    :ivar line: its line in the input, from 1.
    """

    response_id: bytes
    fields: ReceiptFields
    unmarked: bool = False
    mark: int = 0
    behind_text: bool = False
    line: int = 0


class Suggestion(msgspec.Struct, frozen=True):
    """A dialect, and how well it fits.

    :ivar dialect: it has only the settings that differ from the defaults.
    :ivar matched: how many of the receipts match their response.
    :ivar settings: how many settings it has.
    :ivar missed: the lines of the samples that don't match.
    :ivar presets: the presets with the same settings of ids.
    """

    dialect: Dialect
    matched: int
    settings: int
    missed: tuple[int, ...] = ()
    presets: tuple[str, ...] = ()


def sample(response_id: bytes, pdu: MessagePdu, line: int = 0) -> Sample:
    """Makes a sample of a receipt."""
    fields = read_fields(pdu)
    behind_text = False
    if not (fields.id and (fields.stat or fields.message_state is not None)):
        lenient = read_fields(pdu, Dialect(fields_after_text=True))
        behind_text = lenient != fields
        fields = lenient
    if fields.spaced_id and _FOLDED(fields.spaced_id) == _FOLDED(response_id):
        fields = replace(fields, text_id=fields.spaced_id)
    forgeable = not _STRICT_READER.is_receipt(pdu)
    mark = pdu.esm_class & c.ESM_CLASS_TYPE_MASK if forgeable else 0
    unmarked = forgeable and not mark
    return Sample(response_id, fields, unmarked, mark, behind_text, line)


def suggest(samples: Sequence[Sample]) -> list[Suggestion]:
    """The dialects with which most pairs match, fewest settings first. Empty: no pair matches with any dialect."""
    return _search([s for s in samples if s.fields.id], [s.response_id for s in samples if s.fields.id], paired=True)


def suggest_for_orphans(response_ids: Sequence[bytes], orphans: Sequence[Receipt]) -> list[Suggestion]:
    """The dialects with which most orphans match any of the responses' ids.

    In a running daemon it isn't known which orphan belongs to which response. So more of them match by chance: check
    how many `matched`.

    :param response_ids: the ids as carriers wrote them.
    :param orphans: the orphans, with `raw`.
    """
    samples = []
    for number, orphan in enumerate(orphans, 1):
        # A body doesn't say which command it came in. If it is read as the wrong one, it has no id.
        for command_id in (c.DELIVER_SM, c.DATA_SM):
            pdu = _decoded(command_id, orphan.raw)
            if pdu is not None and read_fields(pdu).id:
                samples.append(sample(b"", pdu, number))
                break
    return _search(samples, response_ids, paired=False)


def unknown_words(samples: Iterable[Sample]) -> Counter[str]:
    """The status words without a known meaning, and how often each came."""
    known = CarrierStates(Dialect())
    words = (s.fields.stat for s in samples if s.fields.stat and s.fields.message_state is None)
    return Counter(word.decode("latin-1") for word in words if known.of_word(word) is UNHEARD_OF)


# Searching


def _search(samples: Sequence[Sample], response_ids: Sequence[bytes], *, paired: bool) -> list[Suggestion]:
    if not samples:
        return []
    text_ids = [s.fields.text_id for s in samples]
    tlv_ids = [s.fields.tlv_id for s in samples]
    distinct = len(set(_keys(IdForm(), response_ids)))
    found: list[Suggestion] = []
    for response_form, receipt_form in _candidates(response_ids, text_ids, tlv_ids, paired):
        keys = _keys(response_form, response_ids)
        if len(set(keys)) < distinct:
            continue
        text_hits = _hits(keys, _keys(receipt_form, text_ids), paired)
        for tlv_form in (None, response_form, IdForm()):
            if tlv_form == receipt_form:
                continue
            tlv_hits = _hits(keys, _keys(tlv_form or receipt_form, tlv_ids), paired)
            hits = [a or b for a, b in zip(text_hits, tlv_hits, strict=True)]
            if any(hits):
                missed = tuple(s.line for s, hit in zip(samples, hits, strict=True) if not hit)
                found.append(_suggestion(samples, response_form, receipt_form, tlv_form, missed))
    found.sort(key=lambda suggestion: (-suggestion.matched, suggestion.settings))
    best = [s for s in found if s.matched == found[0].matched and s.settings == found[0].settings]
    return best[:_MOST_SUGGESTIONS]


def _suggestion(
    samples: Sequence[Sample],
    response_form: IdForm,
    receipt_form: IdForm,
    tlv_form: IdForm | None,
    missed: tuple[int, ...],
) -> Suggestion:
    plain = IdForm()
    dialect = Dialect(
        response_id=None if response_form == plain else response_form,
        receipt_id=None if receipt_form == plain else receipt_form,
        tlv_id=tlv_form,
    )
    presets = tuple(
        name for name, preset in PRESETS.items() if preset.dialect != Dialect() and _like(preset.dialect, dialect)
    )
    count = sum(len(set_fields(form)) for form in (response_form, receipt_form)) + (
        0 if tlv_form is None else 1 + len(set_fields(tlv_form))
    )
    if any(s.unmarked for s in samples):
        dialect = replace(dialect, unmarked_receipts=True)
    marks = sorted({s.mark for s in samples if s.mark})
    if marks:
        dialect = replace(dialect, receipt_marks=marks)
    if any(s.behind_text for s in samples):
        dialect = replace(dialect, fields_after_text=True)
    return Suggestion(dialect, len(samples) - len(missed), count, missed, presets)


def _like(preset: Dialect, dialect: Dialect) -> bool:
    # A preset says how receipted_message_id is written, even if this carrier doesn't send it.
    return (preset.response_id, preset.receipt_id) == (dialect.response_id, dialect.receipt_id) and (
        dialect.tlv_id is None or preset.tlv_id == dialect.tlv_id
    )


def _candidates(
    response_ids: Sequence[bytes], text_ids: Sequence[bytes], tlv_ids: Sequence[bytes], paired: bool
) -> Iterator[tuple[IdForm, IdForm]]:
    """Yields the forms of ids in responses and in receipts that are worth trying."""
    receipt_ids = [text_id or tlv_id for text_id, tlv_id in zip(text_ids, tlv_ids, strict=True)]
    response_trims = [{}, *_trims(response_ids, receipt_ids if paired else ())]
    receipt_trims = [{}, *_trims(receipt_ids, response_ids if paired else ())]
    for response_trim, receipt_trim in itertools.product(response_trims, receipt_trims):
        for response_form, receipt_form in _FORMS:
            yield replace(response_form, **response_trim), replace(receipt_form, **receipt_trim)
    lengths = {
        len(min(ids, key=len)) for ids in (list(filter(None, receipt_ids)), list(filter(None, response_ids))) if ids
    }
    if len(lengths) > 1:
        # One side is shorter than the other. Perhaps it has been cut.
        yield IdForm(truncate=min(lengths)), IdForm(truncate=min(lengths))


def _trims(ids: Sequence[bytes], others: Sequence[bytes]) -> list[dict[str, str]]:
    """The prefixes and suffixes of `ids` that are worth trying.

    A prefix or suffix counts if most pairs have it, and the other id of the pair hasn't. It also counts if all ids have
    it, and a sign separates it from the rest.
    """
    prefixes: Counter[bytes] = Counter()
    suffixes: Counter[bytes] = Counter()
    for one, other in zip(ids, others, strict=False):
        at = one.lower().find(other.lower()) if other else -1
        if at >= 0:
            prefixes[one[:at]] += 1
            suffixes[one[at + len(other) :]] += 1
    start = _common_start(ids)
    end = _common_start([one[::-1] for one in ids])
    # Numbers of one day begin alike, too. But a beginning that ends with a sign isn't a part of a number.
    prefix = _most(prefixes, len(ids)) or start[: _after_last_sign(start)]
    suffix = _most(suffixes, len(ids)) or end[: _after_last_sign(end)][::-1]
    trims = []
    # Leading zeros belong to a number. `strip_zeros` removes them.
    if prefix.strip(b"0"):
        trims.append({"strip_prefix": prefix.decode("ascii", "replace")})
    if suffix:
        trims.append({"strip_suffix": suffix.decode("ascii", "replace")})
    return [*trims, trims[0] | trims[1]] if len(trims) > 1 else trims


def _most(texts: Counter[bytes], out_of: int) -> bytes:
    text, count = max(texts.items(), key=lambda item: item[1], default=(b"", 0))
    return text if count * 2 > out_of else b""


def _common_start(ids: Sequence[bytes]) -> bytes:
    first, last = min(ids), max(ids)
    length = 0
    while length < min(len(first), len(last)) and first[length] == last[length]:
        length += 1
    return first[:length] if len(set(ids)) > 1 else b""


def _after_last_sign(text: bytes) -> int:
    return max((at + 1 for at, octet in enumerate(text) if not chr(octet).isalnum()), default=0)


def _keys(form: IdForm, ids: Sequence[bytes]) -> list[bytes]:
    key_of: Canonical = canonical(form)
    return [key_of(raw) for raw in ids]


def _hits(response_keys: Sequence[bytes], keys: Sequence[bytes], paired: bool) -> list[bool]:
    if paired:
        return [bool(key) and key == own for own, key in zip(response_keys, keys, strict=True)]
    known = set(response_keys)
    return [bool(key) and key in known for key in keys]


def _decoded(command_id: int, body: bytes) -> MessagePdu | None:
    try:
        return decode_message(command_id, 0, body)
    except CodecError:
        return None


def set_fields(struct: msgspec.Struct) -> dict[str, object]:
    """The settings that differ from the defaults."""
    values = {field.name: getattr(struct, field.name) for field in struct_fields(type(struct))}
    return {name: value for name, value in values.items() if value != getattr(type(struct)(), name)}


def yaml(dialect: Dialect) -> str:
    """Writes the settings of a dialect that differ from the defaults, as YAML for a carrier."""
    lines = ["dialect:"]
    for name, value in set_fields(dialect).items():
        if isinstance(value, IdForm):
            settings = ", ".join(f"{key}: {_scalar(setting)}" for key, setting in set_fields(value).items())
            lines.append(f"  {name}: {{{settings}}}")
        else:
            lines.append(f"  {name}: {_scalar(value)}")
    return "\n".join(lines) if len(lines) > 1 else "dialect: {}"


def _scalar(value: object) -> str:
    # JSON's scalars are valid YAML. Words that need no quotes are written without.
    return value if isinstance(value, str) and value in ("as-is", "decimal", "hex") else json.dumps(value)
