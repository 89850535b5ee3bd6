"""Rows of JSON objects become columns, fast where they are plain and with care where not."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np

from wtal_eval.faults import Faults, shown
from wtal_eval.segments import Ints

_PLAIN_NUMBERS = {float, int}
_PAIR = "[start, end], two numbers in seconds"
_Columns: TypeAlias = tuple[Iterable[str], "array[float]", "array[float]", "array[float]"]


class Codes(dict[str, int]):
    """Numbers names in the order in which they are asked for."""

    def __missing__(self, name: str) -> int:
        self[name] = code = len(self)
        return code


class Rows:
    """Columns that grow video by video; `score` stays empty for annotations."""

    def __init__(self, source: str, kind: str, *, scored: bool) -> None:
        """Start without rows; `kind` is what a row is called in messages."""
        self.kind = kind
        self.scored = scored
        self.fields = ("label", "segment", "score") if scored else ("label", "segment")
        self.expected = ", ".join(self.fields)
        self.pick = itemgetter(*self.fields)
        self.faults = Faults(source)
        self.videos: list[str] = []
        self.counts = array("q")
        self.codes = Codes()
        self.label, self.start, self.end = array("q"), array("d"), array("d")
        self.score = array("d")

    def add(self, video: str, rows: Any) -> None:
        """Append the rows of one video."""
        if not isinstance(rows, (list, tuple)):
            self.faults.add(f"video {shown(video)}", f"its {self.kind}s", rows, "a list")
            return
        try:
            columns = self._plain(rows)
        except (TypeError, KeyError, ValueError, OverflowError):
            columns = self._one_by_one(video, rows)
        labels, start, end, score = columns
        self.videos.append(video)
        self.counts.append(len(start))
        self.label.extend(map(self.codes.__getitem__, labels))
        self.start.extend(start)
        self.end.extend(end)
        self.score.extend(score)

    def _plain(self, rows: Sequence[Any]) -> _Columns:
        """Columns of rows without any peculiarity, without a Python loop; anything else raises."""
        if not rows:
            return (), array("d"), array("d"), array("d")
        labels, segments, *scores = zip(*map(self.pick, rows), strict=True)
        starts, ends = zip(*segments, strict=True)
        numbers = chain(starts, ends, *scores)
        if (
            set(map(type, labels)) != {str}
            or not set(map(type, segments)) <= {list, tuple}
            or not set(map(type, numbers)) <= _PLAIN_NUMBERS
        ):
            raise TypeError  # numeric strings, numbers of NumPy, or a fault
        return labels, array("d", starts), array("d", ends), array("d", *scores)

    def _one_by_one(self, video: str, rows: Sequence[Any]) -> _Columns:
        """The same columns row by row: converts numeric strings, and says what is wrong where."""
        labels: list[str] = []
        start, end, score = array("d"), array("d"), array("d")
        for i, row in enumerate(rows):
            fields = self._row(row, f"video {shown(video)}, {self.kind} {i} (from 0)")
            if fields is None:
                continue
            labels.append(fields[0])
            start.append(fields[1])
            end.append(fields[2])
            if self.scored:
                score.append(fields[3])
        return labels, start, end, score

    def _row(self, row: Any, where: str) -> tuple[str, float, float, float] | None:
        """Label, start, end and score of one row; None, and a fault, if something is wrong."""
        if not isinstance(row, Mapping):
            self.faults.add(where, "it", row, f"an object with {self.expected}")
            return None
        for field in self.fields:
            if field not in row:
                self.faults.add_missing(where, field, self.expected)
                return None
        label = row["label"]
        score = number(row["score"]) if self.scored else 0.0
        pair = _pair(row["segment"])
        if not isinstance(label, str):
            self.faults.add(where, "label", label, "text")
        elif score is None:
            self.faults.add(where, "score", row["score"], "a finite number")
        elif pair is None:
            self.faults.add(where, "segment", row["segment"], _PAIR)
        else:
            return label, *pair, score
        return None

    def columns(self) -> dict[str, Any]:
        """The columns that annotations and detections share."""
        codes: Ints = np.repeat(np.arange(len(self.videos)), np.frombuffer(self.counts, np.int64))
        return {
            "videos": tuple(self.videos),
            "labels": tuple(self.codes),
            "video": codes,
            "label": np.frombuffer(self.label, np.int64),
            "start": np.frombuffer(self.start),
            "end": np.frombuffer(self.end),
        }


def _pair(segment: Any) -> tuple[float, float] | None:
    values = segment.tolist() if isinstance(segment, np.ndarray) else segment
    if not isinstance(values, (list, tuple)) or len(values) != 2:
        return None
    start, end = (number(value, strings=True) for value in values)
    return None if start is None or end is None else (start, end)


def number(value: Any, *, strings: bool = False) -> float | None:
    """The finite float64 that `value` means, or None; booleans are no numbers.

    Args:
        value: anything.
        strings: whether text such as "18.6" counts, as in BaS-Net's annotation file.

    Example:
        >>> number("18.6"), number("18.6", strings=True), number(True)
        (None, 18.6, None)
    """
    numeric = (int, float, np.integer, np.floating) + ((str,) if strings else ())
    if isinstance(value, bool) or not isinstance(value, numeric):
        return None
    if isinstance(value, str) and "_" in value:  # Python alone reads 1_0 as ten
        return None
    try:
        as_float = float(value)
    except (ValueError, OverflowError):
        return None
    return as_float if math.isfinite(as_float) else None
