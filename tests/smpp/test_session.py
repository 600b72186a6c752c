"""The session's rules about PDUs, for both roles. Its rules about time are in `test_session_time`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.smpp import message_codec as codec
from relay.smpp.session import Role, Session, SessionLimits, SessionState
from relay.values import smpp_constants as c
from relay.values.pdus import (
    Answered,
    BindPdu,
    BindRefused,
    Bound,
    Ended,
    LateAnswer,
    MessageIdPdu,
    MessagePdu,
    OtherPdu,
    PeerUnbound,
)
from tests.smpp.bodies import data_body
from tests.smpp.pairs import Pair, bound_session, of_kind
from tests.smpp.strategies import frame, frames_in, pieces

ADDRESSES = codec.encode_address(1, 1, b"12345") + codec.encode_address(1, 1, b"447700900456")
BODY = codec.message_body(addresses=ADDRESSES, short_message=b"hello")
BIND_BODY = b"acme\0secret\0\0\x34\0\0\0"
ALL_BINDS = (c.BIND_TRANSMITTER, c.BIND_RECEIVER, c.BIND_TRANSCEIVER)


def replies(session: Session) -> list[tuple[int, str, int]]:
    """What the session has to say: command_id, the status's name, sequence_number."""
    return [
        (command_id, c.status_name(status), number)
        for command_id, status, number, _ in frames_in(session.take_output())
    ]


def sent_number(session: Session) -> int:
    """The sequence number of the one request that was just sent."""
    ((_, _, number, _),) = frames_in(session.take_output())
    return number


class BindingTests(SynchronousTestCase):
    def test_each_kind_of_bind_leads_both_ends_to_its_state(self) -> None:
        for command_id, state in zip(
            ALL_BINDS, (SessionState.BOUND_TX, SessionState.BOUND_RX, SessionState.BOUND_TRX), strict=True
        ):
            pair = Pair()
            pair.bind(command_id)
            self.assertEqual((pair.client.state, pair.server.state), (state, state))
            self.assertEqual(pair.client.can_send, command_id != c.BIND_RECEIVER)
            self.assertEqual(pair.server.can_send, command_id != c.BIND_TRANSMITTER)

    def test_the_server_hears_who_binds_and_the_client_who_answered(self) -> None:
        pair = Pair()
        pair.client.bind(
            c.BIND_TRANSCEIVER,
            "acme",
            "s3cret",
            system_type="VMA",
            interface_version=0x50,
            address_range="44.*",
            now=0.0,
        )
        pair.carry()
        request = BindPdu(c.BIND_TRANSCEIVER, 1, "acme", "s3cret", "VMA", 0x50, "44.*")
        self.assertEqual(pair.server_events, [request])
        pair.server.accept_bind(request, "relay", 0.0)
        pair.carry()
        self.assertEqual(pair.client_events, [Bound("relay", 0x34)])

    def test_a_peer_that_speaks_3_3_is_not_sent_optional_parameters(self) -> None:
        for version, expected in ((0x33, b"relay\0"), (0x00, b"relay\0"), (0x34, b"relay\0\x02\x10\0\1\x34")):
            session = Session(Role.SERVER, SessionLimits(), 0.0)
            body = b"acme\0secret\0\0" + bytes((version,)) + b"\0\0\0"
            (request,) = session.receive(frame(c.BIND_TRANSMITTER, 9, body), 0.0)
            session.accept_bind(request, "relay", 0.0)
            self.assertEqual(frames_in(session.take_output()), [(c.BIND_TRANSMITTER_RESP, c.ESME_ROK, 9, expected)])

    def test_a_carrier_that_does_not_say_its_version_speaks_3_3(self) -> None:
        for body in (b"carrier\0", b"carrier", b""):
            session = Session(Role.CLIENT, SessionLimits(), 0.0)
            session.bind(c.BIND_TRANSCEIVER, "relay", "secret", now=0.0)
            events = session.receive(frame(c.BIND_TRANSCEIVER_RESP, sent_number(session), body), 0.0)
            self.assertEqual(events, [Bound(body.rstrip(b"\0").decode(), 0x33)])

    def test_a_refused_bind_carries_its_status_and_leaves_both_ends_open(self) -> None:
        pair = Pair()
        pair.client.bind(c.BIND_RECEIVER, "acme", "wrong", now=0.0)
        pair.carry()
        pair.server.refuse_bind(pair.server_events[0], c.ESME_RINVPASWD)
        pair.carry()
        self.assertEqual(pair.client_events, [BindRefused(c.ESME_RINVPASWD)])
        self.assertEqual((pair.client.state, pair.server.state), (SessionState.OPEN, SessionState.OPEN))

    def test_a_generic_nack_refuses_a_bind_whatever_its_status(self) -> None:
        for status, expected in ((c.ESME_RINVCMDID, c.ESME_RINVCMDID), (c.ESME_ROK, c.ESME_RBINDFAIL)):
            session = Session(Role.CLIENT, SessionLimits(), 0.0)
            session.bind(c.BIND_TRANSCEIVER, "relay", "secret", now=0.0)
            nack = frame(c.GENERIC_NACK, sent_number(session), command_status=status)
            self.assertEqual(session.receive(nack, 0.0), [BindRefused(expected)])

    def test_a_second_bind_is_answered_with_already_bound(self) -> None:
        session = bound_session(Role.SERVER)
        self.assertEqual(session.receive(frame(c.BIND_RECEIVER, 2, BIND_BODY), 0.0), [])
        self.assertEqual(replies(session), [(c.BIND_RECEIVER_RESP, "ESME_RALYBND", 2)])

    def test_requests_behind_a_bind_are_answered_after_the_bind(self) -> None:
        session = Session(Role.SERVER, SessionLimits(), 0.0)
        octets = (
            frame(c.BIND_TRANSCEIVER, 1, BIND_BODY) + frame(c.SUBMIT_SM, 2, BODY) + frame(c.BIND_RECEIVER, 3, BIND_BODY)
        )
        (request,) = session.receive(octets, 0.0)
        self.assertEqual(session.receive(frame(c.SUBMIT_SM, 4, BODY)[:20], 0.0), [])
        session.accept_bind(request, "relay", 0.0)
        self.assertEqual((session.held, replies(session)), (True, [(c.BIND_TRANSCEIVER_RESP, "ESME_ROK", 1)]))
        (message,) = of_kind(MessagePdu, session.receive(b"", 0.0))
        self.assertEqual(message.sequence_number, 2)
        self.assertEqual((session.held, replies(session)), (False, [(c.BIND_RECEIVER_RESP, "ESME_RALYBND", 3)]))
        (message,) = of_kind(MessagePdu, session.receive(frame(c.SUBMIT_SM, 4, BODY)[20:], 0.0))
        self.assertEqual(message.sequence_number, 4)

    def test_requests_behind_a_refused_bind_are_dropped(self) -> None:
        session = Session(Role.SERVER, SessionLimits(), 0.0)
        (request,) = session.receive(frame(c.BIND_TRANSCEIVER, 1, BIND_BODY) * 20, 0.0)
        session.refuse_bind(request, c.ESME_RBINDFAIL)
        self.assertEqual((session.held, session.receive(b"", 0.0)), (False, []))

    def test_a_peer_may_not_send_without_end_while_its_bind_waits_for_an_answer(self) -> None:
        session = Session(Role.SERVER, SessionLimits(max_pdu_bytes=1000), 0.0)
        session.receive(frame(c.BIND_TRANSCEIVER, 1, BIND_BODY), 0.0)
        events = [event for _ in range(4) for event in session.receive(bytes(600), 0.0)]
        self.assertEqual([type(event) for event in events], [Ended])

    def test_a_bind_that_cannot_be_read_is_answered_with_what_is_wrong(self) -> None:
        for body, status in (
            (b"sixteen-letters!\0secret\0\0\x34\0\0\0", "ESME_RINVSYSID"),
            (b"acme\0" + b"p" * 65 + b"\0\0\x34\0\0\0", "ESME_RINVPASWD"),
            (b"acme\0secret\0" + b"t" * 65 + b"\0\x34\0\0\0", "ESME_RINVSYSTYP"),
            (b"acme\0secret\0\0\x34\0", "ESME_RINVCMDLEN"),
            (b"", "ESME_RINVCMDLEN"),
        ):
            session = Session(Role.SERVER, SessionLimits(), 0.0)
            self.assertEqual(session.receive(frame(c.BIND_TRANSCEIVER, 3, body), 0.0), [])
            self.assertEqual(replies(session), [(c.BIND_TRANSCEIVER_RESP, status, 3)])
            self.assertEqual(len(session.receive(frame(c.BIND_TRANSCEIVER, 4, BIND_BODY), 0.0)), 1)

    def test_the_binds_of_real_clients_are_read(self) -> None:
        session = Session(Role.SERVER, SessionLimits(), 0.0)
        body = b"acme\0a-long-password\0a-system-type-that-is-long\0\x34\x63\x63\0"
        (request,) = of_kind(BindPdu, session.receive(frame(c.BIND_TRANSCEIVER, 1, body), 0.0))
        self.assertEqual((request.password, request.system_type), ("a-long-password", "a-system-type-that-is-long"))

    def test_a_password_that_is_no_utf_8_is_kept_apart_from_others(self) -> None:
        passwords = set()
        for password in (b"\xff", b"\xfe", "\xff".encode()):
            session = Session(Role.SERVER, SessionLimits(), 0.0)
            body = b"acme\0" + password + b"\0\0\x34\0\0\0"
            (request,) = of_kind(BindPdu, session.receive(frame(c.BIND_TRANSMITTER, 1, body), 0.0))
            passwords.add(request.password)
        self.assertEqual(len(passwords), 3)

    def test_a_session_binds_once(self) -> None:
        session = bound_session(Role.CLIENT)
        self.assertRaises(ValueError, session.bind, c.BIND_RECEIVER, "relay", "secret", now=0.0)

    def test_a_bind_that_cannot_be_written_sends_nothing(self) -> None:
        session = Session(Role.CLIENT, SessionLimits(), 0.0)
        self.assertRaises(ValueError, session.bind, c.BIND_RECEIVER, "x" * 16, "secret", now=0.0)
        self.assertEqual(session.take_output(), b"")

    def test_a_bind_that_is_accepted_after_the_session_ended_changes_nothing(self) -> None:
        session = Session(Role.SERVER, SessionLimits(), 0.0)
        (request,) = session.receive(frame(c.BIND_TRANSMITTER, 1, BIND_BODY), 0.0)
        session.connection_lost()
        session.accept_bind(request, "relay", 0.0)
        session.refuse_bind(request, c.ESME_RBINDFAIL)
        self.assertEqual((session.state, session.take_output()), (SessionState.CLOSED, b""))


class StateTests(SynchronousTestCase):
    def test_nothing_but_a_bind_and_enquire_link_may_come_before_a_bind(self) -> None:
        for command_id in (c.SUBMIT_SM, c.DATA_SM, c.DELIVER_SM, c.QUERY_SM, c.CANCEL_SM, c.REPLACE_SM, c.UNBIND):
            session = Session(Role.SERVER, SessionLimits(), 0.0)
            self.assertEqual(session.receive(frame(command_id, 5, BODY), 0.0), [])
            self.assertEqual(replies(session), [(command_id | c.RESPONSE_BIT, "ESME_RINVBNDSTS", 5)])
        session = Session(Role.SERVER, SessionLimits(), 0.0)
        self.assertEqual(session.receive(frame(c.ENQUIRE_LINK, 6), 0.0), [])
        self.assertEqual(replies(session), [(c.ENQUIRE_LINK_RESP, "ESME_ROK", 6)])

    def test_a_receiver_may_not_submit_or_ask(self) -> None:
        for command_id in (c.SUBMIT_SM, c.DATA_SM, c.QUERY_SM, c.CANCEL_SM, c.REPLACE_SM):
            session = bound_session(Role.SERVER, c.BIND_RECEIVER)
            self.assertEqual(session.receive(frame(command_id, 5, BODY), 0.0), [])
            self.assertEqual(replies(session), [(command_id | c.RESPONSE_BIT, "ESME_RINVBNDSTS", 5)])

    def test_a_carrier_may_not_deliver_to_a_transmitter(self) -> None:
        for command_id in (c.DELIVER_SM, c.DATA_SM):
            session = bound_session(Role.CLIENT, c.BIND_TRANSMITTER)
            self.assertEqual(session.receive(frame(command_id, 5, BODY), 0.0), [])
            self.assertEqual(replies(session), [(command_id | c.RESPONSE_BIT, "ESME_RINVBNDSTS", 5)])

    def test_commands_that_we_know_and_do_not_serve_get_their_own_response(self) -> None:
        for role, command_ids in (
            (Role.SERVER, (c.DELIVER_SM, 0x111, 0x112, 0x113)),
            (Role.CLIENT, (c.SUBMIT_SM, c.QUERY_SM, c.BIND_TRANSMITTER)),
        ):
            session = bound_session(role)
            for command_id in command_ids:
                self.assertEqual(session.receive(frame(command_id, 7, BODY), 0.0), [])
                self.assertEqual(replies(session), [(command_id | c.RESPONSE_BIT, "ESME_RINVCMDID", 7)])

    def test_a_command_that_is_none_gets_a_generic_nack_and_the_session_goes_on(self) -> None:
        for session in (bound_session(Role.SERVER), Session(Role.SERVER, SessionLimits(), 0.0)):
            events = session.receive(frame(0x7777, 8, b"abc") + frame(c.ENQUIRE_LINK, 9), 0.0)
            self.assertEqual(events, [])
            self.assertEqual(
                replies(session), [(c.GENERIC_NACK, "ESME_RINVCMDID", 8), (c.ENQUIRE_LINK_RESP, "ESME_ROK", 9)]
            )
            self.assertEqual(session.refused_requests, 1)

    def test_outbind_gets_a_generic_nack_because_it_has_no_response(self) -> None:
        session = bound_session(Role.SERVER)
        session.receive(frame(c.OUTBIND, 8, b"x\0y\0"), 0.0)
        self.assertEqual(replies(session), [(c.GENERIC_NACK, "ESME_RINVCMDID", 8)])

    def test_an_alert_notification_gives_an_event_and_no_answer(self) -> None:
        session = bound_session(Role.CLIENT)
        events = session.receive(frame(c.ALERT_NOTIFICATION, 8, b"abc"), 0.0)
        self.assertEqual((events, session.take_output()), ([OtherPdu(c.ALERT_NOTIFICATION, 8, b"abc")], b""))

    def test_the_bind_and_what_follows_it_may_come_in_one_read(self) -> None:
        session = Session(Role.CLIENT, SessionLimits(), 0.0)
        session.bind(c.BIND_RECEIVER, "relay", "secret", now=0.0)
        number = sent_number(session)
        events = session.receive(frame(c.BIND_RECEIVER_RESP, number, b"carrier\0") + frame(c.DELIVER_SM, 1, BODY), 0.0)
        self.assertEqual([type(event) for event in events], [Bound, MessagePdu])

    def test_a_message_that_comes_before_the_answer_to_our_bind_gives_an_event_once_we_are_bound(self) -> None:
        for answer, expected in ((c.ESME_ROK, [Bound, MessagePdu, MessagePdu]), (c.ESME_RBINDFAIL, [BindRefused])):
            session = Session(Role.CLIENT, SessionLimits(), 0.0)
            session.bind(c.BIND_TRANSCEIVER, "relay", "secret", now=0.0)
            number = sent_number(session)
            early = frame(c.DELIVER_SM, 1, BODY) + frame(c.DATA_SM, 2, data_body(addresses=ADDRESSES))
            self.assertEqual(session.receive(early, 0.0), [])
            events = session.receive(frame(c.BIND_TRANSCEIVER_RESP, number, b"carrier\0", answer), 0.0)
            self.assertEqual([type(event) for event in events], expected)
            self.assertEqual(replies(session), [])

    def test_a_message_that_comes_before_we_bind_as_transmitter_is_refused(self) -> None:
        session = Session(Role.CLIENT, SessionLimits(), 0.0)
        session.bind(c.BIND_TRANSMITTER, "relay", "secret", now=0.0)
        sent_number(session)
        self.assertEqual(session.receive(frame(c.DELIVER_SM, 1, BODY), 0.0), [])
        self.assertEqual(replies(session), [(c.DELIVER_SM_RESP, "ESME_RINVBNDSTS", 1)])


class MessageTests(SynchronousTestCase):
    def test_messages_give_events_in_order_and_may_be_answered_in_any_order(self) -> None:
        pair = Pair()
        pair.bind()
        bodies = [codec.message_body(addresses=ADDRESSES, short_message=b"%d" % n) for n in range(5)]
        pair.client.request(c.SUBMIT_SM, [(body, n) for n, body in enumerate(bodies)], 0.0)
        pair.carry()
        messages = of_kind(MessagePdu, pair.server_events)
        self.assertEqual([message.body for message in messages], bodies)
        answers = [(message.sequence_number, 0, b"id-" + message.short_message + b"\0") for message in messages]
        pair.server.respond(c.SUBMIT_SM_RESP, answers[::-1])
        pair.carry()
        self.assertEqual(
            pair.client_events, [Answered(n, c.SUBMIT_SM_RESP, c.ESME_ROK, b"id-%d" % n) for n in (4, 3, 2, 1, 0)]
        )
        self.assertEqual(pair.client.outstanding, 0)

    def test_both_ends_send_at_once_with_the_same_numbers(self) -> None:
        pair = Pair()
        pair.bind()
        pair.client.request(c.SUBMIT_SM, [(BODY, "out")] * 3, 0.0)
        pair.server.request(c.DELIVER_SM, [(BODY, "in")] * 3, 0.0)
        pair.carry()
        for session, events, response in (
            (pair.server, pair.server_events, c.SUBMIT_SM_RESP),
            (pair.client, pair.client_events, c.DELIVER_SM_RESP),
        ):
            self.assertEqual([type(event) for event in events], [MessagePdu] * 3)
            session.respond(response, [(event.sequence_number, 0, b"\0") for event in of_kind(MessagePdu, events)])
            events.clear()
        pair.carry()
        self.assertEqual([event.token for event in of_kind(Answered, pair.client_events)], ["out"] * 3)
        self.assertEqual([event.token for event in of_kind(Answered, pair.server_events)], ["in"] * 3)

    def test_vendor_parameters_and_padding_reach_the_other_end_octet_for_octet(self) -> None:
        pair = Pair()
        pair.bind()
        body = BODY + codec.tlv(0x1403, b"\0\1\2") + codec.tlv(0xFFFF, b"") + b"\0\0\x14"
        pair.client.request(c.SUBMIT_SM, [(body, None)], 0.0)
        pair.carry()
        (event,) = of_kind(MessagePdu, pair.server_events)
        self.assertEqual(event.body, body)
        self.assertEqual(codec.with_registered_delivery(event, event.registered_delivery), body)

    def test_a_bad_body_is_answered_with_its_status_and_costs_nothing_else(self) -> None:
        long = codec.encode_address(1, 1, b"1" * 300)
        session = bound_session(Role.SERVER)
        events = session.receive(
            frame(c.SUBMIT_SM, 1, codec.message_body(addresses=long + long))
            + frame(c.SUBMIT_SM, 2, BODY[:-1])
            + frame(c.SUBMIT_SM, 3, b"")
            + frame(c.DATA_SM, 4, data_body(addresses=codec.encode_address(1, 1, b"1" * 30) * 2))
            + frame(c.QUERY_SM, 5, b"no end")
            + frame(c.SUBMIT_SM, 6, BODY),
            0.0,
        )
        self.assertEqual([event.sequence_number for event in of_kind(MessagePdu, events)], [6])
        self.assertEqual(
            replies(session),
            [
                (c.SUBMIT_SM_RESP, "ESME_RINVSRCADR", 1),
                (c.SUBMIT_SM_RESP, "ESME_RINVMSGLEN", 2),
                (c.SUBMIT_SM_RESP, "ESME_RINVCMDLEN", 3),
                (c.DATA_SM_RESP, "ESME_RINVSRCADR", 4),
                (c.QUERY_SM_RESP, "ESME_RINVCMDLEN", 5),
            ],
        )
        self.assertEqual(session.refused_requests, 5)

    def test_refused_deliveries_have_the_nul_that_their_response_always_has(self) -> None:
        session = bound_session(Role.CLIENT)
        session.receive(frame(c.DELIVER_SM, 1, b"") + frame(c.DATA_SM, 2, b""), 0.0)
        self.assertEqual([body for _, _, _, body in frames_in(session.take_output())], [b"\0", b"\0"])

    def test_a_damaged_receipt_gives_an_event_with_as_much_as_can_be_read(self) -> None:
        text = b"id:7 stat:DELIVRD err:000"
        whole = codec.message_body(addresses=ADDRESSES, short_message=text, esm_class=0x04)
        text_at = len(whole) - len(text)
        long = bytearray(whole)
        long[text_at - 1] = 200
        damaged = {
            bytes(long): text,
            whole[:-1]: text[:-1],
            whole[: text_at - 1]: b"",
            whole[: len(ADDRESSES) + 2]: b"",
            codec.message_body(
                addresses=codec.encode_address(5, 0, b"x" * 70) + ADDRESSES[:8],
                short_message=text,
                esm_class=0x20,
            ): text,
        }
        for body, expected in damaged.items():
            session = bound_session(Role.CLIENT)
            (pdu,) = of_kind(MessagePdu, session.receive(frame(c.DELIVER_SM, 1, body), 0.0))
            self.assertEqual((pdu.short_message, pdu.body, pdu.tlvs_at), (expected, body, len(body)))
            self.assertEqual(replies(session), [])
            session.respond(c.DELIVER_SM_RESP, [(1, c.ESME_ROK, b"\0")])
            self.assertEqual(replies(session), [(c.DELIVER_SM_RESP, "ESME_ROK", 1)])
        events = bound_session(Role.CLIENT).receive(frame(c.DATA_SM, 1, b"\0" + ADDRESSES + b"\x04"), 0.0)
        (pdu,) = of_kind(MessagePdu, events)
        self.assertEqual((pdu.command_id, pdu.esm_class, pdu.short_message), (c.DATA_SM, 0x04, b""))

    def test_a_damaged_message_that_is_not_marked_as_a_receipt_is_refused_with_its_status(self) -> None:
        session = bound_session(Role.CLIENT)
        handset = codec.message_body(addresses=ADDRESSES, short_message=b"id:7 stat:DELIVRD")[:-1]
        self.assertEqual(session.receive(frame(c.DELIVER_SM, 1, handset) + frame(c.DATA_SM, 2, b"\0"), 0.0), [])
        expected = [(c.DELIVER_SM_RESP, "ESME_RINVMSGLEN", 1), (c.DATA_SM_RESP, "ESME_RINVCMDLEN", 2)]
        self.assertEqual(replies(session), expected)
        # Nor is a customer's message mended.
        server = bound_session(Role.SERVER)
        body = codec.message_body(addresses=ADDRESSES, short_message=b"hello", esm_class=0x04)[:-1]
        self.assertEqual(server.receive(frame(c.SUBMIT_SM, 1, body), 0.0), [])
        self.assertEqual(replies(server), [(c.SUBMIT_SM_RESP, "ESME_RINVMSGLEN", 1)])

    def test_data_sm_gives_an_event_at_both_ends(self) -> None:
        body = data_body(addresses=ADDRESSES, tlvs=codec.tlv(c.TAG_MESSAGE_PAYLOAD, b"hello"))
        for role in Role:
            (event,) = of_kind(MessagePdu, bound_session(role).receive(frame(c.DATA_SM, 4, body), 0.0))
            self.assertEqual((event.command_id, event.body), (c.DATA_SM, body))

    def test_query_sm_and_cancel_sm_give_events(self) -> None:
        session = bound_session(Role.SERVER)
        events = session.receive(
            frame(c.QUERY_SM, 3, b"the-id\0\1\1" + b"123\0")
            + frame(c.CANCEL_SM, 4, b"\0the-id\0\1\1" + b"123\0\1\1" + b"456\0"),
            0.0,
        )
        self.assertEqual(
            events,
            [
                MessageIdPdu(c.QUERY_SM, 3, b"the-id", b"123", b"", 1, 1),
                MessageIdPdu(c.CANCEL_SM, 4, b"the-id", b"123", b"456", 1, 1, 1, 1),
            ],
        )


class PendingTests(SynchronousTestCase):
    limits = SessionLimits(pending_requests=2)

    def test_more_requests_than_may_be_pending_are_throttled_without_an_event(self) -> None:
        session = bound_session(Role.SERVER, limits=self.limits)
        data_sm_body = data_body(addresses=ADDRESSES)
        events = session.receive(
            frame(c.SUBMIT_SM, 1, BODY)
            + frame(c.SUBMIT_SM, 2, BODY)
            + frame(c.SUBMIT_SM, 3, BODY)
            + frame(c.DATA_SM, 4, data_sm_body),
            0.0,
        )
        self.assertEqual([event.sequence_number for event in of_kind(MessagePdu, events)], [1, 2])
        self.assertEqual(
            replies(session), [(c.SUBMIT_SM_RESP, "ESME_RTHROTTLED", 3), (c.DATA_SM_RESP, "ESME_RTHROTTLED", 4)]
        )
        self.assertEqual(session.throttled_requests, 2)

    def test_every_answer_makes_room_again(self) -> None:
        session = bound_session(Role.SERVER, limits=self.limits)
        session.receive(frame(c.SUBMIT_SM, 1, BODY) + frame(c.SUBMIT_SM, 2, BODY), 0.0)
        session.respond(c.SUBMIT_SM_RESP, [(2, c.ESME_RSYSERR, b"")])
        self.assertEqual(len(session.receive(frame(c.DATA_SM, 3, data_body(addresses=ADDRESSES)), 0.0)), 1)
        self.assertEqual(session.receive(frame(c.SUBMIT_SM, 4, BODY), 0.0), [])

    def test_refused_bodies_questions_and_enquire_links_take_no_room(self) -> None:
        session = bound_session(Role.SERVER, limits=self.limits)
        for number in range(1, 10):
            session.receive(
                frame(c.SUBMIT_SM, number, b"")
                + frame(c.QUERY_SM, number, b"id\0\0\0\0")
                + frame(c.ENQUIRE_LINK, number),
                0.0,
            )
        self.assertEqual(len(session.receive(frame(c.SUBMIT_SM, 10, BODY) * 2, 0.0)), 2)

    def test_answers_to_other_requests_make_no_room(self) -> None:
        session = bound_session(Role.SERVER, limits=self.limits)
        session.receive(frame(c.SUBMIT_SM, 1, BODY) * 2, 0.0)
        session.respond(c.QUERY_SM_RESP, [(9, c.ESME_RQUERYFAIL, b"")])
        self.assertEqual(session.receive(frame(c.SUBMIT_SM, 3, BODY), 0.0), [])


class WindowTests(SynchronousTestCase):
    limits = SessionLimits(window=3)

    def test_room_shrinks_with_requests_and_grows_with_answers(self) -> None:
        session = bound_session(Role.CLIENT, limits=self.limits)
        self.assertEqual((session.room, session.outstanding), (3, 0))
        session.request(c.SUBMIT_SM, [(BODY, "a"), (BODY, "b")], 0.0)
        self.assertEqual((session.room, session.outstanding), (1, 2))
        (_, _, number, _), _ = frames_in(session.take_output())
        session.receive(frame(c.SUBMIT_SM_RESP, number, b"id\0"), 0.0)
        self.assertEqual((session.room, session.outstanding), (2, 1))

    def test_a_batch_over_the_room_is_refused_whole(self) -> None:
        session = bound_session(Role.CLIENT, limits=self.limits)
        self.assertRaises(ValueError, session.request, c.SUBMIT_SM, iter([(BODY, n) for n in range(4)]), 0.0)
        self.assertEqual((session.take_output(), session.outstanding), (b"", 0))

    def test_there_is_no_room_where_nothing_may_be_sent(self) -> None:
        for session in (
            Session(Role.CLIENT, self.limits, 0.0),
            bound_session(Role.CLIENT, c.BIND_RECEIVER, self.limits),
            bound_session(Role.SERVER, c.BIND_TRANSMITTER, self.limits),
        ):
            self.assertEqual((session.room, session.can_send), (0, False))
            self.assertRaises(ValueError, session.request, c.SUBMIT_SM, [(BODY, None)], 0.0)

    def test_an_enquire_link_takes_no_room(self) -> None:
        session = bound_session(Role.CLIENT, limits=self.limits)
        session.check_time(30.0)
        self.assertEqual([command for command, _, _ in replies(session)], [c.ENQUIRE_LINK])
        self.assertEqual(session.room, 3)

    def test_sequence_numbers_begin_again_after_the_last_and_pass_over_those_that_wait(self) -> None:
        last = 0x7FFFFFFF
        session = bound_session(Role.CLIENT, limits=SessionLimits(window=10), first=last - 3)
        session.request(c.SUBMIT_SM, [(BODY, n) for n in range(3)], 0.0)
        numbers = [number for _, _, number, _ in frames_in(session.take_output())]
        self.assertEqual(numbers, [last - 2, last - 1, last])
        session.request(c.SUBMIT_SM, [(BODY, n) for n in range(3, 5)], 0.0)
        self.assertEqual([number for _, _, number, _ in frames_in(session.take_output())], [1, 2])
        session._window._next = last - 1
        session.request(c.SUBMIT_SM, [(BODY, n) for n in range(5, 7)], 0.0)
        self.assertEqual([number for _, _, number, _ in frames_in(session.take_output())], [3, 4])
        events = session.receive(b"".join(frame(c.SUBMIT_SM_RESP, n, b"\0") for n in (4, last - 2, 1)), 0.0)
        self.assertEqual([event.token for event in of_kind(Answered, events)], [6, 0, 3])


class AnswerTests(SynchronousTestCase):
    def ask(self, command_id: int = c.SUBMIT_SM) -> tuple[Session, int]:
        session = bound_session(Role.CLIENT)
        session.request(command_id, [(BODY, "token")], 0.0)
        return session, sent_number(session)

    def test_a_missing_body_is_an_answer_with_and_without_an_error(self) -> None:
        for status in (c.ESME_ROK, c.ESME_RTHROTTLED, 0x421):
            session, number = self.ask()
            events = session.receive(frame(c.SUBMIT_SM_RESP, number, command_status=status), 0.0)
            self.assertEqual(events, [Answered("token", c.SUBMIT_SM_RESP, status, b"")])

    def test_an_error_with_a_body_and_an_id_without_its_nul_are_answers(self) -> None:
        for body, message_id in ((b"\0", b""), (b"id\0", b"id"), (b"id", b"id")):
            session, number = self.ask()
            events = session.receive(frame(c.SUBMIT_SM_RESP, number, body, c.ESME_RSUBMITFAIL), 0.0)
            self.assertEqual(events, [Answered("token", c.SUBMIT_SM_RESP, c.ESME_RSUBMITFAIL, message_id)])

    def test_octets_after_the_message_id_are_kept(self) -> None:
        session, number = self.ask()
        body = b"id\0" + codec.tlv(c.TAG_NETWORK_ERROR_CODE, b"\3\0\1")
        events = session.receive(frame(c.SUBMIT_SM_RESP, number, body), 0.0)
        self.assertEqual(events, [Answered("token", c.SUBMIT_SM_RESP, c.ESME_ROK, b"id", body)])

    def test_a_response_of_another_type_settles_nothing(self) -> None:
        session, number = self.ask()
        octets = b"".join(frame(command_id, number, b"7\0") for command_id in (c.DELIVER_SM_RESP, c.DATA_SM_RESP))
        self.assertEqual((session.receive(octets, 0.0), session.unknown_responses), ([], 2))
        events = session.receive(frame(c.SUBMIT_SM_RESP, number, b"8\0"), 0.0)
        self.assertEqual(events, [Answered("token", c.SUBMIT_SM_RESP, c.ESME_ROK, b"8")])

    def test_a_generic_nack_answers_the_request_whose_number_it_has(self) -> None:
        session, number = self.ask()
        events = session.receive(frame(c.GENERIC_NACK, number, command_status=c.ESME_RINVCMDLEN), 0.0)
        self.assertEqual(events, [Answered("token", c.GENERIC_NACK, c.ESME_RINVCMDLEN, b"")])

    def test_answers_to_questions_come_with_their_whole_body(self) -> None:
        session, number = self.ask(c.QUERY_SM)
        body = b"the-id\0\0\2\0"
        events = session.receive(frame(c.QUERY_SM_RESP, number, body), 0.0)
        self.assertEqual(events, [Answered("token", c.QUERY_SM_RESP, c.ESME_ROK, b"the-id", body)])
        session, number = self.ask(c.CANCEL_SM)
        events = session.receive(frame(c.CANCEL_SM_RESP, number), 0.0)
        self.assertEqual(events, [Answered("token", c.CANCEL_SM_RESP, c.ESME_ROK, b"")])

    def test_a_question_is_answered_by_its_own_kind_of_response_only(self) -> None:
        kinds = {c.SUBMIT_SM: c.SUBMIT_SM_RESP, c.QUERY_SM: c.QUERY_SM_RESP, c.CANCEL_SM: c.CANCEL_SM_RESP}
        for asked, own in kinds.items():
            session, number = self.ask(asked)
            for response in (c.SUBMIT_SM_RESP, c.QUERY_SM_RESP, c.CANCEL_SM_RESP):
                if response != own and {asked, response} & {c.QUERY_SM, c.CANCEL_SM, c.QUERY_SM_RESP, c.CANCEL_SM_RESP}:
                    self.assertEqual(session.receive(frame(response, number, b"id\0\0\2\0"), 0.0), [])
            self.assertEqual((session.outstanding, session.tokens()), (1, ["token"]))
            events = session.receive(frame(own, number, b"id\0"), 0.0)
            self.assertEqual([type(event) for event in events], [Answered])
            self.assertEqual(session.outstanding, 0)

    def test_a_generic_nack_answers_a_question_too(self) -> None:
        session, number = self.ask(c.QUERY_SM)
        events = session.receive(frame(c.GENERIC_NACK, number, command_status=c.ESME_RINVCMDID), 0.0)
        self.assertEqual(events, [Answered("token", c.GENERIC_NACK, c.ESME_RINVCMDID, b"")])

    def test_questions_take_places_in_the_window(self) -> None:
        session = bound_session(Role.CLIENT, limits=SessionLimits(window=3))
        session.request(c.QUERY_SM, [(b"id\0\0\0\0", "question")], 0.0)
        self.assertEqual((session.room, session.outstanding), (2, 1))
        session.request(c.SUBMIT_SM, [(BODY, 1), (BODY, 2)], 0.0)
        self.assertEqual(session.room, 0)
        self.assertRaises(ValueError, session.request, c.QUERY_SM, [(b"id\0\0\0\0", "more")], 0.0)
        self.assertEqual(sorted(session.connection_lost(), key=str), [1, 2, "question"])

    def test_responses_that_answer_nothing_are_counted_and_never_answered(self) -> None:
        session, number = self.ask()
        unknown = (c.SUBMIT_SM_RESP, c.GENERIC_NACK, c.QUERY_SM_RESP, c.UNBIND_RESP, c.BIND_RECEIVER_RESP, 0x80007777)
        for command_id in unknown:
            self.assertEqual(session.receive(frame(command_id, number + 1000, b"x\0"), 0.0), [])
        self.assertEqual((session.unknown_responses, session.take_output()), (len(unknown), b""))

    def test_a_message_is_not_settled_by_a_response_to_something_else(self) -> None:
        session, number = self.ask()
        for command_id in (c.BIND_TRANSCEIVER_RESP, c.UNBIND_RESP, c.ENQUIRE_LINK_RESP):
            self.assertEqual(session.receive(frame(command_id, number), 0.0), [])
        self.assertEqual(session.outstanding, 1)

    def test_a_second_answer_answers_nothing(self) -> None:
        session, number = self.ask()
        events = session.receive(frame(c.SUBMIT_SM_RESP, number, b"id\0") * 2, 0.0)
        self.assertEqual((len(events), session.unknown_responses), (1, 1))

    def test_an_answer_after_its_time_is_late_and_its_own_repeat_unknown(self) -> None:
        session, number = self.ask()
        session.check_time(60.0)
        events = session.receive(frame(c.SUBMIT_SM_RESP, number, b"id\0", c.ESME_RSYSERR) * 2, 61.0)
        self.assertEqual(events, [LateAnswer("token", c.ESME_RSYSERR, b"id")])
        self.assertEqual(session.unknown_responses, 1)

    def test_only_so_many_late_numbers_are_remembered(self) -> None:
        session = bound_session(Role.CLIENT, limits=SessionLimits(window=1, enquire_link_seconds=0.0))
        numbers = []
        for n in range(6):
            session.request(c.SUBMIT_SM, [(BODY, n)], n * 100.0)
            numbers.append(sent_number(session))
            session.check_time(n * 100.0 + 60.0)
        events = session.receive(b"".join(frame(c.SUBMIT_SM_RESP, number, b"\0") for number in numbers), 1000.0)
        self.assertEqual([event.token for event in of_kind(LateAnswer, events)], [2, 3, 4, 5])
        self.assertEqual(session.unknown_responses, 2)


class UnbindTests(SynchronousTestCase):
    def test_our_unbind_ends_both_ends(self) -> None:
        pair = Pair()
        pair.bind()
        pair.client.request(c.SUBMIT_SM, [(BODY, "a")], 0.0)
        pair.client.take_output()
        pair.client.unbind(0.0)
        self.assertFalse(pair.client.can_send)
        pair.client.unbind(0.0)
        pair.carry()
        self.assertEqual(pair.server_events, [PeerUnbound()])
        self.assertEqual(pair.client_events, [Ended("unbound", ("a",))])
        self.assertEqual((pair.client.state, pair.server.state), (SessionState.CLOSED, SessionState.UNBOUND))
        self.assertEqual(list(pair.client.connection_lost()), [])

    def test_answers_are_still_taken_while_our_unbind_waits(self) -> None:
        session = bound_session(Role.CLIENT)
        session.request(c.SUBMIT_SM, [(BODY, "a")], 0.0)
        number = sent_number(session)
        session.unbind(0.0)
        unbind_number = sent_number(session)
        events = session.receive(
            frame(c.SUBMIT_SM_RESP, number, b"id\0")
            + frame(c.DELIVER_SM, 1, BODY)
            + frame(c.UNBIND_RESP, unbind_number),
            0.0,
        )
        self.assertEqual([type(event) for event in events], [Answered, MessagePdu, Ended])

    def test_a_generic_nack_to_our_unbind_ends_the_session_too(self) -> None:
        session = bound_session(Role.CLIENT)
        session.unbind(0.0)
        events = session.receive(frame(c.GENERIC_NACK, sent_number(session), command_status=3), 0.0)
        self.assertEqual(events, [Ended("unbound")])

    def test_unbinding_an_unbound_session_does_nothing(self) -> None:
        session = Session(Role.SERVER, SessionLimits(), 0.0)
        session.unbind(0.0)
        self.assertEqual(session.take_output(), b"")

    def test_a_peer_that_unbinds_leaves_our_requests_to_whoever_asks(self) -> None:
        session = bound_session(Role.SERVER)
        session.request(c.DELIVER_SM, [(BODY, "a"), (BODY, "b")], 0.0)
        session.take_output()
        self.assertEqual(session.receive(frame(c.UNBIND, 5), 0.0), [PeerUnbound()])
        self.assertEqual(replies(session), [(c.UNBIND_RESP, "ESME_ROK", 5)])
        self.assertEqual(session.receive(frame(c.ENQUIRE_LINK, 6), 0.0), [])
        self.assertEqual(session.deadline, None)
        self.assertEqual(list(session.connection_lost()), ["a", "b"])

    def test_a_peer_that_unbinds_right_after_submitting_gets_its_answers_first(self) -> None:
        session = bound_session(Role.SERVER)
        events = session.receive(frame(c.SUBMIT_SM, 1, BODY) + frame(c.UNBIND, 2) + frame(c.SUBMIT_SM, 3, BODY), 0.0)
        self.assertEqual([event.sequence_number for event in of_kind(MessagePdu, events)], [1])
        self.assertEqual(replies(session), [(c.SUBMIT_SM_RESP, "ESME_RINVBNDSTS", 3)])
        self.assertFalse(session.can_send)
        session.respond(c.SUBMIT_SM_RESP, [(1, 0, b"id\0")])
        assert session.deadline is not None
        self.assertLessEqual(session.deadline, 1.0)
        self.assertEqual(session.check_time(1.0), [PeerUnbound()])
        self.assertEqual(replies(session), [(c.SUBMIT_SM_RESP, "ESME_ROK", 1), (c.UNBIND_RESP, "ESME_ROK", 2)])

    def test_answers_after_the_end_go_nowhere(self) -> None:
        session = bound_session(Role.SERVER)
        session.receive(frame(c.UNBIND, 5), 0.0)
        session.take_output()
        session.respond(c.SUBMIT_SM_RESP, [(1, 0, b"id\0")])
        self.assertEqual(session.take_output(), b"")

    def test_a_lost_connection_gives_back_what_was_unanswered_oldest_first(self) -> None:
        session = bound_session(Role.CLIENT)
        session.request(c.SUBMIT_SM, [(BODY, "a"), (BODY, "b")], 0.0)
        session.request(c.SUBMIT_SM, [(BODY, "c")], 1.0)
        self.assertEqual(list(session.connection_lost()), ["a", "b", "c"])
        self.assertEqual((session.state, session.deadline), (SessionState.CLOSED, None))
        self.assertEqual(list(session.connection_lost()), [])
        self.assertEqual(session.receive(frame(c.DELIVER_SM, 1, BODY), 2.0), [])


class FramingTests(SynchronousTestCase):
    def assert_ends(self, data: bytes, number: int, reason: str) -> None:
        session = bound_session(Role.SERVER)
        session.request(c.DELIVER_SM, [(BODY, "token")], 0.0)
        session.take_output()
        events = [event for piece in (data[:3], data[3:4], data[4:]) for event in session.receive(piece, 0.0)]
        self.assertEqual(events, [Ended(reason, ("token",))])
        self.assertEqual(replies(session), [(c.GENERIC_NACK, "ESME_RINVCMDLEN", number)])
        self.assertEqual(session.receive(frame(c.SUBMIT_SM, 1, BODY), 0.0), [])
        self.assertEqual((session.state, session.take_output()), (SessionState.CLOSED, b""))

    def test_a_pdu_of_length_15_ends_the_session_with_a_generic_nack(self) -> None:
        self.assert_ends(b"\0\0\0\x0f" + bytes(11), 0, "command_length 15 is less than that of a header")
        self.assert_ends(b"\0\0\0\x0f" + bytes(100), 0, "command_length 15 is less than that of a header")

    def test_a_pdu_of_10_mb_ends_the_session_before_its_body_came(self) -> None:
        header = frame(c.SUBMIT_SM, 77)
        data = (10_000_000).to_bytes(4, "big") + header[4:]
        self.assert_ends(data, 77, "command_length 10000000 is over the limit of 65536")

    def test_http_on_an_smpp_port_ends_the_session(self) -> None:
        number = int.from_bytes(b".1\r\n", "big")
        self.assert_ends(b"GET / HTTP/1.1\r\n\r\n", number, "command_length 1195725856 is over the limit of 65536")

    def test_the_largest_pdu_that_is_allowed_is_read(self) -> None:
        session = bound_session(Role.SERVER, limits=SessionLimits(max_pdu_bytes=1024))
        payload = codec.tlv(c.TAG_MESSAGE_PAYLOAD, b"x" * (1024 - 16 - len(BODY) - 4))
        self.assertEqual(len(session.receive(frame(c.SUBMIT_SM, 1, BODY + payload), 0.0)), 1)
        events = session.receive(frame(c.SUBMIT_SM, 2, BODY + payload + b"\0"), 0.0)
        self.assertEqual([type(event) for event in events], [Ended])

    def test_pdus_before_a_framing_error_become_events(self) -> None:
        session = bound_session(Role.SERVER)
        events = session.receive(frame(c.SUBMIT_SM, 1, BODY) + b"\0\0\0\1", 0.0)
        self.assertEqual([type(event) for event in events], [MessagePdu, Ended])


#: Every kind of PDU that a session of either role meets, good and bad.
_stream = st.lists(
    st.one_of(
        st.builds(
            frame,
            st.sampled_from(
                [
                    c.SUBMIT_SM,
                    c.DELIVER_SM,
                    c.DATA_SM,
                    c.QUERY_SM,
                    c.CANCEL_SM,
                    c.ENQUIRE_LINK,
                    c.ENQUIRE_LINK_RESP,
                    c.SUBMIT_SM_RESP,
                    c.DELIVER_SM_RESP,
                    c.DATA_SM_RESP,
                    c.QUERY_SM_RESP,
                    c.GENERIC_NACK,
                    c.REPLACE_SM,
                    c.ALERT_NOTIFICATION,
                    c.UNBIND,
                    c.UNBIND_RESP,
                    *ALL_BINDS,
                    c.BIND_TRANSCEIVER_RESP,
                    0x7777,
                    0x80007777,
                ]
            ),
            st.integers(0, 6),
            st.sampled_from([b"", b"\0", b"id\0", b"id\0\0\0\0", BODY, BODY[:-2], BIND_BODY, b"\xff" * 40]),
            st.sampled_from([0, 0, 0x58]),
        ),
        st.sampled_from([frame(c.SUBMIT_SM, 1, BODY), frame(c.DELIVER_SM, 1, BODY)]),
        # Rows of responses are taken apart together, and octet by octet each by itself.
        st.lists(
            st.builds(
                frame,
                st.sampled_from([c.SUBMIT_SM_RESP, c.SUBMIT_SM_RESP, c.DELIVER_SM_RESP]),
                st.integers(0, 6),
                st.sampled_from([b"id\0", b"ab\0", b"i\0\0", b"idx", b"\0\0\0", b"id12\0", b""]),
                st.sampled_from([0, 0, 0x58]),
            ),
            min_size=2,
            max_size=6,
        ).map(b"".join),
        st.sampled_from([b"\0\0\0\x0f", b"\xff" * 16]),
    ),
    max_size=12,
).map(b"".join)


def session_for(role: Role, bind: int | None) -> Session:
    """A session with three requests of ours under way, where it can send; `bind` None: not bound yet."""
    limits = SessionLimits(pending_requests=4)
    if bind is None:
        return Session(role, limits, 0.0)
    session = bound_session(role, bind, limits)
    if session.can_send:
        session.request(c.SUBMIT_SM if role is Role.CLIENT else c.DELIVER_SM, [(BODY, n) for n in range(3)], 0.0)
        session.take_output()
    return session


class StreamTests(SynchronousTestCase):
    @given(
        st.sampled_from(Role), st.sampled_from([None, *ALL_BINDS]), _stream, st.lists(st.integers(0, 4000), max_size=30)
    )
    def test_any_cut_of_a_stream_means_the_same(
        self, role: Role, bind: int | None, data: bytes, cuts: list[int]
    ) -> None:
        whole, cut, single = (session_for(role, bind) for _ in range(3))
        expected = whole.receive(data, 1.0)
        output = whole.take_output()
        self.assertEqual([event for piece in pieces(data, cuts) for event in cut.receive(piece, 1.0)], expected)
        self.assertEqual(cut.take_output(), output)
        octets = [data[at : at + 1] for at in range(len(data))]
        self.assertEqual([event for octet in octets for event in single.receive(octet, 1.0)], expected)
        self.assertEqual((single.take_output(), single.state), (output, whole.state))

    @given(st.sampled_from(Role), st.sampled_from([None, *ALL_BINDS]), st.lists(st.binary(max_size=100), max_size=5))
    def test_random_octets_never_raise(self, role: Role, bind: int | None, reads: list[bytes]) -> None:
        session = session_for(role, bind)
        for now, read in enumerate(reads):
            self.assertIsInstance(session.receive(read, float(now)), list)
            session.check_time(float(now))
        frames_in(session.take_output())

    @given(
        st.sampled_from(Role),
        st.sampled_from([None, *ALL_BINDS]),
        st.lists(st.tuples(st.integers(0, 0x120) | st.integers(0, 0xFFFFFFFF), st.binary(max_size=80)), max_size=10),
    )
    def test_random_bodies_under_every_command_never_raise(
        self, role: Role, bind: int | None, pdus: list[tuple[int, bytes]]
    ) -> None:
        session = session_for(role, bind)
        stream = b"".join(frame(command_id, number, body) for number, (command_id, body) in enumerate(pdus))
        self.assertIsInstance(session.receive(stream, 0.0), list)
        frames_in(session.take_output())
