from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wtal_eval.average_precision
from wtal_eval import evaluate
from wtal_eval.average_precision import average_precision
from wtal_eval.segments import tiou

TENTHS = tuple(j / 10 for j in range(1, 10))
GRID = (0.1, 0.25, 1 / 3, 0.5, 2 / 3, 0.75, 1.0)


# An evaluator that follows the words of the protocol, one detection at a time. It shares no code
# with the package.


def plain_tiou(s: float, e: float, gs: float, ge: float) -> float:
    shared = max(0.0, min(e, ge) - max(s, gs))
    union = ((ge - gs) + (e - s)) - shared
    return shared / union if union else math.nan


def plain_ap(hits: list[bool], npos: int) -> float:
    """Area under the interpolated precision-recall curve, in the official form."""
    precision, recall, found = [0.0], [0.0], 0
    for n, hit in enumerate(hits, 1):
        found += hit
        precision.append(found / n)
        recall.append(found / npos)
    precision.append(0.0)
    recall.append(1.0)
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def plain_class_ap(
    detections: list[Any], instances: list[Any], threshold: float, ties: str
) -> float:
    """Rows are (video, start, end) and (video, start, end, score), in file order."""

    def best_first(rows: list[Any], value: int) -> list[Any]:
        def key(row: Any) -> float:
            return math.inf if math.isnan(row[value]) else float(row[value])

        if ties == "last":
            return sorted(rows, key=key)[::-1]
        return sorted(rows, key=key, reverse=True)

    taken: set[int] = set()
    hits = []
    for video, s, e, _ in best_first(detections, 3):
        candidates = [
            (k, plain_tiou(s, e, gs, ge)) for k, (v, gs, ge) in enumerate(instances) if v == video
        ]
        hit = False
        for k, overlap in best_first(candidates, 1):
            if overlap < threshold:
                break
            if k not in taken:
                taken.add(k)
                hit = True
                break
        hits.append(hit)
    return plain_ap(hits, len(instances))


def plain_evaluation(
    results: dict[str, Any], database: dict[str, Any], thresholds: tuple[float, ...], ties: str
) -> dict[str, list[float]]:
    instances: dict[str, list[Any]] = {}
    for video, entry in database.items():
        for row in entry["annotations"]:
            instances.setdefault(row["label"], []).append((video, *row["segment"]))
    ap = {}
    for label in sorted(instances):
        detections = [
            (video, *row["segment"], row["score"])
            for video, rows in results.items()
            for row in rows
            if row["label"] == label
        ]
        ap[label] = [plain_class_ap(detections, instances[label], t, ties) for t in thresholds]
    return ap


# Times on a small grid and few scores: ties, duplicates, empty and nested segments are common.
segments = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda pair: sorted(pair))
labels = st.sampled_from(["run", "jump"])
instance = st.fixed_dictionaries({"label": labels, "segment": segments})
detection = st.fixed_dictionaries(
    {"label": labels, "segment": segments, "score": st.sampled_from([-1.0, 0.0, 0.5, 0.5, 2])}
)
videos = st.fixed_dictionaries(
    {
        "a": st.lists(instance, min_size=1, max_size=5),
        "b": st.lists(instance, max_size=5),
        "c": st.just([]),
    }
)
found = st.fixed_dictionaries(
    {
        "b": st.lists(detection, min_size=1, max_size=8),
        "a": st.lists(detection, min_size=1, max_size=8),
        "c": st.lists(detection, max_size=2),
        "not annotated": st.lists(detection, max_size=2),
    }
)


def database_of(instances: dict[str, Any]) -> dict[str, Any]:
    return {v: {"subset": "test", "annotations": rows} for v, rows in instances.items()}


@settings(max_examples=300, deadline=None)
@given(instances=videos, results=found, ties=st.sampled_from(["last", "first"]))
def test_equals_an_evaluator_that_follows_the_words_of_the_protocol(
    instances: dict[str, Any], results: dict[str, Any], ties: str
) -> None:
    database = database_of(instances)
    known = {row["label"] for rows in instances.values() for row in rows}
    results = {v: [r for r in rows if r["label"] in known] for v, rows in results.items()}
    if not results["a"] and not results["b"]:
        results["not annotated"] = []
    ours = evaluate({"results": results}, {"database": database}, tiou=GRID, ties=ties)
    plain = plain_evaluation(results, database, GRID, ties)
    assert [one.label for one in ours.per_class] == list(plain)
    for one in ours.per_class:
        assert one.ap == pytest.approx(plain[one.label], abs=1e-12)
    assert ours.map == pytest.approx(np.mean(list(plain.values()), axis=0), abs=1e-12)


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


def test_the_size_of_a_block_of_pairs_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    database: dict[str, Any] = {}
    results: dict[str, Any] = {}
    for v in ("a", "b", "c"):
        starts = rng.integers(0, 40, 60).tolist()
        rows = [{"label": "run", "segment": [s, s + 5]} for s in starts]
        database[v] = {"subset": "test", "annotations": rows[:20]}
        results[v] = [row | {"score": i % 7} for i, row in enumerate(rows[20:])]
    whole = evaluate({"results": results}, {"database": database})
    monkeypatch.setattr(wtal_eval.average_precision, "PAIRS_AT_ONCE", 7)
    assert evaluate({"results": results}, {"database": database}).per_class == whole.per_class


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
    assert average_precision(ranks, 4, interpolated=False) == pytest.approx(
        (1 / 2 + 2 / 3 + 3 / 10) / 4
    )


def test_average_precision_without_a_true_positive_is_zero() -> None:
    assert average_precision(np.array([], dtype=np.int64), 3) == 0.0


def test_tiou_of_grid_segments_is_exact_and_of_two_points_undefined() -> None:
    start, end = np.array([0.0, 0.0, 5.0]), np.array([3.0, 10.0, 5.0])
    other_start, other_end = np.array([0.0, 20.0, 5.0]), np.array([10.0, 30.0, 5.0])
    overlap = tiou(start, end, other_start, other_end)
    assert overlap[:2].tolist() == [0.3, 0.0]
    assert np.isnan(overlap[2])
