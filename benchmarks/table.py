"""Writes rows as a table for people, and as JSON for programs."""

import dataclasses
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.chain import Row

COLUMNS = (
    ("what", "name", "{}"),
    ("messages", "messages", "{:,}"),
    ("CPU us/msg", "cpu_us", "{:.1f}"),
    ("x floor", "", ""),
    ("msg/s", "messages_per_second", "{:,.0f}"),
    ("submit p50/p99 ms", "", ""),
    ("receipt p50/p99 ms", "", ""),
    ("RSS MB", "rss_mb", "{:.0f}"),
    ("lost/dup", "", ""),
    ("load+carrier us", "", ""),
)


def cells(row: Row, floor_us: float) -> list[str]:
    """A row's texts, one a column.

    :param floor_us: what the floor cost in the same run; 0 where it wasn't measured.
    """
    joined = {
        "x floor": f"{row.cpu_us / floor_us:.1f}" if floor_us else "-",
        "submit p50/p99 ms": f"{row.submit_p50_ms:.1f}/{row.submit_p99_ms:.1f}",
        "receipt p50/p99 ms": f"{row.receipt_p50_ms:.1f}/{row.receipt_p99_ms:.1f}",
        "lost/dup": f"{row.lost}/{row.duplicates}",
        "load+carrier us": f"{row.load_cpu_us:.1f}+{row.carrier_cpu_us:.1f}",
    }
    values = dataclasses.asdict(row)
    return [joined.get(title) or shape.format(values[key]) for title, key, shape in COLUMNS]


def table(rows: Sequence[Row]) -> str:
    """A Markdown table that is also readable as it stands."""
    lines = [[title for title, _, _ in COLUMNS], *(cells(row, _floor_us(row, rows)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    texts.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join([*texts, *(f"{row.name}: {row.remark}" for row in rows if row.remark)])


def machine(directory: Path) -> dict[str, Any]:
    """What it was measured on: processor, kernel, interpreter, and what an fdatasync costs in `directory`."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "fdatasync_ms": round(1000 * fdatasync_seconds(directory), 3),
        "loop_ns": round(1e9 * loop_seconds(), 1),
    }


def fdatasync_seconds(directory: Path, times: int = 50) -> float:
    """The median cost of appending 4 KiB and syncing it."""
    path = directory / "fdatasync.probe"
    spent = []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(bytes(4096))
            begun_at = time.monotonic()
            os.fdatasync(file.fileno())
            spent.append(time.monotonic() - begun_at)
    path.unlink()
    return statistics.median(spent)


def loop_seconds(times: int = 200_000) -> float:
    """What one turn of a fixed pure-Python loop costs: tells a slow minute of the machine from a slow program."""
    begun = time.process_time()
    total = 0
    for number in range(times):
        total += number & 7
    return (time.process_time() - begun) / times


def save(path: Path, rows: Sequence[Row], about: dict[str, Any]) -> None:
    """Writes everything that was measured, notes included."""
    path.write_text(json.dumps({"machine": about, "rows": [dataclasses.asdict(row) for row in rows]}, indent=1) + "\n")


def _floor_us(row: Row, rows: Sequence[Row]) -> float:
    """What the floor cost at the rate of a row; at its top rate if it wasn't measured at that rate. 0.0: nowhere."""
    floors = [each for each in rows if each.name.startswith("floor")]
    at_that_rate = [each.cpu_us for each in floors if _rate(each) == _rate(row)]
    at_top_rate = [each.cpu_us for each in floors if not _rate(each)]
    found = at_that_rate or at_top_rate
    return statistics.median(found) if found else 0.0


def _rate(row: Row) -> str:
    return row.name.partition(" at ")[2]
