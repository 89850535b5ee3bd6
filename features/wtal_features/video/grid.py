"""Frames at times of their own -> a constant grid: what the screen shows amid each cell.

Grid frame k is the last decoded frame with time <= (k + 1/2) / fps; there are N = max(1,
round(duration * fps)). Variable rate, 24, 25 and 30 fps then mean the same. Everything is exact:
at 50 fps on a grid of 25 every second frame lies right on a border.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, floor
from typing import Protocol, TypeVar

from wtal_features.errors import FeatureError

_HALF = Fraction(1, 2)


class Timed(Protocol):
    """Something shown from a time on."""

    @property
    def time(self) -> Fraction:
        """Seconds since the first."""
        ...


Frame = TypeVar("Frame", bound=Timed, covariant=True)


class Frames(Protocol[Frame]):
    """Frames in the order of their times, and when the last of them ends."""

    @property
    def end(self) -> Fraction:
        """Seconds from the first frame to the end of the last; known after iterating."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """One frame after another."""
        ...


class Grid:
    """Puts frames on the grid, one at a time.

    Example:
        >>> from types import SimpleNamespace as At
        >>> grid = Grid(Fraction(10), most=1000)
        >>> [len(grid.before(At(time=t))) for t in (Fraction(0), Fraction(1, 2))]
        [0, 5]
        >>> len(grid.rest(Fraction(3, 5)))  # the second frame stands for one cell
        1
    """

    def __init__(self, fps: Fraction, most: int) -> None:
        """Make an empty grid.

        Args:
            fps: Frames per second of the grid.
            most: The largest number of grid frames; files that claim years are refused.
        """
        self.fps, self.most = fps, most
        self.filled = 0  # grid frames that have their frame

    def before(self, following: Timed) -> range:
        """Grid frames that end up with what is on the screen now, given what follows.

        Raises:
            FeatureError: If the video is longer than allowed.
        """
        return self._fill(ceil(following.time * self.fps - _HALF))

    def rest(self, end: Fraction) -> range:
        """Grid frames that the last frame fills, given when it ends.

        Raises:
            FeatureError: If the video is longer than allowed.
        """
        return self._fill(max(1, floor(end * self.fps + _HALF)))

    def _fill(self, upto: int) -> range:
        if upto > self.most:
            reach, most = (float(n / self.fps / 3600) for n in (upto, self.most))
            raise FeatureError(
                f"The time stamps reach {reach:.1f} h; expected at most {most:.1f} h.",
                "The file is damaged, or raise --max-hours.",
                code="too-long",
            )
        cells = range(self.filled, max(self.filled, upto))
        self.filled = cells.stop
        return cells


def on_grid(frames: Frames[Frame], grid: Grid) -> Iterator[tuple[range, Frame]]:
    """Each frame with the grid frames that it fills; one that falls between two cells fills none.

    Args:
        frames: In the order of their times; `frames.end` is asked after the last.
        grid: An empty grid.

    Yields:
        (cells, frame) for every frame, also where `cells` is empty.
    """
    held: Frame | None = None
    for frame in frames:
        if held is not None:
            yield grid.before(frame), held
        held = frame
    if held is not None:
        yield grid.rest(frames.end), held
