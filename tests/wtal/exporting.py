"""What the tests of `wtal export` share: jobs without a command, results on disk, the command."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from typer.testing import CliRunner

from wtal.cli import app
from wtal.exports.job import Job, Segment, Timecode, Video

Rows = Sequence[tuple[str, float, float, float]]  # label, start, end, score

# Names that would break out of a folder, a cell, a page or a line, if they were not looked at.
HOSTILE = ("../x", "<script>alert(1)</script>", "=cmd()", "a\nb", "a --> b", "]]>&", "\x00", "跳 é")


def job_of(
    videos: Sequence[Video], out: Path, *, timecode: Timecode | None = None, folder: bool = False
) -> Job:
    classes = {s.label for video in videos for s in (*video.segments, *video.truth)}
    return Job(
        videos=tuple(videos),
        classes=tuple(sorted(classes)),
        out=out,
        base=out if folder else out.parent,
        source="wtal 9, runs/detections.json",
        date="2026-11-27T00:00:00+00:00",
        timecode=timecode or Timecode(0, 0, 0, 0),
        padding_s=0.0,
        cutter=None,
        progress=lambda done, total: None,
    )


def video_of(name: str, rows: Rows, **fields: Any) -> Video:
    return Video(
        name, tuple(sorted((Segment(*row) for row in rows), key=lambda s: s[1:3])), **fields
    )


def write_results(path: Path, videos: Mapping[str, Rows]) -> Path:
    results = {
        video: [{"label": la, "segment": [s, e], "score": sc} for la, s, e, sc in rows]
        for video, rows in videos.items()
    }
    path.write_text(json.dumps({"version": "test 1", "results": results}), encoding="utf-8")
    return path


def export(*words: object, code: int = 0) -> str:
    """Run `wtal export`; everything it printed."""
    result = CliRunner().invoke(app, ["export", *(str(word) for word in words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def sentence(*words: object) -> str:
    lines = [ln for ln in export(*words, code=1).splitlines() if ln.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


@st.composite
def segments(draw: st.DrawFn, most: int = 12) -> list[Segment]:
    """Detections by time: overlapping, touching, of no length, of labels of any text."""
    labels = draw(st.lists(st.text(max_size=12), min_size=1, max_size=3))
    times = st.floats(0, 50, allow_nan=False)
    found = []
    for _ in range(draw(st.integers(0, most))):
        start, length = draw(times), draw(st.sampled_from([0.0, 0.0004, 1.0, 3.3]))
        score = draw(st.floats(-5, 5, allow_nan=False))
        found.append(Segment(draw(st.sampled_from(labels)), start, start + length, score))
    return sorted(found, key=lambda s: (s.start_s, s.end_s))


RATES = [Fraction(25), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(50)]
