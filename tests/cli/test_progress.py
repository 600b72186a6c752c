"""The progress of long work: a bar on a terminal, plain lines elsewhere, nothing if the work is short."""

import io
import os
import pty
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from relay.cli.progress import Progress
from relay.store.journal.journal_format import encode_frame, encode_header, segment_name
from tests.stores import message, submitted

ROOT = Path(__file__).resolve().parents[2]


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class ProgressTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 100.0

    def progress(self, out: io.StringIO, total: int = 1000, unit: str = "messages") -> Progress:
        return Progress("replaying", total, unit, out, lambda: self.now)

    def test_a_terminal_gets_a_bar_that_is_filled_at_the_end(self) -> None:
        screen = Screen()
        progress = self.progress(screen)
        self.now += 1.0
        progress.at(500)
        progress.end()
        self.assertEqual(
            ["", f"[{'#' * 15}{'.' * 15}] replaying: 500 of 1,000 messages, about 1 s left",
             f"[{'#' * 30}] replaying: 1,000 of 1,000 messages"],
            [line.rstrip() for line in screen.getvalue().split("\r")],
        )  # fmt: skip
        self.assertTrue(screen.getvalue().endswith("\n"))

    def test_a_shorter_line_removes_the_longer_one_before(self) -> None:
        screen = Screen()
        progress = self.progress(screen)
        for done in (1, 999):
            self.now += 1.0
            progress.at(done)
        first, second = screen.getvalue().split("\r")[1:]
        self.assertGreaterEqual(len(second), len(first.rstrip()))

    def test_a_terminal_is_written_to_five_times_a_second_at_the_most(self) -> None:
        screen = Screen()
        progress = self.progress(screen)
        for done in range(1000):
            self.now += 0.001
            progress.at(done)
        self.assertLessEqual(screen.getvalue().count("\r"), 5)

    def test_elsewhere_there_is_a_plain_line_every_ten_seconds(self) -> None:
        out = io.StringIO()
        progress = self.progress(out, 480_000_000, "octets")
        for second in range(25):
            self.now += 1.0
            progress.at(second * 10_000_000)
        progress.end()
        self.assertEqual(
            ["replaying: 90 of 480 MB, about 43 s left", "replaying: 190 of 480 MB, about 31 s left"],
            out.getvalue().splitlines(),
        )

    def test_short_work_says_nothing(self) -> None:
        for out in (Screen(), io.StringIO()):
            progress = self.progress(out)
            self.now += 0.1
            progress.at(1000)
            progress.end()
            self.assertEqual("", out.getvalue())


class RepairTests(SynchronousTestCase):
    def test_the_repair_of_a_long_journal_shows_a_bar_on_a_terminal(self) -> None:
        with tempfile.TemporaryDirectory(prefix="relay-test-") as directory:
            journal = Path(directory) / "journal"
            journal.mkdir()
            for sequence in (1, 2):
                frame = encode_frame([message(n, parts=(b"text" * 30,)) for n in range(50)])
                frame += encode_frame([submitted(n) for n in range(50)])
                octets = bytearray(encode_header(sequence, 1_700_000_000.0) + frame * (60_000_000 // len(frame)))
                octets[15_000_000:15_000_100] = bytes(100)
                (journal / segment_name(sequence)).write_bytes(octets)
            ours, theirs = pty.openpty()
            done = subprocess.run(
                [sys.executable, "-m", "relay", "journal", directory, "--repair"],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, text=True, check=False,
            )  # fmt: skip
            os.close(theirs)
            shown = os.read(ours, 65536).decode()
            os.close(ours)
        self.assertEqual((0, 2), (done.returncode, done.stdout.count("dropped")), done.stdout)
        self.assertIn("\r[", shown)
        self.assertIn(f"[{'#' * 30}] repairing: 120 of 120 MB", shown)
