"""The PDUs off the hot path: what is read although smpp.pdu alone would refuse it, and what is refused how."""

import contextlib
import io

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.smpp import other_codec
from relay.values import smpp_constants as c
from relay.values.pdus import CodecError, MessageIdPdu, OtherPdu


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

    def test_what_does_not_fit_cannot_be_written(self) -> None:
        self.assertRaises(ValueError, other_codec.query_sm_resp_body, b"x" * 65, b"", 2, 0)
        self.assertRaises(ValueError, other_codec.query_sm_resp_body, b"x", b"", 2, 256)
        self.assertRaises(ValueError, other_codec.bind_resp_body, "x" * 16, 0x34)
