"""A protocol is a set of values for named options; a preset is a protocol with a name.

Figures of two protocols cannot be compared, so the resolved options are printed and stored with
every result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from wtal_eval.faults import EvalError, shown

UnknownVideos = Literal["fp", "ignore", "error"]
Ties = Literal["last", "first"]
UnknownLabels = Literal["error", "ignore"]
InvalidDetections = Literal["error", "fp", "drop", "swap"]
NonpositiveGt = Literal["keep", "drop"]
ZeroUnion = Literal["match", "no-match"]
Ambiguous = Literal["class", "keep"]
VideoAp = Literal["sum", "interpolated"]

CHOICES: dict[str, tuple[str, ...]] = {
    "unknown_videos": get_args(UnknownVideos),
    "ties": get_args(Ties),
    "unknown_labels": get_args(UnknownLabels),
    "invalid_detections": get_args(InvalidDetections),
    "nonpositive_gt": get_args(NonpositiveGt),
    "zero_union": get_args(ZeroUnion),
    "ambiguous": get_args(Ambiguous),
    "video_ap": get_args(VideoAp),
}

# Decimals as written: numpy.linspace(.1, .9, 9) holds 0.30000000000000004, which a tIoU of exactly
# .3 fails.
TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
TWENTIETHS_FROM_HALF = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
THUMOS14_GRID = (0.1, 0.2, 0.3, 0.4, *TWENTIETHS_FROM_HALF)

# The averages the field quotes, and the thresholds each is the mean of.
AVERAGES: dict[str, tuple[float, ...]] = {
    "0.1:0.5": TENTHS[:5],
    "0.1:0.7": TENTHS[:7],
    "0.3:0.7": TENTHS[2:7],
    "0.1:0.9": TENTHS,
    "0.5:0.95": TWENTIETHS_FROM_HALF,
}


@dataclass(frozen=True)
class Protocol:
    """Every choice that changes a figure.

    Attributes:
        name: the preset the options started from.
        subset: subset of the annotation file that is evaluated.
        tiou: thresholds in (0, 1], in the order of the output.
        headline: the average the preset's papers quote, a key of `AVERAGES`.
        exclude_videos: videos taken out of the subset, as if the annotation file lacked them.
        unknown_videos: detections on videos outside the subset: false positives, ignored, refused.
            Those on excluded videos are never refused, but ignored instead.
        ties: which of equally scored detections ranks first, and which of equally overlapping
            instances is asked first: the last or the first in the file.
        unknown_labels: detections of labels nowhere in the annotation file: refused or ignored.
        invalid_detections: detections that end before they start: refused, false positives,
            dropped or turned round.
        nonpositive_gt: `keep` counts instances of zero length and refuses reversed ones; `drop`
            removes both.
        zero_union: whether two empty segments match (the official NaN comparison) or not.
        ambiguous: whether the label `Ambiguous` is a class like any other, or marks intervals that
            are no class; detections that touch them are kept.
        video_ap: average precision of the video-level ranking.

    Raises:
        EvalError: for a value that an option does not have.
    """

    name: str
    subset: str
    tiou: tuple[float, ...]
    headline: str
    exclude_videos: tuple[str, ...] = ()
    unknown_videos: UnknownVideos = "fp"
    ties: Ties = "last"
    unknown_labels: UnknownLabels = "error"
    invalid_detections: InvalidDetections = "error"
    nonpositive_gt: NonpositiveGt = "keep"
    zero_union: ZeroUnion = "match"
    ambiguous: Ambiguous = "keep"
    video_ap: VideoAp = "sum"

    def __post_init__(self) -> None:
        """Refuse values that an option does not have."""
        for option, choices in CHOICES.items():
            value = getattr(self, option)
            if value not in choices:
                raise EvalError(
                    f"Option {option} is {shown(value)}; expected one of {', '.join(choices)}."
                )
        if self.headline not in AVERAGES:
            raise EvalError(
                f"Option headline is {shown(self.headline)}; expected one of {', '.join(AVERAGES)}."
            )
        if not self.tiou:
            raise EvalError("Option tiou is empty; expected thresholds above 0 and up to 1.")
        for t in self.tiou:
            if not 0 < t <= 1:
                raise EvalError(f"Option tiou holds {t}; expected thresholds above 0 and up to 1.")
        if len(set(self.tiou)) < len(self.tiou):
            raise EvalError(f"Option tiou repeats a threshold: {self.tiou}; expected each once.")

    def to_json(self) -> dict[str, Any]:
        """Every option with its value, tuples as lists."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def line(self) -> str:
        """The resolved options in one line; of excluded videos only the number.

        Example:
            >>> PRESETS["activitynet"].line()[:45]
            'activitynet: subset=validation tiou=0.5,0.55,'
        """
        values = self.to_json() | {
            "tiou": ",".join(map(str, self.tiou)),
            "exclude_videos": len(self.exclude_videos),
        }
        name = values.pop("name")
        return f"{name}: " + " ".join(f"{option}={value}" for option, value in values.items())


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
}


def resolve(protocol: str | Protocol, overrides: Mapping[str, Any]) -> Protocol:
    """A preset or protocol with some options replaced; an option given as None is left as it is.

    Args:
        protocol: name of a preset, or a protocol.
        overrides: option -> value. `tiou` may be text, see `parse_grid`, or a sequence of floats,
            which are used as given. `exclude_videos` is a sequence of video ids.

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
    if "exclude_videos" in changes:
        changes["exclude_videos"] = _names(changes["exclude_videos"])
    return replace(protocol, **changes)


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


def _names(value: Any) -> tuple[str, ...]:
    names = () if isinstance(value, str) else tuple(value)
    if isinstance(value, str) or not all(isinstance(name, str) for name in names):
        raise EvalError(f"Option exclude_videos is {shown(value)}; expected a list of video ids.")
    return names
