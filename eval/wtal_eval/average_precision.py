"""Average precision and mAP of ranked detections.

Legend: `N` detections, `G` instances, `C` classes, `J` thresholds.

Source: activitynet/ActivityNet@82304fa Evaluation/eval_detection.py,
compute_average_precision_detection. We differ in one point: its sorts are not stable, ours are.
The other rules are those of the THUMOS14 evalkits and of W-TALC; `protocols.py` says who uses what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wtal_eval.matching import Pairs, candidates
from wtal_eval.matching import match as true_positives
from wtal_eval.segments import Bools, Floats, Ints, Segments

__all__ = [
    "AREAS",
    "Pairs",
    "Scores",
    "Segments",
    "average_precision",
    "candidates",
    "mean_average_precision",
    "rank",
]

DETECTIONS_AT_ONCE = 1 << 17  # of as many classes as that makes, or of one


@dataclass(frozen=True, eq=False)
class Scores:
    """What a ranking of detections is worth, per class and threshold.

    Attributes:
        ap: (C, J) average precision.
        recall: (C, J) share of the instances found.
        npos: (C,) instances.
        detections: (C,) detections.
    """

    ap: Floats
    recall: Floats
    npos: Ints
    detections: Ints

    @property
    def map(self) -> Floats:
        """(J,) plain mean over the classes, those without detections included."""
        means: Floats = self.ap.mean(axis=0)
        return means


def mean_average_precision(
    detections: Segments,
    score: Floats,
    instances: Segments,
    classes: int,
    thresholds: Sequence[float],
    *,
    ties: str = "last",
    zero_union: str = "match",
    match: str = "best",
    overlap: str = "union",
    overlap_test: str = "ge",
    precision: str = "float64",
    ap: str = "interpolated",
    removable: Bools | None = None,
    order: Ints | None = None,
) -> Scores:
    """AP of every class at every threshold.

    Args:
        detections: of the C classes, in file order.
        score: (N,) their scores.
        instances: of the C classes, at least one each, in file order.
        classes: C.
        thresholds: tIoU thresholds, each matched on its own.
        ties: which of equal scores, and of equally overlapping instances, goes first: the `last` or
            the `first` in the file; `true-first` is `first`, but after the matching true positives
            rank before false ones of the same score.
        zero_union: whether two segments whose union is zero `match` or `no-match`.
        match: a key of `matching.RULES`.
        overlap: `union` or `hull`, see `segments.py`.
        overlap_test: `ge` or `gt`.
        precision: of the overlaps, `float64` or `float32`.
        ap: a key of `AREAS`.
        removable: (N,) detections that are taken out of the ranking unless they are true positives.
        order: (N,) what `rank` returns, if it is known already.
    """
    if order is None:
        order = rank(detections.label, score, ties)
    npos = np.bincount(instances.label, minlength=classes)
    count = np.bincount(detections.label, minlength=classes)
    aps, recall = np.zeros((classes, len(thresholds))), np.zeros((classes, len(thresholds)))
    for block, rows in class_blocks(order, count):
        ranked = detections.take(rows)
        asked = instances
        if len(block) < classes:
            asked = instances.take((asked.label >= block.start) & (asked.label < block.stop))
        pairs = candidates(
            ranked,
            asked,
            min(thresholds),
            ties=ties,
            zero_union=zero_union,
            rule=match,
            overlap=overlap,
            precision=precision,
        )
        found_at = true_positives(
            pairs, thresholds, len(asked), rule=match, overlap_test=overlap_test
        )
        of = slice(block.start, block.stop)
        ends = np.cumsum(count[of])
        starts = ends - count[of]
        seats = _Seats(
            ranked.label, score[rows], None if removable is None else removable[rows], ties
        )
        for j, found in enumerate(found_at):
            # `found` ascends, and the detections of a class are neighbours: cut it at the classes.
            cuts = np.searchsorted(found, ends)
            seat, first = seats.of(found, starts)
            lows = np.append(0, cuts[:-1])
            for c, begin, low, high in zip(block, first, lows, cuts, strict=True):
                aps[c, j] = AREAS[ap](seat[low:high] - begin + 1, int(npos[c]))
                recall[c, j] = (high - low) / npos[c]
    return Scores(aps, recall, npos, count)


def class_blocks(order: Ints, count: Ints) -> Iterator[tuple[range, Ints]]:
    """Yield a few classes at a time, with their detections in rank order, if there are any.

    Nothing passes from class to class, so what is done with a block takes the memory of a block.

    Args:
        order: (N,) what `rank` returns.
        count: (C,) detections.
    """
    low, begin = 0, 0
    ends = np.cumsum(count)
    while low < len(count):
        fit = int(np.searchsorted(ends, begin + DETECTIONS_AT_ONCE, side="right"))
        high = max(low + 1, fit)
        end = int(ends[high - 1])
        if end > begin:
            yield range(low, high), order[begin:end]
        low, begin = high, end


def rank(label: Ints, score: Floats, ties: str) -> Ints:
    """Order of the detections: class by class, in each class by descending score.

    Of equal scores the later in the file ranks first (`ties="last"`): a stable ascending sort, read
    backwards. Any other value turns that round.
    """
    if ties == "last":
        by_score = np.argsort(score, kind="stable")[::-1]
    else:
        by_score = np.argsort(-score, kind="stable")
    # Small integers are sorted by radix, in linear time.
    small = label.astype(np.int16) if label.size and label.max() < 2**15 else label
    order: Ints = by_score[np.argsort(small[by_score], kind="stable")]
    return order


class _Seats:
    """The place of each true positive in the ranking, once the matching is known.

    Without special rules it is the position in the ranking. Detections that leave the ranking move
    those behind them up; `true-first` moves true positives before false ones of the same score.
    """

    def __init__(self, label: Ints, score: Floats, removable: Bools | None, ties: str) -> None:
        self.removable = removable
        self.tie: Ints | None = None  # (N,) position of the first of the same class and score
        if ties == "true-first" and len(score):
            new = np.append(True, (label[1:] != label[:-1]) | (score[1:] != score[:-1]))
            self.tie = np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))

    def of(self, found: Ints, starts: Ints) -> tuple[Ints, Ints]:
        """Seats of the true positives `found`, and the seats at which the classes begin."""
        position, within = found, np.zeros_like(found)
        if self.tie is not None:
            # Of a tie's true positives the first takes the first seat of the tie, and so on.
            position = self.tie[found]
            within = np.arange(len(found)) - np.searchsorted(position, position)
        if self.removable is None:
            return position + within, starts
        gone = self.removable.copy()
        gone[found] = False
        before = np.append(0, np.cumsum(gone))  # removed ones before each position
        return position - before[position] + within, starts - before[starts]


def interpolated_area(ranks: Ints, npos: int) -> float:
    """(1 / npos) * sum over i of max over j >= i of p_j: VOC 2011, ActivityNet."""
    precision = np.maximum.accumulate((np.arange(1, len(ranks) + 1) / ranks)[::-1])
    return float(precision.sum()) / npos


def summed_area(ranks: Ints, npos: int) -> float:
    """(1 / npos) * sum of p_i, not interpolated: THUMOS14 evalkit 2015, the W-TALC family."""
    return float((np.arange(1, len(ranks) + 1) / ranks).sum()) / npos


def eleven_point_area(ranks: Ints, npos: int) -> float:
    """Mean over recall 0, .1 .. 1 of the best precision there or above: evalkit 2014, VOC 2007."""
    if not len(ranks):
        return 0.0
    best = np.maximum.accumulate((np.arange(1, len(ranks) + 1) / ranks)[::-1])[::-1]
    # The kit asks for recall >= 0:0.1:1, whose floats (.30000000000000004) a recall of exactly .3
    # fails, just as thresholds do.
    recall = np.arange(1, len(ranks) + 1) / npos
    first = np.searchsorted(recall, np.arange(11) * 0.1)
    return float(best[first[first < len(ranks)]].sum()) / 11


AREAS: dict[str, Callable[[Ints, int], float]] = {
    "interpolated": interpolated_area,
    "sum": summed_area,
    "11point": eleven_point_area,
}


def average_precision(ranks: Ints, npos: int, *, ap: str = "interpolated") -> float:
    """Area under the precision-recall curve, from the ranks of the true positives alone.

    With r_1 < r_2 < .. the ranks and p_i = i / r_i the precision there. Between two true positives
    nothing is gained, so no array as long as the detections is needed.

    Args:
        ranks: ascending, from 1.
        npos: number of positives, found or not.
        ap: a key of `AREAS`.

    Example:
        >>> average_precision(np.array([2, 3]), npos=2)  # precisions 1/2, 2/3
        0.6666666666666666
    """
    return AREAS[ap](ranks, npos)
