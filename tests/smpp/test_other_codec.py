"""The codec of all other PDUs: what it reads although smpp.pdu would refuse it, and what it refuses."""

import contextlib
import io

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.smpp import other_codec
from relay.smpp.message_codec import decode_message, tlv
from relay.values import smpp_constants as c
from relay.values.pdus import BindPdu, CodecError, MessageIdPdu, OtherPdu, ReplacePdu


class ReadingTests(SynchronousTestCase):
    @given(
        st.sampled_from([c.BIND_TRANSMITTER, c.BIND_RECEIVER, c.BIND_TRANSCEIVER, c.QUERY_SM, c.CANCEL_SM]),
        st.binary(max_size=120),
    )
    def test_random_octets_are_read_or_refused_and_nothing_else(self, command_id: int, body: bytes) -> None:
        try:
            request = other_codec.decode_request(command_id, 1, body)
        except CodecError as e:
            self.assertNotEqual(e.command_status, c.ESME_ROK)
        else:
            self.assertEqual(request.command_id, command_id)

    @given(st.binary(max_size=60))
    def test_a_bind_response_is_always_readable(self, body: bytes) -> None:
        system_id, version = other_codec.decode_bind_resp(body)
        self.assertEqual(system_id.encode("utf-8", "surrogateescape"), body.partition(b"\0")[0])
        self.assertIn(version, range(256))

    def test_unknown_numbering_plans_and_optional_parameters_are_no_obstacle(self) -> None:
        request = other_codec.decode_request(c.BIND_TRANSMITTER, 1, b"acme\0secret\0\0\x34\x63\x63\0\x14\x03\0\1x")
        assert isinstance(request, BindPdu)
        self.assertEqual((request.system_id, request.password), ("acme", "secret"))
        question = other_codec.decode_request(c.QUERY_SM, 1, b"id\0\x63\x63" + b"123\0")
        self.assertEqual(question, MessageIdPdu(c.QUERY_SM, 1, b"id", b"123", b"", 99, 99))

    def test_a_password_of_64_octets_binds_and_one_of_65_is_refused_as_a_password(self) -> None:
        for length, expected in ((64, None), (65, c.ESME_RINVPASWD)):
            body = b"acme\0" + b"p" * length + b"\0\0\x34\0\0\0"
            try:
                status = None
                other_codec.decode_request(c.BIND_TRANSMITTER, 1, body)
            except CodecError as e:
                status = e.command_status
            self.assertEqual(status, expected)

    def test_the_error_names_the_command(self) -> None:
        with self.assertRaises(CodecError) as caught:
            other_codec.decode_request(c.QUERY_SM, 1, b"x" * 70 + b"\0\0\0\0")
        self.assertEqual(caught.exception.command_status, c.ESME_RINVMSGID)
        self.assertTrue(str(caught.exception).startswith("query_sm: "))

    def test_a_request_that_has_no_type_of_its_own_keeps_its_octets(self) -> None:
        self.assertEqual(other_codec.decode_request(c.OUTBIND, 1, b"abc"), OtherPdu(c.OUTBIND, 1, b"abc"))


class AnswerTests(SynchronousTestCase):
    def test_a_final_date_goes_through_as_its_octets_and_nothing_is_printed(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            body = other_codec.query_sm_resp_body(b"id", b"250101120000000+", 2, 7)
            read = other_codec.decode_query_sm_resp(body)
        self.assertEqual(body, b"id\0" + b"250101120000000+\0\2\7")
        self.assertEqual((read, printed.getvalue()), ((b"id", b"250101120000000+", 2, 7), ""))

    def test_states_that_no_list_names_are_read(self) -> None:
        self.assertEqual(other_codec.decode_query_sm_resp(b"id\0\0\x09\xff"), (b"id", b"", 9, 255))

    def test_a_query_sm_resp_that_ends_early_is_refused(self) -> None:
        with self.assertRaises(CodecError) as caught:
            other_codec.decode_query_sm_resp(b"id\0\0\2")
        self.assertEqual(caught.exception.command_status, c.ESME_RINVCMDLEN)

    def test_a_field_that_is_too_long_cannot_be_written(self) -> None:
        self.assertRaises(ValueError, other_codec.query_sm_resp_body, b"x" * 65, b"", 2, 0)
        self.assertRaises(ValueError, other_codec.query_sm_resp_body, b"x", b"", 2, 256)
        self.assertRaises(ValueError, other_codec.bind_resp_body, "x" * 16, 0x34)


class SubmitMultiTests(SynchronousTestCase):
    head = b"WAP\0\5\0ACME\0"
    tail = b"\0\0\1\0\0\1\0\0\0\5hello" + tlv(0x0204, b"\0\7")

    def test_each_destination_is_the_submit_sm_that_says_the_same(self) -> None:
        body = self.head + b"\2" + b"\1\1\x01447700900001\0" + b"\1\0\x0012345\0" + self.tail
        multi = other_codec.decode_submit_multi(9, body)
        destinations = [b"\1\x01447700900001\0", b"\0\x0012345\0"]
        alone = tuple(decode_message(c.SUBMIT_SM, 9, self.head + to + self.tail) for to in destinations)
        self.assertEqual((multi.messages, multi.sequence_number, multi.failed), (alone, 9, ()))
        self.assertEqual([message.destination_address for message in multi.messages], destinations)

    def test_a_distribution_list_and_an_address_that_is_too_long_fail_alone(self) -> None:
        long = b"\1\1" + b"1" * 21 + b"\0"
        body = self.head + b"\3" + b"\2friends\0" + b"\1" + long + b"\1\1\x01447700900001\0" + self.tail
        multi = other_codec.decode_submit_multi(9, body)
        self.assertEqual([m.destination for m in multi.messages], [b"447700900001"])
        self.assertEqual(multi.failed, ((b"\0\0friends\0", c.ESME_RINVDLNAME), (long, c.ESME_RINVDSTADR)))

    def test_a_body_that_is_no_submit_multi_is_refused_with_its_status(self) -> None:
        one = b"\1\1\x01447700900001\0"
        for body, status in (
            (self.head + b"\0" + self.tail, c.ESME_RINVNUMDESTS),
            (self.head + b"\xff" + one * 255 + self.tail, c.ESME_RINVNUMDESTS),
            (self.head + b"\1" + b"\3" + one[1:] + self.tail, c.ESME_RINVDESTFLAG),
            (self.head + b"\2" + one, c.ESME_RINVDESTFLAG),
            (self.head + b"\1" + one[:-1], c.ESME_RINVCMDLEN),
            (self.head + b"\1" + one + self.tail[:8], c.ESME_RINVCMDLEN),
            (b"", c.ESME_RINVCMDLEN),
        ):
            with self.assertRaises(CodecError) as caught:
                other_codec.decode_submit_multi(9, body)
            self.assertEqual(caught.exception.command_status, status)

    def test_the_response_names_each_destination_that_failed(self) -> None:
        body = other_codec.submit_multi_resp_body(b"the-id", [(b"\1\x0112\0", c.ESME_RTHROTTLED)])
        self.assertEqual(body, b"the-id\0\1\1\x0112\0\0\0\0\x58")


class ReplaceSmTests(SynchronousTestCase):
    def body(
        self,
        message_id: bytes = b"the-id",
        source: bytes = b"447700",
        schedule: bytes = b"",
        validity: bytes = b"000002000000000R",
        rest: bytes = b"\1\3\5hello",
    ) -> bytes:
        return b"%b\0\1\2%b\0%b\0%b\0%b" % (message_id, source, schedule, validity, rest)

    def test_its_fields_are_read(self) -> None:
        self.assertEqual(
            other_codec.decode_request(c.REPLACE_SM, 9, self.body()),
            ReplacePdu(
                c.REPLACE_SM,
                9,
                b"the-id",
                b"447700",
                source_ton=1,
                source_npi=2,
                validity_period=b"000002000000000R",
                registered_delivery=1,
                sm_default_msg_id=3,
                short_message=b"hello",
            ),
        )

    def test_its_text_may_stand_in_message_payload(self) -> None:
        request = other_codec.decode_replace_sm(9, self.body(rest=b"\0\0\0\x04\x24\0\2hi"))
        self.assertEqual((request.short_message, request.message_payload), (b"", b"hi"))

    def test_a_body_that_is_no_replace_sm_is_refused_with_its_status(self) -> None:
        for body, status in (
            (self.body(message_id=b"x" * 65), c.ESME_RINVMSGID),
            (self.body(source=b"4" * 21), c.ESME_RINVSRCADR),
            (self.body(schedule=b"0" * 17), c.ESME_RINVSCHED),
            (self.body(validity=b"0" * 17), c.ESME_RINVEXPIRY),
            (self.body(rest=b"\0\0"), c.ESME_RINVCMDLEN),
            (self.body(rest=b"\0\0\5hell"), c.ESME_RINVMSGLEN),
            (b"the-id", c.ESME_RINVCMDLEN),
            (b"", c.ESME_RINVCMDLEN),
        ):
            with self.assertRaises(CodecError) as caught:
                other_codec.decode_request(c.REPLACE_SM, 9, body)
            self.assertEqual(caught.exception.command_status, status)
