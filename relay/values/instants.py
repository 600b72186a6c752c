"""Writes instants for people and programs outside."""

from datetime import UTC, datetime


def instant(at: float) -> str:
    """Writes seconds since 1970 as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
