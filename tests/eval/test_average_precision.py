"""Matching and average precision by closed forms and edge cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from wtal_eval import evaluate
from wtal_eval.average_precision import average_precision
from wtal_eval.segments import hull_tiou, tiou

TENTHS = tuple(j / 10 for j in range(1, 10))


def nine_videos() -> tuple[dict[str, Any], dict[str, Any]]:
    """Video k holds the instance [0, 10] and the detection [0, k] with score 1 - .01k."""
    database, results = {}, {}
    for k in range(1, 10):
        row = {"label": "run", "segment": [0, 10]}
        database[f"v{k}"] = {"subset": "test", "duration": 10, "annotations": [row]}
        results[f"v{k}"] = [{"label": "run", "segment": [0, k], "score": 1 - 0.01 * k}]
    return {"results": results}, {"database": database}


def test_ap_of_nine_videos_has_a_closed_form() -> None:
    result = evaluate(*nine_videos(), tiou=".1:.1:.9")
    assert result.map == pytest.approx([((10 - j) / 9) ** 2 for j in range(1, 10)], abs=1e-12)
    assert result.map[2] == pytest.approx(0.604938, abs=1e-6)
    assert result.averages["0.1:0.9"] == pytest.approx(0.390947, abs=1e-6)


def test_floats_of_linspace_fail_a_tiou_of_exactly_three_tenths() -> None:
    result = evaluate(*nine_videos(), tiou=np.linspace(0.1, 0.9, 9))
    assert result.map[2] == pytest.approx(0.444444, abs=1e-6)
    assert result.map[6] == pytest.approx(0.049383, abs=1e-6)
    assert result.averages["0.1:0.9"] == pytest.approx(0.366255, abs=1e-6)


def test_a_repeated_data_set_has_the_same_map() -> None:
    detections, annotations = nine_videos()
    for part, key in ((detections, "results"), (annotations, "database")):
        part[key] |= {f"again {video}": rows for video, rows in part[key].items()}
    once = evaluate(*nine_videos(), tiou=TENTHS)
    assert evaluate(detections, annotations, tiou=TENTHS).map == pytest.approx(once.map)


def test_scores_may_be_shifted_and_scaled() -> None:
    detections, annotations = nine_videos()
    for rows in detections["results"].values():
        rows[0]["score"] = 1e30 * rows[0]["score"] - 1e38
    assert evaluate(detections, annotations, tiou=TENTHS).map != ()
    for rows in detections["results"].values():
        rows[0]["score"] = -rows[0]["segment"][1] * 5e-324
    once = evaluate(*nine_videos(), tiou=TENTHS)
    assert evaluate(detections, annotations, tiou=TENTHS).map == once.map


def test_more_thresholds_than_bits_of_an_integer_are_matched_one_by_one() -> None:
    grid = tuple(k / 200 for k in range(1, 200))
    together = evaluate(*nine_videos(), tiou=grid).map
    alone = [evaluate(*nine_videos(), tiou=(t,)).map[0] for t in grid[::33]]
    assert list(together[::33]) == alone


def test_thresholds_keep_the_order_in_which_they_are_given() -> None:
    result = evaluate(*nine_videos(), tiou=(0.7, 0.3))
    assert result.tiou == (0.7, 0.3)
    assert result.map[0] < result.map[1]


@pytest.mark.parametrize(
    ("block", "size"),
    [
        ("matching.PAIRS_AT_ONCE", 7),
        ("matching.LOOKED_UP", 5),
        ("matching.LISTED", 3),
        ("average_precision.DETECTIONS_AT_ONCE", 1),
        ("average_precision.DETECTIONS_AT_ONCE", 70),
    ],
)
@pytest.mark.parametrize(("match", "ties"), [("best", "last"), ("per-instance", "true-first")])
def test_the_size_of_a_block_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, block: str, size: int, match: str, ties: str
) -> None:
    rng = np.random.default_rng(0)
    database: dict[str, Any] = {}
    results: dict[str, Any] = {}
    for v in ("a", "b", "c"):
        starts = rng.integers(0, 40, 60).tolist()
        labels = rng.choice(["fall", "jump", "run"], 60).tolist()
        rows = [
            {"label": label, "segment": [s, s + 5]} for s, label in zip(starts, labels, strict=True)
        ]
        database[v] = {"subset": "test", "annotations": rows[:20]}
        results[v] = [row | {"score": i % 7} for i, row in enumerate(rows[20:])]
        results[v] += results[v][:3]
    for label in ("a class", "z class"):  # without detections
        database["a"]["annotations"].append({"label": label, "segment": [0, 1]})
    options: dict[str, Any] = {
        "match": match,
        "ties": ties,
        "overlap": "hull" if ties == "true-first" else "union",
    }
    whole = evaluate({"results": results}, {"database": database}, **options)
    assert whole.counts["detections_duplicate"] != 0
    monkeypatch.setattr(f"wtal_eval.{block}", size)
    again = evaluate({"results": results}, {"database": database}, **options)
    assert again.to_json() == whole.to_json()


def one_video(instances: list[list[float]], detections: list[list[float]], **options: Any) -> Any:
    """Instances [start, end] and detections [start, end, score] of one class in one video."""
    rows = [{"label": "run", "segment": segment} for segment in instances]
    found_rows = [{"label": "run", "segment": [s, e], "score": p} for s, e, p in detections]
    database = {"v": {"subset": "test", "annotations": rows}}
    return evaluate({"results": {"v": found_rows}}, {"database": database}, **options)


def test_of_equal_scores_the_later_in_the_file_ranks_first() -> None:
    detections = [[0, 10, 0.5], [50, 60, 0.5]]
    assert one_video([[0, 10]], detections, tiou=(0.5,)).map == (0.5,)
    assert one_video([[0, 10]], detections, tiou=(0.5,), ties="first").map == (1.0,)
    assert one_video([[0, 10]], detections[::-1], tiou=(0.5,)).map == (1.0,)


def test_of_equally_overlapping_instances_the_later_is_taken() -> None:
    # [0, 20] overlaps both by half. Taking the later leaves the earlier to [0, 10].
    detections = [[0, 20, 0.9], [0, 10, 0.8]]
    assert one_video([[0, 10], [10, 20]], detections, tiou=(0.5,)).map == (1.0,)
    assert one_video([[0, 10], [10, 20]], detections, tiou=(0.5,), ties="first").map == (0.5,)


def test_a_detection_whose_best_instance_is_taken_finds_the_next_best() -> None:
    detections = [[0, 10, 0.9], [0, 10, 0.8]]
    assert one_video([[0, 10], [0, 12]], detections, tiou=(0.5,)).map == (1.0,)


def test_a_duplicate_detection_is_a_false_positive_and_a_duplicate_instance_must_be_found() -> None:
    twice = [[0, 10, 0.9], [0, 10, 0.8], [20, 30, 0.7]]
    assert one_video([[0, 10], [20, 30]], twice, tiou=(0.5,)).map[0] == pytest.approx(5 / 6)
    assert one_video([[0, 10], [0, 10]], twice[:1], tiou=(0.5,)).map == (0.5,)
    assert one_video([[0, 10], [0, 10]], twice[:2], tiou=(0.5,)).map == (1.0,)


def test_each_threshold_is_matched_on_its_own() -> None:
    # At .9 the first detection fails, and leaves the instance to the second.
    result = one_video([[0, 10]], [[0, 8, 0.9], [0, 10, 0.8]], tiou=(0.5, 0.9))
    assert result.map == (1.0, 0.5)
    assert result.per_class[0].recall == (1.0, 1.0)


def test_average_precision_takes_the_best_precision_at_that_recall_or_above() -> None:
    ranks = np.array([2, 3, 10])
    assert average_precision(ranks, 4) == pytest.approx((2 / 3 + 2 / 3 + 3 / 10) / 4)
    assert average_precision(ranks, 4, ap="sum") == pytest.approx((1 / 2 + 2 / 3 + 3 / 10) / 4)


def test_average_precision_without_a_true_positive_is_zero() -> None:
    assert average_precision(np.array([], dtype=np.int64), 3) == 0.0


def test_tiou_of_grid_segments_is_exact_and_of_two_points_undefined() -> None:
    start, end = np.array([0.0, 0.0, 5.0]), np.array([3.0, 10.0, 5.0])
    other_start, other_end = np.array([0.0, 20.0, 5.0]), np.array([10.0, 30.0, 5.0])
    overlap = tiou(start, end, other_start, other_end)
    assert overlap[:2].tolist() == [0.3, 0.0]
    assert np.isnan(overlap[2])


def test_eleven_points_are_asked_for_the_best_precision_at_that_recall_or_above() -> None:
    # Recall .5 at rank 1, 1 at rank 3: recall 0 .. .5 sees 1, recall .6 .. 1 sees 2/3.
    ranks = np.array([1, 3])
    assert average_precision(ranks, 2, ap="11point") == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert average_precision(ranks[:0], 2, ap="11point") == 0.0
    # Three of ten: a recall of .3 fails the kit's 3 * .1, which is .30000000000000004.
    assert average_precision(np.array([1, 2, 3]), 10, ap="11point") == pytest.approx(3 / 11)


def test_the_hull_gives_the_same_ratio_and_turns_reversed_segments_round() -> None:
    start, end = np.array([0.0, 3.0, 5.0, 20.0]), np.array([3.0, 0.0, 5.0, 30.0])
    ten, zero = np.full(4, 10.0), np.zeros(4)
    assert hull_tiou(start, end, zero, ten).tolist() == [0.3, 0.3, 0.0, 0.0]
    assert hull_tiou(zero, ten, start, end).tolist() == [0.3, 0.3, 0.0, 0.0]


def test_the_first_instance_may_leave_a_better_one_unfound() -> None:
    # [0, 12] could take either; the first in the file is the one that [0, 10] needs.
    detections = [[0, 12, 0.9], [0, 10, 0.8]]
    assert one_video([[0, 10], [0, 14]], detections, tiou=(0.75,)).map == (1.0,)
    assert one_video([[0, 10], [0, 14]], detections, tiou=(0.75,), match="first").map == (0.5,)


def test_per_instance_the_best_fitting_detection_is_taken_whatever_its_score() -> None:
    detections = [[0, 8, 0.9], [0, 10, 0.1]]
    assert one_video([[0, 10]], detections, tiou=(0.5,)).map == (1.0,)
    assert one_video([[0, 10]], detections, tiou=(0.5,), match="per-instance").map == (0.5,)


def test_a_tiou_of_exactly_the_threshold_may_be_asked_to_exceed_it() -> None:
    assert one_video([[0, 10]], [[0, 5, 1]], tiou=(0.5,)).map == (1.0,)
    assert one_video([[0, 10]], [[0, 5, 1]], tiou=(0.5,), overlap_test="gt").map == (0.0,)


def test_overlaps_rounded_to_single_precision_reach_a_threshold_just_above() -> None:
    end = 5 - 1e-9
    assert one_video([[0, 10]], [[0, end, 1]], tiou=(0.5,)).map == (0.0,)
    assert one_video([[0, 10]], [[0, end, 1]], tiou=(0.5,), precision="float32").map == (1.0,)


def test_true_positives_may_rank_before_false_ones_of_the_same_score() -> None:
    detections: list[list[float]] = [[50, 60, 0.5], [0, 10, 0.5], [70, 80, 0.5], [20, 30, 0.5]]
    truth: list[list[float]] = [[0, 10], [20, 30]]
    options: dict[str, Any] = {"tiou": (0.5,), "ap": "sum"}
    assert one_video(truth, detections, ties="true-first", **options).map == (1.0,)
    assert one_video(truth, detections, ties="first", **options).map == (0.5,)


def test_equal_scores_may_be_ranked_by_the_name_of_the_video() -> None:
    truth = {v: {"subset": "test", "annotations": []} for v in ("B", "a")}
    rows: list[Any] = [{"label": "run", "segment": [0, 10]}]
    truth["a"]["annotations"] = rows
    found = {v: [rows[0] | {"score": 1}] for v in ("a", "B")}
    # In bytes B goes before a.
    by_file = evaluate({"results": found}, {"database": truth}, ties="first", tiou=(0.5,))
    by_name = evaluate({"results": found}, {"database": truth}, ties="video", tiou=(0.5,))
    assert (by_file.map, by_name.map) == ((1.0,), (0.5,))
