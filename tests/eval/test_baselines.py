"""The trivial whole-video rows."""

from __future__ import annotations

from typing import Any

import pytest

from wtal_eval import evaluate


def entry(duration: Any, *rows: tuple[str, float, float]) -> dict[str, Any]:
    annotations = [{"label": label, "segment": [start, end]} for label, start, end in rows]
    fields: dict[str, Any] = {"subset": "test", "annotations": annotations}
    return fields if duration is None else fields | {"duration": duration}


def test_the_whole_video_finds_instances_that_fill_it() -> None:
    database = {"a": entry(10, ("run", 0, 10)), "b": entry(20, ("run", 0, 5), ("run", 8, 12))}
    row = evaluate({"results": {}}, {"database": database}, tiou=".1:.1:.9").baselines[
        "whole_video"
    ]
    # Two detections for three instances: video b reaches .25 with its longer instance.
    assert row.map[:2] == pytest.approx((2 / 3, 2 / 3))
    assert row.map[2:] == pytest.approx((1 / 3,) * 7)
    assert row.averages["0.1:0.9"] == pytest.approx((2 * 2 / 3 + 7 / 3) / 9)


def test_shorter_videos_rank_first() -> None:
    database = {"long": entry(20, ("run", 0, 5)), "short": entry(10, ("run", 0, 10))}
    for order in (("long", "short"), ("short", "long")):
        annotations = {"database": {v: database[v] for v in order}}
        row = evaluate({"results": {}}, annotations, tiou=(0.5,)).baselines["whole_video"]
        assert row.map == (0.5,)


def test_predicted_tags_are_the_best_scored_labels() -> None:
    database = {"a": entry(10, ("run", 0, 10)), "b": entry(10, ("jump", 0, 10))}
    scores = {"a": {"run": 0.9, "jump": 0.1}, "b": {"run": 0.8, "jump": 0.1}}
    result = evaluate({"results": {}, "video_scores": scores}, {"database": database})
    assert result.baselines["whole_video"].map[0] == 1.0
    # Of run: video b, later in the file, is a false positive and ties with a. jump: nothing.
    assert result.baselines["whole_video_predicted"].map[0] == pytest.approx((1 / 2 + 0) / 2)


def test_without_video_scores_there_is_no_row_of_predicted_tags() -> None:
    result = evaluate({"results": {}}, {"database": {"a": entry(10, ("run", 0, 10))}})
    assert list(result.baselines) == ["whole_video"]


@pytest.mark.parametrize("duration", [None, 0, -1])
def test_without_durations_one_line_says_so(duration: Any) -> None:
    result = evaluate({"results": {}}, {"database": {"a": entry(duration, ("run", 0, 10))}})
    assert result.baselines == {}
    assert "No annotated video has a duration: no whole-video baseline." in result.warnings


def test_a_video_without_a_duration_is_missing_from_the_baseline() -> None:
    database = {"a": entry(10, ("run", 0, 10)), "b": entry(None, ("run", 0, 10))}
    result = evaluate({"results": {}}, {"database": database})
    assert result.baselines["whole_video"].map[0] == 0.5
    assert any(line.startswith("1 annotated video has no duration") for line in result.warnings)
