"""The file of message records: whole lines, one file a day, whatever happens to it."""

import fcntl
import os
import tempfile
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from relay.history.record_file import RecordFile
from tests.history.keeping import wait_for_openings

NOON = 1_790_078_400.0
DAY = 86_400.0


class RecordFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "deeper" / "records.jsonl"
        self.file = RecordFile(str(self.path))
        self.addCleanup(self.file.close)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.path.parent.iterdir())

    def append(self, lines: bytes, now: float = NOON) -> None:
        self.file.append(lines, now, sync=True)
        # The file's own time says on which day it was last written; a test's days are not today.
        os.utime(self.path, (now, now))

    def test_lines_are_appended_and_only_we_may_read_them(self) -> None:
        self.append(b"one\n")
        self.append(b"two\nthree\n")
        self.assertEqual(b"one\ntwo\nthree\n", self.path.read_bytes())
        self.assertEqual(0o600, self.path.stat().st_mode & 0o777)

    def test_a_new_day_begins_a_new_file(self) -> None:
        self.append(b"one\n")
        self.append(b"two\n", NOON + DAY)
        self.assertEqual(["records.jsonl", "records.jsonl.2026-09-22"], self.names())
        self.assertEqual(b"two\n", self.path.read_bytes())

    def test_a_start_on_another_day_begins_a_new_file_too(self) -> None:
        self.append(b"one\n")
        self.file.close()
        self.append(b"two\n", NOON + 2 * DAY)
        self.assertEqual(["records.jsonl", "records.jsonl.2026-09-22"], self.names())

    def test_a_day_s_file_never_replaces_another(self) -> None:
        self.append(b"one\n")
        Path(f"{self.path}.2026-09-22").write_bytes(b"older\n")
        self.append(b"two\n", NOON + DAY)
        self.assertEqual(["records.jsonl", "records.jsonl.2026-09-22", "records.jsonl.2026-09-22-2"], self.names())
        self.assertEqual(b"older\n", Path(f"{self.path}.2026-09-22").read_bytes())

    def test_a_change_of_day_waits_until_an_erasure_has_replaced_the_file(self) -> None:
        self.append(b"number\n")
        self.file.close()
        with self.path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            appending = threading.Thread(target=self.append, args=(b"two\n", NOON + DAY), daemon=True)
            appending.start()
            wait_for_openings(self.path, 2)
            self.assertEqual(["records.jsonl"], self.names())
            anew = self.path.with_name("anew")
            anew.write_bytes(b"erased\n")
            os.utime(anew, (NOON, NOON))
            anew.replace(self.path)
        appending.join(30)
        self.assertFalse(appending.is_alive())
        self.assertEqual(b"erased\n", Path(f"{self.path}.2026-09-22").read_bytes())
        self.assertEqual(b"two\n", self.path.read_bytes())

    def test_a_file_that_was_moved_away_is_made_anew(self) -> None:
        self.append(b"one\n")
        self.path.rename(self.path.with_name("taken"))
        self.append(b"two\n")
        self.assertEqual(b"two\n", self.path.read_bytes())

    def test_a_torn_line_is_ended_before_the_next_begins(self) -> None:
        self.append(b"one\n")
        self.file.close()
        with self.path.open("ab") as file:
            file.write(b"tor")
        os.utime(self.path, (NOON, NOON))
        self.append(b"two\n")
        self.assertEqual(b"one\ntor\ntwo\n", self.path.read_bytes())

    def test_a_write_that_fails_leaves_no_part_of_a_line(self) -> None:
        self.append(b"one\n")
        limited = _Limited(str(self.path))
        self.addCleanup(limited.close)
        self.assertRaises(OSError, limited.append, b"x" * 100 + b"\n", NOON, sync=True)
        self.assertEqual((b"one\n", NOON), (self.path.read_bytes(), self.file.changed_at()))

    def test_an_append_fails_while_another_program_keeps_a_lock_on_the_file(self) -> None:
        self.file.lock_tries = 2
        for now in (NOON, NOON + DAY):
            self.append(b"one\n")
            # If the append waited for the lock, it would wait for ever. Then this ends the other program's lock.
            with self.path.open("rb") as other:
                fcntl.flock(other, fcntl.LOCK_EX)
                late = threading.Timer(10.0, fcntl.flock, (other, fcntl.LOCK_UN))
                late.start()
                try:
                    self.assertRaises(OSError, self.file.append, b"two\n", now, sync=True)
                finally:
                    late.cancel()
                    late.join()
            self.append(b"three\n")
            self.assertEqual(b"one\nthree\n", self.path.read_bytes())
            self.path.unlink()

    def test_a_file_that_is_begun_is_empty_and_says_when(self) -> None:
        self.file.begin(NOON, sync=True)
        self.assertEqual((b"", NOON), (self.path.read_bytes(), self.file.changed_at()))
        self.assertEqual(0o600, self.path.stat().st_mode & 0o777)

    def test_a_file_that_is_there_is_not_begun_again(self) -> None:
        self.append(b"one\n")
        self.file.begin(NOON + 100.0, sync=True)
        self.assertEqual((b"one\n", NOON), (self.path.read_bytes(), self.file.changed_at()))

    def test_a_day_without_a_line_leaves_no_file(self) -> None:
        self.file.begin(NOON, sync=True)
        self.append(b"one\n", NOON + DAY)
        self.assertEqual((["records.jsonl"], b"one\n"), (self.names(), self.path.read_bytes()))

    def test_a_file_that_is_not_there_has_no_time(self) -> None:
        self.assertIsNone(self.file.changed_at())

    def test_the_tail_is_of_whole_lines(self) -> None:
        self.append(b"one\ntwo\nthree\n")
        self.assertEqual(b"three\n", self.file.tail(8))
        self.assertEqual(b"two\nthree\n", self.file.tail(10))
        self.assertEqual(b"one\ntwo\nthree\n", self.file.tail(1000))

    def test_the_tail_reaches_into_yesterday(self) -> None:
        self.append(b"one\n")
        self.append(b"two\n", NOON + DAY)
        self.assertEqual(b"one\ntwo\n", self.file.tail(1000))

    def test_a_file_that_is_not_there_has_no_tail(self) -> None:
        self.assertEqual(b"", self.file.tail(1000))


class _Limited(RecordFile):
    """Fails as a full disk does: after some octets."""

    def append(self, lines: bytes, now: float, *, sync: bool) -> None:
        import resource
        import signal

        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, limits[1]))
        try:
            super().append(lines, now, sync=sync)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
