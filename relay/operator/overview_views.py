"""The overview: what is wrong and what to do about it, the numbers of this moment, and charts."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

from twisted.web.template import Tag

from relay.account_pages.charts import bars
from relay.account_pages.delivery_stats import KINDS, SPANS, DeliveryStatsView, Span
from relay.account_pages.html import Content, Markup, card, duration, el, moment
from relay.operator import inbound_views
from relay.operator.cluster_views import cluster_place
from relay.operator.last_hour import LONG_STEP_SECONDS, STEP_SECONDS, History
from relay.operator.overview import Overview
from relay.operator.troubles import Trouble
from relay.values.instants import instant

#: Troubles that are shown; the worst are first.
_MOST_TROUBLES: Final = 50
#: Each chart is drawn twice, for wide windows and for narrow ones.
_WIDE: Final = 660
_NARROW: Final = 300


class Picture(NamedTuple):
    """One chart.

    :ivar names: for each count of a bar, what it counts; it is also the counter of `History`.
    :ivar classes: for each count of a bar, its class in the style sheet.
    """

    title: str
    names: Sequence[str]
    counters: Sequence[str]
    classes: Sequence[str]


_PICTURES: Final = (
    Picture("Messages from customers", ("accepted", "refused"), ("accepted", "refused"), ("taken", "failed")),
    Picture("Parts that carriers took", ("taken",), ("taken",), ("taken",)),
    Picture("Receipts that found their message", ("receipts",), ("receipts",), ("receipts",)),
    Picture("Attempts to notify", ("delivered", "failed"), ("delivered", "failed"), ("delivered", "failed")),
)


#: In place of the first one, where the history counts the accepted messages.
_REFUSED: Final = Picture("Messages refused to customers", ("refused",), ("refused",), ("failed",))


def overview_page(
    look: Overview, history: History, span: Span, outcomes: DeliveryStatsView | None, started_at: float
) -> list[Content]:
    """Makes the content of the page.

    :param outcomes: how messages ended, from the history; None: there is no history.
    :param started_at: when the relay started.
    """
    return [
        el("section", el("h2", "What is wrong"), _troubles(look.wrong), class_="card"),
        None if look.cluster is None else card("Cluster", *cluster_place(look.cluster)),
        _tiles(look),
        el("div", _span_tabs("/", span), class_="finder"),
        el("div", *_pictures(look.now, history, span, outcomes), id="pictures", class_="pictures", data_live=True),
        el("p", *_since(look.now, span, started_at, outcomes is not None), class_="hint"),
        el(
            "p",
            f"Version {look.version}, running for {duration(look.uptime_seconds)}. The journal has "
            f"{look.store['journal_bytes'] / 1e6:,.1f} MB in {look.store['journal_segments']} files.",
            id="facts",
            class_="hint",
            data_live=True,
        ),
    ]


def _troubles(troubles: Sequence[Trouble]) -> Tag:
    if not troubles:
        return el("div", el("p", "Nothing is wrong.", class_="fine"), id="troubles", data_live=True)
    more = len(troubles) - _MOST_TROUBLES
    return el(
        "div",
        el(
            "ul",
            *(
                el(
                    "li",
                    el("div", trouble.what, class_="word bad"),
                    el(
                        "div",
                        trouble.cure + ". " if trouble.cure else None,
                        el("a", "Look", href=trouble.page, aria_label=f"Look: {trouble.what}")
                        if trouble.page
                        else None,
                        class_="cure",
                    ),
                )
                for trouble in troubles[:_MOST_TROUBLES]
            ),
            class_="troubles",
        ),
        el("p", f"And {more} more.") if more > 0 else None,
        id="troubles",
        data_live=True,
    )


def _tiles(look: Overview) -> Tag:
    store = look.store
    steps = look.charts.get("accepted") or [0.0]
    messages = "/page/messages"
    pending = f"{messages}?status=pending"
    received = look.handset_messages.get("received", 0)
    tiles = (
        ("To send", store["unsubmitted"], "messages that no carrier has taken", pending, "waiting"),
        ("Await their receipt", store["awaiting_receipt"], "messages at carriers", pending, "waiting"),
        ("Owed", store["owed"], "notifications to customers", f"{messages}?notification=owed", "carrier-reject"),
        ("Accepted", steps[-1] / look.step_seconds, "messages a second", messages, "delivered"),
        ("From handsets", received, "messages since the start", inbound_views.PATH, "delivered"),
    )
    return el(
        "ul",
        *(
            el(
                "li",
                el(
                    "a",
                    el("span", name, class_="name"),
                    el("span", f"{count:,.0f}" if count == int(count) else f"{count:,.1f}", class_="count"),
                    el("span", unit, class_="unit"),
                    href=path,
                    class_=f"tile {kind}",
                ),
            )
            for name, count, unit, path, kind in tiles
        ),
        id="tiles",
        class_="tiles",
        data_live=True,
        aria_label="The numbers of this moment",
    )  # fmt: skip


def _span_tabs(path: str, here: Span) -> Tag:
    return el(
        "nav",
        *(
            el("a", span.words.capitalize(), href=f"{path}?span={quote(span.name)}",
               aria_current="true" if span is here else None)
            for span in SPANS.values()
        ),
        class_="choices",
        aria_label="Time span",
    )  # fmt: skip


def _since(now: float, span: Span, started_at: float, with_history: bool) -> list[Content]:
    made: list[Content] = []
    if with_history:
        made.append("How messages ended comes from the history, which outlives a restart. ")
    if started_at > now - span.bucket_seconds * span.buckets:
        made += [
            "The other charts count since " if with_history else "The charts count since ",
            moment(started_at),
            ", when the relay started.",
        ]
    return made


def _pictures(now: float, history: History, span: Span, outcomes: DeliveryStatsView | None) -> list[Tag]:
    made = []
    if outcomes is not None:
        made.append(_outcomes(outcomes, span, {}))
    starts = [now - span.bucket_seconds * (span.buckets - number) for number in range(span.buckets)]
    # With a history, the first picture has the accepted messages, and agrees with the lists also after a restart.
    for picture in _PICTURES if outcomes is None else (_REFUSED, *_PICTURES[1:]):
        columns = [bucketed(history, counter, span) for counter in picture.counters]
        counts = [list(bar) for bar in zip(*columns, strict=True)]
        made.append(_picture(picture.title, counts, picture.classes, picture.names, starts, span))
    return made


def outcomes_section(path: str, span: Span, outcomes: DeliveryStatsView, only: Mapping[str, str]) -> list[Content]:
    """Makes the part of a page that shows how the messages of an account or a carrier ended.

    :param path: of the page.
    :param only: `account` or `carrier`, with its name.
    """
    return [
        el("div", _span_tabs(path, span), class_="finder"),
        el("div", _outcomes(outcomes, span, only), id="ended", class_="pictures", data_live=True),
        el("p", "This chart comes from the history, which outlives a restart.", class_="hint"),
    ]


def _outcomes(outcomes: DeliveryStatsView, span: Span, only: Mapping[str, str]) -> Tag:
    counts = [list(bar) for bar in outcomes.counts]
    starts = list(outcomes.starts)
    links = [[_search(kind, start, span, only) for kind in KINDS] for start in starts]
    return _picture("How messages ended", counts, KINDS, KINDS, starts, span, links)


def _search(kind: str, start: float, span: Span, only: Mapping[str, str]) -> str:
    """The path of the list of the messages that a part of a bar counts."""
    asked = {
        **only,
        "status": "pending" if kind == "waiting" else kind,
        "since": instant(start),
        "until": instant(start + span.bucket_seconds),
    }
    return f"/page/messages?{urlencode(asked)}"


def bucketed(history: History, counter: str, span: Span) -> list[int]:
    """Returns a counter's growth in each bucket of a span, oldest first."""
    hour = span.bucket_seconds < LONG_STEP_SECONDS
    steps = history.of(counter) if hour else history.of_long_steps(counter)
    size = int(span.bucket_seconds / (STEP_SECONDS if hour else LONG_STEP_SECONDS))
    wanted = size * span.buckets
    steps = [0.0] * (wanted - len(steps)) + steps[-wanted:]
    return [round(sum(steps[start : start + size])) for start in range(0, wanted, size)]


def _picture(
    title: str,
    counts: list[list[int]],
    classes: Sequence[str],
    names: Sequence[str],
    starts: list[float],
    span: Span,
    links: Sequence[Sequence[str]] = (),
) -> Tag:
    totals = [sum(bar[number] for bar in counts) for number in range(len(names))]
    said = ", ".join(f"{total:,} {name}" for total, name in zip(totals, names, strict=True))
    form = "%d %b" if span.name == "week" else "%H:%M"
    at = [datetime.fromtimestamp(start, UTC) for start in starts]
    drawn = [
        el(
            "div",
            Markup(
                bars(
                    counts,
                    classes=classes,
                    names=names,
                    labels=[f"{one:{form}}" for one in at],
                    titles=[f"{one:%d %b %H:%M}" for one in at],
                    instants=[instant(start) for start in starts],
                    links=links,
                    summary=f"{title} in the last {span.words}: {said}.",
                    width=width,
                    height=160,
                    most_labels=8 if width == _WIDE else 4,
                )
            ),
            class_=f"drawing {kind}",
        )
        for width, kind in ((_WIDE, "on-wide"), (_NARROW, "on-narrow"))
    ]
    legend = el(
        "ul",
        *(
            el("li", el("span", class_=f"swatch {kind}", aria_hidden="true"), f"{name}: {total:,}")
            for kind, name, total in zip(classes, names, totals, strict=True)
        ),
        class_="legend",
    )
    return card(title, legend, *drawn)
