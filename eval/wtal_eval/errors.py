"""Why a detector fails: what its false positives are, what missed instances lack, what it costs.

Legend: `N` detections, `G` instances, `C` classes, `J` thresholds, `B` buckets.

The categories and the normalised mAP are those of the field's diagnosis tool; `eval/ERRORS.md`
explains them with examples. Everything here works on detections in one order, by descending score
over all classes, because matching, ranking and mending all ask in this order.

Source: HumamAlwassel/DETAD@24f7d95 src/action_detector_diagnosis.py. We differ in two points: a
detection on a video without instances is background (there it is compared with the video before),
and of equally overlapping instances the one of the detection's own class judges it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from wtal_eval.faults import EvalError, printable, shown
from wtal_eval.judging import (
    Judged,
    ap_per_class,
    judge,
    normalised_ap_per_class,
    reaches,
    thresholds_of,
)
from wtal_eval.matching import Pairs, candidates
from wtal_eval.protocols import Protocol
from wtal_eval.ranking import Ranking
from wtal_eval.segments import Bools, Floats, Ints, Segments
from wtal_eval.truth import Truth

if TYPE_CHECKING:
    import pandas as pd


ErrorTies = Literal["own", "first"]

NEAR = 0.1  # tIoU from which a detection is about an instance at all (DETAD, min_tiou_thr)
LIMIT = 10  # detections judged per class, in multiples of its instances (DETAD, limit_factor)
CONFUSIONS = 10  # pairs of classes listed

KINDS = (
    "true_positive",
    "double_detection",
    "wrong_label",
    "localization",
    "confusion",
    "background",
)
TRUE_POSITIVE, DOUBLE, WRONG_LABEL, LOCALIZATION, CONFUSION, BACKGROUND = range(len(KINDS))
IGNORED = len(KINDS)  # neither right nor wrong: it touches an Ambiguous interval (drop-fp)
ERRORS = KINDS[1:]

# Why no detection found an instance, by the detection that overlaps it most.
CAUSES = ("taken", "wrong_label", "localization", "confusion", "unseen")


@dataclass(frozen=True)
class Bucket:
    """The detections of every class from rank (k - 1) npos + 1 to k npos: `kG`.

    Attributes:
        name: `1G` to `10G`.
        detections: in the bucket.
        share: of the detections, per kind, mean over the thresholds; 0 in an empty bucket.
    """

    name: str
    detections: int
    share: dict[str, float]


@dataclass(frozen=True)
class Mending:
    """Plain mAP, as the evaluation gives it, and what it gains if errors of one kind were mended.

    All detections of the file take part. The gains do not add up: one instance may be both missed
    and the target of a misplaced detection.

    Attributes:
        map: mean over the thresholds.
        deleted: gain if the detections of a kind were not there.
        mended: gain if they were right. `localization`: the borders of the instance that judges
            them; `wrong_label`: its label; `confusion`: both. Of several detections that aim at one
            instance the best scored becomes a true positive, the others and those whose instance
            is found already are deleted; the score stays. `double_detection` and `background`:
            deleted, there is nothing else to mend. `missed`: each instance never found counts as
            found, with the mean precision of the found ones of its class.
    """

    map: float
    deleted: dict[str, float]
    mended: dict[str, float]


@dataclass(frozen=True)
class Missed:
    """Instances that no detection finds, judged by the detection that overlaps them most.

    Attributes:
        count: mean over the thresholds.
        share: of all instances.
        causes: count per cause. `taken`: a detection of the class reaches it, but counts for
            another instance; `wrong_label`: only one of another class reaches it; `localization`
            and `confusion`: tIoU from .1 to below the threshold, with the own or another label;
            `unseen`: nothing above .1.
    """

    count: float
    share: float
    causes: dict[str, float]


@dataclass(frozen=True)
class ErrorAnalysis:
    """What the false positives are and what they cost; counts are means over the thresholds.

    Attributes:
        tiou: (J,) thresholds, each judged on its own.
        error_ties: which of equally overlapping instances judges a detection.
        limit: best detections judged per class, in multiples of its instances.
        instances_per_class: N of the normalised precision R N / (R N + F).
        kept: detections within the limit.
        counts: kind -> detections within the limit.
        map_n: mean normalised AP of these detections.
        impact: kind -> what `map_n` gains if the detections of that kind were deleted.
        profile: one bucket per multiple of the instances.
        per_class: label -> kind -> detections within the limit.
        confusions: (label, label of the instance, count), the most frequent of wrong label and
            confusion.
        plain: the mAP of the evaluation, and what mending would gain.
        missed: instances that no detection of the file finds.
    """

    tiou: tuple[float, ...]
    error_ties: ErrorTies
    limit: int
    instances_per_class: float
    kept: int
    counts: dict[str, float]
    map_n: float
    impact: dict[str, float]
    profile: tuple[Bucket, ...]
    per_class: dict[str, dict[str, float]]
    confusions: tuple[tuple[str, str, float], ...]
    plain: Mending
    missed: Missed

    def to_json(self) -> dict[str, Any]:
        """Every field as plain lists, dicts, text and numbers."""
        lists: dict[str, Any] = {
            "tiou": list(self.tiou),
            "profile": [asdict(bucket) for bucket in self.profile],
            "confusions": [list(one) for one in self.confusions],
        }
        return asdict(self) | lists

    def text(self) -> str:
        """The tables that people look at; gains in points, shares in percent."""
        return "\n".join(_lines(self)) + "\n"

    def profile_frame(self) -> pd.DataFrame:
        """One row per bucket: detections, then the share (percent) of each kind."""
        import pandas as pd

        rows = [{kind: 100 * bucket.share[kind] for kind in KINDS} for bucket in self.profile]
        frame = pd.DataFrame(rows, index=pd.Index([bucket.name for bucket in self.profile]))
        frame.insert(0, "detections", [bucket.detections for bucket in self.profile])
        return frame

    def class_frame(self) -> pd.DataFrame:
        """One row per class: detections of each kind."""
        import pandas as pd

        return pd.DataFrame.from_dict(self.per_class, orient="index", columns=list(KINDS))


def analyse(
    ranking: Ranking,
    truth: Truth,
    protocol: Protocol,
    *,
    tiou: Sequence[float] | None = None,
    error_ties: ErrorTies = "own",
    limit: int = LIMIT,
) -> ErrorAnalysis:
    """Judge the false positives and the missed instances, and say what mending them would gain.

    Args:
        ranking: the detections that take part.
        truth: the evaluated subset.
        protocol: its rules of matching, and its headline.
        tiou: thresholds; None takes `thresholds_of` the protocol.
        error_ties: of instances that overlap a detection equally, one of its `own` class judges it,
            or the `first` of the file (as DETAD, where the twins CliffDiving and Diving turn double
            detections into wrong labels).
        limit: best detections judged per class, in multiples of its instances.

    Raises:
        EvalError: for an option without meaning.
    """
    if error_ties not in get_args(ErrorTies):
        raise EvalError(f"Option error_ties is {shown(error_ties)}; expected own or first.")
    if limit < 1:
        raise EvalError(f"Option limit is {shown(limit)}; expected a whole number of at least 1.")
    thresholds = thresholds_of(protocol) if tiou is None else tuple(map(float, tiou))
    judged = judge(ranking, truth, protocol, thresholds)
    nearby = _nearby(judged, protocol, min(NEAR, *thresholds))
    nearest, overlap = _nearest_instance(nearby, judged, error_ties)
    reached_JN = np.array([reaches(overlap, t, protocol) for t in thresholds])
    kind_JN = _kinds(judged, judged.instances.label[nearest], overlap, reached_JN)
    bucket = _bucket(judged, limit)
    kept = bucket < limit
    instances_per_class = len(truth.instances) / len(truth.classes)
    map_n, impact = _impacts(judged, kind_JN, kept, instances_per_class)
    return ErrorAnalysis(
        tiou=thresholds,
        error_ties=error_ties,
        limit=limit,
        instances_per_class=instances_per_class,
        kept=int(kept.sum()),
        counts=_named(_count(kind_JN[:, kept])),
        map_n=map_n,
        impact=impact,
        profile=_profile(kind_JN, bucket, limit),
        per_class=_per_class(kind_JN[:, kept], judged.segments.label[kept], truth.classes),
        confusions=_confusions(kind_JN, kept, judged.segments.label, nearest, truth),
        plain=_mend(judged, kind_JN, nearest, protocol.ap),
        missed=_missed(judged, nearby, thresholds, protocol),
    )


# -- categories -----------------------------------------------------------------------------------


def _nearby(judged: Judged, protocol: Protocol, lowest: float) -> Pairs:
    """Pairs of the same video, whatever their classes, with tIoU >= `lowest`."""
    return candidates(
        _unlabelled(judged.segments),
        _unlabelled(judged.instances),
        lowest,
        ties="first",
        zero_union=protocol.zero_union,
        overlap=protocol.overlap,
    )


def _unlabelled(segments: Segments) -> Segments:
    return Segments(segments.video, np.zeros_like(segments.label), segments.start, segments.end)


def _nearest_instance(nearby: Pairs, judged: Judged, error_ties: str) -> tuple[Ints, Floats]:
    """(N,) the instance that judges each detection, -1 for none; (N,) their tIoU, 0 for none."""
    own = _of_own_class(nearby, judged)
    best = _best_pairs(nearby.detection, nearby.tiou, own if error_ties == "own" else None)
    nearest = np.full(len(judged.score), -1)
    overlap = np.zeros(len(judged.score), nearby.tiou.dtype)
    nearest[nearby.detection[best]] = nearby.instance[best]
    overlap[nearby.detection[best]] = nearby.tiou[best]
    return nearest, overlap


def _of_own_class(nearby: Pairs, judged: Judged) -> Bools:
    own: Bools = judged.segments.label[nearby.detection] == judged.instances.label[nearby.instance]
    return own


def _best_pairs(group: Ints, tiou: Floats, preferred: Bools | None) -> Ints:
    """For each group the pair of largest tIoU; of equal ones a preferred one, then the first."""
    keys = (-tiou, group) if preferred is None else (~preferred, -tiou, group)
    order = np.lexsort(keys)
    leads = np.ones(len(order), bool)
    leads[1:] = group[order][1:] != group[order][:-1]
    best: Ints = order[leads]
    return best


def _kinds(judged: Judged, true_label: Ints, overlap: Floats, reached_JN: Bools) -> Ints:
    """(J, N) kind of every detection, judged by an instance of `true_label` (N,)."""
    own = judged.segments.label == true_label
    near = np.where(overlap >= NEAR, np.where(own, LOCALIZATION, CONFUSION), BACKGROUND)
    kind_JN = np.where(reached_JN, np.where(own, DOUBLE, WRONG_LABEL), near)
    kind_JN[:, judged.ignored] = IGNORED
    kind_JN[judged.found >= 0] = TRUE_POSITIVE
    return kind_JN


def _bucket(judged: Judged, limit: int) -> Ints:
    """(N,) 0 for the best npos detections of a class, 1 for the next npos; `limit` for the rest."""
    label = judged.segments.label
    order = np.argsort(label, kind="stable")
    count = np.bincount(label, minlength=len(judged.npos))
    place = np.arange(len(label)) - np.repeat(np.cumsum(count) - count, count)
    bucket = np.empty(len(label), np.int64)
    bucket[order] = np.minimum(place // judged.npos[label[order]], limit)
    return bucket


def _count(kind_JN: Ints) -> Floats:
    """(K,) detections of each kind, mean over the thresholds."""
    counts = np.bincount(kind_JN.ravel(), minlength=IGNORED)[:IGNORED]
    return counts / len(kind_JN)


def _named(values: Floats, names: Sequence[str] = KINDS) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def _profile(kind_JN: Ints, bucket: Ints, limit: int) -> tuple[Bucket, ...]:
    table = [kind_JN[:, bucket == b] for b in range(limit)]
    return tuple(
        Bucket(f"{b}G", kinds.shape[1], _named(_count(kinds) / max(1, kinds.shape[1])))
        for b, kinds in enumerate(table, 1)
    )


def _per_class(kind_JN: Ints, label: Ints, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    width = IGNORED + 1
    cells = np.bincount((label * width + kind_JN).ravel(), minlength=len(classes) * width)
    table = cells.reshape(len(classes), width)[:, :IGNORED] / len(kind_JN)
    return dict(zip(classes, map(_named, table), strict=True))


def _confusions(
    kind_JN: Ints, kept: Bools, label: Ints, nearest: Ints, truth: Truth
) -> tuple[tuple[str, str, float], ...]:
    counts: Counter[tuple[int, int]] = Counter()
    for kind in kind_JN:
        rows = np.flatnonzero(kept & ((kind == WRONG_LABEL) | (kind == CONFUSION)))
        others = truth.instances.label[nearest[rows]]
        counts.update(zip(label[rows].tolist(), others.tolist(), strict=True))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:CONFUSIONS]
    return tuple(
        (truth.classes[said], truth.classes[true], count / len(kind_JN))
        for (said, true), count in ranked
    )


# -- what errors cost -----------------------------------------------------------------------------


def _impacts(
    judged: Judged, kind_JN: Ints, kept: Bools, instances_per_class: float
) -> tuple[float, dict[str, float]]:
    """mAP_N of the kept detections, and what it gains without the errors of each kind."""

    def map_n(without: int) -> float:
        aps = [
            normalised_ap_per_class(
                judged.segments.label,
                kept & (kind == TRUE_POSITIVE),
                kept & _false(kind, without),
                judged.npos,
                instances_per_class,
            )
            for kind in kind_JN
        ]
        return float(np.mean(aps))

    base = map_n(TRUE_POSITIVE)
    return base, {name: map_n(kind) - base for kind, name in enumerate(ERRORS, 1)}


def _false(kind: Ints, without: int = TRUE_POSITIVE) -> Bools:
    """(N,) false positives, one kind of them left out."""
    false: Bools = (kind != TRUE_POSITIVE) & (kind != IGNORED) & (kind != without)
    return false


def _mend(judged: Judged, kind_JN: Ints, nearest: Ints, ap: str) -> Mending:
    label, npos = judged.segments.label, judged.npos

    def mean_ap(said: Ints, right: Bools, wrong: Bools, positives: Ints = npos) -> float:
        return float(ap_per_class(said, right, wrong, positives, ap).mean())

    base = 0.0
    deleted, mended = dict.fromkeys(ERRORS, 0.0), dict.fromkeys((*ERRORS, "missed"), 0.0)
    for kind, found in zip(kind_JN, judged.found, strict=True):
        tp = kind == TRUE_POSITIVE
        base += mean_ap(label, tp, _false(kind))
        hits = np.bincount(label[tp], minlength=len(npos))
        mended["missed"] += mean_ap(label, tp, _false(kind), np.where(hits > 0, hits, npos))
        for code, name in enumerate(ERRORS, 1):
            others = _false(kind, code)
            deleted[name] += mean_ap(label, tp, others)
            right, said = tp.copy(), label.copy()
            if code in (WRONG_LABEL, LOCALIZATION, CONFUSION):
                rows = _first_at_free(np.flatnonzero(kind == code), nearest, found)
                right[rows], said[rows] = True, judged.instances.label[nearest[rows]]
            mended[name] += mean_ap(said, right, others)
    J = len(kind_JN)
    return Mending(
        base / J,
        {name: (total - base) / J for name, total in deleted.items()},
        {name: (total - base) / J for name, total in mended.items()},
    )


def _first_at_free(rows: Ints, nearest: Ints, found: Ints) -> Ints:
    """Of the given detections the best scored at each instance that is not found yet."""
    rows = rows[~np.isin(nearest[rows], found)]
    _, first = np.unique(nearest[rows], return_index=True)
    chosen: Ints = rows[first]
    return chosen


def _missed(
    judged: Judged, nearby: Pairs, thresholds: Sequence[float], protocol: Protocol
) -> Missed:
    G = len(judged.instances)
    own = _of_own_class(nearby, judged)
    best = _best_pairs(nearby.instance, nearby.tiou, own)
    overlap, own_label = np.zeros(G, nearby.tiou.dtype), np.zeros(G, bool)
    overlap[nearby.instance[best]] = nearby.tiou[best]
    own_label[nearby.instance[best]] = own[best]
    counts = np.zeros(len(CAUSES))
    for t, found in zip(thresholds, judged.found, strict=True):
        missed = np.ones(G, bool)
        missed[found[found >= 0]] = False
        near = np.where(overlap >= NEAR, np.where(own_label, 2, 3), 4)
        cause = np.where(reaches(overlap, t, protocol), np.where(own_label, 0, 1), near)
        counts += np.bincount(cause[missed], minlength=len(CAUSES))
    counts /= len(thresholds)
    total = float(counts.sum())
    return Missed(total, total / G, _named(counts, CAUSES))


# -- text -----------------------------------------------------------------------------------------


def _lines(analysis: ErrorAnalysis) -> list[str]:
    counts, plain = analysis.counts, analysis.plain
    at = ",".join(map(str, analysis.tiou))
    rows = [
        f"errors at tIoU {at} (ties: {analysis.error_ties}); best {analysis.limit} x npos of each "
        f"class: {analysis.kept} detections; mAP_N {100 * analysis.map_n:.2f}, "
        f"mAP {100 * plain.map:.2f}",
        f"{'':18}{'count':>9}{'share %':>9}{'mAP_N':>9}{'mAP':>9}{'mAP':>9}",
        f"{'gain, points':18}{'':9}{'':9}{'deleted':>9}{'deleted':>9}{'mended':>9}",
    ]
    for kind in KINDS:
        row = f"{_words(kind):18}{counts[kind]:9.0f}{_percent(counts[kind], analysis.kept):9.2f}"
        if kind in ERRORS:
            gains = (analysis.impact[kind], plain.deleted[kind], plain.mended[kind])
            row += "".join(f"{100 * gain:9.2f}" for gain in gains)
        rows.append(row)
    missed = analysis.missed
    rows += [
        f"{'missed instances':18}{missed.count:9.0f}{100 * missed.share:9.2f}"
        f"{'':18}{100 * plain.mended['missed']:9.2f}",
        "missed, by the detection that overlaps most: "
        + ", ".join(f"{_words(cause)} {count:.0f}" for cause, count in missed.causes.items()),
        "",
        f"{'share (%)':18}" + "".join(f"{bucket.name:>7}" for bucket in analysis.profile),
    ]
    for kind in KINDS:
        shares = "".join(f"{100 * bucket.share[kind]:7.1f}" for bucket in analysis.profile)
        rows.append(f"{_words(kind):18}{shares}")
    if analysis.confusions:
        rows += ["", "most confused (said, true, count):"]
        rows += [
            f"  {printable(said)}, {printable(true)}, {count:.0f}"
            for said, true, count in analysis.confusions
        ]
    return rows


def _words(name: str) -> str:
    return name.replace("_", " ")


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0
