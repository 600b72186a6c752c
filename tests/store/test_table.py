"""Each part of the table alone: order, limits, shared values. The store's contract tests them together."""

import sys
from collections.abc import Callable, Iterator
from itertools import islice, permutations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.config import daemon_config
from relay.store.store_values import Idempotency, NotifyPolicy
from relay.store.table.accept import accept, take_back
from relay.store.table.account_lists import RECENT_KEPT, RowList
from relay.store.table.claims import Claims
from relay.store.table.correlation import Correlation
from relay.store.table.entries import Row, smpp_owed_by_state
from relay.store.table.entry_values import (
    FINAL,
    FORGOTTEN,
    GIVEN_UP_WEBHOOK,
    NOTHING_LEARNT,
    TAKEN,
    Acceptance,
    CarrierHandoff,
    LatestState,
    Part,
    Segment,
    Tries,
)
from relay.store.table.learning import Learning
from relay.store.table.message_views import message_view
from relay.store.table.notification_queues import NotificationQueue, NotificationQueues
from relay.store.table.orphans import KEPT_A_KEY, RAW_BYTES_KEPT, Orphans, Unreadable
from relay.store.table.parts import ending_part, latest_handoff, overdue_parts
from relay.store.table.receiving import feed as inbound_feed
from relay.store.table.receiving import numbered, receive
from relay.store.table.receiving import take_back as take_back_inbound
from relay.store.table.settings_and_keys import BYTES_KEPT, IdempotencyKeys
from relay.store.table.shared_values import SharedValues
from relay.store.table.snapshots import SharedHandoffs, row_of_snapshot, snapshot
from relay.store.table.submitted import Submissions
from relay.store.table.table import Table
from relay.store.table.unsubmitted import UnsubmittedMessages
from relay.store.table.views import LOOKED_AT_A_TURN, feed, given_up, learnt_between, recent
from relay.values.carrier_reports import PartsReceipted
from relay.values.inbound import InboundMessage
from relay.values.notifications import Channel, QueueKey, Recovery
from relay.values.states import DELIVERED, EXPIRED, REJECTED, UNDELIVERABLE, WORST_FIRST
from tests.stores import ADDRESSES, DAY, NOW, message, message_id, receipt, submitted


class CountedRows(list[Row]):
    """A list that counts its entries that are looked at."""

    looked_at = 0

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        self.looked_at += len(found) if isinstance(at, slice) else 1
        return found

    def __iter__(self) -> Iterator[Row]:
        self.looked_at += len(self)
        return super().__iter__()


def rows_of(count: int) -> tuple[Table, list[Row]]:
    """A table with some rows, in their order."""
    table = Table(daemon_config.Limits(), lambda account: NotifyPolicy())
    accept(table, [message(n) for n in range(count)], Segment(1, NOW), 0)
    return table, [table.shards[message_id(n)[0]][message_id(n)] for n in range(count)]


class UnsubmittedMessagesTests(SynchronousTestCase):
    """The order in which messages wait for a carrier."""

    @given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=12), st.integers(1, 7))
    def test_a_reader_sees_every_waiting_message_once_whatever_is_taken_meanwhile(
        self, taken: list[Any], limit: int
    ) -> None:
        _, rows = rows_of(60)
        unsubmitted_messages = UnsubmittedMessages()
        unsubmitted_messages.extend(rows)
        handoff = CarrierHandoff("tier1", NOW, NOW)
        seen: list[bytes] = []
        place = None
        waiting = 60
        for which, _ in [*taken, *[(99, 1)] * 100]:
            if which < len(rows) and rows[which].handoff is None:
                rows[which].handoff = handoff
                waiting -= 1
            unsubmitted_messages.tidy(waiting)
            found = unsubmitted_messages.after(place, limit)
            if not found:
                break
            seen += [row.id for row, _ in found]
            place = found[-1][0].id, found[-1][1]
        self.assertEqual(len(seen), len(set(seen)))
        self.assertTrue({row.id for row in rows if row.handoff is None} <= set(seen))
        self.assertEqual(seen, sorted(seen, key=lambda i: i[1:]))

    def test_taken_entries_are_dropped_in_order_and_out_of_order(self) -> None:
        for keep in (0, 9_999):
            _, rows = rows_of(10_000)
            unsubmitted_messages = UnsubmittedMessages()
            unsubmitted_messages.extend(rows)
            for index, row in enumerate(rows):
                if index != keep:
                    row.handoff = CarrierHandoff("tier1", NOW, NOW)
            for _ in range(10):
                unsubmitted_messages.tidy(1)
            self.assertLess(len(unsubmitted_messages._rows), 5_000)
            self.assertEqual([row.id for row, _ in unsubmitted_messages.after(None, 5)], [rows[keep].id])


class PartsTests(SynchronousTestCase):
    """How long messages end."""

    @given(st.lists(st.tuples(st.sampled_from(WORST_FIRST), st.booleans()), min_size=1, max_size=6))
    def test_all_parts_must_end_and_the_worst_is_the_messages(self, states: list[tuple[int, bool]]) -> None:
        handoff = CarrierHandoff("tier1", NOW, NOW + 5)
        parts = [Part(handoff, b"", state, final) for state, final in states]
        ending = ending_part(parts)
        if all(final for _, final in states):
            assert ending is not None
            self.assertEqual(ending.state, min((state for state, _ in states), key=WORST_FIRST.index))
        else:
            self.assertIsNone(ending)

    def test_parts_of_carriers_that_would_receipt_none_of_them_are_all_awaited(self) -> None:
        last, first = (
            CarrierHandoff("tier1", NOW, NOW + 5, int(mode)) for mode in (PartsReceipted.LAST, PartsReceipted.FIRST)
        )
        parts = [Part(last, b"", DELIVERED, True), Part(first, b"", EXPIRED, False)]
        self.assertIsNone(ending_part(parts))
        self.assertEqual(overdue_parts(parts, NOW + 5), [1])

    def test_of_parts_any_of_which_is_receipted_the_last_due_one_times_out(self) -> None:
        mode = int(PartsReceipted.ANY)
        parts = [Part(CarrierHandoff("tier1", NOW, NOW + 5, mode)), Part(CarrierHandoff("tier1", NOW, NOW + 9, mode))]
        self.assertEqual((overdue_parts(parts, NOW + 5), overdue_parts(parts, NOW + 9)), ([], [0]))

    def test_the_carrier_shown_of_a_long_message_does_not_depend_on_the_order_of_equal_instants(self) -> None:
        taken = [("tier1", 0), ("tier2", 1), ("tier1", 2)]
        shown = set()
        for order in permutations(taken):
            table = Table(daemon_config.Limits(), lambda account: NotifyPolicy())
            accept(table, [message(1, parts=(b"a", b"b", b"c"))], Segment(1, NOW), 0)
            for carrier, part in order:
                Submissions(table, Learning(table)).submitted([submitted(1, b"k%d" % part, part, carrier)])
            row = table.shards[message_id(1)[0]][message_id(1)]
            restored = row_of_snapshot(snapshot(row, table.ids), table, row.acceptance, SharedHandoffs(table))
            shown |= {message_view(row).carrier, message_view(restored).carrier}
        self.assertEqual(shown, {"tier1"})

    def test_the_carrier_shown_of_a_long_message_is_the_one_that_took_a_part_last(self) -> None:
        parts = [Part(CarrierHandoff("tier1", NOW + at, NOW)) for at in (0, 2, 1)]
        self.assertIs(latest_handoff(parts), parts[1].handoff)
        self.assertIsNone(latest_handoff([*parts, Part()]))

    def test_a_part_that_is_not_receipted_never_times_out(self) -> None:
        handoff = CarrierHandoff("tier1", NOW, NOW + 5, int(PartsReceipted.FIRST))
        self.assertEqual(overdue_parts([Part(handoff), Part(handoff)], NOW + 9), [0])


class QueueTests(SynchronousTestCase):
    """One queue."""

    def test_retries_that_are_due_go_behind_what_is_ready(self) -> None:
        _, rows = rows_of(3)
        queue: NotificationQueue[Row] = NotificationQueue(QueueKey("plain", Channel.WEBHOOK))
        queue.owe(rows[0])
        queue.take(1, NOW, 0)
        queue.delay(rows[0], Tries(1, NOW + 5))
        queue.owe(rows[1])
        queue.owe(rows[2])
        self.assertEqual(queue.take(9, NOW + 5, 0), [rows[1], rows[2], rows[0]])

    def test_a_notification_that_is_not_durable_waits_apart_and_delays_no_other(self) -> None:
        _, rows = rows_of(4)
        queue: NotificationQueue[Row] = NotificationQueue(QueueKey("plain", Channel.WEBHOOK))
        for cursor, row in enumerate(rows, 1):
            row.cursor = cursor
            queue.owe(row)
        rows[3].cursor = 0
        self.assertEqual(queue.take(9, NOW, 1), [rows[0], rows[3]])
        self.assertEqual((queue.next_due_at(NOW), queue.owed), (None, 4))
        self.assertEqual(queue.take(9, NOW, 2), [rows[1]])
        self.assertEqual(queue.take(9, NOW, 3), [rows[2]])

    def test_a_newer_state_is_notified_at_once_and_the_older_delayed_one_is_forgotten(self) -> None:
        _, rows = rows_of(1)
        queue: NotificationQueue[Row] = NotificationQueue(QueueKey("plain", Channel.WEBHOOK))
        queue.owe(rows[0])
        queue.take(1, NOW, 0)
        queue.delay(rows[0], Tries(4, NOW + 5))
        self.assertFalse(queue.owe(rows[0]))
        self.assertEqual((queue.take(9, NOW, 0), queue.owed), ([rows[0]], 1))
        queue.settle(rows[0])
        self.assertEqual((queue.take(9, NOW + 9, 0), queue.next_due_at(NOW), queue.owed), ([], None, 0))

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["owe", "take", "retry", "deliver", "release", "pass", "hasten"]),
                st.integers(0, 7),
                st.sampled_from(list(Recovery)),
            ),
            max_size=60,
        )
    )
    def test_a_retry_comes_at_its_time_or_when_it_is_brought_forward(self, steps: list[Any]) -> None:
        """Beside a plain model: lists of numbers."""
        _, rows = rows_of(8)
        queue: NotificationQueue[Row] = NotificationQueue(QueueKey("plain", Channel.WEBHOOK))
        now = NOW
        ready: list[int] = []
        brought_forward: list[int] = []
        retries: list[tuple[float, int, int, Recovery]] = []
        claimed: list[int] = []
        newer: set[int] = set()
        for order, (step, number, recovery) in enumerate(steps):
            if step == "owe":
                queue.owe(rows[number])
                brought_forward = [n for n in brought_forward if n != number]
                retries = [entry for entry in retries if entry[2] != number]
                if number in claimed:
                    newer.add(number)
                elif number not in ready:
                    ready.append(number)
            elif step == "take":
                due = sorted(entry for entry in retries if entry[0] <= now)
                ripe = ([entry[2] for entry in due] + brought_forward)[:number]
                retries = [entry for entry in retries if entry[2] not in ripe]
                brought_forward = [n for n in brought_forward if n not in ripe]
                ready += ripe
                self.assertEqual(queue.take(number, now, 0), [rows[n] for n in ready[:number]])
                claimed += ready[:number]
                del ready[:number]
            elif step == "pass":
                now += 10.0 * number
            elif step == "hasten":
                queue.bring_forward(recovery)
                moved = [entry for entry in retries if entry[3] >= recovery]
                retries = [entry for entry in retries if entry[3] < recovery]
                # What needs less stands first, then what is due first.
                brought_forward += [entry[2] for entry in sorted(moved, key=lambda entry: (-entry[3], entry))]
            elif number in claimed:
                claimed.remove(number)
                if step == "release":
                    newer.discard(number)
                    queue.give_back(rows[number])
                    ready.insert(0, number)
                elif number in newer:
                    # The attempt was about an older state, and the newer one has waited for its end.
                    newer.remove(number)
                    queue.superseded(rows[number])
                    ready.append(number)
                elif step == "retry":
                    due_at = now + 5.0 * (1 + order % 5)
                    queue.delay(rows[number], Tries(1, due_at), recovery)
                    retries.append((due_at, order, number, recovery))
                else:
                    queue.settle(rows[number])
            self.assertEqual(queue.owed, len(ready) + len(brought_forward) + len(retries) + len(claimed))
            due_at = now if ready or brought_forward else min((entry[0] for entry in retries), default=None)  # type: ignore[assignment]
            self.assertEqual(queue.next_due_at(now), due_at)
        everything = sorted(ready + brought_forward + [entry[2] for entry in retries])
        self.assertEqual(sorted(rows.index(row) for row in queue.take(99, now + 1000.0, 0)), everything)

    def test_a_retry_that_is_brought_forward_and_taken_leaves_nothing_behind(self) -> None:
        _, rows = rows_of(1_000)
        queue: NotificationQueue[Row] = NotificationQueue(QueueKey("plain", Channel.WEBHOOK))
        for row in rows:
            queue.owe(row)
        for time in range(5):
            for row in queue.take(1_000, NOW, 0):
                queue.delay(row, Tries(time + 1, NOW + DAY), Recovery.REACHED)
            queue.bring_forward(Recovery.REACHED)
        assert queue.retries is not None
        self.assertEqual(len(queue.retries), 1_000)
        for row in queue.take(1_000, NOW, 0):
            queue.settle(row)
        self.assertEqual((len(queue.retries), queue.next_due_at(NOW), queue.owed), (0, None, 0))

    def test_queues_of_messages_own_urls_do_not_pile_up(self) -> None:
        _, rows = rows_of(50)
        queues: NotificationQueues[Row] = NotificationQueues()
        for n, row in enumerate(rows):
            queue = queues.queue(QueueKey("plain", Channel.WEBHOOK, f"http://{n}/"))
            queue.owe(row)
            queue.take(1, NOW, 0)
            queue.settle(row)
            queues.drop_if_empty(queue)
        self.assertEqual(len(queues), 0)


class SharedValuesTests(SynchronousTestCase):
    """What rows have in common is in memory once."""

    def test_a_row_is_small(self) -> None:
        # A field more takes 16 octets, and there are millions of rows.
        self.assertLessEqual(sys.getsizeof(rows_of(1)[1][0]), 96)

    def test_messages_that_wait_share_one_value_for_their_state(self) -> None:
        table, rows = rows_of(3)
        self.assertEqual({id(row.latest) for row in rows}, {id(NOTHING_LEARNT)})
        Submissions(table, Learning(table)).submitted([submitted(n) for n in range(3)])
        self.assertEqual({id(row.latest) for row in rows}, {id(TAKEN)})

    def test_frames_share_the_length_of_their_validity_and_lose_nothing_of_its_end(self) -> None:
        table, _ = rows_of(0)
        batches = [[message(n, accepted_at=NOW + n / 7, expires_at=NOW + n / 7 + DAY)] for n in range(9)]
        for batch in batches:
            accept(table, batch, Segment(1, NOW), 0)
        rows = [table.shards[m.id[0]][m.id] for [m] in batches]
        self.assertEqual([row.acceptance.expires_at for row in rows], [m.expires_at for [m] in batches])
        self.assertEqual(len({id(row.acceptance.validity_seconds) for row in rows}), 1)

    def test_very_many_lengths_of_time_are_not_kept_for_ever(self) -> None:
        shared = SharedValues()
        lengths = [float(n) for n in range(5_000)]
        self.assertEqual([shared.seconds(length) for length in lengths], lengths)
        self.assertLessEqual(len(shared._seconds), 4096)
        self.assertIs(shared.seconds(float("4999")), shared.seconds(float("4999")))

    def test_messages_whose_receipts_say_the_same_share_one_value_for_their_state(self) -> None:
        for in_place in (True, False):
            table, rows = rows_of(5)
            Submissions(table, Learning(table)).submitted([submitted(n) for n in range(5)])
            correlation = Correlation(table, Learning(table))
            correlation.in_place = in_place
            states = [DELIVERED, DELIVERED, UNDELIVERABLE, DELIVERED, DELIVERED]
            dates = [NOW, NOW, NOW, NOW, NOW + 1]
            at = NOW + 2
            batch = [receipt(n, states[n], received_at=at, carrier_done_at=dates[n]) for n in range(5)]
            correlation.receipts(batch, 1)
            self.assertIs(rows[0].latest, rows[1].latest)
            self.assertEqual([row.latest.state for row in rows], states)
            self.assertEqual([row.latest.carrier_done_at for row in rows], dates)
            self.assertEqual({row.latest.done_at for row in rows}, {at})


class BoundsTests(SynchronousTestCase):
    """What is kept, and how much of it."""

    def test_long_bodies_of_receipts_that_are_kept_are_cut(self) -> None:
        table, _ = rows_of(1)
        Correlation(table, Learning(table)).receipts(
            [receipt(5, raw=b"x" * 60_000), receipt(b"", keys=(), raw=b"y" * 60_000)], 1
        )
        self.assertEqual(len(table.orphans.latest(1)[0].raw), RAW_BYTES_KEPT)
        self.assertEqual(len(table.unreadable.latest(1)[0].raw), RAW_BYTES_KEPT)

    def test_orphans_leave_nothing_behind(self) -> None:
        orphans = Orphans(100, 60)
        for n in range(1000):
            orphans.add(receipt(b"", keys=(b"%d" % n, b"same")))
            if n % 3 == 0:
                orphans.take("tier1", b"%d" % n)
        orphans.take("tier1", b"same")
        orphans.expire(NOW + 99, 1000)
        self.assertEqual((orphans.count, len(orphans._queue), orphans._by_key), (0, 0, {"tier1": {}}))

    def test_a_word_that_stands_in_every_receipt_s_id_keeps_few_of_them_and_hides_none(self) -> None:
        orphans = Orphans(100_000, 60)
        for n in range(3 * KEPT_A_KEY):
            orphans.add(receipt(b"", keys=(b"%d" % n, b"same")))
            orphans.add(receipt(b"", keys=(b"same",), received_at=NOW + n))
        self.assertLessEqual(max(len(waiting) for waiting in orphans._by_key["tier1"].values()), KEPT_A_KEY)
        # Those that had no other key were dropped from then on, and are counted.
        self.assertEqual(orphans.count + orphans.dropped, 6 * KEPT_A_KEY)
        for n in range(3 * KEPT_A_KEY):
            self.assertEqual([r.keys[0] for r in orphans.take("tier1", b"%d" % n)], [b"%d" % n])
        # The first ones stayed.
        self.assertEqual(orphans.take("tier1", b"same")[0].received_at, NOW)
        self.assertEqual((orphans.count, orphans._by_key), (0, {"tier1": {}}))

    def test_unreadable_receipts_make_room_for_younger_ones(self) -> None:
        kept = Unreadable(2)
        for n in range(3):
            kept.add(receipt(b"", keys=(), raw=b"%d" % n))
        self.assertEqual(([r.raw for r in kept.latest(5)], kept.count), ([b"2", b"1"], 3))

    @given(st.permutations(range(40)))
    def test_forgotten_rows_are_dropped_in_any_order(self, order: list[int]) -> None:
        _, rows = rows_of(40)
        held: RowList[Row] = RowList()
        held.rows.extend(rows)
        for done, index in enumerate(order, 1):
            rows[index].flags |= FORGOTTEN
            held.forgot(rows[index])
            held.tidy()
            alive = [row for row in held.rows[held.first :] if not row.flags & FORGOTTEN]
            self.assertEqual(alive, [row for row in rows if not row.flags & FORGOTTEN])
            self.assertLessEqual(len(held.rows) - held.first, max(2 * (40 - done), 1))

    def test_a_search_is_made_in_slices_whatever_is_looked_for(self) -> None:
        table, rows = rows_of(5 * LOOKED_AT_A_TURN)
        account = rows[0].origin.account.name
        for state, search, limit in ((None, "99999999", 50), (REJECTED, "", 50), (None, "", len(rows))):
            slices = sum(step is None for step in recent(table, account, None, state, search, limit, table.cursor))
            self.assertGreaterEqual(slices, 4)

    def test_between_two_turns_an_answer_from_the_feed_looks_at_no_more_than_a_slice_of_it(self) -> None:
        table, rows = rows_of(5 * LOOKED_AT_A_TURN)
        account = rows[0].origin.account
        account.feed.rows = feed_rows = CountedRows(rows)
        for cursor, row in enumerate(rows, 1):
            # Between the first one and the last one all have left the table, as when the first is owed for long.
            row.flags |= FINAL | GIVEN_UP_WEBHOOK | (FORGOTTEN if 1 < cursor < len(rows) else 0)
            row.cursor = cursor
            row.latest = LatestState(DELIVERED, done_at=NOW)
            account.given_up[row.id] = NOW
        table.cursor = len(rows)
        name = account.name
        questions: dict[str, Callable[[], Iterator[object]]] = {
            "the feed": lambda: feed(table, name, 1, 10, table.cursor),
            "a span in which all lies": lambda: learnt_between(table, name, NOW, NOW + 1, 10**6),
            "a span in which nothing lies": lambda: learnt_between(table, name, NOW + DAY, NOW + 2 * DAY, 10**6),
            "all that was given up": lambda: given_up(table, name, NOW, NOW + 1, 10**6),
            "a span in which nothing was given up": lambda: given_up(table, name, NOW + DAY, NOW + 2 * DAY, 10**6),
        }
        found: dict[str, int] = {}
        for what, ask in questions.items():
            found[what] = feed_rows.looked_at = 0
            for step in ask():
                # The search for the place looks at a few.
                self.assertLessEqual(feed_rows.looked_at, LOOKED_AT_A_TURN + 20, what)
                if step is None:
                    feed_rows.looked_at = 0
                else:
                    found[what] += 1
            self.assertLessEqual(feed_rows.looked_at, LOOKED_AT_A_TURN + 20, what)
        self.assertEqual(list(found.values()), [1, 2, 0, 2, 0])

    def test_a_poll_for_messages_from_handsets_looks_at_no_other_finished_messages(self) -> None:
        table, rows = rows_of(LOOKED_AT_A_TURN)
        account = rows[0].origin.account
        account.feed.rows = feed_rows = CountedRows(rows)
        for cursor, row in enumerate(rows, 1):
            row.flags |= FINAL
            row.cursor = cursor
        table.cursor = len(rows)
        self.assertEqual(list(inbound_feed(table, account.name, 0, 10, LOOKED_AT_A_TURN, table.cursor)), [])
        came = [InboundMessage(message_id(n + 10**6), account.name, "tier1", NOW, ADDRESSES, 0, b"") for n in range(3)]
        receive(table, numbered(table, came), Segment(2, NOW), 0, [])
        found = list(inbound_feed(table, account.name, 0, 10, LOOKED_AT_A_TURN, table.cursor))
        self.assertEqual([None if view is None else view.id for view in found], [m.id for m in came])
        self.assertEqual(feed_rows.looked_at, 0)
        take_back_inbound(table, came, [])
        self.assertEqual(list(inbound_feed(table, account.name, 0, 10, LOOKED_AT_A_TURN, table.cursor)), [])
        self.assertEqual(len(account.inbound.rows) - account.inbound.first, 0)

    def test_a_question_of_the_feed_ends_however_much_comes_meanwhile(self) -> None:
        table, rows = rows_of(5 * LOOKED_AT_A_TURN)
        account = rows[0].origin.account
        left = iter(rows)

        def ends(count: int) -> None:
            for row in islice(left, count):
                table.cursor = row.cursor = table.cursor + 1
                account.feed.rows.append(row)

        ends(LOOKED_AT_A_TURN)
        steps = 0
        for _ in learnt_between(table, account.name, NOW + DAY, NOW + 2 * DAY, 9):
            ends(LOOKED_AT_A_TURN)
            steps += 1
        self.assertEqual(steps, 1)

    def test_messages_forgotten_during_a_search_are_left_out_and_none_is_shown_twice(self) -> None:
        table, rows = rows_of(3 * LOOKED_AT_A_TURN)
        shown: list[bytes] = []
        for step in recent(table, rows[0].origin.account.name, None, None, "", len(rows), table.cursor):
            if step is not None:
                shown.append(step.id)
            elif len(shown) < LOOKED_AT_A_TURN:
                for row in rows[:LOOKED_AT_A_TURN]:
                    row.flags |= FORGOTTEN
                    row.origin.account.forgot(row)
                rows[0].origin.account.tidy()
        self.assertEqual(shown, [row.id for row in reversed(rows[LOOKED_AT_A_TURN:])])

    def test_an_accounts_list_of_recent_messages_is_bounded(self) -> None:
        table, _ = rows_of(0)
        for start in range(0, 3 * RECENT_KEPT, 1000):
            accept(table, [message(n) for n in range(start, start + 1000)], Segment(1, NOW), 0)
        recent = table.account("plain").recent.rows
        self.assertLessEqual(len(recent), 2 * RECENT_KEPT)
        self.assertEqual(recent[-1].id, message_id(3 * RECENT_KEPT - 1))

    def test_messages_of_one_batch_share_what_they_have_in_common(self) -> None:
        table = Table(daemon_config.Limits(), lambda account: NotifyPolicy())
        submissions = Submissions(table, Learning(table))
        accept(table, [message(n, accepted_at=NOW) for n in range(5)], Segment(1, NOW), 7)
        submissions.submitted([submitted(n, at=float(NOW), receipt_due_at=NOW + 5) for n in range(5)])
        rows = [table.shards[message_id(n)[0]][message_id(n)] for n in range(5)]
        self.assertEqual(len({id(row.acceptance) for row in rows}), 1)
        self.assertEqual(len({id(row.handoff) for row in rows}), 1)
        self.assertEqual(len({id(row.origin) for row in rows}), 1)

    def test_errors_are_shared_and_cut(self) -> None:
        table, _ = rows_of(0)
        self.assertIs(table.shared.carrier_error(b"000", b""), table.shared.carrier_error(b"000", b""))
        self.assertEqual(len(table.shared.carrier_error(b"e" * 500, b"").error), 64)
        with_a_nul, two = table.shared.carrier_error(b"1\x002", b""), table.shared.carrier_error(b"1", b"2")
        self.assertEqual((with_a_nul.error, two.error, two.network_error_code), (b"1\x002", b"1", b"2"))
        for n in range(10_000):
            table.shared.carrier_error(b"%d" % n, b"")
        self.assertLessEqual(len(table.shared._carrier_errors), 4096)

    def test_registered_delivery_as_the_specification_has_it(self) -> None:
        wanted = {
            asked: [bool(smpp_owed_by_state(asked)[state]) for state in (DELIVERED, UNDELIVERABLE, REJECTED)]
            for asked in (0, 1, 2, 3, 0x10, 0x11)
        }
        self.assertEqual(
            wanted,
            {
                0: [False] * 3,
                1: [True] * 3,
                2: [False, True, True],
                3: [True, False, False],
                0x10: [False] * 3,
                0x11: [True] * 3,
            },
        )

    def test_idempotency_keys_are_bounded_by_count_and_by_octets(self) -> None:
        keys = IdempotencyKeys(100)
        for n in range(150):
            keys.put(Idempotency("plain", f"{n}", b"", b"", NOW + n))
        self.assertEqual((len(keys), keys.get("plain", "49"), keys.get("plain", "50") is None), (100, None, False))
        for n in range(20):
            keys.put(Idempotency("plain", f"big {n}", b"", bytes(BYTES_KEPT // 10), NOW + n))
        self.assertLess(len(keys), 10)
        keys.expire(NOW + 99 * DAY, 100)
        self.assertEqual((len(keys), keys._bytes), (0, 0))

    def test_taking_an_accept_back_leaves_nothing(self) -> None:
        table, rows = rows_of(3)
        segment = rows[0].acceptance.segment
        take_back(table, [message(n) for n in range(3)])
        self.assertEqual((table.rows, table.unsubmitted, segment.rows, sum(map(len, table.shards))), (0, 0, 0, 0))
        self.assertTrue(all(row.flags & FINAL for row in rows))
        self.assertIsInstance(rows[0].acceptance, Acceptance)


class UnfetchedTests(SynchronousTestCase):
    """Receipts for a customer that never binds a receiver."""

    def test_a_given_up_row_is_kept_by_no_container(self) -> None:
        table, rows = rows_of(1_000)
        learning, claims = Learning(table), Claims(table)
        Submissions(table, learning).submitted([submitted(n) for n in range(1_000)])
        Correlation(table, learning).receipts([receipt(n) for n in range(1_000)], 1)
        queue = rows[0].origin.smpp_queue
        self.assertEqual((queue.owed, len(queue.ready)), (1_000, 1_000))
        # Not in their order: the sweep goes round by id.
        claims.give_up_receipts(rows[500:], NOW + DAY)
        claims.give_up_receipts(rows[1:500], NOW + DAY)
        self.assertEqual((queue.owed, table.owed), (1, 1))
        claims.give_up_receipts(rows[:1], NOW + DAY)
        self.assertEqual((queue.owed, len(queue.ready)), (0, 0))
