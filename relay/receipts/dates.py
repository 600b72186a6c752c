"""Reads the dates in receipts. They come in seven forms, and hardly ever have a time zone.

Some carriers write twelve digits as `YYMMDDhhmmss`, and others as `YYYYMMDDhhmm`. `200809011130` is a valid date in
both forms. So a date has several readings, and the one nearest to the receipt's arrival is used. The time zone is the
carrier's: `dialect: {time_zone: ...}`.
"""

import datetime
import re
from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

#: For each number of digits, the patterns in order of preference. Digits after those of the pattern are ignored.
_PATTERNS: Final = {
    10: ("%y%m%d%H%M",),
    12: ("%y%m%d%H%M%S", "%Y%m%d%H%M"),
    14: ("%Y%m%d%H%M%S",),
    # YYYYMMDDhhmmss and hundredths of a second. SMPP's own sixteen characters end with a sign: see `_smpp_time`.
    16: ("%Y%m%d%H%M%S",),
}
#: How many dates of a carrier are remembered with their instants. Many receipts have the same date.
_DATES_KEPT: Final = 4_000
#: The largest offset from UTC: that of Kiribati.
_LARGEST_OFFSET_HOURS: Final = 14
_smpp_time = re.compile(rb"(\d{12})\d(\d\d)([+-])").fullmatch
_iso = re.compile(rb"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)(?::(\d\d))?(?:[.,]\d+)?(Z|[+-]\d\d:?\d\d)?").fullmatch


def date_readings(raw: bytes) -> tuple[datetime.datetime, ...]:
    """All instants that `raw` may mean, most likely first. Empty: it is zeros, or not a date.

    They have no time zone unless `raw` names one, because it is the carrier's, which isn't known here.
    """
    readings: list[datetime.datetime] = []
    try:
        if (found := _iso(raw)) is not None:
            text = raw[:10] + b"T" + raw[11:]
            readings.append(datetime.datetime.fromisoformat(text.replace(b",", b".").decode()))
        elif (found := _smpp_time(raw)) is not None:
            # SMPP 3.4 section 7.1.1: the offset is in quarters of an hour.
            offset = datetime.timedelta(minutes=15 * int(found[2]) * (1 if found[3] == b"+" else -1))
            at = datetime.datetime.strptime(found[1].decode(), "%y%m%d%H%M%S")
            readings.append(at.replace(tzinfo=datetime.timezone(offset)))
        elif raw.isdigit():
            for pattern in _PATTERNS.get(len(raw), ()):
                _read_digits(raw, pattern, readings)
    except ValueError:
        return ()
    return tuple(readings)


def _read_digits(raw: bytes, pattern: str, readings: list[datetime.datetime]) -> None:
    digits = raw[:14].decode()
    try:
        at = datetime.datetime.strptime(digits, pattern)
    except ValueError:
        return
    # strptime reads %y from 69 to 99 as years of the last century. No receipt is so old.
    if 2000 <= at.year < 2100:
        readings.append(at)


def nearest(readings: Sequence[datetime.datetime], at: float) -> datetime.datetime | None:
    """The reading nearest to an instant in seconds since 1970; None: there is no reading."""

    def distance(reading: datetime.datetime) -> float:
        aware = reading if reading.tzinfo is not None else reading.replace(tzinfo=datetime.UTC)
        return abs(aware.timestamp() - at)

    return min(readings, key=distance, default=None)


_offset = re.compile(r"(?:UTC|GMT)?([+-])(\d\d?)(?::?([0-5]\d))?", re.IGNORECASE).fullmatch


def time_zone(name: str) -> datetime.tzinfo:
    """Finds the time zone of a name such as Asia/Kolkata, or of an offset such as +05:30.

    :raises ValueError: there is no such time zone. The text says what to write.
    """
    found = _offset(name)
    if found is not None and int(found[2]) <= _LARGEST_OFFSET_HOURS:
        offset = datetime.timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
        return datetime.timezone(-offset if found[1] == "-" else offset)
    if name.upper() in ("", "UTC", "GMT", "Z"):
        return datetime.UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ValueError(
            f"there is no time zone {name!r} on this machine; give a name such as Asia/Kolkata, or an offset from UTC "
            "such as '+05:30'"
        ) from None


class DoneDates:
    """Reads the `done date` of a carrier's receipts.

    :param zone: the name of the carrier's time zone.
    :raises ValueError: there is no such time zone.
    """

    def __init__(self, zone: str) -> None:
        self._zone = time_zone(zone)
        #: The instants of recent dates. Many receipts have the same date, and to read it takes longer than all other
        #: work on a receipt.
        self._read: dict[bytes, float] = {}

    def at(self, raw: bytes, now: float) -> float:
        """The instant of a date, in seconds since 1970; 0.0: there is no date, or it can't be read.

        :param now: when the receipt came. If a date has several readings, the nearest one counts.
        """
        at = self._read.get(raw)
        return self._instant(raw, now) if at is None else at

    def _instant(self, raw: bytes, now: float) -> float:
        readings: list[datetime.datetime] = []
        for reading in date_readings(raw):
            if not 2000 <= reading.year < 2100:
                continue
            if reading.tzinfo is not None:
                readings.append(reading)
                continue
            local = reading.replace(tzinfo=self._zone)
            readings.append(local)
            # When summer time ends, an hour comes twice. A time in it has two readings.
            again = local.replace(fold=1)
            if again.utcoffset() != local.utcoffset():
                readings.append(again)
        found = nearest(readings, now)
        at = 0.0 if found is None else found.timestamp()
        if len(readings) < 2:
            if len(self._read) >= _DATES_KEPT:
                self._read.clear()
            self._read[raw] = at
        return at
