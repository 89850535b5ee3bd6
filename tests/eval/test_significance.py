"""The paired bootstrap over videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import wtal_eval.significance
from wtal_eval import Detections, EvalError, evaluate, read_annotations, read_detections
from wtal_eval.judging import judge
from wtal_eval.notes import Notes
from wtal_eval.protocols import resolve
from wtal_eval.ranking import select_detections
from wtal_eval.significance import compare, resampled_map, resamples
from wtal_eval.truth import select_truth

GRID = (0.25, 0.5, 1.0)

boxes = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(sorted)
instance = st.fixed_dictionaries({"label": st.sampled_from(["run", "jump"]), "segment": boxes})
detection = st.fixed_dictionaries(
    {
        "label": st.sampled_from(["run", "jump"]),
        "segment": boxes,
        "score": st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]),
    }
)
VIDEOS = ("a", "b", "c", "d")


# Copies of two equally scored detections of one video would alternate in duplicated videos, and
# stand in two runs in the sums: the order of ties is no part of the claim.
differently_scored = st.lists(detection, max_size=5, unique_by=lambda row: row["score"])

# Video `a` is drawn in every resample, and has an instance.
anything = {v: st.lists(instance, max_size=4) for v in VIDEOS[1:]}
instances_of_videos = st.fixed_dictionaries(
    anything | {"a": st.lists(instance, min_size=1, max_size=4)}
)


def in_order(rows: dict[str, Any]) -> dict[str, Any]:
    """Hypothesis also shuffles the keys, and their order decides ties."""
    return {video: rows[video] for video in sorted(rows)}


def database_of(instances: dict[str, Any]) -> dict[str, Any]:
    rows = {v: {"subset": "test", "annotations": rows} for v, rows in instances.items()}
    return {"database": rows}


def maps_of(
    instances: dict[str, Any], results: dict[str, Any], copies_RV: Any, **options: Any
) -> Any:
    rules = resolve("thumos14", {"tiou": GRID, "unknown_labels": "ignore"} | options)
    annotations = read_annotations(database_of(instances))
    truth = select_truth(annotations, rules, Notes())
    found = read_detections({"results": results})
    ranking = select_detections(found, annotations, truth, rules, Notes())
    return resampled_map(judge(ranking, truth, rules, GRID), truth, rules, copies_RV)


@settings(max_examples=150, deadline=None)
@given(
    instances=instances_of_videos,
    results=st.fixed_dictionaries(dict.fromkeys(VIDEOS, differently_scored)),
    copies=st.tuples(*[st.integers(0, 3)] * len(VIDEOS)),
    ap=st.sampled_from(["interpolated", "sum"]),
    ties=st.sampled_from(["last", "first"]),
)
def test_copies_in_the_sums_equal_duplicated_videos(
    instances: dict[str, Any],
    results: dict[str, Any],
    copies: tuple[int, ...],
    ap: str,
    ties: str,
) -> None:
    instances, results = in_order(instances), in_order(results)
    copies = (max(1, copies[0]), *copies[1:])
    maps = maps_of(instances, results, np.array([copies]), ap=ap, ties=ties)
    twins = [(v, f"{v}{k}") for v, m in zip(VIDEOS, copies, strict=True) for k in range(m)]
    really = evaluate(
        {"results": {twin: results[v] for v, twin in twins}},
        database_of({twin: instances[v] for v, twin in twins}),
        tiou=GRID,
        ap=ap,
        ties=ties,
        unknown_labels="ignore",
    )
    assert maps[0] == pytest.approx(really.map, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    instances=instances_of_videos,
    results=st.fixed_dictionaries({v: st.lists(detection, max_size=5) for v in (*VIDEOS, "x")}),
)
def test_every_video_once_is_the_evaluation_itself(
    instances: dict[str, Any], results: dict[str, Any]
) -> None:
    # Detections on strangers alone are refused: their names do not fit.
    assume(not results["x"] or any(results[video] for video in VIDEOS))
    instances = in_order(instances)
    options: dict[str, Any] = {"tiou": GRID, "unknown_labels": "ignore"}
    result = evaluate({"results": results}, database_of(instances), **options)
    maps = maps_of(instances, results, np.ones((1, len(VIDEOS)), np.int64))
    assert maps[0] == pytest.approx(result.map, abs=1e-15)


def row(start: float, end: float, score: float, label: str = "run") -> dict[str, Any]:
    return {"label": label, "segment": [start, end], "score": score}


def many_videos(count: int = 30) -> tuple[Any, Any, Any]:
    """In every video one instance; `good` misses each tenth, `weak` each third."""
    instances = {f"v{k}": [{"label": "run", "segment": [0, 10]}] for k in range(count)}

    def results(step: int) -> Any:
        return {
            "results": {
                f"v{k}": [row(*((50, 60) if k % step == 0 else (0, 10)), 1 - k / count)]
                for k in range(count)
            }
        }

    return results(10), results(3), database_of(instances)


def test_a_result_that_is_better_on_many_videos_is_seldom_worse_on_resampled_ones() -> None:
    good, weak, truth = many_videos()
    found = compare(good, weak, truth, n=400)
    headline = found.headline
    assert headline.name == "0.1:0.7"
    assert headline.difference == headline.a - headline.b > 0
    assert 0 < headline.low < headline.difference < headline.high
    assert headline.below_zero < 0.05
    assert found.videos == 30
    assert headline.a == pytest.approx(evaluate(good, truth).headline[1], abs=1e-15)
    assert [one.name for one in found.averages][:2] == ["0.1:0.5", "0.1:0.7"]
    assert [one.name for one in found.thresholds][:2] == ["0.1", "0.2"]


def test_a_result_compared_with_itself_differs_nowhere() -> None:
    good, _, truth = many_videos()
    found = compare(good, good, truth, n=50)
    for one in (found.headline, *found.averages, *found.thresholds):
        assert (one.difference, one.low, one.high, one.below_zero) == (0, 0, 0, 0)


def test_the_other_way_round_the_interval_is_mirrored() -> None:
    good, weak, truth = many_videos()
    there, back = compare(good, weak, truth, n=99), compare(weak, good, truth, n=99)
    assert there.headline.difference == -back.headline.difference
    assert there.headline.low == pytest.approx(-back.headline.high)
    assert there.headline.high == pytest.approx(-back.headline.low)


def test_the_seed_decides_the_videos() -> None:
    good, weak, truth = many_videos()
    once, again = compare(good, weak, truth, n=20), compare(good, weak, truth, n=20)
    assert once == again
    assert compare(good, weak, truth, n=20, seed=1).headline.low != once.headline.low
    copies_RV = np.vstack(list(resamples(5, 3, 0)))
    assert copies_RV[0].tolist() == [1] * 5
    assert copies_RV.sum(axis=1).tolist() == [5] * 4


def test_blocks_of_any_size_draw_the_same_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.vstack(list(resamples(7, 20, 3)))
    monkeypatch.setattr(wtal_eval.significance, "CELLS_AT_ONCE", 7 * 6)
    blocks = list(resamples(7, 20, 3))
    assert [len(block) for block in blocks] == [1, 6, 6, 6, 2]
    assert (np.vstack(blocks) == whole).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 0}, r"n \(--resamples\) is 0; expected 1 to 100,000"),
        ({"n": 10**12}, r"n \(--resamples\) is 1000000000000; expected 1 to 100,000"),
        ({"seed": -1}, r"seed \(--seed\) is -1; expected 0 or more"),
    ],
)
def test_numbers_of_resamples_and_seeds_have_their_range(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(EvalError, match=words):
        compare({"results": {}}, {"results": {}}, {"database": {}}, **options)


def test_a_wider_confidence_gives_a_wider_interval() -> None:
    good, weak, truth = many_videos()
    wide = compare(good, weak, truth, n=200, confidence=0.99).headline
    narrow = compare(good, weak, truth, n=200, confidence=0.5).headline
    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_size_of_a_block_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    good, weak, truth = many_videos()
    whole = compare(good, weak, truth, n=30)
    monkeypatch.setattr(wtal_eval.significance, "CELLS_AT_ONCE", 70)
    assert compare(good, weak, truth, n=30) == whole


def test_detections_on_unknown_videos_stay_in_every_resample_once() -> None:
    truth = database_of({"v": [{"label": "run", "segment": [0, 10]}]})
    right = {"v": [row(0, 10, 0.5)]}
    stray = right | {"nowhere": [row(0, 10, 0.9)]}
    found = compare({"results": right}, {"results": stray}, truth, n=10)
    assert (found.headline.a, found.headline.b) == (1, 0.5)
    assert found.headline.low == found.headline.high == 0.5


def test_a_class_that_is_not_drawn_is_left_out_of_the_mean() -> None:
    instances = {"a": [{"label": "run", "segment": [0, 10]}],
                 "b": [{"label": "jump", "segment": [0, 10]}]}  # fmt: skip
    results = {"a": [row(0, 10, 0.5)], "b": []}
    maps = maps_of(instances, results, np.array([[1, 1], [2, 0], [0, 2], [0, 0]]))
    assert maps[:, 0].tolist() == [0.5, 1, 0, 0]


def test_a_false_positive_that_leaves_the_ranking_leaves_every_resample() -> None:
    instances = {
        "a": [{"label": "run", "segment": [0, 10]}, {"label": "Ambiguous", "segment": [50, 60]}]
    }
    results = {"a": [row(50, 60, 0.9), row(0, 10, 0.5)]}
    copies = np.array([[1], [3]])
    assert maps_of(instances, results, copies)[:, 0].tolist() == [0.5, 0.5]
    assert maps_of(instances, results, copies, ambiguous="drop-fp")[:, 0].tolist() == [1, 1]


def test_the_headline_may_be_one_threshold_or_the_mean_of_a_grid() -> None:
    good, weak, truth = many_videos()
    assert compare(good, weak, truth, n=5, headline="@0.5").headline.name == "@0.5"
    assert compare(good, weak, truth, n=5, tiou=(0.35, 0.6)).headline.name == "all"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"confidence": 1.0}, "confidence is 1.0; expected between 0 and 1"),
        ({"ap": "11point"}, "interpolated or sum, not 11point"),
        ({"tie": "last"}, "tie is unknown"),
    ],
)
def test_an_option_without_meaning_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(EvalError, match=words):
        compare(*many_videos(), **({"n": 5} | options))


def test_json_text_and_frame_hold_the_same_figures(tmp_path: Path) -> None:
    good, weak, truth = many_videos()
    paths = []
    for name, document in (("good.json", good), ("weak.json", weak), ("truth.json", truth)):
        (tmp_path / name).write_text(json.dumps(document))
        paths.append(tmp_path / name)
    found = compare(paths[0], paths[1], paths[2], n=20)
    stored = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert stored == found.to_json()
    assert stored["headline"]["difference"] == found.headline.difference
    text = found.text()
    assert "A good.json versus B weak.json: paired bootstrap over 30 videos, 20 resamples" in text
    assert "95 % interval" in text
    assert found.frame().loc["0.1", "a"] == pytest.approx(100 * found.thresholds[0].a)


def test_pmil_against_rounded_scores(shared: Path) -> None:
    pmil = read_detections(shared / "detections" / "pmil_base_test.json")
    rounded = Detections(
        videos=pmil.videos,
        labels=pmil.labels,
        video=pmil.video,
        label=pmil.label,
        start=pmil.start,
        end=pmil.end,
        score=pmil.score.round(1),
        source="rounded",
    )
    truth = read_annotations(shared / "annotations" / "thumos14.json")
    found = compare(pmil, rounded, truth, n=50)
    assert found.headline.a == pytest.approx(0.429633144, abs=1e-9)
    assert 100 * found.headline.difference == pytest.approx(0.189, abs=5e-4)
    assert found.headline.low < found.headline.difference < found.headline.high
    at_half = found.thresholds[4]
    assert (at_half.a, at_half.b) == pytest.approx((0.339443663, 0.338052431), abs=1e-9)
