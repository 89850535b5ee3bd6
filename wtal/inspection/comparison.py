"""Figures of one or two runs, as a table and as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wtal.inspection.separation import FIGURES
from wtal_features.files import atomic_write


@dataclass(frozen=True)
class Comparison:
    """Figures of one or two runs on the same points."""

    runs: tuple[str, ...]
    figures: tuple[Mapping[str, float | None], ...]
    seed: int
    space: str
    notes: tuple[str, ...]  # sentences: which points, what was left out

    def text(self) -> str:
        """A table: a row per figure, a column per run, and the difference of two."""
        head = ["figure", *self.runs, *(["difference"] if len(self.runs) == 2 else [])]
        rows = [head]
        for key, name in FIGURES.items():
            values = [figures[key] for figures in self.figures]
            cells = ["-" if value is None else f"{value:.4f}" for value in values]
            if len(values) == 2:
                gap = _difference(values)
                cells.append("-" if gap is None else f"{gap:+.4f}")
            rows.append([name, *cells])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in rows
        ]
        return "\n".join([*self.notes, "", *lines]) + "\n"

    def as_json(self) -> dict[str, Any]:
        """The same for a program."""
        figures: dict[str, Any] = {}
        for key in FIGURES:
            values = [each[key] for each in self.figures]
            figures[key] = {"values": values}
            if len(values) == 2:
                figures[key]["difference"] = _difference(values)
        return {
            "runs": list(self.runs),
            "space": self.space,
            "seed": self.seed,
            "notes": list(self.notes),
            "figures": figures,
        }


def write_json(comparison: Comparison, path: Path) -> None:
    """The figures as a file."""
    with atomic_write(path) as file:
        file.write(json.dumps(comparison.as_json(), indent=1, ensure_ascii=False).encode() + b"\n")


def _difference(values: Sequence[float | None]) -> float | None:
    """The first less the second, where both exist."""
    one, other = values
    return None if one is None or other is None else one - other
