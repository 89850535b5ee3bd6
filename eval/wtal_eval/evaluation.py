"""From two files to one `Evaluation`: read, select, match, average, compare with the trivial."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from wtal_eval import __version__
from wtal_eval.average_precision import Scores
from wtal_eval.averages import averages_over, headline_of
from wtal_eval.baselines import whole_videos
from wtal_eval.classification import VideoLevel, given_scores, video_level
from wtal_eval.columns import Annotations, Detections
from wtal_eval.io import Source, read_annotations, read_detections, read_video_scores
from wtal_eval.notes import Notes
from wtal_eval.protocols import Protocol, resolve
from wtal_eval.ranking import Ranking, select_detections
from wtal_eval.scoring import score
from wtal_eval.segments import Floats
from wtal_eval.truth import Truth, select_truth

DetectionSource: TypeAlias = Source | Detections
AnnotationSource: TypeAlias = Source | Annotations


class Analysis(typing.Protocol):
    """Whatever the part `errors` holds."""

    def to_json(self) -> dict[str, Any]:
        """The part as plain lists, dicts, text and numbers."""
        ...

    def text(self) -> str:
        """The part as tables for a terminal."""
        ...


Analyse: TypeAlias = Callable[[Ranking, Truth, Protocol], Analysis]


@dataclass(frozen=True)
class ClassResult:
    """One class: AP and recall per threshold, as fractions."""

    label: str
    npos: int
    detections: int
    ap: tuple[float, ...]
    recall: tuple[float, ...]


@dataclass(frozen=True)
class Baseline:
    """A trivial prediction under the same protocol."""

    map: tuple[float, ...]
    averages: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """Everything one evaluation found; all figures are fractions.

    Attributes:
        source: name of the result file.
        version: of the evaluator.
        protocol: every switch, resolved.
        counts: videos, instances, classes, detections read, kept, on unknown videos, and so on.
        tiou: (J,) thresholds.
        map: (J,) mean average precision.
        averages: name of an average -> value, for those that the thresholds cover.
        headline: name and value of the figure to quote.
        per_class: in alphabetical order.
        video_level: classification of videos; None without any score.
        baselines: `whole_video` (true tags) and `whole_video_predicted`, where there are durations
            and, for the second, video scores; `ceiling_outward` and `ceiling_rounded` on request.
        errors: what `analyse` made of it; None without.
        warnings: one line per kind, with a count.
    """

    source: str
    version: str
    protocol: Protocol
    counts: dict[str, int | str]
    tiou: tuple[float, ...]
    map: tuple[float, ...]
    averages: dict[str, float]
    headline: tuple[str, float]
    per_class: tuple[ClassResult, ...]
    video_level: VideoLevel | None
    baselines: dict[str, Baseline]
    errors: Analysis | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The stable keys of `--json`, as plain lists, dicts, text and numbers."""
        return {
            "version": self.version,
            "protocol": self.protocol.to_json(),
            "counts": dict(self.counts),
            "tiou": list(self.tiou),
            "map": list(self.map),
            "averages": dict(self.averages),
            "headline": {"name": self.headline[0], "value": self.headline[1]},
            "per_class": [
                {
                    "label": one.label,
                    "npos": one.npos,
                    "detections": one.detections,
                    "ap": list(one.ap),
                    "recall": list(one.recall),
                }
                for one in self.per_class
            ],
            "video_level": self.video_level.to_json() if self.video_level else None,
            "baselines": {
                name: {"map": list(row.map), "averages": dict(row.averages)}
                for name, row in self.baselines.items()
            },
            "errors": None if self.errors is None else self.errors.to_json(),
            "warnings": list(self.warnings),
        }


def evaluate(
    detections: DetectionSource,
    annotations: AnnotationSource,
    protocol: str | Protocol = "thumos14",
    *,
    video_scores: Source | None = None,
    ceiling: str | None = None,
    analyse: Analyse | None = None,
    **overrides: Any,
) -> Evaluation:
    """Evaluate detections against annotations.

    Args:
        detections: a result file, a mapping of its form or of arrays, or `Detections`.
        annotations: an annotation file or folder, a mapping of its form, or `Annotations`.
        protocol: a preset, such as `thumos14` or `activitynet`, or a `Protocol`.
        video_scores: a file or mapping of scores per video and class, in place of those of the
            result file.
        ceiling: a grid such as `16/25`, to see what detections on it can reach at most.
        analyse: makes the part `errors` from the detections that take part, the truth (both in
            seconds) and the protocol.
        **overrides: options of the protocol, see `Protocol`; None leaves an option as it is.

    Raises:
        EvalError: for input that cannot be evaluated, in one sentence.

    Example:
        >>> jump = {"label": "Jump", "segment": [0, 10]}
        >>> truth = {"database": {"v": {"subset": "test", "annotations": [jump]}}}
        >>> found = {"results": {"v": [{"label": "Jump", "score": 0.9, "segment": [0, 4]}]}}
        >>> result = evaluate(found, truth, tiou=(0.4, 0.5))
        >>> result.map
        (1.0, 0.0)
    """
    rules = resolve(protocol, overrides)
    notes = Notes()
    if rules.diagnostics():
        named = ", ".join(f"{name}={value}" for name, value in rules.diagnostics().items())
        notes.warnings.append(f"Diagnosis only, the detections were changed: {named}.")
    if not isinstance(annotations, Annotations):
        annotations = read_annotations(annotations)
    if not isinstance(detections, Detections):
        detections = read_detections(detections, annotations.class_ids)
    given = detections.video_scores if video_scores is None else read_video_scores(video_scores)
    truth = select_truth(annotations, rules, notes)
    ranking = select_detections(detections, annotations, truth, rules, notes)
    scores = score(ranking, truth, rules)
    map_J = _floats(scores.map)
    averages = averages_over(rules.tiou, map_J)
    score_VL = None if given is None else given_scores(given, truth)
    return Evaluation(
        source=detections.source,
        version=__version__,
        protocol=rules,
        counts=notes.counts,
        tiou=rules.tiou,
        map=map_J,
        averages=averages,
        headline=headline_of(rules.headline, rules.tiou, map_J, averages),
        per_class=_per_class(truth, scores),
        video_level=video_level(score_VL, ranking, truth, rules, notes),
        baselines=_trivial_rows(score_VL, ceiling, truth, rules, notes),
        errors=None if analyse is None else analyse(ranking, truth, rules),
        warnings=tuple(notes.warnings),
    )


def _per_class(truth: Truth, scores: Scores) -> tuple[ClassResult, ...]:
    return tuple(
        ClassResult(
            label=label,
            npos=int(scores.npos[c]),
            detections=int(scores.detections[c]),
            ap=_floats(scores.ap[c]),
            recall=_floats(scores.recall[c]),
        )
        for c, label in enumerate(truth.classes)
    )


def _floats(values: Floats) -> tuple[float, ...]:
    return tuple(values.tolist())


def _trivial_rows(
    score_VL: Floats | None, ceiling: str | None, truth: Truth, rules: Protocol, notes: Notes
) -> dict[str, Baseline]:
    """Whole videos, and with `ceiling` the instances on a grid, under the same protocol."""
    rankings = whole_videos(score_VL, truth, notes)
    if ceiling is not None:
        from wtal_eval.ceiling import ceilings

        rankings |= {f"ceiling_{name}": row for name, row in ceilings(truth, ceiling).items()}
    rows = {}
    for name, ranking in rankings.items():
        map_J = _floats(score(ranking, truth, rules).map)
        rows[name] = Baseline(map_J, averages_over(rules.tiou, map_J))
    return rows
