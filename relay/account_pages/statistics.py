"""The statistics on the overview: how messages ended over time, and how long delivery took."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from twisted.web.template import Tag

from relay.account_pages.charts import bars
from relay.account_pages.delivery_stats import DURATION_WORDS, KINDS, SPANS, DeliveryStatsView, Span
from relay.account_pages.html import Content, Markup, card, el, moment
from relay.account_pages.list_question import ListQuestion, minute_text
from relay.values.instants import instant

_NAMES: Final = {"delivered": "Delivered", "failed": "Failed", "carrier-reject": "Carrier-reject", "waiting": "Waiting"}
_FILTERS: Final = {"waiting": "pending"}

#: Each chart is drawn twice, for wide windows and for phones. Otherwise its text would be too small on phones.
_WIDE: Final = 660
_NARROW: Final = 300


def tiles(view: DeliveryStatsView) -> Tag:
    """Makes the counts. Each is a link to its messages."""
    totals = view.totals
    return el(
        "ul",
        *(
            el(
                "li",
                el(
                    "a",
                    el("span", _NAMES[kind], class_="name"),
                    el("span", f"{totals[kind]:,}", class_="count", data_count=kind),
                    el("span", view.rate_words, class_="share", data_count="rate") if kind == "delivered" else None,
                    href=_listed(view, kind, view.starts[0]),
                    class_=f"tile {kind}",
                ),
            )
            for kind in KINDS
        ),
        class_="tiles",
        aria_label=f"Messages of the last {view.span.words}",
    )


def _listed(view: DeliveryStatsView, kind: str, since: float, until: float | None = None) -> str:
    """The address of the list of the messages that a count counts."""
    show = _FILTERS.get(kind, kind)
    # What waits for longer than the span is counted at its beginning.
    since_text = "" if kind == "waiting" and since == view.starts[0] else minute_text(since)
    return ListQuestion(show=show, since=since_text, until="" if until is None else minute_text(until)).url()


def span_tabs(here: Span) -> Tag:
    """Makes the links that choose how far to look back."""
    return el(
        "nav",
        *(
            el("a", span.words.capitalize(), href=f"/?span={span.name}", aria_current="true" if span is here else None)
            for span in SPANS.values()
        ),
        class_="choices",
        aria_label="Time span",
    )


def charts(view: DeliveryStatsView) -> Tag:
    """Makes both charts, each with its numbers as a table."""
    totals = view.totals
    said = ", ".join(f"{totals[kind]} {kind}" for kind in KINDS)
    labels = [_label(view.span, start) for start in view.starts]
    titles = [_title(start) for start in view.starts]
    ends = [start + view.span.bucket_seconds for start in view.starts]
    links = [[_listed(view, kind, *times) for kind in KINDS] for times in zip(view.starts, ends, strict=True)]
    over_time = [
        _drawn(
            bars(
                view.counts,
                classes=KINDS,
                names=KINDS,
                labels=labels,
                titles=titles,
                instants=[instant(start) for start in view.starts],
                links=links,
                summary=f"Messages over the last {view.span.words}: {said}.",
                width=width,
                most_labels=8 if width == _WIDE else 4,
            ),
            width,
        )
        for width in (_WIDE, _NARROW)
    ]
    took = [
        _drawn(
            bars(
                [[count] for count in view.durations],
                classes=["delivered"],
                names=["delivered"],
                labels=DURATION_WORDS,
                titles=DURATION_WORDS,
                summary=f"Time from acceptance to delivery of {totals['delivered']} messages. {_middle(view)}",
                width=_NARROW + 60,
                most_labels=10,
            ),
            0,
        )
    ]
    return el(
        "div",
        card(
            "Messages over time",
            _legend(),
            *over_time,
            _counts_table(view, links),
            _since(view.since) if view.since is not None else None,
            class_="card wide",
        ),
        card(
            "Delivery time",
            el("p", _middle(view), class_="hint"),
            *took,
            _table("Delivery times as a table", ("Within", "Messages"),
                   [(words, str(count)) for words, count in zip(DURATION_WORDS, view.durations, strict=True)]),
        ),
        id="charts",
        data_live=True,
        class_="charts",
    )  # fmt: skip


def _since(at: float) -> Tag:
    """Says from when on messages are counted."""
    return el("p", "Counted since ", moment(at), ", the first message that the relay still has.", class_="hint")


def _drawn(svg: str, width: int) -> Tag:
    kind = {_WIDE: "drawing on-wide", _NARROW: "drawing on-narrow"}.get(width, "drawing")
    return el("div", Markup(svg), class_=kind)


def _legend() -> Tag:
    return el(
        "ul",
        *(el("li", el("span", class_=f"swatch {kind}", aria_hidden="true"), _NAMES[kind]) for kind in KINDS),
        class_="legend",
    )


def _counts_table(view: DeliveryStatsView, links: list[list[str]]) -> Tag:
    rows: list[tuple[Content, ...]] = [
        (
            moment(start),
            *(el("a", str(count), href=link) if count else "0" for count, link in zip(counts, to, strict=True)),
        )
        for start, counts, to in zip(view.starts, view.counts, links, strict=True)
        if any(counts)
    ]
    return _table("Messages over time as a table", ("Time", *_NAMES.values()), rows[::-1])


def _table(title: str, heads: tuple[str, ...], rows: Sequence[tuple[Content, ...]]) -> Tag:
    body: list[Content] = [
        el("tr", el("th", row[0], scope="row"), *(el("td", cell, class_="number") for cell in row[1:])) for row in rows
    ]
    return el(
        "details",
        el("summary", "Show as a table"),
        el(
            "div",
            el(
                "table",
                el("caption", title, class_="unseen"),
                el("thead", el("tr", *(el("th", head, scope="col") for head in heads))),
                el("tbody", *body),
            ),
            class_="scrolls",
            tabindex="0",
            role="region",
            aria_label=title,
        ),
    )


def _middle(view: DeliveryStatsView) -> str:
    """Says in words how long half of the deliveries took."""
    total = sum(view.durations)
    if not total:
        return f"No delivery in the last {view.span.words}."
    seen = 0
    for words, count in zip(DURATION_WORDS, view.durations, strict=True):
        seen += count
        if 2 * seen >= total:
            if words.startswith(">"):
                return f"Half of all deliveries take longer than {words[1:]}."
            return f"Half of all deliveries are made within {words.lstrip('≤')[:-1]} {words[-1]}."
    return ""


def _label(span: Span, start: float) -> str:
    at = datetime.fromtimestamp(start, UTC)
    return at.strftime("%d %b") if span.name == "week" else at.strftime("%H:%M")


def _title(start: float) -> str:
    return datetime.fromtimestamp(start, UTC).strftime("%d %b %Y %H:%M UTC")
