"""A whole diagnosis: the errors, where they happen, what the scores are worth; and its plots."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from wtal_eval import calibration, sensitivity
from wtal_eval.averages import averages_over, headline_of
from wtal_eval.calibration import Calibration
from wtal_eval.errors import ErrorAnalysis, ErrorTies, analyse
from wtal_eval.evaluation import AnnotationSource, DetectionSource, evaluate
from wtal_eval.judging import thresholds_of
from wtal_eval.protocols import Protocol
from wtal_eval.ranking import Ranking
from wtal_eval.scoring import score
from wtal_eval.sensitivity import Sensitivity
from wtal_eval.truth import Truth


@dataclass(frozen=True)
class Diagnosis:
    """All of it: what the errors are, on which instances they happen, what the scores are worth."""

    errors: ErrorAnalysis
    sensitivity: Sensitivity
    calibration: Calibration

    def to_json(self) -> dict[str, Any]:
        """The fields of the error analysis, `sensitivity` and `calibration`."""
        return self.errors.to_json() | {
            "sensitivity": self.sensitivity.to_json(),
            "calibration": self.calibration.to_json(),
        }

    def text(self) -> str:
        """The tables of all three, a blank line between them."""
        return "\n".join([self.errors.text(), self.sensitivity.text(), self.calibration.text()])


def diagnose(
    detections: DetectionSource,
    annotations: AnnotationSource,
    protocol: str | Protocol = "thumos14",
    *,
    error_ties: ErrorTies = "own",
    **overrides: Any,
) -> Diagnosis:
    """Why a detector fails: its errors, where they happen, and what its scores are worth.

    Args:
        detections: a result file, a mapping of its form or of arrays, or `Detections`.
        annotations: an annotation file or folder, a mapping of its form, or `Annotations`.
        protocol: a preset, or a `Protocol`.
        error_ties: see `errors.analyse`.
        **overrides: options of the protocol; None leaves an option as it is.

    Raises:
        EvalError: for input that cannot be evaluated, in one sentence.

    Example:
        >>> jump = {"label": "Jump", "segment": [0, 10]}
        >>> truth = {"database": {"v": {"subset": "test", "annotations": [jump]}}}
        >>> found = {"results": {"v": [{"label": "Jump", "score": 0.9, "segment": [0, 4]}]}}
        >>> diagnose(found, truth).errors.counts["localization"]
        1.0
    """
    judge = partial(diagnose_ranking, error_ties=error_ties)
    found = evaluate(detections, annotations, protocol, analyse=judge, **overrides).errors
    assert isinstance(found, Diagnosis)  # what `judge` makes
    return found


def diagnose_ranking(
    ranking: Ranking, truth: Truth, protocol: Protocol, *, error_ties: ErrorTies = "own"
) -> Diagnosis:
    """Errors, sensitivity and calibration, all at the thresholds of a diagnosis.

    It has the form that `evaluate(..., analyse=diagnose_ranking)` asks for. The calibration is
    that at the lowest of the thresholds, .5.

    Args:
        ranking: the detections that take part.
        truth: the evaluated subset.
        protocol: its rules.
        error_ties: see `analyse`.
    """
    lowest = min(thresholds_of(protocol))
    return Diagnosis(
        analyse(ranking, truth, protocol, error_ties=error_ties),
        sensitivity.analyse(ranking, truth, protocol),
        calibration.analyse(ranking, truth, protocol, tiou=lowest),
    )


def headline_per_class(
    ranking: Ranking, truth: Truth, protocol: Protocol
) -> tuple[str, dict[str, float]]:
    """Name of the figure to quote, and its value for every class; their mean is that figure."""
    rules, ap_CJ = protocol, score(ranking, truth, protocol).ap.tolist()
    found = [
        headline_of(rules.headline, rules.tiou, ap_J, averages_over(rules.tiou, ap_J))
        for ap_J in ap_CJ
    ]
    name = "mean over all thresholds" if found[0][0] == "all" else found[0][0]
    return name, dict(zip(truth.classes, (value for _, value in found), strict=True))


def draw(
    found: Diagnosis, ranking: Ranking, truth: Truth, protocol: Protocol, folder: Path
) -> list[Path]:
    """Write the five pictures of a diagnosis into a folder that exists.

    Args:
        found: the diagnosis.
        ranking: the detections it is of.
        truth: the evaluated subset.
        protocol: its rules.
        folder: gets precision_recall, class_ap, error_profile, sensitivity and reliability, as PNG.

    Raises:
        EvalError: matplotlib is missing, or a file cannot be written.
    """
    from wtal_eval import plots

    lowest = min(thresholds_of(protocol))
    name, ap = headline_per_class(ranking, truth, protocol)
    curves = calibration.precision_recall(ranking, truth, protocol, tiou=lowest)
    return [
        plots.precision_recall(curves, folder / "precision_recall.png", tiou=lowest),
        plots.class_bars(ap, folder / "class_ap.png", title=f"AP per class, {name}"),
        plots.error_profile(found.errors, folder / "error_profile.png"),
        plots.sensitivity_bars(found.sensitivity, folder / "sensitivity.png"),
        plots.reliability(found.calibration, folder / "reliability.png"),
    ]
