"""The quality of carriers as the operator's page, `/quality` and `python -m relay status` show it."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from relay.quality.delivery_quality import OTHERS, Figures, GroupFigures, together
from relay.quality.quality_rules import Avoided
from relay.quality.quality_watch import QualityWatch
from relay.values.ended_counts import QualityGroup

#: By what the figures may be added up.
KEYS: Final = ("carrier", "country", "account")
#: Rows that are shown at the most.
MOST_ROWS: Final = 200
#: A change of the delivered share is marked from this number of messages on, and from this size on.
MARKED_MESSAGES: Final = 50
MARKED_CHANGE: Final = -0.1


class SpanLook(msgspec.Struct, frozen=True):
    """The figures of a span.

    :ivar delivered_share: None: no message has ended, or no receipt came.
    :ivar median_seconds: the time from the handoff to the receipt of a delivered message, as the upper bound of a
        class; 0.0: none was delivered; -1.0: longer than all classes. Likewise the 95th percentile.
    """

    ended: int
    delivered: int
    failed: int
    unanswered: int
    delivered_share: float | None
    median_seconds: float
    p95_seconds: float


class QualityLook(msgspec.Struct, frozen=True):
    """The figures of some messages; "" for a key by which they are not divided, "*" for what has no group of its own.

    :ivar recent: the last hour.
    :ivar week: the week before it.
    :ivar change: by how much the delivered share of the last hour is higher than that of the week; None: not known.
    """

    carrier: str
    country: str
    account: str
    recent: SpanLook
    week: SpanLook
    change: float | None

    @property
    def fell(self) -> bool:
        """Whether much less is delivered than in the week."""
        return self.recent.ended >= MARKED_MESSAGES and self.change is not None and self.change <= MARKED_CHANGE


class QualityLooks(msgspec.Struct, frozen=True):
    """The quality of all carriers.

    :ivar since: since when it is counted.
    :ivar left_out: rows that are not shown.
    """

    since: float
    rows: Sequence[QualityLook]
    left_out: int
    avoided: Sequence[Avoided]


def quality_looks(
    watch: QualityWatch, now: float, by: Sequence[str], only: Mapping[str, str], most: int = MOST_ROWS
) -> QualityLooks:
    """Looks at the quality.

    :param by: the keys by which the messages are divided.
    :param only: by key, such as "carrier": only the messages with this value.
    """
    found = [each for each in watch.quality.figures(now) if _is_wanted(each.group, only)]
    summed = together(found, lambda group: QualityGroup(*(getattr(group, key) if key in by else "" for key in _FIELDS)))
    rows = sorted(
        (_look(each) for each in summed if each.recent.ended or each.week.ended),
        key=lambda row: (-row.recent.ended, -row.week.ended, row.carrier, row.country, row.account),
    )
    return QualityLooks(watch.quality.since, rows[:most], max(0, len(rows) - most), watch.avoided)


_FIELDS: Final = ("carrier", "account", "country")


def _is_wanted(group: QualityGroup, only: Mapping[str, str]) -> bool:
    return all(not value or getattr(group, key) == value for key, value in only.items())


def _look(figures: GroupFigures) -> QualityLook:
    carrier, account, country = figures.group
    recent = msgspec.structs.replace(_span(figures.recent), delivered_share=figures.recent_share)
    return QualityLook(carrier, country, account, recent, _span(figures.week), figures.change)


def _span(figures: Figures) -> SpanLook:
    return SpanLook(
        figures.ended,
        figures.delivered,
        figures.failed,
        figures.unanswered,
        figures.share,
        figures.took_at_most(0.5),
        figures.took_at_most(0.95),
    )


def country_words(country: str) -> str:
    """Writes a country code: +44."""
    return f"+{country}" if country.isdigit() else "others" if country == OTHERS else "no country"


def quality_question(query: Mapping[str, str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Reads which figures a request asks for: the keys by which they are divided, and which messages. Unknown keys and
    values are left out."""
    asked = query.get("by", "carrier,country,account").split(",")
    by = tuple(key for key in KEYS if key in asked) or KEYS
    return by, {key: value.strip().removeprefix("+") for key in KEYS if (value := query.get(key, ""))}
