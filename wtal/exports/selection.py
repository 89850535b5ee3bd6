"""Which detections are exported, and where they end: inside their videos."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import attrgetter
from pathlib import Path

from wtal.calibration import Calibration
from wtal.errors import WtalError
from wtal.exports.job import Segment
from wtal_eval import Annotations, Detections
from wtal_eval.io import read_detections


def read(file: Path, given: Path) -> Detections:
    """Read a result file.

    Args:
        file: the file.
        given: what the user named: it, or a run folder.

    Raises:
        WtalError: a folder has none.
        EvalError: it cannot be read, or a detection ends before it starts.
    """
    if given.is_dir() and not file.is_file():
        raise WtalError(
            f"{given} has no {file.name}; expected a result file or the folder of a run "
            "that was localized."
        )
    detections = read_detections(str(file))
    detections.refuse_reversed(detections.end < detections.start, "correct the file")
    return detections


def by_video(columns: Detections | Annotations) -> dict[str, list[Segment]]:
    """Video -> its rows, in the order of the file; also of videos without any."""
    found: dict[str, list[Segment]] = {video: [] for video in columns.videos}
    scores: Sequence[float | None] = [None] * len(columns)
    if isinstance(columns, Detections):
        scores = columns.score.tolist()
    for video, label, start, end, score in zip(
        columns.video.tolist(),
        columns.label.tolist(),
        columns.start.tolist(),
        columns.end.tolist(),
        scores,
        strict=True,
    ):
        row = Segment(columns.labels[label], start, end, score)
        found[columns.videos[video]].append(row)
    return found


def check_classes(wanted: Iterable[str], labels: Sequence[str], source: str) -> None:
    """Refuse a class that the detections do not have.

    Raises:
        WtalError: naming the nearest.
    """
    for name in wanted:
        if name not in labels:
            near = difflib.get_close_matches(name, labels, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"It has {len(labels)} others."
            raise WtalError(f"--class {name!r}: {source} has no detection of it. {hint}")


def chosen(
    segments: list[Segment], above: float | None, top: int | None, classes: Iterable[str]
) -> list[Segment]:
    """The detections of one video that were asked for.

    Args:
        segments: All of it.
        above: Least score; None: any.
        top: So many of the best; of equal ones the first of the file.
        classes: Labels; none: all.
    """
    wanted = frozenset(classes)
    keep = (
        (not wanted or s.label in wanted) and (above is None or (s.score or 0.0) >= above)
        for s in segments
    )
    found = list(compress(segments, keep))
    if top is not None:
        found = sorted(found, key=lambda s: -(s.score or 0.0))[:top]
    return found


def inside(segments: Iterable[Segment], duration_s: float | None) -> list[Segment]:
    """Segments cut to [0, duration], in their order; those outside are left out.

    Example:
        >>> inside([Segment("x", -1.0, 2.0, None), Segment("x", 5.0, 6.0, None)], 4.0)
        [Segment(label='x', start_s=0.0, end_s=2.0, score=None)]
    """
    end_s = math.inf if duration_s is None else duration_s
    return [
        s._replace(start_s=max(0.0, s.start_s), end_s=min(s.end_s, end_s))
        for s in segments
        if s.end_s >= 0 and s.start_s < end_s
    ]


def least_score(detections: Detections, calibration: Calibration | None, sure: float) -> float:
    """The least score of a detection with a confidence of at least `sure`.

    Raises:
        WtalError: the detections carry no calibration, or none is that sure.
    """
    if calibration is None:
        raise WtalError(
            f"--sure needs confidences, and {detections.source} carries none; run `wtal calibrate` "
            "on the run, then `wtal localize` again. --above takes a plain score."
        )
    confidence_N = calibration.confidence(detections.score)
    if not (confidence_N >= sure).any():
        most = f"the surest has {confidence_N.max():.2f}" if len(confidence_N) else "it has none"
        raise WtalError(f"--sure is {sure:g}: no detection is that sure, {most}.")
    return float(detections.score[confidence_N >= sure].min())


def in_time(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Sorted by start, end and label, the best first where those are equal."""
    key = attrgetter("start_s", "end_s", "label")
    return tuple(sorted(segments, key=lambda s: (key(s), -(s.score or 0.0))))


def lengths(annotations: Annotations | None) -> Mapping[str, float]:
    """Video -> seconds, where the annotations say it."""
    if annotations is None:
        return {}
    pairs = zip(annotations.videos, annotations.durations.tolist(), strict=True)
    return {video: seconds for video, seconds in pairs if seconds > 0}
