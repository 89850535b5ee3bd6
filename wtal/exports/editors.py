"""Editors: EDL (CMX 3600), a reel of all segments, and OpenTimelineIO, markers on the videos.

Frames are counted by the exact rate, 24000/1001 and not 23.98, and the end frame is exclusive, so
that nothing drifts and nothing is one frame off. The clock is non-drop: it counts whole frames.

Source: CMX 3600 as the editors of Avid and Blackmagic read it (one event a line, three digits,
reel names of eight characters); OpenTimelineIO's serialized schema, AcademySoftwareFoundation/
OpenTimelineIO docs/tutorials/otio-serialized-schema.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from wtal.exports.colours import marker_colour
from wtal.exports.folder import per_video
from wtal.exports.job import Job, Segment, Timecode, Video
from wtal.exports.text import encoded, one_line, score_text
from wtal_features import FeatureError
from wtal_features.files import atomic_write

MOST_EVENTS = 999  # event numbers have three digits; more go to further files
_TITLE_LETTERS, _REEL_LETTERS = 70, 8
_RECORD_START = Timecode(1, 0, 0, 0)  # the hour at which programmes start


def write_edl(job: Job) -> dict[str, str]:
    """Write one `.edl` per video, with further parts where it has over 999 segments.

    Each segment is an event, in the order of their starts; in the record they follow each other
    without gaps, from 01:00:00:00.
    """
    return per_video(job, "edl", ".edl", lambda video: _parts(job, video))


def _parts(job: Job, video: Video) -> Iterator[bytes]:
    base = _clock_base(video)
    for first in range(0, max(1, len(video.segments)), MOST_EVENTS):
        lines = [f"TITLE: {_ascii(video.name)[:_TITLE_LETTERS]}", "FCM: NON-DROP FRAME", ""]
        record = _RECORD_START.count(base)
        for number, segment in enumerate(video.segments[first : first + MOST_EVENTS], 1):
            span = [n + job.timecode.count(base) for n in video.frames(segment)]
            length = span[1] - span[0]
            times = (clock(n, base) for n in (*span, record, record + length))
            lines += [
                f"{number:03}  {_reel(video.name):8} V     C        {' '.join(times)}",
                f"* FROM CLIP NAME: {one_line(video.media.name if video.media else video.name)}",
                f"* COMMENT: {one_line(segment.label)} {score_text(segment.score)}",
            ]
            record += length
        yield ("\n".join(lines) + "\n").encode()


def _clock_base(video: Video) -> int:
    """Frames in a second of the clock: the next whole number, 24 for 23.976.

    Raises:
        FeatureError: If two digits cannot count them.
    """
    assert video.rate is not None  # `command` asks for it
    base = round(video.rate)
    if not 1 <= base <= 100:
        raise FeatureError(
            f"{video.name!r} has {float(video.rate):g} frames per second; a time code counts "
            "1 to 100.",
            "Export to otio.",
            code="rate",
        )
    return base


def clock(frames: int, base: int) -> str:
    """Non-drop time code; after a day it starts again.

    Example:
        >>> clock(3600 * 25 + 7, 25)
        '01:00:00:07'
    """
    seconds, rest = divmod(frames, base)
    return f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}:{rest:02}"


def _ascii(text: str) -> str:
    return one_line(text).encode("ascii", "replace").decode()


def _reel(name: str) -> str:
    """Letters and digits of a name; AX, which stands for any source, where it has none."""
    letters = "".join(c for c in name if c.isascii() and c.isalnum())
    return letters.upper()[:_REEL_LETTERS] or "AX"


def write_otio(job: Job) -> dict[str, str]:
    """Write one `.otio` file: the timeline of the video, or a collection of them if many.

    A timeline has the whole video as one clip with a marker per detection, and with annotations a
    second track, switched off, whose clip has those.
    """
    timelines = (_timeline(job, video) for video in job.videos)
    with atomic_write(job.out) as file:
        if len(job.videos) == 1:
            file.write(_json(next(timelines)))
            return {}
        head = {"OTIO_SCHEMA": "SerializableCollection.1", "metadata": {"wtal": job.source}}
        file.write(_json(head | {"name": "wtal"})[:-1] + b', "children": [')
        for done, timeline in enumerate(timelines, 1):
            file.write((b",\n" if done > 1 else b"\n") + _json(timeline))
            job.progress(done, len(job.videos))
        file.write(b"\n]}")
    return {}


def _json(value: object) -> bytes:
    return encoded(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _timeline(job: Job, video: Video) -> dict[str, Any]:
    assert video.rate is not None  # `command` asks for it
    shift = job.timecode.count(max(1, round(video.rate)))
    ends = [video.frames(s)[1] for s in (*video.segments, *video.truth)]
    length = round(video.duration_s * video.rate) if video.duration_s else max(ends, default=1)
    whole = _range(shift, max(length, 1), video.rate)
    tracks = [_track("detections", job, video, video.segments, whole, enabled=True)]
    if video.truth:
        tracks.append(_track("annotations", job, video, video.truth, whole, enabled=False))
    return {
        "OTIO_SCHEMA": "Timeline.1",
        "metadata": {"wtal": {"source": job.source, "video": video.name}},
        "name": video.name,
        "global_start_time": _time(shift, video.rate),
        "tracks": {
            "OTIO_SCHEMA": "Stack.1",
            **_ITEM,
            "name": "tracks",
            "source_range": None,
            "children": tracks,
        },
    }


_ITEM: dict[str, Any] = {"metadata": {}, "effects": [], "markers": [], "enabled": True}


def _track(
    name: str,
    job: Job,
    video: Video,
    segments: Sequence[Segment],
    whole: dict[str, Any],
    *,
    enabled: bool,
) -> dict[str, Any]:
    url = job.media_url(video)
    media: dict[str, Any] = {"metadata": {}, "name": "", "available_range": whole}
    media |= {"OTIO_SCHEMA": "MissingReference.1"}
    if url is not None:
        media |= {"OTIO_SCHEMA": "ExternalReference.1", "target_url": url}
    clip = {
        "OTIO_SCHEMA": "Clip.2",
        **_ITEM,
        "name": video.name,
        "source_range": whole,
        "markers": [_marker(job, video, segment) for segment in segments],
        "enabled": enabled,
        "media_references": {"DEFAULT_MEDIA": media},
        "active_media_reference_key": "DEFAULT_MEDIA",
    }
    return {
        "OTIO_SCHEMA": "Track.1",
        **_ITEM,
        "name": name,
        "kind": "Video",
        "source_range": None,
        "enabled": enabled,
        "children": [clip],
    }


def _marker(job: Job, video: Video, segment: Segment) -> dict[str, Any]:
    assert video.rate is not None  # `command` asks for it
    first, stop = video.frames(segment)
    shift = job.timecode.count(max(1, round(video.rate)))
    exact = {"label": segment.label, "start_s": segment.start_s, "end_s": segment.end_s}
    return {
        "OTIO_SCHEMA": "Marker.2",
        "metadata": {"wtal": exact | {"score": segment.score}},
        "name": segment.label,
        "color": marker_colour(job.classes.index(segment.label)),
        "comment": score_text(segment.score),
        "marked_range": _range(first + shift, stop - first, video.rate),
    }


def _range(start: int, length: int, rate: Fraction) -> dict[str, Any]:
    return {
        "OTIO_SCHEMA": "TimeRange.1",
        "start_time": _time(start, rate),
        "duration": _time(length, rate),
    }


def _time(frames: int, rate: Fraction) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "RationalTime.1", "rate": float(rate), "value": float(frames)}
