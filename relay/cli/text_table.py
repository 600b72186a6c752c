"""Tables and durations for the terminal."""


def table(rows: list[list[str]]) -> list[str]:
    """The lines of a table. The first and the last column begin at the left, the others end at the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) if column in (0, len(row) - 1) else cell.rjust(width)
                  for column, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]  # fmt: skip


def age(seconds: float) -> str:
    """A duration in its largest unit, rounded down: `3 h`."""
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return f"{int(seconds)} s"
