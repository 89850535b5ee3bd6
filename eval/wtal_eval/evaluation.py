"""From two files to one `Evaluation`: read, select, match, average, compare with the trivial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from wtal_eval import __version__
from wtal_eval.average_precision import Scores, mean_average_precision
from wtal_eval.baselines import predicted_tags, true_tags, whole_video
from wtal_eval.classification import (
    VideoLevel,
    classify,
    derived_scores,
    given_scores,
    true_labels,
)
from wtal_eval.columns import Annotations, Detections
from wtal_eval.io import Source, read_annotations, read_detections
from wtal_eval.notes import Notes
from wtal_eval.protocols import AVERAGES, Protocol, resolve
from wtal_eval.ranking import Ranking, select_detections
from wtal_eval.segments import Floats
from wtal_eval.truth import Truth, select_truth

DetectionSource: TypeAlias = Source | Detections
AnnotationSource: TypeAlias = Source | Annotations


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
            and, for the second, video scores.
        errors: None; the place of the error analysis in the JSON.
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
    errors: None
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
            "errors": self.errors,
            "warnings": list(self.warnings),
        }


def evaluate(
    detections: DetectionSource,
    annotations: AnnotationSource,
    protocol: str | Protocol = "thumos14",
    **overrides: Any,
) -> Evaluation:
    """Evaluate detections against annotations.

    Args:
        detections: a result JSON, a mapping of its form, or `Detections`.
        annotations: an annotation JSON, a mapping of its form, or `Annotations`.
        protocol: a preset, `thumos14` or `activitynet`, or a `Protocol`.
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
    if not isinstance(annotations, Annotations):
        annotations = read_annotations(annotations)
    if not isinstance(detections, Detections):
        detections = read_detections(detections)
    notes = Notes()
    truth = select_truth(annotations, rules, notes)
    ranking = select_detections(detections, annotations, truth, rules, notes)
    scores = _score(ranking, truth, rules)
    score_VL = (
        None if detections.video_scores is None else given_scores(detections.video_scores, truth)
    )
    map_J = _floats(scores.map)
    averages = averages_over(rules.tiou, map_J)
    return Evaluation(
        source=detections.source,
        version=__version__,
        protocol=rules,
        counts=notes.counts,
        tiou=rules.tiou,
        map=map_J,
        averages=averages,
        headline=_headline(rules, map_J, averages),
        per_class=_per_class(truth, scores),
        video_level=_video_level(score_VL, ranking, truth, rules, notes),
        baselines=_baselines(score_VL, truth, rules, notes),
        errors=None,
        warnings=tuple(notes.warnings),
    )


def averages_over(tiou: Sequence[float], map_J: Sequence[float]) -> dict[str, float]:
    """The averages of `AVERAGES` that the thresholds cover.

    Thresholds count as the same within 1e-9: a grid of floats that are not the decimals as written
    has its own mAP, and yet the same averages.
    """
    found = {}
    for name, members in AVERAGES.items():
        at = [[j for j, t in enumerate(tiou) if abs(t - member) < 1e-9] for member in members]
        if all(at):
            found[name] = float(np.mean([map_J[js[0]] for js in at]))
    return found


def _score(ranking: Ranking, truth: Truth, rules: Protocol) -> Scores:
    return mean_average_precision(
        ranking.segments,
        ranking.score,
        truth.instances,
        len(truth.classes),
        rules.tiou,
        ties=rules.ties,
        zero_union=rules.zero_union,
    )


def _headline(
    rules: Protocol, map_J: tuple[float, ...], averages: dict[str, float]
) -> tuple[str, float]:
    if rules.headline in averages:
        return rules.headline, averages[rules.headline]
    return "all", float(np.mean(map_J))  # a grid of the user's own: the mean over it


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


def _video_level(
    score_VL: Floats | None, ranking: Ranking, truth: Truth, rules: Protocol, notes: Notes
) -> VideoLevel | None:
    derived = score_VL is None
    if score_VL is None:
        score_VL = derived_scores(ranking, truth)
    unscored = int(np.isnan(score_VL).all(axis=1).sum())
    if unscored == len(truth.videos):
        return None
    if not derived:
        notes.warn(unscored, "video has no video_scores", "videos have no video_scores")
    interpolated = rules.video_ap == "interpolated"
    return classify(score_VL, true_labels(truth), derived=derived, interpolated=interpolated)


def _baselines(
    score_VL: Floats | None, truth: Truth, rules: Protocol, notes: Notes
) -> dict[str, Baseline]:
    tags = {"whole_video": true_tags(truth)}
    if score_VL is not None:
        tags["whole_video_predicted"] = predicted_tags(score_VL, truth)
    unknown = int((~(truth.durations[np.unique(truth.instances.video)] > 0)).sum())
    rows = {}
    for name, pairs in tags.items():
        ranking = whole_video(pairs, truth)
        if ranking is not None:
            map_J = _floats(_score(ranking, truth, rules).map)
            rows[name] = Baseline(map_J, averages_over(rules.tiou, map_J))
    if "whole_video" not in rows:
        notes.warnings.append("No annotated video has a duration: no whole-video baseline.")
    else:
        notes.warn(
            unknown,
            "annotated video has no duration: the whole-video baseline lacks it",
            "annotated videos have no duration: the whole-video baseline lacks them",
        )
    return rows


def _floats(values: Floats) -> tuple[float, ...]:
    return tuple(values.tolist())
