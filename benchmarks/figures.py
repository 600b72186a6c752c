"""Figures of a run: percentiles, and the one JSON line that each process prints."""

import json
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of an ordered sequence don't exceed (nearest rank); 0 for an empty one."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p99, p99.9 and the maximum of durations in seconds, as milliseconds."""
    ordered = sorted(seconds)
    named = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    return {name: round(1000 * percentile(ordered, share), 3) for name, share in named.items()}


def instants(count: int) -> "array[float]":
    """Room for one instant a message; 0.0 stands for "never"."""
    return array("d", bytes(8 * count))


def save_instants(path: str | Path, values: "array[float]") -> None:
    """Writes instants where another process will `load_instants` them."""
    with open(path, "wb") as file:
        values.tofile(file)


def load_instants(path: str | Path) -> "array[float]":
    values = array("d")
    with open(path, "rb") as file:
        values.frombytes(file.read())
    return values


def joined_durations(begun: "array[float]", ended: "array[float]") -> list[float]:
    """Seconds from begun[i] to ended[i] for each message that has both instants."""
    return [end - begin for begin, end in zip(begun, ended, strict=False) if begin and end]


def report(values: dict[str, object]) -> None:
    """Prints a process's result, one JSON line, the last thing that it does."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()
