"""Annotations and detections as columns: one array per field instead of one object per row.

Legend: `V` videos, `N` rows (instances or detections), `L` labels. `video` and `label` hold codes,
positions in the tuples `videos` and `labels`. The order of rows has meaning: it decides ties.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from wtal_eval.faults import EXAMPLES, EvalError, Faults, shown
from wtal_eval.segments import Bools, Floats, Ints

VideoScores = Mapping[str, Mapping[str, float]]

LARGEST_TIME_S = 1e100  # lengths, their sums and times in snippets stay far from overflow


@dataclass(frozen=True, eq=False, kw_only=True)
class _Columns:
    videos: tuple[str, ...]  # (V,) names
    labels: tuple[str, ...]  # (L,) names
    video: Ints  # (N,) codes of videos
    label: Ints  # (N,) codes of labels
    start: Floats  # (N,) seconds
    end: Floats  # (N,) seconds

    version: str = ""  # the file's own; empty if it has none
    source: str = ""  # file name for messages
    lines: Ints | None = None  # (N,) line of each row, if the file is text

    kind: ClassVar[str] = "row"
    numbers: ClassVar[tuple[str, ...]] = ("start", "end")

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.video)

    def where(self, i: int) -> str:
        """Row `i` in the words of the file: its line, or its place in its video's list."""
        if self.lines is not None:
            return f"line {self.lines[i]}"
        place = int(np.count_nonzero(self.video[:i] == self.video[i]))
        return f"video {shown(self.videos[self.video[i]])}, {self.kind} {place} (from 0)"

    def refuse_reversed(self, rows: Bools, cure: str) -> None:
        """Raise for the given rows, which end before they start."""
        faults = Faults(self.source)
        at = np.flatnonzero(rows)
        for i in at[:EXAMPLES]:
            segment = [float(self.start[i]), float(self.end[i])]
            faults.add(self.where(i), "segment", segment, f"start <= end ({cure})")
        faults.count += max(0, len(at) - EXAMPLES)
        faults.raise_if_any()

    def __post_init__(self) -> None:
        """Refuse columns that do not fit together, and values that nothing can be done with."""
        for name, codes, names in (
            ("video", self.video, self.videos),
            ("label", self.label, self.labels),
        ):
            _check_codes(self.source, name, codes, len(self))
            _check_names(self.source, name, codes, names)
        faults = Faults(self.source)
        for name in self.numbers:
            values = getattr(self, name)
            if values.dtype != np.float64 or values.shape != (len(self),):
                raise EvalError(
                    f"{self.source}: {name} has type {values.dtype} and shape {values.shape}; "
                    f"expected float64 and shape ({len(self)},), one value for each video code."
                )
            limit, expected = np.inf, "a finite number"
            if name != "score":
                limit, expected = LARGEST_TIME_S, f"a finite number below {LARGEST_TIME_S} s"
            bad = np.flatnonzero(~(np.abs(values) < limit))  # NaN, too
            for i in bad[:EXAMPLES]:
                faults.add(self.where(i), name, float(values[i]), expected)
            faults.count += max(0, len(bad) - EXAMPLES)
        faults.raise_if_any()


def _check_codes(source: str, name: str, codes: Ints, rows: int) -> None:
    if not np.issubdtype(codes.dtype, np.integer) or codes.shape != (rows,):
        raise EvalError(
            f"{source}: {name} has type {codes.dtype} and shape {codes.shape}; "
            f"expected integer codes of shape ({rows},)."
        )


def _check_names(source: str, name: str, codes: Ints, names: tuple[str, ...]) -> None:
    if len(codes) and not (codes.min() >= 0 and codes.max() < len(names)):
        raise EvalError(
            f"{source}: {name} codes run from {codes.min()} to {codes.max()}; "
            f"expected 0 to {len(names) - 1}, positions in the {len(names)} names of {name}s."
        )
    if len(set(names)) < len(names):
        twice = next(one for i, one in enumerate(names) if one in names[:i])
        raise EvalError(f"{source}: {name}s names {shown(twice)} twice; expected each name once.")


@dataclass(frozen=True, eq=False, kw_only=True)
class Annotations(_Columns):
    """Every video of an annotation file, of all subsets, and every annotated instance.

    Attributes:
        subsets: (V,) subset of each video, as written.
        durations: (V,) seconds; NaN where the file gives none.
        fps: (V,) frames per second, NaN where the file gives none; only `assume_fps` asks for it.
        class_ids: number in evalkit detections -> label, of the list beside evalkit annotations.

    Raises:
        EvalError: if the arrays do not fit together, hold NaN or infinity, or times of 1e100 s.
    """

    subsets: tuple[str, ...]
    durations: Floats
    fps: Floats | None = None
    class_ids: Mapping[int, str] | None = None
    source: str = "annotations"
    kind: ClassVar[str] = "instance"

    def __post_init__(self) -> None:
        """Refuse columns that do not fit together, and values that nothing can be done with."""
        super().__post_init__()
        if not len(self.videos) == len(self.subsets) == len(self.durations):
            raise EvalError(
                f"{self.source}: {len(self.videos)} videos, {len(self.subsets)} subsets and "
                f"{len(self.durations)} durations; expected one of each per video."
            )
        faults = Faults(self.source)
        for i in np.flatnonzero(np.abs(self.durations) >= LARGEST_TIME_S).tolist():
            where, expected = f"video {shown(self.videos[i])}", f"below {LARGEST_TIME_S} s"
            faults.add(where, "duration", float(self.durations[i]), expected)
        faults.raise_if_any()


@dataclass(frozen=True, eq=False, kw_only=True)
class Detections(_Columns):
    """Every detection of a result file.

    Attributes:
        score: (N,) any finite numbers; only their order matters.
        video_scores: `{video: {label: score}}` if the file holds them.
        notes: warnings from reading.

    Raises:
        EvalError: if the arrays do not fit together, hold NaN or infinity, or times of 1e100 s.
    """

    score: Floats
    video_scores: VideoScores | None = None
    notes: tuple[str, ...] = ()
    source: str = "detections"
    kind: ClassVar[str] = "detection"
    numbers: ClassVar[tuple[str, ...]] = ("start", "end", "score")


def codes_of(names: Sequence[str], codes: Mapping[str, int], otherwise: int) -> Ints:
    """The code of each name, as an array to look codes up in."""
    return np.array([codes.get(name, otherwise) for name in names], np.int64)


def repeated(columns: Sequence[Ints | Floats]) -> int:
    """Number of rows that repeat another row in every column."""
    order = np.lexsort(tuple(columns))
    same = np.ones(max(len(order) - 1, 0), bool)
    for column in columns:
        ordered = column[order]
        same &= ordered[1:] == ordered[:-1]
    return int(same.sum())
