"""Dates in receipts, which come in seven shapes and hardly ever say their time zone.

Twelve digits are `YYMMDDhhmmss` with some carriers and `YYYYMMDDhhmm` with others, and `200809011130` is a date either
way. So a date has readings, and the one nearest to the receipt's arrival is believed. The time zone is the carrier's:
`dialect: {time_zone: ...}`.
"""

import datetime
import re
from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

#: By the number of digits, in order of preference: patterns for the first digits; what follows them is ignored.
_PATTERNS: Final = {
    10: ("%y%m%d%H%M",),
    12: ("%y%m%d%H%M%S", "%Y%m%d%H%M"),
    14: ("%Y%m%d%H%M%S",),
    # YYYYMMDDhhmmss and hundredths. SMPP's own sixteen characters end in a sign: see `_smpp_time`.
    16: ("%Y%m%d%H%M%S",),
}
#: Dates of a carrier that are kept as read. Most have the precision of a minute, or of a second.
_DATES_KEPT: Final = 4_000
#: Kiribati's is 14 hours.
_LARGEST_OFFSET_HOURS: Final = 14
_smpp_time = re.compile(rb"(\d{12})\d(\d\d)([+-])").fullmatch
_iso = re.compile(rb"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d)(?::(\d\d))?(?:[.,]\d+)?(Z|[+-]\d\d:?\d\d)?").fullmatch


def date_readings(raw: bytes) -> tuple[datetime.datetime, ...]:
    """Every instant that `raw` may mean, the likeliest first; empty for zeros and for what is no date.

    Readings have no time zone, unless `raw` names its own: it is the carrier's, and unknown.
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
    # strptime takes %y 69 to 99 for the last century, when there was no SMPP.
    if 2000 <= at.year < 2100:
        readings.append(at)


def nearest(readings: Sequence[datetime.datetime], at: float) -> datetime.datetime | None:
    """The reading nearest to an instant that is known, in seconds since 1970; None where there is no reading."""

    def distance(reading: datetime.datetime) -> float:
        aware = reading if reading.tzinfo is not None else reading.replace(tzinfo=datetime.UTC)
        return abs(aware.timestamp() - at)

    return min(readings, key=distance, default=None)


_offset = re.compile(r"(?:UTC|GMT)?([+-])(\d\d?)(?::?([0-5]\d))?", re.IGNORECASE).fullmatch


def time_zone(name: str) -> datetime.tzinfo:
    """The time zone of a name such as Asia/Kolkata, or of an offset such as +05:30.

    :raises ValueError: there is none. The text says what may stand there.
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
    """Reads when a carrier's messages ended, as its receipts say.

    :param zone: the name of the carrier's time zone.
    :raises ValueError: see `time_zone`.
    """

    def __init__(self, zone: str) -> None:
        self._zone = time_zone(zone)
        #: What was read, because many receipts have the same date, and reading one takes longer than all the rest.
        self._read: dict[bytes, float] = {}

    def at(self, raw: bytes, now: float) -> float:
        """The instant, in seconds since 1970; 0.0 where there is no date, or none that can be read.

        :param now: when the receipt came; of several readings the nearest one counts.
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
            # An hour that comes twice, when summer time ends, has two readings.
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
