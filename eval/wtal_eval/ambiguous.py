"""Intervals labelled Ambiguous: where nobody could decide whether an action happens.

THUMOS14 lists them beside its 20 classes. Its evalkit does not punish detections there; other code
drops such detections altogether.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from wtal_eval.columns import Annotations, Detections, codes_of
from wtal_eval.grid import in_unit
from wtal_eval.options import parse_snippet
from wtal_eval.protocols import Protocol
from wtal_eval.segments import Bools, Floats

AMBIGUOUS = "Ambiguous"

Intervals = Mapping[str, Floats]  # video -> (K, 2) start and end in seconds


def labelled_ambiguous(annotations: Annotations) -> Bools:
    """(N,) the instances that are such intervals."""
    rows: Bools = codes_of(annotations.labels, {AMBIGUOUS: 1}, 0)[annotations.label] == 1
    return rows


def find_intervals(annotations: Annotations, protocol: Protocol) -> Intervals:
    """The intervals of the annotations, and of the file that the protocol names.

    Those of every video count, also outside the subset: video_test_0001292 of THUMOS14 holds
    nothing else, and most annotation files lack it.

    Raises:
        EvalError: if that file cannot be read.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for i in np.flatnonzero(labelled_ambiguous(annotations)).tolist():
        segment = float(annotations.start[i]), float(annotations.end[i])
        found.setdefault(annotations.videos[annotations.video[i]], []).append(segment)
    if protocol.ambiguous_file is not None:
        from wtal_eval.text_files import read_intervals

        for video, segments in read_intervals(protocol.ambiguous_file).items():
            found.setdefault(video, []).extend(segments)
    return {video: np.array(segments) for video, segments in found.items()}


def touching(detections: Detections, intervals: Intervals, protocol: Protocol) -> Bools:
    """(N,) detections that share more than a border with an interval of their video.

    Measured in the unit of the protocol: in snippets the intervals are rounded, and the detections
    cut, as sujoyp/wtalc-pytorch@81ea982 does.

    Args:
        detections: N of them, none reversed.
        intervals: in seconds.
        protocol: for its grid.
    """
    touches = np.zeros(len(detections), bool)
    concerned = codes_of(detections.videos, dict.fromkeys(intervals, 1), 0)[detections.video] == 1
    rows = np.flatnonzero(concerned)
    video, start, end = detections.video[rows], detections.start[rows], detections.end[rows]
    snippet = parse_snippet(protocol.grid) if protocol.grid_units == "snippets" else None
    if snippet is not None:
        start, end = np.trunc(in_unit(start, protocol)), np.trunc(in_unit(end, protocol))
    for code in np.unique(video).tolist():
        low_K, high_K = intervals[detections.videos[code]].T
        if snippet is not None:
            frames, fps = snippet
            low_K, high_K = np.round(low_K * fps / frames), np.round(high_K * fps / frames)
        here = np.flatnonzero(video == code)
        shared = np.minimum(end[here, None], high_K) - np.maximum(start[here, None], low_K)
        touches[rows[here]] = (shared > 0).any(axis=1)
    return touches
