"""Changes to the detections before they are scored: repairs, and switches for diagnosis.

None of them is on by default. The switches show what a fault of the pipeline would cost, for
example a wrong frame rate, so every output names them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wtal_eval.columns import Annotations, Detections
from wtal_eval.faults import EvalError, shown
from wtal_eval.notes import Notes
from wtal_eval.protocols import Protocol
from wtal_eval.segments import Bools, Floats, Ints

CLIFF_DIVING, DIVING = "CliffDiving", "Diving"

# What becomes of detections that end before they start, in the words of the warning.
REVERSED = {"fp": "kept as false positives", "drop": "dropped", "swap": "turned round"}


def correct(
    detections: Detections, annotations: Annotations, protocol: Protocol, notes: Notes
) -> Detections:
    """Detections as the protocol wants them; the same object if it wants no change.

    In this order: reversed segments, CliffDiving as Diving, times, NMS, scores, best per video.

    Raises:
        EvalError: for reversed segments, or times that cannot be changed as asked.
    """
    detections = _without_reversed(detections, protocol, notes)
    if not protocol.diagnostics():
        return detections
    if protocol.cliff_as_diving == "detections":
        detections = _with_diving(detections)
    detections = _with_other_times(detections, annotations, protocol)
    if protocol.nms is not None:
        detections = take(detections, _survivors(detections, protocol))
    if protocol.score_norm == "max":
        detections = replace(detections, score=_normalised(detections))
    if protocol.max_per_video is not None:
        detections = take(detections, _best_per_video(detections, protocol.max_per_video))
    return detections


def take(detections: Detections, rows: Ints | Bools) -> Detections:
    """The given rows, in that order, under the same codes."""
    return replace(
        detections,
        video=detections.video[rows],
        label=detections.label[rows],
        start=detections.start[rows],
        end=detections.end[rows],
        score=detections.score[rows],
        lines=None if detections.lines is None else detections.lines[rows],
    )


def groups_of(detections: Detections) -> Ints:
    """(N,) one code per video and class."""
    codes: Ints = detections.video.astype(np.int64) * len(detections.labels) + detections.label
    return codes


def _without_reversed(detections: Detections, protocol: Protocol, notes: Notes) -> Detections:
    start, end = detections.start, detections.end
    backwards = end < start
    if not backwards.any():
        return detections
    rule = protocol.invalid_detections
    if rule == "error":
        detections.refuse_reversed(backwards, "invalid_detections=fp, drop or swap accepts them")
    notes.warn(
        int(backwards.sum()),
        f"detection ends before it starts ({REVERSED[rule]})",
        f"detections end before they start ({REVERSED[rule]})",
    )
    if rule == "drop":
        return take(detections, ~backwards)
    if rule == "swap":
        return replace(detections, start=np.minimum(start, end), end=np.maximum(start, end))
    return detections


def _with_diving(detections: Detections) -> Detections:
    """Each detection of CliffDiving is followed by its copy as Diving.

    THUMOS14 repeats every instance of CliffDiving as Diving.
    """
    if CLIFF_DIVING not in detections.labels:
        return detections
    cliff = detections.label == detections.labels.index(CLIFF_DIVING)
    labels = tuple(dict.fromkeys((*detections.labels, DIVING)))
    copied = np.repeat(np.arange(len(cliff)), 1 + cliff)
    second = np.append(False, copied[1:] == copied[:-1])
    twice = take(replace(detections, labels=labels), copied)
    return replace(twice, label=np.where(second, labels.index(DIVING), twice.label))


def _with_other_times(
    detections: Detections, annotations: Annotations, protocol: Protocol
) -> Detections:
    start, end = detections.start, detections.end
    with np.errstate(over="ignore"):  # what becomes infinite is refused like any other infinity
        if protocol.assume_fps is not None:
            rates = _rates(detections, annotations, protocol.assume_fps)
            start, end = start * rates / protocol.assume_fps, end * rates / protocol.assume_fps
        start = start * protocol.time_scale + protocol.time_offset
        end = end * protocol.time_scale + protocol.time_offset
        moved = end + protocol.end_offset
    # One snippet less of a segment of one snippet would leave nothing: it stays as it is.
    return replace(detections, start=start, end=np.where(moved > start, moved, end))


def _rates(detections: Detections, annotations: Annotations, assumed: float) -> Floats:
    """(N,) true frames per second of each detection's video; on unknown videos the assumed ones.

    Raises:
        EvalError: if an annotated video has none.
    """
    known = np.full(len(annotations.videos), np.nan) if annotations.fps is None else annotations.fps
    rates = dict(zip(annotations.videos, known.tolist(), strict=True))
    of_video = np.array([rates.get(video, assumed) for video in detections.videos])
    used = np.unique(detections.video)
    unknown = used[np.isnan(of_video[used])]
    if len(unknown):
        raise EvalError(
            f"{annotations.source}: {len(unknown)} videos with detections have no fps, for example "
            f"{shown(detections.videos[unknown[0]])}; assume_fps needs it."
        )
    return of_video[detections.video]


def _survivors(detections: Detections, protocol: Protocol) -> Ints:
    """Rows that a hard NMS per video and class keeps, in file order."""
    from wtal_eval.nms import hard_nms

    # A reversed segment (invalid_detections=fp) overlaps nothing.
    start, end = detections.start, np.maximum(detections.start, detections.end)
    kept = hard_nms(
        start,
        end,
        detections.score,
        groups_of(detections),
        threshold=protocol.nms or 1.0,
        length_offset=protocol.length_offset,
    )
    return np.sort(kept)


def _normalised(detections: Detections) -> Floats:
    """Scores over the largest of their video and class; where that is not above 0, as they are."""
    _, group = np.unique(groups_of(detections), return_inverse=True)
    largest = np.full(int(group.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(largest, group, detections.score)
    divisor = np.where(largest > 0, largest, 1.0)
    return detections.score / divisor[group]


def _best_per_video(detections: Detections, most: int) -> Ints:
    """Rows of the best of each video, in file order; of equal scores the earlier."""
    order = np.lexsort((-detections.score, detections.video))
    video = detections.video[order]
    first = np.searchsorted(video, video)
    best: Ints = np.sort(order[np.arange(len(order)) - first < most])
    return best
