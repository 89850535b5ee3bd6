"""Clips: the segments cut out of the videos, a folder per class."""

from __future__ import annotations

from collections.abc import Mapping

from wtal.exports.folder import Folder, owned
from wtal.exports.job import Job, Segment, Video
from wtal.exports.text import LONGEST_BYTES, Names, safe_name, score_text
from wtal_features import FeatureError
from wtal_features.video.cutting import Piece


def write_clips(job: Job) -> dict[str, str]:
    """Write `<class>/<video>_<start>-<end>_<score>.mp4`: H.264 and AAC at the video's times."""
    faults: dict[str, str] = {}
    folders = class_names(job.classes)
    with owned(job.out, "clips") as folder:
        for done, video in enumerate(job.videos, 1):
            try:
                _cut(job, video, folder, folders)
            except FeatureError as error:
                faults[video.name] = str(error)
            job.progress(done, len(job.videos))
    return faults


def _cut(job: Job, video: Video, folder: Folder, folders: Mapping[str, str]) -> None:
    """Cut one video; clips that are whole stay where it breaks off later.

    Raises:
        FeatureError: If the video breaks off, or a segment lies behind its end.
    """
    assert job.cutter is not None  # `command` makes one
    assert video.media is not None  # `command` asks for it
    names, used = [], Names()
    pieces = []
    for segment in video.segments:
        start, end = padded(segment, job.padding_s, video.duration_s)
        stem = f"{folders[segment.label]}/{_stem(video.name, segment)}"
        names.append(used.take(stem, "{name}_{n}") + ".mp4")
        pieces.append(Piece(start, end, str(folder.file(names[-1]))))
    whole: set[int] = set()
    try:
        for index in job.cutter.cut(str(video.media), pieces):
            whole.add(index)
    finally:
        folder.written -= {name for i, name in enumerate(names) if i not in whole}
    if len(whole) < len(pieces):
        raise FeatureError(
            f"{len(pieces) - len(whole)} of {len(pieces)} segments lie behind the end of "
            f"{video.media}.",
            "The detections may be of another cut of it.",
            code="beyond-end",
        )


def padded(segment: Segment, padding_s: float, duration_s: float | None) -> tuple[float, float]:
    """A segment with so much more before and after, inside the video.

    Example:
        >>> padded(Segment("x", 1.0, 9.0, None), 2.0, 10.0)
        (0.0, 10.0)
    """
    end = segment.end_s + padding_s
    return max(0.0, segment.start_s - padding_s), end if duration_s is None else min(
        end, duration_s
    )


def class_names(classes: tuple[str, ...]) -> dict[str, str]:
    """A file name for each class, none shared."""
    names = Names()
    return {label: names.take(safe_name(label)) for label in classes}


def _stem(video: str, segment: Segment) -> str:
    assert len(safe_name(video).encode()) <= LONGEST_BYTES  # the rest fits into 255 bytes
    times = f"{segment.start_s:.2f}-{segment.end_s:.2f}"
    return f"{safe_name(video)}_{times}_{score_text(segment.score)}"
