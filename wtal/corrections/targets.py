"""Corrections of one video -> what is known of its snippets.

Shapes: n snippets of a video, C action classes, S segments.

Snippet t is [t, t + 1) times the seconds of a snippet. Borders are soft: a snippet that a border
cuts in two says nothing, unless a segment would else say nothing at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wtal.corrections.file import Correction, VideoCorrections

HERE, NOT_HERE, UNKNOWN = 1, 0, -1
FILLED, EMPTY = (
    0.8,
    0.2,
)  # share of a snippet from which a span fills it, and up to which it does not
Floats = NDArray[np.float64]


def snippet_targets(
    video: VideoCorrections, classes: Sequence[str], n: int, seconds_per_snippet: float
) -> NDArray[np.int8]:
    """HERE, NOT_HERE or UNKNOWN for every snippet and class.

    A class is here in snippets that its segments fill to at least 80 %. It is not here in those
    that rejected spans fill so far, and what editing cut off; in a complete video, in all that its
    segments fill to at most 20 %. Where a rejected span overlaps a segment that happens, the
    segment wins. A segment, or a rejected span, that fills no snippet counts in the one that it
    fills most.

    Args:
        video: what was said of it.
        classes: C names; labels that are none of them are passed over.
        n: snippets of the video; what lies after their end is passed over.
        seconds_per_snippet: stride / fps.

    Returns:
        (n, C) int8.
    """
    target_nC = np.full((n, len(classes)), NOT_HERE if video.complete else UNKNOWN, np.int8)
    by_label: dict[str, list[Correction]] = {}
    for each in video.segments:
        by_label.setdefault(each.label, []).append(each)
    for c, label in enumerate(classes):
        if label in by_label:
            target_nC[:, c] = _of_class(by_label[label], video.complete, n, seconds_per_snippet)
    return target_nC


def _of_class(
    segments: Sequence[Correction], complete: bool, n: int, seconds: float
) -> NDArray[np.int8]:
    """(n,) targets of one class."""
    here_S2 = _spans([(e.start_s, e.end_s) for e in segments if e.happens], seconds)
    not_here_S2 = _spans([(e.start_s, e.end_s) for e in segments if not e.happens], seconds)
    was_S2 = _spans([e.was for e in segments if e.was is not None], seconds)
    here_n = filled(here_S2, n)
    either_n = filled(np.concatenate([here_S2, not_here_S2, was_S2]), n)
    target_n = np.full(n, UNKNOWN, np.int8)
    target_n[_fullest(not_here_S2, n)] = NOT_HERE
    target_n[either_n - here_n >= FILLED] = NOT_HERE
    if complete:
        target_n[:] = NOT_HERE
    target_n[here_n > EMPTY] = UNKNOWN
    target_n[_fullest(here_S2, n)] = HERE
    target_n[here_n >= FILLED] = HERE
    return target_n


def _spans(spans: Sequence[tuple[float, float]], seconds: float) -> Floats:
    """(S, 2) in snippets. A border a billionth beside a snippet's own lies on it."""
    return np.round(np.array(spans, np.float64).reshape(-1, 2) / seconds, 9)


def filled(spans_S2: Floats, n: int) -> Floats:
    """Share of every snippet that lies in at least one of the spans.

    Args:
        spans_S2: starts and ends in snippets, in any order, overlapping or not.
        n: snippets.

    Returns:
        (n,) in [0, 1].

    Example:
        >>> filled(np.array([[0.5, 2.0], [1.0, 2.25]]), 4)
        array([0.5 , 1.  , 0.25, 0.  ])
    """
    if len(spans_S2) == 0:
        return np.zeros(n)
    spans_S2 = spans_S2[np.argsort(spans_S2[:, 0], kind="stable")]
    reach_S = np.maximum.accumulate(spans_S2[:, 1])
    before_S = np.concatenate([[-np.inf], reach_S[:-1]])
    start_S = np.maximum(spans_S2[:, 0], before_S)  # the part that no earlier span covers
    # What is covered up to x rises inside each part and is level between two.
    covered_S = np.cumsum(reach_S - start_S)
    knots = np.stack([start_S, reach_S], axis=1).ravel()
    values = np.stack([covered_S - (reach_S - start_S), covered_S], axis=1).ravel()
    share_n: Floats = np.diff(np.interp(np.arange(n + 1), knots, values))
    return share_n.round(9)


def _fullest(spans_S2: Floats, n: int) -> NDArray[np.int64]:
    """For each span that fills no snippet, the one that it fills most."""
    first_S = np.floor(spans_S2[:, 0]).astype(np.int64)
    # One that fills none touches three snippets at most, and the middle one it would fill.
    pieces_S2 = first_S[:, None] + np.arange(2)
    low = np.maximum(spans_S2[:, :1], pieces_S2)
    share_S2 = np.minimum(spans_S2[:, 1:], pieces_S2 + 1) - low
    fullest_S: NDArray[np.int64] = first_S + share_S2.argmax(1)
    wanted_S: NDArray[np.bool_] = (share_S2.max(1) < FILLED) & (fullest_S < n)
    return np.asarray(fullest_S[wanted_S], np.int64)
