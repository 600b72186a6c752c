"""The message flow: which messages it accepts, where they go, and which queues it wakes."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.config.account_config import Account, Quota
from relay.config.route_config import Route
from relay.config.sender_patterns import AllowedSenders
from relay.routing.flow import MessageFlow
from relay.routing.flow_api import Outgoing
from relay.routing.number_lists import NamedList, NumberList, NumberLists
from relay.routing.routes import Routes
from relay.routing.set_endings import endings_of
from relay.smpp.message_codec import decode_message, message_body
from relay.store.store_values import NOBODY, StoreResult
from relay.text.text_form import PLAIN
from relay.values import smpp_constants as c
from relay.values.carrier_reports import AtCarrier, Receipt
from relay.values.charge import COUNTED, NOTHING_USED, AccountUse
from relay.values.messages import Ending, FailedOver, Message, Pending, Refused, Submission
from relay.values.notifications import Channel, QueueKey
from relay.values.states import DELIVERED, EXPIRED, REJECTED, UNDELIVERABLE, UNKNOWN
from tests.simulated_disk import SimulatedDisk
from tests.stores import NOW, SettableClock, message, message_id, started, wait_for
from tests.unused_store import UnusedStore

ADDRESSES = b"\x05\x00RELAY\x00\x01\x01447700900123\x00"
LANE = QueueKey("acme", Channel.SMPP.value)


class RecordingStore(UnusedStore):
    """Keeps what it is told; every call is durable at once."""

    def __init__(self) -> None:
        self.accepted: list[Message] = []
        self.ended: list[Ending] = []
        self.pending: list[Pending] = []
        #: Those whose time has come.
        self.scheduled: list[Pending] = []
        self.use = NOTHING_USED
        #: The days on which messages count.
        self.days: list[object] = []

    def accept(self, messages: Sequence[Message], *keys: object, **more: object) -> Deferred[None]:
        self.accepted.extend(messages)
        self.days += keys[2:]
        return succeed(None)

    def account_use(self, account: str) -> AccountUse:
        return self.use

    def scheduled_due(self, now: float, limit: int) -> Deferred[Sequence[Pending]]:
        due, self.scheduled = self.scheduled, []
        return succeed(due)

    def expire(self, now: float, askable: Mapping[str, int] = NOBODY) -> Deferred[StoreResult]:
        return succeed(StoreResult(frozenset(), ()))

    def scheduled_count(self, account: str) -> int:
        return 0

    def failed_over(self, limit: int) -> Deferred[FailedOver]:
        return succeed(FailedOver())

    def end(self, batch: Sequence[Ending]) -> Deferred[StoreResult]:
        self.ended.extend(batch)
        return succeed(StoreResult(frozenset({LANE}), ()))

    def receipts(self, batch: Sequence[Receipt]) -> Deferred[StoreResult]:
        return succeed(StoreResult(frozenset({LANE}), ()))

    def queues(self) -> Deferred[Sequence[QueueKey]]:
        return succeed([LANE])

    def subscribe(self, due: Callable[[Sequence[QueueKey]], None]) -> None:
        self.announce = due

    def unsubmitted(self, after: tuple[bytes, int] | None, limit: int) -> Deferred[Sequence[Pending]]:
        keys = [(p.id, p.part) for p in self.pending]
        start = 0 if after is None else keys.index(after) + 1
        return succeed(self.pending[start : start + limit])


class FakeLink:
    """A carrier that keeps what it is offered."""

    def __init__(self, up: bool = True, room: int = 1000) -> None:
        self.up = up
        self.room = room
        self.offered: list[Outgoing] = []
        self.taken_back = 0

    def offer(self, parts: Sequence[Outgoing]) -> None:
        self.offered.extend(parts)

    #: Parts that it would send soon.
    soon = 1000

    def room_within(self, seconds: float, account: str) -> int:
        return max(0, self.soon - len(self.offered))

    #: As for a carrier that is asked nothing.
    queries = None
    can_cancel = False
    can_schedule = False
    text_form = PLAIN
    busy = False

    def is_sending(self, message_id: bytes) -> bool:
        return False

    def drop_cancelled(self) -> None:
        raise AssertionError("nothing is purged here")

    def withdraw(self, account: str) -> list[Outgoing]:
        given = [part for part in self.offered if part.account == account]
        self.offered = [part for part in self.offered if part.account != account]
        return given

    def ask(self, parts: Sequence[AtCarrier]) -> None:
        raise AssertionError("asked although it can't be")

    def cancel(self, part: AtCarrier) -> Deferred[bool]:
        raise AssertionError("asked although it can't be")

    def take_back(self) -> Sequence[Outgoing]:
        self.taken_back += 1
        given = [part for part in self.offered if len(part.carriers) > 1]
        self.offered = [part for part in self.offered if len(part.carriers) == 1]
        return given


class Woken:
    def __init__(self) -> None:
        self.queues: list[QueueKey] = []

    def wake(self, queue_key: QueueKey) -> None:
        self.queues.append(queue_key)


class Rates:
    wait_seconds = 0.0

    def allow(self, account: str, count: int, now: float) -> float:
        return self.wait_seconds

    def allow_up_to(self, account: str, count: int, now: float) -> tuple[int, float]:
        return (0, self.wait_seconds) if self.wait_seconds else (count, 0.0)


class MessageFlowTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = RecordingStore()
        self.allowed: list[str] = []
        self.rates = Rates()
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.first, self.second, self.sessions = FakeLink(), FakeLink(), Woken()
        self.flow = MessageFlow(
            store=self.store,
            rates=self.rates,
            routes=Routes([Route(prefix="44", carriers=["first", "second"]), Route(prefix="49", carriers=["first"])]),
            clock=self.clock,
            random_bytes=random.Random(1).randbytes,
            validity_seconds=3600.0,
            senders_of=lambda account: AllowedSenders(self.allowed) if self.allowed else None,
        )
        self.flow.connect({"first": self.first, "second": self.second}, {Channel.SMPP: self.sessions})

    def prepare(self, addresses: bytes = ADDRESSES, **fields: Any) -> Message | Refused:
        return self.flow.prepare("acme", [Submission(addresses, (b"body",), **fields)])[0]

    def message(self) -> Message:
        prepared = self.prepare()
        assert isinstance(prepared, Message)
        return prepared

    def refusal(self, **fields: Any) -> Refused:
        prepared = self.prepare(**fields)
        assert isinstance(prepared, Refused)
        return prepared

    def test_a_message_gets_an_id_and_a_validity(self) -> None:
        message = self.message()
        self.assertEqual(len(message.id), 16)
        self.assertEqual((message.accepted_at, message.expires_at), (1000.0, 4600.0))

    def test_the_customer_s_own_validity_wins(self) -> None:
        prepared = self.prepare(validity_seconds=60.0)
        assert isinstance(prepared, Message)
        self.assertEqual(prepared.expires_at, 1060.0)

    def test_a_number_without_a_route_is_refused_by_name(self) -> None:
        refusal = self.refusal(addresses=b"\0\0a\0\1\x0199123\0")
        self.assertEqual((refusal.command_status, refusal.field), (c.ESME_RINVDSTADR, "to"))

    def test_a_sender_that_the_account_may_not_use_is_refused_by_name(self) -> None:
        self.allowed = ["ACME", "numeric"]
        for sender, allowed in (
            (b"ACME", True),
            (b"4477009001", True),
            (b"ACMEX", False),
            (b"acme", False),
            (b"", False),
        ):
            prepared = self.prepare(b"\5\0" + sender + b"\0\1\x01447700900123\0")
            self.assertEqual(isinstance(prepared, Message), allowed, sender)
            if isinstance(prepared, Refused):
                self.assertEqual((prepared.command_status, prepared.field), (c.ESME_RINVSRCADR, "from"))

    def test_a_number_on_a_refusing_list_is_refused_by_name(self) -> None:
        lists = NumberLists([NamedList("blocked", NumberList(["44777"]), True)])
        self.flow.reroute(Routes([Route(carriers=["first"])], lists), {"first": self.first}, 3600.0)
        for number, allowed in ((b"44777", False), (b"+447779", False), (b"44778", True)):
            prepared = self.prepare(b"\0\0a\0\1\1" + number + b"\0")
            self.assertEqual(isinstance(prepared, Message), allowed, number)
            if isinstance(prepared, Refused):
                self.assertEqual((prepared.command_status, prepared.field), (c.ESME_RINVDSTADR, "to"))

    def test_a_route_that_replaces_senders_changes_what_carriers_get_and_nothing_that_the_customer_sees(self) -> None:
        for spill_over_seconds in (0.0, 10.0):
            route = Route(carriers=["first", "second"], replace_sender="60300", spill_over_seconds=spill_over_seconds)
            self.flow.reroute(Routes([route]), {"first": self.first, "second": self.second}, 3600.0)
            bodies = tuple(message_body(addresses=ADDRESSES, short_message=text) for text in (b"one", b"two"))
            [message] = self.flow.prepare("acme", [Submission(ADDRESSES, bodies)])
            assert isinstance(message, Message)
            self.assertEqual(message.addresses, ADDRESSES)
            sent = [decode_message(c.SUBMIT_SM, 1, body) for body in message.parts]
            self.assertEqual([pdu.short_message for pdu in sent], [b"one", b"two"])
            self.assertEqual({pdu.addresses for pdu in sent}, {b"\3\00060300\0\1\x01447700900123\0"})
            self.first.offered.clear()
            self.flow.dispatch([message])
            self.assertEqual([part.body for part in self.first.offered], list(message.parts))

    def test_a_message_to_a_test_number_ends_as_configured_and_no_carrier_sees_it(self) -> None:
        account = Account(test_numbers={"+15005550001": "DELIVRD", "15005550002": "REJECTD"})
        endings = endings_of({"acme": account, "other": Account()})
        routes = Routes([Route(prefix="44", carriers=["first"])], None, endings)
        self.flow.reroute(routes, {"first": self.first}, 3600.0)
        self.first.room = 0
        for number, state in ((b"15005550001", DELIVERED), (b"+15005550002", REJECTED)):
            submission = Submission(b"\0\0a\0\1\1" + number + b"\0", (b"one", b"two"))
            [message] = self.flow.prepare("acme", [submission])
            assert isinstance(message, Message), message
            self.store.ended.clear()
            self.flow.dispatch([message])
            self.assertEqual([(e.id, e.state, e.carrier) for e in self.store.ended], [(message.id, state, "")])
            self.assertIsInstance(self.flow.prepare("other", [submission])[0], Refused, "it has no such number")
        self.assertEqual(self.first.offered, [])
        self.assertIsInstance(self.prepare(), Refused, "the queue is full for other numbers")

    def test_a_scheduled_message_to_a_test_number_waits_here_for_its_time(self) -> None:
        endings = endings_of({"acme": Account(test_numbers={"447700900123": "UNDELIV"})})
        self.flow.reroute(Routes([Route(carriers=["first"])], None, endings), {"first": self.first}, 3600.0)
        prepared = self.prepare(scheduled_seconds=60.0, scheduled_parts=(b"later",))
        assert isinstance(prepared, Message)
        self.assertEqual((prepared.scheduled_at, prepared.parts), (1060.0, (b"body",)))
        self.flow.dispatch([prepared])
        self.assertEqual((self.store.ended, self.first.offered), ([], []))

    def test_no_carrier_sees_a_message_to_a_test_number_whichever_way_it_comes_to_the_carriers(self) -> None:
        endings = endings_of({"acme": Account(test_numbers={"447700900123": "UNDELIV"})})
        self.flow.reroute(Routes([Route(carriers=["first"])], None, endings), {"first": self.first}, 3600.0)
        [tagged] = self.flow.prepare("acme", [Submission(ADDRESSES, (b"body",), tags=("vip",))])
        assert isinstance(tagged, Message)
        self.flow.dispatch([tagged])
        scheduled, left = (Pending(message_id(n), 0, "acme", ADDRESSES, 1000.0, 5000.0) for n in (1, 2))
        self.store.scheduled, self.store.pending = [scheduled], [left]
        wait_for(self.clock, self.flow.housekeeping(1060.0))
        wait_for(self.clock, self.flow.resume())
        ended = [(ending.id, ending.state) for ending in self.store.ended]
        self.assertEqual(ended, [(each, UNDELIVERABLE) for each in (tagged.id, message_id(1), message_id(2))])
        self.assertEqual(self.first.offered, [])

    def test_messages_over_the_account_s_quota_are_refused_alone_and_test_numbers_don_t_count(self) -> None:
        account = Account(test_numbers={"15005550001": "DELIVRD"}, quota=Quota(daily=3))
        routes = Routes([Route(prefix="44", carriers=["first"])], None, endings_of({"acme": account}))
        self.flow.reroute(routes, {"first": self.first}, 3600.0)
        self.flow.charging.replace({"acme": account}, {})
        self.store.use = AccountUse(19700101, 1, 1)
        numbers = [b"15005550001", b"33", b"447700900001", b"447700900002", b"447700900003", b"15005550001"]
        batch = [Submission(b"\0\0a\0\1\1" + number + b"\0", (b"one",)) for number in numbers]
        results = self.flow.prepare("acme", batch)
        charges = [result.charge if isinstance(result, Message) else result.kind for result in results]
        self.assertEqual(charges, [None, "", COUNTED, COUNTED, "quota-exceeded", None])
        self.assertEqual(self.flow.counters.account("acme").refused[c.ESME_RTHROTTLED], 1)
        accepted = [result for result in results if isinstance(result, Message)]
        wait_for(self.clock, self.flow.accept(accepted))
        self.assertEqual(self.store.days, [19700101])

    def test_above_the_rate_the_refusal_says_when_to_try_again(self) -> None:
        self.rates.wait_seconds = 2.5
        refusal = self.refusal()
        self.assertEqual((refusal.command_status, refusal.retry_after_seconds), (c.ESME_RTHROTTLED, 2.5))

    def test_with_every_queue_full_the_refusal_says_so(self) -> None:
        self.first.room = self.second.room = 0
        self.assertEqual(self.refusal().command_status, c.ESME_RMSGQFUL)

    def test_a_stopping_relay_takes_nothing(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.flow.stop()))
        self.assertEqual(self.refusal().command_status, c.ESME_RSYSERR)

    def test_a_message_goes_to_the_first_carrier_that_is_up(self) -> None:
        self.first.up = False
        self.flow.dispatch([self.message()])
        self.assertEqual((len(self.first.offered), len(self.second.offered)), (0, 1))

    def test_with_all_carriers_down_it_waits_for_the_preferred_one(self) -> None:
        self.first.up = self.second.up = False
        self.flow.dispatch([self.message()])
        self.assertEqual((len(self.first.offered), len(self.second.offered)), (1, 0))

    def test_messages_for_a_carrier_that_is_down_move_to_one_that_came_up(self) -> None:
        self.first.up = self.second.up = False
        self.flow.dispatch([self.message()])
        self.second.up = True
        self.flow.link_changed()
        self.assertEqual((len(self.first.offered), len(self.second.offered)), (0, 1))

    def test_parts_of_a_suspended_account_wait_until_the_suspension_ends(self) -> None:
        self.first.up = self.second.up = False
        queued, later = self.message(), self.message()
        self.flow.dispatch([queued])
        suspended = self.flow.suspended
        self.assertEqual((1, []), (suspended.begin("acme"), self.first.offered))
        self.first.up = True
        self.flow.dispatch([later])
        self.assertEqual((2, [], True), (suspended.count("acme"), self.first.offered, bool(suspended)))
        ended = Deferred.fromCoroutine(suspended.end("acme"))
        self.assertEqual(2, self.successResultOf(ended))
        # Their texts come from the journal.
        self.assertEqual([(queued.id, None), (later.id, None)], [(p.id, p.body) for p in self.first.offered])
        self.assertFalse(suspended)
        self.assertEqual(0, self.successResultOf(Deferred.fromCoroutine(suspended.end("acme"))))

    def test_a_suspension_leaves_other_accounts_alone_and_a_long_one_ends_in_slices(self) -> None:
        self.flow.suspended.begin("other")
        self.flow.dispatch([self.message()])
        self.assertEqual(1, len(self.first.offered))
        self.flow.suspended.begin("acme")
        self.flow.dispatch([self.message() for _ in range(2500)])
        ended = Deferred.fromCoroutine(self.flow.suspended.end("acme"))
        self.assertEqual(1000, len(self.first.offered))
        self.clock.advance(0.0)
        self.clock.advance(0.0)
        self.assertEqual(2501, self.successResultOf(ended))
        self.assertEqual(2501, len(self.first.offered))

    def test_with_all_carriers_down_nothing_is_moved_about(self) -> None:
        self.first.up = self.second.up = False
        self.flow.dispatch([self.message(), self.message()])
        self.flow.link_changed()
        self.assertEqual((len(self.first.offered), self.first.taken_back), (2, 0))

    def spill_over(self, seconds: float = 5.0) -> None:
        """Has messages go to the second carrier where the first one would keep them waiting for longer than this."""
        route = Route(carriers=["first", "second"], spill_over_seconds=seconds)
        self.flow.reroute(Routes([route]), {"first": self.first, "second": self.second}, 3600.0)

    def test_messages_that_the_first_carrier_would_send_too_late_go_to_the_next_one(self) -> None:
        self.spill_over()
        self.first.soon = 3
        self.flow.dispatch([self.message() for _ in range(5)])
        self.assertEqual((len(self.first.offered), len(self.second.offered)), (3, 2))
        self.flow.dispatch([self.message()])
        self.assertEqual((len(self.first.offered), len(self.second.offered)), (3, 3))

    def test_without_that_setting_messages_wait_for_the_first_carrier(self) -> None:
        self.first.soon = 3
        self.flow.dispatch([self.message() for _ in range(5)])
        self.assertEqual((len(self.first.offered), len(self.second.offered)), (5, 0))

    def test_messages_wait_for_the_first_carrier_if_every_carrier_would_send_them_too_late(self) -> None:
        self.spill_over()
        self.first.soon = self.second.soon = 1
        self.flow.dispatch([self.message() for _ in range(5)])
        self.assertEqual((len(self.first.offered), len(self.second.offered)), (4, 1))

    def test_a_carrier_that_is_down_gets_nothing_however_soon_it_would_send(self) -> None:
        self.spill_over()
        self.first.up = False
        self.flow.dispatch([self.message() for _ in range(5)])
        self.assertEqual((len(self.first.offered), len(self.second.offered)), (0, 5))

    def test_a_message_keeps_its_account_s_route_when_the_hours_of_the_route_have_ended(self) -> None:
        routes = [
            Route(account="acme", hours="00:00-00:17 UTC", carriers=["first"]),
            Route(account="other", carriers=["second"]),
        ]
        self.flow.reroute(Routes(routes), {"first": self.first, "second": self.second}, 3600.0)
        message = self.message()
        self.clock.advance(60.0)
        self.assertEqual(self.refusal().command_status, c.ESME_RINVDSTADR)
        self.flow.dispatch([message])
        self.assertEqual((len(self.first.offered), len(self.second.offered)), (1, 0))
        self.store.pending = [
            Pending(message.id, 0, "acme", message.addresses, message.accepted_at, message.expires_at)
        ]
        self.successResultOf(Deferred.fromCoroutine(self.flow.resume()))
        self.assertEqual((len(self.first.offered), len(self.second.offered)), (2, 0))

    def test_parts_go_to_carriers_with_their_account_and_priority_after_a_start_too(self) -> None:
        [message] = self.flow.prepare("acme", [Submission(ADDRESSES, (b"body",), priority=2)])
        assert isinstance(message, Message)
        self.flow.dispatch([message])
        self.store.pending = [Pending(b"1" * 16, 0, "other", ADDRESSES, 900.0, 5000.0, priority=3)]
        self.successResultOf(Deferred.fromCoroutine(self.flow.resume()))
        self.assertEqual([(p.account, p.priority) for p in self.first.offered], [("acme", 2), ("other", 3)])

    def test_a_part_that_no_carrier_may_take_ends_rejected(self) -> None:
        message = self.message()
        self.flow.send([Outgoing(message.id, 0, b"body", message.expires_at, ("gone",))])
        self.assertEqual([(e.id, e.state) for e in self.store.ended], [(message.id, REJECTED)])
        self.assertEqual(self.sessions.queues, [LANE])

    def test_receipts_wake_the_queues_where_something_became_owed(self) -> None:
        receipt = Receipt("first", (b"1",), 2, True, 1000.0)
        self.successResultOf(Deferred.fromCoroutine(self.flow.follow_up(self.store.receipts([receipt]))))
        self.assertEqual(self.sessions.queues, [LANE])

    def test_a_start_ends_what_may_be_with_a_carrier_that_ends_what_is_in_doubt(self) -> None:
        doubtful = Pending(b"1" * 16, 0, "acme", ADDRESSES, 900.0, 5000.0, "second")
        sure = Pending(b"2" * 16, 0, "acme", ADDRESSES, 900.0, 5000.0)
        self.store.pending = [doubtful, sure]
        self.successResultOf(Deferred.fromCoroutine(self.flow.resume()))
        ended = [(e.id, e.state, e.carrier) for e in self.store.ended]
        self.assertEqual(ended, [(doubtful.id, UNKNOWN, "second")])
        self.assertEqual([part.id for part in self.first.offered], [sure.id])

    def test_a_start_dispatches_every_part_that_no_carrier_had_taken(self) -> None:
        self.store.pending = [Pending(n.to_bytes(16, "big"), 0, "acme", ADDRESSES, 900.0, 5000.0) for n in range(2500)]
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(self.flow.resume())), 2500)
        self.assertEqual(len({part.id for part in self.first.offered}), 2500)
        self.assertEqual({part.body for part in self.first.offered}, {None})
        self.assertEqual(self.sessions.queues, [LANE])


class CancelTests(SynchronousTestCase):
    def test_a_message_whose_end_is_not_durable_yet_can_not_be_cancelled_any_more(self) -> None:
        clock = SettableClock()
        store = started(SimulatedDisk(), clock)
        flow = MessageFlow(
            store=store,
            rates=Rates(),
            routes=Routes([]),
            clock=clock,
            random_bytes=random.Random(1).randbytes,
            validity_seconds=3600.0,
        )
        wait_for(clock, store.accept([message(1), message(2)]))
        store.end([Ending(message_id(1), EXPIRED, NOW)])
        self.assertIs(wait_for(clock, flow.cancel(message_id(1))), False)
        self.assertIs(wait_for(clock, flow.cancel(message_id(2))), True)
