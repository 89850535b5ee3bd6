"""How good a detector is on short and long instances, alone or many in a video."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wtal_eval import EvalError, read_annotations, read_detections
from wtal_eval.notes import Notes
from wtal_eval.protocols import Protocol, resolve
from wtal_eval.ranking import Ranking, select_detections
from wtal_eval.sensitivity import (
    ACTIVITYNET_BINS,
    CHARACTERISTICS,
    THUMOS14_BINS,
    Bin,
    analyse,
    bins_of,
    span,
)
from wtal_eval.truth import Truth, select_truth

Rows = Sequence[tuple[Any, ...]]
Parts = tuple[Ranking, Truth, Protocol]


def parts(
    instances: Mapping[str, Rows],
    detections: Mapping[str, Rows],
    durations: Mapping[str, float | None] | None = None,
    **options: Any,
) -> Parts:
    """Instances (label, start, end) and detections (label, start, end, score) per video."""
    database = {
        v: {
            "subset": "test",
            "duration": (durations or {}).get(v, 100),
            "annotations": [{"label": label, "segment": [s, e]} for label, s, e in rows],
        }
        for v, rows in instances.items()
    }
    results = {
        v: [{"label": label, "segment": [s, e], "score": p} for label, s, e, p in rows]
        for v, rows in detections.items()
    }
    return select({"results": results}, {"database": database}, resolve("thumos14", options))


def select(detections: Any, annotations: Any, rules: Protocol) -> Parts:
    read = read_annotations(annotations)
    truth = select_truth(read, rules, Notes())
    ranking = select_detections(read_detections(detections), read, truth, rules, Notes())
    return ranking, truth, rules


def figures(bins: Sequence[Bin], what: str) -> list[Any]:
    return [getattr(one, what) for one in bins]


def test_bins_are_closed_on_the_right() -> None:
    lengths = [0, 3, 3.5, 6, 12, 18, 18.5]
    instances = {"v": [("run", 20 * k, 20 * k + length) for k, length in enumerate(lengths)]}
    found = analyse(*parts(instances, {}, {"v": 200}))
    assert figures(found.bins["length"], "instances") == [2, 2, 1, 1, 1]
    assert figures(found.bins["coverage"], "instances") == [3, 1, 1, 0, 2]
    assert figures(found.bins["instances"], "instances") == [0, 7, 0, 0]
    assert [span(one) for one in found.bins["length"]] == ["<=3", "3-6", "6-12", "12-18", ">18"]
    assert figures(found.bins["length"], "name") == ["XS", "S", "M", "L", "XL"]
    assert figures(found.bins["instances"], "name") == ["XS", "S", "M", "L"]


def test_the_number_of_instances_counts_all_classes_of_the_video() -> None:
    instances = {"v": [("run", 0, 5), ("jump", 10, 15)], "w": [("run", 0, 5)]}
    found = analyse(*parts(instances, {}))
    assert figures(found.bins["instances"], "instances") == [1, 2, 0, 0]


def test_in_a_bin_true_positives_of_other_bins_vanish_and_false_ones_stay() -> None:
    # Ranks: true (2 s), false, true (10 s).
    instances = {"v": [("run", 0, 2), ("run", 10, 20)]}
    detections = {"v": [("run", 0, 2, 0.9), ("run", 50, 60, 0.8), ("run", 10, 20, 0.7)]}
    found = analyse(*parts(instances, detections))
    short, _, middle, *_ = found.bins["length"]
    assert short.map_n == 1
    assert middle.map_n == pytest.approx(2 / (2 + 1))  # R = 1, N = 2, F = 1
    assert found.map_n == pytest.approx((1 + 2 / 3) / 2)
    assert figures(found.bins["length"], "missed") == [0, None, 0, None, None]


def test_classes_without_an_instance_in_the_bin_are_left_out_of_its_mean() -> None:
    instances = {"v": [("run", 0, 2), ("jump", 10, 20)]}
    found = analyse(*parts(instances, {"v": [("run", 0, 2, 0.9)]}))
    short, _, middle, *_ = found.bins["length"]
    assert (short.map_n, short.classes, middle.map_n) == (1, 1, 0)
    assert found.map_n == 0.5
    assert (short.missed, middle.missed, found.missed) == (0, 1, 0.5)


def test_a_find_at_a_normalised_precision_of_a_twentieth_or_less_counts_as_missed() -> None:
    # R = 1, N = 1: the precision at the find is 1 / (1 + false).
    for false, missed in ((18, 0), (19, 1), (20, 1)):
        rows = [*[("run", 50, 60, 0.9)] * false, ("run", 0, 10, 0.1)]
        found = analyse(*parts({"v": [("run", 0, 10)]}, {"v": rows}))
        assert found.missed == missed
        assert found.map_n == pytest.approx(1 / (1 + false))  # mAP_N knows no such limit


def test_figures_are_means_over_the_thresholds() -> None:
    found = analyse(*parts({"v": [("run", 0, 10)]}, {"v": [("run", 0, 8, 0.9)]}), tiou=(0.5, 0.9))
    assert found.map_n == found.missed == 0.5
    assert found.bins["length"][2].map_n == 0.5


def test_true_positives_of_other_bins_are_removed_per_threshold() -> None:
    # At .5 the first detection finds the 10 s instance, at .9 it finds nothing and is false.
    instances = {"v": [("run", 0, 10), ("run", 50, 52)]}
    detections = {"v": [("run", 0, 8, 0.9), ("run", 50, 52, 0.8)]}
    short = analyse(*parts(instances, detections), tiou=(0.5, 0.9)).bins["length"][0]
    assert short.map_n == pytest.approx((1 + 2 / (2 + 1)) / 2)


def test_an_instance_without_a_duration_has_no_coverage() -> None:
    instances = {"v": [("run", 0, 10)], "w": [("run", 0, 10)], "x": [("run", 0, 10)]}
    found = analyse(*parts(instances, {}, {"v": None, "w": 0, "x": 100}))
    assert found.unknown == 2
    assert sum(figures(found.bins["coverage"], "instances")) == 1
    assert sum(figures(found.bins["length"], "instances")) == 3
    assert "2 instances on videos without duration have no coverage" in found.text()


def test_lengths_are_seconds_also_where_the_protocol_compares_snippets() -> None:
    instances = {"v": [("run", 0, 2.9), ("run", 10, 15)]}
    found = analyse(*parts(instances, {}, grid="16/25", grid_units="snippets"))
    assert figures(found.bins["length"], "instances") == [1, 1, 0, 0, 0]


def test_edges_follow_the_headline_of_the_protocol_and_may_be_given() -> None:
    assert bins_of(resolve("activitynet", {})) == ACTIVITYNET_BINS
    assert bins_of(resolve("thumos14", {})) == THUMOS14_BINS
    one = analyse(*parts({"v": [("run", 0, 10)]}, {}), edges={"length": [5]})
    assert figures(one.bins["length"], "instances") == [0, 1]
    assert len(one.bins["coverage"]) == 5


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ({"size": [1]}, "'size'; expected one of length, coverage, instances"),
        ({"length": []}, "expected one to 4 ascending numbers"),
        ({"length": [1, 2, 3, 4, 5]}, "expected one to 4 ascending numbers"),
        ({"length": [2, 1]}, "expected one to 4 ascending numbers"),
    ],
)
def test_edges_that_cannot_be_used_are_named(edges: dict[str, Any], words: str) -> None:
    with pytest.raises(EvalError, match=words):
        analyse(*parts({"v": [("run", 0, 10)]}, {}), edges=edges)


def test_json_text_and_frame_hold_the_same_figures() -> None:
    found = analyse(*parts({"v": [("run", 0, 10)]}, {"v": [("run", 0, 10, 0.9)]}))
    stored = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert stored == found.to_json()
    assert list(stored["bins"]) == list(CHARACTERISTICS)
    assert stored["bins"]["length"][2]["map_n"] == 1
    assert stored["bins"]["length"][0]["map_n"] is None
    frame = found.frame()
    assert frame.loc[("length", "M"), "map_n"] == 100
    assert frame["map_n"].isna().tolist()[:5] == [True, True, False, True, True]
    assert "100.00" in found.text()


seconds = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: tuple(sorted(pair)))


@settings(max_examples=100, deadline=None)
@given(
    instances=st.lists(st.tuples(st.sampled_from("ab"), seconds), min_size=1, max_size=8),
    detections=st.lists(st.tuples(seconds, st.sampled_from([0.1, 0.5, 0.9])), max_size=12),
)
def test_bins_part_the_instances_and_one_bin_is_the_whole(
    instances: list[Any], detections: list[Any]
) -> None:
    truth = {"v": [(label, s, e) for label, (s, e) in instances]}
    label = instances[0][0]
    made = parts(truth, {"v": [(label, s, e, p) for (s, e), p in detections]}, {"v": 30})
    found = analyse(*made)
    for row in found.bins.values():
        counts = figures(row, "instances")
        assert sum(counts) == len(instances)
        missed = sum((one.missed or 0) * one.instances for one in row)
        assert missed == pytest.approx(found.missed * len(instances))
    whole = analyse(*made, edges={"length": [1000]}).bins["length"][0]
    assert whole.map_n == pytest.approx(found.map_n)
    assert whole.missed == pytest.approx(found.missed)


PMIL = {
    "length": ".294140 .450508 .445155 .241261 .334381",
    "coverage": ".352389 .395736 .361038 .369682 .362884",
    "instances": ".426716 .370800 .283984 .144155",
}
PMIL_MISSED = {
    "length": ".526447 .223013 .149086 .424779 .540541",
    "instances": ".333333 .342301 .299862 .598063",
}


def test_pmil_equals_the_figures_of_the_fields_diagnosis_tool(shared: Path) -> None:
    found = analyse(
        *select(
            shared / "detections" / "pmil_base_test.json",
            shared / "annotations" / "thumos14.json",
            resolve("thumos14", {}),
        )
    )
    assert found.map_n == pytest.approx(0.358816, abs=1e-6)
    for table, what in ((PMIL, "map_n"), (PMIL_MISSED, "missed")):
        for name, line in table.items():
            expected = [float(x) for x in line.split()]
            assert figures(found.bins[name], what) == pytest.approx(expected, abs=1e-6)
