"""Whether one result is better than another, or only luckier with these videos.

Legend: `V` videos, `N` detections, `K` of them true positives at some threshold, `C` classes, `J`
thresholds, `R` resamples.

The paired bootstrap draws V videos with replacement, scores both results on them, and asks how the
difference varies. Matching happens inside a video and only the ranking mixes videos, so a resample
is a number of copies per video: detections and instances count that often in the cumulative sums,
and nothing is matched twice.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile
interval).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from wtal_eval.columns import Annotations, Detections
from wtal_eval.faults import EvalError, printable, shown
from wtal_eval.io import Source, read_annotations, read_detections
from wtal_eval.judging import Judged, judge
from wtal_eval.notes import Notes
from wtal_eval.options import AVERAGES, headline_threshold
from wtal_eval.protocols import Protocol, resolve
from wtal_eval.ranking import select_detections
from wtal_eval.segments import Floats, Ints
from wtal_eval.truth import Truth, select_truth

if TYPE_CHECKING:
    import pandas as pd

CELLS_AT_ONCE = 1 << 23  # detections, or videos, times resamples; bounds the memory
MOST_RESAMPLES = 100_000  # the ends of a 95 % interval move by less than .01 of its width there


@dataclass(frozen=True)
class Difference:
    """One figure of two results; a fraction.

    Attributes:
        name: a threshold, or a key of `AVERAGES`; `all` for the mean over the thresholds.
        a: the figure of the first result.
        b: that of the second.
        difference: a - b.
        low: lower end of the percentile interval of the difference.
        high: its upper end.
        below_zero: share of the resamples with a difference below zero.
    """

    name: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    below_zero: float


@dataclass(frozen=True)
class Comparison:
    """The paired bootstrap over the videos of a subset.

    Attributes:
        a: name of the first result.
        b: name of the second.
        protocol: the rules of both.
        videos: how many were drawn from, and in each resample.
        n: resamples.
        seed: of their random numbers.
        confidence: share of the resamples inside the interval.
        headline: the figure to quote.
        averages: all averages that the thresholds cover.
        thresholds: one row per threshold.
        warnings: what was noted on reading both.
    """

    a: str
    b: str
    protocol: Protocol
    videos: int
    n: int
    seed: int
    confidence: float
    headline: Difference
    averages: tuple[Difference, ...]
    thresholds: tuple[Difference, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Every field as plain lists, dicts, text and numbers."""
        return {
            "a": self.a,
            "b": self.b,
            "protocol": self.protocol.to_json(),
            "videos": self.videos,
            "n": self.n,
            "seed": self.seed,
            "confidence": self.confidence,
            "headline": asdict(self.headline),
            "averages": [asdict(row) for row in self.averages],
            "thresholds": [asdict(row) for row in self.thresholds],
            "warnings": list(self.warnings),
        }

    def text(self) -> str:
        """One line per figure, in points."""
        return "\n".join(_lines(self)) + "\n"

    def frame(self) -> pd.DataFrame:
        """One row per figure, in percent and points."""
        import pandas as pd

        rows = [asdict(row) for row in (*self.thresholds, *self.averages)]
        frame = pd.DataFrame(rows).set_index("name")
        return 100 * frame


def compare(
    a: Source | Detections,
    b: Source | Detections,
    annotations: Source | Annotations,
    protocol: str | Protocol = "thumos14",
    *,
    n: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    **overrides: Any,
) -> Comparison:
    """Compare two results on resampled videos, the same ones for both.

    A class without an instance in a resample is left out of that resample's mean; where no class
    has one, there is no difference. Detections on videos outside the subset belong to no sample:
    they stay in every resample, once.

    Args:
        a: a result JSON, a mapping of its form, or `Detections`.
        b: the result it is compared with.
        annotations: an annotation JSON, a mapping of its form, or `Annotations`.
        protocol: a preset or a `Protocol`.
        n: resamples.
        seed: of the random numbers; the same seed draws the same videos.
        confidence: of the percentile interval.
        **overrides: options of the protocol; None leaves an option as it is.

    Raises:
        EvalError: for input that cannot be evaluated, or options without meaning.

    Example:
        >>> jump = {"label": "Jump", "segment": [0, 10]}
        >>> truth = {v: {"subset": "test", "annotations": [jump]} for v in "uvw"}
        >>> right = {v: [jump | {"score": 0.9}] for v in "uvw"}
        >>> wrong = {v: [jump | {"score": 0.9, "segment": [20, 30]}] for v in "uvw"}
        >>> found = compare({"results": right}, {"results": wrong}, {"database": truth}, n=10)
        >>> found.headline.difference, found.headline.below_zero
        (1.0, 0.0)
    """
    if not 1 <= n <= MOST_RESAMPLES:
        raise EvalError(
            f"Option n (--resamples) is {shown(n)}; expected 1 to {MOST_RESAMPLES:,} resamples."
        )
    if seed < 0:
        raise EvalError(f"Option seed (--seed) is {shown(seed)}; expected 0 or more.")
    if not 0 < confidence < 1:
        raise EvalError(f"Option confidence is {shown(confidence)}; expected between 0 and 1.")
    rules = resolve(protocol, overrides)
    if not isinstance(annotations, Annotations):
        annotations = read_annotations(annotations)
    notes = Notes()
    truth = select_truth(annotations, rules, notes)
    names, both = [], []
    for one in (a, b):
        result = one if isinstance(one, Detections) else read_detections(one, annotations.class_ids)
        ranking = select_detections(result, annotations, truth, rules, notes)
        names.append(result.source)
        both.append(judge(ranking, truth, rules, rules.tiou))
    blocks = [
        [resampled_map(judged, truth, rules, copies_RV) for judged in both]
        for copies_RV in resamples(len(truth.videos), n, seed)
    ]
    maps = [np.vstack(parts) for parts in zip(*blocks, strict=True)]
    row = _Row(maps[0], maps[1], confidence)
    averages = {name: _columns(rules.tiou, members) for name, members in AVERAGES.items()}
    rows = {name: row.of(name, js) for name, js in averages.items() if js}
    return Comparison(
        a=names[0],
        b=names[1],
        protocol=rules,
        videos=len(truth.videos),
        n=n,
        seed=seed,
        confidence=confidence,
        headline=_headline(rules, rows, row),
        averages=tuple(rows.values()),
        thresholds=tuple(row.of(str(t), [j]) for j, t in enumerate(rules.tiou)),
        warnings=tuple(dict.fromkeys(notes.warnings)),
    )


def resamples(videos: int, n: int, seed: int) -> Iterator[Ints]:
    """1 + n rows of copies of each video, (R, V) at a time; the first row holds each once.

    Drawn in blocks of bounded size; how the rows are blocked does not change them.
    """
    generator = np.random.default_rng(seed)
    yield np.ones((1, videos), np.int64)
    for rows in _blocks(n, videos):
        size = min(rows.stop, n) - rows.start
        yield generator.multinomial(videos, np.full(videos, 1 / videos), size=size)


def resampled_map(judged: Judged, truth: Truth, protocol: Protocol, copies_RV: Ints) -> Floats:
    """(R, J) mAP of every resample; 0 for one without any instance.

    Copies of a detection rank one behind the other, as those of a duplicated video would (which
    would alternate those of two equally scored detections; here they stand in two runs). The m
    copies of a true positive, i true ones and r detections up to the last of them, have the
    precisions (i - m + k) / (r - m + k), k = 1 .. m; the last is the largest.

    Args:
        judged: with the thresholds of the columns.
        truth: the subset.
        protocol: for its `ap`.
        copies_RV: (R, V) copies of each video.

    Raises:
        EvalError: for an 11-point average precision, which is no sum over true positives.
    """
    if protocol.ap == "11point":
        raise EvalError("Resampling needs the option ap to be interpolated or sum, not 11point.")
    by_class = np.argsort(judged.segments.label, kind="stable")
    maps = [
        _block_map(judged, by_class, truth, copies_RV[rows].T, protocol.ap == "interpolated")
        for rows in _blocks(len(copies_RV), len(by_class))
    ]
    return np.vstack(maps)


def _blocks(resamples: int, detections: int) -> Iterator[slice]:
    size = max(1, CELLS_AT_ONCE // max(1, detections))
    for low in range(0, resamples, size):
        yield slice(low, low + size)


def _block_map(
    judged: Judged, by_class: Ints, truth: Truth, copies_VR: Ints, interpolated: bool
) -> Floats:
    """(R, J) mAP of some resamples. Rows are detections, class by class and by rank."""
    R, C = copies_VR.shape[1], len(truth.classes)
    copies_VR = np.vstack([copies_VR, np.ones((1, R), np.int64)]).astype(np.int32)
    label, found_JN = judged.segments.label[by_class], judged.found[:, by_class]
    ignored = judged.ignored[by_class]
    copies_NR = copies_VR[judged.segments.video[by_class]]
    cells = truth.instances.label * len(copies_VR) + truth.instances.video
    instances_CV = np.bincount(cells, minlength=C * len(copies_VR)).reshape(C, -1)
    instances_CR = instances_CV.astype(np.float64) @ copies_VR
    starts = np.searchsorted(label, np.arange(C + 1))
    maps = np.empty((R, len(found_JN)))
    rank_NR = np.cumsum(copies_NR, axis=0, dtype=np.int32)
    for j, found in enumerate(found_JN):
        hit = found >= 0
        if ignored.any():
            rank_NR = np.cumsum(copies_NR * (hit | ~ignored)[:, None], axis=0, dtype=np.int32)
        ap_CR = np.zeros((C, R))
        for c, (low, high) in enumerate(pairwise(starts)):
            at = low + np.flatnonzero(hit[low:high])
            if len(at):
                before = rank_NR[low - 1] if low else 0
                copies = copies_NR[at]
                area = _interpolated if interpolated else _summed
                ap_CR[c] = area(copies, np.cumsum(copies, axis=0), rank_NR[at] - before)
        # Without an instance in the resample there is no true positive, so 0 / 1.
        ap_CR /= np.maximum(instances_CR, 1)
        maps[:, j] = ap_CR.sum(axis=0) / np.maximum((instances_CR > 0).sum(axis=0), 1)
    return maps


def _interpolated(copies_KR: Ints, true_KR: Ints, rank_KR: Ints) -> Floats:
    """(R,) sum over the true positives of the best precision there or behind.

    One without copies has a precision no better than the last one with copies before it, so it
    changes no maximum.
    """
    precision_KR = true_KR / np.maximum(rank_KR, 1)
    best_KR = np.maximum.accumulate(precision_KR[::-1])
    total: Floats = (copies_KR[::-1] * best_KR).sum(axis=0)
    return total


def _summed(copies_KR: Ints, true_KR: Ints, rank_KR: Ints) -> Floats:
    """(R,) sum over the true positives of the precision at each copy."""
    total = np.zeros(copies_KR.shape[1])
    for k in range(int(copies_KR.max())):
        one = copies_KR > k  # those with at least k + 1 copies: the one k places before the last
        precision_KR = np.divide(true_KR - k, rank_KR - k, out=np.zeros(one.shape), where=one)
        total += precision_KR.sum(axis=0)
    return total


class _Row:
    """Makes the rows of a comparison from the mAPs (R, J) of both results."""

    def __init__(self, map_a: Floats, map_b: Floats, confidence: float) -> None:
        self.map_a, self.map_b = map_a, map_b
        self.tails = [(1 - confidence) / 2, (1 + confidence) / 2]

    def of(self, name: str, columns: Sequence[int]) -> Difference:
        """The mean over some thresholds; the first resample is the result itself."""
        a = self.map_a[:, columns].mean(axis=1)
        b = self.map_b[:, columns].mean(axis=1)
        difference = (a - b)[1:]
        low, high = np.quantile(difference, self.tails).tolist()
        below = float((difference < 0).mean())
        return Difference(name, float(a[0]), float(b[0]), float(a[0] - b[0]), low, high, below)


def _columns(tiou: Sequence[float], members: Sequence[float]) -> list[int]:
    """Where the members of an average stand among the thresholds; empty if one is not there."""
    places = [[j for j, t in enumerate(tiou) if abs(t - member) < 1e-9] for member in members]
    return [place[0] for place in places] if all(places) else []


def _headline(rules: Protocol, averages: dict[str, Difference], row: _Row) -> Difference:
    if rules.headline in averages:
        return averages[rules.headline]
    threshold = headline_threshold(rules.headline)
    columns = [] if threshold is None else _columns(rules.tiou, [threshold])
    if columns:
        return row.of(rules.headline, columns)
    return row.of("all", range(len(rules.tiou)))


def _lines(comparison: Comparison) -> list[str]:
    names = [printable(os.path.basename(name)) for name in (comparison.a, comparison.b)]
    percent = f"{100 * comparison.confidence:g} %"
    lines = [
        comparison.protocol.line(),
        f"A {names[0]} versus B {names[1]}: paired bootstrap over {comparison.videos} videos, "
        f"{comparison.n} resamples, seed {comparison.seed}",
        "",
        f"{'mAP':12}{'A (%)':>9}{'B (%)':>9}{'A - B':>9}{percent + ' interval':>20}{'below 0':>10}",
    ]
    lines += [_line("@" + row.name, row) for row in comparison.thresholds]
    lines += [_line(row.name, row) for row in comparison.averages]
    headline = comparison.headline
    lines += [
        "",
        f"headline ({headline.name}): A - B {100 * headline.difference:+.2f} points, "
        f"{percent} interval {100 * headline.low:+.2f} to {100 * headline.high:+.2f}; "
        f"below zero in {100 * headline.below_zero:.1f} % of the resamples",
    ]
    lines += [f"warning: {printable(line)}" for line in comparison.warnings]
    return lines


def _line(name: str, row: Difference) -> str:
    interval = f"{100 * row.low:+.2f} .. {100 * row.high:+.2f}"
    return (
        f"{name:12}{100 * row.a:9.2f}{100 * row.b:9.2f}{100 * row.difference:+9.2f}"
        f"{interval:>20}{100 * row.below_zero:9.1f}%"
    )
