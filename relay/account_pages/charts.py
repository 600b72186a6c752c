"""Draws charts as SVG text: numbers in, well-formed markup out.

The style sheet has the colours and fonts. The shapes have only classes, and no `style` attributes, which the pages'
content security policy would ignore. The label of a chart says what it shows.
"""

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import Final
from xml.sax.saxutils import escape, quoteattr

#: The margins around the plot, in the units of the drawing.
_LEFT: Final = 40
_RIGHT: Final = 16
_TOP: Final = 10
_BOTTOM: Final = 24

_TICKS: Final = 4


def axis_top(largest: int) -> int:
    """The top of an axis: the smallest round number that is at least `largest` and can be divided by four."""
    if largest <= _TICKS:
        return _TICKS
    step = largest / _TICKS
    power = 10.0 ** floor(log10(step))
    for factor in (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0):
        rounded = factor * power
        if rounded >= step and rounded == int(rounded):
            return int(rounded) * _TICKS
    return ceil(step) * _TICKS


def short_number(number: int) -> str:
    """Writes a number in at most five characters: 950, 12k, 1.5M."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)


def bars(
    counts: Sequence[Sequence[int]],
    *,
    classes: Sequence[str],
    names: Sequence[str],
    labels: Sequence[str],
    titles: Sequence[str],
    instants: Sequence[str] = (),
    links: Sequence[Sequence[str]] = (),
    summary: str,
    width: int,
    height: int = 220,
    most_labels: int = 8,
) -> str:
    """Draws a bar chart. Each bar is a stack of several counts.

    :param counts: for each bar, its counts from the bottom up.
    :param classes: for each count of a stack, its class in the style sheet.
    :param names: for each count of a stack, its name.
    :param labels: for each bar, the text below it.
    :param titles: for each bar, the text before its counts when the mouse is on it.
    :param instants: for each bar, when it begins (RFC 3339). The page's script writes `labels` and `titles` in the
        reader's time zone with it.
    :param links: for each bar, the address behind each of its counts.
    :param summary: the text that a screen reader says for the whole chart.
    :param width: the width of the drawing, in pixels.
    """
    largest = max((sum(bar) for bar in counts), default=0)
    top = axis_top(largest)
    plot_width = width - _LEFT - _RIGHT
    plot_height = height - _TOP - _BOTTOM
    floor_y = _TOP + plot_height
    # A picture can't have links in it.
    role = "group" if links else "img"
    out = [f'<svg class="chart" viewBox="0 0 {width} {height}" role="{role}" aria-label={quoteattr(summary)}>']
    for tick in range(_TICKS + 1):
        y = floor_y - plot_height * tick / _TICKS
        kind = "axis" if tick == 0 else "grid"
        out.append(f'<line class="{kind}" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        number = short_number(top * tick // _TICKS)
        out.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number}</text>')
    step = plot_width / max(1, len(counts))
    bar_width = max(1.0, min(step * 0.72, 42.0))
    # Labels are counted from the last bar back, so that the newest bar always has one.
    label_every = max(1, ceil(len(counts) / most_labels))
    for index, bar in enumerate(counts):
        x = _LEFT + step * index + (step - bar_width) / 2
        if sum(bar):
            at = f" data-at={quoteattr(instants[index])}" if instants else ""
            out.append(f"<g><title{at}>{escape(_title(titles[index], bar, names))}</title>")
            y = float(floor_y)
            for place, (count, kind) in enumerate(zip(bar, classes, strict=True)):
                if count:
                    # Even the smallest count must be visible beside large ones.
                    size = max(1.5, plot_height * count / top)
                    y -= size
                    rect = (
                        f'<rect class="{kind}" x="{x:.1f}" y="{max(y, _TOP):.1f}" width="{bar_width:.1f}" '
                        f'height="{size:.1f}" rx="{min(2.0, bar_width / 4):.1f}"/>'
                    )
                    if links:
                        rect = _linked(rect, links[index][place], f"{titles[index]} – {count} {names[place]}")
                    out.append(rect)
            out.append("</g>")
        if (len(counts) - 1 - index) % label_every == 0:
            middle = x + bar_width / 2
            at = f" data-at={quoteattr(instants[index])}" if instants else ""
            out.append(
                f'<text class="tick" x="{middle:.1f}" y="{height - 7}" text-anchor="middle"{at}>'
                f"{escape(labels[index])}</text>"
            )
    out.append("</svg>")
    return "".join(out)


def _linked(shape: str, url: str, name: str) -> str:
    # The keyboard reaches the same page through the table below the chart.
    return f'<a href={quoteattr(url)} aria-label={quoteattr(name)} tabindex="-1">{shape}</a>'


def _title(title: str, bar: Sequence[int], names: Sequence[str]) -> str:
    said = ", ".join(f"{count} {name}" for count, name in zip(bar, names, strict=True) if count)
    return f"{title} – {said}"
