"""Measures messages that wait for their receipts: memory for each, and the time to read them back at a start.

    python -m benchmarks.memory [--messages 1000000] [--batch 50]

Fills an embedded store in one process, then starts another process on its journal, and prints both.
"""

import argparse
import gc
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from math import ceil
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from relay.config import daemon_config
from relay.store.journal.files import OsFiles
from relay.store.journal.journal_store import JournalStore
from relay.store.store_values import NotifyPolicy
from relay.values.carrier_reports import Submitted
from relay.values.ids import new_ids
from relay.values.messages import Message

TEXT = b"\0\x01\x01447700900001\0\x01\x01447700900002\0\0\0\0\0\0\x01\0\0\0\x64" + b"x" * 100
#: As long as the messages' validity and a carrier's wait together.
WAIT_SECONDS = 121 * 3600.0


def resident_bytes() -> int:
    """What the process has in memory now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def make_store(directory: str, clock: Clock) -> JournalStore:
    """A store whose commits are done at once and not synced: the disk isn't what is measured."""
    policy = NotifyPolicy(webhook=True)

    def at_once(work: Callable[[], Any]) -> "Deferred[Any]":
        return succeed(work())

    return JournalStore(
        OsFiles(),
        directory,
        journal=daemon_config.Journal(sync="never"),
        limits=daemon_config.Limits(),
        policy=lambda account: policy,
        clock=clock,
        in_thread=at_once,
    )


def drive(clock: Clock, work: Any) -> None:
    """Lets a coroutine run to its end."""
    done = Deferred.fromCoroutine(work)
    failures: list[Any] = []
    done.addErrback(failures.append)
    while not done.called:
        clock.advance(0)
    if failures:
        failures[0].raiseException()


def numbers(i: int) -> bytes:
    """Source and destination, different for every message."""
    return b"\x01\x01447700900001\0\x01\x0144%010d\0" % (i % 10**10)


def fill(directory: str, count: int, batch: int) -> dict[str, float]:
    """Takes `count` messages as far as their carrier."""
    clock = Clock()
    clock.rightNow = time.time()
    store = make_store(directory, clock)
    drive(clock, store.start())
    gc.collect()
    before = resident_bytes()
    worst = due_at = 0.0
    started_at = time.perf_counter()
    for base in range(0, count, batch):
        clock.advance(0.001)
        now = clock.seconds()
        ids = new_ids(batch, os.urandom)
        at = now + 0.0005
        pause_began_at = time.perf_counter()
        store.accept([Message(i, "acme", now, now + 172_800.0, numbers(base), (TEXT,), 1) for i in ids])
        # In whole seconds, and one object for all that are due then, as `SubmitResponses` has it.
        if due_at < now + WAIT_SECONDS:
            due_at = ceil(now) + WAIT_SECONDS
        store.submitted([Submitted(i, 0, "tier1", b"%010d" % (base + n), at, due_at) for n, i in enumerate(ids)])
        worst = max(worst, time.perf_counter() - pause_began_at)
        # In a daemon this is another thread's work.
        clock.advance(0)
    seconds = time.perf_counter() - started_at
    gc.collect()
    after = resident_bytes()
    figures = store.figures()
    drive(clock, store.stop())
    return {
        "messages": figures.awaiting_receipt,
        "fill_seconds": seconds,
        "longest_pause_ms": worst * 1000,
        "rss_mb": after / 1e6,
        "bytes_a_message": (after - before) / count,
        "journal_mb": figures.journal_bytes / 1e6,
    }


def replay(directory: str) -> dict[str, float]:
    """Reads them back."""
    clock = Clock()
    clock.rightNow = time.time()
    before = resident_bytes()
    store = make_store(directory, clock)
    began_at = time.perf_counter()
    drive(clock, store.start())
    seconds = time.perf_counter() - began_at
    gc.collect()
    figures = store.figures()
    after = resident_bytes()
    swept_at = time.perf_counter()
    store.expire(clock.seconds())
    sweep = time.perf_counter() - swept_at
    return {
        "messages": figures.awaiting_receipt,
        "replay_seconds": seconds,
        "rss_mb": after / 1e6,
        "bytes_a_message": (after - before) / max(1, figures.messages),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "expire_ms": sweep * 1000,
    }


def main() -> None:
    """Measures in two processes, so that neither's memory counts for the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=50, help="messages in one call")
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    parser.add_argument("--phase", choices=["fill", "replay"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase:
        gc.freeze()
        work = (
            fill(options.directory, options.messages, options.batch)
            if options.phase == "fill"
            else replay(options.directory)
        )
        print(json.dumps(work))
        return
    directory = tempfile.mkdtemp(prefix="relay-memory-")
    try:
        for phase in ("fill", "replay"):
            command = [sys.executable, "-m", "benchmarks.memory", "--phase", phase, "--directory", directory]
            command += ["--messages", str(options.messages), "--batch", str(options.batch)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(phase)
            for name, value in found.items():
                print(f"  {name:20} {value:14,.1f}")
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
