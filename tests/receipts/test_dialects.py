"""Which ids are the same id, and which words are which state."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict
from twisted.trial.unittest import SynchronousTestCase

from relay.config.carrier_config import Dialect, IdForm
from relay.receipts.dialects import STATE_NAMES, UNHEARD_OF, CarrierIds, CarrierStates, Meaning, canonical, resolve
from relay.receipts.presets import PRESETS
from relay.values import states
from tests.receipts.corpus import read_corpus

forms = st.builds(
    IdForm,
    base=st.sampled_from(["as-is", "decimal", "hex"]),
    fold_case=st.booleans(),
    strip_zeros=st.booleans(),
    strip_prefix=st.sampled_from(["", "sim-", "0x", "é"]),
    strip_suffix=st.sampled_from(["", "-sim", "@smsc"]),
    truncate=st.sampled_from([0, 1, 8, 32]),
    low_32_bits=st.booleans(),
)


class CanonicalIds(SynchronousTestCase):
    def assert_same(self, form: IdForm, *written: bytes) -> None:
        self.assertEqual(len({canonical(form)(raw) for raw in written}), 1, written)

    def assert_different(self, form: IdForm, *written: bytes) -> None:
        self.assertEqual(len({canonical(form)(raw) for raw in written}), len(written), written)

    def test_by_default_ids_match_in_any_case_and_with_blanks_around_them(self) -> None:
        self.assert_same(IdForm(), b"00B8BE19", b"00b8be19", b"00b8be19\0", b" 00B8BE19\r\n")
        self.assert_different(IdForm(), b"00b8be19", b"b8be19", b"0x00b8be19", b"00b8be1", b"12107289")

    def test_case_counts_if_the_dialect_says_so(self) -> None:
        self.assert_different(IdForm(fold_case=False), b"00B8BE19", b"00b8be19")

    def test_leading_zeros_are_ignored_if_the_dialect_says_so(self) -> None:
        self.assert_same(IdForm(strip_zeros=True), b"00ABCDEF", b"abcdef", b"0abcdef")

    def test_an_id_of_zeros_alone_is_still_an_id(self) -> None:
        for form in (
            IdForm(strip_zeros=True),
            IdForm(base="decimal"),
            IdForm(base="hex"),
            IdForm(base="hex", truncate=4),
        ):
            self.assertEqual(canonical(form)(b"00000000000000000000"), b"0", form)

    def test_numbers_are_compared_as_numbers_of_any_size(self) -> None:
        self.assert_same(IdForm(base="decimal"), b"0000000012345678", b"12345678")
        self.assert_same(IdForm(base="hex"), b"00ABCDEF", b"abcdef", b"0xABCDEF")
        self.assertEqual(canonical(IdForm(base="decimal"))(b"59071138615259880630"), b"59071138615259880630")
        self.assertEqual(canonical(IdForm(base="hex"))(b"f" * 40), b"%d" % (16**40 - 1))

    def test_an_id_that_is_no_number_stays_text(self) -> None:
        uuid = b"4A38DC46-5125-4969-90BE-72104C340D5C"
        for base in ("decimal", "hex"):
            self.assertEqual(canonical(IdForm(base=base))(uuid), uuid.lower())
        for odd in (b"1_0", b"+10", b"-10", b"1 0", b"0x", b"\xb2"):
            self.assertEqual(canonical(IdForm(base="hex"))(odd), odd, odd)
            self.assertEqual(canonical(IdForm(base="decimal"))(odd), odd, odd)

    def test_ids_are_cut_to_the_length_in_the_dialect(self) -> None:
        uuid = b"59018505-8565-49ed-9feb-8b6d83081a2b"
        self.assert_same(IdForm(truncate=32), uuid, uuid[:32])
        self.assert_different(IdForm(truncate=32), uuid, uuid[:31])

    def test_prefix_and_suffix_are_cut_off_once(self) -> None:
        form = IdForm(strip_prefix="SIM-", strip_suffix="-x")
        self.assert_same(form, b"sim-1-X", b"1", b"1-x", b"Sim-1")
        self.assertEqual(canonical(form)(b"sim-sim-1"), b"sim-1")
        self.assert_different(IdForm(strip_prefix="SIM-", fold_case=False), b"sim-1", b"1")

    def test_a_number_behind_a_prefix_is_a_number(self) -> None:
        self.assertEqual(canonical(IdForm(base="hex", strip_prefix="id#"))(b"ID#00ff"), b"255")

    def test_the_low_32_bits_are_a_number_too(self) -> None:
        self.assertEqual(canonical(IdForm(base="hex", low_32_bits=True))(b"2680000bc8b215d"), b"3163234653")

    def test_a_text_longer_than_any_id_is_no_id(self) -> None:
        for form in (IdForm(), IdForm(fold_case=False), IdForm(base="decimal"), IdForm(base="hex"), IdForm(truncate=8)):
            self.assertEqual(canonical(form)(b"1" * 256), b"", form)
            self.assertEqual(canonical(form)(b" \0"), b"", form)

    @given(forms, st.one_of(st.binary(max_size=300), st.text("0123abcdefABCDEF-x", max_size=40).map(str.encode)))
    def test_any_octets_have_a_canonical_id_in_every_form(self, form: IdForm, raw: bytes) -> None:
        self.assertIsInstance(canonical(form)(raw), bytes)

    @given(st.integers(0, 2**100), st.integers(0, 20))
    def test_any_number_is_the_same_in_decimal_and_in_hexadecimal(self, number: int, zeros: int) -> None:
        ids = CarrierIds(Dialect(response_id=IdForm(base="hex"), receipt_id=IdForm(base="decimal")))
        self.assertEqual(ids.response_key(b"0" * zeros + b"%X" % number), ids.text_key(b"0" * zeros + b"%d" % number))


class IdDialects(SynchronousTestCase):
    """One carrier's way each: (dialect, response, receipted_message_id, id in the text)."""

    CASES = (
        (Dialect(), b"4A38", b"", b"4a38"),
        (Dialect(), b"18d0e03a", b"18d0e03a\0", b"0416342074"),
        (Dialect(preset="vonage"), b"33647f6c", b"", b"862224236"),
        (Dialect(preset="vonage"), b"0B6469B0-6d88-11e8", b"", b"0b6469b0-6d88-11e8"),
        (Dialect(preset="jasmin-1"), b"39f99dd5", b"", b"0972660181"),
        (Dialect(preset="jasmin-2"), b"0972660181", b"", b"39F99DD5"),
        (Dialect(preset="kannel-0"), b"1", b"", b"00001"),
        (Dialect(preset="kannel-1"), b"10C8F40D", b"", b"281605133"),
        (Dialect(preset="kannel-2"), b"281605133", b"", b"10C8F40D"),
        (Dialect(preset="kannel-3"), b"00ABCDEF", b"", b"abcdef"),
        (Dialect(preset="hex-tlv-decimal-text"), b"6AAD5", b"6aad5\0", b"0000436949"),
        (Dialect(preset="hex-tlv-decimal-text"), b"6AAD5", b"", b"0000436949"),
        (Dialect(preset="hex-low-32-bits"), b"2680000bc8b215d", b"", b"3163234653"),
        (Dialect(preset="hex-low-32-bits"), b"2680000bc8b215d", b"2680000BC8B215D", b""),
        (Dialect(receipt_id=IdForm(strip_prefix="sim-")), b"17", b"", b"sim-17"),
        (Dialect(response_id=IdForm(strip_suffix="-sim")), b"17-sim", b"", b"17"),
        (
            Dialect(response_id=IdForm(truncate=32)),
            b"59018505-8565-49ed-9feb-8b6d83081a2b",
            b"",
            b"59018505-8565-49ed-9feb-8b6d8308",
        ),
        (
            Dialect(response_id=IdForm(strip_zeros=True), receipt_id=IdForm(strip_zeros=True)),
            b"abcdef",
            b"",
            b"00ABCDEF",
        ),
        (Dialect(prefer_text_id=True), b"42", b"900", b"42"),
    )

    def test_a_receipts_first_key_is_its_responses_key(self) -> None:
        for dialect, response, tlv_id, text_id in self.CASES:
            ids = CarrierIds(dialect)
            self.assertEqual(ids.candidates(tlv_id, text_id)[0], ids.response_key(response), (response, dialect))

    def test_the_base_is_never_guessed(self) -> None:
        for response, text_id in ((b"ABCDEF", b"11259375"), (b"281605133", b"10C8F40D")):
            ids = CarrierIds(Dialect())
            self.assertNotIn(ids.response_key(response), ids.candidates(b"", text_id))

    def test_pairs_of_the_corpus_match_with_their_bases_set(self) -> None:
        bases = {27: "hex", 28: "as-is", 128: "hex", 190: "hex"}
        for line in read_corpus():
            if line.number in bases:
                base = bases[line.number]
                receipt_base = "decimal" if base == "hex" else base
                ids = CarrierIds(Dialect(response_id=IdForm(base=base), receipt_id=IdForm(base=receipt_base)))  # type: ignore[arg-type]
                key = ids.response_key((line.response_id or "").encode())
                self.assertEqual(ids.candidates(b"", line.expect["text_id"].encode()), (key,), repr(line))

    def test_both_ids_are_candidates_and_one_that_says_the_same_is_not_said_twice(self) -> None:
        ids = CarrierIds(Dialect())
        self.assertEqual(ids.candidates(b"A", b"B"), (b"a", b"b"))
        self.assertEqual(ids.candidates(b"A\0", b"a"), (b"a",))
        self.assertEqual(ids.candidates(b"A", b""), (b"a",))
        self.assertEqual(ids.candidates(b"", b"B"), (b"b",))
        self.assertEqual(ids.candidates(b"", b""), ())
        self.assertEqual(ids.candidates(b"\0", b"\0"), ())
        self.assertEqual(ids.candidates(b"\0", b"B"), (b"b",))


class Words(SynchronousTestCase):
    def test_the_words_of_appendix_b_and_their_long_forms(self) -> None:
        carrier = CarrierStates(Dialect())
        for words, meaning in (
            ("DELIVRD DELIVERED delivered DELIVERD DLV", (states.DELIVERED, True)),
            ("UNDELIV UNDELIVERABLE FAILED", (states.UNDELIVERABLE, True)),
            ("EXPIRED", (states.EXPIRED, True)),
            ("DELETED", (states.DELETED, True)),
            ("REJECTD REJECTED DND_REJECTED", (states.REJECTED, True)),
            ("UNKNOWN", (states.UNKNOWN, True)),
            ("SKIPPED", (states.SKIPPED, True)),
            ("ACCEPTD ACCEPTED ACKED", (states.ACCEPTED, False)),
            ("ENROUTE BUFFRED", (states.ENROUTE, False)),
            ("SCHEDULED", (states.SCHEDULED, False)),
            ("FOOBAR 0 2 DELIVRD1", (states.UNKNOWN, False)),
        ):
            for word in words.split():
                self.assertEqual(tuple(carrier.of_word(word.encode())), meaning, word)

    def test_numbers_are_those_of_message_state(self) -> None:
        carrier = CarrierStates(Dialect())
        self.assertEqual([carrier.of_number(n).state for n in range(10)], list(range(10)))
        self.assertEqual([n for n in range(10) if carrier.of_number(n).final], sorted(states.FINAL_STATES))
        self.assertIs(carrier.of_number(10), UNHEARD_OF)

    def test_a_carriers_own_words_win_in_any_case(self) -> None:
        carrier = CarrierStates(Dialect(states={"0": "DELIVRD", "failed": "rejectd", "EXPIRED": "UNKNOWN"}))
        self.assertEqual(carrier.of_word(b"0"), Meaning(states.DELIVERED, True))
        self.assertEqual(carrier.of_word(b"FAILED"), Meaning(states.REJECTED, True))
        self.assertEqual(carrier.of_word(b"Expired"), Meaning(states.UNKNOWN, True))
        self.assertEqual(carrier.of_number(3), Meaning(states.EXPIRED, True))

    def test_accepted_delivers_where_it_is_a_carriers_last_word(self) -> None:
        carrier = CarrierStates(Dialect(accepted_is_final=True, states={"OK": "ACCEPTD"}))
        delivered = Meaning(states.DELIVERED, True)
        self.assertEqual([carrier.of_word(b"ACCEPTD"), carrier.of_word(b"OK"), carrier.of_number(6)], [delivered] * 3)
        self.assertEqual(CarrierStates(Dialect()).of_number(6), Meaning(states.ACCEPTED, False))


class Presets(SynchronousTestCase):
    def test_each_preset_can_be_used(self) -> None:
        for name in PRESETS:
            dialect = Dialect(preset=name)
            self.assertTrue(CarrierIds(dialect).response_key(b"1"), name)
            self.assertTrue(CarrierStates(dialect).of_word(b"DELIVRD").final, name)

    def test_each_preset_says_whose_it_is_and_where_that_was_read(self) -> None:
        for name, preset in PRESETS.items():
            self.assertTrue(preset.title and preset.about.endswith(".") and preset.source, name)

    def test_a_carriers_own_settings_win(self) -> None:
        own = IdForm(base="decimal")
        resolved = resolve(Dialect(preset="vonage", response_id=own, accepted_is_final=False))
        self.assertEqual(resolved.response_id, own)
        self.assertEqual(resolved.receipt_id, PRESETS["vonage"].dialect.receipt_id)
        self.assertIs(resolved.accepted_is_final, False)
        self.assertIs(resolve(Dialect(preset="bandwidth", accepted_is_final=False)).accepted_is_final, False)

    def test_words_are_merged_one_by_one(self) -> None:
        resolved = resolve(Dialect(preset="mblox", states={"ACKED": "ACCEPTD", "LOST": "UNDELIV"}))
        self.assertEqual(resolved.states, {"ACKED": "ACCEPTD", "BUFFRED": "ENROUTE", "LOST": "UNDELIV"})

    def test_without_a_preset_nothing_is_changed(self) -> None:
        dialect = Dialect(prefer_text_id=True)
        self.assertEqual(asdict(resolve(dialect)), asdict(dialect))

    def test_resolving_twice_changes_nothing(self) -> None:
        for name in PRESETS:
            once = resolve(Dialect(preset=name, states={"X": "DELETED"}))
            self.assertEqual(asdict(resolve(once)), asdict(once), name)


class Nonsense(SynchronousTestCase):
    def message_of(self, dialect: Dialect) -> str:
        for user in (CarrierIds, CarrierStates):
            self.assertRaises(ValueError, user, dialect)
        return str(self.assertRaises(ValueError, resolve, dialect))

    def test_an_unknown_preset_is_refused_with_the_names_of_all(self) -> None:
        message = self.message_of(Dialect(preset="vonnage"))
        self.assertIn("'vonnage'", message)
        for name in PRESETS:
            self.assertIn(name, message)

    def test_an_unknown_state_is_refused_with_the_names_of_all(self) -> None:
        message = self.message_of(Dialect(states={"LOST": "GONE"}))
        self.assertIn("states.LOST", message)
        for name in STATE_NAMES:
            self.assertIn(name, message)

    def test_low_32_bits_without_a_base_are_refused(self) -> None:
        self.assertIn("tlv_id.low_32_bits", self.message_of(Dialect(tlv_id=IdForm(low_32_bits=True))))

    def test_an_unknown_column_is_refused(self) -> None:
        self.assertIn("'status'", self.message_of(Dialect(columns=["id", "status"])))
