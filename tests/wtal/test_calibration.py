"""The scale from tags: closed forms, invariances, edges."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from wtal.calibration import Calibration, read_calibration, write_calibration
from wtal.calibration.evidence import (
    EMPTY,
    GAP,
    Evidence,
    Pool,
    Scored,
    decoy_scores,
    gather,
    leads,
    of_video,
)
from wtal.calibration.fitting import fit, rising, share_right
from wtal.calibration.folds import folds_of
from wtal.calibration.job import doubts, summary
from wtal.calibration.reliability import Hits, compare, hits_of, table
from wtal.errors import WtalError
from wtal.localize import LocalizeConfig, Localizer, VideoDetections, VideoScores
from wtal.model import BaSNet, ModelConfig
from wtal_eval import EvalError, read_annotations, read_detections
from wtal_features import FeatureError

SCALE = Calibration((0.2, 0.6), (0.0, 0.8), 0.45, "m", {"method": "folds"})
CLASSES = ("A", "B")


def evidence(
    scores: Sequence[float],
    right: Sequence[bool],
    decoys: Sequence[float] = (),
    weight: float = 1.0,
    **parts: int,
) -> Evidence:
    known = {"videos": 1, "localized": 1, "without_decoys": 0} | parts
    return Evidence(
        np.array(scores),
        np.array(right, bool),
        np.ones(len(scores), bool),
        np.zeros(len(scores), np.int64),
        np.array(decoys, float),
        np.full(len(decoys), weight),
        np.zeros(len(decoys), np.int64),
        **known,
    )


def localizer() -> Localizer:
    network = BaSNet(4, 2, ModelConfig(hidden_dim=4), torch.Generator().manual_seed(0)).eval()
    return Localizer(network, CLASSES, LocalizeConfig(thresholds=(0.5,), upsample=1))


def scores(bumps: dict[int, list[int]], p: list[float], T: int = 20) -> VideoScores:
    cas_TC = np.zeros((T, 2), np.float32)
    for c, bins in bumps.items():
        cas_TC[bins, c] = 1
    return VideoScores(cas_TC, np.ones(T, np.float32), np.array(p, np.float32), 1.0)


# The scale ---------------------------------------------------------------------------------------


def test_between_knots_the_confidence_is_a_straight_line_and_flat_beyond_them() -> None:
    found = SCALE.confidence(np.array([-np.inf, 0.2, 0.3, 0.6, 70.0]))
    np.testing.assert_allclose(found, [0, 0, 0.2, 0.8, 0.8])


def test_the_score_of_a_confidence_is_the_least_one_that_reaches_it() -> None:
    assert SCALE.score_at(0.4) == pytest.approx(0.4)
    assert SCALE.score_at(0.8) == pytest.approx(0.6)
    assert SCALE.score_at(0.81) is None
    assert SCALE.score_at(0.0) == -np.inf
    flat = Calibration((0.1, 0.2, 0.3, 0.4), (0.1, 0.5, 0.5, 0.9), 0.2)
    assert flat.score_at(0.5) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("scores", "confidences", "fault"),
    [
        ((), (), "0 scores and 0 confidences"),
        ((1.0,), (0.1, 0.2), "1 scores and 2 confidences"),
        ((1.0, 1.0), (0.1, 0.2), "do not rise"),
        ((1.0, 2.0), (0.2, 0.1), "do not rise"),
        ((1.0, 2.0), (0.2, 1.1), "outside"),
        ((1.0, np.nan), (0.1, 0.2), "not finite"),
    ],
)
def test_what_is_no_rising_line_is_refused(
    scores: tuple[float, ...], confidences: tuple[float, ...], fault: str
) -> None:
    with pytest.raises(WtalError, match=fault):
        Calibration(scores, confidences, 0.5)


def test_a_calibration_reads_back_as_it_was_written(tmp_path: Path) -> None:
    assert read_calibration(tmp_path) is None
    assert write_calibration(tmp_path, SCALE) == tmp_path / "calibration.json"
    assert read_calibration(tmp_path) == SCALE


TRICKY = (
    '{"external_data": {"calibration": @}, "results": {"v": []}}',  # first, and not last
    '{"results": {"external_data": []}, "external_data": {"calibration": @}}\n',
    '{"external_data": {"calibration": @}, "results": {"v": [], "external_data": []}}',
    '{"external_data": {"calibration": @}, "video_scores": {"v": {"external_data": 1}}}',
    '{"external_data": {"calibration": @}, "version": "\\"external_data\\": {}}"}',
    '{"results": {}, "external_data" : {"external_data": {}, "calibration": @} }',
    '{"results": {}, "external_data": {"calibration": @, "external_data": {}}}',
)


@pytest.mark.parametrize("form", TRICKY)
def test_a_calibration_is_found_wherever_a_result_file_has_it(form: str, tmp_path: Path) -> None:
    file = tmp_path / "detections.json"
    file.write_text(form.replace("@", json.dumps(SCALE.to_json())))
    assert read_calibration(file) == SCALE


def test_a_calibration_is_read_without_the_detections_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "detections.json"
    document = {"results": {"v": []}, "external_data": {"calibration": SCALE.to_json()}}
    file.write_text(json.dumps(document))
    monkeypatch.setattr("wtal.calibration.file.read_members", None)
    assert read_calibration(file) == SCALE


@pytest.mark.parametrize("text", ["", "{", '{"results": {}, "external_data": {', "[]"])
def test_a_result_file_that_is_cut_short_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "detections.json"
    file.write_text(text)
    with pytest.raises(EvalError, match=r"detections\.json"):
        read_calibration(file)


def test_a_result_file_may_carry_it_and_the_evaluator_does_not_mind(tmp_path: Path) -> None:
    file = tmp_path / "detections.json"
    rows = [{"label": "A", "score": 0.5, "segment": [0, 1]}]
    document = {"results": {"v": rows}, "external_data": {"calibration": SCALE.to_json()}}
    file.write_text(json.dumps(document))
    assert read_calibration(file) == SCALE
    assert len(read_detections(str(file))) == 1
    empty: tuple[object, ...] = ({}, {"calibration": None}, None, [])
    for other in empty:
        file.write_text(json.dumps({"results": {}, "external_data": other}))
        assert read_calibration(file) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"format": "other"}', 'is no calibration: expected "format"'),
        ("[]", "is no calibration"),
        ('{"format": "wtal calibration 1"}', "damaged calibration"),
        (
            '{"format": "wtal calibration 1", "scores": [1], "confidences": [2], "threshold": 0, '
            '"model": "", "about": {}}',
            r"calibration\.json: A calibration has a confidence outside",
        ),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(WtalError, match=fault):
        read_calibration(tmp_path)


def test_a_calibration_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text("{")
    with pytest.raises(FeatureError, match=r"calibration\.json is no JSON"):
        read_calibration(tmp_path)


# The fit -----------------------------------------------------------------------------------------

POINTS = st.lists(
    st.tuples(st.integers(-3, 3), st.booleans(), st.integers(1, 3)), min_size=1, max_size=30
)


@settings(max_examples=60, deadline=None)
@given(POINTS)
def test_without_decoys_it_is_the_isotonic_regression_of_scikit_learn(
    points: list[tuple[int, bool, int]],
) -> None:
    score_N, right_N, count_N = (np.array(each, float) for each in zip(*points, strict=True))
    found = rising(score_N, right_N * count_N, count_N)
    reference = IsotonicRegression().fit(score_N, right_N, count_N).predict(score_N)
    place_N = np.searchsorted(found.highest_K, score_N)
    np.testing.assert_allclose(found.slope_K[place_N], reference, atol=1e-12)
    assert (np.diff(found.slope_K) > 0).all()


def test_a_decoy_takes_its_weight_from_the_right_ones_around_it() -> None:
    # Two at .5 with a decoy of half a detection between them and the two at .9.
    found = rising(np.array([0.5, 0.6, 0.9]), np.array([2, -0.5, 2]), np.array([2.0, 0, 2]))
    np.testing.assert_allclose(found.slope_K, [0.75, 1.0])
    assert found.highest_K[0] == 0.6


def test_decoys_below_every_detection_promise_nothing_there() -> None:
    found = fit(evidence([0.5, 0.5], [True, True], [0.1]), "", {})
    assert found.confidence(np.array([0.1])).tolist() == [0.0]
    assert found.confidence(np.array([0.5]))[0] > 0.5


def test_n_right_detections_of_one_score_say_n_over_n_plus_1() -> None:
    for n in (1, 3, 99):
        found = fit(evidence([0.7] * n, [True] * n), "", {})
        assert len(found.confidences) == 1
        assert found.confidences[0] == pytest.approx(n / (n + 1))
        assert found.scores == (0.7,)


def test_one_detection_is_half_sure_and_the_threshold_is_its_score() -> None:
    found = fit(evidence([0.3], [True]), "m", {"method": "x"})
    assert (found.confidences, found.threshold, found.model) == ((0.5,), 0.3, "m")
    assert found.about["sure"] == 1
    assert found.about["method"] == "x"


def test_where_nothing_is_right_no_score_reaches_the_threshold() -> None:
    found = fit(evidence([0.3, 0.9], [False, False]), "", {"method": "folds"})
    assert found.confidences == (0.0, 0.0)
    assert found.threshold > 1e300
    assert Calibration.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert "no detection is sure: the highest confidence is 0.00" in summary(found)[1]
    assert found.about["sure"] == 0
    assert found.about["sure_right_interval"] == [0.0, 1.0]


def test_nothing_detected_is_an_error() -> None:
    with pytest.raises(WtalError, match="Nothing was detected in 0 videos"):
        fit(EMPTY, "", {})


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=20),
    st.lists(st.integers(0, 9), max_size=10),
)
def test_confidences_do_not_change_with_a_rising_transform_of_the_scores(
    found: list[tuple[int, bool]], decoys: list[int]
) -> None:
    score, right = (list(each) for each in zip(*found, strict=True))
    plain = fit(evidence(score, right, decoys, 0.3), "", {})
    bent = fit(evidence([2.0**s for s in score], right, [2.0**s for s in decoys], 0.3), "", {})
    np.testing.assert_allclose(
        plain.confidence(np.array(score)), bent.confidence(2.0 ** np.array(score)), atol=1e-12
    )
    claimed = plain.confidence(np.linspace(-1, 11, 50))
    assert (np.diff(claimed) >= 0).all()


def test_everything_twice_is_everything_with_twice_the_weight() -> None:
    score_N = np.array([0.1, 0.4, 0.4, 0.8])
    right_N, count_N = np.array([0.0, 1, -0.4, 1]), np.array([1.0, 1, 0, 1])
    once = rising(score_N, right_N, count_N)
    twice = rising(np.tile(score_N, 2), np.tile(right_N, 2), np.tile(count_N, 2))
    weighed = rising(score_N, 2 * right_N, 2 * count_N)
    for found in (twice, weighed):
        np.testing.assert_allclose(np.array(found), np.array(once))


def test_decoys_stand_for_the_pairs_that_have_none() -> None:
    whole = evidence([0.5] * 9, [True] * 9, [0.5] * 2)
    half = replace(whole, localized=2, without_decoys=1)
    assert fit(whole, "", {}).confidences[0] == pytest.approx((9 - 2) / 10)
    assert fit(half, "", {}).confidences[0] == pytest.approx((9 - 4) / 10)


def test_the_share_of_right_ones_has_an_interval_that_shrinks_with_videos() -> None:
    def width(V: int) -> float:
        each = evidence([0.9] * 2 * V, [True, False] * V)
        many = replace(each, videos_N=np.arange(2 * V) // 2 % V, videos=V)
        one_each = replace(many, videos_N=np.arange(2 * V) % V)
        share, low, high = share_right(one_each, 0.5)
        assert share == 0.5
        assert low <= share <= high
        return high - low

    assert width(200) < width(10)


# What tags say -----------------------------------------------------------------------------------


def test_of_overlapping_detections_of_a_class_the_best_leads_of_equal_ones_the_first() -> None:
    found = VideoDetections(
        ("A", "A", "A", "B", "B"),
        np.array([0.0, 3, 4, 0, 0]),
        np.array([4.0, 5, 9, 4, 4]),
        np.array([0.9, 0.5, 0.4, 0.1, 0.1]),
        {},
    )
    # The third touches the first at 4 s only and overlaps the second, which does not lead.
    assert leads(found).tolist() == [True, False, True, True, False]
    nothing = VideoDetections((), np.empty(0), np.empty(0), np.empty(0), {})
    assert leads(nothing).tolist() == []


def test_a_decoy_is_measured_with_the_scale_of_the_tagged_video() -> None:
    tagged = scores({0: [3, 4, 5, 6]}, [0.9, 0.1])
    loud, faint = scores({0: [9, 10]}, [0.0, 0.1]), scores({}, [0.0, 0.1])
    # A peak as high as the action's is found, with the class score of the tagged video.
    found = decoy_scores(localizer(), tagged, 0, loud)
    np.testing.assert_allclose(found, [1.0 + 0.2 * 0.9], atol=1e-6)
    # What would be the highest of its own video is nothing beside the action.
    weak = faint._replace(cas_TC=faint.cas_TC.copy())
    weak.cas_TC[9:11, 0] = 0.4
    assert len(decoy_scores(localizer(), tagged, 0, weak)) == 0
    assert len(localizer().segments(weak._replace(class_scores_C=tagged.class_scores_C), 1).labels)


def test_no_segment_is_of_both_the_tagged_video_and_its_decoy() -> None:
    tagged = scores({0: [17, 18, 19]}, [0.9, 0.1])
    decoy = scores({0: [0, 1]}, [0.0, 0.1])
    assert GAP >= 2
    assert len(decoy_scores(localizer(), tagged, 0, decoy)) == 1


def test_a_detection_of_a_missing_tag_is_wrong_and_needs_no_decoy() -> None:
    both = scores({0: [3, 4, 5, 6], 1: [12, 13, 14]}, [0.6, 0.4])
    video = Scored(both, frozenset({"A"}), 1.0)
    quiet = Scored(scores({0: [9]}, [0.0, 0.0], T=40), frozenset(), 1.0)
    pool = Pool(localizer(), [video, quiet], np.random.default_rng(0))
    found = of_video(localizer(), video, pool)
    assert found.tagged_N.tolist() == [True, False]
    assert (found.localized, found.without_decoys) == (1, 0)
    # One decoy of 40 bins stands for a video of 20.
    assert found.decoy_weights_M.tolist() == [0.5]


def test_a_tag_that_the_network_does_not_know_makes_nothing_right() -> None:
    video = Scored(scores({0: [3, 4, 5]}, [0.9, 0.0]), frozenset({"unseen"}), 1.0)
    found = of_video(localizer(), video, Pool(localizer(), [video], np.random.default_rng(0)))
    assert not found.right.any()
    assert found.localized == 0
    assert any("every detection counts as wrong" in text for text in doubts(found))


def test_where_every_video_has_the_tag_there_are_no_decoys_and_it_is_said() -> None:
    video = Scored(scores({0: [3, 4, 5]}, [0.9, 0.0]), frozenset({"A"}), 1.0)
    found, faults = gather(
        localizer(), {"u": video, "v": video}.__getitem__, ["u", "v"], np.random.default_rng(0)
    )
    assert (found.localized, found.without_decoys, faults) == (2, 2, {})
    assert len(found.decoy_scores_M) == 0
    said = doubts(found)
    assert any("upper bounds" in text for text in said)
    assert any("Only 2 videos" in text for text in said)


def test_a_video_that_cannot_be_read_costs_itself_alone() -> None:
    video = Scored(scores({0: [3, 4, 5]}, [0.9, 0.0]), frozenset({"A"}), 1.0)

    def read(name: str) -> Scored:
        if name == "bad":
            raise FeatureError("bad.npy is cut short.")
        return video

    found, faults = gather(localizer(), read, ["bad", "v"], np.random.default_rng(0))
    assert list(faults) == ["bad"]
    assert found.videos == 1


def test_videos_keep_their_own_numbers_when_evidence_is_joined() -> None:
    one = evidence([0.5, 0.6], [True, True], [0.4])
    joined = Evidence.joined([one, one])
    assert joined.videos_N.tolist() == [0, 0, 1, 1]
    assert joined.decoy_videos_M.tolist() == [0, 1]
    assert joined.videos == 2
    assert Evidence.joined([]).videos == 0


# Folds -------------------------------------------------------------------------------------------


def test_every_class_is_spread_over_the_folds_as_evenly_as_it_can_be() -> None:
    labels_VC = np.zeros((31, 3), bool)
    labels_VC[:2, 0] = labels_VC[2:11, 1] = labels_VC[11:23, 2] = True
    fold_V = folds_of(labels_VC, 3, np.random.default_rng(0))
    for member_V in (*labels_VC.T, ~labels_VC.any(1)):
        count = np.bincount(fold_V[member_V], minlength=3)
        assert count.max() - count.min() <= 1
    again = folds_of(labels_VC, 3, np.random.default_rng(0))
    other = folds_of(labels_VC, 3, np.random.default_rng(1))
    assert (fold_V == again).all()
    assert (fold_V != other).any()


def test_as_many_folds_as_videos_leave_one_out() -> None:
    fold_V = folds_of(np.ones((5, 1), bool), 5, np.random.default_rng(0))
    assert sorted(fold_V.tolist()) == [0, 1, 2, 3, 4]


# Reliability -------------------------------------------------------------------------------------


def test_reliability_of_a_line_that_is_right_is_without_a_gap() -> None:
    step = Calibration((0.1, 0.2, 0.8, 0.9), (0.0, 0.0, 0.5, 0.5), 0.8)
    hits = Hits(np.array([0.9, 0.9, 0.1]), np.array([[True, False, False]]), 2)
    (found,) = compare(step, hits, (0.1,))
    assert (found.ece, found.worst) == (0.0, 0.0)
    assert [row.detections for row in found.bins if row.detections] == [1, 2]
    assert "right at 0.1" in table([found])[0]
    none = compare(step, Hits(np.empty(0), np.empty((1, 0), bool), 2), (0.1,))
    assert none[0].ece == 0.0


def test_hits_are_matched_one_to_one_as_the_evaluation_does() -> None:
    rows = [{"label": "A", "segment": [0, 10]}, {"label": "B", "segment": [0, 1]}]
    truth = {"database": {"v": {"subset": "test", "annotations": rows}}}
    detections = {
        "results": {
            "v": [
                {"label": "A", "score": 0.5, "segment": [0, 9]},
                {"label": "A", "score": 0.9, "segment": [0, 3]},
            ]
        }
    }
    found = hits_of(detections, read_annotations(truth), subset="test", tiou=(0.1, 0.5))
    assert found.scores_N.tolist() == [0.9, 0.5]
    assert found.hits_HN.tolist() == [[True, False], [False, True]]
    assert found.instances == 2
