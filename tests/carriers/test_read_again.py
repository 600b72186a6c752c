"""A kept receipt that is read again gives the same as the carrier's PDU did, as far as the kept octets allow."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.read_again import read_again
from relay.carriers.relay_api import NotificationReader
from relay.config.carrier_config import Dialect, IdForm
from relay.receipts.reader import ReceiptReader
from relay.smpp.message_codec import decode_message, encode_address, message_body, tlv
from relay.store.table.orphans import RAW_BYTES_KEPT, cut, is_unreadable
from relay.values import smpp_constants as c
from relay.values.carrier_reports import Receipt
from relay.values.states import DELIVERED
from tests.stores import NOW

ADDRESSES = encode_address(1, 1, b"447700900123") + encode_address(5, 0, b"RELAY")
TEXT = b"id:%b sub:001 dlvrd:001 submit date:2609051430 done date:2609051431 stat:DELIVRD err:000 text:"
WRONG = ReceiptReader("tier1", Dialect())
RIGHT = ReceiptReader("tier1", Dialect(receipt_id=IdForm(base="hex")))

ids = st.integers(0, 2**40).map(lambda n: b"%d" % n)
options = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=8).map(lambda v: tlv(0x1401, v)),
        st.sampled_from([tlv(c.TAG_MESSAGE_STATE, b"\x02"), tlv(c.TAG_NETWORK_ERROR_CODE, b"\x03\0\x05")]),
    ),
    max_size=3,
    unique_by=lambda octets: octets[:2],
).map(b"".join)


def deliver_sm(text: bytes, tlvs: bytes = b"") -> bytes:
    return message_body(addresses=ADDRESSES, short_message=text, esm_class=0x04, tlvs=tlvs)


def data_sm(tlvs: bytes) -> bytes:
    """service_type, addresses, esm_class, registered_delivery, data_coding and optional parameters."""
    return b"\0" + ADDRESSES + b"\x04\0\0" + tlvs


def kept(command_id: int, body: bytes) -> Receipt:
    return cut(WRONG.read(decode_message(command_id, 0, body), NOW))


class RereadingTests(SynchronousTestCase):
    @given(ids, options)
    def test_a_deliver_sm_says_what_it_would_have_said_with_the_right_dialect(self, key: bytes, tlvs: bytes) -> None:
        body = deliver_sm(TEXT % key, tlvs)
        right = RIGHT.read(decode_message(c.DELIVER_SM, 0, body), NOW)
        self.assertEqual(read_again(RIGHT, kept(c.DELIVER_SM, body)), right)

    @given(ids, options, st.booleans())
    def test_a_data_sm_says_what_it_would_have_said_with_the_right_dialect(
        self, key: bytes, tlvs: bytes, in_payload: bool
    ) -> None:
        if in_payload:
            tlvs += tlv(c.TAG_MESSAGE_PAYLOAD, TEXT % key)
        else:
            tlvs = tlv(c.TAG_RECEIPTED_MESSAGE_ID, key + b"\0") + tlvs
        body = data_sm(tlvs)
        right = RIGHT.read(decode_message(c.DATA_SM, 0, body), NOW)
        again = read_again(RIGHT, kept(c.DATA_SM, body))
        self.assertEqual(again, None if is_unreadable(right) else right)

    @given(ids, st.integers(0, 400))
    def test_a_half_id_of_a_damaged_receipt_is_not_used(self, key: bytes, end: int) -> None:
        body = deliver_sm(TEXT % key)[:end]
        again = read_again(RIGHT, Receipt("tier1", (), None, False, NOW, raw=body))
        if again is not None:
            self.assertEqual(again.keys, RIGHT.read(decode_message(c.DELIVER_SM, 0, deliver_sm(TEXT % key)), NOW).keys)

    @given(ids, options, st.data())
    def test_a_half_id_of_a_cut_data_sm_is_not_used(self, key: bytes, tlvs: bytes, data: st.DataObject) -> None:
        whole = data_sm(tlv(c.TAG_MESSAGE_PAYLOAD, TEXT % key) + tlvs)
        body = whole[: data.draw(st.integers(0, len(whole)))]
        again = read_again(RIGHT, Receipt("tier1", (), None, False, NOW, raw=body))
        if again is not None:
            self.assertEqual(again.keys, RIGHT.read(decode_message(c.DATA_SM, 0, whole), NOW).keys)

    def test_a_data_sm_whose_lengths_are_wrong_is_left_alone(self) -> None:
        # The id's length is one too short.
        body = data_sm(tlv(c.TAG_MESSAGE_STATE, b"\x02") + b"\0\x1e\0\x02255\0")
        self.assertIsNone(read_again(RIGHT, kept(c.DATA_SM, body)))

    def test_a_long_body_that_was_cut_says_what_stands_in_what_is_kept(self) -> None:
        long = deliver_sm(TEXT % b"255", tlv(0x1401, b"x" * 2000))
        receipt = kept(c.DELIVER_SM, long)
        self.assertEqual(len(receipt.raw), RAW_BYTES_KEPT)
        again = read_again(RIGHT, receipt)
        assert again is not None
        self.assertEqual((again.keys, again.state), ((b"597",), DELIVERED))
        # Of a payload longer than what is kept, nothing is.
        text = TEXT % b"255" + b"x" * 2000
        self.assertIsNone(read_again(RIGHT, kept(c.DATA_SM, data_sm(tlv(c.TAG_MESSAGE_PAYLOAD, text)))))

    @given(st.binary(max_size=200))
    def test_no_octets_raise_an_error(self, body: bytes) -> None:
        read_again(RIGHT, Receipt("tier1", (), None, False, NOW, raw=body))

    def test_an_answer_to_a_question_has_nothing_to_be_read(self) -> None:
        self.assertIsNone(read_again(RIGHT, Receipt("tier1", (b"7",), 2, True, NOW)))

    def test_a_notification_of_a_carrier_over_http_is_read_again_too(self) -> None:
        body = b'{"id": "ab7", "status": "PECULIAR", "error": "003"}'
        [unreadable] = NotificationReader("up", Dialect(), b"").read(body, b"", NOW)
        self.assertTrue(is_unreadable(unreadable))
        reader = NotificationReader("up", Dialect(states={"PECULIAR": "EXPIRED"}), b"")
        self.assertEqual(reader.read_again(unreadable), reader.read(body, b"", NOW)[0])
        self.assertIsNone(reader.read_again(Receipt("up", (), None, False, NOW, raw=body[:20])))
