"""Dates in receipts, which come in seven shapes and never say their time zone.

Twelve digits are `YYMMDDhhmmss` with some carriers and `YYYYMMDDhhmm` with others, and `200809011130` is a date either
way; so a date has readings, of which the one nearest to what the relay knows itself is to be believed. None of this
is ever published as the time at which something happened: the relay's own clock says that.
"""

import datetime
import re
from collections.abc import Sequence
from typing import Final

#: By the number of digits, in order of preference: patterns for the first digits; what follows them is ignored.
_PATTERNS: Final = {
    10: ("%y%m%d%H%M",),
    12: ("%y%m%d%H%M%S", "%Y%m%d%H%M"),
    14: ("%Y%m%d%H%M%S",),
    # YYYYMMDDhhmmss and hundredths. SMPP's own sixteen characters end in a sign: see `_smpp_time`.
    16: ("%Y%m%d%H%M%S",),
}
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
