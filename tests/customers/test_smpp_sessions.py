"""Customers' sessions: when a submit_sm is answered, with what, and what comes after the answer."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from relay.accounts.accounts import Accounts
from relay.config import account_config, daemon_config, listener_config, route_config
from relay.customers.smpp_sessions import PROBE_SECONDS, CustomerSessions
from relay.routing.flow import MessageFlow
from relay.routing.flow_api import Outgoing
from relay.routing.routes import Routes
from relay.smpp.connection import SLOW_SECONDS
from relay.smpp.message_codec import decode_message, encode_address, message_body, tlv
from relay.smpp.server import SmppServerFactory
from relay.smpp.session import SessionLimits
from relay.store.store_values import StoreFull, StoreUnavailable
from relay.values import smpp_constants as c
from relay.values.ids import id_octets, parse_id
from relay.values.messages import Message, source_of
from relay.values.notifications import Attempt, Claim, QueueKey
from relay.values.secret import Secret
from tests.fakes import bind_body, parse_header, pdu, submit_body
from tests.routing.test_flow import FakeLink, RecordingStore
from tests.smpp.strategies import frames_in

SUBMIT = pdu(c.SUBMIT_SM, submit_body("447700900001"), sequence_number=7)


#: 2026-11-28 00:00 UTC.
NOW = 1_795_824_000.0


class SlowStore(RecordingStore):
    """Durable when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.durable: Deferred[None] = Deferred()
        #: The logins of the queues that were claimed from.
        self.claimed_from: list[str] = []
        self.kept: dict[tuple[str, str], str | None] = {}

    def accept(self, messages: Sequence[Message], *keys: object, **more: object) -> Deferred[None]:
        self.accepted.extend(messages)
        return self.durable

    def claim(self, queue_key: QueueKey, limit: int, now: float) -> Deferred[Claim]:
        self.claimed_from.append(queue_key.url)
        return succeed(Claim(()))

    def put_setting(self, account: str, name: str, value: str | None) -> Deferred[None]:
        self.kept[account, name] = value
        return succeed(None)

    def settle(self, batch: Sequence[Attempt]) -> Deferred[None]:
        return succeed(None)


class SessionTestCase(SynchronousTestCase):
    """`acme`, bound as a transmitter."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.store = SlowStore()
        smpp = account_config.AccountSmpp(system_id="acme", password=Secret("secret08"), max_binds=2)
        accounts = self.accounts = Accounts({"acme": account_config.Account(smpp=smpp, rate=1.0, burst=2)})
        flow = MessageFlow(
            store=self.store,
            rates=accounts,
            routes=Routes([route_config.Route(carriers=["tier1"])]),
            clock=self.clock,
            random_bytes=random.Random(1).randbytes,
            validity_seconds=3600.0,
            senders_of=accounts.senders,
        )
        self.link = FakeLink()
        flow.connect({"tier1": self.link}, {})
        self.side = CustomerSessions(flow, accounts, listener_config.SmppListener(), daemon_config.Limits(), self.clock)
        self.factory = SmppServerFactory(
            self.side, SessionLimits(enquire_link_seconds=0.0), self.clock, flow.fair_share
        )
        self.protocol, self.transport = self.connect()
        self.protocol.dataReceived(pdu(c.BIND_TRANSMITTER, bind_body("acme", "secret08")))
        self.transport.clear()

    def connect(self) -> tuple[Any, Any]:
        """A new connection, and its transport."""
        transport = StringTransport()
        protocol: Any = self.factory.buildProtocol(StringTransport().getPeer())
        protocol.makeConnection(transport)
        return protocol, transport

    def answers(self, transport: Any = None) -> list[tuple[int, str, int]]:
        """command_id, name of the status and sequence_number of all that was written since the last call."""
        transport = transport or self.transport
        written = frames_in(transport.value())
        transport.clear()
        return [(command_id, c.status_name(status), number) for command_id, status, number, _ in written]


class SubmitTests(SessionTestCase):
    def answer(self) -> tuple[int, int, int, bytes]:
        """command_id, status, sequence_number and body of the one PDU that was written."""
        octets = self.transport.value()
        length, command_id, status, number = parse_header(octets)
        self.assertEqual(len(octets), length)
        return command_id, status, number, octets[16:]

    def test_a_submit_sm_is_answered_when_it_is_durable_and_sent_on_after_the_answer(self) -> None:
        self.protocol.dataReceived(SUBMIT)
        self.assertEqual((self.transport.value(), self.link.offered), (b"", []))
        written_first: list[bytes] = []
        offer = self.link.offer

        def note_and_offer(parts: Sequence[Outgoing]) -> None:
            written_first.append(self.transport.value())
            offer(parts)

        self.link.offer = note_and_offer  # type: ignore[method-assign]
        self.store.durable.callback(None)
        command_id, status, number, body = self.answer()
        self.assertEqual((command_id, status, number), (c.SUBMIT_SM_RESP, c.ESME_ROK, 7))
        (message,) = self.store.accepted
        self.assertEqual(parse_id(body[:-1].decode()), message.id)
        self.assertEqual([part.id for part in self.link.offered], [message.id])
        self.assertEqual(written_first, [self.transport.value()])

    def test_a_message_that_can_not_be_made_durable_is_refused_and_not_sent_on(self) -> None:
        for problem, expected in ((StoreUnavailable("full disk"), c.ESME_RSYSERR), (StoreFull("x"), c.ESME_RMSGQFUL)):
            self.store.durable = Deferred()
            self.protocol.dataReceived(SUBMIT)
            self.store.durable.errback(problem)
            self.assertEqual(self.answer(), (c.SUBMIT_SM_RESP, expected, 7, b""))
            self.assertEqual(self.link.offered, [])
            self.transport.clear()

    def test_a_customer_above_its_rate_is_told_so_and_not_read_for_a_moment(self) -> None:
        self.protocol.dataReceived(SUBMIT * 2)
        self.assertEqual(self.transport.producerState, "producing")
        self.protocol.dataReceived(SUBMIT)
        self.assertEqual(self.answer(), (c.SUBMIT_SM_RESP, c.ESME_RTHROTTLED, 7, b""))
        self.assertEqual(self.transport.producerState, "paused")
        self.clock.advance(SLOW_SECONDS)
        self.assertEqual(self.transport.producerState, "producing")

    def test_the_rate_judges_each_submit_sm_of_a_read_alone_and_in_order(self) -> None:
        submits = [pdu(c.SUBMIT_SM, submit_body("447700900001"), sequence_number=n) for n in range(1, 8)]
        self.store.durable.callback(None)
        self.protocol.dataReceived(b"".join(submits))
        expected = ["ESME_ROK"] * 2 + ["ESME_RTHROTTLED"] * 5
        self.assertEqual(self.answers(), [(c.SUBMIT_SM_RESP, status, n) for n, status in enumerate(expected, 1)])
        # The burst is used up, and no more: a second later there is room for one message again.
        self.clock.advance(1.0)
        self.protocol.dataReceived(b"".join(submits[:3]))
        self.assertEqual(
            [status for _, status, _ in self.answers()], ["ESME_ROK", "ESME_RTHROTTLED", "ESME_RTHROTTLED"]
        )


class FieldTests(SessionTestCase):
    """What each field of a submit_sm may hold."""

    def setUp(self) -> None:
        super().setUp()
        self.store.durable.callback(None)

    def status_of(self, source: bytes = b"ACME", destination: bytes = b"447700900001", **fields: Any) -> str:
        addresses = encode_address(5, 0, source) + encode_address(1, 1, destination)
        self.clock.advance(1.0)
        self.protocol.dataReceived(pdu(c.SUBMIT_SM, message_body(addresses=addresses, **fields)))
        ((_, status, _),) = self.answers()
        return status

    def test_priority_flag_is_the_message_s_priority_and_is_passed_on(self) -> None:
        for flag in (0, 2, 3, 9):
            self.assertEqual(self.status_of(priority_flag=flag), "ESME_ROK")
        self.assertEqual([message.priority for message in self.store.accepted], [0, 2, 3, 3])
        passed_on = [decode_message(c.SUBMIT_SM, 0, message.parts[0]) for message in self.store.accepted]
        self.assertEqual([body.priority_flag for body in passed_on], [0, 2, 3, 9])

    def test_a_user_message_reference_is_kept_for_the_receipts(self) -> None:
        for octets in (b"\1\2", b"\0\0", b"\7", b"", b"\1\2\3"):
            parameters = tlv(0x0019, b"\0") + tlv(c.TAG_USER_MESSAGE_REFERENCE, octets)
            self.assertEqual(self.status_of(tlvs=parameters), "ESME_ROK")
        self.assertEqual(self.status_of(), "ESME_ROK")
        kept = [message.user_message_reference for message in self.store.accepted]
        self.assertEqual(kept, [258, 0, 7, None, None, None])

    def test_addresses_are_printable_ascii(self) -> None:
        for address in (b"12345", b"+447700900001", b"0123", b"A-B c"):
            self.assertEqual(self.status_of(source=address, destination=address), "ESME_ROK")
        self.assertEqual(self.status_of(source=b""), "ESME_ROK")
        for octet in (b"\r\n", b"\x1b", b"\xff", b"\x7f"):
            self.assertEqual(self.status_of(destination=b"4477" + octet), "ESME_RINVDSTADR")
            self.assertEqual(self.status_of(source=b"4477" + octet), "ESME_RINVSRCADR")
        self.assertEqual(self.status_of(destination=b""), "ESME_RINVDSTADR")

    def test_the_acknowledgements_that_an_esme_may_send_are_taken_and_other_types_are_not(self) -> None:
        for esm_class in (0x00, 0x03, 0x08, 0x10, 0x40, 0x48, 0xD3):
            self.assertEqual(self.status_of(esm_class=esm_class), "ESME_ROK", hex(esm_class))
        for esm_class in (0x04, 0x0C, 0x14, 0x18, 0x1C, 0x20, 0x24, 0x28):
            self.assertEqual(self.status_of(esm_class=esm_class), "ESME_RINVESMCLASS", hex(esm_class))

    def test_a_schedule_delivery_time_in_the_past_is_ignored(self) -> None:
        self.assertEqual(self.status_of(schedule_delivery_time=b"261127235959000+"), "ESME_ROK")
        self.assertNotIn(b"261127235959000+", self.store.accepted[-1].parts[0])
        self.assertEqual(decode_message(c.SUBMIT_SM, 1, self.store.accepted[-1].parts[0]).schedule_delivery_time, b"")

    def test_messages_for_later_wait_here_where_a_carrier_takes_none(self) -> None:
        noon, in_an_hour = NOW + 12 * 3600.0, NOW + 3600.0
        for schedule, scheduled_at, validity, valid_until in (
            (b"261128120000000+", noon, b"", noon + 3600.0),
            (b"000000010000000R", in_an_hour, b"", in_an_hour + 3600.0),
            (b"261128120000000+", noon, b"000000001000000R", noon + 600.0),
            (b"261128120000000+", noon, b"261128130000000+", noon + 3600.0),
        ):
            status = self.status_of(schedule_delivery_time=schedule, validity_period=validity, short_message=b"hello")
            message = self.store.accepted[-1]
            sent = decode_message(c.SUBMIT_SM, 1, message.parts[0])
            self.assertEqual((status, sent.schedule_delivery_time, sent.short_message), ("ESME_ROK", b"", b"hello"))
            # The relative time counts from the submission.
            self.assertTrue(0 <= message.scheduled_at - scheduled_at < 10)
            self.assertTrue(0 <= message.expires_at - valid_until < 10)
        self.assertEqual(self.link.offered, [])

    def test_times_that_are_none_or_too_far_ahead_are_refused(self) -> None:
        for schedule in (b"tomorrow", b"261332120000000+", b"270101000000000+", b"000100010000000R"):
            self.assertEqual(self.status_of(schedule_delivery_time=schedule), "ESME_RINVSCHED", schedule)

    def test_messages_for_later_are_passed_on_and_their_validity_counts_from_then(self) -> None:
        self.link.can_schedule = True
        noon, at = b"261128120000000+", NOW + 12 * 3600.0
        for validity, valid_until in (
            (b"", at + 3600.0),
            (b"000000001000000R", at + 600.0),
            (b"261128130000000+", at + 3600.0),
        ):
            status = self.status_of(schedule_delivery_time=noon, validity_period=validity, short_message=b"hello")
            message = self.store.accepted[-1]
            sent = decode_message(c.SUBMIT_SM, 1, message.parts[0])
            self.assertEqual((status, sent.schedule_delivery_time, sent.validity_period), ("ESME_ROK", noon, validity))
            self.assertEqual((sent.short_message, sent.registered_delivery), (b"hello", 1))
            self.assertAlmostEqual(message.expires_at, valid_until, places=3)

    def test_a_relative_time_is_passed_on_as_an_absolute_one(self) -> None:
        self.link.can_schedule = True
        self.assertEqual(self.status_of(schedule_delivery_time=b"000000120000000R"), "ESME_ROK")
        sent = decode_message(c.SUBMIT_SM, 1, self.store.accepted[-1].parts[0])
        # `status_of` has let one second pass.
        self.assertEqual(sent.schedule_delivery_time, b"261128120001000+")

    def test_a_message_is_not_kept_for_more_than_30_days_nor_past_its_validity(self) -> None:
        self.link.can_schedule = True
        self.assertEqual(self.status_of(schedule_delivery_time=b"261227000000000+"), "ESME_ROK")
        self.assertEqual(self.status_of(schedule_delivery_time=b"261229000000000+"), "ESME_RINVSCHED")
        status = self.status_of(schedule_delivery_time=b"261128120000000+", validity_period=b"261128110000000+")
        self.assertEqual(status, "ESME_RINVEXPIRY")


class SubmitMultiTests(SessionTestCase):
    def submit(self, *destinations: bytes) -> tuple[int, bytes]:
        """Sends one submit_multi; the response's status and body."""
        head = b"\0\5\0ACME\0" + bytes((len(destinations),))
        self.protocol.dataReceived(pdu(c.SUBMIT_MULTI, head + b"".join(destinations) + b"\0\0\0\0\0\1\0\0\0\2hi"))
        ((command_id, status, number, body),) = frames_in(self.transport.value())
        self.assertEqual((command_id, number), (c.SUBMIT_MULTI_RESP, 1))
        self.transport.clear()
        return status, body

    def test_each_destination_is_a_message_and_those_that_fail_are_named(self) -> None:
        self.store.durable.callback(None)
        numbers = [b"\1\1\x0144770090000%d\0" % n for n in range(3)]
        status, body = self.submit(b"\2friends\0", *numbers)
        first, second = self.store.accepted
        self.assertEqual(status, c.ESME_ROK)
        failed = b"\0\0friends\0\0\0\0\x34" + numbers[2][1:] + b"\0\0\0\x58"
        self.assertEqual(body, id_octets(first.id) + b"\0\2" + failed)
        self.assertEqual([part.id for part in self.link.offered], [first.id, second.id])
        self.assertEqual(
            [decode_message(c.SUBMIT_SM, 1, m.parts[0]).short_message for m in (first, second)], [b"hi"] * 2
        )

    def test_if_no_destination_is_accepted_the_status_says_why(self) -> None:
        self.assertEqual(self.submit(b"\2friends\0"), (c.ESME_RINVDLNAME, b""))
        self.store.durable.errback(StoreFull("x"))
        self.assertEqual(self.submit(b"\1\1\x01447700900001\0"), (c.ESME_RMSGQFUL, b""))
        self.assertEqual(self.link.offered, [])


class BindTests(SessionTestCase):
    def bind(self, *args: str, version: int = 0x34) -> tuple[Any, Any, str]:
        protocol, transport = self.connect()
        protocol.dataReceived(pdu(c.BIND_TRANSCEIVER, bind_body(*args).replace(b"\x34", bytes((version,)))))
        ((_, status, _),) = self.answers(transport)
        return protocol, transport, status

    def test_an_unknown_name_and_a_wrong_password_get_the_same_answer(self) -> None:
        for name, password in (("acme", "wrong"), ("nobody", "secret08"), ("", "")):
            _, transport, status = self.bind(name, password)
            self.assertEqual((status, transport.disconnecting), ("ESME_RBINDFAIL", True))

    def test_versions_up_to_5_0_bind_and_later_ones_are_refused_and_closed(self) -> None:
        for version in (0x00, 0x01, 0x32, 0x33, 0x34, 0x50):
            protocol, _, status = self.bind("acme", "secret08", version=version)
            self.assertEqual(status, "ESME_ROK", hex(version))
            protocol.connectionLost()
        for version in (0x51, 0xFF):
            _, transport, status = self.bind("acme", "secret08", version=version)
            self.assertEqual((status, transport.disconnecting), ("ESME_RBINDFAIL", True))

    def test_a_submit_sm_in_one_write_with_its_bind_is_answered_after_the_bind(self) -> None:
        self.store.durable.callback(None)
        protocol, transport = self.connect()
        protocol.dataReceived(pdu(c.BIND_TRANSCEIVER, bind_body("acme", "secret08")) + SUBMIT)
        expected = [(c.BIND_TRANSCEIVER_RESP, "ESME_ROK", 1), (c.SUBMIT_SM_RESP, "ESME_ROK", 7)]
        self.assertEqual(self.answers(transport), expected)

    def test_a_bind_over_max_binds_frees_the_place_of_a_session_that_is_frozen(self) -> None:
        self.clock.advance(10.0)
        _, lively, _ = self.bind("acme", "secret08")
        self.assertEqual(self.bind("acme", "secret08")[2], "ESME_RALYBND")
        self.assertEqual(self.answers(), [(c.ENQUIRE_LINK, "ESME_ROK", 1)])
        self.assertEqual(self.answers(lively), [])
        self.clock.advance(PROBE_SECONDS)
        self.assertTrue(self.transport.disconnected)
        self.protocol.connectionLost()
        self.assertEqual(self.bind("acme", "secret08")[2], "ESME_ROK")

    def test_a_session_that_answers_keeps_its_place(self) -> None:
        self.bind("acme", "secret08")
        self.assertEqual(self.bind("acme", "secret08")[2], "ESME_RALYBND")
        ((_, _, number),) = self.answers()
        self.protocol.dataReceived(pdu(c.ENQUIRE_LINK_RESP, sequence_number=number))
        self.clock.advance(PROBE_SECONDS)
        self.assertEqual((self.transport.disconnected, self.bind("acme", "secret08")[2]), (False, "ESME_RALYBND"))


class StopTests(SessionTestCase):
    """A stop while a deliver_sm waits for its response."""

    def setUp(self) -> None:
        super().setUp()
        self.protocol.connectionLost()
        self.protocol = self.factory.buildProtocol(StringTransport().getPeer())
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)
        self.protocol.dataReceived(pdu(c.BIND_TRANSCEIVER, bind_body("acme", "secret08")))
        self.transport.clear()
        self.protocol.send(c.DELIVER_SM, [(submit_body("447700900001"), None)])
        (_, _, _, self.number) = parse_header(self.transport.value())
        self.stopped = Deferred.fromCoroutine(self.side.stop(10.0))
        self.assertNoResult(self.stopped)

    def test_a_stop_waits_for_the_response(self) -> None:
        self.protocol.dataReceived(pdu(c.DELIVER_SM_RESP, b"\0", sequence_number=self.number))
        self.successResultOf(self.stopped)

    def test_a_stop_does_not_wait_for_a_session_that_has_ended(self) -> None:
        self.protocol.connectionLost()
        self.successResultOf(self.stopped)

    def test_a_stop_waits_no_longer_than_it_may(self) -> None:
        self.clock.advance(9.9)
        self.assertNoResult(self.stopped)
        self.clock.advance(0.2)
        self.successResultOf(self.stopped)


class SendersTests(SessionTestCase):
    """The senders that an account may use."""

    def test_an_empty_sender_is_replaced_and_one_that_is_not_allowed_is_refused(self) -> None:
        login = account_config.AccountSmpp(system_id="acme", password=Secret("secret08"), max_binds=2)
        for senders, status in (
            (account_config.Senders(allow=["ACME"], default="ACME"), c.ESME_ROK),
            (account_config.Senders(allow=["ACME"]), c.ESME_RINVSRCADR),
        ):
            self.accounts.replace({"acme": account_config.Account(smpp=login, senders=senders)})
            empty = message_body(
                addresses=encode_address(0, 0, b"") + encode_address(1, 1, b"44770"), short_message=b"x"
            )
            self.protocol.dataReceived(pdu(c.SUBMIT_SM, empty, sequence_number=9))
            if not status:
                self.store.durable.callback(None)
                self.assertEqual(source_of(self.store.accepted[-1].addresses), b"ACME")
            self.assertEqual(self.answers(), [(c.SUBMIT_SM_RESP, c.status_name(status), 9)])


class LoginsTests(SessionTestCase):
    """An account with two logins. Nobody is bound."""

    def setUp(self) -> None:
        super().setUp()
        self.protocol.connectionLost()
        self.first = account_config.AccountSmpp(system_id="acme", password=Secret("secret08"), max_binds=2)
        self.billing = account_config.AccountSmpp(system_id="billing", password=Secret("secret09"), max_binds=1)
        self.configure()

    def configure(self, billing: dict[str, Any] | None = None, **first: Any) -> None:
        """Reloads the accounts. `billing` has what differs of the second login, `first` what differs of the first."""
        changed = {} if billing is None else billing
        logins = {} if changed.pop("gone", False) else {"billing": replaced(self.billing, **changed)}
        account = account_config.Account(smpp=replaced(self.first, **first), smpp_logins=logins)
        self.accounts.replace({"acme": account})
        self.side.bound.look_again("acme")

    def bind(self, system_id: str, password: str, command_id: int = c.BIND_TRANSCEIVER) -> tuple[Any, Any, str]:
        """A connection that has tried to bind, its transport, and the name of the status."""
        protocol, transport = self.connect()
        protocol.dataReceived(pdu(command_id, bind_body(system_id, password)))
        ((_, status, _),) = self.answers(transport)
        return protocol, transport, status

    def bound(self, system_id: str = "billing", password: str = "secret09") -> tuple[Any, Any]:
        protocol, transport, status = self.bind(system_id, password)
        self.assertEqual(status, "ESME_ROK")
        return protocol, transport

    def ended(self, transport: Any) -> bool:
        """Whether the relay has sent an unbind."""
        return any(command_id == c.UNBIND for command_id, _, _ in self.answers(transport))

    def submitted(self, protocol: Any) -> Message:
        """The message that a session has submitted."""
        self.clock.advance(1.0)
        self.store.durable = succeed(None)
        protocol.dataReceived(SUBMIT)
        return self.store.accepted[-1]

    def test_each_login_has_its_own_password_and_its_own_number_of_sessions(self) -> None:
        self.assertEqual(self.bind("billing", "secret08")[2], "ESME_RBINDFAIL")
        self.bound()
        self.assertEqual(self.bind("billing", "secret09")[2], "ESME_RALYBND")
        self.bound("acme", "secret08")
        self.bound("acme", "secret08")
        self.assertEqual(self.side.bound.count("acme"), 3)
        shown = [(view.login.name, view.bound, view.last_used_at) for view in self.side.bound.views("acme")]
        self.assertEqual(shown, [("", 2, NOW), ("billing", 1, NOW)])

    def test_receipts_go_to_the_login_that_submitted_or_to_the_first_if_the_configuration_says_so(self) -> None:
        first, billing = self.bound("acme", "secret08")[0], self.bound()[0]
        self.assertEqual([self.submitted(one).login for one in (first, billing)], ["", "billing"])
        self.configure({"receipts": "first"})
        self.assertEqual(self.submitted(billing).login, "")

    def test_a_queue_wakes_the_sessions_of_its_login(self) -> None:
        self.bound("acme", "secret08")
        self.bound()
        self.store.claimed_from.clear()
        self.side.wake(QueueKey("acme", "smpp", "billing"))
        self.assertEqual(self.store.claimed_from, ["billing"])
        self.side.wake(QueueKey("acme", "smpp"))
        self.assertEqual(self.store.claimed_from, ["billing", ""])

    def test_a_removed_login_ends_its_sessions_alone_and_the_first_gets_what_it_was_owed(self) -> None:
        (_, first), (billing, transport) = self.bound("acme", "secret08"), self.bound()
        self.configure({"gone": True})
        self.assertEqual((self.ended(first), self.ended(transport)), (False, True))
        self.assertEqual(self.bind("billing", "secret09")[2], "ESME_RBINDFAIL")
        self.store.claimed_from.clear()
        billing.connectionLost()
        self.assertEqual(self.store.claimed_from, ["billing"], "what the session had not answered")
        self.side.wake(QueueKey("acme", "smpp", "billing"))
        self.assertEqual(self.store.claimed_from, ["billing", "billing"])

    def test_what_a_removed_login_is_owed_waits_for_a_session_of_the_first(self) -> None:
        self.configure({"gone": True})
        self.side.wake(QueueKey("acme", "smpp", "billing"))
        self.assertEqual(self.store.claimed_from, [])
        self.bound("acme", "secret08")
        self.assertEqual(self.store.claimed_from, ["", "billing"])

    def test_a_changed_login_ends_only_the_sessions_that_could_not_bind_any_more(self) -> None:
        _, transport = self.bound()
        self.configure({"max_binds": 5, "allow_from": ["192.168.1.1/32"]})
        self.assertFalse(self.ended(transport))
        for changed in ({"password": Secret("other123")}, {"system_id": "invoices"}, {"allow_from": ["192.0.2.0/24"]}):
            self.configure()
            self.configure(changed)
            self.assertTrue(self.ended(transport), changed)
            _, transport = self.rebound()

    def rebound(self) -> tuple[Any, Any]:
        """A new session of the login, as it was at first."""
        for protocol in self.side.bound.of("acme"):
            protocol.connectionLost()
        self.configure()
        return self.bound()

    def test_an_old_password_is_valid_until_its_end_and_its_sessions_end_with_it(self) -> None:
        _, earlier = self.bound()
        overlap = {"password": Secret("secret10"), "old_password": Secret("secret09"), "max_binds": 3}
        self.configure({**overlap, "old_password_until": "2026-11-28T01:00:00Z"})
        _, later = self.bound()
        _, new = self.bound(password="secret10")
        self.clock.advance(3599.0)
        self.assertEqual([self.ended(transport) for transport in (earlier, later, new)], [False] * 3)
        self.clock.advance(1.0)
        self.assertEqual([self.ended(transport) for transport in (earlier, later, new)], [True, True, False])
        self.assertEqual(self.bind("billing", "secret09")[2], "ESME_RBINDFAIL")

    def test_an_old_password_may_be_given_more_time_or_less(self) -> None:
        overlap = {"password": Secret("secret10"), "old_password": Secret("secret09")}
        _, transport = self.bound()
        self.configure({**overlap, "old_password_until": "2026-11-28T01:00:00Z"})
        self.configure({**overlap, "old_password_until": "2026-11-28T02:00:00Z"})
        self.clock.advance(3600.0)
        self.assertFalse(self.ended(transport))
        self.configure({"password": Secret("secret10")})
        self.assertTrue(self.ended(transport))

    def test_the_last_use_of_a_login_outlives_a_stop(self) -> None:
        protocol, _ = self.bound()
        self.clock.advance(5.0)
        protocol.connectionLost()
        self.successResultOf(Deferred.fromCoroutine(self.side.stop(1.0)))
        self.assertEqual(self.store.kept["acme", "smpp_used.billing"], f"{NOW + 5.0:.0f}")


def replaced(login: account_config.AccountSmpp, **changed: Any) -> account_config.AccountSmpp:
    return msgspec.structs.replace(login, **changed)
