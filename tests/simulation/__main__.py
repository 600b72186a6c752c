"""`python -m tests.simulation --seed N [--count M]`: plays worlds, and shrinks the history of one that fails."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from tests.simulation.world import HOUR, START, Broken, Fault, World, plan


def play(seed: int, faults: Sequence[Fault]) -> tuple[World, str]:
    """Plays one world; gives it and what was broken, "" where nothing was."""
    world = World(seed, faults)
    try:
        world.run()
    except Broken as broken:
        return world, str(broken)
    return world, ""


def _fails(seed: int, faults: Sequence[Fault]) -> bool:
    return bool(play(seed, faults)[1])


def shrink(fails: Callable[[Sequence[Fault]], bool], faults: Sequence[Fault]) -> list[Fault]:
    """The shortest list that still fails, found by leaving out more and more of it."""
    left = list(faults)
    size = max(1, len(left) // 2)
    while True:
        at = 0
        while at < len(left):
            fewer = left[:at] + left[at + size :]
            if fails(fewer):
                left = fewer
            else:
                at += size
        if size == 1:
            return left
        size = max(1, size // 2)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds, one after the other")
    options = parser.parse_args(arguments)
    counts: Counter[str] = Counter()
    hours = 0.0
    begun_at = time.monotonic()
    for seed in range(options.seed, options.seed + options.count):
        faults = plan(seed)
        world, broken = play(seed, faults)
        counts += world.counts
        hours += (world.time.seconds() - START) / HOUR
        if broken:
            print(f"seed {seed} is broken:\n{broken}\n\nThe shortest history that I can find:", flush=True)
            shortest = shrink(partial(_fails, seed), faults)
            for fault in shortest:
                print(f"  {fault}")
            print(play(seed, shortest)[1])
            return 1
        if sys.stderr.isatty() or (seed - options.seed) % 50 == 49:
            print(f"\r{seed - options.seed + 1} of {options.count} seeds, {hours:,.0f} hours", end="", file=sys.stderr)
    seconds = time.monotonic() - begun_at
    print(f"\n{options.count} seeds, {hours:,.0f} simulated hours in {seconds:.0f} s, nothing broken")
    for what, number in sorted(counts.items()):
        print(f"  {number:8,} {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
