"""Receipts to customers."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from relay.config.carrier_config import Dialect
from relay.receipts.reader import ReceiptReader
from relay.receipts.receipt_fields import read_fields
from relay.receipts.writer import ReceiptWriter
from relay.smpp.message_codec import decode_message, encode_address, tlv_values
from relay.values import smpp_constants as c
from relay.values import states
from relay.values.ids import id_text, parse_id
from relay.values.notifications import Notification
from relay.values.pdus import MessagePdu

ID = parse_id("72b83667-a8f1-4c09-861f-e1ee6dd4561b") or b""
SOURCE = encode_address(5, 0, b"ACME")
DESTINATION = encode_address(1, 1, b"447700900001")
#: 2026-09-21 14:13:20 UTC
ACCEPTED_AT = 1_790_000_000.0


def notification(**changes: object) -> Notification:
    delivered = Notification(
        ID, "acme", "smpp", states.DELIVERED, True, 1, ACCEPTED_AT, ACCEPTED_AT + 61, SOURCE + DESTINATION
    )
    return replace(delivered, **changes)


def written(error_codes: str = "standard", with_tlvs: bool = True, **changes: object) -> MessagePdu:
    body = ReceiptWriter().deliver_sm_body(notification(**changes), error_codes, with_tlvs)
    return decode_message(c.DELIVER_SM, 1, body)


class Receipts(SynchronousTestCase):
    def test_the_text_is_appendix_b_in_full(self) -> None:
        self.assertEqual(
            written().short_message,
            b"id:72b83667-a8f1-4c09-861f-e1ee6dd4561b sub:001 dlvrd:001 "
            b"submit date:2609211413 done date:2609211414 stat:DELIVRD err:000 text:",
        )

    def test_the_done_date_is_the_carrier_s_where_it_gave_one(self) -> None:
        for at, date in ((ACCEPTED_AT + 1, b"2609211413"), (ACCEPTED_AT - 7200, b"2609211213")):
            self.assertIn(b" done date:%b " % date, written(carrier_done_at=at).short_message)

    def test_a_done_date_without_seconds_is_not_before_the_submission(self) -> None:
        pdu = written(accepted_at=ACCEPTED_AT + 45, carrier_done_at=ACCEPTED_AT + 39)
        self.assertIn(b" submit date:2609211414 done date:2609211414 ", pdu.short_message)

    def test_a_network_s_error_stands_in_the_text_with_three_digits(self) -> None:
        for code, text, expected in (
            (b"\3\0\x15", b"GSM 21", b"021"),
            (b"\3\1\0", b"GSM 256", b"256"),
            (b"\3\0\x15", b"0B", b"0B"),
        ):
            pdu = written("carrier", state=states.UNDELIVERABLE, carrier_error=text, network_error_code=code)
            self.assertIn(b" err:%b text:" % expected, pdu.short_message)

    def test_the_submission_s_user_message_reference_comes_back(self) -> None:
        pdu = written(user_message_reference=258)
        self.assertEqual(tlv_values(pdu.body, pdu.tlvs_at)[c.TAG_USER_MESSAGE_REFERENCE], b"\1\2")
        pdu = written(user_message_reference=0)
        self.assertEqual(tlv_values(pdu.body, pdu.tlvs_at)[c.TAG_USER_MESSAGE_REFERENCE], b"\0\0")
        pdu = written()
        self.assertNotIn(c.TAG_USER_MESSAGE_REFERENCE, tlv_values(pdu.body, pdu.tlvs_at))
        pdu = written(with_tlvs=False, user_message_reference=258)
        self.assertEqual(tlv_values(pdu.body, pdu.tlvs_at), {})

    def test_source_and_destination_have_changed_places(self) -> None:
        self.assertEqual(written().addresses, DESTINATION + SOURCE)

    def test_a_final_state_is_marked_0x04_and_another_0x20(self) -> None:
        self.assertEqual(written().esm_class, 0x04)
        self.assertEqual(written(state=states.ENROUTE, final=False).esm_class, 0x20)

    def test_the_optional_parameters_say_the_same(self) -> None:
        pdu = written(state=states.UNDELIVERABLE, network_error_code=b"\x03\x00\x0b")
        self.assertEqual(
            tlv_values(pdu.body, pdu.tlvs_at),
            {
                c.TAG_RECEIPTED_MESSAGE_ID: b"72b83667-a8f1-4c09-861f-e1ee6dd4561b\0",
                c.TAG_MESSAGE_STATE: b"\x05",
                c.TAG_NETWORK_ERROR_CODE: b"\x03\x00\x0b",
            },
        )

    def test_without_a_code_of_the_network_there_is_none(self) -> None:
        pdu = written()
        self.assertNotIn(c.TAG_NETWORK_ERROR_CODE, tlv_values(pdu.body, pdu.tlvs_at))

    def test_peers_under_3_4_get_no_optional_parameters(self) -> None:
        pdu = written(with_tlvs=False, network_error_code=b"\x03\x00\x0b")
        self.assertEqual(pdu.tlvs_at, len(pdu.body))
        self.assertEqual(pdu.short_message, written().short_message)

    def test_each_state_has_its_words_of_the_contract(self) -> None:
        for state, words in states.CUSTOMER_WORDS.items():
            fields = read_fields(written(state=state))
            self.assertEqual((fields.stat, fields.err), (words.status.encode(), words.error.encode()), state)
            self.assertEqual(fields.dlvrd, 1 if state == states.DELIVERED else 0, state)

    def test_states_of_later_versions_are_said_as_those_of_3_4(self) -> None:
        self.assertEqual(read_fields(written(state=states.SKIPPED)).message_state, states.UNKNOWN)
        self.assertEqual(read_fields(written(state=states.SCHEDULED)).message_state, states.ENROUTE)

    def test_all_parts_of_a_long_message_are_counted(self) -> None:
        fields = read_fields(written(parts=3))
        self.assertEqual((fields.sub, fields.dlvrd), (3, 3))

    def test_the_carriers_error_stays_out(self) -> None:
        self.assertEqual(read_fields(written(state=states.EXPIRED, carrier_error=b"254")).err, b"003")
        self.assertEqual(read_fields(written(state=states.UNDELIVERABLE, carrier_error=b"002")).err, b"005")

    def test_error_002_of_a_delivered_message_is_kept(self) -> None:
        self.assertEqual(read_fields(written(carrier_error=b"002")).err, b"002")

    def test_the_carriers_error_is_given_verbatim_to_who_asks_for_it(self) -> None:
        for error in (b"254", b"000004A6", b"E_NETWORK", b"1", b"%b%d"):
            self.assertEqual(read_fields(written("carrier", carrier_error=error)).err, error)

    def test_an_account_that_asks_for_the_carriers_error_gets_ours_if_the_carrier_sent_none(self) -> None:
        self.assertEqual(read_fields(written("carrier", state=states.EXPIRED)).err, b"003")

    def test_an_error_of_a_carriers_can_add_no_field(self) -> None:
        fields = read_fields(written("carrier", state=states.REJECTED, carrier_error=b"1 stat:DELIVRD\0" * 20))
        self.assertEqual(fields.stat, b"REJECTD")
        self.assertEqual(fields.done_date, b"2609211414")

    def test_one_writer_serves_accounts_of_both_kinds(self) -> None:
        writer = ReceiptWriter()
        told = notification(state=states.UNDELIVERABLE, carrier_error=b"002")
        errors = [
            read_fields(decode_message(c.DELIVER_SM, 1, writer.deliver_sm_body(told, error_codes))).err
            for error_codes in ("standard", "carrier", "standard")
        ]
        self.assertEqual(errors, [b"005", b"002", b"005"])

    def test_the_kept_part_of_a_receipt_is_bounded(self) -> None:
        writer = ReceiptWriter()
        for number in range(5000):
            told = notification(carrier_error=b"%d" % number, done_at=ACCEPTED_AT + 60.0 * number)
            writer.deliver_sm_body(told, "carrier")
        self.assertLessEqual(len(writer._templates), 4000)

    @given(
        st.binary(min_size=16, max_size=16),
        st.sampled_from(sorted(states.CUSTOMER_WORDS)),
        st.booleans(),
        st.binary(max_size=40),
        st.binary(max_size=4),
        st.floats(0, 4e9),
        st.booleans(),
    )
    def test_a_relay_reads_what_a_relay_writes(
        self,
        message_id: bytes,
        state: int,
        final: bool,
        error: bytes,
        network_error_code: bytes,
        done_at: float,
        with_tlvs: bool,
    ) -> None:
        pdu = written(
            "carrier",
            with_tlvs,
            id=message_id,
            state=state,
            final=final,
            carrier_error=error,
            network_error_code=network_error_code,
            done_at=done_at,
        )
        receipt = ReceiptReader("upstream", Dialect()).read(pdu, 0.0)
        self.assertEqual(receipt.keys, (id_text(message_id).encode(),))
        self.assertEqual(receipt.stat, states.CUSTOMER_WORDS[state].status.encode())
        self.assertEqual(receipt.network_error_code, network_error_code if with_tlvs else b"")
