"""What the page is given: an index of all videos, and a block per video that is made when needed.

Shapes: V videos, N detections, C classes, K classes drawn in one video, P points of its curves.
The JSON of `Index.to_json` and `Block.to_json` is what the script of the page reads.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FORMAT = 1

Measure = Literal["confidence", "score"]
FloatN = NDArray[np.float64]
IntN = NDArray[np.int64]


@dataclass(frozen=True)
class VideoRow:
    """What the list of videos shows of one.

    Attributes:
        name: its id.
        subset: of the annotations or tags, if they say it.
        duration_s: if anything says it.
        media: percent-encoded URL, relative to the folder of the page; None: nothing to play.
        tags: indices into the classes; None: unknown.
        truth: number of annotated segments; None: not annotated.
        note: why it was skipped, or a warning.
        skipped: it has no place in the results.
    """

    name: str
    subset: str | None = None
    duration_s: float | None = None
    media: str | None = None
    tags: tuple[int, ...] | None = None
    truth: int | None = None
    note: str | None = None
    skipped: bool = False


@dataclass(frozen=True)
class Found:
    """The detections of all videos, in columns: by video, then by start.

    Attributes:
        classes_N: indices into the classes.
        starts_N: seconds, to the millisecond.
        ends_N: seconds, to the millisecond.
        scores_N: what `Index.measure` says, to 4 digits.
        first: V + 1 offsets; video v has rows first[v] to first[v + 1].
    """

    classes_N: IntN
    starts_N: FloatN
    ends_N: FloatN
    scores_N: FloatN
    first: tuple[int, ...]

    def to_json(self) -> dict[str, list[int] | list[float]]:
        """The columns as plain lists."""
        return {
            "class": self.classes_N.tolist(),
            "start_s": self.starts_N.tolist(),
            "end_s": self.ends_N.tolist(),
            "score": self.scores_N.tolist(),
        }


@dataclass(frozen=True)
class MapRow:
    """One line of the mAP table, fractions; averages by the name of their range, `0.1:0.7`."""

    name: str
    map: tuple[float, ...]
    averages: Mapping[str, float]


@dataclass(frozen=True)
class MapTable:
    """mAP of this result and of those beside it, one column per tIoU."""

    tiou: tuple[float, ...]
    rows: tuple[MapRow, ...]


@dataclass(frozen=True)
class ClassResult:
    """One class: average AP (None where nothing is annotated), and how many there are of each."""

    label: str
    ap: float | None
    segments: int
    detections: int


@dataclass(frozen=True)
class ErrorShare:
    """One kind of outcome among the best detections, or the missed instances.

    Attributes:
        name: in words.
        share: of the detections looked at; of missed instances, of all instances.
        cost: mAP that mending it would gain; None: it is no error.
    """

    name: str
    share: float
    cost: float | None


@dataclass(frozen=True)
class Bin:
    """Detections of like confidence: mean confidence, share that are right, number."""

    confidence: float
    precision: float | None
    count: int


@dataclass(frozen=True)
class Reliability:
    """How often detections of a confidence are right, and what that was counted on."""

    bins: tuple[Bin, ...]
    note: str


@dataclass(frozen=True)
class Cost:
    """What one stage took."""

    stage: str
    seconds: float
    what: str = ""


@dataclass(frozen=True)
class Overview:
    """The part above the videos; the page leaves out what is empty or None.

    Attributes:
        map: the table.
        ap_name: what the AP of a class is the mean over, `0.1:0.7`.
        per_class: in the order of the labels.
        errors: the profile.
        calibration: confidence beside what was right, at tIoU 0.5.
        costs: of the stages, in their order.
    """

    map: MapTable | None = None
    ap_name: str = ""
    per_class: tuple[ClassResult, ...] = ()
    errors: tuple[ErrorShare, ...] = ()
    calibration: Reliability | None = None
    costs: tuple[Cost, ...] = ()


@dataclass(frozen=True)
class Index:
    """What is needed to list, search, sort and filter all videos.

    Attributes:
        title: of the page.
        source: which model and file said it.
        about: (name, value) lines.
        classes: C labels; their order gives the colours.
        measure: what the score of a detection is.
        threshold: where the slider starts.
        videos: V rows.
        detections: of them.
        overview: None: nothing is known to show there.
        sure: the confidence from which on a detection is sure; None: none is, or nothing is known.
    """

    title: str
    source: str
    about: tuple[tuple[str, str], ...]
    classes: tuple[str, ...]
    measure: Measure
    threshold: float
    videos: tuple[VideoRow, ...]
    detections: Found
    overview: Overview | None = None
    sure: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The block `wtal-index`; videos in columns, which are a third of the size."""
        names = ("name", "subset", "duration_s", "media", "tags", "truth", "note", "skipped")
        columns: dict[str, Any] = {
            name: [getattr(row, name) for row in self.videos] for name in names
        }
        return {
            "format": FORMAT,
            "title": self.title,
            "source": self.source,
            "about": [list(line) for line in self.about],
            "classes": list(self.classes),
            "measure": self.measure,
            "threshold": self.threshold,
            "sure": self.sure,
            "videos": columns | {"first": list(self.detections.first)},
            "detections": self.detections.to_json(),
            "overview": None if self.overview is None else asdict(self.overview),
        }


@dataclass(frozen=True)
class Curves:
    """The curves that the model saw in one video, normalised; 255 stands for 1.

    Attributes:
        step_s: seconds per point; point p covers [p, p + 1) * step_s.
        classes: K indices into the classes.
        cas_KP: uint8.
        attention_P: uint8; None: the model has none.
    """

    step_s: float
    classes: tuple[int, ...]
    cas_KP: NDArray[np.uint8]
    attention_P: NDArray[np.uint8] | None

    def to_json(self) -> dict[str, Any]:
        """Base64 of the bytes, a string per class."""
        attention = None if self.attention_P is None else _base64(self.attention_P)
        return {
            "step_s": self.step_s,
            "classes": list(self.classes),
            "cas": [_base64(curve_P) for curve_P in self.cas_KP],
            "attention": attention,
        }


@dataclass(frozen=True)
class Block:
    """What only the view of one video needs.

    Attributes:
        truth: (class, start, end) of the annotated segments, seconds.
        curves: None: the features are not at hand.
        class_scores: class -> probability that it happens in the video; None: unknown.
    """

    truth: tuple[tuple[int, float, float], ...] = ()
    curves: Curves | None = None
    class_scores: Mapping[int, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """The block `video-<i>`."""
        scores = self.class_scores
        return {
            "truth": [list(segment) for segment in self.truth],
            "curves": None if self.curves is None else self.curves.to_json(),
            "class_scores": None if scores is None else {str(c): p for c, p in scores.items()},
        }


@dataclass(frozen=True)
class ReportData:
    """A report: its index, and the blocks of its videos one after the other, in the same order.

    Attributes:
        index: all of it is in memory.
        blocks: starts a new pass over the videos; a block is made when it is asked for.
    """

    index: Index
    blocks: Callable[[], Iterator[Block]] = field(repr=False)


def _base64(values_P: NDArray[np.uint8]) -> str:
    return base64.b64encode(np.ascontiguousarray(values_P).tobytes()).decode("ascii")
