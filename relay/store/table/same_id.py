"""Messages that have the same carrier message id at once: which of them does a receipt mean?

Carriers give an id twice: one that counts to 65,535, or counts from 1 again after a restart. A receipt's source address
is the handset's number, and so is its message's destination. Carriers write numbers in several ways, so the digits are
compared from their end, without plus and leading zeros.

None of this is done where an id has one message.
"""

from collections.abc import Sequence
from typing import Final

from relay.config.model import NumberComparison
from relay.store.table.entries import PartOfRow, Row, parts_of
from relay.store.table.entry_values import FINAL
from relay.values.messages import Receipt, destination_of

#: What a carrier message id leads to: a message, or a part of one.
Entry = Row | PartOfRow
#: Messages of one id, in the order in which they got it.
Several = tuple[Entry, ...]

#: So many messages of one id are kept. A carrier that gives all messages one id must not cost more with each.
KEPT_AN_ID: Final = 100

#: Numbers with as many digits in common at the end are the same number, whatever stands before these.
_SUBSCRIBER_DIGITS: Final = 7
#: A number with fewer digits is a short code: it has no national form.
_SHORTEST_NATIONAL: Final = 5
_PUNCTUATION: Final = b"+-. ()/"


def row_of(entry: Entry) -> Row:
    """The message of an entry."""
    return entry.row if type(entry) is PartOfRow else entry  # type: ignore[return-value]


def is_awaited(entry: Entry) -> bool:
    """Whether a receipt for this id would still say something new: neither its message nor its part has ended."""
    row = row_of(entry)
    if row.flags & FINAL:
        return False
    parts = parts_of(row)
    if type(entry) is not PartOfRow or parts is None:
        return True
    return not parts[entry.part].final


def with_entry(older: Entry | Several, entry: Entry) -> Entry | Several:
    """What an id leads to after one more message got it. Of one message, the latest part counts."""
    row = row_of(entry)
    others = [other for other in as_several(older) if row_of(other) is not row]
    if len(others) >= KEPT_AN_ID:
        others.remove(next((other for other in others if not is_awaited(other)), others[0]))
    return (*others, entry) if others else entry


def without_row(several: Several, row: Row) -> Entry | Several:
    """What an id leads to after one of its messages was forgotten."""
    others = tuple([other for other in several if row_of(other) is not row])
    return others if len(others) > 1 else others[0]


def as_several(found: Entry | Several) -> Several:
    """All messages that an id leads to."""
    return found if type(found) is tuple else (found,)  # type: ignore[return-value]


def newest(several: Several) -> Entry:
    """The message that a carrier took last. The same after a replay, which may bring messages in another order."""
    return max(several, key=_age)


def choose(several: Several, receipt: Receipt, comparison: NumberComparison) -> tuple[Entry, Sequence[Row]]:
    """The message that a receipt means, and the others that it may mean as well.

    Those count whose destination fits the receipt's number best, and all where there is no number or none fits. A
    message that has not ended goes before one that has, and then the newest goes first.
    """
    number = receipt_number(receipt, comparison)
    best = 0
    fitting: list[Entry] = []
    for entry in several:
        digits = fit(number, row_of(entry), comparison) if number else 0
        if digits > best:
            best, fitting = digits, []
        if digits == best:
            fitting.append(entry)
    awaited = [entry for entry in fitting if is_awaited(entry)]
    chosen = newest(tuple(awaited or fitting))
    return chosen, [row_of(entry) for entry in awaited if entry is not chosen]


def is_of(receipt: Receipt, row: Row, comparison: NumberComparison) -> bool:
    """Whether a receipt may be this message's: its number fits, or it has none."""
    number = receipt_number(receipt, comparison)
    return not number or fit(number, row, comparison) > 0


# Numbers


def receipt_number(receipt: Receipt, comparison: NumberComparison = "ending") -> bytes:
    """The handset's number in a receipt; empty where it has none, or none that is to be compared."""
    if comparison == "never":
        return b""
    # service_type, then ton, npi and the source address.
    start = receipt.raw.find(b"\0") + 3
    end = receipt.raw.find(b"\0", start)
    return significant_digits(receipt.raw[start:end]) if 3 <= start <= end else b""


def fit(number: bytes, row: Row, comparison: NumberComparison) -> int:
    """How many digits, counted from the end, a receipt's number and a message's destination have in common; 0 where
    they are not the same number."""
    destination = significant_digits(destination_of(row.addresses))
    if number == destination:
        # More than any other that ends alike.
        return len(number) + 1
    shorter = min(len(number), len(destination))
    if comparison == "exact":
        return 0
    common = 0
    while common < shorter and number[-1 - common] == destination[-1 - common]:
        common += 1
    return common if common >= _SUBSCRIBER_DIGITS or _SHORTEST_NATIONAL <= common == shorter else 0


def significant_digits(address: bytes) -> bytes:
    """A number's digits without plus and leading zeros; empty for what is no number, such as a name."""
    digits = address.translate(None, _PUNCTUATION)
    return digits.lstrip(b"0") if digits.isdigit() else b""


def _age(entry: Entry) -> tuple[float, float, bytes]:
    row = row_of(entry)
    parts = parts_of(row)
    handoff = parts[entry.part].handoff if type(entry) is PartOfRow and parts is not None else row.handoff
    at = handoff.at if handoff is not None else None
    return at or 0.0, row.acceptance.accepted_at, row.id
