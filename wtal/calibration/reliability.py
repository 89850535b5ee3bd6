"""Confidences beside annotations: of detections with confidence .8, are 80 % right?

Shapes: N detections, B bins, H thresholds of tIoU.

Annotations serve to check, never to fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wtal.calibration.scale import Calibration, Floats
from wtal_eval import Annotations, evaluate
from wtal_eval.judging import judge
from wtal_eval.protocols import Protocol
from wtal_eval.ranking import Ranking
from wtal_eval.truth import Truth

BINS = 10  # of equal width
TIOU = (0.1, 0.3, 0.5)
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#5F5F5F"  # Okabe and Ito, 2008


class Hits(NamedTuple):
    """Judged detections, the best first."""

    scores_N: Floats
    hits_HN: NDArray[np.bool_]  # true positive at each tIoU, one to one with the instances
    instances: int


@dataclass(frozen=True)
class Bin:
    """Detections whose confidence lies in [low, high)."""

    low: float
    high: float
    detections: int
    confidence: float | None  # mean; None of no detection
    precision: float | None  # share of true positives


@dataclass(frozen=True)
class Reliability:
    """Confidence against precision at one tIoU.

    Attributes:
        tiou: from which a detection is right, if no better one found the instance.
        bins: by rising confidence.
        ece: mean of |confidence - precision| over bins, weighed by their detections.
        worst: the largest of them, of bins that hold at least a hundredth of the detections.
    """

    tiou: float
    bins: tuple[Bin, ...]
    ece: float
    worst: float


def hits_of(
    detections: Any, annotations: Annotations, *, subset: str, tiou: Sequence[float] = TIOU
) -> Hits:
    """Match detections and instances as the evaluation does.

    Args:
        detections: a result file, or a mapping of its form.
        annotations: the truth.
        subset: of the videos that are judged.
        tiou: H thresholds.

    Raises:
        EvalError: as `wtal_eval.evaluate`.
    """
    found: list[Hits] = []

    def look(ranking: Ranking, truth: Truth, protocol: Protocol) -> Any:
        judged = judge(ranking, truth, protocol, tiou)
        stays = ~judged.ignored | (judged.found >= 0).any(axis=0)
        hits_HN = judged.found[:, stays] >= 0
        found.append(Hits(judged.score[stays], hits_HN, int(judged.npos.sum())))
        return None

    evaluate(detections, annotations, subset=subset, analyse=look)
    return found[0]


def compare(
    calibration: Calibration, hits: Hits, tiou: Sequence[float] = TIOU
) -> tuple[Reliability, ...]:
    """One `Reliability` for each threshold of `hits_of`."""
    confidence_N = calibration.confidence(hits.scores_N)
    pairs = zip(tiou, hits.hits_HN, strict=True)
    return tuple(Reliability(t, *binned(confidence_N, hit_N)) for t, hit_N in pairs)


def binned(confidence_N: Floats, hit_N: NDArray[np.bool_]) -> tuple[tuple[Bin, ...], float, float]:
    """Bins, ECE and the largest gap.

    Example:
        >>> _, ece, worst = binned(np.array([0.0, 0.0, 0.8, 0.8]), np.array([0, 0, 1, 0], bool))
        >>> round(ece, 6), round(worst, 6)
        (0.15, 0.3)
    """
    bin_N = np.minimum((confidence_N * BINS).astype(int), BINS - 1)
    count_B = np.bincount(bin_N, minlength=BINS)
    claimed_B = np.bincount(bin_N, confidence_N, BINS) / np.maximum(count_B, 1)
    right_B = np.bincount(bin_N, hit_N, BINS) / np.maximum(count_B, 1)
    gap_B = np.abs(claimed_B - right_B)
    rows = zip(count_B.tolist(), claimed_B.tolist(), right_B.tolist(), strict=True)
    bins = tuple(
        Bin(b / BINS, (b + 1) / BINS, count, *((claimed, right) if count else (None, None)))
        for b, (count, claimed, right) in enumerate(rows)
    )
    total = max(1, len(confidence_N))
    counted_B = count_B >= max(1, total / 100)
    return bins, float(gap_B @ count_B / total), float(gap_B[counted_B].max(initial=0.0))


def table(found: Sequence[Reliability]) -> list[str]:
    """The reliability table, in lines."""
    columns = "".join(f"{f'right at {each.tiou:g}':>14}" for each in found)
    lines = [f"{'confidence':>11}{'detections':>12}{'claimed %':>11}{columns}  (%)"]
    for rows in zip(*(each.bins for each in found), strict=True):
        first = rows[0]
        if not first.detections:
            continue
        shares = "".join(f"{100 * (row.precision or 0):14.1f}" for row in rows)
        lines.append(
            f"{first.low:5.1f} to {first.high:3.1f}{first.detections:12d}"
            f"{100 * (first.confidence or 0):11.1f}{shares}"
        )
    gaps = "".join(f"{100 * each.ece:14.1f}" for each in found)
    return [*lines, f"{'mean gap, points':>34}{gaps}"]


def to_json(found: Sequence[Reliability]) -> list[Mapping[str, Any]]:
    """As plain lists, dicts, text and numbers."""
    return [asdict(each) for each in found]


def draw(found: Sequence[Reliability], path: Path, title: str) -> None:
    """A reliability diagram: one line per tIoU, and how many detections lie in each bin.

    Raises:
        WtalError: matplotlib is not installed.
        FeatureError: the file cannot be written.
    """
    from wtal.inspection.canvas import new_figure, plain, save

    figure = new_figure(5.6, 6.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--", label="as claimed")
    for each, colour, marker in zip(found, (BLUE, ORANGE, GREEN), "osD", strict=False):
        full = [row for row in each.bins if row.detections]
        upper.plot(
            [row.confidence for row in full],
            [row.precision for row in full],
            color=colour,
            marker=marker,
            label=f"tIoU {each.tiou:g}, mean gap {100 * each.ece:.1f} points",
        )
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="share that is right")
    upper.legend(loc="upper left", fontsize=9, frameon=False)
    upper.set_title(plain(title), fontsize=11)
    middles = [(row.low + row.high) / 2 for row in found[0].bins]
    lower.bar(middles, [row.detections for row in found[0].bins], 0.09, color=GREY)
    lower.set(yscale="log", ylabel="detections", xlabel="confidence")
    save(figure, path)
