"""Finds time zones by their names."""

from zoneinfo import ZoneInfo


def time_zone(name: str) -> ZoneInfo:
    """The time zone of this name.

    :raises ValueError: the machine knows none. The text says what to write.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ValueError(
            f"{name!r} is no time zone that this machine knows; write one such as Europe/London or UTC"
        ) from None
