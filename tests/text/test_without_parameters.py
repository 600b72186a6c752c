"""Long messages for peers of SMPP 3.3: in parts, with the message's own header in each, and without parameters."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.smpp.message_codec import decode_message, encode_address, message_body, tlv
from relay.text.compose import InvalidText, encode
from relay.text.from_handsets import read_part, text_of, without_place
from relay.text.raw_parts import PART_OCTETS, segments
from relay.text.without_parameters import without_parameters
from relay.values import smpp_constants as c
from relay.values.pdus import MessagePdu

ADDRESSES = encode_address(1, 1, b"447700900123") + encode_address(3, 0, b"12345")
PORTS = b"\x06\x05\x04\x0b\x84\x23\xf0"


def deliver_sm(octets: bytes, data_coding: int = 4, esm_class: int = 0, tlvs: bytes = b"") -> bytes:
    """A deliver_sm with message_payload."""
    return message_body(
        addresses=ADDRESSES, esm_class=esm_class, data_coding=data_coding, registered_delivery=0,
        tlvs=tlv(c.TAG_MESSAGE_PAYLOAD, octets) + tlvs,
    )  # fmt: skip


def read(body: bytes) -> MessagePdu:
    return decode_message(c.DELIVER_SM, 1, body)


class SegmentTests(SynchronousTestCase):
    @given(st.binary(max_size=2_000), st.sampled_from([b"", PORTS]), st.integers(0, 300))
    def test_each_part_has_the_header_s_elements_and_together_they_have_the_octets(
        self, octets: bytes, udh: bytes, reference: int
    ) -> None:
        pieces = segments(octets, septets=False, pairs=False, udh=udh, reference=reference)
        bodies = [
            message_body(addresses=ADDRESSES, short_message=piece, data_coding=4,
                         esm_class=c.ESM_CLASS_UDHI if udh or len(pieces) > 1 else 0)
            for piece in pieces
        ]  # fmt: skip
        parts = [read_part(read(body)) for body in bodies]
        self.assertEqual(octets, b"".join([part.octets for part in parts]))
        self.assertEqual({udh}, {without_place(part.header) for part in parts})
        self.assertTrue(all(len(piece) <= PART_OCTETS for piece in pieces))
        self.assertEqual(
            [(len(pieces), number) for number in range(1, len(pieces) + 1)],
            [(part.count, part.number) for part in parts],
        )

    def test_a_header_that_leaves_no_room_is_refused(self) -> None:
        self.assertRaises(
            InvalidText, segments, b"x" * 200, septets=False, pairs=False, udh=bytes([137]) + b"\x70" * 137, reference=1
        )


class WithoutParametersTests(SynchronousTestCase):
    def test_what_has_no_parameters_stays_as_it_is(self) -> None:
        body = message_body(addresses=ADDRESSES, short_message=b"hello")
        self.assertEqual([body], without_parameters(body))

    def test_a_short_payload_becomes_the_short_message(self) -> None:
        [body] = without_parameters(deliver_sm(PORTS + b"\1\2", esm_class=c.ESM_CLASS_UDHI))
        pdu = read(body)
        self.assertEqual((PORTS + b"\1\2", len(body)), (pdu.short_message, pdu.tlvs_at))
        self.assertEqual((c.ESM_CLASS_UDHI, 4, ADDRESSES), (pdu.esm_class, pdu.data_coding, pdu.addresses))

    @given(st.text(st.characters(exclude_categories=["Cs"]), min_size=260, max_size=1_500))
    def test_the_parts_of_a_long_text_each_make_sense_and_together_make_the_text(self, text: str) -> None:
        octets, data_coding = encode(text)
        bodies = without_parameters(deliver_sm(octets, data_coding))
        self.assertGreater(len(bodies), 1)
        parts = [read_part(read(body)) for body in bodies]
        self.assertEqual(text_of(octets, data_coding), "".join([text_of(p.octets, data_coding) or "" for p in parts]))
        self.assertEqual({(data_coding, c.ESM_CLASS_UDHI)}, {(read(b).data_coding, read(b).esm_class) for b in bodies})
        self.assertEqual(bodies, without_parameters(deliver_sm(octets, data_coding)))

    def test_ports_are_in_each_part(self) -> None:
        bodies = without_parameters(deliver_sm(PORTS + b"x" * 300, esm_class=c.ESM_CLASS_UDHI))
        self.assertEqual([PORTS] * 3, [without_place(read_part(read(body)).header) for body in bodies])

    def test_a_part_s_place_in_sar_parameters_goes_into_its_header(self) -> None:
        sar = tlv(c.TAG_SAR_MSG_REF_NUM, b"\x01\x07") + tlv(c.TAG_SAR_TOTAL_SEGMENTS, b"\x02") + tlv(
            c.TAG_SAR_SEGMENT_SEQNUM, b"\x01"
        )  # fmt: skip
        for octets, header in ((b"data", b""), (PORTS + b"data", PORTS)):
            [body] = without_parameters(deliver_sm(octets, esm_class=c.ESM_CLASS_UDHI if header else 0, tlvs=sar))
            part = read_part(read(body))
            self.assertEqual((2, 1, 7, b"data"), (part.count, part.number, part.reference & 0xFF, part.octets))
            self.assertEqual(header, without_place(part.header))

    def test_what_needs_more_than_255_parts_stays_as_it_is(self) -> None:
        body = deliver_sm(b"x" * 40_000)
        self.assertEqual([body], without_parameters(body))
