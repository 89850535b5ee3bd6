"""Which detections the page holds, and on which scale it shows them.

Shapes: N detections of the file, V videos of the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wtal.report.data import Found, Measure
from wtal_eval import Detections
from wtal_eval.columns import codes_of

if TYPE_CHECKING:
    from wtal.calibration import Calibration

SHOWN_PER_VIDEO = 5  # on average, where the slider starts if few or none are known to be sure
DIGITS = 4

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Choice:
    """The detections of the page.

    Attributes:
        found: their columns.
        measure: what their score is.
        threshold: where the slider starts.
        sure: the confidence from which on a detection is sure; None: none is, or nothing is known.
        cut: detections beyond the best of their video.
        outside: detections outside their video.
    """

    found: Found
    measure: Measure
    threshold: float
    sure: float | None
    cut: int
    outside: int


def choose(
    detections: Detections,
    names: Sequence[str],
    classes: Sequence[str],
    durations: Mapping[str, float],
    *,
    top: int,
    calibration: Calibration | None,
) -> Choice:
    """The best detections of each video, cut to [0, duration], by video and then by start.

    Args:
        detections: of the whole file.
        names: V videos of the page, in its order; those without a place in the results do not
            count where detections per video are reckoned.
        classes: labels of the page, in its order.
        durations: video -> seconds, where known.
        top: so many of a video at most; of equal scores the first of the file.
        calibration: from scores to confidences; None: the scores are shown.
    """
    V = len(names)
    code_of = codes_of(detections.videos, {name: v for v, name in enumerate(names)}, V)
    video_N: Ints = code_of[detections.video].astype(np.int64)
    length_V = np.array([*(durations.get(name, np.inf) for name in names), np.inf])
    length_N = length_V[video_N]
    here_N = video_N < V
    inside_N = here_N & (detections.end >= 0) & (detections.start < length_N)
    rows = np.flatnonzero(inside_N)
    best = _best(video_N[rows], detections.score[rows], top)
    cut, rows = len(rows) - len(best), rows[best]
    start, end = detections.start[rows], detections.end[rows]
    start, end = np.maximum(start, 0.0), np.minimum(end, length_N[rows])
    label_of = codes_of(detections.labels, {name: c for c, name in enumerate(classes)}, -1)
    label: Ints = label_of[detections.label[rows]].astype(np.int64)
    placed = len(placed_in(detections).intersection(names))
    scale = _scale(detections.score[rows], video_N[rows], placed, calibration)
    shown = scale.shown_N
    order = np.lexsort((-shown, label, end, start, video_N[rows]))
    found = Found(
        classes_N=label[order],
        starts_N=start[order].round(3),
        ends_N=end[order].round(3),
        scores_N=shown[order],
        first=tuple(np.searchsorted(video_N[rows][order], np.arange(V + 1)).tolist()),
    )
    outside = int((here_N & ~inside_N).sum())
    return Choice(found, scale.measure, scale.threshold, scale.sure, cut, outside)


def placed_in(detections: Detections) -> frozenset[str]:
    """The videos that have a place in the results, with detections or without."""
    return frozenset(detections.videos).union(detections.video_scores or ())


def _best(video_N: Ints, score_N: Floats, top: int) -> Ints:
    """Rows of the best of each video; of equal ones the first, for the sort is stable."""
    order = np.lexsort((-score_N, video_N))
    ordered = video_N[order]
    place = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    best: Ints = np.sort(order[place < top])
    return best


@dataclass(frozen=True)
class _Scale:
    """The scores as shown, what they are, where the slider starts, and from where on is sure."""

    shown_N: Floats
    measure: Measure
    threshold: float
    sure: float | None = None


def _scale(score_N: Floats, video_N: Ints, videos: int, calibration: Calibration | None) -> _Scale:
    """What the page shows of the scores; all of it is rounded alike."""
    if calibration is not None:
        return _sure_scale(score_N, video_N, videos, calibration)
    if not len(score_N):
        return _Scale(score_N, "score", 0.0)
    shown_N = score_N.round(digits_of(float(np.abs(score_N).max())))
    return _Scale(shown_N, "score", _few(shown_N, videos))


def _sure_scale(score_N: Floats, video_N: Ints, videos: int, calibration: Calibration) -> _Scale:
    """It starts at the sure ones, or lower where most videos would look empty without a reason."""
    shown_N = np.asarray(calibration.confidence(score_N), np.float64).round(DIGITS)
    start = round(float(calibration.confidence(np.array([calibration.threshold]))[0]), DIGITS)
    sure_N = score_N >= calibration.threshold
    sure = start if sure_N.any() else None
    if 2 * len(np.unique(video_N[sure_N])) < len(np.unique(video_N)):
        # A confidence of 0 says nothing: what has more comes first.
        likely_N = shown_N[shown_N > 0]
        start = min(start, _few(likely_N if len(likely_N) else shown_N, videos))
    return _Scale(shown_N, "confidence", start, sure)


def _few(shown_N: Floats, videos: int) -> float:
    """From where on about `SHOWN_PER_VIDEO` detections per video remain, on average.

    A calibration has steps, and the one at that rank may hold nearly everything: then the page
    begins above it, if the number shown is nearer to the wanted one there, as a ratio.
    """
    wanted = min(len(shown_N), SHOWN_PER_VIDEO * videos)
    value = float(np.sort(shown_N)[-wanted])
    above_N = shown_N[shown_N > value]
    with_it = int((shown_N >= value).sum())
    if len(above_N) * with_it > wanted**2:
        return float(above_N.min())
    return value


def digits_of(largest: float) -> int:
    """Decimals that scores are rounded to: four, and more where all of them are small.

    Example:
        >>> digits_of(12.0), digits_of(0.9), digits_of(0.02), digits_of(0.0)
        (4, 4, 5, 4)
    """
    if not 0 < largest < 0.1:
        return DIGITS
    return min(300, DIGITS - 1 - int(np.floor(np.log10(largest))))
