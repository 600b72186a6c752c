"""Finding a carrier's dialect from a few of its ids and receipts."""

import contextlib
import io
import itertools
import random
from typing import get_args

import yaml
from msgspec import convert
from twisted.trial.unittest import SynchronousTestCase

from relay.cli.dialect_finder import main
from relay.config.carrier_config import Dialect, IdForm, IdWriting, Simulator
from relay.receipts.dialect_search import Sample, sample, suggest, suggest_for_orphans
from relay.receipts.dialects import CarrierIds
from relay.receipts.reader import ReceiptReader
from relay.receipts.receipt_fields import ReceiptFields
from relay.simulator.decisions import Simulation, Taken
from relay.smpp.message_codec import decode_message, encode_address, message_body, tlv
from relay.values import smpp_constants as c
from relay.values.carrier_reports import Receipt
from relay.values.pdus import MessagePdu
from tests.receipts.corpus import read_corpus
from tests.smpp.bodies import data_body

ADDRESSES = encode_address(1, 1, b"447700900001") + encode_address(5, 0, b"ACME")


def pair(response_id: bytes, text_id: bytes, tlv_id: bytes = b"") -> Sample:
    return Sample(response_id, ReceiptFields(text_id=text_id, tlv_id=tlv_id))


def submit() -> MessagePdu:
    body = message_body(addresses=ADDRESSES, short_message=b"hello", registered_delivery=1)
    return decode_message(c.SUBMIT_SM, 1, body)


class Carrier:
    """The simulated carrier: its messages' response ids and receipts.

    Its numbers are 2**40 apart by chance, as ids that carriers make by chance are.
    """

    def __init__(self, response_id: str, receipt_id: str, tlv_only: bool = False) -> None:
        self.settings = Simulator(response_id=response_id, receipt_id=receipt_id, tlv_only=tlv_only)  # type: ignore[arg-type]

    def messages(self, count: int, seed: int) -> list[tuple[bytes, MessagePdu]]:
        randomness = random.Random(seed)
        found = []
        for _ in range(count):
            simulation = Simulation(self.settings, randomness, randomness.randrange(1, 1 << 47))
            taken = simulation.decide(submit(), 0.0)
            assert isinstance(taken, Taken)
            found.append((taken.response_id, decode_message(c.DELIVER_SM, 1, simulation.receipt(taken))))
        return found


class Search(SynchronousTestCase):
    def dialects(self, *samples: Sample) -> list[Dialect]:
        return [suggestion.dialect for suggestion in suggest(samples)]

    def test_ids_that_match_without_settings_need_none(self) -> None:
        (best,) = suggest([pair(b"A1", b"a1"), pair(b"B2", b"b2")])
        self.assertEqual((best.dialect, best.matched, best.settings), (Dialect(), 2, 0))

    def test_captured_pairs_of_older_message_centres_are_hex_and_decimal(self) -> None:
        captured = ((b"6aad5", b"0000436949"), (b"18d0e03a", b"0416342074"), (b"39f99dd5", b"0972660181"))
        (best,) = suggest([pair(*ids) for ids in captured])
        self.assertEqual(best.dialect, Dialect(response_id=IdForm(base="hex"), receipt_id=IdForm(base="decimal")))
        self.assertTrue({"vonage", "kannel-1", "jasmin-1", "hex-tlv-decimal-text"} <= set(best.presets))

    def test_the_optional_parameter_alone_may_be_enough(self) -> None:
        self.assertEqual(self.dialects(pair(b"18d0e03a", b"0416342074", b"18D0E03A")), [Dialect()])

    def test_low_bits_are_found(self) -> None:
        samples = [pair(b"2680000bc8b215d", b"3163234653"), pair(b"2680000bc8b2000", b"3163234304")]
        expected = Dialect(response_id=IdForm(base="hex", low_32_bits=True), receipt_id=IdForm(base="decimal"))
        self.assertEqual(self.dialects(*samples), [expected])

    def test_ids_that_are_cut_off_are_found(self) -> None:
        uuids = [b"59018505-8565-49ed-9feb-8b6d83081a2b", b"11118505-8565-49ed-9feb-8b6d83087777"]
        form = IdForm(truncate=32)
        self.assertEqual(
            self.dialects(*(pair(uuid, uuid[:32]) for uuid in uuids)), [Dialect(response_id=form, receipt_id=form)]
        )

    def test_ids_are_not_cut_so_far_that_all_are_the_same(self) -> None:
        self.assertEqual(suggest([pair(b"1001", b"1"), pair(b"1002", b"1")]), [])

    def test_prefixes_and_suffixes_of_ids_are_found(self) -> None:
        self.assertEqual(
            self.dialects(pair(b"17", b"sim-17"), pair(b"18", b"sim-18")),
            [Dialect(receipt_id=IdForm(strip_prefix="sim-"))],
        )
        self.assertEqual(
            self.dialects(pair(b"17@smsc", b"17"), pair(b"18@smsc", b"18")),
            [Dialect(response_id=IdForm(strip_suffix="@smsc"))],
        )
        self.assertEqual(
            self.dialects(pair(b"ff", b"sim-255"), pair(b"10", b"sim-16")),
            [Dialect(response_id=IdForm(base="hex"), receipt_id=IdForm(base="decimal", strip_prefix="sim-"))],
        )

    def test_all_dialects_that_fit_equally_well_are_printed(self) -> None:
        found = self.dialects(pair(b"17", b"0017"), pair(b"19", b"0019"))
        self.assertIn(Dialect(response_id=IdForm(base="decimal"), receipt_id=IdForm(base="decimal")), found)
        self.assertIn(Dialect(response_id=IdForm(strip_zeros=True), receipt_id=IdForm(strip_zeros=True)), found)

    def test_unrelated_ids_match_with_no_setting(self) -> None:
        self.assertEqual(suggest([pair(b"1493271813", b"59018505-8565-49ed-9feb-8b6d8308")]), [])
        self.assertEqual(suggest([]), [])

    def test_one_odd_pair_does_not_hide_the_settings_for_the_others(self) -> None:
        odd = Sample(b"zz", ReceiptFields(text_id=b"yy"), line=3)
        (best,) = suggest([pair(b"ff", b"255"), pair(b"10", b"16"), odd])
        self.assertEqual((best.matched, best.missed), (2, (3,)))

    def test_unmarked_receipts_and_fields_behind_the_text_are_noticed(self) -> None:
        for text, esm_class, expected in (
            (b"id:1 stat:DELIVRD", 0, Dialect(unmarked_receipts=True)),
            (b"id:1 stat:DELIVRD", 0x08, Dialect(receipt_marks=[0x08])),
            (b"text: id:1 stat:DELIVRD", 4, Dialect(fields_after_text=True)),
        ):
            body = message_body(addresses=ADDRESSES, short_message=text, esm_class=esm_class)
            self.assertEqual(self.dialects(sample(b"1", decode_message(c.DELIVER_SM, 1, body))), [expected])

    def test_ids_with_a_blank_inside_need_no_setting(self) -> None:
        receipts = []
        for number in (1, 2):
            text = b"id:AB %d sub:001 stat:DELIVRD" % number
            body = message_body(addresses=ADDRESSES, short_message=text, esm_class=4)
            receipts.append(sample(b"AB %d" % number, decode_message(c.DELIVER_SM, 1, body)))
        self.assertEqual(self.dialects(*receipts), [Dialect()])

    def test_every_way_in_which_the_simulated_carrier_writes_is_found(self) -> None:
        """And what is found from 8 messages serves for 1,000 others, so that none is left an orphan."""
        writings = [writing for writing in get_args(IdWriting) if writing != "uuid"]
        for response_id, receipt_id in [*itertools.product(writings, writings), ("uuid", "same")]:
            if response_id == "low_32" and receipt_id != "low_32":
                # The response's number can't be had from the receipt's, but the other way round: the same setting.
                continue
            carrier = Carrier(response_id, receipt_id)
            best = suggest([sample(*message) for message in carrier.messages(8, seed=1)])
            self.assertEqual(best[0].matched if best else 0, 8, (response_id, receipt_id))
            for suggestion in best:
                self.assert_serves(suggestion.dialect, carrier, (response_id, receipt_id))

    def assert_serves(self, dialect: Dialect, carrier: Carrier, name: object) -> None:
        ids, reader = CarrierIds(dialect), ReceiptReader("carrier", dialect)
        seen: set[bytes] = set()
        for response_id, pdu in carrier.messages(1000, seed=2):
            key = ids.response_key(response_id)
            self.assertEqual(reader.read(pdu, 0.0).keys[0], key, name)
            seen.add(key)
        self.assertEqual(len(seen), 1000, name)


class Orphans(SynchronousTestCase):
    def test_the_dialect_is_found_from_ids_and_receipts_that_are_not_paired(self) -> None:
        messages = Carrier("hex", "padded").messages(50, seed=3)
        orphans = [Receipt("tier1", (b"?",), 2, True, 0.0, raw=pdu.body) for _, pdu in messages[:20]]
        random.Random(4).shuffle(orphans)
        (best,) = suggest_for_orphans([response_id for response_id, _ in messages], orphans)
        self.assertEqual(best.matched, 20)
        self.assertEqual(best.dialect, Dialect(response_id=IdForm(base="hex"), receipt_id=IdForm(base="decimal")))

    def test_bodies_of_data_sm_and_rubbish_among_them_do_no_harm(self) -> None:
        body = data_body(addresses=ADDRESSES, esm_class=4, tlvs=tlv(0x1E, b"0A") + tlv(0x427, b"\2"))
        orphans = [Receipt("tier1", (), None, False, 0.0, raw=raw) for raw in (body, b"", b"\xff" * 30)]
        (best,) = suggest_for_orphans([b"0a"], orphans)
        self.assertEqual((best.matched, best.dialect), (1, Dialect()))


class Command(SynchronousTestCase):
    def run_on(self, text: str) -> tuple[int, str]:
        output = io.StringIO()
        status = main([], io.StringIO(text), output)
        return status, output.getvalue()

    def test_the_printed_yaml_is_the_dialect(self) -> None:
        status, output = self.run_on(
            "# two of ours\n\n10C8F40D\tid:281605133 stat:DELIVRD\nff\tid:sim-255 stat:DELIVRD\n"
        )
        self.assertEqual(status, 1)
        status, output = self.run_on("10C8F40D\tid:sim-281605133 stat:DELIVRD\r\nff\tid:sim-255 stat:DELIVRD\r\n")
        self.assertEqual(status, 0)
        self.assertIn("2 of 2 pairs match", output)
        dialect = convert(yaml.safe_load(output)["dialect"], Dialect)
        self.assertEqual(
            dialect, Dialect(response_id=IdForm(base="hex"), receipt_id=IdForm(base="decimal", strip_prefix="sim-"))
        )

    def test_whole_pdus_in_hexadecimal_are_read(self) -> None:
        for line in read_corpus():
            if line.number == 6:
                body = line.pdu.body
                octets = (16 + len(body)).to_bytes(4) + c.DELIVER_SM.to_bytes(4) + bytes(8) + body
                status, output = self.run_on(f"18D0E03A\t{octets.hex()}\n")
                self.assertEqual(status, 0, output)
                self.assertIn("dialect: {}", output)

    def test_unknown_words_are_listed(self) -> None:
        _, output = self.run_on("1\tid:1 stat:FOO\n2\tid:2 stat:FOO\n3\thello\n")
        self.assertIn("FOO (2 of 3)", output)
        self.assertIn("No id could be read: line 3", output)

    def test_lines_that_do_not_match_are_listed(self) -> None:
        status, output = self.run_on("1\tid:1 stat:DELIVRD\n2\tid:2 stat:DELIVRD\n3\tid:z stat:DELIVRD\n")
        self.assertEqual(status, 1)
        self.assertIn("Not matched: line 3", output)

    def test_pairs_that_match_with_no_setting_are_reported(self) -> None:
        status, output = self.run_on("1493271813\tid:59018505-8565 stat:DELIVRD\n")
        self.assertEqual(status, 1)
        self.assertIn("None of 1 pairs matches", output)

    def test_a_line_that_is_no_pair_is_named(self) -> None:
        for text, reason in (
            ("1\tid:1\n1 id:1\n", "line 2: expected an id, a tab"),
            ("1\t00000010000000040000000000000001\n", "line 1: expected a deliver_sm or data_sm"),
            ("1\t00000011000000050000000000000001\n", "line 1: a PDU in hexadecimal begins with its length"),
            ("1\t00000012000000050000000000000001ffff\n", "line 1: deliver_sm"),
            ("", "no pairs"),
        ):
            errors = io.StringIO()
            with contextlib.redirect_stderr(errors):
                status, output = self.run_on(text)
            self.assertEqual((status, output), (2, ""))
            self.assertTrue(errors.getvalue().startswith(reason), errors.getvalue())
