"""Switches that change times, scores or the choice of detections."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from wtal_eval import Detections, EvalError, Evaluation, evaluate, read_annotations, read_detections
from wtal_eval.corrections import correct
from wtal_eval.grid import snap
from wtal_eval.notes import Notes
from wtal_eval.protocols import resolve


def row(start: float, end: float, score: float = 0.5, label: str = "Run") -> dict[str, Any]:
    return {"label": label, "segment": [start, end], "score": score}


def truth(*segments: list[float], label: str = "Run", **fields: Any) -> dict[str, Any]:
    rows = [{"label": label, "segment": segment} for segment in segments]
    return {"database": {"v": {"subset": "test", "annotations": rows, **fields}}}


def corrected(*rows: Any, **options: Any) -> Detections:
    detections = read_detections({"results": {"v": list(rows)}})
    annotations = read_annotations(truth([0, 10], fps=25))
    return correct(detections, annotations, resolve("thumos14", options), Notes())


def evaluated(rows: list[Any], annotations: dict[str, Any], **options: Any) -> Evaluation:
    return evaluate({"results": {"v": rows}}, annotations, **{"tiou": (0.5, 0.9)} | options)


def test_without_a_switch_the_detections_are_the_same_object() -> None:
    detections = read_detections({"results": {"v": [row(0, 1)]}})
    annotations = read_annotations(truth([0, 10]))
    assert correct(detections, annotations, resolve("thumos14", {}), Notes()) is detections


def test_times_are_scaled_and_then_moved() -> None:
    found = corrected(row(10, 20), time_scale=1.5, time_offset=1, end_offset=-2)
    assert (found.start.tolist(), found.end.tolist()) == ([16.0], [29.0])


def test_an_end_is_not_moved_where_nothing_would_remain() -> None:
    found = corrected(row(0, 0.64), row(0, 1.28), end_offset=-0.64)
    assert found.end.tolist() == [0.64, 0.64]


def test_an_assumed_rate_shifts_the_videos_that_have_another() -> None:
    assert corrected(row(30, 60), assume_fps=30).end.tolist() == [50.0]
    assert corrected(row(30, 60), assume_fps=25).end.tolist() == [60.0]
    with pytest.raises(EvalError, match="1 videos with detections have no fps, for example 'v'"):
        evaluated([row(0, 1)], truth([0, 10]), assume_fps=30)
    for fps in (None, "30", 0, True):
        with pytest.raises(EvalError, match="assume_fps needs it"):
            evaluated([row(0, 1)], truth([0, 10], fps=fps), assume_fps=30)


def test_times_that_grow_too_large_are_refused() -> None:
    with pytest.raises(EvalError, match=r"end is 1e\+104, expected a finite number below"):
        corrected(row(0, 1e95), time_scale=1e9)


def test_nms_keeps_the_best_of_each_video_and_class_in_file_order() -> None:
    rows = [row(0, 9, 0.1), row(20, 30, 0.2), row(0, 10, 0.3), row(0, 10, 0.1, "Jump")]
    found = corrected(*rows, nms=0.5)
    assert found.score.tolist() == [0.2, 0.3, 0.1]
    # With one second more [0, 1] and [1, 2] overlap by a third: 1 of 3 s.
    pair = [row(0, 1, 0.9), row(1, 2, 0.8)]
    assert len(corrected(*pair, nms=0.3)) == 2
    assert len(corrected(*pair, nms=0.3, length_offset=1)) == 1


def test_nms_keeps_reversed_detections_that_stay_false_positives() -> None:
    rows = [row(9, 3, 0.9), row(3, 9, 0.8)]
    assert len(corrected(*rows, nms=0.5, invalid_detections="fp")) == 2


def test_scores_are_divided_by_the_largest_of_their_video_and_class() -> None:
    rows = [row(0, 1, 2), row(1, 2, 4), row(0, 1, 3, "Jump"), row(0, 1, -1, "Swim")]
    assert corrected(*rows, score_norm="max").score.tolist() == [0.5, 1.0, 1.0, -1.0]


def test_the_best_of_each_video_stay_in_file_order() -> None:
    rows = [row(0, 1, 0.2), row(1, 2, 0.1), row(2, 3, 0.3), row(3, 4, 0.2)]
    assert corrected(*rows, max_per_video=2).start.tolist() == [0.0, 2.0]
    assert len(corrected(*rows, max_per_video=9)) == 4
    assert len(corrected(max_per_video=1, nms=0.5, score_norm="max")) == 0


def test_cliff_diving_is_emitted_as_diving_too() -> None:
    rows = [row(0, 1, 0.9, "CliffDiving"), row(2, 3, 0.8, "Diving"), row(4, 5, 0.7)]
    found = corrected(*rows, cliff_as_diving="detections")
    labels = [found.labels[code] for code in found.label.tolist()]
    assert labels == ["CliffDiving", "Diving", "Diving", "Run"]
    assert found.score.tolist() == [0.9, 0.9, 0.8, 0.7]
    alone = corrected(rows[2], cliff_as_diving="detections")
    assert len(alone) == 1
    only_cliff = corrected(rows[0], cliff_as_diving="detections")
    assert only_cliff.labels == ("CliffDiving", "Diving")


def test_cliff_diving_may_raise_only_the_video_score_of_diving() -> None:
    both = truth([0, 10], label="CliffDiving")
    both["database"]["v"]["annotations"].append({"label": "Diving", "segment": [0, 10]})
    both["database"]["w"] = {"subset": "test", "annotations": []}
    scores = {"v": {"CliffDiving": 0.9}, "w": {"Diving": 0.5}}
    figures = [
        evaluate({"results": {}}, both, video_scores=scores, cliff_as_diving=rule).video_level
        for rule in ("off", "video-scores")
    ]
    assert [level.map for level in figures if level] == [0.5, 1.0]
    without = evaluate({"results": {}}, truth([0, 1]), cliff_as_diving="video-scores")
    assert without.video_level is None


def test_instances_are_rounded_half_to_even_on_the_grid() -> None:
    assert snap(np.array([0.32, 0.96, 1.6]), "16/25", "nearest").tolist() == [0.0, 1.28, 1.28]
    assert snap(np.array([0.32, 0.64]), "16/25", "down").tolist() == [0.0, 0.64]
    assert snap(np.array([0.32, 0.64]), "16/25", "up").tolist() == [0.64, 0.64]
    assert snap(np.array([0.32]), "off", "up").tolist() == [0.32]


def test_on_the_grid_a_rounded_instance_is_found_exactly() -> None:
    # 1 s is 1.56 snippets, 10 s 15.6: the instance becomes [2, 16] snippets.
    rows, annotations = [row(1.28, 10.24)], truth([1, 10])
    assert evaluated(rows, annotations, tiou=(1.0,)).map == (0.0,)
    for units in ("seconds", "snippets"):
        found = evaluated(rows, annotations, tiou=(1.0,), grid="16/25", grid_units=units)
        assert found.map == (1.0,)


def test_detections_on_the_grid_may_be_cut_to_whole_snippets() -> None:
    rows, annotations = [row(1.9, 10.8)], truth([1.28, 10.24])  # [2.97, 16.9] for [2, 16]
    options: dict[str, Any] = {"grid": "16/25", "grid_units": "snippets", "tiou": (1.0,)}
    assert evaluated(rows, annotations, **options).map == (0.0,)
    assert evaluated(rows, annotations, **options, grid_detections="cut").map == (1.0,)


def test_ambiguous_intervals_are_measured_in_the_unit_of_the_protocol() -> None:
    annotations = truth([0, 10])
    ambiguous = {"label": "Ambiguous", "segment": [9.7, 10.5]}  # [15.2, 16.4] snippets: [15, 16]
    annotations["database"]["v"]["annotations"].append(ambiguous)
    rows = [row(0, 9.8), row(10.3, 20)]  # [0, 15.3] snippets, cut to 15; [16.1, 31.25]
    seconds = evaluated(rows, annotations, ambiguous="drop-all")
    assert seconds.counts["detections_ambiguous"] == 2
    snippets = evaluated(rows, annotations, protocol="snippet-grid")
    assert snippets.counts["detections_ambiguous"] == 0
    cut = evaluated(rows, annotations, protocol="wtalc")
    assert cut.counts["detections_ambiguous"] == 0


def test_a_detection_on_an_ambiguous_interval_costs_nothing_unless_kept() -> None:
    annotations = truth([0, 10])
    ambiguous = {"label": "Ambiguous", "segment": [5, 20]}
    annotations["database"]["v"]["annotations"].append(ambiguous)
    rows = [row(12, 18, 0.9), row(0, 10, 0.8)]
    assert evaluated(rows, annotations).map == (0.5, 0.5)
    # The true positive touches the interval, too, and stays.
    assert evaluated(rows, annotations, ambiguous="drop-fp").map == (1.0, 1.0)
    assert evaluated(rows, annotations, ambiguous="drop-all").map == (0.0, 0.0)


def test_an_interval_of_a_video_outside_the_subset_counts() -> None:
    annotations = truth([0, 10])
    ambiguous = {"label": "Ambiguous", "segment": [0, 10]}
    annotations["database"]["w"] = {"subset": "other", "annotations": [ambiguous]}
    results = {"w": [row(0, 5, 0.9)], "v": [row(0, 10, 0.8)]}
    found = evaluate({"results": results}, annotations, ambiguous="drop-fp", tiou=(0.5,))
    assert found.map == (1.0,)
