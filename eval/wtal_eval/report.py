"""What a command runs: result files in, one printable and storable report out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wtal_eval.evaluation import Analyse, Evaluation, evaluate
from wtal_eval.faults import EvalError
from wtal_eval.io import read_annotations, write_json
from wtal_eval.protocols import Protocol, resolve
from wtal_eval.tables import as_text, row_names, spread


@dataclass(frozen=True)
class Report:
    """The evaluations of one command, one per result file."""

    evaluations: tuple[Evaluation, ...]

    def text(self, *, per_class: bool = False, every_count: bool = False) -> str:
        """The printed tables."""
        return as_text(self.evaluations, per_class=per_class, every_count=every_count)

    def to_json(self) -> dict[str, Any]:
        """The keys of `Evaluation.to_json`; of several files `runs`, each with its `file`.

        Beside them `mean` and `sd` (sample standard deviation) of each threshold and average.
        """
        if len(self.evaluations) == 1:
            return self.evaluations[0].to_json()
        names = row_names(self.evaluations)
        runs = [
            {"file": name} | e.to_json() for name, e in zip(names, self.evaluations, strict=True)
        ]
        figures = [
            {str(t): x for t, x in zip(e.tiou, e.map, strict=True)} | e.averages
            for e in self.evaluations
        ]
        mean, sd = spread(figures)
        return {"runs": runs, "mean": mean, "sd": sd}

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Write `to_json` to a file that appears whole or not at all.

        Raises:
            EvalError: if it cannot be written.
        """
        write_json(self.to_json(), path)


def run(
    detections: Sequence[str | os.PathLike[str]],
    annotations: str | os.PathLike[str],
    protocol: str | Protocol = "thumos14",
    *,
    video_scores: str | os.PathLike[str] | None = None,
    ceiling: str | None = None,
    analyse: Analyse | None = None,
    **overrides: Any,
) -> Report:
    """Evaluate result files, one after the other, against annotations that are read once.

    Args:
        detections: at least one result file.
        annotations: the annotation file or folder.
        protocol: a preset or a `Protocol`.
        video_scores: a file of scores per video and class; only beside a single result file.
        ceiling: a grid, see `evaluate`.
        analyse: makes the part `errors`, see `evaluate`.
        **overrides: options of the protocol; None leaves an option as it is.

    Raises:
        EvalError: for the first file or option that cannot be evaluated, in one sentence.
    """
    if not detections:
        raise EvalError("No result file was given; expected at least one.")
    if video_scores is not None and len(detections) > 1:
        raise EvalError(
            f"One file of video scores was given for {len(detections)} result files; expected one "
            f"result file beside it."
        )
    rules = resolve(protocol, overrides)
    truth = read_annotations(annotations)
    parts: dict[str, Any] = {"video_scores": video_scores, "ceiling": ceiling, "analyse": analyse}
    return Report(tuple(evaluate(path, truth, rules, **parts) for path in detections))
