"""Reads and checks the hours of a week in which a route holds: `Mon-Fri 08:00-20:00 Europe/London`.

Theory of operation: the answer can change only at a full minute. So it is remembered for the minute of the last
question.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from relay.config.time_zones import time_zone

_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY_MINUTES: Final = 1440
_WEEK_MINUTES: Final = 7 * _DAY_MINUTES
_written = re.compile(r"(?:(\S+) +)?(\d\d):(\d\d)-(\d\d):(\d\d) +(\S+)", re.ASCII).fullmatch
_EXAMPLE: Final = 'write hours such as "08:00-20:00 Europe/London" or "Mon-Fri 22:00-06:00 UTC"'


class Hours:
    """Says whether a time lies within given hours of the week in a time zone.

    If the end is earlier than the beginning, the hours go on after midnight: `Fri 22:00-06:00` ends on Saturday at six.
    The first minute belongs to the hours, and the last one doesn't. 24:00 is the end of the day.

    :param text: days (all days if left out), times and the time zone, as in the configuration.
    :raises ValueError: the text says what is wrong, and what to write.
    """

    def __init__(self, text: str) -> None:
        match = _written(text)
        if match is None:
            raise ValueError(f"{text!r} says no hours; {_EXAMPLE}")
        days, *times, zone = match.groups()
        begin, end = _minute(times[0], times[1]), _minute(times[2], times[3])
        if begin in (end, _DAY_MINUTES):
            raise ValueError(f"{text!r} holds at no time; {_EXAMPLE}")
        self._zone = time_zone(zone)
        length = end - begin if end > begin else end + _DAY_MINUTES - begin
        starts = [day * _DAY_MINUTES + begin for day in _days(days)]
        #: Minutes of the week in local time, from Monday 00:00.
        self._minutes = frozenset((start + n) % _WEEK_MINUTES for start in starts for n in range(length))
        self._asked: tuple[int, bool] = (-1, False)

    def hold(self, at: float) -> bool:
        """Returns true if the time lies within the hours.

        :param at: seconds since 1970.
        """
        minute = int(at // 60)
        asked, answer = self._asked
        if minute != asked:
            local = datetime.fromtimestamp(minute * 60, self._zone)
            answer = local.weekday() * _DAY_MINUTES + local.hour * 60 + local.minute in self._minutes
            self._asked = (minute, answer)
        return answer

    def minutes_at(self, instant: datetime) -> frozenset[int]:
        """Returns the minutes of the week in UTC, from Monday 00:00, with the time zone's offset at this instant."""
        offset = instant.astimezone(self._zone).utcoffset() or timedelta()
        shift = int(offset.total_seconds() // 60)
        return frozenset((minute - shift) % _WEEK_MINUTES for minute in self._minutes)


@lru_cache(maxsize=256)
def hours_of(text: str) -> Hours:
    """Makes the `Hours` of a text. Routes with the same text share one object.

    :raises ValueError: as `Hours`.
    """
    return Hours(text)


#: A Monday in winter and one in summer, because a time zone may have another offset in summer. Any year is fine.
_SAMPLE_WEEKS: Final = (datetime(2025, 1, 13, tzinfo=UTC), datetime(2025, 7, 14, tzinfo=UTC))


def overlap(one: Hours, other: Hours) -> bool:
    """Returns true if both hours hold at the same time at some moment, in winter or in summer."""
    return any(one.minutes_at(monday) & other.minutes_at(monday) for monday in _SAMPLE_WEEKS)


def times_to_try(texts: Iterable[str]) -> list[float]:
    """Returns one instant for each possible combination of hours that hold and hours that don't hold."""
    found: dict[tuple[bool, ...], float] = {}
    every = [hours_of(text) for text in texts]
    for monday in _SAMPLE_WEEKS:
        minutes = [hours.minutes_at(monday) for hours in every]
        # A combination can change only at a minute at which some hours begin or end.
        edges = {
            m for held in minutes for m in range(_WEEK_MINUTES) if (m in held) != ((m - 1) % _WEEK_MINUTES in held)
        }
        for minute in sorted(edges | {0}):
            at = (monday + timedelta(minutes=minute)).timestamp()
            found.setdefault(tuple(minute in held for held in minutes), at)
    return list(found.values())


def _minute(hour: str, minute: str) -> int:
    total = int(hour) * 60 + int(minute)
    if int(minute) > 59 or total > _DAY_MINUTES:
        raise ValueError(f"{hour}:{minute} is no time of the day; {_EXAMPLE}")
    return total


def _days(text: str | None) -> list[int]:
    """Returns the weekdays of a text such as `Mon-Fri`, `Sat,Sun` or `Fri-Mon`; Monday is 0."""
    if text is None:
        return list(range(7))
    days = []
    for item in text.split(","):
        first, _, last = item.partition("-")
        try:
            begin = _WEEKDAYS.index(first)
            end = _WEEKDAYS.index(last or first)
        except ValueError:
            raise ValueError(f"{item!r} is no day; write days such as Mon-Fri, Sat or Sat,Sun") from None
        days += [(begin + n) % 7 for n in range((end - begin) % 7 + 1)]
    return days
