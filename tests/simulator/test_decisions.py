"""The simulated carrier's decisions."""

import random
import re
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.config.carrier_config import Simulator
from relay.simulator.decisions import WORDS, Fate, Simulation, Taken
from relay.values import smpp_constants as c
from relay.values import states
from relay.values.pdus import MessageIdPdu, MessagePdu

NOW = 1_800_000_000.0
TEXT = re.compile(
    rb"id:(\S+) sub:001 dlvrd:(\d{3}) submit date:(\d{10}) done date:(\d{10}) stat:(\w+) err:(\d{3}) text:(.*)"
)


def submit(registered_delivery: int = 1, data_coding: int = 0, text: bytes = b"hello") -> MessagePdu:
    return MessagePdu(
        c.SUBMIT_SM,
        1,
        b"",
        b"\x01\x01447700900000\0\x02\x03447700900001\0",
        b"447700900001",
        0,
        registered_delivery,
        0,
        data_coding,
        text,
        0,
    )


def part(header: bytes, number: int) -> MessagePdu:
    """One part of a long message; its number goes behind the rest of its header."""
    octets = bytes([len(header) + 1]) + header + bytes([number]) + b"text"
    return msgspec.structs.replace(submit(text=octets), esm_class=c.ESM_CLASS_UDHI)


def simulation(seed: int = 1, first_number: int = 1 << 40, **settings: object) -> Simulation:
    return Simulation(Simulator(**settings), random.Random(seed), first_number)  # type: ignore[arg-type]


def taken(simulated: Simulation, pdu: MessagePdu | None = None) -> Taken:
    fate = simulated.decide(pdu or submit(), NOW)
    assert isinstance(fate, Taken)
    return fate


def text_of(body: bytes) -> bytes:
    fields = body.split(b"\0\0\0\0\0\0\0\0", 1)[1]
    assert len(fields) == fields[0] + 1
    return fields[1:]


class Fates(SynchronousTestCase):
    @given(st.integers(), st.integers(1, 100))
    def test_one_seed_always_gives_the_same_events(self, seed: int, count: int) -> None:
        settings: dict[str, Any] = {
            "throttle_share": 0.2,
            "reject_share": 0.1,
            "drop_share": 0.05,
            "silent_share": 0.1,
            "duplicate_share": 0.3,
            "response_id": "uuid",
            "states": {"DELIVRD": 0.5, "UNDELIV": 0.5},
        }
        first, second = simulation(seed, **settings), simulation(seed, **settings)
        for _ in range(count):
            self.assertEqual(first.decide(submit(), NOW), second.decide(submit(), NOW))

    def test_final_states_have_the_shares_that_were_asked_for(self) -> None:
        simulated = simulation(states={"DELIVRD": 8, "UNDELIV": 1, "EXPIRED": 1})
        drawn = [taken(simulated).state for _ in range(5000)]
        self.assertApproximates(drawn.count(states.DELIVERED) / 5000, 0.8, 0.03)
        self.assertApproximates(drawn.count(states.UNDELIVERABLE) / 5000, 0.1, 0.02)
        self.assertApproximates(drawn.count(states.EXPIRED) / 5000, 0.1, 0.02)

    def receipted(self, mode: str, header: bytes) -> list[int]:
        """Which of three parts get a receipt."""
        simulated = simulation(parts_receipted=mode)
        return [number for number in (1, 2, 3) if taken(simulated, part(header, number)).receipts]

    def test_a_long_message_gets_receipts_for_the_parts_that_were_asked_for(self) -> None:
        # Concatenated short messages with references of one octet and of two, alone and behind a port address.
        for header in (b"\0\3\x04\3", b"\x08\4\1\2\3", b"\5\4\1\2\3\4\0\3\x04\3"):
            with self.subTest(header=header):
                self.assertEqual(self.receipted("all", header), [1, 2, 3])
                self.assertEqual(self.receipted("first", header), [1])
                self.assertEqual(self.receipted("last", header), [3])
                one = self.receipted("any", header)
                self.assertEqual((len(one), one), (1, self.receipted("any", header)))

    def test_a_message_that_is_no_part_always_gets_its_receipt(self) -> None:
        for mode in ("first", "last", "any"):
            simulated = simulation(parts_receipted=mode)
            for header in (b"\5\4\1\2\3", b"\0\3\x04\0", b"\0\x30\x04", b"\0"):
                self.assertEqual(taken(simulated, part(header, 2)).receipts, 1)
            self.assertEqual(taken(simulated).receipts, 1)
            self.assertEqual(taken(simulated, msgspec.structs.replace(submit(text=b""), esm_class=0x40)).receipts, 1)

    @given(st.binary(max_size=20))
    def test_any_user_data_header_is_accepted(self, octets: bytes) -> None:
        pdu = msgspec.structs.replace(submit(text=octets), esm_class=c.ESM_CLASS_UDHI)
        self.assertIn(taken(simulation(parts_receipted="last"), pdu).receipts, (0, 1))

    def test_messages_are_throttled_rejected_and_dropped_by_their_shares(self) -> None:
        for simulated, fate in [
            (simulation(throttle_share=1.0), c.ESME_RTHROTTLED),
            (simulation(reject_share=1.0), c.ESME_RINVDSTADR),
            (simulation(drop_share=1.0), Fate.DROP),
        ]:
            self.assertEqual(simulated.decide(submit(), NOW), fate)
        some = simulation(throttle_share=0.25)
        fates = [some.decide(submit(), NOW) for _ in range(4000)]
        self.assertApproximates(fates.count(c.ESME_RTHROTTLED) / 4000, 0.25, 0.03)

    def test_a_silent_message_gets_no_receipt_and_a_duplicate_gets_two(self) -> None:
        self.assertEqual(taken(simulation()).receipts, 1)
        self.assertEqual(taken(simulation(silent_share=1.0)).receipts, 0)
        self.assertEqual(taken(simulation(duplicate_share=1.0)).receipts, 2)

    def test_only_receipts_that_were_asked_for_are_sent(self) -> None:
        for delivered, registered_delivery, receipts in [
            (True, 0, 0),
            (True, 1, 1),
            (True, 2, 0),
            (True, 3, 1),
            (False, 1, 1),
            (False, 2, 1),
            (False, 3, 0),
            (True, 0x11, 1),
        ]:
            simulated = simulation(states={"DELIVRD" if delivered else "UNDELIV": 1.0})
            self.assertEqual(taken(simulated, submit(registered_delivery)).receipts, receipts, registered_delivery)

    def test_an_unknown_state_is_named(self) -> None:
        with self.assertRaisesRegex(ValueError, "DELIVERED: not a final state; there are DELIVRD"):
            simulation(states={"DELIVERED": 1.0})
        with self.assertRaisesRegex(ValueError, "above 0"):
            simulation(states={"DELIVRD": 0.0})


class Ids(SynchronousTestCase):
    @given(st.integers(1 << 32, (1 << 48) - 1), st.sampled_from(["decimal", "hex", "upper_hex", "padded", "low_32"]))
    def test_both_ids_of_a_message_write_the_same_number(self, number: int, form: str) -> None:
        message = taken(simulation(first_number=number, response_id="decimal", receipt_id=form))
        self.assertEqual(int(message.response_id), number)
        base = 16 if form.endswith("hex") else 10
        expected = number % (1 << 32) if form == "low_32" else number
        self.assertEqual(int(message.receipt_id, base), expected)

    def test_ids_may_have_a_prefix_a_suffix_or_be_uuids(self) -> None:
        self.assertEqual(taken(simulation(first_number=70, response_id="prefixed")).response_id, b"sim-70")
        self.assertEqual(taken(simulation(first_number=70, response_id="suffixed")).response_id, b"70-sim")
        self.assertEqual(taken(simulation(first_number=70, response_id="padded")).response_id, b"%020d" % 70)
        self.assertRegex(
            taken(simulation(response_id="uuid")).response_id,
            rb"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$",
        )

    @given(st.sampled_from(["decimal", "hex", "padded", "low_32", "prefixed", "suffixed", "uuid"]))
    def test_no_two_messages_have_one_id(self, form: str) -> None:
        simulated = simulation(response_id=form)
        messages = [taken(simulated) for _ in range(300)]
        self.assertEqual(len({message.response_id for message in messages}), 300)
        self.assertEqual([message.receipt_id for message in messages], [message.response_id for message in messages])


class Receipts(SynchronousTestCase):
    def test_a_receipt_says_the_state_in_the_words_of_appendix_b(self) -> None:
        for name, word in WORDS.items():
            simulated = simulation(states={name: 1.0}, receipt_delay_seconds=60)
            message = taken(simulated)
            body = simulated.receipt(message)
            self.assertTrue(body.startswith(b"\0\x02\x03447700900001\0\x01\x01447700900000\0\x04"))
            found = TEXT.fullmatch(text_of(body))
            assert found is not None
            self.assertEqual(found[1], message.receipt_id)
            self.assertEqual((found[2], found[5].decode()), (b"001" if name == "DELIVRD" else b"000", name))
            self.assertEqual((found[3], found[4]), (b"2701150800", b"2701150801"))
            self.assertEqual((found[6], found[7]), (word.error, b"hello"))

    def test_a_receipt_quotes_twenty_characters_and_no_octets_that_are_none(self) -> None:
        simulated = simulation()
        self.assertTrue(simulated.receipt(taken(simulated, submit(text=b"x" * 100))).endswith(b"text:" + b"x" * 20))
        self.assertTrue(simulated.receipt(taken(simulated, submit(data_coding=8, text=b"\0a"))).endswith(b"text:"))

    def test_a_receipt_without_text_says_it_in_optional_parameters(self) -> None:
        simulated = simulation(tlv_only=True, states={"EXPIRED": 1.0})
        message = taken(simulated)
        body = simulated.receipt(message)
        tlvs = b"\x00\x1e\x00%c%b\0\x04\x27\x00\x01\x03" % (len(message.receipt_id) + 1, message.receipt_id)
        self.assertEqual(body, b"\0%b\x04" % message.addresses + bytes(9) + tlvs)

    def test_a_query_is_answered_with_the_final_state_once_it_is_known(self) -> None:
        simulated = simulation(receipt_delay_seconds=0)
        message = taken(simulated)
        query = MessageIdPdu(c.QUERY_SM, 1, message.response_id)
        self.assertEqual(simulated.answer(query, message), (c.ESME_ROK, message.response_id + b"\0\0\x01\0"))
        message.ended = True
        self.assertEqual(
            simulated.answer(query, message), (c.ESME_ROK, message.response_id + b"\x00270115080000000+\0\x02\0")
        )

    def test_a_query_names_the_simulators_own_error_as_a_number(self) -> None:
        simulated = simulation(states={"UNDELIV": 1.0})
        message = taken(simulated)
        message.ended = True
        _, body = simulated.answer(MessageIdPdu(c.QUERY_SM, 1, message.response_id), message)
        self.assertEqual(body[-2:], bytes((states.UNDELIVERABLE, 11)))

    def test_a_question_with_other_addresses_than_the_messages_is_refused(self) -> None:
        simulated = simulation()
        message = taken(simulated)
        destination, source = (
            message.addresses[2 : message.addresses.index(0, 2)],
            message.addresses[message.addresses.index(0, 2) + 3 : -1],
        )
        for wrong in (MessageIdPdu(c.QUERY_SM, 1, b"x", b"999"), MessageIdPdu(c.CANCEL_SM, 1, b"x", source, b"999")):
            self.assertIn(simulated.answer(wrong, message)[0], (c.ESME_RQUERYFAIL, c.ESME_RCANCELFAIL))
        right = MessageIdPdu(c.CANCEL_SM, 1, b"x", source, destination)
        self.assertEqual((simulated.answer(right, message)[0], message.state), (c.ESME_ROK, states.DELETED))

    def test_query_sm_and_cancel_sm_may_be_refused(self) -> None:
        simulated = simulation(refuse_questions=True)
        message = taken(simulated)
        for command_id in (c.QUERY_SM, c.CANCEL_SM):
            question = MessageIdPdu(command_id, 1, message.response_id)
            self.assertEqual(simulated.answer(question, message), (c.ESME_RINVCMDID, b""))
