"""Says when a failed webhook is due again.

The Standard Webhooks specification recommends this schedule: ten attempts over a little more than three days. The relay
makes each pause a little longer by a random share, so that notifications that failed together are not all due together.
If the receiver asks for a later time (Retry-After), this time counts.

If a notification failed while its URL was not available, the relay makes an additional attempt when the URL is
available again. This attempt doesn't count in the schedule: if it fails too, the schedule goes on as before. Before
each attempt of the schedule, there is at most one additional attempt. So, if a receiver never accepts a notification,
the relay tries it at most twice as often, and gives it up no earlier than without additional attempts.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from relay.values.notifications import Notification, Recovery
from relay.webhooks.answer import Answer

_HOUR: Final = 3600.0

#: The pause before each attempt, in seconds. The first one is the pause before the first attempt.
PAUSES_SECONDS: Final = (
    0.0, 5.0, 300.0, 1800.0, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR,
)  # fmt: skip

#: A random share of a pause, up to this one, makes the pause longer.
JITTER: Final = 0.1

#: The retry window: it begins when a notification is owed, and ends after the last pause of the schedule.
WINDOW_SECONDS: Final = sum(PAUSES_SECONDS) * (1.0 + JITTER)

#: A Retry-After may ask for this pause at most.
LONGEST_RETRY_AFTER_SECONDS: Final = 24 * _HOUR

#: If a retry is due within this time, the relay doesn't bring it forward.
HASTENED_FROM_SECONDS: Final = 30.0


class Retry(NamedTuple):
    """Says when a retry is due, and which recovery may bring it forward."""

    due_at: float
    brought_forward_by: Recovery


def retry_of(
    notification: Notification,
    answer: Answer,
    now: float,
    fraction: float,
    *,
    asked_seconds: float = 0.0,
    paused_seconds: float = 0.0,
) -> Retry | None:
    """Says when the relay tries a notification again, after an attempt that failed; None: never.

    :param answer: the answer to the attempt.
    :param now: when the attempt ended.
    :param fraction: a random number from 0 to 1, for the jitter.
    :param asked_seconds: the pause that the receiver asked for, see `retry_after_seconds`.
    :param paused_seconds: how long the relay sends nothing to the whole URL because of this answer.
    """
    if notification.url and answer.code == 410:
        return None
    if notification.scheduled_at:
        return Retry(max(notification.scheduled_at, now + asked_seconds), Recovery.NOTHING)
    due_at = next_attempt_at(notification.attempt, now, fraction, asked_seconds)
    if due_at is None:
        return None
    if due_at < now + HASTENED_FROM_SECONDS or asked_seconds > paused_seconds:
        return Retry(due_at, Recovery.NOTHING)
    return Retry(due_at, Recovery.REACHED if answer.unreached else Recovery.OUTAGE_ENDED)


def next_attempt_at(attempt: int, now: float, fraction: float, retry_after_seconds: float = 0.0) -> float | None:
    """Returns the instant of the next attempt by the schedule; None: the failed attempt was the last one.

    :param attempt: the number of the attempt that failed; the first one is 1.
    :param now: when the attempt failed.
    :param fraction: a random number from 0 to 1, for the jitter.
    :param retry_after_seconds: the pause that the receiver asked for; 0 if it asked for none.
    """
    if attempt >= len(PAUSES_SECONDS):
        return None
    pause = PAUSES_SECONDS[attempt] * (1.0 + JITTER * fraction)
    return now + max(pause, min(retry_after_seconds, LONGEST_RETRY_AFTER_SECONDS))


def retry_after_seconds(value: str | None, now: float) -> float:
    """Returns the seconds that a Retry-After header asks for (RFC 9110 section 10.2.3).

    The header has a number of seconds or a date. The result is 0.0 if there is no header, if the relay can't read it,
    or if its date is past.

    :param now: seconds since 1970.
    """
    if not value:
        return 0.0
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:12]), LONGEST_RETRY_AFTER_SECONDS)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    try:
        return min(max(0.0, date.timestamp() - now), LONGEST_RETRY_AFTER_SECONDS)
    except (ValueError, OverflowError):
        return 0.0
