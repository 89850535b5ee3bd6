"""What every exporter is given: videos with their segments, and where the export goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from wtal.calibration import Calibration
from wtal_features.video.cutting import Cutter


class Segment(NamedTuple):
    """One detection or, without a score, one annotated instance."""

    label: str
    start_s: float
    end_s: float
    score: float | None


@dataclass(frozen=True)
class Video:
    """One video.

    Attributes:
        name: Its id, as the detections have it: any text.
        segments: Detections inside the video, by start, end, label.
        truth: Annotated instances, likewise.
        rate: Frames per second; None where nobody said.
        duration_s: Where it ends; None where nobody said.
        media: Its file; None where there is none at hand.
        media_name: The file's path below the folder of videos, with `/`.
    """

    name: str
    segments: tuple[Segment, ...]
    truth: tuple[Segment, ...] = ()
    rate: Fraction | None = None
    duration_s: float | None = None
    media: Path | None = None
    media_name: str = ""

    def frames(self, segment: Segment) -> tuple[int, int]:
        """First frame and the one after the last, by the video's rate; at least one frame.

        Example:
            >>> Video("a", (), rate=Fraction(25)).frames(Segment("x", 1.0, 2.0, None))
            (25, 50)
        """
        assert self.rate is not None  # `command` asks for it
        first, stop = (_nearest(Fraction(s) * self.rate) for s in segment[1:3])
        return first, max(first + 1, stop)


def _nearest(frames: Fraction) -> int:
    return floor(frames + Fraction(1, 2))


@dataclass(frozen=True)
class Job:
    """One export.

    Attributes:
        videos: By name.
        classes: Every label of theirs, sorted; colours and tiers follow this order.
        out: The file or folder to write.
        base: The folder that the written files lie in.
        source: Which version and file the detections come from.
        date: When they were made, ISO 8601.
        timecode: Frame that a time code such as 01:00:00:00 gives the first frame, by rate.
        padding_s: Added before and after each clip.
        cutter: Cuts the videos; None where the format needs none.
        progress: Told (done, total) videos.
        calibration: From scores to confidences; None where the detections carry none.
    """

    videos: tuple[Video, ...]
    classes: tuple[str, ...]
    out: Path
    base: Path
    source: str
    date: str
    timecode: Timecode
    padding_s: float
    cutter: Cutter | None
    progress: Callable[[int, int], None]
    calibration: Calibration | None = None

    def media_url(self, video: Video) -> str | None:
        """Where a video's file lies, seen from the export; None without a file."""
        if video.media is None:
            return None
        try:
            path = os.path.relpath(video.media.resolve(), self.base.resolve())
        except ValueError:  # another drive of Windows
            return quote(video.media.name)
        return quote(Path(path).as_posix())


class Timecode(NamedTuple):
    """Hours, minutes, seconds and frames on an editor's clock."""

    hours: int
    minutes: int
    seconds: int
    frames: int

    def count(self, base: int) -> int:
        """Frames since midnight, `base` of them in a second of the clock (non-drop)."""
        return ((self.hours * 60 + self.minutes) * 60 + self.seconds) * base + self.frames


class Format(NamedTuple):
    """One way to export.

    Attributes:
        write: Writes all of a job; video -> why it was left out.
        suffix: Of the file, or of each file in the folder.
        folder: Whether it makes a folder rather than one file.
        needs: `videos` or `rate`, without which it cannot be.
        takes: Options that mean something to it: `truth`, `rate`, `timecode`, `padding`.
        best: Detections per video that it takes by itself; None: all.
    """

    write: Callable[[Job], Mapping[str, str]]
    suffix: str
    folder: bool = False
    needs: str = ""
    takes: frozenset[str] = frozenset()
    best: int | None = None
