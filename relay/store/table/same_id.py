"""Finds the message of a receipt if several messages have the same carrier message id.

Some carriers give an id twice, because they count only to 65,535, or begin again from 1 after a restart. Then the
numbers decide: a receipt's source is the handset's number, and so is the destination of its message. Carriers write
numbers in several ways. So digits are compared from their end, without plus and leading zeros.

If only one message has the id, nothing of this is done.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from relay.config.carrier_config import NumberComparison
from relay.store.table.entries import PartOfRow, Row, part_of
from relay.store.table.entry_values import FINAL
from relay.values.carrier_reports import Receipt
from relay.values.messages import destination_of, source_of

#: A carrier message id leads to a message, or to a part of a message.
Entry = Row | PartOfRow
#: The messages that have one id, in the order in which they got it.
Several = tuple[Entry, ...]

#: How many messages of one id are kept. Otherwise, if a carrier gave all messages the same id, each would take longer.
KEPT_AN_ID: Final = 100

#: If two numbers have so many digits in common at their end, the first digits of the shorter one may differ. These are
#: an exit code or a trunk prefix, such as Russia's 8 in place of 7, or the 1 that Mexico once had after its country
#: code. If both numbers have the same length, only one digit may differ, because two are another country's code.
_SUBSCRIBER_DIGITS: Final = 7
_DIFFERING: Final = 2
#: A number with fewer digits is a short code, and has no national form.
_SHORTEST_NATIONAL: Final = 5
_PUNCTUATION: Final = b"+-. ()/"


def row_of(entry: Entry) -> Row:
    """The message of an entry."""
    return entry.row if type(entry) is PartOfRow else entry  # type: ignore[return-value]


def is_awaited(entry: Entry) -> bool:
    """Whether a receipt would still be news: neither the message nor the part has ended."""
    if row_of(entry).flags & FINAL:
        return False
    part = part_of(entry) if type(entry) is PartOfRow else None
    return part is None or not part.final


def with_entry(older: Entry | Several, entry: Entry) -> Entry | Several:
    """What an id leads to after one more message got it. Of each message, only the latest part is kept."""
    row = row_of(entry)
    others = [other for other in as_several(older) if row_of(other) is not row]
    if len(others) >= KEPT_AN_ID:
        others.remove(next((other for other in others if not is_awaited(other)), others[0]))
    return (*others, entry) if others else entry


def without_row(several: Several, row: Row) -> Entry | Several:
    """What an id leads to after one of its messages has left the table."""
    others = tuple([other for other in several if row_of(other) is not row])
    return others if len(others) > 1 else others[0]


def as_several(found: Entry | Several) -> Several:
    """All messages that an id leads to."""
    return found if type(found) is tuple else (found,)  # type: ignore[return-value]


def newest(several: Several) -> Entry:
    """The message that a carrier took last. A replay may bring messages in another order, and gives the same one."""
    return max(several, key=_age)


def choose(several: Several, receipt: Receipt, comparison: NumberComparison) -> tuple[Entry, Sequence[Row]]:
    """Chooses the message of a receipt. Also returns the other messages that it may belong to.

    The messages count whose destination fits the receipt's number best. If the receipt has no number, or none fits, all
    count. Among them, a message that has not ended goes before one that has; and then the newest goes first.
    """
    numbers = receipt_numbers(receipt, comparison)
    best = 0
    fitting: list[Entry] = []
    for entry in several:
        digits = fit(numbers, row_of(entry), comparison) if numbers.source else 0
        if digits > best:
            best, fitting = digits, []
        if digits == best:
            fitting.append(entry)
    awaited = [entry for entry in fitting if is_awaited(entry)]
    chosen = newest(tuple(awaited or fitting))
    return chosen, [row_of(entry) for entry in awaited if entry is not chosen]


def is_of(receipt: Receipt, row: Row, comparison: NumberComparison) -> bool:
    """Whether a receipt may belong to this message: its number fits, or it has none."""
    numbers = receipt_numbers(receipt, comparison)
    return not numbers.source or fit(numbers, row, comparison) > 0


# Numbers


class ReceiptNumbers(NamedTuple):
    """The significant digits of a receipt's addresses. Empty: it has none, or numbers are not compared."""

    source: bytes = b""
    destination: bytes = b""


def receipt_numbers(receipt: Receipt, comparison: NumberComparison) -> ReceiptNumbers:
    """Reads the numbers in the body of a receipt's deliver_sm or data_sm."""
    # The body has service_type, and then ton, npi and address, twice.
    raw = receipt.raw
    source_at = raw.find(b"\0") + 3
    source_end = raw.find(b"\0", source_at)
    destination_end = raw.find(b"\0", source_end + 3)
    if comparison == "never" or source_at < 3 or source_end < 0 or destination_end < 0:
        return ReceiptNumbers()
    source, destination = raw[source_at:source_end], raw[source_end + 3 : destination_end]
    return ReceiptNumbers(significant_digits(source), significant_digits(destination))


def fit(numbers: ReceiptNumbers, row: Row, comparison: NumberComparison) -> int:
    """How many digits at their end a receipt's number and a message's destination share; 0: they are different numbers.

    The handset's number is the receipt's source. If the source is the message's own, the carrier has not swapped the
    addresses, and the handset's number is the destination.
    """
    destination = significant_digits(destination_of(row.addresses))
    digits = _in_common(numbers.source, destination, comparison)
    if not digits and _in_common(numbers.source, significant_digits(source_of(row.addresses)), comparison):
        return _in_common(numbers.destination, destination, comparison)
    return digits


def _in_common(number: bytes, other: bytes, comparison: NumberComparison) -> int:
    if number == other:
        # A higher value than any pair of different numbers has.
        return len(number) + 1 if number else 0
    shorter = min(len(number), len(other))
    if comparison == "exact":
        return 0
    common = 0
    while common < shorter and number[-1 - common] == other[-1 - common]:
        common += 1
    if common == shorter:
        return common if common >= _SHORTEST_NATIONAL else 0
    differing = 1 if len(number) == len(other) else _DIFFERING
    return common if common >= _SUBSCRIBER_DIGITS and shorter - common <= differing else 0


def significant_digits(address: bytes) -> bytes:
    """A number's digits without plus and leading zeros; empty: it isn't a number, but a name for example."""
    digits = address.translate(None, _PUNCTUATION)
    return digits.lstrip(b"0") if digits.isdigit() else b""


def _age(entry: Entry) -> tuple[float, float, bytes]:
    row = row_of(entry)
    part = part_of(entry) if type(entry) is PartOfRow else None
    handoff = row.handoff if part is None else part.handoff
    at = handoff.at if handoff is not None else None
    return at or 0.0, row.acceptance.accepted_at, row.id
