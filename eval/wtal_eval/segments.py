"""Segments in seconds and how much two of them overlap."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.integer]
Bools: TypeAlias = npt.NDArray[np.bool_]


def tiou(start: Floats, end: Floats, other_start: Floats, other_end: Floats) -> Floats:
    """Temporal intersection over union, element by element, in float64.

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
    shared = np.maximum(0.0, np.minimum(end, other_end) - np.maximum(start, other_start))
    union = ((other_end - other_start) + (end - start)) - shared
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Floats = shared / union
    return ratio
