"""mAP of ranked videos: each protocol by hand, and against independent computations."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from wtal_eval import EvalError
from wtal_eval.retrieval import RetrievalResult, evaluate_retrieval, ranked_precision
from wtal_eval.retrieval.areas import AREAS

FORMS = ("sum", "trapezoid")


def ranks(*hits: int, length: int = 10) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """A list of `length` videos with positives at the given ranks, from 1."""
    return np.isin(np.arange(1, length + 1), hits)


def in_order(*videos: str) -> list[list[Any]]:
    """A ranking of the videos as they stand."""
    return [[video, 1 - i / 100] for i, video in enumerate(videos)]


def maps(result: RetrievalResult) -> dict[str, float | None]:
    return {name: task.map for name, task in result.tasks.items()}


# Average precision


def test_the_published_programs_give_these_values() -> None:
    # 1/1 + 2/3 + 3/4 = 2.41667 of 4; trapezoids (1 + 1) + (1/2 + 2/3) + (2/3 + 3/4) = 4.58333 of 8
    assert ranked_precision(ranks(1, 3, 4), 4) == pytest.approx(0.604167, abs=5e-7)
    assert ranked_precision(ranks(1, 3, 4), 4, "trapezoid") == pytest.approx(0.572917, abs=5e-7)
    # 1/2 + 2/4 = 1 of 2; trapezoids (0 + 1/2) + (1/3 + 2/4) = 1.33333 of 4
    assert ranked_precision(ranks(2, 4), 2) == 0.5
    assert ranked_precision(ranks(2, 4), 2, "trapezoid") == pytest.approx(1 / 3)


@pytest.mark.parametrize("form", FORMS)
def test_positives_in_front_give_one_and_no_hit_gives_zero(form: Any) -> None:
    assert ranked_precision(ranks(1, 2, 3), 3, form) == 1.0
    assert ranked_precision(ranks(), 3, form) == 0.0
    assert ranked_precision(ranks(length=0), 3, form) == 0.0


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 5))
def test_both_forms_equal_a_walk_down_the_list(relevant: list[bool], unfound: int) -> None:
    npos = sum(relevant) + unfound
    if not npos:
        return
    summed = trapezoids = 0.0
    hits = 0
    for rank, hit in enumerate(relevant, 1):
        if hit:
            before = 1.0 if rank == 1 else hits / (rank - 1)
            hits += 1
            summed += hits / rank
            trapezoids += (before + hits / rank) / 2
    found = np.array(relevant, bool)
    assert ranked_precision(found, npos) == pytest.approx(summed / npos)
    assert ranked_precision(found, npos, "trapezoid") == pytest.approx(trapezoids / npos)


def test_the_sum_is_scikit_learns_where_every_positive_is_ranked_without_ties() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        relevant = draw.random(40) < 0.3
        relevant[draw.integers(40)] = True
        expected = average_precision_score(relevant, -np.arange(40))
        assert ranked_precision(relevant, int(relevant.sum())) == pytest.approx(expected)


def test_there_are_the_two_forms() -> None:
    assert tuple(AREAS) == FORMS


# FIVR

FIVR = {"q": {"ND": ["a"], "DS": ["b"], "CS": ["c"], "IS": ["d", "gone"], "DA": ["e"]}}


def test_fivr_widens_the_positives_from_task_to_task() -> None:
    # The query leaves: x 1, a 2, c 3, b 4, d 5, e 6. `gone` is nowhere, so it does not divide.
    found = {"q": in_order("q", "x", "a", "c", "b", "d", "e")}
    result = evaluate_retrieval(found, FIVR, "fivr")
    assert maps(result) == {
        "DSVR": pytest.approx((1 / 2 + 2 / 4) / 2),
        "CSVR": pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3),
        "ISVR": pytest.approx((1 / 2 + 2 / 3 + 3 / 4 + 4 / 5) / 4),
    }
    isvr = result.tasks["ISVR"]
    assert (isvr.positives, isvr.absent, isvr.without_positives) == (4, 1, ())
    assert result.warnings == ()


def test_a_positive_that_only_another_query_ranks_divides() -> None:
    found = {"q": in_order("a", "x"), "p": in_order("b")}
    truth = {"q": {"ND": ["a", "b"]}, "p": {"ND": ["b"]}}
    result = evaluate_retrieval(found, truth, "fivr")
    assert result.tasks["DSVR"].ap == {"q": 0.5, "p": 1.0}  # 1/1 of 2, 1/1 of 1
    assert result.tasks["DSVR"].map == 0.75
    assert "2 queries do not rank every video that others rank" in result.warnings[0]


def test_other_queries_have_features_even_if_nobody_ranks_them() -> None:
    found = {"q": in_order("a"), "p": in_order("a")}
    truth = {"q": {"ND": ["a", "p"]}, "p": {"ND": ["a"]}}
    assert evaluate_retrieval(found, truth, "fivr").tasks["DSVR"].ap == {"q": 0.5, "p": 1.0}


def test_the_gallery_names_positives_that_a_cut_list_lost() -> None:
    found, truth = {"q": in_order("a")}, {"q": ["a", "b", "c"]}
    assert maps(evaluate_retrieval(found, truth, "pairs")) == {"pairs": 1.0}
    result = evaluate_retrieval(found, truth, "pairs", gallery=["b", "z"])
    assert maps(result) == {"pairs": 0.5}
    assert (result.tasks["pairs"].positives, result.tasks["pairs"].absent) == (2, 1)


def test_a_subset_of_fivr_limits_queries_candidates_and_positives() -> None:
    truth = {
        "annotation": {"q": {"ND": ["a", "far"]}, "p": {"ND": ["a"]}},
        "5k": {"queries": ["q"], "database": ["a", "x"]},
        "200k": {"queries": ["q", "p"], "database": ["a", "x", "far"]},
    }
    found = {"q": in_order("far", "x", "a"), "p": in_order("a", "x", "far")}
    small = evaluate_retrieval(found, truth, "fivr", subset="5k")
    assert small.tasks["DSVR"].ap == {"q": 0.5}  # x 1, a 2: 1/2 of 1
    assert small.protocol == "fivr 5k"
    assert "1 ranked query is not among those of the truth and is ignored: 'p'." in small.warnings
    large = evaluate_retrieval(found, truth, "fivr", subset="200k")
    assert large.tasks["DSVR"].ap == {"p": 1.0, "q": pytest.approx((1 + 2 / 3) / 2)}


def test_queries_of_a_subset_are_candidates_although_its_database_lacks_them() -> None:
    annotation = {"q": {"ND": ["p"]}, "p": {"ND": ["a"]}}
    truth = {"annotation": annotation, "5k": {"queries": ["q", "p"], "database": ["a"]}}
    found = {"q": in_order("a", "p"), "p": in_order("q", "a")}
    result = evaluate_retrieval(found, truth, "fivr")
    assert result.tasks["DSVR"].ap == {"q": 0.5, "p": 0.5}  # the hit is second in both


def test_the_only_subset_needs_no_name_and_two_do() -> None:
    part = {"queries": ["q"], "database": ["a", "b"]}
    found, annotation = {"q": in_order("a")}, {"q": {"ND": ["a"]}}
    one = {"annotation": annotation, "5k": part}
    assert evaluate_retrieval(found, one, "fivr").tasks["DSVR"].map == 1.0
    with pytest.raises(EvalError, match=r"holds the subsets '5k', '200k'; choose one"):
        evaluate_retrieval(found, one | {"200k": part}, "fivr")
    with pytest.raises(EvalError, match="no subset '7k'; it holds '5k'"):
        evaluate_retrieval(found, one, "fivr", subset="7k")
    with pytest.raises(EvalError, match="no subset '5k'; it holds none"):
        evaluate_retrieval(found, annotation, "fivr", subset="5k")
    with pytest.raises(EvalError, match="'p' is missing, expected its labels"):
        evaluate_retrieval(found, one | {"5k": {"queries": ["p"]}}, "fivr")
    with pytest.raises(EvalError, match="only fivr has subsets"):
        evaluate_retrieval(found, {"q": ["a"]}, "pairs", subset="5k")


# CC_WEB_VIDEO

# One set: the query E, two positives S and V, a dissimilar X; `far` is labelled in no set.
CCWEB: dict[str, Any] = {
    "queries": ["q"],
    "ground_truth": [{"q": "E", "s": "S", "v": "V", "x": "X", "y": "x"}],
    "excluded": [["s", "y"]],
}


def test_ccweb_gives_four_figures_and_counts_the_query_itself() -> None:
    found = {"q": in_order("q", "far", "x", "s", "y", "v")}
    result = evaluate_retrieval(found, CCWEB, "ccweb")
    assert maps(result) == {
        # q 1, x 2, s 3, y 4, v 5: 1 + 2/3 + 3/5 of 3
        "CC_WEB": pytest.approx((1 + 2 / 3 + 3 / 5) / 3),
        # q 1, far 2, x 3, s 4, y 5, v 6: 1 + 2/4 + 3/6 of 3
        "CC_WEB*": pytest.approx((1 + 2 / 4 + 3 / 6) / 3),
        # Cleaned of s and y: q 1, x 2, v 3, and with far: q 1, far 2, x 3, v 4; of 2
        "CC_WEB_c": pytest.approx((1 + 2 / 3) / 2),
        "CC_WEB_c*": pytest.approx((1 + 2 / 4) / 2),
    }
    assert result.warnings == ()


def test_ccweb_divides_by_positives_without_features_too() -> None:
    result = evaluate_retrieval({"q": in_order("q", "x", "v")}, CCWEB, "ccweb")
    assert result.tasks["CC_WEB"].map == pytest.approx((1 + 2 / 3) / 3)  # s has none, and counts
    assert (result.tasks["CC_WEB"].positives, result.tasks["CC_WEB"].absent) == (3, 1)


def test_ccweb_warns_where_the_query_does_not_rank_itself() -> None:
    result = evaluate_retrieval({"q": in_order("s", "v", "x", "y")}, CCWEB, "ccweb")
    assert result.tasks["CC_WEB"].map == pytest.approx(2 / 3)  # 1/1 + 2/2 of 3
    assert result.warnings == (
        "1 query does not rank itself, although this protocol counts it as a positive.",
    )


def test_ccweb_numbers_stand_for_the_videos_of_the_index() -> None:
    truth = {
        "index": {"q": 1, "s": 2, "v": 3, "x": 4, "far": 9},
        "queries": ["q"],
        "ground_truth": [{1: "E", 2: "S", 3: "V", 4: "X", 77: "M"}],
        "excluded": [{2}],
    }
    found = {"q": in_order("q", "77", "far", "s", "x", "v")}
    # Number 77 belongs to no video of the index: it divides, and the video called 77 is none.
    expected = {
        "CC_WEB": pytest.approx((1 + 2 / 2 + 3 / 4) / 4),  # q, s, x, v
        "CC_WEB*": pytest.approx((1 + 2 / 3 + 3 / 5) / 4),  # q, far, s, x, v
        "CC_WEB_c": pytest.approx((1 + 2 / 3) / 3),  # q, x, v
        "CC_WEB_c*": pytest.approx((1 + 2 / 4) / 3),  # q, far, x, v
    }
    assert maps(evaluate_retrieval(found, truth, "ccweb")) == expected
    renamed = {"vid2index" if key == "index" else key: part for key, part in truth.items()}
    assert maps(evaluate_retrieval(found, renamed, "ccweb")) == expected
    numbered = truth | {"excluded": {0: [2]}}
    assert maps(evaluate_retrieval(found, numbered, "ccweb")) == expected


def test_ccweb_without_excluded_videos_has_no_cleaned_figures() -> None:
    truth = {key: part for key, part in CCWEB.items() if key != "excluded"}
    result = evaluate_retrieval({"q": in_order("q")}, truth, "ccweb")
    assert list(result.tasks) == ["CC_WEB", "CC_WEB*"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ground_truth": []}, "'ground_truth' has 0 entries for 1 different queries of 1"),
        ({"excluded": [[], []]}, "'excluded' has 2 entries for 1"),
        ({"queries": "q"}, "'queries' is 'q', expected a list of names"),
        ({"queries": ["q", "q"], "ground_truth": [{}, {}]}, "2 entries for 1 different queries"),
        ({"ground_truth": [{"q": "ES"}]}, "label of 'q' is 'ES', expected E, S, L, M, V or X"),
        ({"ground_truth": [{"q": 1}]}, "label of 'q' is 1"),
        ({"ground_truth": ["E"]}, "its labels is 'E', expected an object"),
        ({"ground_truth": "E"}, "'ground_truth' is 'E', expected a list with an entry per query"),
        ({"index": {"a": 1, "b": 1}}, "'index' gives 1 to 'a' and 'b'"),
        ({"index": {"a": 1.5}}, "'index', video 'a' is 1.5, expected a name"),
    ],
)
def test_a_faulty_ccweb_truth_says_what_is_wrong(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(EvalError, match=sentence):
        evaluate_retrieval({"q": in_order("q")}, CCWEB | change, "ccweb")


# EVVE

EVVE: dict[str, Any] = {
    "annotation": {
        "concert": ({"c1", "c2"}, {"a", "b", "gone"}, {"x"}),
        "riot": ({"r1", "r2"}, {"y"}, set()),
    },
    "database": {"a", "b", "x", "y"},
}


def test_evve_takes_the_mean_over_queries_and_a_value_per_event() -> None:
    found = {
        "c1": in_order("c1", "a", "unknown", "x", "b", "y"),  # a 0, x 1, b 2, y 3: 2 + (1/2 + 2/3)
        "c2": in_order("x", "y", "a", "b"),  # (0 + 1/3) + (1/3 + 2/4)
        "r1": in_order("r2", "y", "a", "b", "x"),  # y 0
    }
    result = evaluate_retrieval(found, EVVE, "evve")
    c1, c2 = (2 + 1 / 2 + 2 / 3) / 4, (1 / 3 + 1 / 3 + 1 / 2) / 4
    task = result.tasks["EVVE"]
    assert task.ap == {"c1": pytest.approx(c1), "c2": pytest.approx(c2), "r1": 1.0}
    assert task.map == pytest.approx((c1 + c2 + 1) / 3)  # not over the two events
    assert task.groups == {"concert": pytest.approx((c1 + c2) / 2), "riot": 1.0}  # r2 is missing
    assert (task.positives, task.absent) == (5, 2)
    assert result.missing == ("r2",)
    assert result.warnings == (
        "1 query of the truth is not ranked and is left out of the mean: 'r2'.",
    )


def test_evve_without_a_database_ranks_whatever_is_no_query() -> None:
    truth = {"annotation": EVVE["annotation"]}
    result = evaluate_retrieval({"c1": in_order("r1", "unknown", "a")}, truth, "evve")
    assert result.tasks["EVVE"].map == pytest.approx((0 + 1 / 2) / 2)  # a 1 (from 0), of 1


@pytest.mark.parametrize(
    ("annotation", "sentence"),
    [
        ({"e": [["q"], ["a"]]}, "event 'e' has 2 entries, expected queries, positives, negatives"),
        ({"e": "q"}, r"event 'e' is 'q', expected \[queries, positives, negatives\]"),
        ({"e": ["q", [], []]}, "event 'e', queries is 'q', expected a list of names"),
        (
            {"e": [["q"], ["a"], []], "f": [["q"], ["b"], []]},
            "event 'f': query 'q' also belongs to 'e'",
        ),
        ([], r"'annotation' is \[\], expected an object"),
    ],
)
def test_a_faulty_evve_truth_says_what_is_wrong(annotation: Any, sentence: str) -> None:
    with pytest.raises(EvalError, match=sentence):
        evaluate_retrieval({"q": in_order("a")}, {"annotation": annotation}, "evve")


# VCDB and pairs


def test_vcdb_can_reach_one_since_the_query_is_no_positive() -> None:
    truth = {"video_pairs": [{"videos": ["a", "b"], "other": 1}, ("a", "c")], "index": list("abcx")}
    found = {
        "a": in_order("a", "far", "b", "c", "x"),
        "b": in_order("b", "x", "a"),  # x 1, a 2
        "x": in_order("a"),
    }
    result = evaluate_retrieval(found, truth, "vcdb")
    assert result.tasks["VCDB"].ap == {"a": 1.0, "b": 0.5}
    assert result.missing == ("c",)


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        ([["a"]], r"pair 0 \(from 0\) has 1 names, expected two"),
        ([["a", "b"], {"clips": []}], r"pair 1 \(from 0\): 'videos' is missing"),
        ([["a", None]], r"pair 0 \(from 0\) is null, expected a name"),
        ([7], r"pair 0 \(from 0\) is 7, expected two names"),
        ({}, "'video_pairs' is {}, expected a list of pairs"),
    ],
)
def test_a_faulty_vcdb_truth_says_what_is_wrong(pairs: Any, sentence: str) -> None:
    with pytest.raises(EvalError, match=sentence):
        evaluate_retrieval({"a": in_order("b")}, {"video_pairs": pairs}, "vcdb")


def test_pairs_ignore_the_query_in_its_own_list() -> None:
    result = evaluate_retrieval(
        {"q": in_order("q", "a", "x", "b")}, {"q": ["b", "q", "a"]}, "pairs"
    )
    assert maps(result) == {"pairs": pytest.approx((1 + 2 / 3) / 2)}


@pytest.mark.parametrize(
    ("truth", "sentence"),
    [
        ({"q": "a"}, "query 'q' is 'a', expected a list of names"),
        ({"q": ["a", ""]}, "query 'q', an entry is '', expected a name"),
        ({"q": [True]}, "query 'q', an entry is True, expected a name"),
        ({"": ["a"]}, "a query is '', expected a name"),
    ],
)
def test_a_faulty_list_of_pairs_says_what_is_wrong(truth: Any, sentence: str) -> None:
    with pytest.raises(EvalError, match=sentence):
        evaluate_retrieval({"q": in_order("a")}, truth, "pairs")


# Queries, ties and independent computations


def test_equal_similarities_rank_by_name_whatever_the_order_of_the_file() -> None:
    truth = {"q": ["b"]}
    for videos in ("abc", "cba", "bca"):
        for ranking in (dict.fromkeys(videos, 0.5), [[v, 0.5] for v in videos]):
            assert maps(evaluate_retrieval({"q": ranking}, truth, "pairs")) == {"pairs": 0.5}
    signed = {"q": {"a": 0.0, "b": -0.0}}  # minus zero is no less than zero
    assert maps(evaluate_retrieval(signed, truth, "pairs")) == {"pairs": 0.5}


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_arrays_give_what_pairs_give_ties_and_signed_zeros_included(precision: Any) -> None:
    draw = np.random.default_rng(2)
    videos = [f"g{i}" for i in draw.permutation(12)]  # not in the order of the names
    values_QV = draw.integers(-2, 3, (5, 12)).astype(precision) / 4
    values_QV[0] *= -1
    queries = ["g3", "g4", "p", "q", "r"]
    arrays = {"videos": videos, "results": dict(zip(queries, values_QV, strict=True))}
    pairs = {
        query: dict(zip(videos, values_V.tolist(), strict=True))
        for query, values_V in zip(queries, values_QV, strict=True)
    }
    truth = {query: [f"g{i}" for i in draw.choice(12, 4, False)] for query in queries}
    result = evaluate_retrieval(arrays, truth, "pairs", gallery=["lost"])
    assert result == evaluate_retrieval(pairs, truth, "pairs", gallery=["lost"])
    assert len(result.tasks["pairs"].ap) == 5


@pytest.mark.parametrize(
    ("videos", "values", "sentence"),
    [
        (None, [0.1, 0.2], "'videos' is null, expected a list of names, each once, where"),
        (["a", "a"], [0.1, 0.2], r"'videos' is \['a', 'a'\], expected a list of names, each once"),
        (["a", "b"], [0.1], r"query 'q', its array is 'float64 \(1,\)', expected floats \(2,\)"),
        (["a", "b"], [1, 2], r"query 'q', its array is 'int64 \(2,\)', expected floats \(2,\)"),
        (["a", "b"], [0.1, math.nan], "query 'q' has a similarity that is no finite number"),
    ],
)
def test_faulty_arrays_say_what_is_wrong(videos: Any, values: Any, sentence: str) -> None:
    ranking = {"videos": videos, "results": {"q": np.array(values)}}
    with pytest.raises(EvalError, match=sentence):
        evaluate_retrieval(ranking, {"q": ["a"]}, "pairs")


def test_queries_without_positives_are_left_out_and_named() -> None:
    found = {"q": in_order("a"), "alone": in_order("a"), "lost": in_order("a")}
    truth = {"q": ["a"], "alone": [], "lost": ["nowhere"]}
    result = evaluate_retrieval(found, truth, "pairs")
    assert result.tasks["pairs"].ap == {"q": 1.0}
    assert result.tasks["pairs"].without_positives == ("alone", "lost")
    assert result.warnings == (
        "2 queries have no positive for pairs and are left out of its mean: 'alone', 'lost'.",
    )


def test_a_task_without_any_query_has_no_figure() -> None:
    result = evaluate_retrieval({"q": in_order("a")}, {"q": {"IS": ["a"]}}, "fivr")
    assert maps(result) == {"DSVR": None, "CSVR": None, "ISVR": 1.0}
    assert json.loads(json.dumps(result.to_json()))["tasks"]["DSVR"]["map"] is None
    assert "DSVR      none        0" in result.text()


def test_an_empty_list_finds_nothing() -> None:
    found: dict[str, Any] = {"q": [], "p": in_order("a", "b")}
    result = evaluate_retrieval(found, {"q": ["a"], "p": ["a"]}, "pairs")
    assert result.tasks["pairs"].ap == {"q": 0.0, "p": 1.0}


def test_nothing_in_common_is_an_error() -> None:
    with pytest.raises(EvalError, match="none of its 1 queries is among the 2 queries of truth"):
        evaluate_retrieval({"Q": in_order("a")}, {"q": ["a"], "p": ["a"]}, "pairs")
    with pytest.raises(EvalError, match="none of the 1 queries has a positive that is ranked"):
        evaluate_retrieval({"q": in_order("A")}, {"q": ["a"]}, "pairs")
    with pytest.raises(EvalError, match="Protocol 'trecvid' is unknown, expected one of fivr, cc"):
        evaluate_retrieval({"q": in_order("A")}, {"q": ["a"]}, "trecvid")


VIDEOS = [f"v{i}" for i in range(7)]
SIMILARITIES = st.dictionaries(st.sampled_from(VIDEOS), st.integers(-2, 2).map(float))


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from(VIDEOS), SIMILARITIES, min_size=1),
    st.dictionaries(st.sampled_from(VIDEOS), st.lists(st.sampled_from(VIDEOS)), min_size=1),
)
def test_pairs_equal_a_plain_double_loop(
    found: dict[str, dict[str, float]], truth: dict[str, list[str]]
) -> None:
    expected = plain_pairs(found, truth)
    if not expected:
        with pytest.raises(EvalError):
            evaluate_retrieval(found, truth, "pairs")
        return
    for given_as in (found, {"results": {q: list(r.items()) for q, r in found.items()}}):
        result = evaluate_retrieval(given_as, truth, "pairs").tasks["pairs"]
        assert result.ap == pytest.approx(expected)
        assert result.map == pytest.approx(math.fsum(expected.values()) / len(expected))


def plain_pairs(
    found: Mapping[str, Mapping[str, float]], truth: Mapping[str, list[str]]
) -> dict[str, float]:
    """AP per query: for every positive, the share of positives among what is not behind it."""
    everything = {video for ranking in found.values() for video in ranking} | set(found)
    aps = {}
    for query in truth.keys() & found.keys():
        positives = (set(truth[query]) & everything) - {query}
        ranking = {video: s for video, s in found[query].items() if video != query}
        precisions = []
        for video in positives & ranking.keys():
            front = [
                other
                for other, s in ranking.items()
                if s > ranking[video] or (s == ranking[video] and other <= video)
            ]
            precisions.append(len(positives.intersection(front)) / len(front))
        if positives:
            aps[query] = sum(precisions) / len(positives)
    return aps


def test_a_ranking_without_ties_gives_scikit_learns_mean(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    gallery = [f"g{i:02d}" for i in range(30)]
    found, truth, expected = {}, {}, []
    for q in range(8):
        values, relevant = draw.permutation(30) / 30, draw.random(30) < 0.2
        relevant[draw.integers(30)] = True
        found[f"q{q}"] = dict(zip(gallery, values.tolist(), strict=True))
        truth[f"q{q}"] = [name for name, hit in zip(gallery, relevant, strict=True) if hit]
        expected.append(average_precision_score(relevant, values))
    (tmp_path / "found.json").write_text(json.dumps(found))
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    result = evaluate_retrieval(tmp_path / "found.json", tmp_path / "truth.json", "pairs")
    assert result.tasks["pairs"].map == pytest.approx(np.mean(expected))
