"""Messages from HTTP get the form that each carrier wants, and lose nothing."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.wanted_form import wanted_form
from relay.config.carrier_config import Carrier
from relay.smpp.message_codec import decode_message, message_octets, tlv_values
from relay.text import gsm0338
from relay.text.compose import compose
from relay.text.passthrough import compose_raw
from relay.text.text_form import Alphabet, in_common
from relay.text.tlv_text import read_tlvs, write_tlvs
from relay.values import smpp_constants as c
from relay.values.messages import ADAPT_ADDRESSES, ADAPT_TEXT
from relay.values.pdus import MessagePdu

ALPHABETS: tuple[Alphabet, ...] = ("gsm", "latin1", "ascii", "ucs2")
CHARACTERS = st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("aZ9 é€{}[ÄÇΔáç`ñ")


def sent(text: str, sender: str = "ACME", to: str = "447700900001", **settings: Any) -> list[MessagePdu]:
    """What a carrier with these settings gets of a text, if it is the only one of its route."""
    flash, tlvs = settings.pop("flash", False), settings.pop("request_tlvs", b"")
    form = wanted_form(Carrier(**settings))
    composed = compose(sender, to, text, reference=7, form=in_common([form.text_form]), flash=flash, tlvs=tlvs)
    return [decode_message(c.SUBMIT_SM, 1, form.body(body, ADAPT_TEXT)) for body in composed.parts]


def address(text: str, **settings: Any) -> tuple[int, int, bytes]:
    """ton, npi and digits of a destination."""
    [pdu] = sent("x", to=text, **settings)
    at = pdu.addresses.index(0, 2) + 1
    return pdu.addresses[at], pdu.addresses[at + 1], pdu.destination


def sender(text: str, **settings: Any) -> tuple[int, int, bytes]:
    """ton, npi and characters of a source."""
    [pdu] = sent("x", sender=text, **settings)
    return pdu.addresses[0], pdu.addresses[1], pdu.addresses[2 : pdu.addresses.index(0, 2)]


def text_of(pdus: list[MessagePdu], alphabet: Alphabet) -> str:
    """The text that a handset shows behind a carrier with this default alphabet."""
    text = ""
    for pdu in pdus:
        octets = message_octets(pdu)
        if pdu.esm_class & c.ESM_CLASS_UDHI:
            octets = octets[octets[0] + 1 :]
        if pdu.data_coding & 0x0F == 8:
            text += octets.decode("utf-16-be")
        elif alphabet == "gsm":
            text += gsm0338.decode(octets)
        else:
            text += octets.decode({"latin1": "latin-1", "ascii": "ascii"}[alphabet])
    return text


class AlphabetTests(SynchronousTestCase):
    def test_a_text_is_written_in_the_carriers_default_alphabet_where_that_has_it(self) -> None:
        for alphabet, text, data_coding, octets in (
            ("gsm", "é@", 0, b"\x05\x00"),
            ("latin1", "é@", 0, b"\xe9@"),
            ("latin1", "áç", 0, b"\xe1\xe7"),
            ("ascii", "[@]", 0, b"[@]"),
            ("ascii", "é", 8, b"\x00\xe9"),
            ("latin1", "€", 8, b"\x20\xac"),
            ("gsm", "á", 8, b"\x00\xe1"),
            ("ucs2", "hi", 8, b"\x00h\x00i"),
        ):
            [pdu] = sent(text, default_alphabet=alphabet)
            self.assertEqual((pdu.data_coding, pdu.short_message), (data_coding, octets), (alphabet, text))

    @given(st.sampled_from(ALPHABETS), st.text(CHARACTERS, min_size=1, max_size=400))
    def test_every_text_arrives_whole_and_every_part_fits_on_the_air(self, alphabet: Alphabet, text: str) -> None:
        pdus = sent(text, default_alphabet=alphabet)
        self.assertEqual(text_of(pdus, alphabet), text)
        self.assertEqual(len({pdu.data_coding for pdu in pdus}), 1)
        for pdu in pdus:
            body = pdu.short_message[6:] if pdu.esm_class & c.ESM_CLASS_UDHI else pdu.short_message
            units = len(gsm0338.encode(text_of([pdu], alphabet)) or b"x" * 999) if pdu.data_coding == 0 else 999
            octets = len(pdu.short_message)
            self.assertTrue(octets <= 140 or units <= (153 if len(body) < octets else 160), (octets, units))

    @given(st.lists(st.sampled_from(ALPHABETS), min_size=2, max_size=4), st.text(CHARACTERS, min_size=1, max_size=400))
    def test_a_text_suits_every_carrier_of_its_route(self, alphabets: list[Alphabet], text: str) -> None:
        forms = [wanted_form(Carrier(default_alphabet=alphabet)) for alphabet in alphabets]
        composed = compose("A", "447700900001", text, reference=1, form=in_common(form.text_form for form in forms))
        for alphabet, form in zip(alphabets, forms, strict=True):
            pdus = [decode_message(c.SUBMIT_SM, 1, form.body(body, ADAPT_TEXT)) for body in composed.parts]
            self.assertEqual(text_of(pdus, alphabet), text)
            self.assertEqual([pdu for pdu in pdus if len(pdu.short_message) > 160], [])

    def test_a_flash_message_has_class_0(self) -> None:
        for text, alphabet, data_coding in (
            ("é", "gsm", 0x10), ("é", "latin1", 0x10), ("á", "latin1", 0x18), ("Δж", "gsm", 0x18), ("a", "ucs2", 0x18),
        ):  # fmt: skip
            pdus = sent(text, default_alphabet=alphabet, flash=True)
            self.assertEqual([pdu.data_coding for pdu in pdus], [data_coding], (text, alphabet))
        long = sent("é" * 200, flash=True)
        self.assertEqual([(pdu.data_coding, len(pdu.short_message)) for pdu in long], [(0x10, 159), (0x10, 53)])


class LongMessageTests(SynchronousTestCase):
    def test_sar_says_in_parameters_what_the_header_said(self) -> None:
        pdus = sent("x" * 200, long_messages="sar")
        self.assertEqual([(pdu.esm_class, len(pdu.short_message)) for pdu in pdus], [(0, 153), (0, 47)])
        for number, pdu in enumerate(pdus, 1):
            self.assertEqual(
                tlv_values(pdu.body, pdu.tlvs_at), {0x020C: b"\0\7", 0x020E: b"\2", 0x020F: bytes((number,))}
            )

    def test_payload_is_one_message_with_the_whole_text(self) -> None:
        for text, alphabet, data_coding, octets in (
            ("é" * 200, "gsm", 0, b"\x05" * 200),
            ("é" * 200, "latin1", 0, b"\xe9" * 200),
            ("ж" * 75, "gsm", 8, "ж".encode("utf-16-be") * 75),
            ("é" * 500, "ucs2", 8, "é".encode("utf-16-be") * 500),
        ):
            [pdu] = sent(text, long_messages="payload", default_alphabet=alphabet)
            self.assertEqual((pdu.short_message, pdu.data_coding, pdu.esm_class), (b"", data_coding, 0))
            self.assertEqual(tlv_values(pdu.body, pdu.tlvs_at), {c.TAG_MESSAGE_PAYLOAD: octets})
        [short] = sent("x" * 160, long_messages="payload")
        self.assertEqual(short.short_message, b"x" * 160)

    def test_what_fits_into_one_part_is_in_no_form_of_long_messages(self) -> None:
        for form in ("udh", "sar", "payload"):
            [pdu] = sent("x", long_messages=form)
            self.assertEqual((pdu.short_message, pdu.esm_class, pdu.body[pdu.tlvs_at :]), (b"x", 0, b""))


class AddressTests(SynchronousTestCase):
    def test_without_settings_numbers_are_international(self) -> None:
        self.assertEqual(address("+447700900001"), (1, 1, b"447700900001"))
        self.assertEqual([sender(s)[:2] for s in ("+447700900001", "12345", "ACME")], [(1, 1), (3, 0), (5, 0)])

    def test_ton_and_npi_are_those_of_the_settings(self) -> None:
        self.assertEqual(address("447700900001", destination_ton=0, destination_npi=8), (0, 8, b"447700900001"))
        for text, expected in (("447700900001", (4, 6)), ("12345", (4, 6)), ("ACME", (4, 6))):
            self.assertEqual(sender(text, source_ton=4, source_npi=6)[:2], expected)
        by_kind: dict[str, Any] = {"source_ton": {"short_code": 0, "number": 2}, "source_npi": {"name": 1}}
        for text, expected in (("447700900001", (2, 1)), ("12345", (0, 0)), ("ACME", (5, 1))):
            self.assertEqual(sender(text, **by_kind)[:2], expected)

    def test_numbers_have_a_plus_or_are_national_where_the_carrier_wants_it(self) -> None:
        self.assertEqual(address("447700900001", destination_form="plus"), (1, 1, b"+447700900001"))
        national = {"destination_form": "national", "country_code": "44", "trunk_prefix": "0"}
        self.assertEqual(address("447700900001", **national), (2, 1, b"07700900001"))
        self.assertEqual(address("4917012345678", **national), (1, 1, b"4917012345678"))
        self.assertEqual(address("447700900001", **{**national, "destination_ton": 0}), (0, 1, b"07700900001"))
        for text, expected in (("447700900001", b"+447700900001"), ("12345", b"12345"), ("44ACME", b"44ACME")):
            self.assertEqual(sender(text, source_form="plus")[2], expected)
        for text, expected in (("447700900001", b"7700900001"), ("44123", b"44123"), ("44ACME", b"44ACME")):
            self.assertEqual(sender(text, source_form="national", country_code="44")[2], expected)
        # 20 digits and a plus are more than a submit_sm can hold.
        self.assertEqual(address("1" * 20, destination_form="plus")[2], b"1" * 20)

    def test_questions_about_a_message_name_its_addresses_as_they_were_sent(self) -> None:
        form = wanted_form(Carrier(source_form="plus", destination_ton=0))
        composed = compose("447700900002", "447700900001", "x", reference=1)
        pdu = decode_message(c.SUBMIT_SM, 1, form.body(composed.parts[0], ADAPT_TEXT))
        self.assertEqual(form.addresses(composed.addresses), pdu.addresses)


class ParameterTests(SynchronousTestCase):
    def test_every_part_gets_the_carrier_s_parameters_and_those_of_the_request_go_before_them(self) -> None:
        given = write_tlvs(read_tlvs({"0x1400": "aabb", "5122": "01"}))
        pdus = sent("x" * 200, tlvs={"0x1400": "31", "0x1401": "32"}, service_type="CMT", request_tlvs=given)
        self.assertEqual([pdu.service_type for pdu in pdus], [b"CMT"] * 2)
        for pdu in pdus:
            self.assertEqual(tlv_values(pdu.body, pdu.tlvs_at), {0x1400: b"\xaa\xbb", 0x1402: b"\1", 0x1401: b"2"})

    def test_octets_of_a_customer_s_own_stay_as_they_are(self) -> None:
        settings = Carrier(default_alphabet="latin1", long_messages="sar", service_type="CMT", destination_form="plus")
        udh = bytes((5, 0, 3, 1, 2, 1))
        _, [body] = compose_raw("ACME", "447700900001", data_coding=0, udh=udh, payload=b"\x05\x80")
        pdu = decode_message(c.SUBMIT_SM, 1, wanted_form(settings).body(body, ADAPT_ADDRESSES))
        self.assertEqual((pdu.short_message, pdu.data_coding, pdu.esm_class), (udh + b"\x05\x80", 0, 0x40))
        self.assertEqual((pdu.service_type, pdu.destination), (b"CMT", b"+447700900001"))

    def test_a_carrier_without_settings_changes_nothing(self) -> None:
        self.assertTrue(wanted_form(Carrier()).changes_nothing)
        self.assertTrue(wanted_form(Carrier(long_messages="payload", country_code="44")).changes_nothing)
        self.assertFalse(wanted_form(Carrier(source_ton={"name": 0})).changes_nothing)

    def test_a_tag_or_a_value_that_can_not_be_sent_is_refused_with_its_reason(self) -> None:
        for tag, value, reason in (
            ("", "", "no tag"),
            ("0x0000", "", "no tag"),
            ("0x10000", "", "no tag"),
            ("99999", "", "no tag"),
            ("message_payload", "", "no tag"),
            ("0x0424", "00", "written by the relay"),
            ("524", "00", "written by the relay"),
            ("0x1400", "abc", "hexadecimal"),
            ("0x1400", "zz", "hexadecimal"),
            ("0x1400", "00" * 1025, "1024 octets"),
        ):
            with self.assertRaisesRegex(ValueError, reason):
                read_tlvs({tag: value})
        with self.assertRaisesRegex(ValueError, "twice"):
            read_tlvs({"0x1400": "", "5120": ""})
        with self.assertRaisesRegex(ValueError, "16 optional parameters"):
            read_tlvs({f"0x14{n:02x}": "" for n in range(17)})
