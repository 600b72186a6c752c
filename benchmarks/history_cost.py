"""The history's share of the CPU time: it is written behind the messages, so the meter waits until it has them all."""

import sqlite3
import time
from pathlib import Path

from benchmarks.chain import Metered
from benchmarks.gateways import Gateway
from benchmarks.processes import MeasurementFailed

_LONGEST_WAIT_SECONDS = 120.0


class HistoryMeter(Metered):
    """Counts until the history has as many messages as were sent.

    :param messages: how many; 0: there is no history.
    """

    def __init__(self, gateway: Gateway, data_dir: Path, messages: int) -> None:
        super().__init__(gateway)
        self._path = data_dir / "history.sqlite3"
        self._messages = messages
        #: Octets of the database a message.
        self.bytes_a_message = 0.0

    def end(self) -> None:
        """Waits, and counts until then."""
        begun_at = time.monotonic()
        while self._messages and self._ended() < self._messages:
            if time.monotonic() - begun_at > _LONGEST_WAIT_SECONDS:
                raise MeasurementFailed(f"{self._path} has {self._ended()} of {self._messages} messages")
            time.sleep(0.2)
        super().end()
        if self._messages:
            self.bytes_a_message = self._path.stat().st_size / self._messages

    def _ended(self) -> int:
        """The messages in the history that have ended and of which nothing is owed."""
        with sqlite3.connect(f"file:{self._path}?mode=ro", uri=True) as db:
            query = (
                "SELECT coalesce(sum(count), 0) FROM sums JOIN groups ON grp = id WHERE span = 3600 AND flags & 7 = 1"
            )
            count: int = db.execute(query).fetchone()[0]
        return count
