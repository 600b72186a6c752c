"""What the store keeps beside messages: settings made while running, and answers to repeatable requests.

Theory of operation: both are small and bounded, and remember which journal segment their record is in, so that
compaction can copy what it would otherwise drop. Idempotency keys stand in the order of their age.
"""

from collections import OrderedDict

from relay.store.api import Idempotency
from relay.store.table.records import Setting

#: How long a repeat gets the first answer.
IDEMPOTENCY_SECONDS = 24 * 3600.0
#: Octets of answers and keys that are kept: an answer to a thousand messages has forty thousand.
BYTES_KEPT = 64 << 20


class Settings:
    """Settings made while running, by account and name."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], tuple[str, int]] = {}

    def put(self, setting: Setting, segment: int = 0) -> None:
        """Keeps or takes back one setting. `segment`: the sequence of the segment that holds the record."""
        key = setting.account, setting.name
        if setting.value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = setting.value, segment

    def get(self, account: str, name: str) -> str | None:
        """The present value; None where the configuration's holds."""
        entry = self._values.get((account, name))
        return None if entry is None else entry[0]

    def all(self) -> list[tuple[str, str, str]]:
        """Account, name and value of each."""
        return [(account, name, value) for (account, name), (value, _) in self._values.items()]

    def in_segments(self, last: int) -> list[Setting]:
        """Those whose record is in segment `last` or an earlier one."""
        return [
            Setting(account, name, value)
            for (account, name), (value, segment) in self._values.items()
            if segment <= last
        ]

    def moved(self, last: int, segment: int) -> None:
        """Those of `in_segments(last)` have been copied to `segment`."""
        for key, (value, was) in self._values.items():
            if was <= last:
                self._values[key] = value, segment


class IdempotencyKeys:
    """The requests of the last day that may be repeated. Over `limit` or BYTES_KEPT the oldest are forgotten early."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Not a plain dict: finding the first entry of one whose first entries were deleted takes a walk over the gaps.
        self._entries: OrderedDict[tuple[str, str], tuple[Idempotency, int]] = OrderedDict()
        self._bytes = 0

    def put(self, entry: Idempotency, segment: int = 0) -> None:
        """Keeps a request's answer."""
        key = entry.account, entry.key
        if key in self._entries:
            self._forget(key)
        self._entries[key] = entry, segment
        self._bytes += _size(entry)
        while self._entries and (len(self._entries) > self._limit or self._bytes > BYTES_KEPT):
            self._forget(next(iter(self._entries)))

    def take_back(self, entry: Idempotency) -> None:
        """Forgets a request whose messages could not be made durable."""
        if self.get(entry.account, entry.key) is entry:
            self._forget((entry.account, entry.key))

    def _forget(self, key: tuple[str, str]) -> None:
        entry, _ = self._entries.pop(key)
        self._bytes -= _size(entry)

    def get(self, account: str, key: str) -> Idempotency | None:
        """What the key was used for."""
        entry = self._entries.get((account, key))
        return None if entry is None else entry[0]

    def expire(self, now: float, limit: int) -> None:
        """Forgets up to `limit` keys whose day is over."""
        over: list[tuple[str, str]] = []
        for key, (entry, _) in self._entries.items():
            if entry.at + IDEMPOTENCY_SECONDS > now or len(over) >= limit:
                break
            over.append(key)
        for key in over:
            self._forget(key)

    def in_segments(self, last: int) -> list[Idempotency]:
        """As `Settings.in_segments`."""
        return [entry for entry, segment in self._entries.values() if segment <= last]

    def moved(self, last: int, segment: int) -> None:
        """As `Settings.moved`."""
        for key, (entry, was) in self._entries.items():
            if was <= last:
                self._entries[key] = entry, segment

    def restored(self) -> None:
        """Puts them in order of age after a replay."""
        self._entries = OrderedDict(sorted(self._entries.items(), key=lambda item: item[1][0].at))

    def __len__(self) -> int:
        return len(self._entries)


def _size(entry: Idempotency) -> int:
    return len(entry.account) + len(entry.key) + len(entry.digest) + len(entry.answer)
