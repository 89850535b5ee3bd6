"""What an evaluation of retrieval found, as dataclasses, JSON and text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wtal_eval.faults import printable


@dataclass(frozen=True)
class TaskResult:
    """One figure of a paper and what it is the mean of. Figures are fractions.

    Attributes:
        name: the task, such as `DSVR`.
        ap: query -> average precision.
        positives: that divide, over these queries together.
        absent: positives that no list ranks, over these queries together; only CC_WEB_VIDEO counts
            them among `positives`.
        without_positives: queries left out of the mean, because nothing is there to be found.
        groups: event -> mean over its queries, where the protocol has events.
    """

    name: str
    ap: Mapping[str, float]
    positives: int
    absent: int
    without_positives: tuple[str, ...]
    groups: Mapping[str, float] = field(default_factory=dict)

    @property
    def map(self) -> float | None:
        """Mean over the queries; None if every one was left out."""
        return sum(self.ap.values()) / len(self.ap) if self.ap else None

    def to_json(self) -> dict[str, Any]:
        """The fields by name, and `map`."""
        return {
            "map": self.map,
            "queries": len(self.ap),
            "positives": self.positives,
            "absent": self.absent,
            "without_positives": list(self.without_positives),
            "groups": dict(self.groups),
            "ap": dict(self.ap),
        }


@dataclass(frozen=True)
class RetrievalResult:
    """Retrieval under one protocol.

    Attributes:
        source: the ranking file.
        version: of the evaluator.
        protocol: its name, with the subset if there is one.
        tasks: name -> result, in the order of the papers.
        counts: what was read.
        missing: queries of the truth that are not ranked, and so left out of every mean.
        warnings: what is worth knowing beside the figures, a sentence each.
    """

    source: str
    version: str
    protocol: str
    tasks: Mapping[str, TaskResult]
    counts: Mapping[str, int]
    missing: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields by name, for `json.dumps`."""
        return {
            "version": self.version,
            "protocol": self.protocol,
            "counts": dict(self.counts),
            "tasks": {name: task.to_json() for name, task in self.tasks.items()},
            "missing": list(self.missing),
            "warnings": list(self.warnings),
        }

    def text(self, *, per_query: bool = False) -> str:
        """The printed table in percent: a line per task, per event, and per query if wanted."""
        counts = self.counts
        lines = [
            f"{printable(self.protocol)}: {counts['queries']} of {counts['truth_queries']} queries "
            f"are ranked; {counts['videos']} videos",
            "",
        ]
        titles = [*self.tasks, *(name for task in self.tasks.values() for name in task.groups)]
        width = max(4, *(len(printable(title)) for title in titles)) + 2
        lines.append("task".ljust(width) + " mAP (%)  queries  positives  absent")
        for task in self.tasks.values():
            lines.append(
                f"{task.name:{width}}{_percent(task.map)}{len(task.ap):9d}{task.positives:11d}"
                f"{task.absent:8d}"
            )
            lines += _block("event", task.groups, width)
        if per_query:
            for task in self.tasks.values():
                lines += _block(f"query, AP (%) of {task.name}", task.ap, width)
        if self.warnings:
            lines.append("")
        lines += [f"warning: {printable(line)}" for line in self.warnings]
        return "\n".join(lines) + "\n"


def _block(title: str, figures: Mapping[str, float], width: int) -> list[str]:
    if not figures:
        return []
    rows = [f"{printable(name):{width}}{_percent(figure)}" for name, figure in figures.items()]
    return ["", title, *rows]


def _percent(fraction: float | None) -> str:
    return f"{'none':>8}" if fraction is None else f"{100 * fraction:8.2f}"
