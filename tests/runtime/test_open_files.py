"""Open files that the relay reserves for the journal and for its own connections."""

import os
import resource
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from relay.runtime.open_files import OpenFiles, allow_files, files_wanted


class OpenFilesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def make(self, limit: int, connections: int = 10, carrier_sessions: int = 2) -> OpenFiles:
        return OpenFiles(limit, connections, carrier_sessions, self.clock)

    def open_to(self, number: int) -> None:
        """Opens files until the next one has this number or a higher one."""
        while True:
            one = os.open(os.devnull, os.O_RDONLY)
            self.addCleanup(os.close, one)
            if one >= number - 1:
                return

    def test_there_is_room_until_only_the_kept_files_are_left(self) -> None:
        limit = 300
        files = self.make(limit)
        self.assertTrue(files.room())
        first_kept = limit - 16 - 2 - files.admin - files.webhooks
        self.open_to(first_kept - 1)
        self.assertTrue(files.room())
        with capturedLogs() as events:
            self.open_to(first_kept + 5)
            self.assertEqual([files.room() for _ in range(3)], [False] * 3)
            self.assertEqual(len(events), 1)
            self.clock.advance(60)
            files.room()
        self.assertEqual(len(events), 2)

    def test_a_process_without_any_file_left_has_no_room(self) -> None:
        files = self.make(1_000)
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        self.open_to(40)
        resource.setrlimit(resource.RLIMIT_NOFILE, (30, before[1]))
        with capturedLogs():
            self.assertFalse(files.room())

    def test_webhooks_get_a_quarter_and_a_thousand_at_the_most(self) -> None:
        self.assertEqual([self.make(limit).webhooks for limit in (64, 1_024, 65_536)], [9, 219, 1_000])

    def test_too_few_files_for_the_connections_are_warned_of(self) -> None:
        with capturedLogs() as events:
            self.make(files_wanted(2_000, 2), 2_000).say_whether_enough()
            self.assertEqual(events, [])
            self.make(1_024, 2_000).say_whether_enough()
        self.assertEqual([(event["limit"], event["connections"]) for event in events], [(1_024, 2_000)])

    def test_the_process_s_own_limit_is_raised_as_far_as_it_may(self) -> None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        hard: Any = before[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        self.assertEqual(allow_files(512), 512)
        # It is lowered for nobody.
        self.assertEqual((allow_files(300), resource.getrlimit(resource.RLIMIT_NOFILE)), (512, (512, hard)))
        if hard != resource.RLIM_INFINITY:
            self.assertEqual(allow_files(hard + 1), hard)
