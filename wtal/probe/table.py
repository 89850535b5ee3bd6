"""The table: the figures of each encoder on a line, in percent, and those of chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wtal.probe.figures import Row, over_seeds
from wtal.probe.sets import Sets
from wtal_features.probing.retrieval import KS

CHANCE = "chance"  # the name of the last row


@dataclass(frozen=True)
class Table:
    """Rows of one width, so that they can be printed as they come.

    Attributes:
        names: Of all rows.
        columns: `linear`, `fine-tuned`: what stands behind the recalls.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]

    def head(self) -> str:
        """The titles."""
        return self._line("encoder", [f"R@{k}" for k in KS], self.columns)

    def row(self, row: Row) -> str:
        """One encoder, in percent."""
        values = {
            "linear": [result.accuracy for result in row.linear],
            "fine-tuned": [result.accuracy for result in row.finetuned],
        }
        tops = [_percent(over_seeds(values[column]) or {}) for column in self.columns]
        return self._line(row.name, [f"{100 * row.recalls[k]:.1f}" for k in KS], tops)

    def chance(self, sets: Sets) -> str:
        """What no encoder should stay below."""
        found, top = sets.chance_recalls(), f"{100 * sets.chance():.1f}"
        cells = [f"{100 * found[k]:.1f}" for k in KS]
        return self._line(CHANCE, cells, [top] * len(self.columns))

    def _line(self, name: str, found: Sequence[str], tops: Sequence[str]) -> str:
        width = max(map(len, (*self.names, CHANCE, "encoder")))
        cells = [*(f"{cell:>6}" for cell in found), *(f"{top:>12}" for top in tops)]
        return " ".join([name.ljust(width), *cells]).rstrip()


def _percent(value: Mapping[str, Any]) -> str:
    """`70.2 +- 0.3`; without the spread where there is one seed."""
    if value["sd"] is None:
        return f"{100 * value['mean']:.1f}"
    return f"{100 * value['mean']:.1f} +- {100 * value['sd']:.1f}"
