"""Receipts to customers over SMPP: claimed as windows open, settled when answered, kept when nobody is there."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from relay.customers.smpp_receivers import AccountReceivers
from relay.runtime.tasks import Tasks
from relay.values.counters import Counters
from relay.values.notifications import Attempt, Channel, Claim, Notification, QueueKey, Verdict
from relay.values.pdus import Answered
from relay.values.smpp_constants import (
    DELIVER_SM,
    DELIVER_SM_RESP,
    ESME_ROK,
    ESME_RX_P_APPN,
    ESME_RX_R_APPN,
    ESME_RX_T_APPN,
)
from relay.values.states import DELIVERED

LANE = QueueKey("acme", Channel.SMPP.value)


def notification(number: int, attempt: int = 1) -> Notification:
    return Notification(
        number.to_bytes(16, "big"), "acme", Channel.SMPP.value, DELIVERED, True, attempt, 0.0, 1.0, b"\0\0\0\0\0\0",
        owed_since=1.0,
    )  # fmt: skip


class QueueStore:
    """One queue in memory; `claims` can be held back to see what happens meanwhile."""

    def __init__(self, count: int) -> None:
        self.owed = [notification(n) for n in range(count)]
        self.settled: list[Attempt] = []
        self.claim_calls: list[int] = []
        self.hold: Deferred[None] | None = None

    def claim(self, queue_key: QueueKey, limit: int, now: float) -> Deferred[Claim]:
        self.claim_calls.append(limit)
        handed, self.owed = self.owed[:limit], self.owed[limit:]
        result = Claim(handed, bool(self.owed))
        if self.hold is None:
            return succeed(result)
        return self.hold.addCallback(lambda _: result)

    def settle(self, batch: Sequence[Attempt]) -> Deferred[None]:
        self.settled.extend(batch)
        return succeed(None)

    def release(self, batch: Sequence[Notification]) -> None:
        self.owed[:0] = list(batch)


class FakeSession:
    def __init__(self, window: int) -> None:
        self.room = window


class FakeProtocol:
    """A bound receiver with a window."""

    interface_version = 0x34

    def __init__(self, window: int) -> None:
        self.session = FakeSession(window)
        self.sent: list[object] = []

    def send(self, command_id: int, requests: Sequence[tuple[bytes, object]]) -> None:
        assert command_id == DELIVER_SM
        self.session.room -= len(requests)
        assert self.session.room >= 0
        self.sent.extend(token for _, token in requests)

    def answer(self, count: int, status: int = ESME_ROK) -> list[Answered]:
        self.session.room += count
        answered, self.sent = self.sent[:count], self.sent[count:]
        return [Answered(token, DELIVER_SM_RESP, status, b"") for token in answered]


class Writer:
    def deliver_sm_body(self, notification: Notification, error_codes: str, with_tlvs: bool) -> bytes:
        return b"body"


class AccountReceiversTests(SynchronousTestCase):
    def receivers(
        self, store: QueueStore, keep_seconds: float = 1e6, counters: Counters | None = None
    ) -> AccountReceivers:
        self.clock = Clock()
        self.clock.advance(1.0)
        fake_store: Any = store
        writer: Any = Writer()
        return AccountReceivers(
            LANE,
            fake_store,
            writer,
            self.clock,
            Tasks(Logger()),
            error_codes=lambda: "standard",
            keep_seconds=lambda: keep_seconds,
            counters=counters,
        )

    def bound(self, receivers: AccountReceivers, window: int) -> FakeProtocol:
        protocol: Any = FakeProtocol(window)
        receivers.add(protocol)
        return protocol  # type: ignore[no-any-return]

    def test_nothing_is_claimed_while_nobody_is_bound(self) -> None:
        store = QueueStore(3)
        self.receivers(store).wake(LANE)
        self.assertEqual(store.claim_calls, [])

    def test_waiting_receipts_are_sent_after_a_bind(self) -> None:
        store = QueueStore(3)
        protocol = self.bound(self.receivers(store), 10)
        self.assertEqual(len(protocol.sent), 3)

    def test_no_more_is_claimed_than_the_windows_take(self) -> None:
        store = QueueStore(50)
        protocol = self.bound(self.receivers(store), 10)
        self.assertEqual((len(protocol.sent), len(store.owed)), (10, 40))

    def test_answers_settle_and_open_the_window_for_more(self) -> None:
        store = QueueStore(50)
        receivers = self.receivers(store)
        protocol = self.bound(receivers, 10)
        receivers.answered(protocol.answer(4))
        self.assertEqual([a.verdict for a in store.settled], [Verdict.DELIVERED] * 4)
        self.assertEqual((len(protocol.sent), len(store.owed)), (10, 36))

    def test_the_time_to_notify_counts_the_first_and_the_last_of_what_one_read_answers(self) -> None:
        store = QueueStore(4)
        counters = Counters()
        receivers = self.receivers(store, counters=counters)
        protocol = self.bound(receivers, 10)
        done_at = [token.done_at for token in protocol.sent if isinstance(token, Notification)]
        self.clock.advance(100.0)
        receivers.answered(protocol.answer(4))
        histogram = counters.notification_seconds[LANE.channel]
        now = self.clock.seconds()
        self.assertEqual(4, histogram.count)
        self.assertAlmostEqual(2 * (now - done_at[0]) + 2 * (now - done_at[3]), histogram.total)

    def test_an_empty_queue_is_not_asked_again_with_every_answer(self) -> None:
        store = QueueStore(3)
        receivers = self.receivers(store)
        protocol = self.bound(receivers, 10)
        receivers.answered(protocol.answer(3))
        self.assertEqual(len(store.claim_calls), 1)

    def test_each_notification_goes_to_exactly_one_of_several_sessions(self) -> None:
        store = QueueStore(0)
        receivers = self.receivers(store)
        first, second = self.bound(receivers, 5), self.bound(receivers, 5)
        store.owed = [notification(n) for n in range(20)]
        receivers.wake(LANE)
        sent = [n.id for n in first.sent + second.sent]  # type: ignore[attr-defined]
        self.assertEqual((len(sent), len(set(sent))), (10, 10))
        self.assertTrue(first.sent and second.sent)

    def test_a_refused_receipt_is_tried_again_later_and_not_dropped(self) -> None:
        store = QueueStore(1)
        receivers = self.receivers(store)
        protocol = self.bound(receivers, 10)
        receivers.answered(protocol.answer(1, ESME_RX_T_APPN))
        [attempt] = store.settled
        self.assertEqual((attempt.verdict, attempt.answer), (Verdict.RETRY, "ESME_RX_T_APPN"))
        self.assertGreater(attempt.due_at, self.clock.seconds())

    def test_a_receipt_that_is_refused_for_good_is_not_tried_again(self) -> None:
        for status, name in ((ESME_RX_P_APPN, "ESME_RX_P_APPN"), (ESME_RX_R_APPN, "ESME_RX_R_APPN")):
            store = QueueStore(1)
            receivers = self.receivers(store)
            receivers.answered(self.bound(receivers, 10).answer(1, status))
            self.assertEqual([(a.verdict, a.answer) for a in store.settled], [(Verdict.GIVEN_UP, name)])

    def test_a_receipt_refused_past_its_age_is_given_up_and_recorded_so(self) -> None:
        store = QueueStore(1)
        receivers = self.receivers(store, keep_seconds=2.0)
        protocol = self.bound(receivers, 10)
        receivers.answered(protocol.answer(1, ESME_RX_T_APPN))
        self.assertEqual([a.verdict for a in store.settled], [Verdict.GIVEN_UP])

    def test_a_session_that_ends_gives_its_unanswered_back_to_the_head(self) -> None:
        store = QueueStore(5)
        receivers = self.receivers(store)
        protocol = self.bound(receivers, 3)
        gone: Any = protocol
        receivers.remove(gone)
        receivers.unanswered(protocol.sent)
        self.assertEqual([n.id for n in store.owed], [notification(n).id for n in range(5)])
        other = self.bound(receivers, 10)
        self.assertEqual(len(other.sent), 5)

    def test_a_session_that_ends_while_a_claim_is_under_way_loses_nothing(self) -> None:
        store = QueueStore(4)
        store.hold = Deferred()
        receivers = self.receivers(store)
        gone: Any = self.bound(receivers, 10)
        receivers.remove(gone)
        store.hold.callback(None)
        self.assertEqual((len(gone.sent), len(store.owed)), (0, 4))

    def test_a_retry_is_claimed_when_the_store_says_that_it_is_due_and_no_clock_runs_for_it_here(self) -> None:
        store = QueueStore(0)
        receivers = self.receivers(store)
        protocol = self.bound(receivers, 10)
        store.owed = [notification(1, attempt=2)]
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(protocol.sent, [])
        receivers.wake(LANE)
        self.assertEqual(len(protocol.sent), 1)
