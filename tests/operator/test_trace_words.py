"""The lines of a trace: what they say, and what they never say."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.operator.trace_words import pdu_words, request_words
from relay.smpp.message_codec import encode_address, message_body, tlv
from relay.smpp.other_codec import query_sm_body
from relay.values import smpp_constants as c
from tests.fakes import bind_body, pdu, receipt_body

_ADDRESSES = encode_address(5, 0, b"ACME24") + encode_address(1, 1, b"447700900123")
_FROM_HANDSET = encode_address(1, 1, b"447700900123") + encode_address(0, 0, b"60777")
_SECRET = "Zq9secretZq9"


class PduTests(SynchronousTestCase):
    def test_a_message_has_its_fields_but_not_its_text_and_not_the_whole_number(self) -> None:
        body = message_body(addresses=_ADDRESSES, short_message=b"meet me at nine", data_coding=8)
        self.assertEqual(
            "submit_sm 7: from ACME24 (5/0), to 4477009001xx (1/1), esm_class 0x00, data_coding 8, "
            "registered_delivery 1, text of 15 octets, masked",
            pdu_words(pdu(c.SUBMIT_SM, body, sequence_number=7)),
        )

    def test_a_text_in_message_payload_is_masked_and_other_parameters_are_named(self) -> None:
        tlvs = tlv(c.TAG_MESSAGE_PAYLOAD, b"meet me") + tlv(c.TAG_SAR_MSG_REF_NUM, b"\0\7") + tlv(0x1400, b"abc")
        words = pdu_words(pdu(c.SUBMIT_SM, message_body(addresses=_ADDRESSES, short_message=b"") + tlvs))
        self.assertIn("message_payload of 7 octets, masked, sar_msg_ref_num 7, parameter 0x1400 of 3 octets", words)

    def test_a_receipt_has_its_known_fields_but_not_the_text_that_it_repeats(self) -> None:
        words = pdu_words(pdu(c.DELIVER_SM, receipt_body("1a2b", "UNDELIV")))
        self.assertRegex(words, r"esm_class 0x04, .*receipt id:1a2b stat:UNDELIV err:\w+ .*octets is masked")
        body = message_body(
            addresses=_FROM_HANDSET, esm_class=4, short_message=b"id:1 stat:DELIVRD err:000 text:meet me at nine"
        )
        self.assertNotIn("meet", pdu_words(pdu(c.DELIVER_SM, body)))

    def test_a_message_from_a_handset_shows_neither_its_text_nor_the_whole_number(self) -> None:
        words = pdu_words(pdu(c.DELIVER_SM, message_body(addresses=_FROM_HANDSET, short_message=b"id: my secret")))
        self.assertIn("from 4477009001xx (1/1), to 607xx (0/0)", words)
        self.assertIn("text of 13 octets, masked", words)

    def test_responses_name_their_status_and_id(self) -> None:
        taken = pdu(0x80000004, b"1a2b\0", sequence_number=3)
        self.assertEqual("submit_sm_resp 3: ESME_ROK, message_id 1a2b", pdu_words(taken))
        self.assertEqual("submit_sm_resp 1: ESME_RTHROTTLED", pdu_words(pdu(0x80000004, command_status=0x58)))
        self.assertEqual("generic_nack 1: ESME_RINVCMDID", pdu_words(pdu(c.GENERIC_NACK, command_status=3)))

    def test_a_bind_has_no_password(self) -> None:
        words = pdu_words(pdu(c.BIND_TRANSCEIVER, bind_body("acme", _SECRET[:8])))
        self.assertIn("bind_transceiver 1: system_id acme, the password is masked", words)
        self.assertNotIn(_SECRET[:8], words)

    def test_other_requests_are_named(self) -> None:
        self.assertEqual("enquire_link 1", pdu_words(pdu(c.ENQUIRE_LINK)))
        self.assertIn("query_sm 1: message_id 1a2b", pdu_words(pdu(c.QUERY_SM, query_sm_body(b"1a2b"))))
        self.assertEqual("command 0x00000777 1: a body of 3 octets", pdu_words(pdu(0x777, b"abc")))

    @given(
        st.sampled_from(sorted({*c.BIND_COMMANDS, c.SUBMIT_SM, c.DELIVER_SM, c.DATA_SM, c.SUBMIT_MULTI, c.REPLACE_SM,
                                c.QUERY_SM, c.CANCEL_SM, c.OUTBIND, c.ALERT_NOTIFICATION, 0x80000003, 0x80000009})),
        st.integers(0, 0x500),
        st.binary(max_size=80),
    )  # fmt: skip
    def test_whatever_octets_come_they_make_one_line_without_control_characters(
        self, command_id: int, status: int, body: bytes
    ) -> None:
        words = pdu_words(pdu(command_id, body, command_status=status))
        self.assertTrue(words.isprintable(), words)

    @given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=20), st.binary(max_size=20))
    def test_a_text_is_never_shown_whatever_is_around_it(
        self, esm_class: int, data_coding: int, before: bytes, after: bytes
    ) -> None:
        text = before + _SECRET.encode() + after
        body = message_body(addresses=_ADDRESSES, short_message=text, esm_class=esm_class, data_coding=data_coding)
        self.assertNotIn(_SECRET, pdu_words(pdu(c.SUBMIT_SM, body)))


class RequestTests(SynchronousTestCase):
    def test_a_webhook_shows_its_fields_but_no_signature_and_no_query(self) -> None:
        headers = {b"Content-Type": [b"application/json"], b"Webhook-Signature": [b"v1,abc"], b"X-Api-Key": [b"hush"]}
        known = b'"id":"7","send_status":"delivered","status":"DELIVRD","error":"000"'
        body = b'{"url":"http://a.example/x?token=hush",%b}' % known
        words = request_words("POST", "https://me:hush@a.example/x?token=hush#hush", headers, body)
        self.assertEqual(
            "POST https://a.example/x (its query is masked), Content-Type: application/json, "
            f"masked headers: Webhook-Signature X-Api-Key, body of {len(body)} octets: "
            "id=7 send_status=delivered status=DELIVRD error=000",
            words,
        )
        self.assertNotIn("hush", words)

    def test_an_array_shows_its_first_objects(self) -> None:
        body = b"[" + b",".join(b'{"id":"%d","text":"hush"}' % n for n in range(5)) + b"]"
        words = request_words("POST", "http://a.example/", {b"Content-Type": [b"application/json"]}, body)
        self.assertIn(": id=0; id=1; id=2 and 2 more", words)
        self.assertNotIn("hush", words)

    def test_a_form_shows_its_known_fields(self) -> None:
        headers = {b"Content-Type": [b"application/x-www-form-urlencoded"]}
        words = request_words("POST", "http://a.example/", headers, b"id=7&status=DELIVRD&text=hush")
        self.assertTrue(words.endswith("octets: id=7 status=DELIVRD"), words)

    def test_a_body_of_another_kind_shows_its_length_only(self) -> None:
        for content_type in (b"application/json", b"text/xml"):
            words = request_words("POST", "http://a.example/", {b"Content-Type": [content_type]}, b"{hush")
            self.assertTrue(words.endswith("body of 5 octets"), words)
