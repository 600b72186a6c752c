"""SMPP times (SMPP 3.4 section 7.1.1): absolute `YYMMDDhhmmsstnnp` and relative `YYMMDDhhmmss000R`."""

import datetime

from smpp.pdu import smpp_time


def seconds_until(text: bytes, now: float) -> float:
    """The seconds from `now` (seconds since 1970) to an SMPP time; below 0: it is in the past.

    :raises ValueError: the text isn't an SMPP time.
    """
    if len(text) != 16:
        raise ValueError(f"an SMPP time has 16 characters, not {len(text)}")
    # smpp_time.parse isn't used, because in smpp.pdu3 0.6 it prints to standard output.
    if text[-1:] == b"R":
        parsed = smpp_time.parse_relative_time(text.decode("ascii"))
        # The specification doesn't say how long a month is. Most people would expect 30 days.
        days = parsed.years * 365 + parsed.months * 30 + parsed.days
        return float(((days * 24 + parsed.hours) * 60 + parsed.minutes) * 60 + parsed.seconds)
    parsed = smpp_time.parse_absolute_time(text.decode("ascii"))
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=datetime.UTC)
    return float(parsed.timestamp() - now)


def smpp_time_text(at: float) -> bytes:
    """Writes an instant as an absolute SMPP time in UTC, without the NUL."""
    instant = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return f"{instant:%y%m%d%H%M%S}{instant.microsecond // 100_000}00+".encode()
