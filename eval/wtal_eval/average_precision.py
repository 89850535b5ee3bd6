"""Matching, average precision and mAP, as the ActivityNet evaluation defines them.

Legend: `N` detections, `G` instances, `K` candidate pairs, `C` classes, `J` thresholds.

The official program walks through every detection, threshold and instance. Here the pairs of a
detection and an instance that overlap enough for the lowest threshold are found once, with sorting;
what remains is one plain loop over these few pairs, and its rule is the official one.

Source: activitynet/ActivityNet@82304fa Evaluation/eval_detection.py,
compute_average_precision_detection. We differ in one point: its sorts are not stable, ours are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wtal_eval.segments import Bools, Floats, Ints, tiou

PAIRS_AT_ONCE = 1 << 15  # intermediate arrays stay in the cache, and small whatever the input
THRESHOLDS_AT_ONCE = 62  # bits of a signed 64-bit integer that stay clear of its sign


@dataclass(frozen=True, eq=False)
class Segments:
    """Instances or detections that take part: rows in file order, codes instead of names.

    Attributes:
        video: (N,) which video; a detection on a video outside the subset holds a code that no
            instance has.
        label: (N,) which class, 0 to C - 1.
        start: (N,) seconds.
        end: (N,) seconds.
    """

    video: Ints
    label: Ints
    start: Floats
    end: Floats

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.video)

    def take(self, rows: Ints | Bools) -> Segments:
        """The given rows."""
        return Segments(self.video[rows], self.label[rows], self.start[rows], self.end[rows])


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
) -> Scores:
    """AP of every class at every threshold.

    Args:
        detections: of the C classes, in file order.
        score: (N,) their scores.
        instances: of the C classes, at least one each, in file order.
        classes: C.
        thresholds: tIoU thresholds, each matched on its own.
        ties: which of equal scores, and of equally overlapping instances, goes first: the `last` or
            the `first` in the file.
        zero_union: whether two segments whose union is zero `match` or `no-match`.
    """
    order = rank(detections.label, score, ties)
    ranked = detections.take(order)
    pairs = candidates(ranked, instances, min(thresholds), ties=ties, zero_union=zero_union)
    npos = np.bincount(instances.label, minlength=classes)
    count = np.bincount(ranked.label, minlength=classes)
    ends = np.cumsum(count)
    ap, recall = np.zeros((classes, len(thresholds))), np.zeros((classes, len(thresholds)))
    for j, found in enumerate(match(pairs, thresholds, len(instances))):
        # `found` ascends, and the detections of a class are neighbours: cut it at the classes.
        cuts = np.searchsorted(found, ends)
        for c, (low, high) in enumerate(zip(np.append(0, cuts[:-1]), cuts, strict=True)):
            ranks = found[low:high] - (ends[c] - count[c]) + 1
            ap[c, j] = average_precision(ranks, int(npos[c]))
            recall[c, j] = len(ranks) / npos[c]
    return Scores(ap, recall, npos, count)


def rank(label: Ints, score: Floats, ties: str) -> Ints:
    """Order of the detections: class by class, in each class by descending score.

    Of equal scores the later in the file ranks first (`ties="last"`): a stable ascending sort, read
    backwards. `ties="first"` turns that round.
    """
    if ties == "last":
        by_score = np.argsort(score, kind="stable")[::-1]
    else:
        by_score = np.argsort(-score, kind="stable")
    # Small integers are sorted by radix, in linear time.
    small = label.astype(np.int16) if label.size and label.max() < 2**15 else label
    order: Ints = by_score[np.argsort(small[by_score], kind="stable")]
    return order


@dataclass(frozen=True, eq=False)
class Pairs:
    """Detections and the instances they may find, in the order in which matching asks.

    Attributes:
        detection: (K,) position in the ranking.
        instance: (K,) position among the instances.
        tiou: (K,) their overlap; infinite for a union of zero that counts as a match.
    """

    detection: Ints
    instance: Ints
    tiou: Floats


def candidates(
    ranked: Segments, instances: Segments, lowest: float, *, ties: str, zero_union: str
) -> Pairs:
    """Pairs of the same class and video with tIoU >= `lowest`.

    Ordered by rank of the detection, then by descending tIoU; of equal tIoU (one long detection,
    two instances of equal length) the later instance first, or the earlier with `ties="first"`. A
    zero union has no tIoU; the official program compares NaN, which ranks before every number and
    fails no threshold, so `match` stands for infinity.
    """
    undefined = np.inf if zero_union == "match" else 0.0
    blocks = []
    for detection, instance in _same_class_and_video(ranked, instances):
        overlap = tiou(
            ranked.start[detection],
            ranked.end[detection],
            instances.start[instance],
            instances.end[instance],
        )
        overlap[np.isnan(overlap)] = undefined
        enough = np.flatnonzero(overlap >= lowest)
        blocks.append((detection[enough], instance[enough], overlap[enough]))
    if not blocks:
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    detection, instance, overlap = (np.concatenate(column) for column in zip(*blocks, strict=True))
    order = np.lexsort((-instance if ties == "last" else instance, -overlap, detection))
    return Pairs(detection[order], instance[order], overlap[order])


def _same_class_and_video(ranked: Segments, instances: Segments) -> Iterator[tuple[Ints, Ints]]:
    """Yield blocks of all pairs that share class and video, detections ascending."""
    if not len(ranked) or not len(instances):
        return
    videos = int(max(ranked.video.max(), instances.video.max())) + 1
    instance_group = instances.label.astype(np.int64) * videos + instances.video
    detection_group = ranked.label.astype(np.int64) * videos + ranked.video
    by_group = np.argsort(instance_group, kind="stable")
    groups, first, size = np.unique(instance_group[by_group], return_index=True, return_counts=True)
    place = np.minimum(np.searchsorted(groups, detection_group), len(groups) - 1)
    with_instances = np.flatnonzero(groups[place] == detection_group)
    first, size = first[place[with_instances]], size[place[with_instances]]
    total = np.cumsum(size)
    low = 0
    while low < len(with_instances):
        done = total[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(total, done + PAIRS_AT_ONCE, side="right")))
        sizes = size[low:high]
        # 0 1 2 .. within each detection: a running count minus where its run began.
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        yield (
            np.repeat(with_instances[low:high], sizes),
            by_group[np.repeat(first[low:high], sizes) + within],
        )
        low = high


def match(pairs: Pairs, thresholds: Sequence[float], instances: int) -> Iterator[Ints]:
    """Yield for each threshold the true positives, as ascending positions in the ranking.

    For each threshold on its own: detections in rank order; each takes the first free one of its
    candidates with tIoU >= t. The thresholds do not influence each other, so one pass serves all:
    bit j of every integer below belongs to threshold j.
    """
    for low in range(0, len(thresholds), THRESHOLDS_AT_ONCE):
        some = thresholds[low : low + THRESHOLDS_AT_ONCE]
        reached = np.zeros(len(pairs.tiou), np.int64)
        for j, t in enumerate(some):
            reached |= (pairs.tiou >= t).astype(np.int64) << j
        taken = np.array(_greedy(pairs, reached, (1 << len(some)) - 1, instances), np.int64)
        for j in range(len(some)):
            yield pairs.detection[(taken >> j) & 1 == 1]


def _greedy(pairs: Pairs, reached: Ints, every: int, instances: int) -> list[int]:
    """For each pair the thresholds at which its detection takes its instance."""
    free = [every] * instances  # thresholds at which the instance is not taken yet
    taken = []
    current, searching = -1, 0
    for detection, instance, enough in zip(
        pairs.detection.tolist(), pairs.instance.tolist(), reached.tolist(), strict=True
    ):
        if detection != current:
            current, searching = detection, every  # a new detection searches at every threshold
        takes = searching & enough & free[instance]
        searching ^= takes
        free[instance] ^= takes
        taken.append(takes)
    return taken


def average_precision(ranks: Ints, npos: int, *, interpolated: bool = True) -> float:
    """Area under the precision-recall curve, from the ranks of the true positives alone.

    With r_1 < r_2 < .. the ranks and p_i = i / r_i the precision there, AP = (1 / npos) * sum over
    i of max over j >= i of p_j; without interpolation the sum of the p_i.

    Args:
        ranks: ascending, from 1.
        npos: number of positives, found or not.
        interpolated: as VOC 2011 and ActivityNet, or as the W-TALC family ranks videos.

    Example:
        >>> average_precision(np.array([2, 3]), npos=2)  # precisions 1/2, 2/3
        0.6666666666666666
    """
    precision = np.arange(1, len(ranks) + 1) / ranks
    if interpolated:
        precision = np.maximum.accumulate(precision[::-1])
    return float(precision.sum()) / npos
