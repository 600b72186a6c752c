"""The message codec alone: what it reads, what it refuses and with which status, and what it leaves unchanged."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.smpp import message_codec as codec
from relay.values import smpp_constants as c
from relay.values.pdus import CodecError, MessagePdu
from tests.smpp.bodies import data_body
from tests.smpp.strategies import MESSAGE_COMMANDS, MessageFields, addresses, message_fields, octet, vendor_tlvs

ADDRESSES = codec.encode_address(1, 1, b"12345") + codec.encode_address(1, 1, b"447700900456")
LONG_ADDRESS = codec.encode_address(1, 1, b"4" * 300)


class DecodingTests(SynchronousTestCase):
    @given(message_fields, st.sampled_from([c.SUBMIT_SM, c.DELIVER_SM]))
    def test_a_written_body_is_read_back_field_by_field(self, fields: MessageFields, command_id: int) -> None:
        body = codec.message_body(**fields)
        pdu = codec.decode_message(command_id, 7, body)
        self.assertEqual((pdu.command_id, pdu.sequence_number, pdu.body), (command_id, 7, body))
        for name in set(fields) - {"sm_default_msg_id", "tlvs"}:
            self.assertEqual(getattr(pdu, name), fields[name], name)
        self.assertEqual(body[pdu.registered_delivery_at], fields["registered_delivery"])
        self.assertEqual(body[pdu.tlvs_at :], fields["tlvs"])
        self.assertTrue(pdu.addresses.endswith(pdu.destination + b"\0"))

    @given(message_fields, st.sampled_from([c.SUBMIT_SM, c.DELIVER_SM]))
    def test_the_fast_way_and_the_plain_walk_agree(self, fields: MessageFields, command_id: int) -> None:
        body = codec.message_body(**fields)
        self.assertEqual(codec.decode_message(command_id, 1, body), codec._walk(command_id, 1, body))

    @given(st.sampled_from([c.SUBMIT_SM, c.DELIVER_SM]), message_fields, st.data())
    def test_the_fast_way_and_the_plain_walk_agree_on_damaged_bodies(
        self, command_id: int, fields: MessageFields, data: st.DataObject
    ) -> None:
        body = bytearray(codec.message_body(**fields))
        for _ in range(data.draw(st.integers(1, 3))):
            body[data.draw(st.integers(0, min(len(body) - 1, 70)))] = data.draw(octet)
        damaged = bytes(body[: data.draw(st.integers(0, len(body)))])
        self.assertEqual(
            outcome(codec.decode_message, command_id, damaged),
            outcome(codec._walk, command_id, damaged),
        )

    @given(addresses, octet, octet, octet, vendor_tlvs)
    def test_a_data_sm_is_read_back_field_by_field(
        self, addresses: bytes, esm_class: int, registered_delivery: int, data_coding: int, tlvs: bytes
    ) -> None:
        body = data_body(
            addresses=addresses,
            esm_class=esm_class,
            registered_delivery=registered_delivery,
            data_coding=data_coding,
            service_type=b"CMT",
            tlvs=tlvs,
        )
        pdu = codec.decode_message(c.DATA_SM, 1, body)
        self.assertEqual(
            (pdu.addresses, pdu.esm_class, pdu.registered_delivery, pdu.data_coding, pdu.service_type),
            (addresses, esm_class, registered_delivery, data_coding, b"CMT"),
        )
        self.assertEqual((pdu.short_message, body[pdu.tlvs_at :]), (b"", tlvs))
        self.assertEqual(body[pdu.registered_delivery_at], registered_delivery)

    @given(st.sampled_from([c.DELIVER_SM, c.DATA_SM]), st.binary(max_size=80).map(lambda tail: b"\0" + tail))
    def test_of_any_octets_a_damaged_receipt_is_made_or_nothing(self, command_id: int, body: bytes) -> None:
        pdu = codec.decode_damaged_receipt(command_id, 1, body)
        if pdu is not None:
            self.assertTrue(pdu.esm_class & c.ESM_CLASS_TYPE_MASK)
            self.assertEqual((pdu.body, pdu.tlvs_at), (body, len(body)))
            self.assertTrue(body.endswith(pdu.short_message))

    @given(st.sampled_from(MESSAGE_COMMANDS), st.binary(max_size=400))
    def test_random_octets_are_read_or_refused_and_nothing_else(self, command_id: int, body: bytes) -> None:
        result = outcome(codec.decode_message, command_id, body)
        self.assertIsInstance(result, (MessagePdu, int))
        self.assertNotEqual(result, c.ESME_ROK)

    def test_octets_after_the_message_are_no_error(self) -> None:
        body = codec.message_body(addresses=ADDRESSES, short_message=b"hello") + b"\0\0\0"
        self.assertEqual(codec.decode_message(c.DELIVER_SM, 1, body).short_message, b"hello")

    def test_a_short_message_of_255_octets_is_read_although_it_may_not_be_sent(self) -> None:
        body = codec.message_body(addresses=ADDRESSES)[:-1] + b"\xff" + b"x" * 255
        self.assertEqual(len(codec.decode_message(c.SUBMIT_SM, 1, body).short_message), 255)
        self.assertRaises(ValueError, codec.message_body, addresses=ADDRESSES, short_message=b"x" * 255)

    def test_a_receipt_with_a_long_alphanumeric_address_is_read(self) -> None:
        long = codec.encode_address(5, 0, b"A" * 40)
        body = codec.message_body(addresses=long + long, service_type=b"VERYLONG")
        self.assertEqual(codec.decode_message(c.DELIVER_SM, 1, body).destination, b"A" * 40)


class RefusalTests(SynchronousTestCase):
    def assert_refused(self, status: int, body: bytes, command_id: int = c.SUBMIT_SM) -> None:
        with self.assertRaises(CodecError) as caught:
            codec.decode_message(command_id, 1, body)
        self.assertEqual(c.status_name(caught.exception.command_status), c.status_name(status))
        self.assertFalse(caught.exception.fatal)

    def test_a_source_that_is_too_long_is_refused_by_name(self) -> None:
        body = codec.message_body(addresses=LONG_ADDRESS + codec.encode_address(1, 1, b"1"))
        for command_id in (c.SUBMIT_SM, c.DELIVER_SM):
            self.assert_refused(c.ESME_RINVSRCADR, body, command_id)
        data_sm = data_body(addresses=LONG_ADDRESS + codec.encode_address(1, 1, b"1"))
        self.assert_refused(c.ESME_RINVSRCADR, data_sm, c.DATA_SM)

    def test_a_destination_that_is_too_long_is_refused_by_name(self) -> None:
        body = codec.message_body(addresses=codec.encode_address(1, 1, b"1") + LONG_ADDRESS)
        for command_id in (c.SUBMIT_SM, c.DELIVER_SM):
            self.assert_refused(c.ESME_RINVDSTADR, body, command_id)

    def test_twenty_one_octets_are_too_long_for_a_submit_sm(self) -> None:
        twenty = codec.encode_address(1, 1, b"1" * 20)
        twenty_one = codec.encode_address(1, 1, b"1" * 21)
        self.assertEqual(
            codec.decode_message(c.SUBMIT_SM, 1, codec.message_body(addresses=twenty * 2)).destination,
            b"1" * 20,
        )
        self.assert_refused(c.ESME_RINVDSTADR, codec.message_body(addresses=twenty + twenty_one))
        self.assert_refused(c.ESME_RINVSRCADR, codec.message_body(addresses=twenty_one + twenty))

    def test_service_type_and_times_that_are_too_long_are_refused_by_name(self) -> None:
        self.assert_refused(c.ESME_RINVSERTYP, codec.message_body(addresses=ADDRESSES, service_type=b"SIXSIX"))
        self.assert_refused(c.ESME_RINVSCHED, codec.message_body(addresses=ADDRESSES, schedule_delivery_time=b"0" * 17))
        self.assert_refused(c.ESME_RINVEXPIRY, codec.message_body(addresses=ADDRESSES, validity_period=b"0" * 17))

    def test_sm_length_beyond_the_end_is_an_invalid_message_length(self) -> None:
        body = codec.message_body(addresses=ADDRESSES, short_message=b"hello")
        self.assert_refused(c.ESME_RINVMSGLEN, body[:-1])

    def test_a_body_that_ends_within_a_field_is_an_invalid_command_length(self) -> None:
        body = codec.message_body(addresses=ADDRESSES)
        for length in range(len(body)):
            self.assert_refused(c.ESME_RINVCMDLEN, body[:length])
        data_sm = data_body(addresses=ADDRESSES)
        for length in range(len(data_sm)):
            self.assert_refused(c.ESME_RINVCMDLEN, data_sm[:length], c.DATA_SM)

    def test_the_error_says_which_field_and_how_long(self) -> None:
        with self.assertRaises(CodecError) as caught:
            codec.decode_message(c.SUBMIT_SM, 1, codec.message_body(addresses=LONG_ADDRESS * 2))
        self.assertEqual(str(caught.exception), "submit_sm: source_addr has 300 octets, 20 are allowed")


class PatchingTests(SynchronousTestCase):
    @given(message_fields, octet)
    def test_another_registered_delivery_changes_one_octet_only(self, fields: MessageFields, value: int) -> None:
        pdu = codec.decode_message(c.SUBMIT_SM, 1, codec.message_body(**fields))
        self.assertEqual(
            codec.with_registered_delivery(pdu, value),
            codec.message_body(**{**fields, "registered_delivery": value}),
        )

    @given(addresses, octet, vendor_tlvs)
    def test_a_data_sm_becomes_a_submit_sm_with_every_optional_parameter(
        self, addresses: bytes, registered_delivery: int, tlvs: bytes
    ) -> None:
        tlvs += codec.tlv(c.TAG_MESSAGE_PAYLOAD, b"hello")
        data_sm = data_body(
            addresses=addresses, registered_delivery=registered_delivery, data_coding=8, esm_class=0x40, tlvs=tlvs
        )
        pdu = codec.decode_message(c.DATA_SM, 1, data_sm)
        kept = codec.decode_message(c.SUBMIT_SM, 1, codec.submit_body_from_data_sm(pdu))
        self.assertEqual(
            (kept.addresses, kept.registered_delivery, kept.data_coding, kept.esm_class, kept.body[kept.tlvs_at :]),
            (addresses, registered_delivery, 8, 0x40, tlvs),
        )
        asked = codec.decode_message(c.SUBMIT_SM, 1, codec.submit_body_from_data_sm(pdu, registered_delivery=1))
        self.assertEqual(asked.registered_delivery, 1)

    def test_a_data_sm_whose_addresses_a_submit_sm_cannot_carry_is_refused_by_name(self) -> None:
        short, long = codec.encode_address(1, 1, b"1"), codec.encode_address(1, 1, b"1" * 30)
        for pair, status in ((long + short, c.ESME_RINVSRCADR), (short + long, c.ESME_RINVDSTADR)):
            pdu = codec.decode_message(c.DATA_SM, 1, data_body(addresses=pair))
            with self.assertRaises(CodecError) as caught:
                codec.submit_body_from_data_sm(pdu)
            self.assertEqual(caught.exception.command_status, status)

    def test_an_address_with_a_nul_cannot_be_written(self) -> None:
        self.assertRaises(ValueError, codec.encode_address, 1, 1, b"1\x002")


class OptionalParameterTests(SynchronousTestCase):
    @given(st.lists(st.tuples(st.integers(1, 0xFFFF), st.binary(max_size=20)), max_size=6), st.binary(max_size=5))
    def test_every_parameter_is_found_with_its_value(self, pairs: list[tuple[int, bytes]], before: bytes) -> None:
        body = before + b"".join(codec.tlv(tag, value) for tag, value in pairs)
        firsts = dict(reversed(pairs))
        self.assertEqual(codec.tlv_values(body, len(before)), firsts)
        for tag, value in firsts.items():
            self.assertEqual(codec.find_tlv(body, len(before), tag), value)

    @given(st.binary(max_size=60), st.integers(0, 0xFFFF))
    def test_both_readers_agree_on_any_octets(self, body: bytes, tag: int) -> None:
        firsts = codec.tlv_values(body, 0)
        self.assertEqual(codec.find_tlv(body, 0, tag), firsts.get(tag))
        for present in firsts:
            self.assertEqual(codec.find_tlv(body, 0, present), firsts[present])

    def test_a_parameter_that_runs_over_the_end_costs_only_itself(self) -> None:
        body = codec.tlv(0x1400, b"vendor") + codec.tlv(c.TAG_RECEIPTED_MESSAGE_ID, b"abc")[:-1]
        self.assertEqual(codec.tlv_values(body, 0), {0x1400: b"vendor"})
        self.assertIsNone(codec.find_tlv(body, 0, c.TAG_RECEIPTED_MESSAGE_ID))

    def test_nul_octets_before_a_parameter_are_padding(self) -> None:
        for padding in range(5):
            body = bytes(padding) + codec.tlv(c.TAG_RECEIPTED_MESSAGE_ID, b"abc")
            self.assertEqual(codec.find_tlv(body, 0, c.TAG_RECEIPTED_MESSAGE_ID), b"abc")
            self.assertEqual(codec.tlv_values(body, 0), {c.TAG_RECEIPTED_MESSAGE_ID: b"abc"})

    def test_a_value_that_looks_like_a_tag_is_not_taken_for_one(self) -> None:
        body = codec.tlv(0x1400, codec.tlv(c.TAG_MESSAGE_STATE, b"\2")) + codec.tlv(c.TAG_MESSAGE_STATE, b"\5")
        self.assertEqual(codec.find_tlv(body, 0, c.TAG_MESSAGE_STATE), b"\5")

    def test_the_text_is_short_message_or_else_message_payload(self) -> None:
        payload = codec.tlv(c.TAG_MESSAGE_PAYLOAD, b"payload")
        for text, expected in ((b"short", b"short"), (b"", b"payload")):
            body = codec.message_body(addresses=ADDRESSES, short_message=text, tlvs=payload)
            self.assertEqual(codec.message_octets(codec.decode_message(c.DELIVER_SM, 1, body)), expected)

    def test_a_value_over_64_kib_cannot_be_written(self) -> None:
        self.assertRaises(ValueError, codec.tlv, 0x1400, bytes(0x10000))


class ResponseBodyTests(SynchronousTestCase):
    @given(st.binary(max_size=64).map(lambda raw: raw.replace(b"\0", b"")))
    def test_a_message_id_is_read_back(self, message_id: bytes) -> None:
        self.assertEqual(codec.decode_message_id(message_id + b"\0"), message_id)

    def test_a_missing_body_and_a_missing_nul_are_accepted(self) -> None:
        self.assertEqual(codec.decode_message_id(b""), b"")
        self.assertEqual(codec.decode_message_id(b"abc"), b"abc")


def outcome(decode: Callable[[int, int, bytes], MessagePdu], command_id: int, body: bytes) -> MessagePdu | int:
    """The PDU, or the status with which it was refused."""
    try:
        return decode(command_id, 1, body)
    except CodecError as e:
        return e.command_status
