"""Parts and texts of messages from handsets."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.smpp.message_codec import decode_message, message_body, tlv
from relay.text.compose import compose, encode
from relay.text.from_handsets import HandsetPart, read_part, text_of, without_place
from relay.values import smpp_constants as c

ADDRESSES = b"\1\1447700900001\0\3\00012345\0"


def read(octets: bytes = b"", esm_class: int = 0, tlvs: bytes = b"") -> HandsetPart:
    body = message_body(addresses=ADDRESSES, short_message=octets, esm_class=esm_class, tlvs=tlvs)
    return read_part(decode_message(c.DELIVER_SM, 1, body))


def sar(reference: bytes, count: bytes, number: bytes) -> bytes:
    tags = (c.TAG_SAR_MSG_REF_NUM, c.TAG_SAR_TOTAL_SEGMENTS, c.TAG_SAR_SEGMENT_SEQNUM)
    return b"".join(tlv(tag, value) for tag, value in zip(tags, (reference, count, number), strict=True))


class PartTests(SynchronousTestCase):
    @given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=900))
    def test_the_parts_of_a_long_text_give_the_text(self, text: str) -> None:
        _, bodies, data_coding = compose("12345", "447700900001", text, reference=7)
        parts = [read_part(decode_message(c.SUBMIT_SM, 1, body)) for body in bodies]
        self.assertEqual([part.number for part in parts], list(range(1, len(bodies) + 1)))
        self.assertEqual({part.count for part in parts}, {len(bodies)})
        self.assertEqual(len({part.reference for part in parts}), 1)
        self.assertEqual(text_of(b"".join(part.octets for part in parts), data_coding), text)

    def test_a_reference_of_two_octets_and_optional_parameters_mark_parts_too(self) -> None:
        long = read(b"\x06\x08\x04\x01\x02\x03\x02text", c.ESM_CLASS_UDHI)
        self.assertEqual((long.count, long.number, long.octets), (3, 2, b"text"))
        by_parameters = read(b"text", tlvs=sar(b"\x01\x02", b"\x03", b"\x02"))
        self.assertEqual((by_parameters.count, by_parameters.number, by_parameters.octets), (3, 2, b"text"))
        short = read(b"\x05\x00\x03\x02\x03\x02text", c.ESM_CLASS_UDHI)
        # The same number as a reference means three messages: the three kinds are counted independently.
        self.assertEqual(len({long.reference, by_parameters.reference, short.reference}), 3)

    def test_a_mark_that_makes_no_sense_is_none(self) -> None:
        for number, count in ((0, 2), (3, 2), (1, 1), (1, 0)):
            part = read(bytes((5, 0, 3, 9, count, number)) + b"text", c.ESM_CLASS_UDHI)
            self.assertEqual((part.count, part.number, part.octets), (1, 1, b"text"))
        self.assertEqual(read(b"text", tlvs=tlv(c.TAG_SAR_MSG_REF_NUM, b"\0\1")).count, 1)

    def test_a_payload_that_is_too_long_for_a_part_is_a_message_of_its_own(self) -> None:
        for size, count in ((255, 2), (256, 1)):
            payload = tlv(c.TAG_MESSAGE_PAYLOAD, b"x" * size)
            self.assertEqual(read(tlvs=sar(b"\0\1", b"\2", b"\1") + payload).count, count)
            in_header = tlv(c.TAG_MESSAGE_PAYLOAD, b"\x05\x00\x03\x02\x02\x01" + b"x" * (size - 6))
            self.assertEqual(read(esm_class=c.ESM_CLASS_UDHI, tlvs=in_header).count, count)

    def test_a_header_with_other_elements_is_kept_and_skipped_to_the_mark(self) -> None:
        header = b"\x0b\x05\x04\x0b\x84\x23\xf0\x00\x03\x07\x02\x01"
        part = read(header + b"data", c.ESM_CLASS_UDHI)
        self.assertEqual((part.header, part.count, part.octets), (header, 2, b"data"))

    def test_the_text_may_stand_in_message_payload(self) -> None:
        self.assertEqual(read(tlvs=tlv(c.TAG_MESSAGE_PAYLOAD, b"a long story")).octets, b"a long story")


class HeaderTests(SynchronousTestCase):
    PORTS = b"\x05\x04\x0b\x84\x23\xf0"

    def test_without_the_place_of_a_part_the_other_elements_are_left(self) -> None:
        for place in (b"\x00\x03\x07\x02\x01", b"\x08\x04\x01\x02\x02\x01"):
            for elements in (place + self.PORTS, self.PORTS + place):
                self.assertEqual(b"\x06" + self.PORTS, without_place(bytes((len(elements),)) + elements))
            self.assertEqual(b"", without_place(bytes((len(place),)) + place))
        self.assertEqual(b"\x06" + self.PORTS, without_place(b"\x06" + self.PORTS))

    def test_an_element_that_is_cut_off_is_left_out(self) -> None:
        for header in (b"", b"\x00", b"\x01\x05", b"\x03\x05\x04\x0b", b"\x05\x00\x03\x07\x02"):
            self.assertEqual(b"", without_place(header))

    @given(st.binary(max_size=80))
    def test_any_octets_are_some_header(self, header: bytes) -> None:
        left = without_place(header)
        self.assertEqual(left[0] if left else 0, max(0, len(left) - 1))
        self.assertEqual(left, without_place(left))


class TextTests(SynchronousTestCase):
    def test_each_alphabet_is_read(self) -> None:
        euro, data_coding = encode("€5")
        self.assertEqual((text_of(euro, data_coding), text_of(euro, 0xF1), text_of(euro, 0x10)), ("€5",) * 3)
        self.assertEqual(text_of("Grüße".encode("latin-1"), 3), "Grüße")
        self.assertEqual((text_of("嗨".encode("utf-16-be"), 8), text_of("嗨".encode("utf-16-be"), 0x18)), ("嗨", "嗨"))

    def test_data_is_no_text(self) -> None:
        for data_coding in (2, 4, 5, 9, 0xF4, 0x14):
            self.assertIsNone(text_of(b"\x01\x02", data_coding), data_coding)
