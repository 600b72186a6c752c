"""Keeps the settings of accounts, and the answers to requests with an Idempotency-Key.

Theory of operation: both are small and bounded. Each entry knows which journal segment has its record, so that
compaction can copy the record before it deletes the segment. Idempotency keys are in the order of their age.
"""

from collections import OrderedDict

from relay.store.store_values import Idempotency
from relay.store.table.records import Setting

#: For how long a repeated request gets the first answer.
IDEMPOTENCY_SECONDS = 24 * 3600.0
#: How many octets of answers and keys are kept. An answer to a thousand messages has forty thousand octets.
BYTES_KEPT = 64 << 20


class Settings:
    """The settings that were made while the relay runs, by account and name."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], tuple[str, int]] = {}

    def put(self, setting: Setting, segment: int = 0) -> None:
        """Keeps or removes a setting.

        :param segment: the sequence of the segment that has its record.
        """
        key = setting.account, setting.name
        if setting.value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = setting.value, segment

    def get(self, account: str, name: str) -> str | None:
        """The setting's value; None: the configuration's value holds."""
        entry = self._values.get((account, name))
        return None if entry is None else entry[0]

    def all(self) -> list[tuple[str, str, str]]:
        """The account, name and value of each setting."""
        return [(account, name, value) for (account, name), (value, _) in self._values.items()]

    def in_segments(self, last: int) -> list[Setting]:
        """The settings whose record is in segment `last` or an earlier one."""
        return [
            Setting(account, name, value)
            for (account, name), (value, segment) in self._values.items()
            if segment <= last
        ]

    def holds(self, setting: Setting) -> bool:
        """Whether a record of `in_segments` still counts."""
        return self.get(setting.account, setting.name) == setting.value

    def moved(self, last: int, segment: int) -> None:
        """Notes that the records of `in_segments(last)` have been copied to `segment`."""
        for key, (value, was) in self._values.items():
            if was <= last:
                self._values[key] = value, segment


class IdempotencyKeys:
    """The answers to requests of the last day. Beyond `limit` or BYTES_KEPT, the oldest are forgotten earlier."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # In a plain dict, to find the first entry takes long after many first entries were deleted.
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
        """The request and the answer of a key; None: the key was not used."""
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
        """The entries whose record is in segment `last` or an earlier one."""
        return [entry for entry, segment in self._entries.values() if segment <= last]

    def holds(self, entry: Idempotency) -> bool:
        """Whether a record of `in_segments` still counts."""
        return self.get(entry.account, entry.key) is entry

    def moved(self, last: int, segment: int) -> None:
        """Notes that the records of `in_segments(last)` have been copied to `segment`."""
        for key, (entry, was) in self._entries.items():
            if was <= last:
                self._entries[key] = entry, segment

    def restored(self) -> None:
        """Sorts the entries by age after a replay."""
        self._entries = OrderedDict(sorted(self._entries.items(), key=lambda item: item[1][0].at))

    def __len__(self) -> int:
        return len(self._entries)


def _size(entry: Idempotency) -> int:
    return len(entry.account) + len(entry.key) + len(entry.digest) + len(entry.answer)
