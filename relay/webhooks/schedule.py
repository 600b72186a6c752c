"""When a webhook that failed is tried again.

The schedule is the one that the Standard Webhooks specification recommends: ten attempts over a little more than three
days. A pause is made a little longer at random, so that what failed together does not come back together. What the
receiver asks for (Retry-After) is honoured where it is later than the schedule.

What failed while its URL was away need not wait for the schedule when the URL is back: then its last attempt is made
once more. Such an attempt takes nothing from the schedule, which goes on where it stood when that one fails too; and
there is one at the most before each attempt of the schedule. So a notification that its receiver never takes is tried
twice as often at the worst, and is given up no sooner than without.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from relay.values.messages import Notification, Recovery
from relay.webhooks.answer import Answer

_HOUR: Final = 3600.0

#: Pause before each attempt, the first included, in seconds.
PAUSES_SECONDS: Final = (
    0.0, 5.0, 300.0, 1800.0, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR,
)  # fmt: skip

#: A pause is stretched by up to this share of itself.
JITTER: Final = 0.1

#: From the moment a notification is owed to the end of its last pause: older than this, a failure ends it.
WINDOW_SECONDS: Final = sum(PAUSES_SECONDS) * (1.0 + JITTER)

#: A receiver may not put us off for longer than this at once.
LONGEST_RETRY_AFTER_SECONDS: Final = 24 * _HOUR

#: What comes by itself within so many seconds isn't brought forward.
HASTENED_FROM_SECONDS: Final = 30.0


class Retry(NamedTuple):
    """When an attempt is due, and what lets one be made before."""

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
    """When a notification whose attempt was answered so at `now` is tried again; None: never.

    :param fraction: a random number from 0 to 1, for the jitter.
    :param asked_seconds: what the receiver asked for, see `retry_after_seconds`.
    :param paused_seconds: for how long nothing at all is sent to the URL because of that.
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
    """When to try again after attempt number `attempt` (from 1) failed at `now`; None: that was the last one.

    :param fraction: a random number from 0 to 1, for the jitter.
    :param retry_after_seconds: what the receiver asked for; 0 where it asked for nothing.
    """
    if attempt >= len(PAUSES_SECONDS):
        return None
    pause = PAUSES_SECONDS[attempt] * (1.0 + JITTER * fraction)
    return now + max(pause, min(retry_after_seconds, LONGEST_RETRY_AFTER_SECONDS))


def retry_after_seconds(value: str | None, now: float) -> float:
    """The seconds that a Retry-After header asks for (RFC 9110 section 10.2.3): a number, or a date.

    0.0 where there is no header, where it can't be read, and where its date has passed.

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
