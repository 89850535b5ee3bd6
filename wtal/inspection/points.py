"""Annotated snippets, and a balanced sample of them.

Shapes: n snippets of a video, V videos, C classes, N sampled points.

A snippet whose middle lies in an annotated segment is action of that class, any other is
background. Left out, because their truth is doubtful: snippets whose middle is closer than one
snippet to a border, those in segments of two classes, and those in segments of a label that the
run does not know (such as `Ambiguous` of THUMOS14).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wtal.errors import WtalError
from wtal.inspection.timeline import Segment

Int = NDArray[np.int64]
BACKGROUND, LEFT_OUT = -1, -2


class Points(NamedTuple):
    """Sampled snippets, video by video."""

    videos: tuple[str, ...]  # V
    video_N: Int  # index into `videos`
    snippet_N: Int
    class_N: Int  # 0 .. C-1, or BACKGROUND

    @property
    def is_action_N(self) -> NDArray[np.bool_]:  # noqa: N802 - a shape in the name
        """Which points are action."""
        return self.class_N >= 0

    def take(self, rows: NDArray[np.bool_]) -> Points:
        """Only these points; the videos stay."""
        return Points(self.videos, *(part[rows] for part in self[1:]))


def label_snippets(
    n: int, seconds_per_snippet: float, segments: Sequence[Segment], classes: Sequence[str]
) -> Int:
    """Class of every snippet of one video, (n,): 0 .. C-1, BACKGROUND or LEFT_OUT.

    Example:
        >>> label_snippets(8, 1.0, [("Run", 2.0, 6.0)], ["Run"]).tolist()
        [-1, -2, -2, 0, 0, -2, -2, -1]
    """
    # In snippets, so that "closer than one" means the same for every stride.
    middle_n = np.arange(n) + 0.5
    class_n = np.full(n, BACKGROUND)
    near_n = np.zeros(n, dtype=bool)
    for label, start_s, end_s in segments:
        start, end = start_s / seconds_per_snippet, end_s / seconds_per_snippet
        inside_n = (middle_n >= start) & (middle_n < end)
        # Seconds that are a multiple of the stride come back with a rounding error.
        near_n |= np.minimum(abs(middle_n - start), abs(middle_n - end)) < 1 - 1e-6
        c = classes.index(label) if label in classes else LEFT_OUT
        other_n = inside_n & (class_n != BACKGROUND) & (class_n != c)
        class_n[inside_n] = c
        class_n[other_n] = LEFT_OUT
    class_n[near_n] = LEFT_OUT
    return class_n


def sample(labels: Mapping[str, Int], total: int, rng: np.random.Generator) -> Points:
    """A balanced draw without replacement.

    As many action as background points, where both exist; action points spread evenly over the
    classes and, within a class, over its videos; background points evenly over the videos.

    Args:
        labels: video -> class of its snippets, as `label_snippets` gives it.
        total: points wanted; fewer come where there are no more.
        rng: decides which.

    Raises:
        WtalError: no snippet is left to draw.
    """
    videos = tuple(sorted(labels))
    every_V = [labels[video] for video in videos]
    video_A = np.repeat(np.arange(len(videos)), [len(each) for each in every_V])
    snippet_A = np.concatenate([np.arange(len(each)) for each in every_V] or [np.empty(0, int)])
    class_A = np.concatenate(every_V or [np.empty(0, int)])
    n_action, n_background = int((class_A >= 0).sum()), int((class_A == BACKGROUND).sum())
    if n_action + n_background == 0:
        raise WtalError(
            f"None of {len(videos)} videos has a snippet that is farther than one snippet from "
            "every border; nothing to map."
        )
    half = min(total // 2, n_action, n_background) if n_action and n_background else total
    counts = np.bincount(class_A[class_A >= 0])
    picked = [_spread(np.flatnonzero(class_A == BACKGROUND), video_A, half, rng)]
    for c, share in enumerate(fair_shares(counts, half).tolist()):
        picked.append(_spread(np.flatnonzero(class_A == c), video_A, share, rng))
    rows = np.sort(np.concatenate(picked))
    return Points(videos, video_A[rows], snippet_A[rows], class_A[rows])


def fair_shares(sizes: Int, total: int) -> Int:
    """How many to take of each group, so that they differ only where a group has no more.

    Example:
        >>> fair_shares(np.array([1, 9, 9]), 9).tolist()
        [1, 4, 4]
    """
    shares, left = np.zeros_like(sizes), total
    order = np.argsort(sizes, kind="stable")
    for rank, group in enumerate(order.tolist()):
        shares[group] = min(int(sizes[group]), left // (len(order) - rank))
        left -= int(shares[group])
    return shares


def _spread(rows: Int, video_A: Int, count: int, rng: np.random.Generator) -> Int:
    """So many of these rows, as evenly over their videos as they allow."""
    groups = np.split(rows, np.flatnonzero(np.diff(video_A[rows])) + 1) if len(rows) else []
    # Who gets one more when the shares do not come out even is drawn, not the first by name.
    rng.shuffle(groups)
    shares = fair_shares(np.array([len(group) for group in groups], int), count)
    drawn = [
        rng.choice(group, share, replace=False)
        for group, share in zip(groups, shares.tolist(), strict=True)
    ]
    return np.concatenate(drawn) if drawn else np.empty(0, int)
