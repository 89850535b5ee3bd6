"""Which detections find an instance: three rules, each a plain function.

Legend: `K` candidate pairs of a detection and an instance that share class and video.

The official programs walk through every detection, threshold and instance. Here the pairs that
overlap enough for the lowest threshold are found once, with sorting. A rule is no more than the
order in which these few pairs are asked; what remains is one plain loop over them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wtal_eval.segments import Floats, Ints, Segments, hull_tiou, tiou

LISTED = 1 << 16  # pairs that are Python's numbers at a time; as such each takes 120 bytes
LOOKED_UP = 1 << 17  # detections whose instances are looked up at a time
PAIRS_AT_ONCE = 1 << 15  # intermediate arrays stay in the cache, and small whatever the input
THRESHOLDS_AT_ONCE = 62  # bits of a signed 64-bit integer that stay clear of its sign


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

    def take(self, order: Ints) -> Pairs:
        """The same pairs in another order."""
        return Pairs(self.detection[order], self.instance[order], self.tiou[order])


def best_instance(pairs: Pairs, ties: str) -> Ints:
    """`best`: each detection, in rank order, asks its instances by descending tIoU.

    Of equal tIoU (one long detection, two instances of equal length) the later instance goes first,
    or the earlier unless `ties` is `last`.

    Source: activitynet/ActivityNet@82304fa Evaluation/eval_detection.py, whose sort is not stable.
    """
    order: Ints = np.arange(len(pairs.tiou))
    # Pairs come by rank of the detection, and most detections have a single one: sort the others.
    same = pairs.detection[1:] == pairs.detection[:-1]
    several = np.flatnonzero(np.append(same, False) | np.append(False, same))
    rest = pairs.take(several)
    instance = -rest.instance if ties == "last" else rest.instance
    order[several] = several[np.lexsort((instance, -rest.tiou, rest.detection))]
    return order


def first_instance(pairs: Pairs, ties: str) -> Ints:
    """`first`: each detection, in rank order, asks its instances in the order of the file.

    Source: sujoyp/wtalc-pytorch@81ea982 eval_detection.py.
    """
    order: Ints = np.lexsort((pairs.instance, pairs.detection))
    return order


def best_detection(pairs: Pairs, ties: str) -> Ints:
    """`per-instance`: each instance, in file order, asks its detections by descending tIoU.

    Scores decide only between detections of equal tIoU. So the instance goes to the best fitting
    detection, and a better scored one beside it becomes a false positive.

    Source: THUMOS14 evalkit 2015-09-30, TH14evalDet.m.
    """
    order: Ints = np.lexsort((pairs.detection, -pairs.tiou, pairs.instance))
    return order


# Each takes pairs by rank of the detection, and returns the order in which they are asked.
RULES: dict[str, Callable[[Pairs, str], Ints]] = {
    "best": best_instance,
    "first": first_instance,
    "per-instance": best_detection,
}


def candidates(
    ranked: Segments,
    instances: Segments,
    lowest: float,
    *,
    ties: str,
    zero_union: str,
    rule: str = "best",
    overlap: str = "union",
    precision: str = "float64",
) -> Pairs:
    """Pairs of the same class and video with tIoU >= `lowest`, in the order that the rule asks.

    Args:
        ranked: detections, class by class and by rank.
        instances: in file order, in the same unit.
        lowest: the lowest threshold.
        ties: see `best_instance`.
        zero_union: a zero union has no tIoU; the official program compares NaN, which ranks before
            every number and fails no threshold, so `match` stands for infinity, `no-match` for 0.
        rule: a key of `RULES`.
        overlap: `union`, see `tiou`, or `hull`, see `hull_tiou`.
        precision: `float32` rounds the overlaps, as open-mmlab/mmaction2@4d6c934 does (which then
            compares them with double thresholds: docs/decisions/0008).
    """
    measure = tiou if overlap == "union" else hull_tiou
    undefined = np.inf if zero_union == "match" else 0.0
    blocks = []
    for detection, instance in _same_class_and_video(ranked, instances):
        ratio = measure(
            ranked.start[detection],
            ranked.end[detection],
            instances.start[instance],
            instances.end[instance],
        )
        ratio[np.isnan(ratio)] = undefined
        if precision == "float32":
            ratio = ratio.astype(np.float32)
        enough = np.flatnonzero(ratio >= lowest)
        blocks.append((detection[enough], instance[enough], ratio[enough]))
    if not blocks:
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    pairs = Pairs(*(np.concatenate(column) for column in zip(*blocks, strict=True)))
    return pairs.take(RULES[rule](pairs, ties))


def _same_class_and_video(ranked: Segments, instances: Segments) -> Iterator[tuple[Ints, Ints]]:
    """Yield blocks of all pairs that share class and video, detections ascending."""
    if not len(ranked) or not len(instances):
        return
    videos = int(max(ranked.video.max(), instances.video.max())) + 1
    instance_group = instances.label.astype(np.int64) * videos + instances.video
    by_group = np.argsort(instance_group, kind="stable")
    groups, first, size = np.unique(instance_group[by_group], return_index=True, return_counts=True)
    for start in range(0, len(ranked), LOOKED_UP):
        block = slice(start, start + LOOKED_UP)
        detection_group = ranked.label[block].astype(np.int64) * videos + ranked.video[block]
        place = np.minimum(np.searchsorted(groups, detection_group), len(groups) - 1)
        inside = np.flatnonzero(groups[place] == detection_group)
        place = place[inside]
        yield from _pairs(inside + start, first[place], size[place], by_group)


def _pairs(
    detections: Ints, first: Ints, size: Ints, by_group: Ints
) -> Iterator[tuple[Ints, Ints]]:
    """Yield each detection with the `size` instances from `first` on, in small blocks."""
    total = np.cumsum(size)
    low = 0
    while low < len(detections):
        done = total[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(total, done + PAIRS_AT_ONCE, side="right")))
        sizes = size[low:high]
        # 0 1 2 .. within each detection: a running count minus where its run began.
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        yield (
            np.repeat(detections[low:high], sizes),
            by_group[np.repeat(first[low:high], sizes) + within],
        )
        low = high


def match(
    pairs: Pairs,
    thresholds: Sequence[float],
    instances: int,
    *,
    rule: str = "best",
    overlap_test: str = "ge",
) -> Iterator[Ints]:
    """Yield for each threshold the true positives, as ascending positions in the ranking.

    For each threshold on its own: whoever asks (detections in rank order; under `per-instance` the
    instances in file order) takes the first free partner with tIoU >= t. The thresholds do not
    influence each other, so one pass serves all: bit j of every integer below belongs to
    threshold j.

    Args:
        pairs: in the order of the rule, as `candidates` returns them.
        thresholds: J of them.
        instances: how many there are.
        rule: a key of `RULES`, the one the pairs were made with.
        overlap_test: `ge`, tIoU >= t, or `gt`, tIoU > t. Of rounded overlaps t is rounded, too.
    """
    asking, asked = pairs.detection, pairs.instance
    if rule == "per-instance":
        asking, asked = asked, asking
        instances = int(asked.max(initial=-1)) + 1  # what is taken now are detections
    for low in range(0, len(thresholds), THRESHOLDS_AT_ONCE):
        some = [float(t) for t in thresholds[low : low + THRESHOLDS_AT_ONCE]]
        reached = np.zeros(len(pairs.tiou), np.int64)
        for j, t in enumerate(some):
            enough = pairs.tiou >= t if overlap_test == "ge" else pairs.tiou > t
            reached |= enough.astype(np.int64) << j
        taken = _greedy(asking, asked, reached, (1 << len(some)) - 1, instances)
        for j in range(len(some)):
            found = pairs.detection[(taken >> j) & 1 == 1]
            yield np.sort(found) if rule == "per-instance" else found


def _greedy(asking: Ints, asked: Ints, reached: Ints, every: int, partners: int) -> Ints:
    """For each pair the thresholds at which the one who asks takes the one who is asked."""
    free = [every] * partners  # thresholds at which the partner is not taken yet
    taken = np.empty(len(asking), np.int64)
    current, searching = -1, 0
    for low in range(0, len(asking), LISTED):
        block = slice(low, low + LISTED)
        columns = (asking[block].tolist(), asked[block].tolist(), reached[block].tolist())
        takings = []
        for one, other, enough in zip(*columns, strict=True):
            if one != current:
                current, searching = one, every  # a new one searches at every threshold
            takes = searching & enough & free[other]
            searching ^= takes
            free[other] ^= takes
            takings.append(takes)
        taken[block] = takings
    return taken
