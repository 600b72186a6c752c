"""Messages that a customer replaces by replace_sm while they wait: customer's session, flow, link and store."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from relay.customers.questions import CustomerQuestions
from relay.smpp.message_codec import decode_message, encode_address, find_tlv, message_body, tlv, with_other_text
from relay.values import smpp_constants as c
from relay.values.ids import id_octets
from relay.values.messages import Message, Replacement, Submission
from relay.values.pdus import ReplacePdu
from relay.values.states import DELETED, ENROUTE, EXPIRED, SCHEDULED
from tests.carriers.test_queries import VALIDITY, QuestionsTestCase
from tests.routing.test_flow import ADDRESSES, Rates
from tests.stores import wait_for

SENDER = b"RELAY"


class CustomerSession:
    """A customer's session that keeps what it is answered."""

    account = "plain"
    interface_version = 0x34

    def __init__(self) -> None:
        self.statuses: list[int] = []

    def respond(self, command_id: int, responses: list[tuple[int, int, bytes]]) -> None:
        assert command_id == c.REPLACE_SM_RESP
        self.statuses += [status for _, status, _ in responses]


class ReplaceTests(QuestionsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.session = CustomerSession()

    def texts(self) -> list[bytes]:
        """What the carrier got."""
        return [pdu.short_message for pdu in self.carrier.got]

    def replacing(self, message_id: bytes, **fields: Any) -> "list[int]":
        """Sends a replace_sm; the command_status stands in the list once it is there."""
        text = fields.pop("text", b"other")
        pdu = ReplacePdu(c.REPLACE_SM, 7, id_octets(message_id), SENDER, short_message=text, **fields)
        session: Any = CustomerSession()
        session.account = self.session.account
        Deferred.fromCoroutine(CustomerQuestions(self.flow, self.clock).answer(session, pdu))
        return session.statuses  # type: ignore[no-any-return]

    def replace(self, message_id: bytes, **fields: Any) -> int:
        statuses = self.replacing(message_id, **fields)
        self.turn()
        [status] = statuses
        return status

    def held(self, **settings: Any) -> Any:
        link = self.link(**settings)
        link.hold(True)
        return link

    def go_on(self, link: Any) -> None:
        link.hold(False)
        self.turn(1.0)

    def test_a_message_that_waits_is_sent_once_and_with_the_new_text(self) -> None:
        link = self.held()
        _, second, _ = self.submit(3)
        self.assertEqual(self.replace(second), c.ESME_ROK)
        self.go_on(link)
        self.assertEqual(sorted(self.texts()), [b"hello", b"hello", b"other"])
        self.assertEqual((self.view(second).state, link.queued, len(self.flow.cancelled)), (ENROUTE, 0, 0))

    def test_the_last_of_several_texts_is_sent(self) -> None:
        link = self.held()
        [message] = self.submit()
        for text in (b"one", b"two", b"three"):
            self.assertEqual(self.replace(message, text=text), c.ESME_ROK)
        self.go_on(link)
        self.assertEqual((self.texts(), link.queued, len(self.flow.cancelled)), ([b"three"], 0, 0))

    def test_replacing_one_message_again_and_again_fills_no_queue(self) -> None:
        link = self.held()
        [message] = self.submit()
        statuses = [self.replace(message, text=b"%d" % n) for n in range(100)]
        self.assertEqual({*statuses[:9]}, {c.ESME_ROK})
        self.assertEqual({*statuses[11:]}, {c.ESME_RREPLACEFAIL})
        self.assertLess(link.queued, 15)
        self.go_on(link)
        self.assertEqual((self.texts(), link.queued), ([b"%d" % (statuses.count(c.ESME_ROK) - 1)], 0))

    def test_each_replacement_counts_against_the_rate_of_the_account(self) -> None:
        link = self.held()
        [message] = self.submit()
        rates = self.flow._rates = Rates()
        rates.wait_seconds = 5.0
        self.assertEqual(self.replace(message), c.ESME_RTHROTTLED)
        self.go_on(link)
        self.assertEqual(self.texts(), [b"hello"])

    def test_a_replaced_message_can_be_cancelled(self) -> None:
        link = self.held()
        [message] = self.submit()
        self.assertEqual((self.replace(message), self.cancel(message)), (c.ESME_ROK, [True]))
        self.go_on(link)
        self.assertEqual((self.texts(), self.view(message).state, link.queued), ([], DELETED, 0))
        self.assertEqual((len(self.flow.cancelled), self.replace(message)), (0, c.ESME_RREPLACEFAIL))

    def test_after_a_restart_the_new_text_is_sent(self) -> None:
        self.held()
        [message] = self.submit()
        self.assertEqual(self.replace(message), c.ESME_ROK)
        self.disk = self.disk.crash()
        self.begin()
        self.link()
        Deferred.fromCoroutine(self.flow.resume())
        self.turn(1.0)
        self.assertEqual((self.texts(), self.view(message).state), ([b"other"], ENROUTE))

    def test_it_may_get_receipts_and_another_validity(self) -> None:
        link = self.held()
        first, second = self.submit(2)
        self.assertEqual(self.replace(first, registered_delivery=1, validity_period=b"000000001000000R"), c.ESME_ROK)
        self.assertEqual(round(self.view(first).expires_at - self.clock.seconds()), 600)
        self.assertEqual(round(self.view(second).expires_at - self.clock.seconds()), VALIDITY)
        self.turn(601.0)
        self.go_on(link)
        self.assertEqual((self.view(first).state, self.view(first).owed), (EXPIRED, ["smpp"]))
        self.assertEqual(self.texts(), [b"hello"])

    def test_a_time_that_was_meant_for_the_carrier_gives_way_to_another_one(self) -> None:
        link = self.held(scheduled_delivery="pass")
        body = message_body(addresses=ADDRESSES, schedule_delivery_time=b"401128120000000+", short_message=b"one")
        [message] = self.flow.prepare(
            "plain", [Submission(ADDRESSES, (body,), scheduled_seconds=60.0, scheduled_parts=(body,))]
        )
        assert isinstance(message, Message)
        wait_for(self.clock, self.flow.accept([message]))
        self.flow.dispatch([message])
        self.assertEqual(self.replace(message.id, schedule_delivery_time=b"000000010000000R"), c.ESME_ROK)
        self.go_on(link)
        self.assertEqual(self.carrier.got, [])
        self.look(3600.0)
        self.assertEqual([(p.short_message, p.schedule_delivery_time) for p in self.carrier.got], [(b"other", b"")])

    def test_a_longer_validity_holds_although_the_first_one_has_ended(self) -> None:
        link = self.held()
        [message] = self.submit()
        self.assertEqual(self.replace(message, validity_period=b"000002000000000R"), c.ESME_ROK)
        self.turn(VALIDITY + 1)
        self.go_on(link)
        self.assertEqual((self.texts(), self.view(message).state), ([b"other"], ENROUTE))
        self.assertEqual(self.carrier.got[0].validity_period, b"000002000000000R")

    def test_replacing_a_message_at_a_carrier_or_of_another_account_is_refused(self) -> None:
        self.link()
        [message] = self.submit()
        self.assertEqual(self.replace(message), c.ESME_RREPLACEFAIL)
        self.assertEqual(self.replace(b"?" * 16), c.ESME_RREPLACEFAIL)
        self.links_hold()
        [waiting] = self.submit()
        self.session.account = "other"
        self.assertEqual(self.replace(waiting), c.ESME_RREPLACEFAIL)
        self.session.account = "plain"
        pdu = ReplacePdu(c.REPLACE_SM, 7, id_octets(waiting), b"OTHER", short_message=b"x")
        Deferred.fromCoroutine(CustomerQuestions(self.flow, self.clock).answer(self.session, pdu))  # type: ignore[arg-type]
        self.turn()
        self.assertEqual(self.session.statuses, [c.ESME_RREPLACEFAIL])
        self.assertEqual(self.replace(waiting), c.ESME_ROK)

    def links_hold(self) -> None:
        for link in self.flow._links.values():
            link.hold(True)  # type: ignore[attr-defined]

    def test_a_message_that_is_just_being_written_is_not_replaced(self) -> None:
        self.link({"receipt_first": True, "receipt_delay_seconds": 30.0})
        [message] = self.submit()
        self.assertEqual((self.view(message).state, self.replace(message)), (SCHEDULED, c.ESME_RREPLACEFAIL))

    def test_times_that_are_none_are_refused(self) -> None:
        self.held()
        [message] = self.submit()
        for fields, status in (
            ({"validity_period": b"x" * 16}, c.ESME_RINVEXPIRY),
            ({"validity_period": b"200101000000000+"}, c.ESME_RINVEXPIRY),
            ({"schedule_delivery_time": b"x" * 16}, c.ESME_RINVSCHED),
        ):
            self.assertEqual(self.replace(message, **fields), status)
        self.assertEqual(self.replace(message, schedule_delivery_time=b"200101000000000+"), c.ESME_ROK)

    def test_while_the_disk_is_broken_nothing_changes_and_the_first_text_is_sent(self) -> None:
        link = self.held()
        [message] = self.submit()
        self.disk.write_error = OSError(5, "broken")
        self.assertEqual(self.replace(message), c.ESME_RSYSERR)
        self.assertEqual(self.replace(message), c.ESME_RSYSERR)
        self.disk.write_error = None
        self.turn(2.0)
        self.go_on(link)
        self.assertEqual((self.texts(), self.view(message).state), ([b"hello"], ENROUTE))

    def test_only_one_replace_sm_of_a_message_is_under_way(self) -> None:
        self.held()
        [message] = self.submit()
        done: list[bool] = []
        for text in (b"1", b"2"):
            replacement = Replacement(message, text, 0, self.clock.seconds() + 1)
            Deferred.fromCoroutine(self.flow.replace(replacement)).addCallback(done.append)
        self.turn()
        self.assertEqual(sorted(done), [False, True])


class OtherTextTests(SynchronousTestCase):
    def test_only_text_and_what_is_named_changes(self) -> None:
        addresses = encode_address(5, 0, SENDER) + encode_address(1, 1, b"447700900123")
        body = message_body(
            addresses=addresses,
            data_coding=8,
            service_type=b"CMT",
            validity_period=b"000002000000000R",
            tlvs=tlv(0x0204, b"\0\1") + tlv(c.TAG_MESSAGE_PAYLOAD, b"old") + tlv(0x1400, b"x") + b"\0",
        )
        done = with_other_text(body, b"new", None, validity_period=b"", sm_default_msg_id=3)
        pdu = decode_message(c.SUBMIT_SM, 0, done)
        self.assertEqual((pdu.short_message, pdu.data_coding, pdu.service_type), (b"new", 8, b"CMT"))
        self.assertEqual((pdu.addresses, pdu.validity_period), (addresses, b"000002000000000R"))
        self.assertEqual(done[pdu.tlvs_at :], tlv(0x0204, b"\0\1") + tlv(0x1400, b"x") + b"\0")
        again = with_other_text(done, b"", b"long", validity_period=b"200101000000000+", sm_default_msg_id=0)
        pdu = decode_message(c.SUBMIT_SM, 0, again)
        self.assertEqual((pdu.short_message, pdu.validity_period), (b"", b"200101000000000+"))
        self.assertEqual(find_tlv(again, pdu.tlvs_at, c.TAG_MESSAGE_PAYLOAD), b"long")

    def test_the_time_for_the_carrier_may_be_dropped(self) -> None:
        scheduled = message_body(addresses=ADDRESSES, schedule_delivery_time=b"401128120000000+", short_message=b"old")
        for keep, left in ((True, b"401128120000000+"), (False, b"")):
            done = with_other_text(scheduled, b"x", None, validity_period=b"", sm_default_msg_id=0, keep_schedule=keep)
            pdu = decode_message(c.SUBMIT_SM, 0, done)
            self.assertEqual((pdu.schedule_delivery_time, pdu.short_message), (left, b"x"))
