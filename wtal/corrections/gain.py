"""What corrections gained: the same training without them, and both measured on other videos.

Both networks share seed, schedule and everything else; which videos serve stands in plan.py.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from wtal.config import Config
from wtal.corrections.file import Corrections, VideoCorrections
from wtal.corrections.plan import Plan
from wtal.corrections.simulate import ENOUGH, Span, overlap
from wtal.inputs import Labels
from wtal.localize import Localizer, VideoDetections
from wtal.peers import Peers
from wtal.readings import count_readings
from wtal.validation import evaluate_on
from wtal_eval import Annotations, read_annotations
from wtal_features import FeatureError, FeatureStore
from wtal_features.errors import counted
from wtal_features.files import make_folder, write_json

if TYPE_CHECKING:
    from wtal.training import TrainResult

GAIN_FILE = "gain.json"
FOLDER = "gain"  # of the run folder: the runs that serve the comparison
AVERAGE, AT_HALF, IN_ORDER = "mAP .1:.7", "mAP .5", "verdicts in order"
Results = Mapping[str, VideoDetections]


@dataclass(frozen=True)
class Gain:
    """Figures of the networks without and with corrections.

    Args:
        corrections: segments with a verdict that the second one learned from.
        about: what was scored, in words.
        without: figure -> value, fractions; tags alone.
        given: the same with corrections.
    """

    corrections: int
    about: str
    without: Mapping[str, float]
    given: Mapping[str, float]


def measure_gain(
    plan: Plan,
    result: TrainResult,
    config: Config,
    store: FeatureStore,
    labels: Labels,
    corrections: Corrections,
    *,
    device: torch.device | str = "cpu",
    quiet: bool = False,
) -> Gain | None:
    """Train what the comparison needs, or go on with it; None if that was interrupted.

    Args:
        plan: of plan.py.
        result: the finished run with all corrections.
        config: of the run.
        store: features.
        labels: as they were given.
        corrections: all of them.
        device: where to compute.
        quiet: no progress bar.

    Raises:
        WtalError, FeatureError, EvalError: as training does.
    """
    from wtal.training import train

    peers = Peers.running(device)

    def trained(name: str, given: Corrections | None) -> Path | None:
        folder = result.run / FOLDER / name
        peers.of_first(lambda: make_folder(folder))
        how = {"resume": True, "device": device, "quiet": quiet}
        ended = train(config, store, labels, folder, corrections=given, **how)  # type: ignore[arg-type]
        return None if ended.interrupted else folder

    control, run, used = trained("without", None), result.run, corrections
    if control is None:
        return None
    if plan.withheld is not None:
        used = corrections.only(frozenset(corrections.videos) - frozenset(plan.videos))
        part = trained("withheld", used)
        if part is None:
            return None
        run = part

    def compare() -> Gain:
        without, given = (_figures(folder, plan, store, device) for folder in (control, run))
        gain = Gain(used.count, plan.about, without, given)
        write_json(result.run / GAIN_FILE, asdict(gain))
        return gain

    return peers.of_first(compare)


def _figures(
    run: Path, plan: Plan, store: FeatureStore, device: torch.device | str
) -> dict[str, float]:
    """What one network reaches on the videos of the plan."""
    found: dict[str, VideoDetections] = {}
    for name, one in Localizer.load(run, device).localize_store(store, plan.videos):
        if not isinstance(one, FeatureError):  # a fault concerns all networks alike
            found[name] = one
    if plan.annotations is not None:
        count_readings(run, None)
        return _mean_ap(found, plan.annotations)
    assert plan.withheld is not None  # a plan has one of the two
    said = plan.withheld.videos
    figures = _mean_ap(found, truth_of(said))
    in_order = verdicts_in_order(found, said)
    return figures if in_order is None else figures | {IN_ORDER: in_order}


def _mean_ap(found: Results, annotations: Annotations) -> dict[str, float]:
    evaluation = evaluate_on(found, annotations)
    half = evaluation.map[list(evaluation.tiou).index(0.5)]
    figures = {AVERAGE: evaluation.averages["0.1:0.7"], AT_HALF: float(half)}
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def truth_of(videos: Mapping[str, VideoCorrections]) -> Annotations:
    """What happens in complete videos, as annotations."""
    database = {
        name: {
            "subset": "corrected",
            "annotations": [
                {"label": each.label, "segment": [each.start_s, each.end_s]}
                for each in video.segments
                if each.happens
            ],
        }
        for name, video in videos.items()
        if video.complete
    }
    return read_annotations({"database": database})


def verdicts_in_order(found: Results, videos: Mapping[str, VideoCorrections]) -> float | None:
    """How often a segment that happens is detected with a higher score than a rejected one.

    The score of a segment is that of the best detection of its class with tIoU .5 or more, 0 if
    there is none. A tie counts half; .5 is chance.

    Returns:
        In [0, 1]; None where one of the two kinds is missing.
    """
    scores: dict[bool, list[float]] = {True: [], False: []}
    for name, video in videos.items():
        if name in found:
            for each in video.segments:
                span = Span(each.label, each.start_s, each.end_s)
                scores[each.happens].append(_score_of(span, found[name]))
    if not scores[True] or not scores[False]:
        return None
    rejected = np.sort(scores[False])
    below = np.searchsorted(rejected, scores[True], "left")
    to = np.searchsorted(rejected, scores[True], "right")
    return float((below + to).mean() / 2 / len(rejected))


def _score_of(span: Span, found: VideoDetections) -> float:
    spans = zip(found.labels, found.starts_N.tolist(), found.ends_N.tolist(), strict=True)
    scores = zip(map(Span._make, spans), found.scores_N.tolist(), strict=True)
    same = (
        score for one, score in scores if one.label == span.label and overlap(one, span) >= ENOUGH
    )
    return max(same, default=0.0)


def gain_lines(gains: Sequence[Gain]) -> list[str]:
    """The table that is printed: one training each, or mean and sd over seeds."""
    first = gains[0]
    names = [n for n in first.without if all(n in g.without and n in g.given for g in gains)]
    rows: dict[str, Callable[[Gain, str], float]] = {
        "tags alone": lambda gain, name: gain.without[name],
        "with corrections": lambda gain, name: gain.given[name],
        "difference": lambda gain, name: gain.given[name] - gain.without[name],
    }
    what = counted(first.corrections, "correction gains", "corrections gain")
    lines = [f"what {what}, in percent; scored: {first.about}"]
    lines.append("  " + " " * 20 + "".join(f"{name:>20}" for name in names))
    for label, value in rows.items():
        sign = "+" if label == "difference" else ""
        cells = (_cell([100 * value(gain, name) for gain in gains], sign) for name in names)
        lines.append(f"  {label:20}" + "".join(f"{cell:>20}" for cell in cells))
    if len(gains) == 1:
        lines.append("  One training each: a few points may be chance; --seeds 0,1,2,3,4 tells.")
    return lines


def _cell(values: Sequence[float], sign: str) -> str:
    """`+1.2`, or `+1.2 ± 0.4` over seeds."""
    mean = f"{statistics.mean(values):{sign}.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"
