"""`video-memory`: peak memory of an extraction of a minute and of two hours of video.

Two processes count: that of the encoder, and the decoder, whose figure is at least what the former
had when it started it (Linux hands the peak of the forking process on).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from wtal.bench.child import run_child
from wtal.bench.rows import Figures, Plan, Row
from wtal.bench.videos import FPS, X264_DEFAULTS, make_video, repeat_video
from wtal.errors import WtalError

MINUTES = {"long": 120, "short": 1}


def extract_and_tell(path: str, store: str) -> None:
    """What the child process does: extract, then print seconds and peaks of both processes."""
    import resource  # not on Windows

    from wtal_features.encoders.histograms import Null
    from wtal_features.extraction import extract

    began = time.perf_counter()
    report = extract(path, store, Null())
    unit = 1 if sys.platform == "darwin" else 1024
    told = {
        "video_s": report.video_s,
        "wall": time.perf_counter() - began,
        "encoder": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6,
        "decoder": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e6,
    }
    sys.stdout.write(json.dumps(told))


def figures(path: Path, seconds: float) -> Figures:
    """Peaks in MB, and seconds on the clock per minute of video, of one extraction.

    Raises:
        WtalError: If not all of the video was extracted.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as out:
        arguments = str(path), str(Path(out) / "store")
        code = f"from wtal.bench.video_memory import extract_and_tell as f; f{arguments!r}"
        told: dict[str, float] = json.loads(run_child([sys.executable, "-c", code]))
    if abs(told["video_s"] - seconds) > 1 / FPS:
        raise WtalError(f"{path}: {told['video_s']} s were extracted; expected {seconds}.")
    return {**told, "per minute": told["wall"] / (seconds / 60)}


def measure(plan: Plan) -> Iterator[Row]:
    """One file of a minute, and the same 120 times in a row."""
    minute, size = (1.0, (64, 48)) if plan.quick else (60.0, (320, 240))
    with tempfile.TemporaryDirectory(prefix="wtal-bench-") as folder:
        root = Path(folder)
        source = make_video(root / "source.mp4", minute, size=size, options=X264_DEFAULTS)
        works = {}
        for name, times in MINUTES.items():
            path = repeat_video(source, root / f"{name}.mp4", times)
            works[name] = partial(figures, path, minute * times)
        taken = plan.alternate(works, label="video-memory", warm_up=False)
    long, short = (f"{times * minute / 60:g} min" for times in MINUTES.values())
    for figure, unit in (("encoder", "MB"), ("decoder", "MB"), ("per minute", "s")):
        what = "wall per minute of video" if unit == "s" else f"peak RSS of the {figure}"
        title = f"video-memory: {long} of {size[0]} x {size[1]}, {what}"
        yield plan.row(title, unit, taken["long"][figure], f"{short} of it", taken["short"][figure])
