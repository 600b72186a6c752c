"""Writes and reads instants for people and programs outside."""

from datetime import UTC, datetime


def instant(at: float) -> str:
    """Writes seconds since 1970 as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def instant_of(text: str) -> float | None:
    """Reads a time such as 2026-03-01T22:30Z. Returns seconds since 1970.

    Returns None if the text is no time, or has no offset from UTC.
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment.timestamp() if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
