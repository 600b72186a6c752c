"""Runs are read as their PDUs are read one by one. `test_session` has runs of responses, and cuts of streams."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.smpp import message_codec as codec
from relay.smpp.runs import SHORTEST_RUN, decode_run, end_of_run
from relay.smpp.session import Role, SessionLimits
from relay.values import smpp_constants as c
from relay.values.pdus import CodecError, MessagePdu
from tests.smpp.pairs import bound_session
from tests.smpp.strategies import frame, message_fields, octet

_BODY = codec.message_body(
    addresses=codec.encode_address(1, 1, b"12345") + codec.encode_address(0, 0, b"447700900456"),
    short_message=b"hello",
    tlvs=codec.tlv(c.TAG_USER_MESSAGE_REFERENCE, b"\0\1"),
)


def changed(body: bytes, changes: list[tuple[int, int]]) -> bytes:
    """The body with other octets at some places (taken modulo its length)."""
    octets = bytearray(body)
    for at, value in changes:
        octets[at % len(body)] = value
    return bytes(octets)


#: Bodies of one length, most of which are alike.
alike = st.tuples(
    st.just(_BODY) | st.builds(lambda fields: codec.message_body(**fields), message_fields),
    st.lists(st.lists(st.tuples(st.integers(0, 300), octet | st.just(0)), max_size=2), min_size=1, max_size=8),
).map(lambda drawn: [changed(drawn[0], changes) for changes in drawn[1]])


class RunTests(SynchronousTestCase):
    @given(alike, st.sampled_from([c.SUBMIT_SM, c.DELIVER_SM]))
    def test_a_run_is_read_as_its_pdus_are_read_alone_or_not_at_all(self, bodies: list[bytes], command_id: int) -> None:
        data = b"".join(frame(command_id, number, body) for number, body in enumerate(bodies, 1))
        length = 16 + len(bodies[0])
        self.assertEqual(end_of_run(data, 0, length), len(data))
        run = decode_run(command_id, data, 0, len(data), length)
        try:
            alone = [codec.decode_message(command_id, number, body) for number, body in enumerate(bodies, 1)]
        except CodecError:
            self.assertIsNone(run)
            return
        self.assertIn(run, (None, alone))

    @given(st.lists(st.lists(st.integers(0x21, 0x7E), min_size=37, max_size=37), min_size=2, max_size=8))
    def test_texts_and_numbers_of_one_length_are_a_run(self, drawn: list[list[int]]) -> None:
        bodies = [
            codec.message_body(
                addresses=codec.encode_address(5, 0, bytes(row[:5])) + codec.encode_address(1, 1, bytes(row[5:17])),
                short_message=bytes(row[17:]),
            )
            for row in drawn
        ]
        data = b"".join(frame(c.SUBMIT_SM, number, body) for number, body in enumerate(bodies, 1))
        self.assertEqual(
            decode_run(c.SUBMIT_SM, data, 0, len(data), 16 + len(bodies[0])),
            [codec.decode_message(c.SUBMIT_SM, number, body) for number, body in enumerate(bodies, 1)],
        )

    def test_a_run_ends_before_another_length_another_command_and_a_cut_pdu(self) -> None:
        pdu = frame(c.SUBMIT_SM, 1, _BODY)
        for behind in (frame(c.SUBMIT_SM, 1, _BODY + b"x"), frame(c.DELIVER_SM, 1, _BODY), pdu[:-1], pdu[:9], b""):
            self.assertEqual(end_of_run(pdu * 3 + behind, 0, len(pdu)), 3 * len(pdu))

    def test_of_a_run_only_as_many_are_taken_as_may_be_pending(self) -> None:
        for allowed in (3, SHORTEST_RUN, SHORTEST_RUN + 3):
            session = bound_session(Role.SERVER, limits=SessionLimits(pending_requests=allowed))
            count = allowed + 20
            events = session.receive(b"".join(frame(c.SUBMIT_SM, n, _BODY) for n in range(1, count + 1)), 0.0)
            numbers = [event.sequence_number for event in events if isinstance(event, MessagePdu)]
            self.assertEqual(numbers, list(range(1, allowed + 1)))
            self.assertEqual(session.throttled_requests, 20)

    def test_a_session_reads_a_long_run_as_it_reads_its_pdus_alone(self) -> None:
        pdus = [frame(c.SUBMIT_SM, n, _BODY.replace(b"hello", b"%05d" % n)) for n in range(1, 2 * SHORTEST_RUN)]
        together, alone = bound_session(Role.SERVER), bound_session(Role.SERVER)
        events = together.receive(b"".join(pdus) + pdus[0][:20], 0.0)
        self.assertEqual(events, [event for pdu in pdus for event in alone.receive(pdu, 0.0)])
        self.assertEqual(len(events), len(pdus))
