"""How a figure is taken: measured and reference alternate in one run, and the median is reported.

Other work on the machine slows both sides of a pair alike, so a ratio survives what a single time
does not; the spread (smallest and largest) says how quiet it was.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from wtal.environment import describe
from wtal_features.files import atomic_write

Figures = Mapping[str, float]  # what one repeat gives, by name
WALL, CPU = "wall", "cpu"


@dataclass(frozen=True)
class Row:
    """One figure beside its reference."""

    name: str
    value: float  # median over the repeats
    unit: str
    reference: str
    reference_value: float  # median, of the same run
    ratio: float  # value / reference_value
    repeats: int
    spread: tuple[float, float]  # smallest and largest value
    machine: str


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Args:
        repeats: timed turns of each side.
        quick: sizes that take seconds: they show that a piece works, not how fast it is.
        machine: what the figures were taken on.
        quiet: no progress bar.
    """

    repeats: int
    quick: bool
    machine: str
    quiet: bool = False

    def alternate(
        self, works: Mapping[str, Callable[[], Figures]], *, label: str, warm_up: bool = True
    ) -> dict[str, dict[str, list[float]]]:
        """Run the works in turn; work -> figure -> one value per repeat.

        Args:
            works: what to run, by name.
            label: of the progress bar.
            warm_up: run each once before, uncounted.
        """
        if warm_up:
            for work in works.values():
                work()
        taken: dict[str, dict[str, list[float]]] = {name: {} for name in works}
        bar = tqdm(range(self.repeats), label, leave=False, disable=self.quiet or None)
        for _ in bar:
            for name, work in works.items():
                for figure, value in work().items():
                    taken[name].setdefault(figure, []).append(value)
        return taken

    def row(
        self,
        name: str,
        unit: str,
        values: Sequence[float],
        reference: str,
        reference_values: Sequence[float],
    ) -> Row:
        """Medians, their ratio, and the spread."""
        value, against = statistics.median(values), statistics.median(reference_values)
        spread = min(values), max(values)
        return Row(
            name,
            value,
            unit,
            reference,
            against,
            value / against,
            len(values),
            spread,
            self.machine,
        )


def timed(work: Callable[[], object]) -> Callable[[], Figures]:
    """The work as one that returns its wall time and the CPU time of all its threads, in s."""

    def run() -> Figures:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        return {WALL: time.perf_counter() - wall, CPU: time.process_time() - cpu}

    return run


def machine_and_versions() -> str:
    """Processor, threads, versions, commit, and the load that was there before."""
    about = describe({}, 0, "cpu")
    packages = ", ".join(f"{name} {about['packages'][name]}" for name in ("torch", "numpy"))
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return (
        f"{about['machine']}, {about['threads']} threads, load before {load}, "
        f"Python {about['python']}, {packages}, wtal {about['wtal']} ({about['commit']})"
    )


HEADER = f"{'figure':<80} {'value':>9} {'unit':<6} {'min .. max':<22} {'ratio':>7}  reference"


def line(row: Row) -> str:
    """One row of the printed table."""
    spread = f"{row.spread[0]:.4g} .. {row.spread[1]:.4g}"
    return (
        f"{row.name:<80} {row.value:>9.4g} {row.unit:<6} {spread:<22} {row.ratio:>7.3g}  "
        f"{row.reference_value:.4g} {row.unit}: {row.reference}"
    )


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows as a JSON list; the file appears whole or not at all."""
    with atomic_write(path) as file:
        file.write(json.dumps([asdict(row) for row in rows], indent=1).encode() + b"\n")
