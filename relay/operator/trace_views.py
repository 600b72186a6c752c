"""The pages about traces: all of them in a table, and one of them with its lines."""

from collections.abc import Iterable, Sequence
from typing import Final

from twisted.web.template import Tag

from relay.account_pages.html import Content, card, choice, el, facts, moment
from relay.operator.operator_html import Frame, action_link, grid, link, number, path_of, word
from relay.operator.trace_lines import TraceLine, TraceView, clock_text

#: The page shows so many lines of a trace: the latest. A download has all of them.
LINES_SHOWN: Final = 300
_HEADS: Final = ("Trace", "Of", "State", "Began", "Ends", "Lines", "By")
_MINUTES: Final = ("1", "5", "15", "60")


def traces_page(frame: Frame, traces: Iterable[TraceView]) -> list[Content]:
    """Makes the content of the page of all traces."""
    none = "There is no trace."
    if not frame.why_not("carriers"):
        none += " To begin one, press Trace on the page of a carrier or an account."
    hint = (
        "A trace has what goes between the relay and one carrier or account: PDUs, requests and their answers, without "
        "texts and secrets. It ends by itself. The relay keeps the last five until it is restarted."
    )
    return [
        el("section", grid("traces", "Traces", _HEADS, map(_row, traces), none), el("p", hint, class_="hint"),
           class_="card"),
    ]  # fmt: skip


def _row(trace: TraceView) -> Sequence[Content]:
    return (
        el("td", link(f"Trace {trace.number}", "traces", str(trace.number))),
        _of(trace),
        _state(trace),
        el("td", moment(trace.began_at)),
        el("td", moment(trace.ends_at)),
        number(trace.lines),
        trace.by,
    )


def _of(trace: TraceView) -> Tag:
    return el("span", f"{trace.kind} ", link(trace.name, f"{trace.kind}s", trace.name))


def _state(trace: TraceView) -> Tag:
    return word(f"ended: {trace.ended}", "some") if trace.ended else word("runs", "good")


def minutes_field() -> Tag:
    """Makes the field for the length of a trace."""
    control = choice([(minutes, minutes) for minutes in _MINUTES], "5")
    control.attributes |= {"id": "minutes", "name": "minutes"}
    return el("div", el("label", "Minutes", for_="minutes"), control, class_="field")


def trace_page(frame: Frame, trace: TraceView, lines: Sequence[TraceLine]) -> list[Content]:
    """Makes the content of a trace's own page.

    :param lines: the latest lines, `LINES_SHOWN` of them at most.
    """
    own = str(trace.number)
    said = facts(
        [
            ("Of", _of(trace)),
            ("State", _state(trace)),
            ("Began", moment(trace.began_at)),
            ("Ends at the latest", moment(trace.ends_at)),
            ("Begun by", trace.by),
            ("Lines", f"{trace.lines:,}"),
        ],
        id="trace-state",
        data_live=True,
    )
    buttons: list[Content] = [el("a", "Download", href=path_of("traces", own, "download"), class_="button primary")]
    if not trace.ended:
        buttons.append(action_link(frame, "End trace", "traces", own, "end"))
    shown = f"The latest {len(lines):,} of {trace.lines:,} lines. " if trace.lines > len(lines) else ""
    rows = (
        el("li", el("span", f"{clock_text(line.at)} {line.connection}", class_="soft"), " ",
           word(line.way, "some" if line.way == "received" else "good") if line.way else None, " ", line.text)
        for line in lines
    )  # fmt: skip
    return [
        el("div", *buttons, class_="buttons"),
        card("Trace", said),
        card(
            "Lines",
            el("p", f"{shown}Times are UTC, to the millisecond. c1, c2 and so on are SMPP connections, h1 and so on "
               "HTTP requests.", class_="hint"),
            el("div", el("ol", *rows, class_="lines") if lines else el("p", "Nothing has come yet.", class_="empty"),
               id="trace-lines", data_live=True),
        ),
    ]  # fmt: skip
