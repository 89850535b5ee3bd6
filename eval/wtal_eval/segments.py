"""Segments, and how much two of them overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.integer]
Bools: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Segments:
    """Instances or detections that take part: rows in file order, codes instead of names.

    Attributes:
        video: (N,) which video; a detection on a video outside the subset holds a code that no
            instance has.
        label: (N,) which class, 0 to C - 1.
        start: (N,) seconds, or snippets under a protocol that counts in them.
        end: (N,) the same unit.
    """

    video: Ints
    label: Ints
    start: Floats
    end: Floats

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.video)

    def take(self, rows: Ints | Bools) -> Segments:
        """The given rows."""
        return Segments(self.video[rows], self.label[rows], self.start[rows], self.end[rows])


def tiou(start: Floats, end: Floats, other_start: Floats, other_end: Floats) -> Floats:
    """Temporal intersection over union, element by element, in the precision of its arguments.

    I = max(0, min(e, oe) - max(s, os)); U = ((oe - os) + (e - s)) - I; tIoU = I / U.
    Segments on a frame grid lie exactly on thresholds, so the order of these operations decides
    matches and is part of the protocol.

    Args:
        start: starts in seconds; all four arrays broadcast against each other.
        end: ends in seconds.
        other_start: starts of the other segments (the instances).
        other_end: ends of the other segments.

    Returns:
        tIoU; NaN where the union is zero.

    Example:
        >>> tiou(np.array([0.0]), np.array([4.0]), np.array([0.0]), np.array([10.0]))
        array([0.4])

    Source: activitynet/ActivityNet@82304fa Evaluation/utils.py, segment_iou.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shared = np.maximum(0.0, np.minimum(end, other_end) - np.maximum(start, other_start))
        union = ((other_end - other_start) + (end - start)) - shared
        ratio: Floats = shared / union
    return ratio


def hull_tiou(start: Floats, end: Floats, other_start: Floats, other_end: Floats) -> Floats:
    """The same ratio as the THUMOS14 evalkit computes it, which rounds differently.

    The ends of both segments are sorted first, so a reversed segment counts as if it were turned
    round. The intersection, if above 0, is divided by largest end - smallest start, which is the
    union of two segments that overlap; else the ratio is 0.

    Args:
        start: starts in seconds; all four arrays broadcast against each other.
        end: ends in seconds.
        other_start: starts of the other segments (the instances).
        other_end: ends of the other segments.

    Example:
        >>> hull_tiou(np.array([4.0]), np.array([0.0]), np.array([0.0]), np.array([10.0]))
        array([0.4])

    Source: THUMOS14 evalkit 2015-09-30, TH14evalDet.m, intervalsingleoverlapvalseconds.
    """
    low, high = np.minimum(start, end), np.maximum(start, end)
    other_low = np.minimum(other_start, other_end)
    other_high = np.maximum(other_start, other_end)
    with np.errstate(over="ignore"):
        shared = np.minimum(high, other_high) - np.maximum(low, other_low)
        hull = np.maximum(high, other_high) - np.minimum(low, other_low)
    ratio: Floats = np.divide(shared, hull, out=np.zeros_like(hull), where=shared > 0)
    return ratio
