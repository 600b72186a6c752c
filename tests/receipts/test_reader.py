"""Reading receipts: one group of tests for each kind of receipt."""

from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.config.carrier_config import Dialect, IdForm
from relay.receipts.dialects import CarrierIds
from relay.receipts.reader import ReceiptReader
from relay.receipts.receipt_fields import read_fields
from relay.smpp.message_codec import decode_message, encode_address, message_body, tlv
from relay.smpp.session import Role
from relay.values import smpp_constants as c
from relay.values import states
from relay.values.carrier_reports import Receipt
from relay.values.pdus import MessagePdu
from tests.receipts.corpus import read_corpus
from tests.smpp.bodies import data_body
from tests.smpp.pairs import bound_session
from tests.smpp.strategies import frame

ADDRESSES = encode_address(1, 1, b"447700900001") + encode_address(5, 0, b"ACME")
NOW = 1_790_000_000.0
COMMON = b"id:%b sub:001 dlvrd:001 submit date:2609211413 done date:2609211414 stat:DELIVRD err:000 text:hello"
PLAIN = Dialect()
#: What is in a body before its text, so that mutations of the text alone are known.
CORPUS = read_corpus()


def deliver_sm(text: bytes, tlvs: bytes = b"", *, esm_class: int = 4, data_coding: int = 0) -> MessagePdu:
    body = message_body(
        addresses=ADDRESSES, short_message=text, esm_class=esm_class, data_coding=data_coding, tlvs=tlvs
    )
    return decode_message(c.DELIVER_SM, 1, body)


def data_sm(text: bytes, tlvs: bytes = b"") -> MessagePdu:
    payload = tlv(c.TAG_MESSAGE_PAYLOAD, text) if text else b""
    return decode_message(c.DATA_SM, 1, data_body(addresses=ADDRESSES, esm_class=4, tlvs=payload + tlvs))


def read(text: bytes, tlvs: bytes = b"", dialect: Dialect = PLAIN, **options: int) -> Receipt:
    return ReceiptReader("carrier", dialect).read(deliver_sm(text, tlvs, **options), NOW)


class DoneDateTests(SynchronousTestCase):
    """When the carrier says that a message has ended."""

    def test_the_done_date_is_read_whatever_the_receipt_looks_like(self) -> None:
        at = datetime(2026, 9, 21, 14, 13, tzinfo=UTC).timestamp()
        texts = (
            b"id:1 sub:001 dlvrd:001 submit date:2609211412 done date:2609211413 stat:DELIVRD err:000 text:",
            b"id:1 submit date:2609211412 done date:20260921141300 stat:DELIVRD err:000",
            b"id:1 stat:DELIVRD donedate: 2026-09-21 14:13:00 err:1",
        )
        for text in texts:
            for tlvs in (b"", tlv(0x1E, b"1\0") + tlv(0x427, b"\2"), tlv(0x1E, b"1") + tlv(0x1400, b"x")):
                self.assertEqual(read(text, tlvs).carrier_done_at, at, (text, tlvs))
                east = read(text, tlvs, Dialect(time_zone="+05:30"))
                self.assertEqual(east.carrier_done_at, at - 5.5 * 3600, (text, tlvs))

    def test_a_receipt_without_a_done_date_says_nothing_of_it(self) -> None:
        for text in (b"", b"id:1 stat:DELIVRD", b"id:1 stat:DELIVRD done date:0000000000", b"id:1 done date:soon"):
            self.assertEqual(read(text, tlv(0x1E, b"1\0") + tlv(0x427, b"\2")).carrier_done_at, 0.0, text)


def id_and_state(receipt: Receipt) -> tuple[bytes, int | None]:
    return receipt.keys[0] if receipt.keys else b"", receipt.state


class Fields(SynchronousTestCase):
    def test_separators_between_fields_belong_to_no_field(self) -> None:
        for between in (b" ", b"\n", b"\r\n", b"\t", b"\0", b",", b", ", b";", b"\xa0", b" \0 "):
            receipt = read(between.join((b"id:42", b"sub:001", b"stat:UNDELIV", b"err:011", b"text:x")))
            self.assertEqual((*id_and_state(receipt), receipt.error), (b"42", 5, b"011"), between)

    def test_vendors_own_fields_between_the_others_are_passed_over(self) -> None:
        receipt = read(b"MCCMNC:21910 id:42 IMSI:219101100935850 stat:DELIVRD x:y err:000 ROC:HR")
        self.assertEqual((*id_and_state(receipt), receipt.error), (b"42", 2, b"000"))

    def test_of_a_repeated_field_the_first_that_says_something_counts(self) -> None:
        self.assertEqual(id_and_state(read(b"id: stat: id:1 id:2 stat:EXPIRED stat:DELIVRD")), (b"1", 3))

    def test_keys_are_read_in_any_case(self) -> None:
        self.assertEqual(id_and_state(read(b"ID:A1 STAT:delivrd ERR:000 TEXT:")), (b"a1", 2))

    def test_a_blank_may_stand_before_a_value(self) -> None:
        self.assertEqual(id_and_state(read(b"id: 42 stat: DELIVRD err: 000")), (b"42", 2))

    def test_ids_of_up_to_255_characters_are_ids_and_longer_ones_are_none(self) -> None:
        pdus = [data_sm(b"id:%b stat:DELIVRD" % (b"a" * length)) for length in (255, 256)]
        self.assertEqual([ReceiptReader("a", PLAIN).read(pdu, NOW).keys for pdu in pdus], [(b"a" * 255,), ()])

    def test_the_echoed_text_is_never_read(self) -> None:
        receipt = read(b"id:1 text:id:2 stat:DELIVRD err:000")
        self.assertEqual((receipt.keys, receipt.state, receipt.error), ((b"1",), None, b""))

    def test_fields_behind_the_text_are_read_where_the_dialect_says_so(self) -> None:
        dialect = Dialect(fields_after_text=True)
        self.assertEqual(id_and_state(read(b"id:1 text: stat:DELIVRD id:2", dialect=dialect)), (b"1", 2))

    def test_errors_are_kept_verbatim(self) -> None:
        for error in (b"1", b"00B", b"000004A6", b"65535", b"ESME_RSUBMITFAIL", b"-1", b"\1\2"):
            self.assertEqual(read(b"id:1 stat:UNDELIV err:%b text:" % error).error, error)

    def test_text_in_ucs_2_is_read_whatever_data_coding_says(self) -> None:
        for encoding in ("utf-16-be", "utf-16-le"):
            for data_coding in (8, 0):
                text = (COMMON % b"59").decode().encode(encoding)[:200]
                self.assertEqual(
                    id_and_state(read(text + "stat:DELIVRD".encode(encoding), data_coding=data_coding)), (b"59", 2)
                )

    def test_an_ascii_head_with_a_ucs_2_tail_is_read_as_ascii(self) -> None:
        text = b"id:59 stat:DELIVRD err:000 text:" + "Łódź".encode("utf-16-be")
        self.assertEqual(id_and_state(read(text, data_coding=8)), (b"59", 2))

    def test_a_header_before_the_text_is_skipped(self) -> None:
        for header in (b"\x05\0\x03\x41\x02\x31", b"\x06\x08\x04\0\x41\x02\x31"):
            receipt = read(header + b"id:7 stat:DELIVRD", esm_class=0x44)
            self.assertEqual(id_and_state(receipt), (b"7", 2))

    def test_a_header_longer_than_the_text_is_none(self) -> None:
        self.assertEqual(id_and_state(read(b"\xff id:7 stat:DELIVRD", esm_class=0x44)), (b"7", 2))

    def test_the_body_may_be_in_message_payload(self) -> None:
        payload = tlv(c.TAG_MESSAGE_PAYLOAD, COMMON % b"77" + b"\0")
        self.assertEqual(id_and_state(read(b"", payload)), (b"77", 2))
        self.assertEqual(id_and_state(read(b"see payload", payload)), (b"77", 2))
        self.assertEqual(id_and_state(ReceiptReader("a", PLAIN).read(data_sm(COMMON % b"77"), NOW)), (b"77", 2))

    def test_columns_are_read_where_the_dialect_names_them(self) -> None:
        dialect = Dialect(columns=["id", "", "stat", "err"], states={"4": "EXPIRED"})
        receipt = read(b"A1,447700900001,4,,17", dialect=dialect)
        self.assertEqual((*id_and_state(receipt), receipt.error), (b"a1", 3, b""))

    def test_the_received_octets_are_kept(self) -> None:
        pdu = deliver_sm(b"gibberish")
        receipt = ReceiptReader("carrier", PLAIN).read(pdu, NOW)
        self.assertEqual(receipt, Receipt("carrier", (), None, False, NOW, raw=pdu.body))


class Parameters(SynchronousTestCase):
    def test_an_id_may_have_its_nul_or_not(self) -> None:
        for octets in (b"ab1", b"ab1\0", b"ab1\0\0", b" ab1 \0", b"ab1\0junk"):
            self.assertEqual(read(b"", tlv(0x1E, octets)).keys, (b"ab1",), octets)

    def test_the_parameter_wins_over_the_text(self) -> None:
        receipt = read(COMMON % b"42", tlv(0x1E, b"2a\0") + tlv(0x427, b"\3"))
        self.assertEqual((receipt.keys, receipt.state, receipt.stat), ((b"2a", b"42"), 3, b"DELIVRD"))

    def test_the_text_wins_where_the_dialect_prefers_it(self) -> None:
        receipt = read(COMMON % b"42", tlv(0x1E, b"2a\0"), Dialect(prefer_text_id=True))
        self.assertEqual(receipt.keys, (b"42", b"2a"))

    def test_message_state_is_read_in_every_shape(self) -> None:
        for octets, state in (
            (b"\2", 2),
            (b"\0\2", 2),
            (b"\0\0\0\5", 5),
            (b"\2\0", 2),
            (b"2", 2),
            (b"2\0", 2),
            (b"\0", 0),
            (b"DELIVRD", 2),
            (b"undeliv\0", 5),
            (b"", None),
        ):
            self.assertEqual(read(b"id:1", tlv(0x427, octets)).state, state, octets)

    def test_a_state_that_smpp_does_not_have_gives_way_to_the_text(self) -> None:
        self.assertEqual(read(COMMON % b"1", tlv(0x427, b"\x63")).state, 2)
        receipt = read(b"id:1", tlv(0x427, b"\x63"))
        self.assertEqual((receipt.state, receipt.final), (states.UNKNOWN, False))

    def test_vendors_parameters_are_passed_over(self) -> None:
        others = tlv(0x1454, b"\0\0\0\1") + tlv(0x1403, b"(null)\0")
        receipt = read(COMMON % b"42", others + tlv(0x1E, b"2a") + tlv(0x427, b"\5") + tlv(0x423, b"000") + others)
        self.assertEqual((receipt.keys, receipt.state, receipt.network_error_code), ((b"2a", b"42"), 5, b"000"))

    def test_a_parameter_that_is_cut_off_costs_only_itself(self) -> None:
        self.assertEqual(read(COMMON % b"42", tlv(0x427, b"\5") + b"\x00\x1e\x00\x09ab").keys, (b"42",))

    def test_a_data_sm_with_parameters_alone_is_read(self) -> None:
        receipt = ReceiptReader("a", PLAIN).read(data_sm(b"", tlv(0x1E, b"362d9701") + tlv(0x427, b"\2")), NOW)
        self.assertEqual(id_and_state(receipt), (b"362d9701", 2))


class Recognition(SynchronousTestCase):
    def recognised(self, esm_class: int, text: bytes, dialect: Dialect = PLAIN) -> bool:
        return ReceiptReader("a", dialect).is_receipt(deliver_sm(text, esm_class=esm_class))

    def test_the_carriers_marks_decide_whatever_the_content_is(self) -> None:
        for esm_class in (0x04, 0x20, 0x24, 0x44, 0x60, 0x64, 0x07):
            self.assertTrue(self.recognised(esm_class, b"gibberish"), hex(esm_class))

    def test_no_other_mark_makes_a_receipt_whatever_the_text_says(self) -> None:
        """0x08 is a delivery acknowledgement, which another ESME may send through the carrier (SMPP 3.4, 5.2.12)."""
        for mark in range(0, 0x40, 4):
            for esm_class in (mark, mark | 0x40, mark | 0x03):
                expected = mark in (0x04, 0x20, 0x24)
                self.assertIs(self.recognised(esm_class, COMMON % b"1"), expected, hex(esm_class))

    def test_both_parameters_that_the_network_writes_make_a_receipt_where_there_is_no_mark(self) -> None:
        both = tlv(c.TAG_MESSAGE_STATE, b"\2") + tlv(c.TAG_RECEIPTED_MESSAGE_ID, b"41\0")
        for esm_class in (0, 2, 0x03, 0x40, 0x80):
            for text in (COMMON % b"41", b"", b"Hello"):
                pdu = deliver_sm(text, both, esm_class=esm_class)
                self.assertTrue(ReceiptReader("a", PLAIN).is_receipt(pdu), (esm_class, text))
        self.assertEqual(id_and_state(read(b"", both, esm_class=0)), (b"41", 2))

    def test_both_parameters_make_no_receipt_of_an_acknowledgement_which_any_sender_may_write(self) -> None:
        """SMPP 3.4 section 5.2.12: 0x08 and 0x10 are from an SME, so whoever sends them may add what he likes."""
        both = tlv(c.TAG_MESSAGE_STATE, b"\2") + tlv(c.TAG_RECEIPTED_MESSAGE_ID, b"41\0")
        for esm_class in (0x08, 0x0C, 0x10, 0x14, 0x18, 0x1C, 0x28, 0x30, 0x3C, 0x48, 0x50):
            for text in (COMMON % b"41", b""):
                pdu = deliver_sm(text, both, esm_class=esm_class)
                self.assertFalse(ReceiptReader("a", PLAIN).is_receipt(pdu), (hex(esm_class), text))
        pdu = deliver_sm(COMMON % b"41", both, esm_class=0x08)
        self.assertTrue(ReceiptReader("a", Dialect(receipt_marks=[0x08])).is_receipt(pdu))

    def test_one_of_the_two_parameters_alone_makes_no_receipt(self) -> None:
        for tlvs in (
            tlv(c.TAG_MESSAGE_STATE, b"\2"),
            tlv(c.TAG_RECEIPTED_MESSAGE_ID, b"41\0"),
            tlv(c.TAG_MESSAGE_STATE, b"") + tlv(c.TAG_RECEIPTED_MESSAGE_ID, b"41\0"),
            tlv(c.TAG_MESSAGE_STATE, b"\2") + tlv(c.TAG_RECEIPTED_MESSAGE_ID, b"\0"),
        ):
            for esm_class in (0, 0x08):
                pdu = deliver_sm(COMMON % b"41", tlvs, esm_class=esm_class)
                self.assertFalse(ReceiptReader("a", PLAIN).is_receipt(pdu), (esm_class, tlvs))

    def test_unmarked_ones_are_read_where_the_dialect_says_so(self) -> None:
        dialect = Dialect(unmarked_receipts=True)
        self.assertTrue(self.recognised(0x00, COMMON % b"1", dialect))
        self.assertFalse(self.recognised(0x08, COMMON % b"1", dialect))
        for text in (b"hello", b"my id:1 is lost", b"stat:DELIVRD", b"id:1 stat:whatever", b"text:id:1 stat:DELIVRD"):
            self.assertFalse(self.recognised(0x00, text, dialect), text)

    def test_other_marks_are_read_where_the_dialect_names_them(self) -> None:
        dialect = Dialect(receipt_marks=[0x08, 0x1C])
        for esm_class, expected in ((0x08, True), (0x1C, True), (0x48, True), (0x0C, False), (0x00, False)):
            self.assertIs(self.recognised(esm_class, COMMON % b"1", dialect), expected, hex(esm_class))
        self.assertFalse(self.recognised(0x08, b"OK", dialect))

    def test_a_mark_that_esm_class_does_not_have_is_refused(self) -> None:
        for mark in (0, 1, 0x40, -4, 0x104):
            with self.assertRaisesRegex(ValueError, f"receipt_marks: {mark} is not a message type"):
                ReceiptReader("a", Dialect(receipt_marks=[mark]))


class SpacedIds(SynchronousTestCase):
    def test_an_id_with_a_blank_inside_is_looked_up_whole_and_then_by_its_first_word(self) -> None:
        for text in (b"id:AB 12 sub:001 stat:DELIVRD", b"stat:DELIVRD id: AB 12", b'id:"AB 12" stat:DELIVRD err:000'):
            self.assertEqual(read(text).keys, (b"ab 12", b"ab"), text)
        self.assertEqual(read(b"id:1 2  3 stat:DELIVRD").keys, (b"1 2  3", b"1"))

    def test_the_response_s_id_with_a_blank_inside_is_the_receipt_s(self) -> None:
        key = CarrierIds(PLAIN).response_key(b"AB 12")
        self.assertIn(key, read(b"id:AB 12 sub:001 dlvrd:001 stat:DELIVRD err:000 text:").keys)

    def test_a_vendor_s_field_behind_the_id_is_none_of_it(self) -> None:
        for text in (b"id:42 IMSI:219101 stat:DELIVRD", b"id:42 ROC : HR stat:DELIVRD", b"id:42, 7 stat:DELIVRD"):
            self.assertEqual(read(text).keys, (b"42",), text)

    def test_receipted_message_id_stays_the_first_to_be_looked_up(self) -> None:
        receipt = read(b"id:AB 12 stat:DELIVRD", tlv(c.TAG_RECEIPTED_MESSAGE_ID, b"9\0"))
        self.assertEqual(receipt.keys, (b"9", b"ab 12", b"ab"))

    def test_a_spaced_id_that_is_too_long_is_none(self) -> None:
        pdu = data_sm(b"id:7 " + b"a" * 254 + b" stat:DELIVRD")
        self.assertEqual(ReceiptReader("a", PLAIN).read(pdu, NOW).keys, (b"7",))


class States(SynchronousTestCase):
    def test_the_state_decides_whether_it_is_final_not_the_mark(self) -> None:
        for stat, esm_class, final in ((b"ENROUTE", 0x04, False), (b"DELIVRD", 0x20, True), (b"ACCEPTD", 0x04, False)):
            receipt = read(b"id:1 stat:%b err:000" % stat, esm_class=esm_class)
            self.assertEqual(receipt.final, final, stat)

    def test_a_word_that_nobody_knows_ends_nothing_and_is_kept(self) -> None:
        for stat in (b"FOOBAR", b"0", b"17", b"NOT"):
            receipt = read(b"id:1 stat:%b err:000" % stat)
            self.assertEqual((receipt.state, receipt.final, receipt.stat), (states.UNKNOWN, False, stat))

    def test_a_word_of_the_carriers_own_is_kept_beside_its_state(self) -> None:
        common = COMMON % b"1"
        own = {
            common: b"",
            common.replace(b"DELIVRD", b"delivrd"): b"",
            common.replace(b"DELIVRD", b"FAILED"): b"FAILED",
            common.replace(b"DELIVRD", b"Delivered"): b"Delivered",
            common.replace(b"DELIVRD", b"LOST"): b"LOST",
        }
        for text, word in own.items():
            self.assertEqual(read(text).own_word, word, text)
        # A word that the parameter overrules.
        self.assertEqual(read(common, tlv(c.TAG_MESSAGE_STATE, b"\5")).own_word, b"DELIVRD")
        parameters = tlv(c.TAG_RECEIPTED_MESSAGE_ID, b"1\0") + tlv(c.TAG_MESSAGE_STATE, b"\2")
        self.assertEqual(read(common, parameters).own_word, b"")
        self.assertEqual(read(b"", parameters).own_word, b"")

    def test_unknown_itself_is_a_final_state(self) -> None:
        self.assertTrue(read(b"id:1 stat:UNKNOWN").final)
        self.assertTrue(read(b"id:1", tlv(0x427, b"\7")).final)

    def test_a_status_without_its_key_is_read_behind_the_done_date_only(self) -> None:
        self.assertEqual(read(b"id:1 done date:2609211414 EXPIRED err:000").state, states.EXPIRED)
        for text in (b"id:1 EXPIRED err:000", b"id:1 err:000 EXPIRED", b"id:1 done date:2609211414 EXPIREDLY"):
            self.assertIsNone(read(text).state, text)
        self.assertEqual(read(b"id:1 done date:2609211414 EXPIRED stat:DELIVRD").state, states.DELIVERED)


ids = st.text("abcXYZ0189_.-", min_size=1, max_size=64).map(str.encode)
commons = st.builds(
    lambda i, counts, a, b, stat, err, tail: (
        b"id:%b%b submit date:%b done date:%b stat:%b err:%b%b" % (i, counts, a, b, stat, err, tail)
    ),
    ids,
    st.sampled_from([b"", b" sub:001 dlvrd:001", b" sub:1", b" dlvrd:000"]),
    st.text("0123456789", min_size=7, max_size=17).map(str.encode),
    st.text("0123456789", min_size=7, max_size=17).map(str.encode),
    st.sampled_from(
        [b"DELIVRD", b"UNDELIV", b"EXPIRED", b"ACCEPTD", b"delivrd", b"FOO", b"FAILED", b"DND_REJECTED", b""]
    ),
    st.text("0123ABCdef_,;\0", max_size=6).map(lambda text: text.encode()),
    st.sampled_from([b"", b" text:", b" Text:id:5 stat:EXPIRED", b" id:6 err:999", b"\0", b"\n", b",", b" IMSI:1"]),
)
parameters = st.one_of(
    st.builds(tlv, st.just(0x1E), st.builds(bytes.__add__, ids, st.sampled_from([b"", b"\0", b"\0\0", b" "]))),
    st.builds(tlv, st.just(0x427), st.binary(max_size=2)),
    st.builds(tlv, st.just(0x423), st.binary(max_size=4)),
    st.builds(tlv, st.sampled_from([0x1403, 5, 0x424]), st.binary(max_size=8)),
    st.sampled_from([b"\0", b"\x00\x1e\x00", b"\x04\x27\x00\x09\x02"]),
)
dialects = st.sampled_from(
    [
        PLAIN,
        Dialect(preset="vonage"),
        Dialect(prefer_text_id=True, accepted_is_final=True),
        Dialect(receipt_id=IdForm(fold_case=False, strip_zeros=True, truncate=8)),
        Dialect(states={"FOO": "REJECTD", "DELIVRD": "ACCEPTD"}, fields_after_text=True),
        Dialect(columns=["id", "stat"]),
    ]
)


class ShortWay(SynchronousTestCase):
    @given(commons, st.lists(parameters, max_size=4).map(b"".join), dialects, st.sampled_from([0x04, 0x44]))
    @example(COMMON % b"1", tlv(0x427, b"\5") + tlv(0x1E, b"2\0") + tlv(0x427, b"\2"), PLAIN, 4)
    def test_it_reads_what_the_long_way_reads(self, text: bytes, tlvs: bytes, dialect: Dialect, esm_class: int) -> None:
        reader = ReceiptReader("carrier", dialect)
        pdu = deliver_sm(text, tlvs, esm_class=esm_class)
        self.assertEqual(reader.read(pdu, NOW), reader.read_any(pdu, NOW))


@st.composite
def mutations(draw: st.DrawFn) -> MessagePdu:
    """A receipt of the corpus with octets changed, cut out or doubled, in its text and in its parameters."""
    pdu = draw(st.sampled_from(CORPUS)).pdu
    octets = bytearray(pdu.short_message)
    tlvs = bytearray(pdu.body[pdu.tlvs_at :])
    for target in (octets, tlvs):
        for _ in range(draw(st.integers(0, 4))):
            start = draw(st.integers(0, len(target)))
            end = draw(st.integers(start, min(len(target), start + 12)))
            target[start:end] = draw(st.one_of(st.binary(max_size=6), st.just(bytes(target[start:end] * 2))))
    if pdu.command_id == c.DATA_SM:
        body = data_body(addresses=ADDRESSES, esm_class=pdu.esm_class, tlvs=bytes(tlvs))
    else:
        body = message_body(
            addresses=ADDRESSES, esm_class=pdu.esm_class, short_message=bytes(octets[:254]), tlvs=bytes(tlvs)
        )
    return decode_message(pdu.command_id, 1, body)


@st.composite
def damaged_bodies(draw: st.DrawFn) -> tuple[int, bytes]:
    """A receipt of the corpus, its whole body with octets changed, cut out or doubled anywhere."""
    pdu = draw(st.sampled_from(CORPUS)).pdu
    body = bytearray(pdu.body)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 40)))
        body[start:end] = draw(st.one_of(st.binary(max_size=6), st.just(bytes(body[start:end] * 2))))
    return pdu.command_id, bytes(body)


class AnyOctets(SynchronousTestCase):
    @given(damaged_bodies(), dialects)
    def test_a_pdu_damaged_anywhere_is_read_or_unreadable_or_refused_and_the_next_is_read(
        self, damaged: tuple[int, bytes], dialect: Dialect
    ) -> None:
        command_id, body = damaged
        session = bound_session(Role.CLIENT)
        whole = message_body(addresses=ADDRESSES, short_message=COMMON % b"42", esm_class=4)
        *before, last = session.receive(frame(command_id, 1, body) + frame(c.DELIVER_SM, 2, whole), 0.0)
        reader = ReceiptReader("carrier", dialect)
        # One that is refused says so in its response, and one that is handed up has none yet.
        self.assertEqual(len(before), 1 if not session.take_output() else 0)
        for pdu in before:
            assert isinstance(pdu, MessagePdu)
            receipt = reader.read(pdu, NOW)
            self.assertEqual((receipt, receipt.raw), (reader.read_any(pdu, NOW), body))
            self.assertIsInstance(reader.is_receipt(pdu), bool)
            if pdu.esm_class & c.ESM_CLASS_TYPE_MASK == 0x04:
                self.assertTrue(reader.is_receipt(pdu))
        assert isinstance(last, MessagePdu)
        self.assertEqual(ReceiptReader("carrier", PLAIN).read(last, NOW).keys, (b"42",))

    @given(mutations(), dialects)
    @example(deliver_sm(b"id:12 34 sub:001 stat:DELIVRD err:000", tlv(0x1E, b"5\0")), PLAIN)
    def test_a_mutilated_receipt_is_read_or_is_unreadable(self, pdu: MessagePdu, dialect: Dialect) -> None:
        reader = ReceiptReader("carrier", dialect)
        receipt = reader.read(pdu, NOW)
        self.assertEqual(receipt.raw, pdu.body)
        self.assertTrue(all(receipt.keys))
        # The id of the parameter, and the text's: with the blank that stands in it, and up to the blank.
        self.assertLessEqual(len(receipt.keys), 3)
        self.assertIn(receipt.state, {None, *range(10)})
        if receipt.final:
            self.assertIn(receipt.state, states.FINAL_STATES)
        self.assertIsInstance(reader.is_receipt(pdu), bool)
        self.assertIsNotNone(read_fields(pdu, dialect))

    @given(st.binary(max_size=254), st.binary(max_size=80), st.integers(0, 255), dialects)
    def test_any_octets_are_read_or_are_unreadable(
        self, text: bytes, tlvs: bytes, esm_class: int, dialect: Dialect
    ) -> None:
        pdu = deliver_sm(text, tlvs, esm_class=esm_class)
        reader = ReceiptReader("carrier", dialect)
        self.assertIsInstance(reader.is_receipt(pdu), bool)
        self.assertEqual(reader.read(pdu, NOW), reader.read_any(pdu, NOW))

    @given(st.binary(max_size=150))
    @example(b" id:9 stat:REJECTD err:1")
    def test_no_echoed_text_makes_it_another_messages_receipt(self, echoed: bytes) -> None:
        text = COMMON % b"42"
        receipt = read(text[:-5] + echoed)
        self.assertEqual((receipt.keys, receipt.state, receipt.error), ((b"42",), 2, b"000"))

    def test_a_payload_of_64_kilobytes_is_read_in_a_moment(self) -> None:
        """Each of these would take minutes if any pattern went back over what it has seen."""
        for filler in (b"submit ", b"id:", b"submit" + b" " * 50, b" ", b"\0", b"text", b"d", b",;"):
            pdu = data_sm((filler * 65_000)[:65_000])
            self.assertIsNone(ReceiptReader("a", PLAIN).read(pdu, NOW).state)
