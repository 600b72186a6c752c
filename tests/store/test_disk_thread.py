"""The disk's thread."""

import threading
from functools import partial
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from relay.store.journal.disk_thread import DiskThread


class DiskThreadTests(TestCase):
    """On a real reactor, for what is tested is the crossing of threads."""

    def setUp(self) -> None:
        self.thread = DiskThread(reactor)  # type: ignore[arg-type]
        self.addCleanup(self.thread.stop)

    async def test_work_is_done_in_another_thread_and_answered_in_this_one(self) -> None:
        seen: list[Any] = []
        done = self.thread(threading.get_ident)
        done.addCallback(lambda ident: seen.extend((ident, threading.get_ident())))
        await done
        self.assertNotEqual(seen[0], seen[1])
        self.assertEqual(seen[1], threading.get_ident())

    async def test_work_is_done_in_order(self) -> None:
        seen: list[int] = []
        await [self.thread(partial(seen.append, n)) for n in range(20)][-1]
        self.assertEqual(seen, list(range(20)))

    async def test_an_error_comes_back_to_the_caller_and_the_next_task_is_done(self) -> None:
        def fail() -> None:
            raise OSError(28, "full")

        with self.assertRaises(OSError):
            await self.thread(fail)
        self.assertEqual(await self.thread(lambda: 5), 5)

    async def test_a_stop_waits_for_what_was_given_and_may_come_twice(self) -> None:
        done = self.thread(lambda: "written")
        self.thread.stop()
        self.thread.stop()
        self.assertEqual(await done, "written")

    async def test_it_is_idle_when_the_results_of_all_work_have_come(self) -> None:
        self.assertTrue(self.thread.is_idle())
        done = [self.thread(lambda: None) for _ in range(3)]
        for one in done:
            self.assertFalse(self.thread.is_idle())
            await one
        self.assertTrue(self.thread.is_idle())
