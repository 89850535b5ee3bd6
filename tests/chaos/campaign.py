"""The kill campaign: commands are killed at random and at each of their writes, and must go on.

`make chaos`, or `python -m tests.chaos.campaign --kills 200 --seed 0`. Prints a table; ends with 1
if a command did not end in the bytes of an undisturbed run. docs/kills.md has what it found.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.chaos.commands import COMMANDS
from tests.chaos.forked import Running
from tests.chaos.trials import Bench, at_every_write, kill_self, killed, terminated
from tests.chaos.writes import at_write

KILLS = int(os.environ.get("WTAL_KILLS", "200"))
_BEYOND = 1.05  # some come when all is done
_TWICE = 0.25  # share of runs that are killed while they go on from a kill
_PHASES = ("before the first write", "in the middle", "after the end")


class Row(NamedTuple):
    """What was found of one command."""

    name: str
    phases: Counter[str]
    faults: list[str]
    seconds: float

    def __str__(self) -> str:
        """A line of the table."""
        kills = self.phases.total()
        cells = [kills, *(self.phases[phase] for phase in _PHASES), kills - len(self.faults)]
        return f"| {self.name} | {' | '.join(map(str, cells))} | {self.seconds:.0f} |"


def at_random(bench: Bench, kills: int, draw: random.Random, how: str) -> Row:
    """So many disturbances at times drawn uniformly over the length of a run."""
    row = Row(bench.name, Counter(), [], 0.0)
    started = time.monotonic()
    while row.phases.total() < kills:
        bench.clear()
        if how == "kill":
            found = _chain(bench, kills - row.phases.total(), draw)
        else:
            number = signal.SIGTERM if how == "term" else signal.SIGINT
            found = [terminated(bench, draw.uniform(0, _BEYOND), number)]
        row.phases.update(phase for phase, _ in found)
        faults = [fault for _, fault in found if fault] or [bench.goes_on()]
        row.faults.extend(f"{bench.name}, {found[-1][0]}: {f}" for f in faults if f)
    return row._replace(seconds=time.monotonic() - started)


def _chain(bench: Bench, most: int, draw: random.Random) -> list[tuple[str, str]]:
    """A kill, and now and then more of the runs that go on from it."""
    found: list[tuple[str, str]] = [killed(bench, draw.uniform(0, _BEYOND), again=False)]
    while len(found) < most and draw.random() < _TWICE:
        found.append(killed(bench, draw.uniform(0, _BEYOND), again=True))
    return found


def at_writes(bench: Bench, every: int) -> Row:
    """A kill just before each write, or each EVERY-th."""
    row = Row(f"{bench.name}, each write", Counter(), [], 0.0)
    started = time.monotonic()
    disturb = partial(at_write, action=kill_self)
    for fault in at_every_write(bench, disturb, _was_killed, every):
        row.phases["in the middle"] += 1
        if fault:
            row.faults.append(f"{bench.name}, {fault}")
    return row._replace(seconds=time.monotonic() - started)


def _was_killed(running: Running) -> bool:
    return running.code == -signal.SIGKILL


def campaign(
    names: Sequence[str], kills: int, seed: int, how: str, every: int, root: Path
) -> list[Row]:
    """All of it; the kills are shared out among the commands.

    Args:
        names: Keys of `COMMANDS`.
        kills: At random times, in all.
        seed: Of the times.
        how: `kill`, `term` or `int`.
        every: Kill at each write (1), at each n-th, or at none (0).
        root: A folder to work in.
    """
    rows = []
    for number, name in enumerate(names):
        share = kills // len(names) + (number < kills % len(names))
        bench = Bench.of(name, root)
        found = [at_random(bench, share, random.Random(f"{seed} {name}"), how)] if share else []
        found += [at_writes(bench, every)] if every else []
        for row in found:
            sys.stdout.write(f"{row}\n")
            sys.stdout.flush()
        rows += found
    return rows


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--command", action="append", choices=list(COMMANDS), help="default: all")
    parser.add_argument("--kills", type=int, default=KILLS, help="in all, at random times")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--how", choices=("kill", "term", "int"), default="kill")
    parser.add_argument("--every", type=int, default=0, help="N: kill at each N-th write, too")
    asked = parser.parse_args()
    head = ["command", asked.how, *_PHASES, "survived", "s"]
    sys.stdout.write(f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n")
    with TemporaryDirectory(prefix="wtal-chaos-") as folder:
        names = asked.command or list(COMMANDS)
        rows = campaign(names, asked.kills, asked.seed, asked.how, asked.every, Path(folder))
    faults = [fault for row in rows for fault in row.faults]
    total = sum(row.phases.total() for row in rows)
    sys.stdout.write("".join(f"{fault}\n" for fault in faults))
    sys.stdout.write(f"{total - len(faults)} of {total} survived\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
