"""Small reports with known counts, and the pages made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from wtal.report.data import (
    Bin,
    Block,
    ClassResult,
    Cost,
    Curves,
    ErrorShare,
    FloatN,
    Found,
    Index,
    MapRow,
    MapTable,
    Overview,
    Reliability,
    ReportData,
    VideoRow,
)
from wtal.report.page import write_page

CLASSES = ("Clapping", "Cough", "Sneeze")
# (class, start, end, score) of the videos a, b and c.
DETECTIONS: dict[str, list[tuple[int, float, float, float]]] = {
    "a": [(0, 1.0, 2.0, 0.9), (1, 2.5, 3.5, 0.5), (0, 4.0, 5.5, 0.3), (2, 5.0, 5.8, 0.05)],
    "b": [(1, 0.5, 1.5, 0.6), (1, 2.0, 3.0, 0.4)],
    "c": [],
}
SECONDS = 6.0

OVERVIEW = Overview(
    map=MapTable(
        (0.3, 0.5),
        (
            MapRow("DCC", (0.612, 0.4), {"0.1:0.7": 0.444}),
            MapRow("whole video", (0.3, 0.1), {"0.1:0.7": 0.2}),
        ),
    ),
    ap_name="0.1:0.7",
    per_class=(ClassResult("Clapping", 0.5, 3, 2), ClassResult("Sneeze", None, 0, 1)),
    errors=(ErrorShare("Background", 0.25, 0.1), ErrorShare("Right", 0.75, None)),
    calibration=Reliability((Bin(0.2, 0.1, 30), Bin(0.5, None, 0), Bin(0.8, 0.9, 20)), "A note."),
    costs=(Cost("Extract", 300.0, "3 videos"), Cost("Train", 42.0)),
)


def found_of(columns: Sequence[Sequence[tuple[int, float, float, float]]]) -> Found:
    """Detections per video, in columns."""
    rows = [row for video in columns for row in video]
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    first = np.cumsum([0, *map(len, columns)])
    starts_N, ends_N, scores_N = table[:, 1:].T
    return Found(table[:, 0].astype(np.int64), starts_N, ends_N, scores_N, tuple(first.tolist()))


def three_videos(**changes: Any) -> ReportData:
    """Videos a (tags, truth, curves), b (tags that disagree) and c (nothing known)."""
    rows = (
        VideoRow("a", "test", SECONDS, "a.mp4", (0, 1), 2),
        VideoRow("b", "validation", SECONDS, None, (2,), None, "Its end is cut off."),
        VideoRow("c", "test", SECONDS, None, None, None),
    )
    curve_P = np.linspace(0, 255, 10).astype(np.uint8)
    blocks = (
        Block(((0, 1.0, 2.0), (1, 2.5, 3.0)), Curves(0.6, (0,), curve_P[None], curve_P), {0: 0.9}),
        Block(),
        Block(),
    )
    index = Index(
        title="Three videos",
        source="a made-up model",
        about=(("Made by", "the tests"),),
        classes=CLASSES,
        measure="confidence",
        threshold=0.25,
        videos=rows,
        detections=found_of(list(DETECTIONS.values())),
    )
    return ReportData(replace(index, **changes), lambda: iter(blocks))


def many_videos(videos: int, each: int = 50) -> ReportData:
    """Many videos with detections everywhere, curves too."""
    generator = np.random.default_rng(7)
    classes = tuple(f"class {c}" for c in range(20))
    rows = videos * each
    starts_VN = np.sort(generator.uniform(0, 550, (videos, each)), axis=1)
    starts_N: FloatN = np.round(starts_VN, 3).ravel().astype(np.float64)
    found = Found(
        generator.integers(0, 20, rows),
        starts_N,
        np.round(starts_N + generator.uniform(1, 20, rows), 3),
        np.round(generator.uniform(0, 1, rows), 4),
        tuple(range(0, rows + 1, each)),
    )
    cas_KP = generator.integers(0, 256, (3, 900)).astype(np.uint8)
    block = Block(((0, 1.0, 2.0),), Curves(0.64, (0, 1, 2), cas_KP, cas_KP[0]), {0: 0.5})
    index = Index(
        title="Many videos",
        source="a made-up model",
        about=(),
        classes=classes,
        measure="confidence",
        threshold=0.5,
        videos=tuple(
            VideoRow(f"video {v:05d}", "test", 600.0, f"video%20{v:05d}.mp4", (v % 20,), 1)
            for v in range(videos)
        ),
        detections=found,
    )
    return ReportData(index, lambda: iter([block] * videos))


def written(folder: Path, report: ReportData, corrections: Mapping[str, Any] | None = None) -> str:
    """Write `report.html` into a folder; its address."""
    path = folder / "report.html"
    write_page(path, report, corrections=corrections)
    return path.as_uri()


def write_video(path: Path, seconds: float = SECONDS, fps: int = 25) -> None:
    """A small H.264 video whose brightness tells the time."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"preset": "ultrafast", "g": "25"}
        frames = round(seconds * fps)
        for number in range(frames):
            grey_HWC = np.full((48, 64, 3), 255 * number // frames, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey_HWC, format="rgb24")))
        container.mux(stream.encode())
