"""A protocol is a set of values for named options; a preset is a protocol with a name.

Figures of two protocols cannot be compared, so the resolved options are printed and stored with
every result.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from wtal_eval.faults import EvalError, shown
from wtal_eval.options import (
    AVERAGES,
    OPTIONS,
    TENTHS,
    TWENTIETHS_FROM_HALF,
    Ambiguous,
    Ap,
    CliffAsDiving,
    GridDetections,
    GridUnits,
    InvalidDetections,
    Match,
    NonpositiveGt,
    Overlap,
    OverlapTest,
    Precision,
    ScoreNorm,
    Ties,
    UnknownLabels,
    UnknownVideos,
    VideoAp,
    ZeroUnion,
    headline_threshold,
    parse_grid,
    parse_snippet,
)

__all__ = [
    "AVERAGES",
    "PRESETS",
    "TENTHS",
    "THUMOS14_GRID",
    "TWENTIETHS_FROM_HALF",
    "Ambiguous",
    "InvalidDetections",
    "NonpositiveGt",
    "Protocol",
    "Ties",
    "UnknownLabels",
    "UnknownVideos",
    "VideoAp",
    "ZeroUnion",
    "nearest",
    "resolve",
]

THUMOS14_GRID = (0.1, 0.2, 0.3, 0.4, *TWENTIETHS_FROM_HALF)


def _is(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _wrong(option: str, value: Any, expected: str) -> EvalError:
    return EvalError(f"Option {option} is {shown(value)}; expected {expected}.")


@dataclass(frozen=True)
class Protocol:
    """Every choice that changes a figure; `eval/README.md` says by how much.

    Attributes:
        name: the preset the options started from.
        subset: subset of the annotation file that is evaluated.
        tiou: thresholds in (0, 1], in the order of the output.
        headline: the figure the preset's papers quote: a key of `AVERAGES`, or `@` and a threshold.
        match: who finds whom, see `matching.py`.
        overlap: `union` or `hull`, the same ratio with other rounding, see `segments.py`.
        overlap_test: whether tIoU >= t matches, or only tIoU > t.
        ap: area under the precision-recall curve, see `average_precision.py`.
        ties: which of equally scored detections ranks first, and which of equally overlapping
            instances is asked first: the `last` or the `first` in the file. `video`: by video name,
            inside a video the first; `true-first`: so, too, but true positives before false ones.
        precision: of the overlaps.
        zero_union: whether two empty segments match (the official NaN comparison) or not.
        grid: `16/25` rounds instances to snippets of 16 frames at 25 fps; `off`.
        grid_units: whether segments are then compared in seconds or in snippets.
        grid_detections: in snippets, `cut` detections to integers or `keep` their fractions.
        ambiguous: what intervals labelled `Ambiguous` do. `class`: they are an ordinary class;
            `keep`: nothing; `drop-fp`: false positives that touch one leave the ranking;
            `drop-all`: all detections that touch one are dropped before matching.
        ambiguous_file: such intervals beside those of the annotations.
        exclude_videos: videos taken out of the subset, as if the annotation file lacked them.
        exclude_class: classes taken out, as if the annotation file had no instance of them.
        unknown_videos: detections on videos outside the subset: false positives, ignored, refused.
            Those on excluded videos are never refused, but ignored instead.
        unknown_labels: detections of labels nowhere in the annotation file: refused or ignored.
        invalid_detections: detections that end before they start: refused, false positives,
            dropped or turned round.
        nonpositive_gt: `keep` counts instances of zero length and refuses reversed ones; `drop`
            removes both; `swap` counts the empty and turns the reversed round.
        dedup_gt: seconds by which both ends of an instance may differ from those of an earlier one
            of its class to be removed as its repetition; None: repetitions stay.
        cliff_as_diving: `detections`: each of CliffDiving is emitted as Diving, too, as THUMOS14
            annotates it; `video-scores`: only the video-level score of Diving is raised.
        assume_fps: detections as a pipeline makes them that takes this rate for every video.
        time_scale: factor on the times of detections.
        time_offset: seconds added to their starts and ends.
        end_offset: seconds added to their ends.
        nms: tIoU of a hard NMS per video and class; None: none.
        length_offset: seconds added to every length in it.
        score_norm: `max` divides each score by the largest of its video and class.
        max_per_video: best detections kept of each video, after the NMS; None: all.
        video_ap: average precision of the video-level ranking.

    Raises:
        EvalError: for a value that an option does not have.
    """

    name: str
    subset: str
    tiou: tuple[float, ...]
    headline: str
    match: Match = "best"
    overlap: Overlap = "union"
    overlap_test: OverlapTest = "ge"
    ap: Ap = "interpolated"
    ties: Ties = "last"
    precision: Precision = "float64"
    zero_union: ZeroUnion = "match"
    grid: str = "off"
    grid_units: GridUnits = "seconds"
    grid_detections: GridDetections = "keep"
    ambiguous: Ambiguous = "keep"
    ambiguous_file: str | None = None
    exclude_videos: tuple[str, ...] = ()
    exclude_class: tuple[str, ...] = ()
    unknown_videos: UnknownVideos = "fp"
    unknown_labels: UnknownLabels = "error"
    invalid_detections: InvalidDetections = "error"
    nonpositive_gt: NonpositiveGt = "keep"
    dedup_gt: float | None = None
    cliff_as_diving: CliffAsDiving = "off"
    assume_fps: float | None = None
    time_scale: float = 1.0
    time_offset: float = 0.0
    end_offset: float = 0.0
    nms: float | None = None
    length_offset: float = 0.0
    score_norm: ScoreNorm = "off"
    max_per_video: int | None = None
    video_ap: VideoAp = "sum"

    def __post_init__(self) -> None:
        """Refuse values that an option does not have."""
        for name, option in OPTIONS.items():
            value = getattr(self, name)
            if option.choices and value not in option.choices:
                raise _wrong(name, value, f"one of {', '.join(option.choices)}")
        if not self.tiou:
            raise EvalError("Option tiou is empty; expected thresholds above 0 and up to 1.")
        for t in self.tiou:
            if not 0 < t <= 1:
                raise EvalError(f"Option tiou holds {t}; expected thresholds above 0 and up to 1.")
        if len(set(self.tiou)) < len(self.tiou):
            raise EvalError(f"Option tiou repeats a threshold: {self.tiou}; expected each once.")
        if self.headline not in AVERAGES and headline_threshold(self.headline) is None:
            expected = f"one of {', '.join(AVERAGES)}, or a threshold such as @0.5"
            raise _wrong("headline", self.headline, expected)
        parse_snippet(self.grid)
        for name, (low, high, expected) in _RANGES.items():
            value = getattr(self, name)
            # `not <=` also refuses NaN.
            kinds = (int,) if OPTIONS[name].type is int else (int, float)
            if value is not None and not (_is(value, kinds) and low <= value <= high):
                raise _wrong(name, value, expected)

    def diagnostics(self) -> dict[str, Any]:
        """The options that change the detections themselves and are not at their default."""
        defaults = {field.name: field.default for field in fields(Protocol)}
        return {
            name: getattr(self, name)
            for name, option in OPTIONS.items()
            if option.diagnostic and getattr(self, name) != defaults[name]
        }

    def to_json(self) -> dict[str, Any]:
        """Every option with its value, tuples as lists."""
        values = {field.name: getattr(self, field.name) for field in fields(Protocol)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    def line(self) -> str:
        """The resolved options in one line; of excluded videos only the number.

        Example:
            >>> PRESETS["activitynet"].line()[:45]
            'activitynet: subset=validation tiou=0.5,0.55,'
        """
        values = self.to_json() | {
            "tiou": ",".join(map(str, self.tiou)),
            "exclude_videos": len(self.exclude_videos),
            "exclude_class": ",".join(self.exclude_class) or "none",
        }
        name = values.pop("name")
        words = (f"{k}={'off' if v is None else v}" for k, v in values.items())
        return f"{name}: " + " ".join(words)


_SECONDS = (-1e9, 1e9, "seconds")
_RANGES: dict[str, tuple[float, float, str]] = {
    "dedup_gt": (0, 1e9, "seconds, 0 or more"),
    "assume_fps": (1e-3, 1e6, "frames per second above 0"),
    "time_scale": (1e-9, 1e9, "a factor above 0"),
    "time_offset": _SECONDS,
    "end_offset": _SECONDS,
    "nms": (1e-3, 1, "a tIoU of .001 to 1"),
    "length_offset": (0, 1e9, "seconds, 0 or more"),
    "max_per_video": (1, 2**62, "a number of detections, 1 or more"),
}

_EVALKIT = Protocol(
    name="thumos14-evalkit",
    subset="test",
    tiou=THUMOS14_GRID,
    headline="@0.5",
    match="per-instance",
    overlap="hull",
    overlap_test="gt",
    ap="sum",
    ties="video",
    ambiguous="drop-fp",
    invalid_detections="swap",
    nonpositive_gt="swap",
)
_SNIPPET_GRID = Protocol(
    name="snippet-grid",
    subset="test",
    tiou=THUMOS14_GRID,
    headline="0.1:0.7",
    grid="16/25",
    grid_units="snippets",
    ambiguous="drop-all",
)

# Who uses which: eval/README.md. Every preset but the first is for THUMOS14 and its relatives.
PRESETS: dict[str, Protocol] = {
    "activitynet": Protocol(
        name="activitynet",
        subset="validation",
        tiou=TWENTIETHS_FROM_HALF,
        headline="0.5:0.95",
        ambiguous="class",
        video_ap="interpolated",
    ),
    "thumos14": Protocol(name="thumos14", subset="test", tiou=THUMOS14_GRID, headline="0.1:0.7"),
    "thumos14-evalkit": _EVALKIT,
    "thumos14-evalkit-2014": replace(
        _EVALKIT,
        name="thumos14-evalkit-2014",
        tiou=TENTHS[:5],
        headline="0.1:0.5",
        ap="11point",
        ties="true-first",
    ),
    "snippet-grid": _SNIPPET_GRID,
    "wtalc": replace(
        _SNIPPET_GRID,
        name="wtalc",
        headline="0.1:0.5",
        match="first",
        ap="sum",
        zero_union="no-match",
        grid_detections="cut",
        unknown_videos="ignore",
    ),
    "multithumos": Protocol(name="multithumos", subset="test", tiou=TENTHS, headline="0.1:0.9"),
}


def resolve(protocol: str | Protocol, overrides: Mapping[str, Any]) -> Protocol:
    """A preset or protocol with some options replaced; an option given as None is left as it is.

    Args:
        protocol: name of a preset, or a protocol.
        overrides: option -> value. `tiou` may be text, see `parse_grid`, or a sequence of floats,
            which are used as given. `exclude_videos` and `exclude_class` are sequences of names.

    Raises:
        EvalError: for an unknown preset or option, or a value that an option does not have.
    """
    if isinstance(protocol, str):
        if protocol not in PRESETS:
            raise EvalError(
                f"Protocol {shown(protocol)} is unknown; expected one of {', '.join(PRESETS)}."
            )
        protocol = PRESETS[protocol]
    changes = {option: value for option, value in overrides.items() if value is not None}
    known = [field.name for field in fields(Protocol) if field.name != "name"]
    for option in changes:
        if option not in known:
            raise EvalError(f"Option {option} is unknown{nearest(option, known)}.")
    if "tiou" in changes:
        changes["tiou"] = _grid(changes["tiou"])
    for option in ("exclude_videos", "exclude_class"):
        if option in changes:
            changes[option] = _names(option, changes[option])
    if "ambiguous_file" in changes:
        changes["ambiguous_file"] = os.fspath(changes["ambiguous_file"])
    return replace(protocol, **changes)


def nearest(name: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?` for the known name that looks most like `name`, or nothing."""
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _grid(value: Any) -> tuple[float, ...]:
    if isinstance(value, str):
        return parse_grid(value)
    try:
        return tuple(float(t) for t in value)
    except (TypeError, ValueError):
        raise EvalError(
            f"Option tiou is {shown(value)}; expected thresholds or text such as .5:.05:.95."
        ) from None


def _names(option: str, value: Any) -> tuple[str, ...]:
    names = () if isinstance(value, str) else tuple(value)
    if isinstance(value, str) or not all(isinstance(name, str) for name in names):
        raise _wrong(option, value, "a list of names")
    return names
