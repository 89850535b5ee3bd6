"""The table of an ablation: mean and sd over seeds, and paired differences to a baseline."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.stats import t as student

from wtal_eval.faults import printable

TIOU = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7")
HEADLINE = "0.1:0.7"
AVERAGES = ("0.1:0.5", HEADLINE, "0.3:0.7", "0.1:0.9")
VIDEO = "video mAP"
COLUMNS = (*TIOU, *AVERAGES, VIDEO)
CONFIDENCE = 0.95

Figures = Mapping[str, float]  # column -> fraction; one that is not defined is left out


@dataclass(frozen=True)
class TableRow:
    """The results of one row.

    Args:
        label: its name.
        runs: seed -> figures, for the seeds that are done.
        minutes: what the training of each run took, where that is known.
        source: how the row is written on the command line.
    """

    label: str
    runs: Mapping[int, Figures]
    minutes: Sequence[float] = ()
    source: str = ""

    def values(self, column: str) -> list[float]:
        """Of every seed that has one."""
        return [figures[column] for figures in self.runs.values() if column in figures]


@dataclass(frozen=True)
class Difference:
    """Mean of the differences between two rows, and half of its 95 % interval."""

    mean: float
    half: float | None  # None for a single seed
    seeds: tuple[int, ...]  # that both rows have


@dataclass(frozen=True)
class Table:
    """Everything that is printed.

    Args:
        rows: in their order.
        trivial: the whole-video row, over the same seeds; without runs where it is not defined.
        baseline: which row the others are compared with.
        seeds: all that were asked for.
        notes: lines below the table.
    """

    rows: Sequence[TableRow]
    trivial: TableRow
    baseline: int
    seeds: Sequence[int]
    notes: Sequence[str]

    def markdown(self) -> str:
        """In percent, with a mean and a standard deviation in each cell."""
        base = self.rows[self.baseline]
        heads = ["row", *COLUMNS, f"{HEADLINE} of seeds {_listed(self.seeds)}"]
        heads += [f"difference of {HEADLINE} to {_cell(base.label)}", "train minutes"]
        lines = [_line(heads), "|---" * len(heads) + "|"]
        if self.trivial.runs:
            cells = [_means(self.trivial.values(column)) for column in COLUMNS]
            lines.append(_line([self.trivial.label, *cells, "", "", ""]))
        for row in self.rows:
            cells = [_mean_and_sd(row.values(column)) for column in COLUMNS]
            each = [_percent(row.runs[s][HEADLINE]) if s in row.runs else "-" for s in self.seeds]
            compared = "" if row is base else _difference(paired(row, base))
            minutes = f"{statistics.median(row.minutes):.1f}" if row.minutes else "-"
            lines.append(_line([_cell(row.label), *cells, _listed(each), compared, minutes]))
        return "\n".join(lines) + "\n\n" + "".join(f"{note}\n\n" for note in self.notes)

    def to_json(self) -> dict[str, Any]:
        """The same as plain lists, dicts, text and numbers; figures are fractions."""
        base = self.rows[self.baseline]
        rows = []
        for row in self.rows:
            compared = None if row is base else paired(row, base)
            difference = {"difference": None if compared is None else asdict(compared)}
            rows.append(_row_json(row) | difference)
        return {
            "seeds": list(self.seeds),
            "headline": HEADLINE,
            "baseline": base.label,
            "confidence": CONFIDENCE,
            "rows": rows,
            "trivial": _row_json(self.trivial) if self.trivial.runs else None,
            "notes": list(self.notes),
        }


def figures_of(result: Mapping[str, Any]) -> dict[str, float]:
    """The columns of a stored result, or of its trivial row."""
    found = {name: result["map"].get(name) for name in TIOU}
    found |= {name: result["averages"].get(name) for name in AVERAGES}
    found[VIDEO] = result.get("video_map")
    return {name: value for name, value in found.items() if value is not None}


def sd_of(values: Sequence[float]) -> float | None:
    """Sample standard deviation (n - 1); None for a single value.

    Example:
        >>> sd_of([1.0, 2.0, 3.0])
        1.0
    """
    return statistics.stdev(values) if len(values) > 1 else None


def paired(row: TableRow, base: TableRow) -> Difference | None:
    """Difference of the headline over the seeds that both rows have; None if there are none.

    The interval is Student's t over the differences. Runs of one seed share the first weights and
    the videos that are held out, so that part of what the seeds differ by cancels.
    """
    seeds = tuple(seed for seed in row.runs if seed in base.runs)
    values = [row.runs[seed][HEADLINE] - base.runs[seed][HEADLINE] for seed in seeds]
    if not values:
        return None
    sd, n = sd_of(values), len(values)
    if sd is None:
        return Difference(values[0], None, seeds)
    quantile = float(student.ppf((1 + CONFIDENCE) / 2, n - 1))
    return Difference(statistics.mean(values), quantile * sd / math.sqrt(n), seeds)


def _row_json(row: TableRow) -> dict[str, Any]:
    return {
        "label": row.label,
        "row": row.source,
        "seeds": list(row.runs),
        "figures": {column: _figure_json(row.values(column)) for column in COLUMNS},
        "train_minutes": statistics.median(row.minutes) if row.minutes else None,
    }


def _figure_json(values: list[float]) -> dict[str, Any] | None:
    if not values:
        return None
    return {"mean": statistics.mean(values), "sd": sd_of(values), "each": values}


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(label: str) -> str:
    return printable(label).replace("|", "\\|")


def _listed(items: Sequence[object]) -> str:
    return ", ".join(map(str, items))


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _means(values: Sequence[float]) -> str:
    return _percent(statistics.mean(values)) if values else ""


def _mean_and_sd(values: Sequence[float]) -> str:
    """`61.2 ± 0.8`."""
    sd = sd_of(values)
    return _means(values) if sd is None else f"{_means(values)} ± {_percent(sd)}"


def _difference(found: Difference | None) -> str:
    """`+0.31 ± 0.55`."""
    if found is None:
        return "-"
    half = "" if found.half is None else f" ± {100 * found.half:.2f}"
    return f"{100 * found.mean:+.2f}{half}"
