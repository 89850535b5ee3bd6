"""The options of a protocol: what each may be, one line of help, and how text is read.

Both commands, `python -m wtal_eval` and `wtal eval`, make their flags from this table.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, get_args

from wtal_eval.faults import EvalError, shown

# Decimals as written: numpy.linspace(.1, .9, 9) holds 0.30000000000000004, which a tIoU of exactly
# .3 fails.
TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
TWENTIETHS_FROM_HALF = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)

# The averages the field quotes, and the thresholds each is the mean of.
AVERAGES: dict[str, tuple[float, ...]] = {
    "0.1:0.5": TENTHS[:5],
    "0.1:0.7": TENTHS[:7],
    "0.3:0.7": TENTHS[2:7],
    "0.1:0.9": TENTHS,
    "0.5:0.95": TWENTIETHS_FROM_HALF,
}

Match = Literal["best", "first", "per-instance"]
Overlap = Literal["union", "hull"]
OverlapTest = Literal["ge", "gt"]
Ap = Literal["interpolated", "sum", "11point"]
Ties = Literal["last", "first", "video", "true-first"]
Precision = Literal["float64", "float32"]
GridUnits = Literal["seconds", "snippets"]
GridDetections = Literal["keep", "cut"]
Ambiguous = Literal["class", "keep", "drop-fp", "drop-all"]
UnknownVideos = Literal["fp", "ignore", "error"]
UnknownLabels = Literal["error", "ignore"]
InvalidDetections = Literal["error", "fp", "drop", "swap"]
NonpositiveGt = Literal["keep", "drop", "swap"]
ZeroUnion = Literal["match", "no-match"]
CliffAsDiving = Literal["off", "detections", "video-scores"]
ScoreNorm = Literal["off", "max"]
VideoAp = Literal["sum", "interpolated"]


class Option(NamedTuple):
    """One option of `Protocol`, as a flag of a command.

    Attributes:
        help: one line, without full stop.
        type: what the text on the command line becomes.
        choices: the values it may have; empty for any value of the type.
        metavar: what stands for the value in the help.
        many: whether the flag may be repeated; the values make a tuple.
        diagnostic: it changes the detections themselves, to find a fault in the pipeline that made
            them. Such figures are no results, so every output names the option.
    """

    help: str
    type: type[str] | type[float] | type[int] = str
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    many: bool = False
    diagnostic: bool = False


def _choice(values: Any, text: str, *, diagnostic: bool = False) -> Option:
    return Option(text, choices=get_args(values), diagnostic=diagnostic)


def _seconds(text: str) -> Option:
    return Option(text, float, metavar="SECONDS", diagnostic=True)


# In the order of the fields of `Protocol`. `exclude_videos` and `ambiguous_file` are files of the
# user; the commands read the first, since Python callers give the ids themselves.
OPTIONS: dict[str, Option] = {
    "subset": Option("subset of the annotation file", metavar="NAME"),
    "tiou": Option("thresholds, such as .5 or .1,.3,.55 or .5:.05:.95", metavar="GRID"),
    "headline": Option("average to quote, such as 0.1:0.7, or one threshold, @0.5", metavar="NAME"),
    "match": _choice(Match, "who finds whom: see eval/README.md"),
    "overlap": _choice(Overlap, "how the union is computed: ActivityNet's way or the evalkit's"),
    "overlap_test": _choice(OverlapTest, "a match needs tIoU >= t or > t"),
    "ap": _choice(Ap, "area under the precision-recall curve"),
    "ties": _choice(Ties, "which of equal scores ranks first"),
    "precision": _choice(Precision, "arithmetic of the overlaps"),
    "zero_union": _choice(ZeroUnion, "whether two empty segments match"),
    "grid": Option("instances rounded to snippets of FRAMES/FPS, or off", metavar="FRAMES/FPS"),
    "grid_units": _choice(GridUnits, "unit in which segments are compared on a grid"),
    "grid_detections": _choice(GridDetections, "detections on a grid in snippets: cut to integers"),
    "ambiguous": _choice(Ambiguous, "what the intervals labelled Ambiguous do"),
    "ambiguous_file": Option(
        "further Ambiguous intervals, lines of video start end", metavar="FILE"
    ),
    "exclude_videos": Option("video ids to leave out, one a line", metavar="FILE"),
    "exclude_class": Option("class to leave out; may be repeated", metavar="LABEL", many=True),
    "unknown_videos": _choice(UnknownVideos, "detections on videos outside the subset"),
    "unknown_labels": _choice(UnknownLabels, "detections of labels nowhere in the annotation"),
    "invalid_detections": _choice(InvalidDetections, "detections that end before they start"),
    "nonpositive_gt": _choice(NonpositiveGt, "instances of zero or negative length"),
    "dedup_gt": Option("remove instances that repeat another within SECONDS", float, (), "SECONDS"),
    "cliff_as_diving": _choice(CliffAsDiving, "count CliffDiving as Diving, too", diagnostic=True),
    "assume_fps": Option(
        "times as if every video had this rate", float, (), "FPS", diagnostic=True
    ),
    "time_scale": Option("factor on all times", float, (), "FACTOR", diagnostic=True),
    "time_offset": _seconds("added to start and end"),
    "end_offset": _seconds("added to the end"),
    "nms": Option("hard NMS at this tIoU before scoring", float, (), "TIOU", diagnostic=True),
    "length_offset": _seconds("added to every length in that NMS; 1 is the pixel +1"),
    "score_norm": _choice(ScoreNorm, "score / largest of its video and class", diagnostic=True),
    "max_per_video": Option("keep the N best of each video", int, (), "N", diagnostic=True),
    "video_ap": _choice(VideoAp, "average precision of the video-level ranking"),
}


def parse_grid(text: str) -> tuple[float, ...]:
    """Thresholds from text: single decimals and start:step:stop ranges, joined by commas.

    Example:
        >>> parse_grid(".1:.1:.4,.55")
        (0.1, 0.2, 0.3, 0.4, 0.55)

    Raises:
        EvalError: if the text is neither.
    """
    from decimal import Decimal, InvalidOperation

    grid: list[float] = []
    for part in text.split(","):
        try:
            bounds = [Decimal(word.strip()) for word in part.split(":")]
        except InvalidOperation:
            bounds = []
        if len(bounds) == 1:
            grid.append(float(bounds[0]))
        elif len(bounds) == 3 and 0 < bounds[0] <= bounds[2] <= 1 and bounds[1] >= Decimal(".001"):
            # In decimals, so that .1 + 2 * .1 is the threshold written .3 and not its neighbour.
            steps = int((bounds[2] - bounds[0]) / bounds[1])
            grid += [float(bounds[0] + i * bounds[1]) for i in range(steps + 1)]
        else:
            raise EvalError(
                f"Threshold {shown(part)} of tiou cannot be read; expected a decimal such as .5, "
                f"or start:step:stop such as .5:.05:.95 between 0 and 1."
            )
    return tuple(grid)


def parse_snippet(text: str) -> tuple[float, float] | None:
    """Frames per snippet and frames per second; None for `off`.

    Example:
        >>> parse_snippet("16/25")
        (16.0, 25.0)

    Raises:
        EvalError: if the text is neither.
    """
    if text == "off":
        return None
    try:
        frames, fps = (float(word) for word in text.split("/"))
    except (ValueError, AttributeError):
        frames = fps = math.nan
    if not (0 < frames < math.inf and 0 < fps < math.inf):
        raise EvalError(f"Option grid is {shown(text)}; expected FRAMES/FPS such as 16/25, or off.")
    return frames, fps


def headline_threshold(headline: str) -> float | None:
    """The threshold of a headline such as `@0.5`; None for the name of an average.

    Example:
        >>> headline_threshold("@0.5")
        0.5
    """
    try:
        return float(headline[1:]) if headline.startswith("@") else None
    except ValueError:
        return None
