"""A simulated reviewer: what a person who knows the truth would save on the page, video by video.

Of one video the reviewer is shown the best detections, by falling score, and says of each

- `accepted`, where an instance of its class that was not met yet overlaps it by tIoU .5 or more;
- `edited`, where one overlaps it by less: the detection gets the borders of the instance;
- nothing, where it overlaps only instances that were met: it is one more copy of them;
- `rejected`, where it overlaps no instance of its class.

Then what nobody detected is `added`, and the video is complete. Each verdict costs one correction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from wtal.corrections.file import Correction, Corrections, VideoCorrections

ENOUGH = 0.5  # tIoU from which a person leaves the borders of a detection as they are
SHOWN = 8  # detections of a video that a person goes through


class Span(NamedTuple):
    """A class and its place in a video, in seconds."""

    label: str
    start_s: float
    end_s: float


def review(
    detected: Mapping[str, Sequence[Span]],
    truth: Mapping[str, Sequence[Span]],
    order: Iterable[str],
    *,
    most: int | None = None,
    shown: int = SHOWN,
) -> Corrections:
    """Corrections of videos in the given order.

    Args:
        detected: video -> its detections, by falling score.
        truth: video -> its instances.
        order: the videos that are looked at.
        most: verdicts after which the reviewer goes home; None: never.
        shown: detections of a video that the reviewer looks at.
    """
    videos: dict[str, VideoCorrections] = {}
    left = most
    for name in order:
        if left is not None and left <= 0:
            break
        said = verdicts(detected.get(name, ())[:shown], truth[name])
        # A video that the reviewer has no time to finish is not complete.
        complete = left is None or len(said) <= left
        videos[name] = VideoCorrections(complete, tuple(said[:left]))
        left = None if left is None else left - len(said)
    return Corrections(videos, "simulated")


def verdicts(shown: Sequence[Span], truth: Sequence[Span]) -> list[Correction]:
    """What is said of one video, in the order in which it is said."""
    said: list[Correction] = []
    met: set[int] = set()
    for each in shown:
        overlaps = {i: overlap(each, t) for i, t in enumerate(truth) if t.label == each.label}
        touched = {i: share for i, share in overlaps.items() if share > 0}
        unmet = {i: share for i, share in touched.items() if i not in met}
        if unmet:
            best = max(unmet, key=unmet.__getitem__)
            met.add(best)
            if unmet[best] >= ENOUGH:
                said.append(Correction(*each, "accepted"))
            else:
                said.append(Correction(*truth[best], "edited", (each.start_s, each.end_s)))
        elif not touched:
            said.append(Correction(*each, "rejected"))
    missed = (t for i, t in enumerate(truth) if i not in met)
    return said + [Correction(*each, "added") for each in missed]


def overlap(one: Span, other: Span) -> float:
    """Temporal IoU of two spans."""
    shared = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    whole = (one.end_s - one.start_s) + (other.end_s - other.start_s) - shared
    return max(shared, 0.0) / whole


def misplaced(
    corrections: Corrections, durations: Mapping[str, float], generator: np.random.Generator
) -> Corrections:
    """A control: as many verdicts of the same classes and lengths, at places drawn by chance.

    Args:
        corrections: any.
        durations: video -> its length in seconds.
        generator: draws the places.
    """

    def moved(each: Correction, duration: float) -> Correction:
        length = min(each.end_s - each.start_s, duration)
        start = float(generator.uniform(0, duration - length))
        verdict = "added" if each.happens else each.verdict
        return Correction(each.label, start, start + length, verdict)

    videos = {
        name: replace(
            video, segments=tuple(moved(each, durations[name]) for each in video.segments)
        )
        for name, video in corrections.videos.items()
    }
    return Corrections(videos, "misplaced")


def happening(corrections: Corrections) -> Corrections:
    """A control: only what happens; nothing is rejected, no video is complete, nothing cut off."""
    videos = {}
    for name, video in corrections.videos.items():
        kept = (each for each in video.segments if each.happens)
        segments = tuple(replace(each, verdict="added", was=None) for each in kept)
        videos[name] = VideoCorrections(False, segments)
    return Corrections(videos, "happening")


def absent(corrections: Corrections, durations: Mapping[str, float]) -> Corrections:
    """A control: only what does not happen; where something does is not told.

    Args:
        corrections: any; of a complete video all gaps between the segments of each of its classes
            are rejected.
        durations: video -> its length in seconds.
    """
    videos = {}
    for name, video in corrections.videos.items():
        segments = [each for each in video.segments if not each.happens]
        if video.complete:
            segments = [
                gap for label in video.labels for gap in _gaps(video, label, durations[name])
            ]
        videos[name] = VideoCorrections(False, tuple(segments))
    return Corrections(videos, "absent")


def _gaps(video: VideoCorrections, label: str, duration: float) -> Iterable[Correction]:
    """Where a class of a complete video does not happen."""
    spans = sorted((e.start_s, e.end_s) for e in video.segments if e.happens and e.label == label)
    end = 0.0
    for start, stop in [*spans, (duration, duration)]:
        if start > end:
            yield Correction(label, end, start, "rejected")
        end = max(end, stop)
