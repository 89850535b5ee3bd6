"""The obvious loops, which the benchmarks take as reference and the tests as a second opinion.

One class, one threshold, one proposal and one kept segment at a time, as public code for this task
does it. They follow the same definitions as wtal/localize.py and wtal_eval/nms.py, defaults only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Proposal(NamedTuple):
    """A run of points [start, end) of one class."""

    start: int
    end: int
    score: float  # outer-inner contrast


def curve(activation_T: NDArray[np.float32], upsample: int) -> Floats:
    """Normalised and interpolated curve of one class."""
    low, high = float(activation_T.min()), float(activation_T.max())
    if high > 0:
        low = max(low, 0.0)
    normalised_T = (activation_T - low) / (high - low if high > low else 1.0)
    T = len(normalised_T)
    coordinate_P = (np.arange(T * upsample) + 0.5) / upsample - 0.5
    curve_P: Floats = np.interp(coordinate_P, np.arange(T), normalised_T)
    return curve_P


def proposals(curve_P: Floats, thresholds: tuple[float, ...], margin: float) -> list[Proposal]:
    """Runs of points above each threshold, each scored alone."""
    found = []
    for threshold in thresholds:
        above = np.flatnonzero((curve_P >= threshold) & (curve_P > 0))
        if len(above) == 0:
            continue
        for run in np.split(above, np.flatnonzero(np.diff(above) != 1) + 1):
            first, last = int(run[0]), int(run[-1])
            reach = margin * len(run)
            before = curve_P[max(0, int(first - reach)) : first]
            after = curve_P[last + 1 : int(last + reach) + 1]
            outside = np.concatenate([before, after])
            score = curve_P[first : last + 1].mean() - (outside.mean() if len(outside) else 0.0)
            found.append(Proposal(first, last + 1, float(score)))
    return found


def hard_nms(starts_N: Floats, ends_N: Floats, scores_N: Floats, threshold: float) -> list[int]:
    """Keep the best, drop what overlaps it, repeat; positions of one class, best first."""
    left = np.argsort(-scores_N, kind="stable")
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        tiou = _tiou(starts_N[best], ends_N[best], starts_N[left], ends_N[left])
        left = left[tiou < threshold]
    return kept


def soft_nms(
    starts_N: Floats, ends_N: Floats, scores_N: Floats, sigma: float, min_score: float
) -> tuple[list[int], list[float]]:
    """Take the best, lower what overlaps it by exp(-tIoU^2 / sigma), repeat."""
    left, scores = np.arange(len(scores_N)), scores_N.copy()
    picked, lowered = [], []
    while len(left):
        place = int(np.argmax(scores))
        best = left[place]
        picked.append(int(best))
        lowered.append(float(scores[place]))
        left, scores = np.delete(left, place), np.delete(scores, place)
        tiou = _tiou(starts_N[best], ends_N[best], starts_N[left], ends_N[left])
        scores *= np.exp(-(tiou**2) / sigma)
        keep = scores >= min_score
        left, scores = left[keep], scores[keep]
    return picked, lowered


def _tiou(start: float, end: float, starts_N: Floats, ends_N: Floats) -> Floats:
    inter_N = np.maximum(np.minimum(end, ends_N) - np.maximum(start, starts_N), 0)
    tiou_N: Floats = inter_N / ((end - start) + (ends_N - starts_N) - inter_N)
    return tiou_N
