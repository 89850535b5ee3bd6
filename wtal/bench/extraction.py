"""`extract`: a folder of videos through everything but an encoder, against decoding it alone.

Legend: a rate is frames of video per second on the clock, or per second of CPU time of all
processes together. The null encoder looks at one pixel, but gets clips as a network would: every
frame that a clip shows is converted, shrunk, cut, sent to the encoder's process and batched.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from wtal.bench.child import run_child
from wtal.bench.decoding import decode, decode_side_by_side
from wtal.bench.rows import CPU, WALL, Figures, Plan, Row, timed
from wtal.bench.videos import FPS, X264_DEFAULTS, make_video, repeat_video
from wtal.errors import WtalError
from wtal_features.clips import ClipSpec
from wtal_features.encoders.histograms import Null
from wtal_features.extraction import ExtractSettings, extract

WORKERS = 2
# Clips of 16 grid frames of which the network sees all, or every fourth.
CLIPS = {"all frames": Null.clip, "a frame in 4": replace(Null.clip, frames=4, every=4)}
REFERENCES = {
    "plain": "PyAV, decode alone, threads AUTO",
    "rgb": "the same and to_ndarray rgb24",
    "two": "two processes, decode alone, one thread each",
}


@dataclass(frozen=True)
class Videos:
    """What is extracted: `count` equal files, each `repeats` times a short video.

    Attributes:
        size: Width and height.
        seconds: Of the short video.
        repeats: How often it is repeated.
        count: Files.
    """

    size: tuple[int, int]
    seconds: float
    repeats: int
    count: int = 2 * WORKERS

    def __str__(self) -> str:
        return f"{self.size[0]} x {self.size[1]}"

    @property
    def frames(self) -> int:
        """Of all files."""
        return round(self.seconds * FPS) * self.repeats * self.count

    def make(self, folder: Path) -> list[Path]:
        """The files, as x264 makes them when nothing else is said."""
        folder.mkdir()
        short = folder.with_suffix(".mp4")
        make_video(short, self.seconds, size=self.size, options=X264_DEFAULTS)
        paths = [folder / f"{i}.mp4" for i in range(self.count)]
        repeat_video(short, paths[0], self.repeats)
        for path in paths[1:]:
            shutil.copy(paths[0], path)
        return paths


SETS = (Videos((320, 240), 60, 10), Videos((1280, 720), 4, 40))
QUICK = (Videos((64, 48), 1, 2),)


def rate(frames: int, work: Callable[[], object]) -> Callable[[], Figures]:
    """The work as one that returns frames per second, on the clock and of all processes' CPUs."""

    def run() -> Figures:
        wall, cpu = time.perf_counter(), _cpu_s()
        work()
        return {
            WALL: frames / (time.perf_counter() - wall),
            CPU: frames / max(_cpu_s() - cpu, 1e-3),
        }

    return run


def _cpu_s() -> float:
    """CPU seconds of this process and of those that it started and saw end."""
    import resource  # not on Windows

    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def extract_with(clip: ClipSpec, videos: Path) -> None:
    """Into a store that is thrown away.

    Raises:
        WtalError: If a video was skipped.
    """
    with tempfile.TemporaryDirectory(dir=videos.parent) as out:
        settings = ExtractSettings(workers=WORKERS)
        report = extract(videos, Path(out) / "store", Null(clip=clip), settings)
    for finding in report.skipped:
        raise WtalError(finding.message)


def command(videos: Path) -> None:
    """The same by `wtal extract`, as a user runs it."""
    with tempfile.TemporaryDirectory(dir=videos.parent) as out:
        store = str(Path(out) / "store")
        options = ["--encoder", "null", "--out", store, "--workers", str(WORKERS), "-q"]
        run_child([sys.executable, "-m", "wtal", "extract", str(videos), *options])


def works(videos: Videos, folder: Path) -> Mapping[str, Callable[[], Figures]]:
    """Extraction in each form, and the references."""
    paths = videos.make(folder)
    ways: dict[str, Callable[[], object]] = {
        name: partial(extract_with, clip, folder) for name, clip in CLIPS.items()
    }
    ways |= {
        "command": partial(command, folder),
        "plain": partial(decode, paths, "AUTO"),
        "rgb": partial(decode, paths, "AUTO", rgb=True),
        "two": partial(decode_side_by_side, paths, WORKERS),
    }
    return {name: rate(videos.frames, work) for name, work in ways.items()}


def measure(plan: Plan) -> Iterator[Row]:
    """Rates of extraction with two decoders, their start included."""
    with tempfile.TemporaryDirectory(prefix="wtal-bench-") as folder:
        for videos in QUICK if plan.quick else SETS:
            ways = works(videos, Path(folder) / str(videos))
            taken = plan.alternate(ways, label=f"extract {videos}", warm_up=False)
            for name in (*CLIPS, "command"):
                what = f"{name}, wtal extract" if name == "command" else name
                for clock in (WALL, CPU):
                    for reference, words in REFERENCES.items():
                        title = f"extract: {videos}, {videos.frames} frames, {what}, {clock}"
                        against = taken[reference][clock]
                        yield plan.row(title, "1/s", taken[name][clock], words, against)
        yield from _start(plan, Path(folder))


def _start(plan: Plan, root: Path) -> Iterator[Row]:
    """What a user waits for at least: one video of a second."""
    folder = root / "short"
    Videos((64, 48), 1, 1, count=1).make(folder)
    imports = [sys.executable, "-c", "import torch, av"]
    taken = plan.alternate(
        {"command": timed(partial(command, folder)), "imports": timed(partial(run_child, imports))},
        label="extract, start",
    )
    title = "extract: one video of a second, wtal extract, wall"
    against = taken["imports"][WALL]
    yield plan.row(title, "s", taken["command"][WALL], "import torch and av", against)
