"""Whether a score says how likely a detection is right, and which score to cut at.

Legend: `N` detections, `C` classes.

mAP asks only for the order of the scores. Who shows detections to people needs more: of those with
score .8, are 80 % true positives? And from which score on are nine of ten right?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from wtal_eval.faults import EvalError, printable, shown
from wtal_eval.judging import judge
from wtal_eval.protocols import Protocol
from wtal_eval.ranking import Ranking
from wtal_eval.segments import Bools, Floats, Ints
from wtal_eval.truth import Truth

if TYPE_CHECKING:
    import pandas as pd

Scale = Literal["given", "min-max", "rank"]

BINS = 15
WANTED = (0.5, 0.7, 0.9)  # precisions for which a score is looked up


@dataclass(frozen=True)
class ReliabilityBin:
    """Detections of neighbouring scores; all of one score lie in one bin.

    Attributes:
        lowest: score in the bin, as in the file.
        highest: the same.
        detections: in the bin.
        probability: mean of what the scores claim.
        precision: share of true positives.
    """

    lowest: float
    highest: float
    detections: int
    probability: float
    precision: float


@dataclass(frozen=True)
class CutOff:
    """The lowest score from which on the detections together reach a wanted precision.

    Attributes:
        wanted: precision that is asked for.
        score: keep the detections of at least this score; None if no score reaches it.
        precision: of those kept.
        recall: share of the instances they find.
        detections: kept.
    """

    wanted: float
    score: float | None
    precision: float | None
    recall: float | None
    detections: int


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision and recall of the detections down to each distinct score, the highest first.

    Attributes:
        label: the class; empty for all classes together.
        npos: instances.
        score: (S,) distinct, descending.
        detections: (S,) with at least that score.
        precision: (S,) share of true positives among them.
        recall: (S,) share of the instances found by them.
    """

    label: str
    npos: int
    score: Floats
    detections: Ints
    precision: Floats
    recall: Floats

    def cut_off(self, wanted: float) -> CutOff:
        """Where to cut for a precision of at least `wanted`, at the largest recall."""
        enough = np.flatnonzero(self.precision >= wanted)
        if not len(enough):
            return CutOff(wanted, None, None, None, 0)
        s = enough[-1]
        return CutOff(
            wanted,
            float(self.score[s]),
            float(self.precision[s]),
            float(self.recall[s]),
            int(self.detections[s]),
        )


@dataclass(frozen=True)
class Calibration:
    """Scores against true positives at one threshold.

    Attributes:
        tiou: the threshold.
        scale: how scores became probabilities: as `given`, by `min-max` or by `rank`.
        detections: how many.
        precision: share of true positives among all of them.
        ece: expected calibration error, the mean of |probability - precision| over the detections'
            bins; None without detections, as the next two.
        brier: mean of (probability - hit)^2.
        brier_constant: the same for a detector that always says `precision`; a Brier score above
            it says less than nothing.
        bins: in ascending order of the scores, of nearly equal counts.
        overall: cut-offs of one score for all classes.
        per_class: label -> cut-offs.
    """

    tiou: float
    scale: Scale
    detections: int
    precision: float
    ece: float | None
    brier: float | None
    brier_constant: float | None
    bins: tuple[ReliabilityBin, ...]
    overall: tuple[CutOff, ...]
    per_class: dict[str, tuple[CutOff, ...]]

    def to_json(self) -> dict[str, Any]:
        """Every field as plain lists, dicts, text and numbers."""
        lists: dict[str, Any] = {
            "bins": [asdict(one) for one in self.bins],
            "overall": [asdict(one) for one in self.overall],
            "per_class": {
                label: [asdict(one) for one in row] for label, row in self.per_class.items()
            },
        }
        return asdict(self) | lists

    def text(self) -> str:
        """The reliability table and the cut-offs."""
        return "\n".join(_lines(self)) + "\n"

    def frame(self) -> pd.DataFrame:
        """One row per reliability bin."""
        import pandas as pd

        return pd.DataFrame([asdict(one) for one in self.bins])


def analyse(
    ranking: Ranking,
    truth: Truth,
    protocol: Protocol,
    *,
    tiou: float = 0.5,
    bins: int = BINS,
    scale: Scale | None = None,
    wanted: Sequence[float] = WANTED,
) -> Calibration:
    """Compare what the scores claim with what is found at one threshold.

    Args:
        ranking: the detections that take part.
        truth: the evaluated subset.
        protocol: its rules of matching.
        tiou: threshold of a true positive.
        bins: of the reliability table; equal scores are never parted, so there may be fewer.
        scale: how scores become probabilities. `given`: they are; `min-max`: (s - least) / (most -
            least); `rank`: share of detections of lower score, half of the equal ones included.
            None takes `given` if all lie in [0, 1], else `min-max`.
        wanted: precisions for which a cut-off is looked up.

    Raises:
        EvalError: for an option without meaning, or scores outside [0, 1] taken as `given`.
    """
    _check_options(bins, scale, wanted)
    label, score, hit = _hits(ranking, truth, protocol, float(tiou))
    inside = not len(score) or bool(score[-1] >= 0 and score[0] <= 1)
    if scale is None:
        scale = "given" if inside else "min-max"
    if scale == "given" and not inside:
        raise EvalError(
            f"Option scale is 'given', but scores run from {score[-1]:g} to {score[0]:g}; "
            f"expected min-max or rank for scores outside 0 to 1."
        )
    probability = as_probabilities(score, scale)
    rows = reliability(score, probability, hit, bins)
    precision = float(hit.mean()) if len(hit) else 0.0
    known = len(score) > 0
    gaps = [one.detections * abs(one.probability - one.precision) for one in rows]
    curves = _curves(label, score, hit, truth)
    return Calibration(
        tiou=float(tiou),
        scale=scale,
        detections=len(score),
        precision=precision,
        ece=sum(gaps) / len(score) if known else None,
        brier=float(np.mean((probability - hit) ** 2)) if known else None,
        brier_constant=precision * (1 - precision) if known else None,
        bins=rows,
        overall=tuple(
            curve_of("", score, hit, len(truth.instances)).cut_off(float(w)) for w in wanted
        ),
        per_class={curve.label: tuple(curve.cut_off(float(w)) for w in wanted) for curve in curves},
    )


def precision_recall(
    ranking: Ranking, truth: Truth, protocol: Protocol, *, tiou: float = 0.5
) -> tuple[Curve, ...]:
    """One curve per class, in alphabetical order; that of a class without detections is empty."""
    return _curves(*_hits(ranking, truth, protocol, float(tiou)), truth)


def _hits(
    ranking: Ranking, truth: Truth, protocol: Protocol, tiou: float
) -> tuple[Ints, Floats, Bools]:
    """Class, score and success of the detections that stay in the ranking, best scored first."""
    judged = judge(ranking, truth, protocol, (tiou,))
    hit = judged.found[0] >= 0
    stays = hit | ~judged.ignored
    return judged.segments.label[stays], judged.score[stays], hit[stays]


def _check_options(bins: int, scale: str | None, wanted: Sequence[float]) -> None:
    if bins < 1:
        raise EvalError(f"Option bins is {shown(bins)}; expected a whole number of at least 1.")
    if scale is not None and scale not in get_args(Scale):
        raise EvalError(
            f"Option scale is {shown(scale)}; expected one of {', '.join(get_args(Scale))}."
        )
    for w in wanted:
        if not 0 < w <= 1:
            raise EvalError(f"A wanted precision is {shown(w)}; expected above 0 and up to 1.")


def as_probabilities(score: Floats, scale: Scale) -> Floats:
    """Scores as numbers in [0, 1]; equal scores stay equal.

    Example:
        >>> as_probabilities(np.array([3.0, 1.0, -1.0, -1.0]), "min-max").tolist()
        [1.0, 0.5, 0.0, 0.0]
        >>> as_probabilities(np.array([3.0, 1.0, -1.0, -1.0]), "rank").tolist()
        [0.875, 0.625, 0.25, 0.25]
    """
    if scale == "given" or not len(score):
        return score
    if scale == "rank":
        ascending = np.sort(score)
        below = np.searchsorted(ascending, score, side="left")
        up_to = np.searchsorted(ascending, score, side="right")
        ranks: Floats = (below + up_to) / (2 * len(score))
        return ranks
    halves = score / 2  # the range of two large scores overflows, that of their halves does not
    least, span = halves.min(), halves.max() - halves.min()
    scaled: Floats = (halves - least) / span if span > 0 else np.full(len(score), 0.5)
    return scaled


def reliability(
    score: Floats, probability: Floats, hit: Bools, bins: int
) -> tuple[ReliabilityBin, ...]:
    """Bins of nearly equal counts, ascending; a bin ends only where the score changes.

    Args:
        score: (N,) in any order.
        probability: (N,) what the scores claim; rises with the score.
        hit: (N,) True for a true positive.
        bins: at most that many.
    """
    order = np.argsort(score, kind="stable")
    score, probability, hit = score[order], probability[order], hit[order]
    wanted = np.arange(1, bins + 1) * len(score) // bins
    ends = np.unique(np.searchsorted(score, score[wanted[wanted > 0] - 1], side="right"))
    return tuple(
        ReliabilityBin(
            lowest=float(score[low]),
            highest=float(score[high - 1]),
            detections=int(high - low),
            probability=float(probability[low:high].mean()),
            precision=float(hit[low:high].mean()),
        )
        for low, high in zip(np.append(0, ends[:-1]), ends, strict=len(ends) > 0)
    )


def curve_of(label: str, score: Floats, hit: Bools, npos: int) -> Curve:
    """The curve of detections by descending score: a point where the score changes.

    Between equal scores nothing can be cut, so the order of the file has no say.
    """
    last = np.append(score[1:] != score[:-1], True) if len(score) else np.zeros(0, bool)
    count = np.flatnonzero(last) + 1
    found = np.cumsum(hit)[last]
    return Curve(label, npos, score[last], count, found / count, found / npos)


def _curves(label: Ints, score: Floats, hit: Bools, truth: Truth) -> tuple[Curve, ...]:
    npos = np.bincount(truth.instances.label, minlength=len(truth.classes))
    order = np.argsort(label, kind="stable")
    cuts = np.searchsorted(label[order], np.arange(len(truth.classes) + 1))
    parts = [order[low:high] for low, high in pairwise(cuts)]
    return tuple(
        curve_of(name, score[rows], hit[rows], int(count))
        for name, rows, count in zip(truth.classes, parts, npos, strict=True)
    )


def _lines(calibration: Calibration) -> list[str]:
    scale = {
        "given": "as given",
        "min-max": "scaled from least to most",
        "rank": "replaced by their rank",
    }[calibration.scale]
    lines = [f"calibration at tIoU {calibration.tiou}: scores {scale}"]
    if calibration.ece is None or calibration.brier is None:
        return [*lines, "no detections"]
    lines += [
        f"{calibration.detections} detections, precision {100 * calibration.precision:.2f} %; "
        f"expected calibration error {calibration.ece:.4f}, Brier {calibration.brier:.4f} "
        f"(a constant: {calibration.brier_constant:.4f})",
        "",
        f"{'score from':>12}{'to':>12}{'count':>9}{'claimed %':>11}{'precision %':>13}",
    ]
    lines += [
        f"{one.lowest:12.4g}{one.highest:12.4g}{one.detections:9d}"
        f"{100 * one.probability:11.2f}{100 * one.precision:13.2f}"
        for one in calibration.bins
    ]
    rows = {"all classes": calibration.overall} | {
        printable(label): row for label, row in calibration.per_class.items()
    }
    width = max(map(len, rows)) + 2
    wanted = [f"{100 * one.wanted:g} % right" for one in calibration.overall]
    lines += ["", "lowest score to keep (recall %)".ljust(width)]
    lines.append(" " * width + "".join(head.rjust(18) for head in wanted))
    for name, row in rows.items():
        lines.append(name.ljust(width) + "".join(_cell(one).rjust(18) for one in row))
    return lines


def _cell(one: CutOff) -> str:
    if one.score is None or one.recall is None:
        return "-"
    return f"{one.score:.4g} ({100 * one.recall:.1f})"
