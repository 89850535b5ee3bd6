"""Video-level mAP, top-1 and hit@k by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from wtal_eval import EvalError, Evaluation, evaluate
from wtal_eval.classification import VideoLevel, classify

NAN = np.nan


def level_of(evaluation: Evaluation) -> VideoLevel:
    assert evaluation.video_level is not None
    return evaluation.video_level


def two_classes() -> dict[str, Any]:
    """Videos a and b hold run, c holds jump, d is background."""
    held = {"a": ["run"], "b": ["run"], "c": ["jump"], "d": []}
    return {
        video: {
            "subset": "test",
            "duration": 10,
            "annotations": [{"label": label, "segment": [0, 10]} for label in labels],
        }
        for video, labels in held.items()
    }


def test_a_class_without_a_positive_video_is_not_in_the_mean() -> None:
    scores = np.array([[0.9, 0.1, 0.3], [0.5, 0.2, 0.8]])
    labels = np.array([[1, 0, 0], [0, 1, 0]], bool)
    for interpolated in (True, False):
        level = classify(scores, labels, derived=False, interpolated=interpolated)
        assert level.map == pytest.approx(1)
        assert level.top1 == pytest.approx(1 / 2)  # the class still competes for the best place


def test_each_class_ranks_the_videos() -> None:
    scores = np.array([[0.9, 0.1], [0.5, 0.2], [0.7, 0.3], [0.1, 0.4]])
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], bool)
    level = classify(scores, labels, derived=False, interpolated=False)
    # run: true at ranks 1 and 3; jump: at rank 2, behind the background video.
    assert level.map == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    assert level.top1 == pytest.approx(2 / 3)
    assert level.hit3 == 1.0


def test_interpolation_lifts_a_precision_to_the_best_behind_it() -> None:
    scores = np.arange(5.0, 0, -1)[:, None]
    labels = np.array([[0], [1], [1], [1], [0]], bool)
    sums = classify(scores, labels, derived=False, interpolated=False)
    lifted = classify(scores, labels, derived=False, interpolated=True)
    assert sums.map == pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3)
    assert lifted.map == pytest.approx(3 / 4)


def test_a_video_without_a_score_for_a_class_is_not_ranked_in_it() -> None:
    scores = np.array([[0.9, NAN], [NAN, 0.5]])
    labels = np.array([[1, 0], [1, 1]], bool)
    level = classify(scores, labels, derived=False, interpolated=False)
    assert level.map == pytest.approx((1 / 2 + 1) / 2)
    assert level.avg_hit3 == pytest.approx((1 + 1 / 2) / 2)


def test_hits_ask_for_some_true_label_and_their_average_for_all() -> None:
    scores = np.array([[5.0, 4, 3, 2, 1], [1, 2, 3, 4, 5]])
    labels = np.array([[1, 0, 0, 1, 0], [0, 1, 1, 0, 1]], bool)
    level = classify(scores, labels, derived=False, interpolated=False)
    assert (level.top1, level.hit3) == (1.0, 1.0)
    assert level.avg_hit3 == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_scores_of_the_file_go_before_scores_of_detections() -> None:
    rows = {"a": [{"label": "run", "segment": [0, 1], "score": 0.5}]}
    derived = level_of(evaluate({"results": rows}, {"database": two_classes()}))
    assert derived.derived
    assert derived.top1 == pytest.approx(1 / 3)
    assert derived.map == pytest.approx((1 / 2 + 0) / 2)
    scores = {"a": {"run": 1}, "b": {"run": 0.5, "jump": -1}, "c": {"jump": 2.0}}
    given = level_of(
        evaluate({"results": rows, "video_scores": scores}, {"database": two_classes()})
    )
    assert not given.derived
    assert (given.map, given.top1) == (1.0, 1.0)


def test_a_scored_label_that_is_no_class_competes_for_the_best_place() -> None:
    scores = {v: {"run": 0.5, "jump": 0.4, "swim": 0.9} for v in "abcd"}
    level = level_of(evaluate({"results": {}, "video_scores": scores}, {"database": two_classes()}))
    assert level.top1 == 0.0
    assert level.hit3 == 1.0


def test_detections_on_unknown_videos_are_no_video_scores() -> None:
    row = {"label": "run", "segment": [0, 1], "score": 9}
    rows = {"a": [row], "b": [row], "other": [row]}
    level = level_of(evaluate({"results": rows}, {"database": two_classes()}))
    assert level.map == pytest.approx(1 / 2)


def test_videos_without_video_scores_are_counted() -> None:
    scores = {"a": {"run": 1}}
    result = evaluate({"results": {}, "video_scores": scores}, {"database": two_classes()})
    assert any(line.startswith("3 videos have no video_scores") for line in result.warnings)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([], "video_scores is [], expected an object"),
        ({"a": 1}, "video 'a', its video_scores is 1"),
        ({"a": {"run": None}}, "video 'a', label 'run', score is null"),
        ({"a": {"run": float("nan")}}, "score is nan"),
        ({"a": {"run": True}}, "score is True"),
    ],
)
def test_bad_video_scores_are_named(scores: Any, words: str) -> None:
    with pytest.raises(EvalError) as caught:
        evaluate({"results": {}, "video_scores": scores}, {"database": two_classes()})
    assert words in str(caught.value)
