"""A decoder in a process of its own: one request after another, clips out.

`python -P -m wtal_features.video.worker MEMORY_GB`: requests come on stdin, answers go to stdout,
both as `wire` messages. Whatever a file does to FFmpeg, it does it here.

Answers to a request, in this order: any number of `clip` (stream, j, the array) and `alive`, then
one `end` with what is known of the video, or one `fault`. The first `alive` comes unasked, when the
decoder is ready.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import IO, Any

from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.errors import FeatureError
from wtal_features.motion.frames import MotionFrames, Wish
from wtal_features.video.clipper import Clip, Clipper
from wtal_features.video.container import OpenVideo, load_av, open_video
from wtal_features.video.frames import FrameReader
from wtal_features.video.grid import Grid, on_grid
from wtal_features.video.limits import limit_memory
from wtal_features.video.views import ColourView
from wtal_features.video.windows import ClipPlan
from wtal_features.video.wire import Array, Message, WireError, receive, send

_BEAT_S = 1.0
_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031  # Linux; fcntl names it from Python 3.10 on, elsewhere it does not exist

Send = Callable[[Mapping[str, object], Array | None], None]


@dataclass(frozen=True)
class Request:
    """One video to be cut into clips.

    Attributes:
        path: The file.
        fps: Of the grid, as a fraction such as `30000/1001`.
        most: Grid frames at most.
        plans: What each encoder wants to see; none: the video is only decoded.
        partial: Take what is there of a file that is cut short.
        motion: Settings of the motion view, for plans that want it.
        headers: Only open the file: the `end` message tells what its header says.
    """

    path: str
    fps: str
    most: int
    plans: tuple[ClipPlan, ...] = ()
    partial: bool = False
    motion: Mapping[str, Any] = field(default_factory=dict)
    headers: bool = False

    @classmethod
    def parse(cls, fields: Message) -> Request:
        """From a message; it comes from our own side and is not checked again."""
        plans = tuple(_plan(plan) for plan in fields["plans"])
        return cls(**(fields | {"plans": plans}))


def _plan(fields: Message) -> ClipPlan:
    clip = fields["clip"]
    pixels = clip["preprocess"]
    pixels |= {key: tuple(pixels[key]) for key in ("mean", "std") if pixels[key] is not None}
    clip |= {"preprocess": Preprocess(**pixels)}
    return ClipPlan(**(fields | {"clip": ClipSpec(**clip)}))


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until the other side closes."""

    def reply(head: Mapping[str, object], array: Array | None = None) -> None:
        send(answers, head, array)

    while (message := receive(requests)) is not None:
        request = Request.parse(message[0])
        try:
            reply(cut(request, reply))
        except FeatureError as error:
            reply(_fault(error))
        except Exception as error:
            if not _lacks_memory(error):
                raise
            problem = f"{request.path} needs more memory than one video may take."
            cure = "Scale it down first, or raise --memory-gb."
            reply(_fault(FeatureError(problem, cure, code="too-large")))


def _lacks_memory(error: Exception) -> bool:
    """Torch and OpenCV have no class of their own for it."""
    return isinstance(error, MemoryError) or "allocate" in str(error)


def _fault(error: FeatureError) -> Message:
    return {"kind": "fault", "code": error.code, "problem": error.problem, "cure": error.cure}


def cut(request: Request, reply: Send) -> Message:
    """Decode one video and send its clips.

    Returns:
        The `end` message.

    Raises:
        FeatureError: If the video cannot be used.
    """
    beat = _Beat(reply)
    with open_video(request.path) as video, ExitStack() as stack:
        reader = FrameReader(video, partial=request.partial)
        grid = Grid(Fraction(request.fps), request.most)
        if request.headers:
            return {"kind": "end", **asdict(video.facts)}
        clippers = [Clipper(plan) for plan in request.plans]
        views = _views(request, video, stack, beat)
        for cells, decoded in on_grid(reader, grid):
            for view in views.values():
                view.take(cells, decoded)
            for number, clipper in enumerate(clippers):
                clip = clipper.plan.clip
                picture = views[clip.view].of(decoded, clip.preprocess)
                _send_clips(reply, number, clipper.feed(cells, picture))
            beat()
        for number, clipper in enumerate(clippers):
            _send_clips(reply, number, clipper.finish())
        end = _end(video, reader, grid)
        motion = views.get("motion")
        if isinstance(motion, MotionFrames) and motion.copied is not None:
            end["vectors_from_copy"] = motion.copied
        return end


def _send_clips(reply: Send, stream: int, clips: Iterable[Clip]) -> None:
    for clip in clips:
        head = {"kind": "clip", "stream": stream, "j": clip.j, "snippets": clip.snippets}
        reply(head, clip.frames)


class _Beat:
    """Signs of life: now and then, while work goes on."""

    def __init__(self, reply: Send) -> None:
        self._reply, self._last = reply, time.monotonic()

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._last > _BEAT_S:
            self._last = now
            self._reply({"kind": "alive"}, None)


def _views(
    request: Request, video: OpenVideo, stack: ExitStack, beat: _Beat
) -> dict[str, ColourView | MotionFrames]:
    """The views that some encoder wants."""
    views: dict[str, ColourView | MotionFrames] = {}
    wanted = {plan.clip.view for plan in request.plans}
    if "rgb" in wanted:
        views["rgb"] = ColourView()
    if "motion" in wanted:
        wish = Wish(fps=Fraction(request.fps), partial=request.partial, **request.motion)
        views["motion"] = stack.enter_context(MotionFrames(video, wish, beat))
    return views


def _end(video: OpenVideo, reader: FrameReader, grid: Grid) -> Message:
    facts = video.facts
    end: Message = {
        "kind": "end",
        "grid_frames": grid.filled,
        "duration_s": float(reader.end),
        "start_s": float(reader.start),
        "decoded": reader.count,
        "codec": facts.codec,
        "width": facts.width,
        "height": facts.height,
        "rate": facts.rate,
        "steady": reader.steady,
        "notes": [],
    }
    if reader.fault is not None:
        end["partial"] = True
        end["notes"].append(reader.fault.problem)
    longer = facts.duration_s or facts.container_s or 0.0
    if longer > 1.05 * end["duration_s"] + 1.0:
        end["notes"].append(
            f"{video.path} ends after {end['duration_s']:.1f} s; its header says {longer:.1f} s."
        )
    return end


def _widen(pipe: IO[bytes]) -> None:
    """Let a whole clip fit into the pipe, where the system can: fewer turns between processes."""
    try:
        import fcntl

        fcntl.fcntl(pipe, _F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, OSError):
        return


def main() -> int:
    """Serve on stdin and stdout until the parent closes them or is gone."""
    answers = os.fdopen(os.dup(1), "wb", buffering=1 << 16)
    os.dup2(2, 1)  # whatever prints must not spoil the messages
    _widen(answers)
    load_av()
    _one_thread()
    gc.freeze()  # what was imported stays; it need not be looked through again and again
    limit_memory(float(sys.argv[1]))
    try:
        send(answers, {"kind": "alive"})  # from here on silence counts
        serve(sys.stdin.buffer, answers)
    except (BrokenPipeError, WireError):  # the parent was killed
        os._exit(1)
    return 0


def _one_thread() -> None:
    """There are as many decoders as cores; each keeps to one."""
    import torch

    torch.set_num_threads(1)


if __name__ == "__main__":
    sys.exit(main())
