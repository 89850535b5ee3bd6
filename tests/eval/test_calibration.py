"""What scores claim against what is found."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, precision_recall_curve

from wtal_eval import EvalError, read_annotations, read_detections
from wtal_eval.calibration import (
    Calibration,
    ReliabilityBin,
    analyse,
    as_probabilities,
    curve_of,
    precision_recall,
    reliability,
)
from wtal_eval.notes import Notes
from wtal_eval.protocols import Protocol, resolve
from wtal_eval.ranking import Ranking, select_detections
from wtal_eval.truth import Truth, select_truth

Parts = tuple[Ranking, Truth, Protocol]


def select(detections: Any, annotations: Any, **options: Any) -> Parts:
    rules = resolve("thumos14", options)
    read = read_annotations(annotations)
    truth = select_truth(read, rules, Notes())
    ranking = select_detections(read_detections(detections), read, truth, rules, Notes())
    return ranking, truth, rules


def parts(scores: list[float], right: list[bool], **options: Any) -> Parts:
    """One instance per detection of `run`; a wrong detection lies beside it. `jump` is missed."""
    rows = [{"label": "run", "segment": [20 * k, 20 * k + 10]} for k in range(len(scores))]
    found = [
        {
            "label": "run",
            "segment": [20 * k + (0 if hit else 10), 20 * k + (10 if hit else 20)],
            "score": score,
        }
        for k, (score, hit) in enumerate(zip(scores, right, strict=True))
    ]
    truth = {"v": {"subset": "test", "annotations": [*rows, {"label": "jump", "segment": [0, 1]}]}}
    return select({"results": {"v": found}}, {"database": truth}, **options)


def test_scores_that_are_right_as_often_as_they_say_have_no_error() -> None:
    found = analyse(*parts([0.5] * 4 + [1.0] * 2, [True, False, True, False, True, True]), bins=2)
    assert (found.scale, found.detections, found.precision) == ("given", 6, 4 / 6)
    assert found.ece == 0
    assert found.brier == pytest.approx(4 * 0.25 / 6)
    assert found.brier_constant == pytest.approx(4 / 6 * 2 / 6)
    assert [(one.detections, one.probability, one.precision) for one in found.bins] == [
        (4, 0.5, 0.5),
        (2, 1, 1),
    ]


def test_the_expected_calibration_error_is_the_mean_gap() -> None:
    found = analyse(*parts([0.1, 0.1, 0.9, 0.9], [True, False, False, False]), bins=2)
    assert found.ece == pytest.approx((0.4 + 0.9) / 2)


def test_equal_scores_are_never_parted_whatever_their_order() -> None:
    scores = [0.2] * 5 + [0.7] * 3 + [0.9]
    right = [True, False, True, False, False, True, True, False, True]
    once = analyse(*parts(scores, right), bins=4)
    assert [one.detections for one in once.bins] == [5, 3, 1]
    turned = analyse(*parts(scores[::-1], right[::-1]), bins=4)
    assert turned.bins == once.bins
    assert turned.overall == once.overall


def test_scores_outside_zero_to_one_are_scaled_and_the_output_says_how() -> None:
    made = parts([-1.0, 0.0, 3.0], [False, True, True])
    found = analyse(*made, bins=3)
    assert found.scale == "min-max"
    assert [one.probability for one in found.bins] == [0, 0.25, 1]
    assert (found.bins[0].lowest, found.bins[-1].highest) == (-1, 3)  # as in the file
    assert "scores scaled from least to most" in found.text()
    ranks = analyse(*made, bins=3, scale="rank")
    assert [one.probability for one in ranks.bins] == pytest.approx([1 / 6, 3 / 6, 5 / 6])
    assert "scores replaced by their rank" in ranks.text()
    with pytest.raises(EvalError, match="scores run from -1 to 3; expected min-max or rank"):
        analyse(*made, scale="given")


def test_scores_of_any_size_become_probabilities() -> None:
    assert as_probabilities(np.array([-1e308, 1e308]), "min-max").tolist() == [0, 1]
    assert as_probabilities(np.array([7.0, 7.0]), "min-max").tolist() == [0.5, 0.5]
    assert as_probabilities(np.array([7.0, 7.0]), "rank").tolist() == [0.5, 0.5]
    assert as_probabilities(np.zeros(0), "rank").tolist() == []


def test_a_cut_off_reaches_the_wanted_precision_at_the_largest_recall() -> None:
    # By score: true, false, true, true, false; precisions 1, 1/2, 2/3, 3/4, 3/5.
    found = analyse(
        *parts([0.9, 0.8, 0.7, 0.6, 0.5], [True, False, True, True, False]), wanted=(0.6, 0.7, 1.0)
    )
    low, middle, high = found.per_class["run"]
    assert (low.score, low.precision, low.recall, low.detections) == (0.5, 0.6, 0.6, 5)
    assert (middle.score, middle.precision, middle.recall) == (0.6, 0.75, 0.6)
    assert (high.score, high.precision, high.recall) == (0.9, 1, 0.2)
    assert found.overall[0].recall == pytest.approx(3 / 6)  # `jump` is never found


def test_a_precision_that_no_score_reaches_has_no_cut_off() -> None:
    found = analyse(*parts([0.9, 0.8], [False, True]), wanted=(0.9,))
    assert found.per_class["run"][0].score is None
    assert found.per_class["jump"][0].score is None
    assert "-" in found.text()


def test_nothing_can_be_cut_between_equal_scores() -> None:
    curve = curve_of("run", np.array([0.9, 0.9, 0.5]), np.array([True, False, True]), 2)
    assert curve.score.tolist() == [0.9, 0.5]
    assert curve.precision.tolist() == [0.5, 2 / 3]
    assert curve.recall.tolist() == [0.5, 1]


def test_without_detections_there_is_no_error_to_speak_of() -> None:
    found = analyse(*select({"results": {}}, {"database": {"v": {"subset": "test",
        "annotations": [{"label": "run", "segment": [0, 1]}]}}}))  # fmt: skip
    assert (found.ece, found.brier, found.bins, found.detections) == (None, None, (), 0)
    assert found.per_class["run"][0].score is None
    assert "no detections" in found.text()
    assert json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bins": 0}, "bins is 0; expected a whole number of at least 1"),
        ({"scale": "sigmoid"}, "scale is 'sigmoid'; expected one of given, min-max, rank"),
        ({"wanted": (0.0,)}, "wanted precision is 0.0"),
        ({"tiou": 0.0}, "expected thresholds above 0 and up to 1"),
    ],
)
def test_an_option_without_meaning_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(EvalError, match=words):
        analyse(*parts([0.5], [True]), **options)


def test_json_and_frame_hold_the_same_figures() -> None:
    found = analyse(*parts([0.9, 0.5], [True, False]), bins=2)
    stored = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert stored == found.to_json()
    assert [one["score"] for one in stored["per_class"]["run"]] == [0.5, 0.9, 0.9]
    assert found.frame()["precision"].tolist() == [0, 1]


def test_a_false_positive_that_leaves_the_ranking_is_not_counted() -> None:
    rows = [{"label": "run", "segment": [0, 10]}, {"label": "Ambiguous", "segment": [50, 60]}]
    found = [
        {"label": "run", "segment": [0, 10], "score": 0.9},
        {"label": "run", "segment": [50, 60], "score": 0.8},
    ]
    truth = {"database": {"v": {"subset": "test", "annotations": rows}}}
    made = select({"results": {"v": found}}, truth, ambiguous="drop-fp")
    assert analyse(*made).precision == 1


scores_and_hits = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.booleans()), min_size=1, max_size=30
)


@settings(max_examples=150, deadline=None)
@given(rows=scores_and_hits, bins=st.integers(1, 8))
def test_bins_part_the_detections_and_ascend(rows: list[tuple[float, bool]], bins: int) -> None:
    score = np.array([p for p, _ in rows])
    hit = np.array([h for _, h in rows])
    table = reliability(score, score, hit, bins)
    assert sum(one.detections for one in table) == len(rows)
    assert len(table) <= bins
    assert sum(one.detections * one.precision for one in table) == pytest.approx(hit.sum())
    for low, high in pairwise(table):
        assert low.highest < high.lowest
    # Finer tables see more of the gap.
    finest = reliability(score, score, hit, len(rows))
    assert gap(finest, len(rows)) >= gap(table, len(rows)) - 1e-12


def gap(table: Sequence[ReliabilityBin], total: int) -> float:
    return sum(one.detections * abs(one.probability - one.precision) for one in table) / total


@settings(max_examples=150, deadline=None)
@given(rows=scores_and_hits)
def test_curves_and_brier_equal_those_of_scikit_learn(rows: list[tuple[float, bool]]) -> None:
    rows.append((0.6, True))
    order = sorted(range(len(rows)), key=lambda k: -rows[k][0])
    score = np.array([rows[k][0] for k in order])
    hit = np.array([rows[k][1] for k in order])
    curve = curve_of("run", score, hit, int(hit.sum()))
    precision, recall, thresholds = precision_recall_curve(hit, score)
    assert curve.score[::-1].tolist() == thresholds.tolist()
    assert curve.precision[::-1] == pytest.approx(precision[:-1])
    assert curve.recall[::-1] == pytest.approx(recall[:-1])
    found = analyse(*parts(score.tolist(), hit.tolist()))
    assert found.brier == pytest.approx(brier_score_loss(hit, score, pos_label=True))


def test_the_reliability_table_equals_that_of_scikit_learn_where_no_scores_are_equal() -> None:
    rng = np.random.default_rng(0)
    score = rng.permutation(np.linspace(0.01, 0.99, 100))
    hit = rng.random(100) < score
    table = reliability(score, score, hit, 10)
    right, claimed = calibration_curve(hit, score, n_bins=10, strategy="quantile")
    assert [one.precision for one in table] == pytest.approx(right)
    assert [one.probability for one in table] == pytest.approx(claimed)


@pytest.fixture(scope="module")
def pmil(shared: Path) -> Parts:
    return select(
        shared / "detections" / "pmil_base_test.json", shared / "annotations" / "thumos14.json"
    )


def test_pmil_bins_hold_nearly_equal_counts(pmil: Parts) -> None:
    found: Calibration = analyse(*pmil)
    assert found.scale == "min-max"
    assert [one.detections for one in found.bins] == pytest.approx([31587 / 15] * 15, abs=2)
    assert found.precision == pytest.approx(2106 / 31587)
    assert found.ece is not None
    assert 0 < found.ece < 1


def test_pmil_areas_under_the_curves_are_the_published_aps(pmil: Parts) -> None:
    curves = precision_recall(*pmil)
    assert [curve.npos for curve in curves][:3] == [41, 488, 106]
    areas = []
    for curve in curves:
        best = np.maximum.accumulate(curve.precision[::-1])[::-1]
        areas.append(float((np.diff(curve.recall, prepend=0) * best).sum()))
    assert areas[:3] == pytest.approx([0.288021, 0.182443, 0.043185], abs=1e-4)
    assert math.fsum(areas) / 20 == pytest.approx(0.339444, abs=1e-4)
