"""Makes submit_sm bodies of texts."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.smpp.message_codec import decode_message
from relay.text import gsm0338
from relay.text.compose import Composed, InvalidText, compose, decode, encode, split
from relay.values import smpp_constants as c
from relay.values.pdus import MessagePdu

#: The characters that need no escape.
DEFAULT_CHARACTERS = gsm0338.decode(bytes(septet for septet in range(128) if septet != gsm0338.ESCAPE))
GSM_TEXTS = st.text(st.sampled_from(sorted(DEFAULT_CHARACTERS) + list("^{}\\[~]|€\f")), min_size=1, max_size=900)
#: Half of a surrogate pair is no character.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=900)


def pdus(composed: Composed) -> list[MessagePdu]:
    return [decode_message(c.SUBMIT_SM, 1, part) for part in composed.parts]


def composed(text: str, reference: int = 7, **options: Any) -> Composed:
    return compose("ACME", "447700900001", text, reference=reference, **options)


class Alphabet(SynchronousTestCase):
    def test_every_septet_stands_where_the_standard_has_it(self) -> None:
        for text, septets in (
            ("@£$¥èéùìòÇ\nØø\rÅå", bytes(range(0x10))),
            ("Δ_ΦΓΛΩΠΨΣΘΞ", bytes(range(0x10, 0x1B))),
            ("ÆæßÉ", bytes(range(0x1C, 0x20))),
            (" !\"#¤%&'()*+,-./0123456789:;<=>?¡", bytes(range(0x20, 0x41))),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿", bytes(range(0x41, 0x61))),
            ("abcdefghijklmnopqrstuvwxyzäöñüà", bytes(range(0x61, 0x80))),
            ("\f^{}\\[~]|€", b"\x1b\x0a\x1b\x14\x1b\x28\x1b\x29\x1b\x2f\x1b\x3c\x1b\x3d\x1b\x3e\x1b\x40\x1b\x65"),
        ):
            self.assertEqual(gsm0338.encode(text), septets)
            self.assertEqual(gsm0338.decode(septets), text)

    def test_each_character_alone_is_what_it_is_among_others(self) -> None:
        for character in DEFAULT_CHARACTERS:
            self.assertEqual(gsm0338.encode(character + "ÆΩ"), (gsm0338.encode(character) or b"") + b"\x1c\x15")

    def test_small_c_with_cedilla_is_not_in_it(self) -> None:
        """ISO tables have ç at 0x09; TS 23.038 has Ç there."""
        self.assertIsNone(gsm0338.encode("ça va"))

    def test_a_no_break_space_is_not_in_it(self) -> None:
        self.assertIsNone(gsm0338.encode("a\xa0b"))

    def test_escapes_that_mean_nothing_are_read_as_the_standard_says(self) -> None:
        self.assertEqual(gsm0338.decode(b"a\x1bAb"), "aAb")
        self.assertEqual(gsm0338.decode(b"a\x1b\x1bb"), "a b")
        self.assertEqual(gsm0338.decode(b"a\x1b"), "a ")

    @given(GSM_TEXTS)
    def test_text_of_the_gsm_alphabet_is_decoded_to_the_same_text(self, text: str) -> None:
        self.assertEqual(gsm0338.decode(gsm0338.encode(text) or b""), text)

    @given(st.binary())
    def test_any_octets_are_some_text(self, octets: bytes) -> None:
        self.assertIsInstance(gsm0338.decode(octets), str)


class Parts(SynchronousTestCase):
    def test_a_text_of_the_default_alphabet_goes_as_it_is(self) -> None:
        (pdu,) = pdus(composed("Hello {you}"))
        self.assertEqual((pdu.data_coding, pdu.esm_class), (0, 0))
        self.assertEqual(pdu.short_message, b"Hello \x1b(you\x1b)")

    def test_one_character_outside_it_makes_the_text_ucs_2(self) -> None:
        (pdu,) = pdus(composed("Grüße, Łukasz"))
        self.assertEqual(pdu.data_coding, 8)
        self.assertEqual(pdu.short_message, "Grüße, Łukasz".encode("utf-16-be"))

    def test_every_part_asks_for_a_receipt(self) -> None:
        self.assertEqual([pdu.registered_delivery for pdu in pdus(composed("a" * 400))], [1, 1, 1])

    def test_the_validity_is_said_in_every_part(self) -> None:
        periods = {pdu.validity_period for pdu in pdus(composed("a" * 400, validity_period=b"000001000000000R"))}
        self.assertEqual(periods, {b"000001000000000R"})

    def test_160_septets_and_70_characters_of_ucs_2_fit_into_one_part(self) -> None:
        for text, count in (
            ("a" * 160, 1),
            ("a" * 161, 2),
            ("a" * 306, 2),
            ("a" * 307, 3),
            ("€" * 80, 1),
            ("€" * 81, 2),
            ("Ł" * 70, 1),
            ("Ł" * 71, 2),
            ("Ł" * 134, 2),
            ("Ł" * 135, 3),
            ("😀" * 35, 1),
            ("😀" * 36, 2),
        ):
            self.assertEqual(len(composed(text).parts), count, f"{text[0]} x {len(text)}")

    def test_parts_have_a_header_with_reference_count_and_number(self) -> None:
        found = pdus(composed("a" * 400, reference=0x1FE))
        self.assertEqual([pdu.short_message[:6].hex() for pdu in found], [f"050003fe03{n:02}" for n in (1, 2, 3)])
        self.assertEqual([pdu.esm_class for pdu in found], [0x40] * 3)
        self.assertEqual([len(pdu.short_message) for pdu in found], [159, 159, 100])

    def test_255_parts_are_the_most(self) -> None:
        self.assertEqual(len(composed("a" * 153 * 255).parts), 255)
        error = self.assertRaises(InvalidText, composed, "a" * (153 * 255 + 1))
        self.assertEqual(error.field, "text")
        self.assertIn("256 parts", error.reason)

    @given(st.one_of(GSM_TEXTS, TEXTS), st.integers(0, 1000))
    @example("a" * 152 + "€" * 200, 0)
    @example("Ł" + "😀" * 100, 0)
    def test_the_parts_of_a_text_each_make_sense_and_together_make_the_text(self, text: str, reference: int) -> None:
        found = pdus(composed(text, reference))
        data_coding = found[0].data_coding
        texts = []
        for number, pdu in enumerate(found, 1):
            octets = pdu.short_message
            if len(found) > 1:
                self.assertEqual(octets[:6], bytes((5, 0, 3, reference & 0xFF, len(found), number)))
                octets = octets[6:]
                self.assertLessEqual(len(octets), 134 if data_coding else 153)
            # Half a character would be replaced, or shown as a blank.
            piece = decode(octets, data_coding)
            self.assertEqual(encode(piece)[0] if encode(piece)[1] == data_coding else octets, octets)
            texts.append(piece)
        self.assertEqual("".join(texts), text)

    @given(GSM_TEXTS)
    def test_no_part_ends_in_an_escape(self, text: str) -> None:
        self.assertFalse([piece for piece in split(*encode(text)) if piece.endswith(b"\x1b")])

    def test_an_empty_text_is_refused(self) -> None:
        self.assertEqual(self.assertRaises(InvalidText, composed, "").field, "text")

    def test_half_a_surrogate_pair_is_refused(self) -> None:
        error = self.assertRaises(InvalidText, composed, "Łab\ud83d")
        self.assertEqual(error.field, "text")
        self.assertIn("Character 4", error.reason)


class Addresses(SynchronousTestCase):
    def addresses(self, source: str, destination: str = "447700900001") -> bytes:
        return compose(source, destination, "a", reference=0).addresses

    def test_destinations_are_international_numbers(self) -> None:
        for destination in ("447700900001", "+447700900001"):
            self.assertEqual(self.addresses("ACME", destination), b"\5\0ACME\0\1\x01447700900001\0")

    def test_a_source_is_a_number_a_short_code_or_a_name(self) -> None:
        for source, expected in (
            ("+447700900002", b"\1\x01447700900002\0"),
            ("447700900002", b"\1\x01447700900002\0"),
            ("+12345", b"\1\x0112345\0"),
            ("62442", b"\3\x0062442\0"),
            ("12345678", b"\3\x0012345678\0"),
            ("123456789", b"\1\x01123456789\0"),
            ("ACME Ltd.", b"\5\0ACME Ltd.\0"),
            ("A1B2C3D4E5F", b"\5\0A1B2C3D4E5F\0"),
        ):
            self.assertEqual(self.addresses(source), expected + b"\1\x01447700900001\0", source)

    def test_the_addresses_are_those_of_the_parts(self) -> None:
        made = compose("62442", "+447700900001", "a" * 200, reference=0)
        self.assertEqual({pdu.addresses for pdu in pdus(made)}, {made.addresses})

    def test_a_destination_that_is_no_number_is_refused(self) -> None:
        for destination in (
            "",
            "+",
            "12",
            "1" * 21,
            "44 7700",
            "0044-77",
            "acme",
            "٤٤٧٧٠٠٩٠٠٠٠١",
            "447700900001\n",
            "\0",
        ):
            error = self.assertRaises(InvalidText, self.addresses, "ACME", destination)
            self.assertEqual(error.field, "to", destination)

    def test_a_source_that_can_not_be_sent_is_refused(self) -> None:
        for source in ("", "ABCDEFGHIJKL", "Café", "1" * 21, "a[b]", "x\0", "ACME\n", "12", "+1 2", "😀"):
            error = self.assertRaises(InvalidText, self.addresses, source)
            self.assertEqual(error.field, "from", source)
            self.assertTrue(error.reason.endswith("."))

    def test_an_error_says_the_field_and_repeats_nothing_of_it(self) -> None:
        error = self.assertRaises(InvalidText, self.addresses, "ACME", "4477009x")
        self.assertNotIn("4477009", str(error))
        self.assertTrue(str(error).startswith("to: "))
