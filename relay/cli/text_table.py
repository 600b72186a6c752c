"""Tables and durations for the terminal."""

from collections.abc import Mapping

from relay.cli.command_parser import Paint


def table(rows: list[list[str]], paint: Paint | None = None, kinds: Mapping[str, str] | None = None) -> list[str]:
    """Returns the lines of a table. The first and the last column begin at the left, the others end at the right.

    :param paint: colours the first line.
    :param kinds: for some texts, the kind for `paint` in which a cell with this text is written.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        cells = [
            cell.ljust(width) if column in (0, len(row) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        cells[-1] = cells[-1].rstrip()
        if paint is not None and number:
            cells = [paint(cell, (kinds or {}).get(text, "")) for cell, text in zip(cells, row, strict=True)]
        line = "  ".join(cells).rstrip()
        lines.append(paint(line, "head") if paint is not None and not number else line)
    return lines


def age(seconds: float) -> str:
    """A duration in its largest unit, rounded down: `3 h`."""
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return f"{int(seconds)} s"
