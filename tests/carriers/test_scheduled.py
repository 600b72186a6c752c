"""Messages that wait here for the time that their customers asked for: flow, link and store."""

from itertools import pairwise

import msgspec
from twisted.internet.defer import Deferred

from relay.config.route_config import Route
from relay.routing.routes import Routes
from relay.smpp.message_codec import message_body
from relay.values import smpp_constants as c
from relay.values.messages import Message, Refused, Replacement, Submission
from relay.values.pdus import MessagePdu
from relay.values.states import DELETED, ENROUTE, EXPIRED, REJECTED, SCHEDULED
from tests.carriers.test_queries import VALIDITY, QuestionsTestCase
from tests.routing.test_flow import ADDRESSES
from tests.stores import wait_for

HOUR = 3600.0


class ScheduledTests(QuestionsTestCase):
    def schedule(self, seconds: float = HOUR, count: int = 1, **fields: object) -> list[bytes]:
        """Accepts messages for so many seconds from now; gives their ids."""
        body = message_body(addresses=ADDRESSES, short_message=b"hello")
        submission = msgspec.structs.replace(Submission(ADDRESSES, (body,), scheduled_seconds=seconds), **fields)
        self.prepared = self.flow.prepare("plain", [submission] * count)
        messages = [m for m in self.prepared if isinstance(m, Message)]
        wait_for(self.clock, self.flow.accept(messages))
        self.flow.dispatch(messages)
        self.turn()
        return [m.id for m in messages]

    def got(self) -> list[MessagePdu]:
        """What the carrier got."""
        return self.carrier.got

    def test_it_waits_in_no_queue_and_is_sent_at_its_time(self) -> None:
        link = self.link()
        [message] = self.schedule()
        self.look(HOUR - 1)
        view = self.view(message)
        self.assertEqual((view.state, view.waits_for_its_time, link.queued, len(self.got())), (SCHEDULED, True, 0, 0))
        self.look(2.0)
        view = self.view(message)
        self.assertEqual((view.state, view.waits_for_its_time, len(self.got())), (ENROUTE, False, 1))
        self.look(2.0)
        self.assertEqual((self.got()[0].short_message, len(self.got())), (b"hello", 1))

    def test_its_validity_counts_from_its_time(self) -> None:
        link = self.link()
        link.hold(True)
        [message] = self.schedule()
        self.look(HOUR)
        self.look(VALIDITY - 1)
        self.assertEqual((self.view(message).final, link.queued), (False, 1))
        self.turn(2.0)
        link.hold(False)
        self.turn()
        self.assertEqual((self.view(message).state, self.got()), (EXPIRED, []))

    def test_the_route_of_then_holds(self) -> None:
        link = self.link()
        [message] = self.schedule()
        self.flow.reroute(Routes([Route(prefix="1", carriers=["sim"])]), {"sim": link}, VALIDITY)
        self.look(HOUR + 1)
        self.assertEqual((self.view(message).state, self.got()), (REJECTED, []))

    def test_without_any_route_then_it_is_refused_now(self) -> None:
        self.link()
        self.flow.routes = Routes([Route(prefix="1", carriers=["sim"])])
        self.schedule()
        [refused] = self.prepared
        assert isinstance(refused, Refused)
        self.assertEqual(refused.command_status, c.ESME_RINVDSTADR)

    def test_full_queues_do_not_matter(self) -> None:
        link = self.link(queue=1)
        link.hold(True)
        self.submit()
        self.assertEqual(link.room, 0)
        [message] = self.schedule()
        link.hold(False)
        self.look(HOUR)
        self.assertEqual(self.view(message).state, ENROUTE)

    def test_after_a_restart_it_waits_on_and_is_sent_at_its_time(self) -> None:
        [message] = self.schedule_before_a_restart()
        self.look(HOUR - 1)
        self.assertEqual((self.view(message).waits_for_its_time, self.got()), (True, []))
        self.look(2.0)
        self.assertEqual((self.view(message).state, len(self.got())), (ENROUTE, 1))

    def schedule_before_a_restart(self) -> list[bytes]:
        self.link()
        messages = self.schedule()
        self.disk = self.disk.crash()
        self.begin()
        self.link()
        wait_for(self.clock, self.flow.resume())
        self.turn()
        return messages

    def test_it_can_be_cancelled_until_then_and_leaves_nothing_behind(self) -> None:
        self.link()
        first, second = self.schedule(count=2)
        self.assertEqual((self.cancel(first), self.view(first).state), ([True], DELETED))
        self.assertEqual((len(self.flow.cancelled), self.store.scheduled_count("plain")), (0, 1))
        self.look(HOUR + 1)
        self.assertEqual(([self.view(m).state for m in (first, second)], len(self.got())), ([DELETED, ENROUTE], 1))

    def test_an_account_may_have_so_many_of_them(self) -> None:
        self.link()
        self.flow._most_scheduled = 3
        self.assertEqual(len(self.schedule(count=2)), 2)
        [message] = self.schedule(count=2)
        refused = self.prepared[1]
        assert isinstance(refused, Refused)
        self.assertEqual(refused.command_status, c.ESME_RMSGQFUL)
        self.assertGreater(refused.retry_after_seconds, 0)
        self.cancel(message)
        self.assertEqual(len(self.schedule(count=2)), 1)
        self.look(HOUR + 1)
        self.assertEqual((len(self.got()), len(self.schedule(count=3))), (3, 3))

    def test_a_replacement_does_not_get_an_account_more_of_them(self) -> None:
        link = self.link()
        self.flow._most_scheduled = 1
        [scheduled] = self.schedule()
        link.hold(True)
        [queued] = self.submit()
        self.assertFalse(self.replace(queued, b"later", HOUR))
        self.assertTrue(self.replace(scheduled, b"later", 2 * HOUR))
        link.hold(False)
        self.turn()
        self.assertEqual([pdu.short_message for pdu in self.got()], [b"hello"])

    def test_a_carrier_that_waits_itself_gets_it_at_once_if_the_time_is_in_it(self) -> None:
        self.link(scheduled_delivery="pass")
        later = message_body(addresses=ADDRESSES, schedule_delivery_time=b"401128120000000+")
        [passed_on] = self.schedule(scheduled_parts=(later,))
        self.assertEqual([pdu.schedule_delivery_time for pdu in self.got()], [b"401128120000000+"])
        [waiting] = self.schedule()
        self.assertEqual((self.view(passed_on).state, self.view(waiting).waits_for_its_time), (ENROUTE, True))

    def test_all_parts_of_a_long_message_are_sent(self) -> None:
        self.link()
        parts = tuple(message_body(addresses=ADDRESSES, short_message=text) for text in (b"one", b"two", b"three"))
        [message] = self.schedule(parts=parts)
        self.look(HOUR + 1)
        self.assertEqual([pdu.short_message for pdu in self.got()], [b"one", b"two", b"three"])
        self.assertEqual(self.view(message).state, ENROUTE)

    def test_many_whose_time_comes_at_once_are_all_sent(self) -> None:
        self.link(window=5000)
        self.schedule(count=2500)
        self.look(HOUR + 1)
        self.assertEqual(len(self.got()), 2500)

    def test_many_whose_time_comes_at_once_leave_turns_of_the_reactor_to_others(self) -> None:
        link = self.link(window=5000)
        link.hold(True)
        self.schedule(count=2500)
        self.clock.advance(HOUR + 1)
        queued = []
        sending = Deferred.fromCoroutine(self.flow.housekeeping(self.clock.seconds()))
        while not sending.called:
            queued.append(link.queued)
            self.clock.advance(0.005)
        self.assertGreater(len(queued), 10)
        self.assertLessEqual(max(after - before for before, after in pairwise([0, *queued, link.queued])), 200)
        self.assertEqual(link.queued, 2500)

    def replace(self, message_id: bytes, text: bytes, seconds: float) -> bool:
        """Gives a message another text, and a time so many seconds from now; 0.0: it is sent at once."""
        now = self.clock.seconds()
        body = message_body(addresses=ADDRESSES, short_message=text)
        scheduled_at = now + seconds if seconds else 0
        replacement = Replacement(message_id, body, 0, now + seconds + VALIDITY, scheduled_at)
        done = bool(wait_for(self.clock, self.flow.replace(replacement)))
        self.turn()
        return done

    def test_a_replacement_may_change_its_time(self) -> None:
        link = self.link()
        link.hold(True)
        [queued] = self.submit()
        [scheduled] = self.schedule()
        self.assertTrue(self.replace(queued, b"later", 2 * HOUR))
        self.assertTrue(self.replace(scheduled, b"now", 0.0))
        link.hold(False)
        self.look(1.0)
        self.assertEqual([pdu.short_message for pdu in self.got()], [b"now"])
        self.look(HOUR)
        self.assertTrue(self.replace(queued, b"later still", 2 * HOUR))
        self.look(HOUR)
        self.assertEqual(len(self.got()), 1)
        self.look(HOUR)
        self.assertEqual([pdu.short_message for pdu in self.got()], [b"now", b"later still"])
        self.assertEqual((link.queued, len(self.flow.cancelled)), (0, 0))

    def test_one_that_was_queued_and_then_scheduled_is_sent_although_its_old_part_is_found_later(self) -> None:
        link = self.link()
        link.hold(True)
        [message] = self.submit()
        self.assertTrue(self.replace(message, b"later", HOUR))
        self.look(HOUR + 1)
        link.hold(False)
        self.turn()
        self.assertEqual([pdu.short_message for pdu in self.got()], [b"later"])
        self.assertEqual((link.queued, len(self.flow.cancelled)), (0, 0))
