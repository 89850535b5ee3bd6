"""`motion`: frames per second of each source of the second view, against the codec's vectors.

Every way starts from a file and ends with a map per frame, as an encoder of motion gets it: opened,
decoded, put on the grid, computed, scaled to px per grid frame. One process, one thread.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path

from wtal.bench.decoding import decode
from wtal.bench.extraction import rate
from wtal.bench.rows import CPU, WALL, Figures, Plan, Row
from wtal.bench.videos import FPS, ONE_REFERENCE, X264_DEFAULTS, make_video, repeat_video
from wtal_features.motion.flow import load_cv2
from wtal_features.motion.source import View, motion_maps, motion_view
from wtal_features.motion.vectors import ask_for_vectors
from wtal_features.video.container import open_video
from wtal_features.video.frames import FrameReader
from wtal_features.video.grid import Grid, on_grid
from wtal_features.video.reencode import reencode

SIZE = (320, 240)
# Seconds of video per turn. TV-L1 takes about a second a frame: it gets a few frames only.
SECONDS = {"dis": 24.0, "farneback": 4.0, "tvl1": 0.24}
OWN, COPY = "mv, own vectors", "mv from a copy, made anew"


def maps_of(path: Path, view: View) -> int:
    """Compute every map of a file; their number."""
    fps = Fraction(FPS)
    with open_video(path) as video:
        if view.name == "mv":
            ask_for_vectors(video.stream)
        frames = on_grid(FrameReader(video), Grid(fps, 10**9))
        return sum(len(cells) for cells, _ in motion_maps(frames, view, fps))


def by_copy(path: Path) -> None:
    """Re-encode a file that has no usable vectors, and read those of the copy."""
    copy = path.with_name("copy.mp4")
    reencode(path, copy)
    maps_of(copy, motion_view("mv"))


def by_flow(path: Path, method: str) -> None:
    """Compute the flow of a file, with a fresh view."""
    maps_of(path, motion_view(method))


@contextmanager
def _one_thread() -> Iterator[None]:
    """As in a decoder: there is one per core."""
    cv2 = load_cv2()
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def works(folder: Path, *, quick: bool) -> Mapping[str, Callable[[], Figures]]:
    """Each source of motion on a video of its own length, and decoding alone."""
    repeats = 1 if quick else 4  # of a short video, for the fast ways
    size, short = ((64, 48), 0.24) if quick else (SIZE, 6.0)
    sources = {"own": ONE_REFERENCE, "default": X264_DEFAULTS}
    long: dict[str, Path] = {}
    for name, options in sources.items():
        source = make_video(folder / f"{name}-short.mp4", short, size=size, options=options)
        long[name] = repeat_video(source, folder / f"{name}.mp4", repeats)
    frames = round(short * FPS) * repeats
    ways: dict[str, Callable[[], Figures]] = {
        OWN: rate(frames, partial(maps_of, long["own"], motion_view("mv"))),
        "decode": rate(frames, partial(decode, [long["own"]], "NONE")),
        COPY: rate(frames, partial(by_copy, long["default"])),
    }
    for name, seconds in SECONDS.items():
        n = round((0.08 if quick else seconds) * FPS)
        path = make_video(folder / f"{name}.mp4", n / FPS, size=size)
        ways[name] = rate(n, partial(by_flow, path, name))
    return ways


def measure(plan: Plan) -> Iterator[Row]:
    """Rates of all sources, and what they are of that of the vectors."""
    with tempfile.TemporaryDirectory(prefix="wtal-bench-") as folder, _one_thread():
        taken = plan.alternate(works(Path(folder), quick=plan.quick), label="motion")
    size = "64 x 48" if plan.quick else f"{SIZE[0]} x {SIZE[1]}"
    for name, figures in taken.items():
        if name == "decode":
            continue
        reference, words = ("decode", "decode alone") if name == OWN else (OWN, OWN)
        for clock in (WALL, CPU):
            title = f"motion: {size}, {name}, {clock}"
            yield plan.row(title, "1/s", figures[clock], words, taken[reference][clock])
