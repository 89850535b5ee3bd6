"""A wrong frame rate or stride, found from durations: all videos are too long by one factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wtal_features import Finding

FEWEST, SHARE, ROUNDING = 3, 0.9, 0.03  # videos at least; that agree; by how much they may differ
RATES = (25, 30, 24, 15, 10)  # frames per second that an example may have, the usual first


def wrong_time_base(
    lengths: Mapping[str, tuple[float, float]],
    durations: Mapping[str, float],
    steps_s: Sequence[float],
    where: str,
) -> Finding | None:
    """What stride / fps should be, where one factor explains the lengths of nearly all videos.

    Args:
        lengths: video -> seconds that its features cover, and what that may be off by.
        durations: video -> seconds; NaN where unknown.
        steps_s: seconds from snippet to snippet, as stated; several differ from video to video.
        where: the store, for the finding.

    Returns:
        None where the lengths are right, or wrong in several ways.
    """
    rows = [(*lengths[v], s) for v, s in durations.items() if v in lengths and s > 0]
    if len(rows) < FEWEST:
        return None
    covered_N, slack_N, duration_N = np.array(rows).T
    factor = float(np.median(covered_N / duration_N))
    off_N = np.abs(covered_N / factor - duration_N)
    agree = int(np.sum(off_N <= slack_N / factor + ROUNDING * duration_N))
    alike = max(steps_s) - min(steps_s) <= 1e-6 * max(steps_s)
    wrong = np.mean(np.abs(covered_N - duration_N) > slack_N + ROUNDING * duration_N) >= SHARE
    if not (alike and wrong and agree >= SHARE * len(rows)):
        return None
    step_s = steps_s[0] / factor
    much, way = (factor, "long") if factor > 1 else (1 / factor, "short")
    return Finding(
        "time-base",
        where,
        f"The features of {agree} of {len(rows)} videos are {much:.3g} times too {way}.",
        f"stride / fps should be about {step_s:.3g} s, for instance {_example(step_s)}.",
        "warning",
    )


def _example(step_s: float) -> str:
    """Options that amount to a step.

    Example:
        >>> _example(0.2803), _example(0.533), _example(0.64)
        ('--fps 25 --stride 7', '--fps 30 --stride 16', '--fps 25 --stride 16')
    """
    for fps in RATES:
        stride = round(step_s * fps)
        if stride and abs(stride / fps / step_s - 1) < 0.01:
            return f"--fps {fps} --stride {stride}"
    return f"--fps {RATES[0]} --stride {step_s * RATES[0]:.3g}"
