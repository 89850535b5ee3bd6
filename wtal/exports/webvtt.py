"""WebVTT: captions per video that any player and browser shows, label and score as text.

Source: W3C WebVTT, sections 4.1 (file structure) and 4.2 (cue text: `&` and `<` are escaped).
"""

from __future__ import annotations

from collections.abc import Iterator

from wtal.exports.folder import per_video
from wtal.exports.job import Job, Segment, Video
from wtal.exports.text import one_line, score_text


def write_webvtt(job: Job) -> dict[str, str]:
    """Write one `.vtt` per video, cues by start."""
    return per_video(job, "webvtt", ".vtt", lambda video: [_document(video, job.source).encode()])


def _document(video: Video, source: str) -> str:
    head = f"WEBVTT\n\nNOTE {_escaped(f'{video.name}: {source}')}\n"
    return head + "".join(_cues(video))


def _cues(video: Video) -> Iterator[str]:
    for number, segment in enumerate(video.segments, 1):
        start, stop = milliseconds(segment)
        yield (
            f"\n{number}\n{_clock(start)} --> {_clock(stop)}\n"
            f"{_escaped(segment.label)} ({score_text(segment.score)})\n"
        )


def milliseconds(segment: Segment) -> tuple[int, int]:
    """Start and end; the end is one later at least, since no reader takes an empty span.

    Example:
        >>> milliseconds(Segment("x", 1.0, 1.0, 0.5))
        (1000, 1001)
    """
    start, stop = round(segment.start_s * 1000), round(segment.end_s * 1000)
    return start, max(stop, start + 1)


def _clock(milliseconds: int) -> str:
    """Hours have two digits or more."""
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{thousandths:03}"


def _escaped(text: str) -> str:
    """Text that is no markup, and no arrow: `-->` belongs to timings."""
    plain = one_line(text).replace("&", "&amp;")
    return plain.replace("<", "&lt;").replace(">", "&gt;")
