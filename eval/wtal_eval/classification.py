"""How well videos are classified, with one score per video and class.

Legend: `V` videos of the subset, `C` classes of the subset, `L >= C` scored labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wtal_eval.average_precision import average_precision
from wtal_eval.columns import VideoScores
from wtal_eval.corrections import CLIFF_DIVING, DIVING
from wtal_eval.notes import Notes
from wtal_eval.protocols import Protocol
from wtal_eval.ranking import Ranking
from wtal_eval.segments import Bools, Floats
from wtal_eval.truth import Truth


@dataclass(frozen=True, eq=False)
class VideoLevel:
    """Video-level figures, as fractions.

    Attributes:
        derived: True if the scores were taken from the detections.
        map: mean over the classes of the AP of their ranking of videos.
        top1: share of videos whose best class is a true label.
        hit3: share of videos with some true label among the best three.
        avg_hit3: mean over videos of the share of true labels among the best three.
    """

    derived: bool
    map: float
    top1: float
    hit3: float
    avg_hit3: float

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {
            "derived": self.derived,
            "map": self.map,
            "top1": self.top1,
            "hit3": self.hit3,
            "avg_hit3": self.avg_hit3,
        }


def given_scores(video_scores: VideoScores, truth: Truth) -> Floats:
    """(V, L) scores of the file; NaN where a video has no score for a label.

    The first C columns are the classes. Other labels follow: no mean counts them, but they compete
    for the best places of a video.
    """
    others = sorted({label for scores in video_scores.values() for label in scores})
    column = {label: c for c, label in enumerate(dict.fromkeys((*truth.classes, *others)))}
    matrix_VL = np.full((len(truth.videos), len(column)), np.nan)
    for v, video in enumerate(truth.videos):
        for label, score in video_scores.get(video, {}).items():
            matrix_VL[v, column[label]] = score
    return matrix_VL


def derived_scores(ranking: Ranking, truth: Truth) -> Floats:
    """(V, C) largest detection score per video and class; NaN where there is no detection."""
    best_VC = np.full((len(truth.videos) + 1, len(truth.classes)), -np.inf)
    np.maximum.at(best_VC, (ranking.segments.video, ranking.segments.label), ranking.score)
    best_VC[np.isneginf(best_VC)] = np.nan
    return best_VC[:-1]  # the last row gathered the videos outside the subset


def raise_diving(score_VL: Floats, truth: Truth) -> Floats:
    """Scores with Diving raised to CliffDiving where that is larger, as ACM-Net classifies.

    THUMOS14 repeats every instance of CliffDiving as Diving. Without both classes nothing changes.
    """
    if not {CLIFF_DIVING, DIVING} <= set(truth.classes):
        return score_VL
    cliff, diving = truth.classes.index(CLIFF_DIVING), truth.classes.index(DIVING)
    raised = score_VL.copy()
    raised[:, diving] = np.fmax(raised[:, diving], raised[:, cliff])  # a number goes before NaN
    return raised


def true_labels(truth: Truth) -> Bools:
    """(V, C) True where the video holds an instance of the class."""
    labels_VC = np.zeros((len(truth.videos), len(truth.classes)), bool)
    labels_VC[truth.instances.video, truth.instances.label] = True
    return labels_VC


def classify(
    score_VL: Floats, labels_VC: Bools, *, derived: bool, interpolated: bool
) -> VideoLevel:
    """Rank videos for every class, and classes for every video.

    A video without a score for a class is not ranked in it, and so never found. Videos without any
    label are left out of the hits. A class without a positive video is not in the mean. Equal
    scores: the later video, but the earlier class, is first.

    Args:
        score_VL: NaN for no score; the first C columns are the classes.
        labels_VC: at least one class has a positive video.
        derived: whether the scores were taken from detections.
        interpolated: as ActivityNet; else the plain sum of the W-TALC family.
    """
    classes = labels_VC.shape[1]
    ap = [
        _video_ap(score_VL[:, c], labels_VC[:, c], interpolated=interpolated)
        for c in np.flatnonzero(labels_VC.any(axis=0))
    ]
    labelled = labels_VC.any(axis=1)
    score_VL, labels_VC = score_VL[labelled], labels_VC[labelled]
    best_VL = np.argsort(-score_VL, axis=1, kind="stable")[:, :3]  # NaN sorts last
    scored = ~np.isnan(np.take_along_axis(score_VL, best_VL, axis=1))
    extra = np.zeros((len(labels_VC), score_VL.shape[1] - classes), bool)
    hit = np.take_along_axis(np.hstack([labels_VC, extra]), best_VL, axis=1) & scored
    return VideoLevel(
        derived=derived,
        map=float(np.mean(ap)),
        top1=float(hit[:, 0].mean()),
        hit3=float(hit.any(axis=1).mean()),
        avg_hit3=float((hit.sum(axis=1) / labels_VC.sum(axis=1)).mean()),
    )


def video_level(
    score_VL: Floats | None, ranking: Ranking, truth: Truth, protocol: Protocol, notes: Notes
) -> VideoLevel | None:
    """Classification by the given scores, else by the best detections; None without any score."""
    derived = score_VL is None
    if score_VL is None:
        score_VL = derived_scores(ranking, truth)
    if protocol.cliff_as_diving == "video-scores":
        score_VL = raise_diving(score_VL, truth)
    unscored = int(np.isnan(score_VL).all(axis=1).sum())
    if unscored == len(truth.videos):
        return None
    if not derived:
        notes.warn(unscored, "video has no video_scores", "videos have no video_scores")
    interpolated = protocol.video_ap == "interpolated"
    return classify(score_VL, true_labels(truth), derived=derived, interpolated=interpolated)


def _video_ap(score: Floats, positive: Bools, *, interpolated: bool) -> float:
    scored = np.flatnonzero(~np.isnan(score))
    order = scored[np.argsort(score[scored], kind="stable")[::-1]]
    ranks = np.flatnonzero(positive[order]) + 1
    rule = "interpolated" if interpolated else "sum"
    return average_precision(ranks, int(positive.sum()), ap=rule)
