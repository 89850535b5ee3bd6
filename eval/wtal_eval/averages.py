"""Averages of mAP over thresholds, and the one figure to quote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wtal_eval.options import AVERAGES, headline_threshold

SAME = 1e-9  # a grid of floats that are not the decimals as written has the same averages


def averages_over(tiou: Sequence[float], map_J: Sequence[float]) -> dict[str, float]:
    """The averages of `AVERAGES` that the thresholds cover.

    Example:
        >>> averages_over((0.1, 0.2, 0.3, 0.4, 0.5), (1.0, 0.75, 0.5, 0.25, 0.0))
        {'0.1:0.5': 0.5}
    """
    found = {}
    for name, members in AVERAGES.items():
        at = [_nearest(tiou, member) for member in members]
        if None not in at:
            found[name] = float(np.mean([map_J[j] for j in at if j is not None]))
    return found


def headline_of(
    headline: str,
    tiou: Sequence[float],
    map_J: Sequence[float],
    averages: Mapping[str, float],
) -> tuple[str, float]:
    """Name and value of the figure to quote; the mean over a grid that does not hold it."""
    if headline in averages:
        return headline, averages[headline]
    threshold = headline_threshold(headline)
    j = None if threshold is None else _nearest(tiou, threshold)
    if j is not None:
        return headline, map_J[j]
    return "all", float(np.mean(map_J))


def _nearest(tiou: Sequence[float], wanted: float) -> int | None:
    """Position of the threshold that is `wanted`, or None."""
    return next((j for j, t in enumerate(tiou) if abs(t - wanted) < SAME), None)
