"""Contact sheets: per class one picture with the middle frames of its best detections."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wtal.exports.clips import class_names
from wtal.exports.folder import owned
from wtal.exports.job import Job, Segment, Video
from wtal.exports.text import one_line, score_text
from wtal_features import FeatureError

BEST = 24  # pictures on a sheet
_COLUMNS = 4
_STILL_PX = 180  # shorter side
_CELL_INCHES = (2.4, 1.75)


class _Cell(NamedTuple):
    """A place on a sheet."""

    label: str
    rank: int
    segment: Segment

    @property
    def middle_s(self) -> float:
        return (self.segment.start_s + self.segment.end_s) / 2


_Pictures = dict[tuple[str, int], tuple[str, npt.NDArray[np.uint8]]]


def write_sheets(job: Job) -> dict[str, str]:
    """Write `<class>.png` for every class, best detections first; each frame says whence it is."""
    from wtal.inspection.canvas import new_figure

    new_figure(1, 1)  # without matplotlib nothing need be decoded
    wanted = _best(job)
    faults: dict[str, str] = {}
    pictures: _Pictures = {}
    with owned(job.out, "sheet") as folder:
        for done, video in enumerate(job.videos, 1):
            try:
                _look(job, video, wanted.get(video.name, []), pictures)
            except FeatureError as error:
                faults[video.name] = str(error)
            job.progress(done, len(job.videos))
        for label, name in class_names(job.classes).items():
            own = sorted((rank, found) for (of, rank), found in pictures.items() if of == label)
            if own:
                _draw(label, [found for _, found in own], folder.file(f"{name}.png"))
    return faults


def _best(job: Job) -> dict[str, list[_Cell]]:
    """Video -> its places; the best of each class over all videos."""
    by_label: dict[str, list[tuple[str, Segment]]] = {}
    for video in job.videos:
        for segment in video.segments:
            by_label.setdefault(segment.label, []).append((video.name, segment))
    found: dict[str, list[_Cell]] = {}
    for label, own in by_label.items():
        own.sort(key=lambda pair: -(pair[1].score or 0.0))  # ties stay in the order of videos
        for rank, (name, segment) in enumerate(own[:BEST]):
            found.setdefault(name, []).append(_Cell(label, rank, segment))
    return found


def _look(job: Job, video: Video, cells: Sequence[_Cell], pictures: _Pictures) -> None:
    assert job.cutter is not None  # `command` makes one
    assert video.media is not None  # `command` asks for it
    times = [cell.middle_s for cell in cells]
    for index, picture in job.cutter.stills(str(video.media), times, _STILL_PX):
        cell = cells[index]
        score = score_text(cell.segment.score)
        about = f"{one_line(video.name)[:34]}\n{cell.middle_s:.1f} s   {score}"
        pictures[cell.label, cell.rank] = about, picture


def _draw(label: str, cells: Sequence[tuple[str, npt.NDArray[np.uint8]]], path: Path) -> None:
    from wtal.inspection.canvas import new_figure, save

    rows = math.ceil(len(cells) / _COLUMNS)
    width, height = _CELL_INCHES
    figure = new_figure(width * _COLUMNS, height * rows + 0.4)
    # What a label says is text, not a formula between two dollars.
    figure.suptitle(one_line(label)[:80], parse_math=False)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, (about, picture) in zip(axes, cells, strict=False):  # the last row may be short
        axis.imshow(picture)
        axis.set_title(about, fontsize=7, parse_math=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        save(figure, path)
