"""The score any model must beat: every tag of a video as one detection, the whole video long.

A weakly supervised model is given these tags in training. Where instances fill most of a video, as
in ActivityNet, this row is high, and a figure means little without it.
"""

from __future__ import annotations

import numpy as np

from wtal_eval.notes import Notes
from wtal_eval.ranking import Ranking
from wtal_eval.segments import Floats, Ints, Segments
from wtal_eval.truth import Truth


def true_tags(truth: Truth) -> tuple[Ints, Ints]:
    """Video and class of every tag, each once, in the order of the file."""
    video, label = truth.instances.video, truth.instances.label
    _, first = np.unique(video * len(truth.classes) + label, return_index=True)
    rows = np.sort(first)
    return video[rows], label[rows]


def predicted_tags(score_VL: Floats, truth: Truth) -> tuple[Ints, Ints]:
    """Video and class of the best scored label of each video, where that label is a class."""
    ranked = np.where(np.isnan(score_VL), -np.inf, score_VL)
    best = ranked.argmax(axis=1)
    scored = ~np.isnan(score_VL).all(axis=1) & (best < len(truth.classes))
    videos = np.flatnonzero(scored)
    return videos, best[videos]


def whole_video(tags: tuple[Ints, Ints], truth: Truth) -> Ranking | None:
    """Detections [0, duration] with score 1 / duration; None if no tagged video has a duration.

    With one constant score the order of the file would decide 0.1 to 0.3 points.
    """
    video, label = tags
    duration = truth.durations[video]
    known = duration > 0  # False for NaN
    if not known.any():
        return None
    duration = duration[known]
    segments = Segments(video[known], label[known], np.zeros(len(duration)), duration)
    with np.errstate(over="ignore"):  # a duration of 1e-310 s ranks first all the same
        return Ranking(segments, 1 / duration)


def whole_videos(score_VL: Floats | None, truth: Truth, notes: Notes) -> dict[str, Ranking]:
    """The baseline of true tags and, with video scores, that of predicted tags; by their names."""
    tags = {"whole_video": true_tags(truth)}
    if score_VL is not None:
        tags["whole_video_predicted"] = predicted_tags(score_VL, truth)
    rows = {name: whole_video(pairs, truth) for name, pairs in tags.items()}
    if rows["whole_video"] is None:
        notes.warnings.append("No annotated video has a duration: no whole-video baseline.")
    else:
        notes.warn(
            int((~(truth.durations[np.unique(truth.instances.video)] > 0)).sum()),
            "annotated video has no duration: the whole-video baseline lacks it",
            "annotated videos have no duration: the whole-video baseline lacks them",
        )
    return {name: ranking for name, ranking in rows.items() if ranking is not None}
