"""Gives processes their own processors, so that a result doesn't depend on other processes."""

import os

#: Put in front of the relay's command line, and of its peers'. Empty until `separate` has been called.
RELAY: list[str] = []
PEERS: list[str] = []


def separate() -> str:
    """Gives the relay the first processor and the peers the others, where there are several; says what was done."""
    numbers = sorted(os.sched_getaffinity(0))
    if len(numbers) < 2:
        return "One processor for the relay and its peers."
    first, others = str(numbers[0]), ",".join(map(str, numbers[1:]))
    RELAY[:] = ["taskset", "-c", first]
    PEERS[:] = ["taskset", "-c", others]
    return f"The relay has processor {first} to itself, its peers {others}."
