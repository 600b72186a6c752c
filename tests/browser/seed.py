"""A day of messages in a journal, so that pages have something to show."""

import random
from pathlib import Path

from twisted.internet.task import Clock

from relay.config import daemon_config
from relay.store.journal.files import OsFiles
from relay.store.journal.journal_store import JournalStore
from relay.store.store_values import NotifyPolicy
from relay.values.carrier_reports import Receipt, Submitted
from relay.values.messages import Ending, Message
from relay.values.notifications import Attempt, QueueKey, Verdict
from relay.values.states import DELIVERED, EXPIRED, REJECTED, UNDELIVERABLE
from tests.stores import at_once, wait_for

_ENDS = {DELIVERED: 0.90, UNDELIVERABLE: 0.045, EXPIRED: 0.02, REJECTED: 0.02, None: 0.015}


def seed_journal(directory: Path, account: str, now: float, *, messages: int = 900, seed: int = 7) -> None:
    """Writes a journal in which `account` has sent messages over the day before `now`.

    :param seed: the same one gives the same messages, but for their place in time.
    """
    choose = random.Random(seed)
    clock = Clock()
    clock.rightNow = now - 86_400.0
    store = JournalStore(
        OsFiles(),
        str(directory),
        journal=daemon_config.Journal(sync="never"),
        limits=daemon_config.Limits(),
        policy=lambda name: NotifyPolicy(webhook=True),
        clock=clock,
        in_thread=at_once,
    )
    wait_for(clock, store.start())
    # More by day than by night, as people are.
    weights = [2, 1, 1, 1, 2, 4, 9, 16, 22, 25, 24, 26, 21, 23, 27, 26, 22, 19, 16, 14, 11, 9, 6, 4]
    times = []
    for _ in range(messages):
        hour = choose.choices(range(24), weights)[0]
        times.append(now - 86_400.0 + hour * 3600.0 + choose.random() * 3500.0)
    for number, at in enumerate(sorted(times)):
        # The store reads the clock for its commits only; what happened when is in the values.
        clock.rightNow = max(clock.rightNow, at)
        _message(store, clock, choose, account, number, at)
    wait_for(clock, store.stop())


def _message(store: JournalStore, clock: Clock, choose: random.Random, account: str, number: int, at: float) -> None:
    message_id = choose.randbytes(16)
    sender = choose.choice([b"RELAY", b"RELAY", b"ALERTS", b"Shop"])
    to = b"447700900%03d" % choose.randrange(1000)
    message = Message(
        message_id, account, at, at + 86_400.0, b"\x05\x00%b\0\x01\x01%b\0" % (sender, to), (b"",), 0, "http"
    )
    wait_for(clock, store.accept([message]))
    state = choose.choices(list(_ENDS), list(_ENDS.values()))[0]
    carrier_id = b"%d" % (8_000_000 + number)
    taken = Submitted(message_id, 0, "tier1", carrier_id, at + 0.03, at + 300_000.0)
    took = choose.lognormvariate(1.3, 1.1)
    if state == REJECTED:
        wait_for(clock, store.end([Ending(message_id, REJECTED, at + 0.04, b"00b", "tier1")]))
        took = 0.04
    else:
        wait_for(clock, store.submitted([taken]))
        if state is None:
            return
        if state == EXPIRED:
            took += 240.0
        error = b"000" if state == DELIVERED else b"011"
        receipt = Receipt("tier1", (carrier_id,), state, True, at + took, error, b"")
        wait_for(clock, store.receipts([receipt]))
    claim = wait_for(clock, store.claim(QueueKey(account, "webhook"), 100, at + took))
    wait_for(
        clock,
        store.settle(
            [
                Attempt(owed, Verdict.DELIVERED, at + took + 0.05, 0.0, "204", 0.02 + choose.random() * 0.1)
                for owed in claim.notifications
            ]
        ),
    )
