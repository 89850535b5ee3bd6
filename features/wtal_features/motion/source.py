"""Motion of a video as the extractor uses it: one interface for flow and for motion vectors.

Every map is upright, and its values are px of the source per grid frame: the velocity of the
content times 1/fps seconds. At a constant rate of fps that is plain px per frame, and videos of 25
and of 50 frames per second become comparable. Range: typically within +-20, where networks clip.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from wtal_features.errors import FeatureError
from wtal_features.motion.flow import FLOWS, FlowView
from wtal_features.motion.vectors import CELL, Map, dense_map, vectors_of
from wtal_features.video.frames import Decoded

MOTION_SOURCES = (*FLOWS, "mv")


class View(Protocol):
    """Motion from one frame to the next.

    Attributes:
        name: Of the source of motion.
        every_frame: Whether frames that the grid leaves out count too.
    """

    name: str
    every_frame: bool

    def describe(self) -> Mapping[str, object]:
        """As JSON values, for the manifest and for the key of a cache."""
        ...

    def next(self, frame: Any) -> Map:
        """(H', W', 2) float32, px of the source since the frame before; zero for the first."""
        ...


class VectorView:
    """Motion vectors of the codec, at a quarter of the resolution.

    They come with the decoded frames: call `ask_for_vectors` on the stream before decoding, and use
    this on files for which `why_no_vectors` has no objection, or on copies by `reencode`.
    """

    def __init__(self, scale: tuple[float, float] = (1.0, 1.0)) -> None:
        """Make a view of one video.

        Args:
            scale: Source pixels per pixel of the decoded frames, (x, y); of a smaller copy
                (W / w, H / h), with (w, h) from `copy_size`.
        """
        self.name, self.every_frame = "mv", True
        self._scale = np.array(scale, np.float32)

    def describe(self) -> Mapping[str, object]:
        """Method and size of a cell; the scale follows from the video and from how it is copied."""
        return {"method": self.name, "cell_px": CELL}

    def next(self, frame: Any) -> Map:
        """The dense map of an `av.VideoFrame`.

        Raises:
            FeatureError: If it is a B-frame.
        """
        return dense_map(vectors_of(frame), frame.height, frame.width) * self._scale


def motion_view(method: str, *, short_side: int = 256) -> View:
    """A view of one video by name.

    Args:
        method: `tvl1`, `farneback`, `dis` or `mv`.
        short_side: Flow is computed at this size at most, px.

    Raises:
        FeatureError: If the name is unknown, or OpenCV lacks what the method needs.
    """
    if method == "mv":
        return VectorView()
    if method not in FLOWS:
        raise FeatureError(
            f"There is no source of motion {method!r}; expected {', '.join(MOTION_SOURCES)}.",
            code="option",
        )
    return FlowView(FLOWS[method](), short_side)


class MotionView:
    """Maps of one video, frame by frame, in px per grid frame and upright.

    Example:
        motion = MotionView(motion_view("dis"), Fraction(25))
        for cells, decoded in on_grid(...):
            map_HW2 = motion.feed(decoded) if cells else motion.skip(decoded)
    """

    def __init__(self, view: View, fps: Fraction) -> None:
        """Start a video.

        Args:
            view: Where motion comes from; a fresh one per video.
            fps: Frames per second of the grid.
        """
        self.view, self.fps = view, fps
        self._since: Fraction | None = None  # time of the frame from which motion is counted
        self._moved: Map | None = None  # by frames since then that the grid left out
        self._shape: tuple[int, ...] | None = None  # of every map, before it is turned

    def skip(self, decoded: Decoded) -> None:
        """Take a frame that the grid leaves out; what moved up to it is added to the next map.

        Raises:
            FeatureError: As `feed`.
        """
        if self.view.every_frame and self._since is not None:
            self._moved = self._advance(decoded)

    def feed(self, decoded: Decoded) -> Map:
        """Take a frame that the grid keeps.

        I-frames carry no vectors, so with `mv` their map is zero, or where frames are left out
        that of the others alone.

        Args:
            decoded: The frame.

        Returns:
            (H', W', 2) float32: motion since the frame kept before, over the time between them,
            times 1/fps; zero for the first that is kept.

        Raises:
            FeatureError: If time does not go on from the frame kept before, or with `mv` if the
                frame is a B-frame or changes its size.
        """
        moved = self._advance(decoded)
        since, self._since, self._moved = self._since, decoded.time, None
        if since is None:
            return rotate_map(np.zeros_like(moved), decoded.quarter_turns)
        elapsed = decoded.time - since
        if elapsed <= 0:
            raise FeatureError(
                f"Two frames are shown at {float(decoded.time):.3f} s; expected times that rise.",
                code="times",
            )
        moved *= float(1 / (self.fps * elapsed))
        return rotate_map(moved, decoded.quarter_turns)

    def _advance(self, decoded: Decoded) -> Map:
        """What moved since the frame kept before, in px of the frame as it is coded."""
        step = self.view.next(decoded.frame)
        if self._shape not in (None, step.shape):
            raise FeatureError(
                f"The frame at {float(decoded.time):.3f} s has another size than those before.",
                "Re-encode it first, or choose another source of motion.",
                code="size",
            )
        self._shape = step.shape
        return step if self._moved is None else self._moved + step


def motion_maps(
    frames: Iterable[tuple[range, Decoded]], view: View, fps: Fraction
) -> Iterator[tuple[range, Map]]:
    """The maps of a video on its grid.

    Args:
        frames: Every decoded frame with the grid frames that it fills, as `on_grid` yields them.
        view: Where motion comes from.
        fps: Frames per second of the grid.

    Yields:
        Grid frames and their map, (H', W', 2) float32, px per grid frame.

    Raises:
        FeatureError: As `MotionView.feed`.
    """
    motion = MotionView(view, fps)
    for cells, decoded in frames:
        if cells:
            yield cells, motion.feed(decoded)
        else:
            motion.skip(decoded)


def rotate_map(map_HW2: Map, quarter_turns: int) -> Map:
    """Turn maps as `np.rot90` turns frames: the grid, and the vectors with it.

    Args:
        map_HW2: (..., H, W, 2).
        quarter_turns: Anticlockwise turns by 90 degrees; any integer.

    Returns:
        (..., W, H, 2) for odd turns. One turn makes (dx, dy) into (dy, -dx), since dy points down.

    Example:
        >>> rotate_map(np.array([[[1, 0]]], np.float32), 1).tolist()  # right becomes up
        [[[0.0, -1.0]]]
    """
    turned = map_HW2
    for _ in range(quarter_turns % 4):
        grid = np.rot90(turned, axes=(-3, -2))
        turned = np.stack([grid[..., 1], -grid[..., 0]], axis=-1)
    return turned
