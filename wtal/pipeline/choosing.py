"""Which detections leave the run for people's tools: the sure ones, and what a tag promises.

detections.json has everything, with all scores. An editor or an annotator wants less: of each video
the detections at or above the threshold of the calibration; of a video that was learned from only
the classes it is tagged with, and of each of them at least the best detection, for the tag says
that it is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wtal.calibration import Calibration
from wtal.exports.job import Segment
from wtal.exports.selection import by_video, read
from wtal.pipeline.words import ExportChoice
from wtal_features.files import write_json


@dataclass(frozen=True)
class Chosen:
    """What was found, in numbers.

    Attributes:
        segments: detections in all.
        videos: with at least one.
        classes: that were found.
        exported: of them.
        sure: of them, those at or above the threshold.
        threshold: None: nobody knows which are sure.
    """

    segments: int
    videos: int
    classes: int
    exported: int
    sure: int
    threshold: float | None


def choosing(
    detections: Path,
    out: Path,
    tags: Mapping[str, Sequence[str]],
    calibration: Calibration | None,
    choice: ExportChoice,
) -> Chosen:
    """Write the detections that are exported.

    Args:
        detections: the whole result.
        out: the result file to write, in a folder that exists.
        tags: of the videos that were learned from.
        calibration: None: there is none, and all are exported.
        choice: what was asked for.

    Raises:
        EvalError, FeatureError: a file cannot be read or written.
    """
    found = read(detections, detections)
    rows = by_video(found)
    threshold = None if calibration is None else calibration.threshold
    least = threshold if choice.sure_only else None
    kept = {
        video: chosen_of(segments, tags.get(video) if choice.tags_only else None, least)
        for video, segments in rows.items()
    }
    results = {video: [_entry(s) for s in segments] for video, segments in sorted(kept.items())}
    details = {} if calibration is None else {"calibration": calibration.to_json()}
    write_json(out, {"version": found.version, "results": results, "external_data": details})
    return Chosen(
        segments=len(found),
        videos=sum(bool(segments) for segments in rows.values()),
        classes=len({segment.label for segments in rows.values() for segment in segments}),
        exported=sum(len(segments) for segments in kept.values()),
        sure=0 if threshold is None else int((found.score >= threshold).sum()),
        threshold=threshold,
    )


def chosen_of(
    segments: Sequence[Segment], tags: Sequence[str] | None, least: float | None
) -> list[Segment]:
    """The detections of one video that are exported, in their order.

    Args:
        segments: all of it.
        tags: of a video that was learned from; None: of others, whatever is found.
        least: score from which one is sure; None: all are.

    Example:
        >>> a, b = Segment("x", 0.0, 1.0, 0.2), Segment("y", 0.0, 1.0, 0.9)
        >>> [s.label for s in chosen_of([a, b], None, 0.5)]
        ['y']
        >>> [s.label for s in chosen_of([a, b], ["x"], 0.5)]
        ['x']
    """
    best: dict[str, Segment] = {}
    for segment in segments:
        if segment.label in (tags or ()) and _score(segment) > _score(best.get(segment.label)):
            best[segment.label] = segment
    return [
        segment
        for segment in segments
        if (tags is None or segment.label in tags)
        and (least is None or _score(segment) >= least or segment is best.get(segment.label))
    ]


def _score(segment: Segment | None) -> float:
    return float("-inf") if segment is None or segment.score is None else segment.score


def _entry(segment: Segment) -> dict[str, object]:
    return {
        "label": segment.label,
        "score": segment.score,
        "segment": [segment.start_s, segment.end_s],
    }
