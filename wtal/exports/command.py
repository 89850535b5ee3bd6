"""What `wtal export` calls: read, choose, find the videos, write, say what was left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import UTC, datetime

from wtal.calibration import read_calibration
from wtal.exports.folder import refuse_foreign
from wtal.exports.job import Job, Segment, Video
from wtal.exports.selection import (
    by_video,
    check_classes,
    chosen,
    in_time,
    inside,
    least_score,
    lengths,
    read,
)
from wtal.exports.sources import Found, find
from wtal.exports.words import Words
from wtal_eval import Detections
from wtal_eval.io import read_annotations
from wtal_features.errors import counted
from wtal_features.files import make_folder
from wtal_features.video.cutting import Cutter

Progress = Callable[[int, int], None]
Bar = Callable[[str], AbstractContextManager[Progress]]
Say = Callable[[str], None]
_NOTHING = Found({}, {}, {})


def run(words: Words, *, bar: Bar, show: Say, warn: Say) -> Mapping[str, str]:
    """Export.

    Args:
        words: the options.
        bar: shows progress, under a title.
        show: told what was written.
        warn: told what was changed or not found.

    Returns:
        Video -> why it was left out.

    Raises:
        WtalError, FeatureError, EvalError: what the user can mend.
    """
    if words.format.folder:
        refuse_foreign(words.target, words.to)
    detections = read(words.file, words.detections)
    check_classes(words.classes, detections.labels, str(words.file))
    calibration = read_calibration(words.file)
    if words.sure is not None:
        least = least_score(detections, calibration, words.sure)
        words = replace(words, above=max(least, -math.inf if words.above is None else words.above))
    with ExitStack() as stack:
        cutter = None if words.videos is None else stack.enter_context(Cutter())
        found = _NOTHING
        if cutter is not None and words.videos is not None:
            with bar("looking") as progress:
                found = find(words.videos, sorted(detections.videos), cutter, progress)
        videos, faults, outside = _videos(words, detections, found)
        if outside:
            warn(f"{counted(outside, 'detection')} outside the video left out.")
        if not words.format.needs and found.faults:
            first, why = next(iter(found.faults.items()))
            many = counted(len(found.faults), "video")
            warn(f"{many} without a file to link to, the first {first!r}: {why}")
        base = words.target if words.format.folder else words.target.parent
        make_folder(base)
        with bar("exporting") as progress:
            job = Job(
                videos=videos,
                classes=tuple(sorted(_labels(videos))),
                out=words.target,
                base=base,
                source=_source(words, detections),
                date=_date(words),
                timecode=words.start,
                padding_s=words.padding or 0.0,
                cutter=cutter,
                progress=progress,
                calibration=calibration,
            )
            faults |= words.format.write(job)
    show(_summary(words, videos, faults))
    return faults


def _videos(
    words: Words, detections: Detections, found: Found
) -> tuple[tuple[Video, ...], dict[str, str], int]:
    """The videos to export, those that cannot be, and how many segments lie outside theirs."""
    truth, known = {}, {}
    if words.annotations is not None:
        annotations = read_annotations(str(words.annotations))
        wrong = annotations.end < annotations.start
        annotations.refuse_reversed(wrong, "correct the file")
        truth, known = by_video(annotations), dict(lengths(annotations))
    top = words.format.best if words.top is None else words.top
    videos: list[Video] = []
    faults: dict[str, str] = {}
    outside = 0
    for name, rows in sorted(by_video(detections).items()):
        file, header = found.files.get(name), found.headers.get(name)
        rate = (header.rate if header else None) or words.rate
        if words.format.needs and (file is None if words.format.needs == "videos" else not rate):
            faults[name] = found.faults.get(name, "Its header says no rate; give --fps.")
            continue
        length = (header.duration_s if header else None) or known.get(name)
        kept = inside(rows, length)
        outside += len(rows) - len(kept)
        videos.append(
            Video(
                name=name,
                segments=in_time(chosen(kept, words.above, top, words.classes)),
                truth=in_time(
                    chosen(inside(truth.get(name, ()), length), None, None, words.classes)
                ),
                rate=rate,
                duration_s=length,
                media=file.path if file else None,
                media_name=file.name if file else "",
            )
        )
    return tuple(videos), faults, outside


def _labels(videos: Iterable[Video]) -> set[str]:
    segments: Iterable[Segment] = (s for v in videos for s in (*v.segments, *v.truth))
    return {segment.label for segment in segments}


def _source(words: Words, detections: Detections) -> str:
    """Which model said it: the version that the file names, and its last folder and name."""
    file = words.file.resolve()
    return f"{detections.version or 'unknown version'}, {file.parent.name}/{file.name}"


def _date(words: Words) -> str:
    """Of the detections, not of the export: the same input gives the same bytes."""
    changed = datetime.fromtimestamp(words.file.stat().st_mtime, UTC)
    return changed.isoformat(timespec="seconds")


def _summary(words: Words, videos: tuple[Video, ...], faults: Mapping[str, str]) -> str:
    written = [video for video in videos if video.name not in faults]
    count = sum(len(video.segments) for video in written)
    what = f"{words.target}: {counted(count, 'detection')} of {counted(len(written), 'video')}"
    if words.to == "sheet":
        return f"{what} to choose from, the best of each class shown."
    if words.top is None and words.format.best is not None:
        return f"{what}, the best {words.format.best} of each; --top N takes more or fewer."
    thinned = words.top is not None or words.above is not None or bool(words.classes)
    return (
        f"{what}."
        if thinned or not count
        else f"{what}, all there are; --above or --top thins them."
    )
