"""Receipts that real carriers sent are read with the meaning that the carrier intended."""

import datetime
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from relay.config.carrier_config import Dialect
from relay.receipts.dates import date_readings
from relay.receipts.dialects import resolve
from relay.receipts.reader import ReceiptReader
from relay.receipts.receipt_fields import ReceiptFields, read_fields
from relay.values import states
from tests.receipts.corpus import Line, read_corpus

_STATE_WORDS = {
    states.SCHEDULED: "SCHEDULED",
    states.ENROUTE: "ENROUTE",
    states.SKIPPED: "SKIPPED",
    **{state: words.status for state, words in states.CUSTOMER_WORDS.items() if state not in (0, 1, 9)},
}
NOW = 1_790_000_000.0


def described(line: Line, dialect: Dialect) -> dict[str, Any]:
    """What is read from a line, in the corpus's own terms."""
    reader = ReceiptReader("carrier", dialect)
    if not reader.is_receipt(line.pdu):
        return dict.fromkeys(line.expect) | {"is_receipt": False}
    receipt = reader.read(line.pdu, NOW)
    fields = read_fields(line.pdu, resolve(dialect))
    readings = date_readings(fields.submit_date)
    found = {
        "is_receipt": True,
        "id": _text(fields.id),
        "text_id": _text(fields.text_id),
        "stat": _text(receipt.stat),
        "err": _text(receipt.error),
        "sub": fields.sub,
        "dlvrd": fields.dlvrd,
        "submit_date": _text(fields.submit_date),
        "done_date": _text(fields.done_date),
        "submit_iso": _iso(readings),
        "done_iso": _iso(date_readings(fields.done_date)),
        "state": None if receipt.state is None else _STATE_WORDS[receipt.state],
        "final": None if receipt.state is None else receipt.final,
    }
    if len(readings) > 1:
        found["date_ambiguous"] = True
    return found


def _text(octets: bytes) -> str | None:
    return octets.decode("latin-1") or None


def _iso(readings: tuple[datetime.datetime, ...]) -> str | None:
    return readings[0].isoformat() if readings else None


class Corpus(SynchronousTestCase):
    def test_every_line_is_read_as_it_says(self) -> None:
        """With no dialect set, but for the lines that need one."""
        for line in read_corpus():
            expected = dict(line.expect)
            if line.needs == "per-carrier status map (stat:0)":
                self.assertEqual(described(line, Dialect()), expected, repr(line))
                expected.update(state="DELIVRD", final=True)
            self.assertEqual(described(line, line.dialect), expected, repr(line))

    def test_its_keys_are_its_ids_in_small_letters_the_optional_parameter_first(self) -> None:
        for line in read_corpus():
            if not line.expect["is_receipt"]:
                continue
            receipt = ReceiptReader("carrier", line.dialect).read(line.pdu, NOW)
            ids = dict.fromkeys(i.encode("latin-1").lower() for i in (line.expect["id"], line.expect["text_id"]) if i)
            self.assertEqual(receipt.keys, tuple(ids), repr(line))
            self.assertEqual(receipt.raw, line.pdu.body, repr(line))
            self.assertEqual((receipt.carrier, receipt.received_at), ("carrier", NOW))

    def test_unmarked_lines_are_no_receipts_unless_the_dialect_says_so(self) -> None:
        unmarked = [line for line in read_corpus() if line.pdu.esm_class == 0]
        self.assertEqual([line.number for line in unmarked], [121, 180, 183])
        self.assertEqual([ReceiptReader("a", Dialect()).is_receipt(line.pdu) for line in unmarked], [False] * 3)
        reader = ReceiptReader("a", Dialect(unmarked_receipts=True))
        self.assertEqual([reader.is_receipt(line.pdu) for line in unmarked], [True, True, False])

    def test_the_short_way_reads_what_the_long_way_reads(self) -> None:
        for line in read_corpus():
            reader = ReceiptReader("carrier", line.dialect)
            self.assertEqual(reader.read(line.pdu, NOW), reader.read_any(line.pdu, NOW), repr(line))


class NothingRead(SynchronousTestCase):
    def test_fields_that_are_absent_are_empty(self) -> None:
        empty = next(line for line in read_corpus() if line.number == 184)
        self.assertEqual(read_fields(empty.pdu), ReceiptFields())
