"""What samples are drawn from: videos, or pieces of long ones.

Legend: N grid frames of a video.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from wtal_features.contrast.queue import UNKNOWN
from wtal_features.errors import FeatureError
from wtal_features.pretraining.clipstore import ClipStore

# A rest shorter than this share of a piece is not cut off.
_REST = 0.5


@dataclass(frozen=True)
class Unit:
    """A video or a piece of one.

    Attributes:
        video: Id in the clip store.
        start, stop: Its grid frames.
        source: Number of the video; pieces of one video share it.
        labels: Numbers of its classes; empty where unknown.
    """

    video: str
    start: int
    stop: int
    source: int
    labels: tuple[int, ...] = ()

    @property
    def frames(self) -> int:
        """Grid frames."""
        return self.stop - self.start


def units_of(
    store: ClipStore,
    videos: Sequence[str],
    piece_s: float | Literal["whole"],
    usable: Callable[[ClipStore, Unit], bool],
    labels: Mapping[str, tuple[int, ...]] | None = None,
) -> list[Unit]:
    """The pieces of these videos that a method can use.

    Args:
        store: Has the videos.
        videos: Their ids.
        piece_s: See `ClipConfig`.
        usable: Whether a piece is long enough, and whatever else the method needs.
        labels: Video -> numbers of its classes.

    Raises:
        FeatureError: If there is none.
    """
    found = [
        Unit(video, start, stop, source, (labels or {}).get(video, ()))
        for source, video in enumerate(videos)
        for start, stop in pieces(store.info(video).frames, store.fps, piece_s)
    ]
    good = [unit for unit in found if usable(store, unit)]
    if not good:
        raise FeatureError(
            f"None of {len(found)} pieces of {len(videos)} videos can be used: they are too short, "
            "or lack what the method needs.",
            "Take fewer frames per clip, frames closer together, longer pieces, or other videos.",
            code="too-short",
        )
    return good


def pieces(N: int, fps: Fraction, piece_s: float | Literal["whole"]) -> list[tuple[int, int]]:
    """Cut a video into equal parts of about `piece_s` seconds.

    Example:
        >>> pieces(100, Fraction(10), 6.0), pieces(100, Fraction(10), "whole")
        ([(0, 50), (50, 100)], [(0, 100)])
    """
    if piece_s == "whole":
        return [(0, N)]
    count = min(N, max(1, int(N / (piece_s * fps) + _REST)))  # no piece without a frame
    edges = [N * i // count for i in range(count + 1)]
    return list(itertools.pairwise(edges))


def one_label(unit: Unit, draw: Callable[[int], int]) -> int:
    """One of its classes; -1 where there is none.

    Args:
        unit: With any number of labels.
        draw: A random number below the given one.
    """
    return unit.labels[draw(len(unit.labels))] if unit.labels else UNKNOWN
