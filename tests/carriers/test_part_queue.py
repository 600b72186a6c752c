"""The queue of one carrier: its order, its limits and its counts."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.part_queue import PartQueue
from relay.routing.cancelled import CancelledMessages
from relay.routing.flow_api import Outgoing
from relay.runtime.tasks import Tasks
from relay.store.store_values import StoreUnavailable
from relay.values.account_share import NO_SHARE, AccountShare

NOW = 1000.0


def part(
    number: int,
    *,
    octets: int = 10,
    expires_at: float = NOW + 60.0,
    carriers: Sequence[str] = ("a",),
    account: str = "acme",
    priority: int = 0,
) -> Outgoing:
    return Outgoing(b"%016d" % number, 0, b"x" * octets, expires_at, tuple(carriers), account, priority)


class Journal:
    """Gives bodies at once, or when `answer` is called; None for parts that have ended."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.ended: set[bytes] = set()
        self.slow = self.broken = False
        self._waiting: list[tuple[Deferred[Sequence[bytes | None]], Sequence[bytes | None]]] = []

    def bodies(self, parts: Sequence[tuple[bytes, int]]) -> "Deferred[Sequence[bytes | None]]":
        self.asked.append(len(parts))
        if self.broken:
            return fail(StoreUnavailable("Input/output error"))
        found = [None if message_id in self.ended else b"y" * 10 for message_id, _ in parts]
        if not self.slow:
            return succeed(found)
        answer: Deferred[Sequence[bytes | None]] = Deferred()
        self._waiting.append((answer, found))
        return answer

    def answer(self) -> None:
        for deferred, found in self._waiting:
            deferred.callback(found)


class PartQueueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.journal = Journal()
        self.fetched = 0
        self.unreadable: list[str] = []
        self.shares: dict[str, AccountShare] = {}
        self.looked_up = 0
        self.queue = self.make(1_000_000)

    def make(self, limit_bytes: int) -> PartQueue:
        self.cancelled = CancelledMessages()
        return PartQueue(limit_bytes, self.journal, self, Tasks(Logger()), self.cancelled, self.share_of)

    def share_of(self, account: str) -> AccountShare:
        self.looked_up += 1
        return self.shares.get(account, NO_SHARE)

    def bodies_fetched(self) -> None:
        self.fetched += 1

    def bodies_unreadable(self, reason: str) -> None:
        self.unreadable.append(reason)

    def taken(self, count: int) -> list[bytes]:
        batch, _ = self.queue.take(count, NOW)
        return [token.id for _, token in batch if isinstance(token, Outgoing)]

    def test_parts_come_out_in_the_order_in_which_they_went_in(self) -> None:
        parts = [part(n) for n in range(5)]
        self.queue.put(parts[:3])
        self.queue.put(parts[3:])
        self.assertEqual(self.taken(3) + self.taken(9), [p.id for p in parts])

    def test_parts_that_are_put_back_come_out_first_and_in_their_order(self) -> None:
        parts = [part(n) for n in range(5)]
        self.queue.put(parts[2:])
        self.queue.put_first(parts[:2])
        self.assertEqual(self.taken(9), [p.id for p in parts])

    def test_expired_parts_are_returned_apart_and_settled_ones_are_dropped(self) -> None:
        parts = [part(0, expires_at=NOW), part(1), part(2), part(3, expires_at=NOW - 1)]
        parts[1].done = True
        self.queue.put(parts)
        batch, expired = self.queue.take(9, NOW)
        self.assertEqual([token for _, token in batch], [parts[2]])
        self.assertEqual(expired, [parts[0], parts[3]])
        self.assertEqual((len(self.queue), self.queue.octets), (0, 0))

    def test_texts_past_the_bound_are_fetched_when_their_turn_comes(self) -> None:
        self.queue = self.make(25)
        self.queue.put([part(n) for n in range(1200)])
        self.assertEqual(self.queue.octets, 30)
        self.assertEqual(len(self.taken(1200)), 3)
        self.assertEqual((self.journal.asked, self.fetched), ([500], 1))
        self.assertEqual(self.taken(1), [b"%016d" % 3])

    def test_a_part_that_has_ended_meanwhile_is_not_sent(self) -> None:
        self.queue = self.make(0)
        self.queue.put([part(0), part(1)])
        self.journal.ended = {b"%016d" % 0}
        self.assertEqual(self.taken(9), [])
        self.assertEqual(self.taken(9), [b"%016d" % 1])

    def test_texts_that_can_not_be_read_are_asked_for_again_and_nothing_is_dropped(self) -> None:
        self.queue = self.make(0)
        self.queue.put([part(0)])
        self.journal.broken = True
        self.assertEqual((self.taken(1), self.unreadable, self.fetched), ([], ["Input/output error"], 0))
        self.journal.broken = False
        self.assertEqual(self.taken(1) + self.taken(1), [part(0).id])

    def test_the_parts_of_an_account_are_withdrawn_and_the_others_stay_in_their_order(self) -> None:
        parts = [part(n, account=account, priority=n % 2) for n, account in enumerate("abcabcabc")]
        self.queue.put(parts)
        self.assertEqual({p.id for p in parts if p.account == "b"}, {p.id for p in self.queue.withdraw("b")})
        self.assertEqual([], self.queue.withdraw("b"))
        self.assertEqual((6, 60), (len(self.queue), self.queue.octets))
        self.assertEqual(3, len(self.queue.withdraw("a")))
        # Only one account is left, which needs no turns.
        self.assertEqual([parts[5].id, parts[2].id, parts[8].id], self.taken(9))
        self.assertEqual((0, 0), (len(self.queue), self.queue.octets))

    def test_the_only_account_s_parts_are_withdrawn(self) -> None:
        self.queue.put([part(n) for n in range(3)])
        self.assertEqual([], self.queue.withdraw("other"))
        self.assertEqual(3, len(self.queue.withdraw("acme")))
        self.queue.put([part(9, account="other")])
        self.assertEqual([part(9).id], self.taken(9))

    def test_texts_that_are_being_read_for_withdrawn_parts_are_dropped(self) -> None:
        self.queue = self.make(0)
        self.journal.slow = True
        self.queue.put([part(0, account="a"), part(1, account="b")])
        self.assertEqual([], self.taken(9))
        [gone] = self.queue.withdraw("a")
        self.journal.answer()
        self.assertEqual((None, 0, 1), (gone.body, self.queue.octets, self.fetched))
        self.journal.slow = False
        self.assertEqual([], self.taken(9))
        self.assertEqual([part(1).id], self.taken(9))

    def withdraw(self, part: Outgoing) -> None:
        self.cancelled.add(part.id, 1, part.expires_at, NOW)

    def test_a_cancelled_part_is_dropped_and_the_next_ones_take_its_room(self) -> None:
        parts = [part(n) for n in range(4)]
        self.queue.put(parts)
        self.withdraw(parts[1])
        self.assertEqual(self.taken(2), [parts[0].id, parts[2].id])
        self.assertEqual((len(self.queue), self.queue.octets, len(self.cancelled)), (1, 10, 0))

    def test_cancelled_parts_can_be_dropped_before_their_turn(self) -> None:
        for accounts in ("aaaaaa", "ababab"):
            parts = [part(n, account=account) for n, account in enumerate(accounts)]
            self.queue.put(parts)
            for one in (parts[1], parts[3], parts[5]):
                self.withdraw(one)
            self.queue.drop_cancelled()
            self.assertEqual((3, 30, 0), (len(self.queue), self.queue.octets, len(self.cancelled)))
            self.assertEqual([parts[0].id, parts[2].id, parts[4].id], self.taken(9))

    def test_texts_that_are_being_read_for_parts_that_are_dropped_are_not_counted(self) -> None:
        self.queue = self.make(0)
        self.journal.slow = True
        self.queue.put([part(0), part(1)])
        self.assertEqual([], self.taken(9))
        self.withdraw(part(0))
        self.queue.drop_cancelled()
        self.journal.answer()
        self.assertEqual((1, 0), (len(self.queue), self.queue.octets))

    def test_the_body_of_a_cancelled_part_is_not_fetched(self) -> None:
        self.queue = self.make(0)
        self.queue.put([part(0)])
        self.withdraw(part(0))
        self.assertEqual((self.taken(1), self.journal.asked, len(self.cancelled)), ([], [], 0))

    def test_a_cancelled_part_leaves_nothing_in_memory(self) -> None:
        self.queue = self.make(0)
        self.journal.slow = True
        fetched, expired = part(0), part(1, expires_at=NOW + 1.0)
        self.queue.put([fetched, expired])
        self.taken(1)
        self.withdraw(fetched)
        self.withdraw(expired)
        self.journal.ended = {fetched.id}
        self.journal.answer()
        _, ended = self.queue.take(9, NOW + 2.0)
        self.assertEqual((ended, len(self.queue), len(self.cancelled)), ([], 0, 0))

    def test_a_part_that_was_settled_is_not_taken_for_one_that_was_cancelled(self) -> None:
        settled, waiting = part(0), part(0)
        settled.done = True
        self.queue.put([settled, waiting])
        self.withdraw(waiting)
        self.assertEqual((self.taken(9), len(self.cancelled)), ([], 0))

    def test_while_bodies_are_being_fetched_they_are_not_asked_for_again(self) -> None:
        self.queue = self.make(0)
        self.journal.slow = True
        self.queue.put([part(0)])
        self.assertEqual(self.taken(1) + self.taken(1), [])
        self.assertEqual(self.journal.asked, [1])

    def test_bodies_that_come_after_the_end_are_dropped(self) -> None:
        self.queue = self.make(0)
        self.journal.slow = True
        waiting = part(0)
        self.queue.put([waiting])
        self.taken(1)
        self.assertEqual(self.queue.clear(), [waiting])
        self.journal.answer()
        self.assertEqual((waiting.body, self.queue.octets, self.fetched), (None, 0, 0))

    def test_parts_for_several_carriers_are_taken_out_and_the_others_stay(self) -> None:
        parts = [part(n, carriers=("a", "b") if n % 2 else ("a",)) for n in range(6)]
        self.queue.put(parts)
        self.assertEqual([p.id for p in self.queue.take_shared()], [p.id for p in parts if len(p.carriers) > 1])
        self.assertEqual(self.queue.take_shared(), [])
        self.assertEqual(self.taken(9), [p.id for p in parts if len(p.carriers) == 1])

    # Several accounts

    def bulk(self, count: int, account: str = "bulk", priority: int = 0) -> list[Outgoing]:
        """Puts so many parts of an account into the queue."""
        self.numbered += count
        parts = [part(self.numbered - n, account=account, priority=priority) for n in range(count)]
        self.queue.put(parts)
        return parts

    numbered = 0

    def accounts_taken(self, count: int) -> list[str]:
        """The accounts of the next parts, in the order in which these are sent."""
        batch, _ = self.queue.take(count, NOW)
        return [token.account for _, token in batch if isinstance(token, Outgoing)]

    def sent_before(self, wanted: Outgoing) -> int:
        """How many parts are sent before this one."""
        before = 0
        while self.taken(1) != [wanted.id]:
            before += 1
            self.assertTrue(self.queue, "it isn't sent at all")
        return before

    def test_behind_the_bulk_of_another_account_a_message_waits_for_one_of_its_parts_only(self) -> None:
        self.bulk(400)
        [otp] = self.bulk(1, "otp")
        self.assertEqual(self.sent_before(otp), 1)

    def test_an_account_that_sends_one_at_a_time_waits_for_one_part_of_the_others_each_time(self) -> None:
        self.bulk(400)
        for _ in range(20):
            [otp] = self.bulk(1, "otp")
            self.assertLessEqual(self.sent_before(otp), 1)

    def test_with_ten_accounts_that_have_much_to_send_a_message_waits_for_one_part_of_each(self) -> None:
        for n in range(10):
            self.bulk(50, f"bulk{n}")
        [otp] = self.bulk(1, "otp")
        self.assertEqual(self.sent_before(otp), 10)

    def test_accounts_share_the_carrier_by_their_weights(self) -> None:
        self.shares = {"big": AccountShare(weight=3)}
        self.bulk(100, "big")
        self.bulk(100, "small")
        sent = [account for _ in range(10) for account in self.accounts_taken(4)]
        self.assertEqual((sent.count("big"), sent.count("small")), (30, 10))

    def test_a_turn_goes_on_where_the_window_had_no_room_for_all_of_it(self) -> None:
        self.shares = {"big": AccountShare(weight=3)}
        self.bulk(6, "big")
        self.bulk(2, "small")
        sent = [account for _ in range(8) for account in self.accounts_taken(1)]
        self.assertEqual(sent, ["big"] * 3 + ["small"] + ["big"] * 3 + ["small"])

    def test_the_parts_of_each_account_stay_in_their_order(self) -> None:
        bulk, otp = self.bulk(30), self.bulk(10, "otp")
        sent = [message_id for _ in range(14) for message_id in self.taken(3)]
        for parts in (bulk, otp):
            self.assertEqual([i for i in sent if i in {p.id for p in parts}], [p.id for p in parts])

    def test_parts_that_are_put_back_come_first_among_their_account_s_and_no_other_account_waits_longer(self) -> None:
        self.bulk(50)
        batch, _ = self.queue.take(10, NOW)
        [otp] = self.bulk(1, "otp")
        returned = [token for _, token in batch if isinstance(token, Outgoing)]
        self.queue.put_first(returned)
        self.assertEqual(self.taken(3), [returned[0].id, otp.id, returned[1].id])

    def test_a_message_of_a_higher_priority_goes_before_the_others_of_its_own_account(self) -> None:
        self.bulk(400)
        [urgent] = self.bulk(1, priority=2)
        self.assertEqual(self.sent_before(urgent), 0)

    def test_an_account_s_own_idea_of_its_priority_puts_it_before_no_other_account(self) -> None:
        self.bulk(400, "pushy", priority=3)
        self.bulk(400, "modest")
        sent = self.accounts_taken(100)
        self.assertEqual((sent.count("pushy"), sent.count("modest")), (50, 50))

    def test_an_account_that_may_goes_before_accounts_of_a_lower_priority(self) -> None:
        self.shares = {"otp": AccountShare(highest_priority=1)}
        for n in range(10):
            self.bulk(50, f"bulk{n}")
        [otp] = self.bulk(1, "otp", priority=3)
        self.assertEqual(self.sent_before(otp), 0)

    def test_messages_without_a_priority_have_their_account_s(self) -> None:
        self.shares = {"otp": AccountShare(priority=2)}
        self.bulk(50)
        self.bulk(50, "other")
        [otp] = self.bulk(1, "otp")
        self.assertEqual(self.sent_before(otp), 0)

    def test_higher_priorities_leave_one_of_eight_places_to_each_lower_one(self) -> None:
        self.shares = {"first": AccountShare(priority=3), "second": AccountShare(priority=1)}
        for account in ("first", "second", "third"):
            self.bulk(2000, account)
        sent = self.accounts_taken(640)
        self.assertEqual([sent.count(name) for name in ("first", "second", "third")], [560, 70, 10])

    def test_a_message_of_a_small_account_costs_no_look_at_each_that_waits(self) -> None:
        self.bulk(10_000)
        self.bulk(1, "otp")
        self.taken(5)
        self.assertLess(self.looked_up, 10)

    def test_when_one_account_is_left_the_parts_stand_in_one_line_again(self) -> None:
        self.bulk(5)
        self.bulk(1, "otp")
        self.assertEqual(len(self.taken(3)), 3)
        self.assertIsNone(self.queue._turns)
        self.assertEqual(len(self.taken(9)), 3)

    def test_texts_past_the_bound_are_fetched_for_all_accounts_at_once_and_come_in_turns(self) -> None:
        self.queue = self.make(0)
        self.bulk(600)
        self.bulk(2, "otp")
        self.assertEqual(self.accounts_taken(4), [])
        self.assertEqual(self.journal.asked, [252])
        self.assertEqual(self.accounts_taken(5), ["bulk", "otp", "bulk", "otp", "bulk"])

    def test_parts_for_several_carriers_are_taken_out_of_all_accounts(self) -> None:
        parts = [part(n, account="ab"[n % 2], carriers=("a", "b") if n % 3 else ("a",)) for n in range(12)]
        self.queue.put(parts)
        self.assertEqual({p.id for p in self.queue.take_shared()}, {p.id for p in parts if len(p.carriers) > 1})
        self.assertEqual(set(self.taken(12)), {p.id for p in parts if len(p.carriers) == 1})

    def test_before_a_part_stand_its_account_s_parts_and_as_many_of_each_other_account(self) -> None:
        self.bulk(400)
        self.assertEqual((self.queue.ahead_of("bulk"), self.queue.ahead_of("otp")), (400, 1))
        self.bulk(10, "otp")
        self.assertEqual((self.queue.ahead_of("bulk"), self.queue.ahead_of("otp")), (410, 21))
        self.assertEqual(self.queue.ahead_of("third"), 2)

    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("put"), st.integers(0, 6)),
                st.tuples(st.just("put_first"), st.integers(0, 3)),
                st.tuples(st.just("take"), st.integers(1, 5)),
                st.tuples(st.just("take_shared"), st.just(0)),
                st.tuples(st.just("settle"), st.integers(0, 5)),
            ),
            max_size=30,
        ),
        st.integers(0, 60),
    )
    def test_the_counts_agree_with_the_parts_in_the_queue(self, steps: list[tuple[str, int]], limit_bytes: int) -> None:
        queue = self.make(limit_bytes)
        number = 0
        for step, count in steps:
            fresh = []
            if step.startswith("put"):
                for _ in range(count):
                    number += 1
                    expires_at = NOW - 1 if number % 5 == 0 else NOW + 1
                    carriers = ("a", "b") if number % 3 == 0 else ("a",)
                    # Runs of one account, so that the queue changes between one line and turns.
                    account, priority = "acme" if number // 8 % 2 else "other", number // 16 % 3
                    fresh.append(
                        part(number, expires_at=expires_at, carriers=carriers, account=account, priority=priority)
                    )
            match step:
                case "put":
                    queue.put(fresh)
                case "put_first":
                    queue.put_first(fresh)
                case "take":
                    queue.take(count, NOW)
                case "take_shared":
                    queue.take_shared()
                case _:
                    for waiting in list(queue)[count : count + 1]:
                        waiting.done = True
            self.assertEqual(len(queue), len(list(queue)))
            self.assertEqual(queue.octets, sum(len(p.body) for p in queue if p.body is not None))
            self.assertEqual(queue._shared, sum(len(p.carriers) > 1 for p in queue))
