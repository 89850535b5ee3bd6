"""A decoder in a process of its own: one request after another, clips out.

`python -P -m wtal_features.video.worker MEMORY_GB`, served as `serving` says. Whatever a file does
to FFmpeg, it does it here. Answers to a request, in this order: any number of `clip` (stream, j,
the array) and `alive`, then one `end` with what is known of the video, or one `fault`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import IO, Any

from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.motion.frames import MotionFrames, Wish
from wtal_features.video.clipper import Clip, Clipper
from wtal_features.video.container import OpenVideo, open_video
from wtal_features.video.frames import FrameReader
from wtal_features.video.grid import Grid, on_grid
from wtal_features.video.serving import Send, answer_all, main
from wtal_features.video.views import ColourView
from wtal_features.video.windows import ClipPlan
from wtal_features.video.wire import Message

_BEAT_S = 1.0


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
    answer_all(requests, answers, _cut)


def _cut(fields: Message, reply: Send) -> Message:
    return cut(Request.parse(fields), reply)


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


if __name__ == "__main__":
    sys.exit(main(_cut))
