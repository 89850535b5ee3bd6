"""A process that decodes one video after another and sends their frames, shrunk but uncut.

`python -P -m wtal_features.pretraining.clipworker MEMORY_GB`: requests come on stdin, answers go
to stdout, both as `video.wire` messages. Whatever a file does to FFmpeg, it does it here.

Answers to a request: `frame` for each decoded frame that the grid keeps, and a `motion` after each
where that was asked for; `alive` meanwhile; then one `end` or one `fault`. The first `alive` comes
unasked, when the process is ready.

Legend: H x W pixels of a shrunk frame, H' x W' cells of a map of motion.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from wtal_features.errors import FeatureError
from wtal_features.motion.frames import MotionFrames, Wish
from wtal_features.motion.vectors import is_intra
from wtal_features.pretraining.clipsettings import STEPS, shrunk_size
from wtal_features.video.container import OpenVideo, load_av, open_video
from wtal_features.video.frames import Decoded, FrameReader, to_rgb
from wtal_features.video.grid import Grid, on_grid
from wtal_features.video.limits import limit_memory
from wtal_features.video.wire import Array, Message, WireError, receive, send
from wtal_features.video.worker import Send


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
                reply({"kind": "motion"}, motion.latest(request).view(np.uint8))
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


class _Maps(MotionFrames):
    """The motion of a video, uncut."""

    def latest(self, request: ShrinkRequest) -> npt.NDArray[np.int8]:
        """(H', W', 2): the map of the frame that was taken last, which fills a cell."""
        assert self._map is not None
        map_HW2 = self._map.astype(np.float32)
        height, width, _ = map_HW2.shape
        size = shrunk_size(height, width, request.motion_side)
        return quantized(resized(map_HW2, size), request.motion_range_px)


def _motion(request: ShrinkRequest, video: OpenVideo, reply: Send) -> _Maps:
    wish = Wish(fps=Fraction(request.fps), partial=request.partial, **request.motion or {})
    return _Maps(video, wish, lambda: reply({"kind": "alive"}, None))


def resized(image_HWC: npt.NDArray[Any], size_hw: tuple[int, int]) -> npt.NDArray[Any]:
    """Bilinear and antialiased; uint8 stays within one level of what Pillow makes.

    Args:
        image_HWC: (H, W, C) uint8 or float32, C order.
        size_hw: The new height and width, in pixels.

    Returns:
        (h, w, C) of the same type, C order; the image itself where it has that size.
    """
    import torch
    from torch.nn import functional as F

    if image_HWC.shape[:2] == size_hw:
        return np.ascontiguousarray(image_HWC)
    # Channels last, as the memory has it: the fastest layout.
    x_1CHW = torch.from_numpy(np.require(image_HWC, requirements=["C", "W"]))[None]
    x_1CHW = x_1CHW.permute(0, 3, 1, 2)
    x_1CHW = F.interpolate(x_1CHW, size_hw, mode="bilinear", align_corners=False, antialias=True)
    return np.ascontiguousarray(x_1CHW[0].permute(1, 2, 0).numpy())


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

    def reply(head: Mapping[str, object], array: Array | None = None) -> None:
        send(answers, head, array)

    while (message := receive(requests)) is not None:
        request = ShrinkRequest(**message[0])
        try:
            reply(shrink(request, reply))
        except FeatureError as error:
            reply(_fault(error))
        except Exception as error:
            # Torch and OpenCV have no class of their own for a lack of memory.
            if not isinstance(error, MemoryError) and "allocate" not in str(error):
                raise
            problem = f"{request.path} needs more memory than one video may take."
            cure = "Scale it down first, or raise --memory-gb."
            reply(_fault(FeatureError(problem, cure, code="too-large")))


def _fault(error: FeatureError) -> Message:
    return {"kind": "fault", "code": error.code, "problem": error.problem, "cure": error.cure}


def main() -> int:
    """Serve on stdin and stdout until the parent closes them or is gone."""
    import torch

    answers = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    os.dup2(2, 1)  # whatever prints must not spoil the messages
    load_av()
    torch.set_num_threads(1)  # there are as many of us as cores
    limit_memory(float(sys.argv[1]))
    try:
        send(answers, {"kind": "alive"})  # from here on silence counts
        serve(sys.stdin.buffer, answers)
    except (BrokenPipeError, WireError):  # the parent was killed
        os._exit(1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
