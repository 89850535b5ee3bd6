"""What the evaluator says of the detections: mAP beside others, classes, errors, reliability.

Shapes: N detections that take part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wtal.report.data import (
    Bin,
    ClassResult,
    ErrorShare,
    MapRow,
    MapTable,
    Overview,
    Reliability,
)
from wtal.report.words import Words
from wtal.runs import result_file
from wtal_eval import Annotations, Detections, EvalError, Evaluation, evaluate, read_detections
from wtal_eval.averages import averages_over, headline_of
from wtal_eval.calibration import BINS, reliability
from wtal_eval.errors import KINDS, TRUE_POSITIVE, ErrorAnalysis, analyse
from wtal_eval.judging import judge
from wtal_eval.notes import Notes
from wtal_eval.protocols import Protocol, resolve
from wtal_eval.ranking import select_detections
from wtal_eval.truth import find_subset, select_truth

if TYPE_CHECKING:
    from wtal.calibration import Calibration

THIS = "this result"
BASELINES = {
    "whole_video": "whole video, true tags",
    "whole_video_predicted": "whole video, predicted tags",
}
OUTCOMES = {"true_positive": "right"} | {
    kind: kind.replace("_", " ") for kind in KINDS[TRUE_POSITIVE + 1 :]
}
TIOU = 0.5  # from which a detection counts as right where its confidence is judged


@dataclass(frozen=True)
class Judgement:
    """The overview without its costs, and the words about it.

    Attributes:
        overview: for the page.
        protocol: all switches.
        warnings: of the evaluator, and about choices that were made here.
    """

    overview: Overview
    protocol: Protocol
    warnings: tuple[str, ...]


def judge_result(
    words: Words,
    detections: Detections,
    annotations: Annotations,
    calibration: Calibration | None,
) -> Judgement:
    """Evaluate as `wtal eval` does.

    Args:
        words: protocol, subset and the results to compare with.
        detections: of the whole file.
        annotations: of all subsets.
        calibration: what the reliability is of; None: left out.

    Raises:
        EvalError: what cannot be evaluated.
    """
    rules, notes = choose_rules(words, detections, annotations)
    # The signature of an analysis is that of `analyse` without its options.
    evaluation = evaluate(detections, annotations, rules, analyse=analyse)
    rows = [MapRow(THIS, evaluation.map, evaluation.averages)]
    rows += [
        MapRow(BASELINES[name], row.map, row.averages)
        for name, row in evaluation.baselines.items()
        if name in BASELINES
    ]
    rows += [_other(name, path, annotations, rules) for name, path in words.versus]
    overview = Overview(
        map=MapTable(evaluation.tiou, tuple(rows)),
        ap_name=evaluation.headline[0],
        per_class=per_class(evaluation, detections, annotations),
        errors=error_shares(evaluation.errors),
        calibration=None
        if calibration is None
        else reliability_of(detections, annotations, rules, calibration),
    )
    return Judgement(overview, rules, (*notes, *evaluation.warnings))


def choose_rules(
    words: Words, detections: Detections, annotations: Annotations
) -> tuple[Protocol, list[str]]:
    """The protocol, with the subset and the strictness that the result asks for.

    Without --subset it is the protocol's own; if the result has no video of that, the one that all
    of its annotated videos belong to. A result that covers several subsets is not blamed for the
    detections in the others, as it is for those in videos that nobody annotated.

    Returns:
        The rules, and sentences about what differs from `wtal eval`.
    """
    rules = resolve(words.protocol or "thumos14", {"subset": words.subset})
    of_video = dict(zip(annotations.videos, annotations.subsets, strict=True))
    present = {of_video[video] for video in detections.videos if video in of_video}
    notes = []
    try:  # as the file spells it
        subset = find_subset(annotations, rules.subset, Notes())
        rules = resolve(rules, {"subset": subset})
    except EvalError:
        subset = ""
    if words.subset is None and subset not in present and len(present) == 1:
        (subset,) = present
        notes.append(f"The evaluated subset is '{subset}', the only one that the result covers.")
        rules = resolve(rules, {"subset": subset})
    if present - {subset}:
        others = ", ".join(f"'{name}'" for name in sorted(present - {subset}))
        notes.append(f"Detections in videos of other subsets ({others}) take no part.")
        rules = resolve(rules, {"unknown_videos": "ignore"})
    strange = set(detections.labels) - set(annotations.labels)
    if strange and strange != set(detections.labels):
        rules = resolve(rules, {"unknown_labels": "ignore"})
    return rules, notes


def _other(name: str, path: Path, annotations: Annotations, rules: Protocol) -> MapRow:
    """The mAP of another result under the same rules."""
    result = evaluate(read_detections(str(result_file(path))), annotations, rules)
    return MapRow(name, result.map, result.averages)


def per_class(
    evaluation: Evaluation, detections: Detections, annotations: Annotations
) -> tuple[ClassResult, ...]:
    """The figure to quote, class by class; classes that are detected and not annotated, too."""
    rules = evaluation.protocol
    found = []
    for one in evaluation.per_class:
        averages = averages_over(evaluation.tiou, one.ap)
        _, ap = headline_of(rules.headline, evaluation.tiou, one.ap, averages)
        found.append(ClassResult(one.label, ap, one.npos, one.detections))
    judged = {one.label for one in found}
    of_video = dict(zip(annotations.videos, annotations.subsets, strict=True))
    inside_V = np.array([of_video.get(v) == rules.subset for v in detections.videos], bool)
    label = detections.label[inside_V[detections.video]]
    count = np.bincount(label, minlength=len(detections.labels)).tolist()
    found += [
        ClassResult(label, None, 0, number)
        for label, number in zip(detections.labels, count, strict=True)
        if label not in judged and number
    ]
    return tuple(sorted(found, key=lambda one: one.label))


def error_shares(found: Any) -> tuple[ErrorShare, ...]:
    """What the best detections are, what each error costs, and what was missed."""
    assert isinstance(found, ErrorAnalysis)  # what `analyse` makes
    kept = max(1, found.kept)
    cost: Mapping[str, float] = found.plain.mended
    shares = [
        ErrorShare(words, found.counts[kind] / kept, cost.get(kind))
        for kind, words in OUTCOMES.items()
    ]
    return (*shares, ErrorShare("missed (of annotated)", found.missed.share, cost["missed"]))


def reliability_of(
    detections: Detections, annotations: Annotations, rules: Protocol, calibration: Calibration
) -> Reliability:
    """Confidence beside the share of detections that are right at tIoU 0.5.

    The scores decide who finds an instance first, as in the evaluation: confidences may tie where
    scores do not.
    """
    truth = select_truth(annotations, rules, Notes())
    ranking = select_detections(detections, annotations, truth, rules, Notes())
    judged = judge(ranking, truth, rules, (TIOU,))
    hit = judged.found[0] >= 0
    stays = hit | ~judged.ignored
    confidence_N = calibration.confidence(judged.score[stays])
    # Binned by confidence: equal ones are one claim.
    bins = reliability(confidence_N, confidence_N, hit[stays], BINS)
    note = f"{len(confidence_N)} detections of subset '{rules.subset}', right from tIoU {TIOU} on"
    return Reliability(
        tuple(Bin(one.probability, one.precision, one.detections) for one in bins), note
    )


def headline(rows: Sequence[MapRow], ap_name: str) -> str:
    """The figure to quote of this result and of the trivial one, in a few words.

    Example:
        >>> rows = [MapRow("this result", (), {"0.1:0.7": 0.5}), MapRow("b", (), {"0.1:0.7": 0.1})]
        >>> headline(rows, "0.1:0.7")
        'mAP 0.1:0.7 50.0 (b: 10.0)'
    """
    figures = [f"{100 * row.averages[ap_name]:.1f}" for row in rows if ap_name in row.averages]
    if not figures:
        return ""
    beside = f" ({rows[1].name}: {figures[1]})" if len(figures) > 1 else ""
    return f"mAP {ap_name} {figures[0]}{beside}"
