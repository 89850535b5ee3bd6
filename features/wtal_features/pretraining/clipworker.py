"""A process that decodes one video after another and sends their frames, shrunk but uncut.

`python -P -m wtal_features.pretraining.clipworker MEMORY_GB`, served as `video.serving` says.
Answers to a request: `frame` for each decoded frame that the grid keeps, and a `motion` after each
where that was asked for; `alive` meanwhile; then one `end` or one `fault`.

Legend: H x W pixels of a shrunk frame, H' x W' cells of a map of motion.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from wtal_features.motion.frames import MotionFrames, Wish
from wtal_features.motion.vectors import is_intra
from wtal_features.preprocess import resized
from wtal_features.pretraining.clipsettings import STEPS, shrunk_size
from wtal_features.video.container import OpenVideo, load_av, open_video
from wtal_features.video.frames import Decoded, FrameReader, to_rgb
from wtal_features.video.grid import Grid, on_grid
from wtal_features.video.serving import Send, answer_all, main
from wtal_features.video.wire import Message


@dataclass(frozen=True)
class ShrinkRequest:
    """One video to be decoded to a grid of small frames.

    Attributes:
        path: The file.
        fps: Of the grid, as a fraction such as `30000/1001`.
        most: Grid frames at most.
        short_side: Of the frames, in pixels.
        partial: Take what is there of a file that is cut short.
        motion: What `motion.frames.Wish` needs besides; None: no motion.
        motion_side: Short side of the maps, in cells.
        motion_range_px: What 127 steps of int8 stand for.
    """

    path: str
    fps: str
    most: int
    short_side: int
    partial: bool = False
    motion: Mapping[str, Any] | None = None
    motion_side: int = 64
    motion_range_px: float = 20.0


def shrink(request: ShrinkRequest, reply: Send) -> Message:
    """Decode one video and send its frames.

    Each message has the number of grid frames that its frame fills. An I-frame that the grid leaves
    out, as at half the rate of the source, counts for the frame that follows it.

    Returns:
        The `end` message.

    Raises:
        FeatureError: If the video cannot be used.
    """
    with open_video(request.path) as video, ExitStack() as stack:
        reader = FrameReader(video, partial=request.partial)
        grid = Grid(Fraction(request.fps), request.most)
        motion = None
        if request.motion is not None:
            motion = stack.enter_context(_motion(request, video, reply))
        colour, intra = _Colour(request.short_side), False
        for cells, decoded in on_grid(reader, grid):
            if motion is not None:
                motion.take(cells, decoded)
            intra = intra or is_intra(decoded.frame)
            if not cells:
                reply({"kind": "alive"}, None)
                continue
            reply({"kind": "frame", "times": len(cells), "intra": intra}, colour(decoded))
            if motion is not None:
                # As unsigned bytes: the wire knows no int8.
                reply({"kind": "motion"}, _small_map(motion, request).view(np.uint8))
            intra = False
        return _end(reader)


def _end(reader: FrameReader) -> Message:
    facts = reader.video.facts
    return {
        "kind": "end",
        "duration_s": float(reader.end),
        "start_s": float(reader.start),
        "decoded": reader.count,
        "codec": facts.codec,
        "width": facts.width,
        "height": facts.height,
        "rate": facts.rate,
        "note": None if reader.fault is None else reader.fault.problem,
    }


class _Colour:
    """Frames as they are to be looked at, all of the size of the first."""

    def __init__(self, short_side: int) -> None:
        self._short_side = short_side
        self._size: tuple[int, int] | None = None
        self._reformatter = load_av().video.reformatter.VideoReformatter()

    def __call__(self, decoded: Decoded) -> npt.NDArray[np.uint8]:
        """(H, W, 3)."""
        rgb = to_rgb(decoded, self._reformatter)
        height, width, _ = rgb.shape
        self._size = self._size or shrunk_size(height, width, self._short_side)
        small: npt.NDArray[np.uint8] = resized(rgb, self._size)
        return small


def _small_map(motion: MotionFrames, request: ShrinkRequest) -> npt.NDArray[np.int8]:
    """(H', W', 2): the map of the frame that was taken last, which fills a cell."""
    map_HW2 = motion.latest()
    height, width, _ = map_HW2.shape
    size = shrunk_size(height, width, request.motion_side)
    return quantized(resized(map_HW2, size), request.motion_range_px)


def _motion(request: ShrinkRequest, video: OpenVideo, reply: Send) -> MotionFrames:
    wish = Wish(fps=Fraction(request.fps), partial=request.partial, **request.motion or {})
    return MotionFrames(video, wish, lambda: reply({"kind": "alive"}, None))


def quantized(map_HW2: npt.NDArray[np.float32], range_px: float) -> npt.NDArray[np.int8]:
    """Motion in steps of range / 127, cut at the range; zero stays zero.

    Args:
        map_HW2: px per grid frame.
        range_px: What 127 steps stand for.
    """
    steps_HW2 = np.rint(map_HW2 * (STEPS / range_px)).clip(-STEPS, STEPS)
    int8_HW2: npt.NDArray[np.int8] = steps_HW2.astype(np.int8)
    return int8_HW2


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until the other side closes."""
    answer_all(requests, answers, _shrink)


def _shrink(fields: Message, reply: Send) -> Message:
    return shrink(ShrinkRequest(**fields), reply)


if __name__ == "__main__":
    sys.exit(main(_shrink))
