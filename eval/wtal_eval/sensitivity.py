"""Which instances a detector is good at: short or long ones, alone or many in a video.

Legend: `N` detections, `G` instances, `C` classes, `J` thresholds.

Source: HumamAlwassel/DETAD@24f7d95 src/sensitivity_analysis.py and src/false_negative_analysis.py.
We differ in one point: true positives of other bins are taken out per threshold, there those of one
threshold stay out at all that follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from wtal_eval.faults import EvalError, shown
from wtal_eval.judging import (
    Judged,
    judge,
    normalised_ap_per_class,
    normalised_precision,
    thresholds_of,
)
from wtal_eval.protocols import Protocol
from wtal_eval.ranking import Ranking
from wtal_eval.segments import Bools, Floats, Ints
from wtal_eval.truth import Truth

if TYPE_CHECKING:
    import pandas as pd

# A find at a normalised precision of 5 % or less is one nobody would look at (DETAD).
LOWEST_PRECISION = 0.05

SIZES = ("XS", "S", "M", "L", "XL")
CHARACTERISTICS = {
    "length": "s",
    "coverage": "share of the video",
    "instances": "in the video",
}

# Upper edges, inclusive; one more bin lies above the last. The values are DETAD's.
THUMOS14_BINS: dict[str, tuple[float, ...]] = {
    "length": (3, 6, 12, 18),
    "coverage": (0.02, 0.04, 0.06, 0.08),
    "instances": (1, 40, 80),
}
ACTIVITYNET_BINS: dict[str, tuple[float, ...]] = {
    "length": (30, 60, 120, 180),
    "coverage": (0.2, 0.4, 0.6, 0.8),
    "instances": (1, 4, 8),
}


@dataclass(frozen=True)
class Bin:
    """The instances of one bin.

    Attributes:
        name: `XS` to `XL`, or to `L` where there are four bins.
        above: edge the values lie above; None for the first bin.
        up_to: edge the values reach at most; None for the last bin.
        instances: in the bin.
        classes: with an instance in the bin.
        map_n: mean normalised AP on these instances; None without any.
        missed: share not found, or found at a normalised precision of at most 5 %; None without
            any.
    """

    name: str
    above: float | None
    up_to: float | None
    instances: int
    classes: int
    map_n: float | None
    missed: float | None


@dataclass(frozen=True)
class Sensitivity:
    """Figures per bin of three characteristics; means over the thresholds.

    Attributes:
        tiou: (J,) thresholds.
        map_n: mean normalised AP on all instances, with all detections.
        missed: share of all instances that is missed, as in the bins.
        unknown: instances on videos without a duration; they lie in no bin of coverage.
        bins: `length`, `coverage` and `instances` (of all classes in the video) -> bins.
    """

    tiou: tuple[float, ...]
    map_n: float
    missed: float
    unknown: int
    bins: dict[str, tuple[Bin, ...]]

    def to_json(self) -> dict[str, Any]:
        """Every field as plain lists, dicts, text and numbers."""
        bins = {name: [asdict(one) for one in row] for name, row in self.bins.items()}
        return asdict(self) | {"tiou": list(self.tiou), "bins": bins}

    def text(self) -> str:
        """One block per characteristic, in percent."""
        return "\n".join(_lines(self)) + "\n"

    def frame(self) -> pd.DataFrame:
        """One row per characteristic and bin; `map_n` and `missed` in percent."""
        import pandas as pd

        rows = [
            {"characteristic": name, "bin": one.name}
            | {key: value for key, value in asdict(one).items() if key != "name"}
            for name, row in self.bins.items()
            for one in row
        ]
        frame = pd.DataFrame(rows).set_index(["characteristic", "bin"])
        frame[["map_n", "missed"]] = 100 * frame[["map_n", "missed"]].astype(float)
        return frame


def bins_of(protocol: Protocol) -> dict[str, tuple[float, ...]]:
    """Edges for long videos of daily life if the headline is .5:.95, else those for THUMOS14."""
    return ACTIVITYNET_BINS if protocol.headline == "0.5:0.95" else THUMOS14_BINS


def analyse(
    ranking: Ranking,
    truth: Truth,
    protocol: Protocol,
    *,
    tiou: Sequence[float] | None = None,
    edges: Mapping[str, Sequence[float]] | None = None,
) -> Sensitivity:
    """MAP_N and missed share per bin of length, coverage and number of instances.

    In a bin its instances alone are positives; true positives of other bins are taken out, false
    positives stay, classes without an instance in the bin are left out of its mean.

    Args:
        ranking: the detections that take part, all of them.
        truth: the evaluated subset.
        protocol: its rules of matching, and its headline.
        tiou: thresholds; None takes those of the diagnosis, `errors.thresholds_of`.
        edges: characteristic -> ascending upper edges, inclusive, three or four of them; what is
            not given keeps the edges of the protocol, `bins_of`.

    Raises:
        EvalError: for thresholds or edges that cannot be used.
    """
    thresholds = thresholds_of(protocol) if tiou is None else tuple(map(float, tiou))
    all_edges = bins_of(protocol) | _checked(edges or {})
    judged = judge(ranking, truth, protocol, thresholds)
    mean_npos = len(truth.instances) / len(truth.classes)
    missed_JG = _missed(judged, mean_npos, len(truth.instances))
    everything = np.ones(len(truth.instances), bool)
    values = _characteristics(truth)
    return Sensitivity(
        tiou=thresholds,
        map_n=_map_n(judged, everything, truth.instances.label, mean_npos),
        missed=float(missed_JG.mean()),
        unknown=int(np.isnan(values["coverage"]).sum()),
        bins={
            name: _bins(judged, value, all_edges[name], missed_JG, truth.instances.label, mean_npos)
            for name, value in values.items()
        },
    )


def _checked(edges: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, ...]]:
    for name, values in edges.items():
        if name not in CHARACTERISTICS:
            raise EvalError(
                f"Edges are given for {shown(name)}; expected one of {', '.join(CHARACTERISTICS)}."
            )
        ascending = all(low < high for low, high in pairwise(values))
        if not 0 < len(values) < len(SIZES) or not ascending:
            raise EvalError(
                f"Edges of {name} are {shown(tuple(values))}; "
                f"expected one to {len(SIZES) - 1} ascending numbers."
            )
    return {name: tuple(map(float, values)) for name, values in edges.items()}


def _characteristics(truth: Truth) -> dict[str, Floats]:
    """(G,) values of every instance; a coverage of NaN where the video has no duration."""
    instances = truth.instances
    length = instances.end - instances.start
    duration = truth.durations[instances.video]
    coverage = np.full(len(length), np.nan)
    np.divide(length, duration, out=coverage, where=duration > 0)  # NaN is not above 0
    count = np.bincount(instances.video, minlength=len(truth.videos))[instances.video]
    return {"length": length, "coverage": coverage, "instances": count.astype(np.float64)}


def _missed(judged: Judged, mean_npos: float, instances: int) -> Bools:
    """(J, G) instances without a find at a normalised precision above 5 %."""
    missed = np.ones((len(judged.found), instances), bool)
    for row, found in zip(missed, judged.found, strict=True):
        hit = found >= 0
        at, precision = normalised_precision(
            judged.segments.label, hit, ~hit & ~judged.ignored, judged.npos, mean_npos
        )
        row[found[at[precision > LOWEST_PRECISION]]] = False
    return missed


def _bins(
    judged: Judged,
    value: Floats,
    edges: Sequence[float],
    missed_JG: Bools,
    label: Ints,
    mean_npos: float,
) -> tuple[Bin, ...]:
    place = np.searchsorted(np.asarray(edges), value, side="left")  # right-closed: 3 s is XS
    bins = []
    for b in range(len(edges) + 1):
        inside = (place == b) & ~np.isnan(value)
        some = bool(inside.any())
        bins.append(
            Bin(
                name=SIZES[b],
                above=float(edges[b - 1]) if b else None,
                up_to=float(edges[b]) if b < len(edges) else None,
                instances=int(inside.sum()),
                classes=len(np.unique(label[inside])),
                map_n=_map_n(judged, inside, label, mean_npos) if some else None,
                missed=float(missed_JG[:, inside].mean()) if some else None,
            )
        )
    return tuple(bins)


def _map_n(judged: Judged, inside: Bools, label: Ints, mean_npos: float) -> float:
    """Mean normalised AP if the instances `inside` (G,) were the only ones."""
    npos = np.bincount(label[inside], minlength=len(judged.npos))
    aps = [
        normalised_ap_per_class(
            judged.segments.label,
            (found >= 0) & inside[found],  # -1 reads the last instance, and counts for nothing
            (found < 0) & ~judged.ignored,
            npos,
            mean_npos,
        )[npos > 0].mean()
        for found in judged.found
    ]
    return float(np.mean(aps))


def _lines(sensitivity: Sensitivity) -> list[str]:
    at = ",".join(map(str, sensitivity.tiou))
    lines = [
        f"sensitivity at tIoU {at}: mAP_N {100 * sensitivity.map_n:.2f}, "
        f"missed {100 * sensitivity.missed:.2f} %"
    ]
    for name, row in sensitivity.bins.items():
        heads = "".join(f"{one.name:>10}" for one in row)
        ranges = "".join(f"{span(one):>10}" for one in row)
        lines += ["", f"{name:12}{heads}", f"{CHARACTERISTICS[name]:20.20}"[:12] + ranges]
        lines.append(f"{'instances':12}" + "".join(f"{one.instances:10d}" for one in row))
        for title, figures in (
            ("mAP_N (%)", [one.map_n for one in row]),
            ("missed (%)", [one.missed for one in row]),
        ):
            cells = ["-" if x is None else f"{100 * x:.2f}" for x in figures]
            lines.append(f"{title:12}" + "".join(f"{cell:>10}" for cell in cells))
    if sensitivity.unknown:
        lines.append(f"{sensitivity.unknown} instances on videos without duration have no coverage")
    return lines


def span(one: Bin) -> str:
    """The range of a bin, such as `<=3`, `3-6` and `>18`."""
    if one.above is None:
        return f"<={one.up_to:g}"
    return f">{one.above:g}" if one.up_to is None else f"{one.above:g}-{one.up_to:g}"
