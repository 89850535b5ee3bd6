"""Which instance every detection finds, and average precision from there: what a diagnosis asks.

Legend: `N` detections, `G` instances, `C` classes, `J` thresholds.

`matching.match` tells only which detections are true positives; a diagnosis also asks of what, and
over all classes in one order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wtal_eval.average_precision import AREAS, rank
from wtal_eval.faults import EvalError, shown
from wtal_eval.grid import comparable_detections, comparable_instances
from wtal_eval.matching import LISTED, Pairs, candidates
from wtal_eval.options import AVERAGES
from wtal_eval.protocols import Protocol
from wtal_eval.ranking import Ranking
from wtal_eval.segments import Bools, Floats, Ints, Segments
from wtal_eval.truth import Truth


@dataclass(frozen=True, eq=False)
class Judged:
    """Detections by descending score over all classes, and the instances they find.

    Attributes:
        order: (N,) their rows in the ranking.
        segments: (N,) what they say, in the unit and precision in which the protocol compares.
        instances: (G,) the same of the truth.
        score: (N,) descending.
        found: (J, N) the instance that a detection finds at a threshold, or -1.
        ignored: (N,) detections that leave the ranking if they find nothing.
        npos: (C,) instances.
    """

    order: Ints
    segments: Segments
    instances: Segments
    score: Floats
    found: Ints
    ignored: Bools
    npos: Ints


def thresholds_of(protocol: Protocol) -> tuple[float, ...]:
    """The thresholds of a diagnosis: .5:.05:.95 if the protocol's headline is, else .5 alone."""
    return AVERAGES["0.5:0.95"] if protocol.headline == "0.5:0.95" else (0.5,)


def judge(
    ranking: Ranking, truth: Truth, protocol: Protocol, thresholds: Sequence[float]
) -> Judged:
    """Which instance each detection finds at each threshold, as the evaluation matches them.

    Raises:
        EvalError: if there is no threshold, or one outside (0, 1].
    """
    if not thresholds or not all(0 < t <= 1 for t in thresholds):
        raise EvalError(
            f"Option tiou is {shown(tuple(thresholds))}; expected thresholds above 0 and up to 1."
        )
    order = rank(np.zeros(len(ranking.score), np.int16), ranking.score, protocol.ties)
    segments = comparable_detections(ranking.segments.take(order), protocol)
    instances = comparable_instances(truth.instances, protocol)
    pairs = candidates(
        segments,
        instances,
        min(thresholds),
        ties=protocol.ties,
        zero_union=protocol.zero_union,
        rule=protocol.match,
        overlap=protocol.overlap,
    )
    found = np.full((len(thresholds), len(segments)), -1)
    for row, t in zip(found, thresholds, strict=True):
        enough = reaches(pairs.tiou, t, protocol)
        match_instances(pairs.take(np.flatnonzero(enough)), protocol.match, row)
    removable = ranking.removable
    ignored = np.zeros(len(segments), bool) if removable is None else removable[order]
    npos = np.bincount(instances.label, minlength=len(truth.classes))
    return Judged(order, segments, instances, ranking.score[order], found, ignored, npos)


def reaches(tiou: Floats, threshold: float, protocol: Protocol) -> Bools:
    """Which overlaps are enough for a match."""
    enough: Bools = tiou >= threshold if protocol.overlap_test == "ge" else tiou > threshold
    return enough


def match_instances(pairs: Pairs, rule: str, found: Ints) -> None:
    """Write to `found` (N,) the instance that each detection takes: the loop of `matching.match`.

    `match` tells only which detections are true positives; a diagnosis also asks of what.

    Args:
        pairs: those that overlap enough, in the order in which the rule asks.
        rule: a key of `matching.RULES`.
        found: holds -1 for every detection.
    """
    per_instance = rule == "per-instance"
    taken: set[int] = set()
    last = -1  # the last that got a partner; its further candidates are skipped
    for low in range(0, len(pairs.tiou), LISTED):
        block = slice(low, low + LISTED)
        columns = (pairs.detection[block].tolist(), pairs.instance[block].tolist())
        for detection, instance in zip(*columns, strict=True):
            asking, asked = (instance, detection) if per_instance else (detection, instance)
            if asking != last and asked not in taken:
                taken.add(asked)
                last = asking
                found[detection] = instance


def ap_per_class(label: Ints, tp: Bools, fp: Bools, npos: Ints, ap: str = "interpolated") -> Floats:
    """(C,) AP of detections by descending score over all classes.

    Args:
        label: (N,) classes.
        tp: (N,) true positives.
        fp: (N,) false positives; a row that is neither is not there.
        npos: (C,) positives.
        ap: a key of `average_precision.AREAS`.
    """
    at, i, F = _hits(label, tp, fp, len(npos))
    cuts = np.searchsorted(label[at], np.arange(len(npos) + 1))
    areas = [
        AREAS[ap]((i + F)[low:high], int(n)) if high > low else 0.0
        for low, high, n in zip(cuts, cuts[1:], npos, strict=False)
    ]
    return np.array(areas)


def normalised_ap_per_class(
    label: Ints, tp: Bools, fp: Bools, npos: Ints, instances_per_class: float
) -> Floats:
    """(C,) interpolated AP with the normalised precision; a class without positives has 0."""
    at, precision = normalised_precision(label, tp, fp, npos, instances_per_class)
    cuts = np.searchsorted(label[at], np.arange(len(npos) + 1))
    areas = [
        np.maximum.accumulate(precision[low:high][::-1]).sum() / n if high > low else 0.0
        for low, high, n in zip(cuts, cuts[1:], npos, strict=False)
    ]
    return np.array(areas)


def normalised_precision(
    label: Ints, tp: Bools, fp: Bools, npos: Ints, instances_per_class: float
) -> tuple[Ints, Floats]:
    """True positives, class by class, and R N / (R N + F) there.

    With recall R = i / npos for the i-th true positive and F false ones before it, this is the
    precision if every class had N instances: else frequent classes look more precise.
    """
    at, i, F = _hits(label, tp, fp, len(npos))
    RN = i / npos[label[at]] * instances_per_class
    return at, RN / (RN + F)


def _hits(label: Ints, tp: Bools, fp: Bools, classes: int) -> tuple[Ints, Ints, Ints]:
    """True positives, class by class, and how many true and false ones there are up to each."""
    # Small integers are sorted by radix, in linear time.
    order = np.argsort(label.astype(np.int16) if classes < 2**15 else label, kind="stable")
    hit = np.flatnonzero(tp[order])
    at = order[hit]
    every = np.arange(classes)
    false = np.append(0, np.cumsum(fp[order]))  # entry n: among the first n
    before = false[np.searchsorted(label[order], every)]
    first = np.searchsorted(label[at], every)
    i = np.arange(1, len(at) + 1) - first[label[at]]
    return at, i, false[hit] - before[label[at]]
