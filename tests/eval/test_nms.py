"""Hard and soft NMS: closed forms, a slow obvious reference, invariances, bounds, public parity."""

import functools
import json
import os
import time
import tracemalloc
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

import wtal_eval.nms
import wtal_eval.soft_nms
from wtal_eval.nms import hard_nms
from wtal_eval.overlap import Arithmetic
from wtal_eval.soft_nms import SoftMethod, soft_nms

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

SHARED = Path(os.environ.get("WTAL_SHARED", Path(__file__).parents[2] / ".." / "shared"))
PMIL_FILE = SHARED / "data" / "detections" / "pmil_base_test.json"

# --- the obvious reference: one group, one segment after the other


def tiou_one_to_all(
    i: int, starts: Floats, ends: Floats, arithmetic: str, length_offset: float = 0.0
) -> Floats:
    extra = length_offset + (1e-6 if arithmetic == "compiled" else 0.0)
    inter = np.minimum(ends[i], ends) - np.maximum(starts[i], starts) + length_offset
    inter = np.maximum(inter, 0)
    union = ((ends[i] - starts[i]) + extra) + ((ends - starts) + extra) - inter
    return np.where(union > 0, inter / np.where(union > 0, union, 1), 0)


def as_arrays(arithmetic: str, *columns: ArrayLike) -> tuple[Floats, ...]:
    dtype = np.float32 if arithmetic == "compiled" else np.float64
    return tuple(np.asarray(column, np.float64).astype(dtype) for column in columns)


def slow_hard(
    starts: ArrayLike,
    ends: ArrayLike,
    scores: ArrayLike,
    threshold: float,
    arithmetic: str = "exact",
    length_offset: float = 0.0,
) -> list[int]:
    begin, end, score = as_arrays(arithmetic, starts, ends, scores)
    order = sorted(range(len(begin)), key=lambda i: (-score[i], i))
    gone = np.zeros(len(begin), bool)
    kept = []
    for i in order:
        if not gone[i]:
            kept.append(i)
            gone |= tiou_one_to_all(i, begin, end, arithmetic, length_offset) >= threshold
    return kept


def slow_soft(
    starts: ArrayLike,
    ends: ArrayLike,
    scores: ArrayLike,
    arithmetic: str = "exact",
    *,
    method: str = "gaussian",
    sigma: float = 0.5,
    threshold: float = 0.5,
    t1: float = 0.0,
    t2: float = 0.0,
    min_score: float = 0.001,
) -> tuple[list[int], list[float]]:
    begin, end, score = as_arrays(arithmetic, starts, ends, scores)
    left = list(range(len(begin)))
    taken, lowered = [], []
    while left:
        best = max(left, key=lambda i: (score[i], -i))
        taken.append(best)
        lowered.append(float(score[best]))
        tiou = tiou_one_to_all(best, begin, end, arithmetic)
        weight = np.exp(-(tiou * tiou) / sigma)
        if method == "linear":
            weight = np.where(tiou >= threshold, 1 - tiou, tiou.dtype.type(1))
        if method == "bmn":
            epsilon = 1e-6 if arithmetic == "compiled" else 0.0
            length = end[best] - begin[best] + tiou.dtype.type(epsilon)
            weight = np.where(tiou >= t1 + t2 * length, weight, tiou.dtype.type(1))
        score = score * weight
        left = [i for i in left if i != best and score[i] >= min_score]
    return taken, lowered


def per_group(groups: Ints, one_group: Any) -> list[Any]:
    """`one_group(members)` for each group in ascending order of its code."""
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    return [one_group(ids) for ids in members if ids.size]


def random_segments(
    n: int, seed: int, timeline_s: float = 60.0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    starts = rng.uniform(0, timeline_s, n)
    return starts, starts + np.exp(rng.normal(1.5, 1, n)), rng.random(n)


# Few distinct values: ties, duplicates, zero lengths and tIoU exactly on a threshold abound.
grid_s = st.integers(0, 12).map(lambda k: k * 0.64)
free_s = st.floats(0, 20, allow_subnormal=False)
segment = st.tuples(
    st.one_of(grid_s, free_s),
    st.one_of(grid_s, free_s),
    st.one_of(st.integers(-1, 4).map(lambda k: k / 4), st.floats(0, 1)),
    st.integers(-2, 2),
)
segments = st.lists(segment, min_size=1, max_size=40)
thresholds = st.sampled_from([0.01, 0.3, 0.45, 0.5, 0.7, 0.95, 1.0])
arithmetics = st.sampled_from(["exact", "compiled"])


def columns(rows: list[tuple[float, float, float, int]]) -> tuple[Floats, Floats, Floats, Ints]:
    a, b, scores, groups = (np.array(column) for column in zip(*rows, strict=True))
    return np.minimum(a, b), np.maximum(a, b), scores, groups


# --- hard NMS


def test_a_segment_goes_at_exactly_the_threshold_and_stays_just_above_it() -> None:
    starts, ends, scores = [0, 0], [10, 5], [0.9, 0.8]  # tIoU .5
    assert hard_nms(starts, ends, scores, threshold=0.5).tolist() == [0]
    assert hard_nms(starts, ends, scores, threshold=np.nextafter(0.5, 1)).tolist() == [0, 1]


def test_a_suppressed_segment_suppresses_nothing() -> None:
    # tIoU of neighbours .6, of the outer two 1/3: the middle one goes and spares the last.
    starts, ends = [0.0, 1.0, 2.0], [4.0, 5.0, 6.0]
    assert hard_nms(starts, ends, [0.9, 0.8, 0.7], threshold=0.5).tolist() == [0, 2]
    assert hard_nms(starts, ends, [0.8, 0.9, 0.7], threshold=0.5).tolist() == [1]


def test_of_equal_scores_the_earlier_is_kept_whatever_the_order_in_time() -> None:
    assert hard_nms([1, 0], [5, 4], [0.5, 0.5], threshold=0.5).tolist() == [0]
    assert hard_nms([0, 1], [4, 5], [0.5, 0.5], threshold=0.5).tolist() == [0]
    assert hard_nms([0, 1], [4, 5], [0.0, -0.0], threshold=0.5).tolist() == [0]


def test_kept_ids_come_by_group_code_and_then_best_first() -> None:
    starts, ends = np.arange(6) * 10.0, np.arange(6) * 10.0 + 1
    ids = hard_nms(starts, ends, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [7, -3, 7, -3, 7, -3], threshold=1)
    assert ids.tolist() == [5, 3, 1, 4, 2, 0]
    assert ids.dtype == np.int64


def test_segments_of_different_groups_never_meet() -> None:
    ids = hard_nms([0, 0, 0], [4, 4, 4], [0.3, 0.2, 0.1], [0, 10**12, -(10**12)], threshold=0.1)
    assert ids.tolist() == [2, 0, 1]


def test_segments_of_length_zero_are_all_kept() -> None:
    for arithmetic in ("exact", "compiled"):
        ids = hard_nms([3, 3, 2], [3, 3, 4], [0.1, 0.2, 0.3], threshold=0.01, arithmetic=arithmetic)
        assert ids.tolist() == [2, 1, 0]


def test_the_pixel_offset_makes_short_neighbours_overlap() -> None:
    # [0, 1] and [1, 2]: lengths 2 and 2, overlap 1, so 1/3 instead of 0.
    starts, ends, scores = [0, 1], [1, 2], [0.9, 0.8]
    assert hard_nms(starts, ends, scores, threshold=0.33).tolist() == [0, 1]
    assert hard_nms(starts, ends, scores, threshold=0.33, length_offset=1).tolist() == [0]
    # Even a gap counts: [0, 1] and [1.5, 2.5] overlap by .5 of a union of 3.5.
    assert hard_nms([0, 1.5], [1, 2.5], scores, threshold=0.14, length_offset=1).tolist() == [0]


def test_compiled_arithmetic_spares_a_pair_exactly_on_the_threshold() -> None:
    # tIoU 1.28 / 2.56; with 1e-6 more in the lengths it is just below .5.
    starts, ends, scores = [0.0, 0.0], [2.56, 1.28], [0.9, 0.8]
    assert hard_nms(starts, ends, scores, threshold=0.5).tolist() == [0]
    ids = hard_nms(starts, ends, scores, threshold=0.5, arithmetic="compiled")
    assert ids.tolist() == [0, 1]


@pytest.mark.parametrize("n", [0, 1])
def test_none_and_one_segment_pass_through(n: int) -> None:
    column = np.zeros(n)
    assert hard_nms(column, column + 1, column, threshold=0.5).tolist() == list(range(n))
    ids, scores = soft_nms(column, column + 1, column + 0.4)
    assert ids.tolist() == list(range(n))
    assert scores.tolist() == [0.4] * n
    assert hard_nms([], [], [], [], threshold=0.5).dtype == np.int64


@settings(max_examples=300, deadline=None)
@given(segments, thresholds, arithmetics, st.sampled_from([0.0, 1.0]))
def test_hard_nms_equals_the_one_by_one_rule(
    rows: list[tuple[float, float, float, int]],
    threshold: float,
    arithmetic: Arithmetic,
    length_offset: float,
) -> None:
    starts, ends, scores, groups = columns(rows)
    options = {"threshold": threshold, "arithmetic": arithmetic, "length_offset": length_offset}

    def one_group(ids: Ints) -> Ints:
        return ids[slow_hard(starts[ids], ends[ids], scores[ids], **options)]  # type: ignore[arg-type]

    expected = np.concatenate(per_group(groups, one_group))
    found = hard_nms(starts, ends, scores, groups, **options)  # type: ignore[arg-type]
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.7, 0.9, 0.9995])
@pytest.mark.parametrize("wave_pairs", [1, 500, 1 << 21])
def test_waves_and_chunks_do_not_change_the_result(
    threshold: float, wave_pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wtal_eval.nms, "_WAVE_PAIRS", wave_pairs)
    monkeypatch.setattr(wtal_eval.nms, "_CHUNK_PAIRS", 64)
    starts, ends, scores = random_segments(300, seed=1)
    found = hard_nms(starts, ends, scores, threshold=threshold)
    assert found.tolist() == slow_hard(starts, ends, scores, threshold)


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_finishing_one_by_one_does_not_change_the_result(
    rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wtal_eval.nms, "_GREEDY_ROUNDS", rounds)
    starts, ends, scores = random_segments(300, seed=2)
    found = hard_nms(starts, ends, scores, threshold=0.3)
    assert found.tolist() == slow_hard(starts, ends, scores, 0.3)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.3, 0.5, 0.7]))
def test_shift_and_scale_of_time_and_order_of_input_do_not_matter(
    seed: int, threshold: float
) -> None:
    starts, ends, scores = random_segments(80, seed, timeline_s=40)
    kept = hard_nms(starts, ends, scores, threshold=threshold)
    # Powers of two, and times on a fine binary grid, so that no rounding enters.
    starts, ends = np.round(starts * 2**20) / 2**20, np.round(ends * 2**20) / 2**20
    same = hard_nms(starts, ends, scores, threshold=threshold)
    assert same.tolist() == kept.tolist()
    for shift_s, scale in ((-512.0, 1.0), (0.0, 2.0**-30), (1024.0, 4.0)):
        moved = (starts + shift_s) * scale, (ends + shift_s) * scale
        assert hard_nms(*moved, scores, threshold=threshold).tolist() == kept.tolist()
    order = np.random.default_rng(seed).permutation(len(starts))
    shuffled = hard_nms(starts[order], ends[order], scores[order], threshold=threshold)
    assert order[shuffled].tolist() == kept.tolist()


def test_a_second_pass_removes_nothing() -> None:
    starts, ends, scores = random_segments(2000, seed=3)
    kept = hard_nms(starts, ends, scores, threshold=0.4)
    again = hard_nms(starts[kept], ends[kept], scores[kept], threshold=0.4)
    assert again.tolist() == list(range(len(kept)))


def test_many_groups_in_one_call_equal_one_call_each() -> None:
    starts, ends, scores = random_segments(3000, seed=4)
    groups = np.random.default_rng(4).geometric(0.05, 3000) * 1000
    found = hard_nms(starts, ends, scores, groups, threshold=0.5)

    def one_group(ids: Ints) -> Ints:
        return ids[hard_nms(starts[ids], ends[ids], scores[ids], threshold=0.5)]

    assert found.tolist() == np.concatenate(per_group(groups, one_group)).tolist()


def test_one_time_far_away_does_not_change_the_result() -> None:
    starts, ends, scores = random_segments(200, seed=5)
    for far_s in (1e9, 1e15):
        kept = hard_nms(
            np.append(starts, far_s),
            np.append(ends, far_s + 8),
            np.append(scores, 2),
            threshold=0.5,
        )
        assert kept.tolist() == [200, *slow_hard(starts, ends, scores, 0.5)]


# --- soft NMS


def test_each_method_lowers_the_score_by_its_formula() -> None:
    starts, ends, scores = [0, 0, 20], [10, 5, 30], [0.9, 0.8, 0.7]  # tIoU .5, 0
    cases: list[tuple[SoftMethod, dict[str, float], float]] = [
        ("gaussian", {"sigma": 0.5}, 0.8 * np.exp(-0.25 / 0.5)),
        ("gaussian", {"sigma": 0.1}, 0.8 * np.exp(-0.25 / 0.1)),
        ("linear", {"threshold": 0.5}, 0.8 * 0.5),
        ("linear", {"threshold": 0.51}, 0.8),
        ("bmn", {"t1": 0.3, "t2": 0.02}, 0.8 * np.exp(-0.25 / 0.5)),  # .3 + .02 * 10 s = .5
        ("bmn", {"t1": 0.3, "t2": 0.021}, 0.8),
    ]
    for method, options, expected in cases:
        ids, lowered = soft_nms(starts, ends, scores, method=method, **options)  # type: ignore[arg-type]
        assert sorted(ids.tolist()) == [0, 1, 2]
        assert lowered[ids.tolist().index(1)] == pytest.approx(expected, abs=1e-15)
        assert lowered[ids.tolist().index(2)] == 0.7
        assert np.all(np.diff(lowered) <= 0)


def test_bmn_measures_the_length_of_the_segment_taken() -> None:
    # The short one is taken first: .3 + .04 * 5 s = .5 is reached, from the long side it is not.
    options: dict[str, Any] = {"method": "bmn", "t1": 0.3, "t2": 0.04}
    assert soft_nms([0, 0], [5, 10], [0.9, 0.8], **options)[1][1] < 0.8
    assert soft_nms([0, 0], [10, 5], [0.9, 0.8], **options)[1][1] == 0.8


def test_an_exact_duplicate_vanishes_under_the_linear_rule() -> None:
    ids, lowered = soft_nms([0, 0], [4, 4], [0.9, 0.8], method="linear")
    assert (ids.tolist(), lowered.tolist()) == ([0], [0.9])


def test_the_best_of_a_group_is_taken_even_below_the_smallest_score() -> None:
    ids, lowered = soft_nms([0, 50], [1, 51], [1e-5, 1e-6], min_score=0.001)
    assert (ids.tolist(), lowered.tolist()) == ([0], [1e-5])
    assert soft_nms([0, 50], [1, 51], [-0.5, -0.5])[0].tolist() == [0]


def test_scores_are_lowered_before_they_are_compared_with_the_smallest() -> None:
    # -1.2 * .2 is above -1; without an overlap -1.2 is below.
    options: dict[str, Any] = {"method": "linear", "min_score": -1.0}
    assert soft_nms([0, 0], [5, 4], [0.9, -1.2], **options)[0].tolist() == [0, 1]
    assert soft_nms([0, 9], [5, 13], [0.9, -1.2], **options)[0].tolist() == [0]


def test_soft_ties_go_to_the_earlier_in_the_input() -> None:
    n = 100  # several blocks, in reversed order of time
    starts = np.arange(n, 0, -1) * 10.0
    assert soft_nms(starts, starts + 1, np.full(n, 0.5))[0].tolist() == list(range(n))


def test_zero_length_segments_keep_their_scores() -> None:
    for method in ("gaussian", "linear", "bmn"):
        ids, lowered = soft_nms([3, 3, 2], [3, 3, 4], [0.4, 0.3, 0.5], method=method)
        assert (ids.tolist(), lowered.tolist()) == ([2, 0, 1], [0.5, 0.4, 0.3])


@settings(max_examples=300, deadline=None)
@given(
    segments,
    arithmetics,
    st.sampled_from(["gaussian", "linear", "bmn"]),
    thresholds,
    st.sampled_from([0.001, 0.3, -1.0]),
    st.sampled_from([None, 1, 3]),
)
def test_soft_nms_equals_the_one_by_one_rule(
    rows: list[tuple[float, float, float, int]],
    arithmetic: Arithmetic,
    method: SoftMethod,
    threshold: float,
    min_score: float,
    max_num: int | None,
) -> None:
    starts, ends, scores, groups = columns(rows)
    options: dict[str, Any] = {"method": method, "threshold": threshold, "min_score": min_score}
    options |= {"sigma": 0.4, "t1": 0.2, "t2": 0.05}

    def one_group(ids: Ints) -> tuple[Ints, list[float]]:
        taken, lowered = slow_soft(starts[ids], ends[ids], scores[ids], arithmetic, **options)
        return ids[taken[:max_num]], lowered[:max_num]

    expected = per_group(groups, one_group)
    ids, lowered = soft_nms(
        starts, ends, scores, groups, **options, max_num=max_num, arithmetic=arithmetic
    )
    assert ids.tolist() == np.concatenate([ids for ids, _ in expected]).tolist()
    assert lowered.tolist() == [score for _, scores in expected for score in scores]


def test_many_soft_groups_in_one_call_equal_one_call_each() -> None:
    starts, ends, scores = random_segments(2000, seed=6)
    groups = np.random.default_rng(6).geometric(0.02, 2000)
    ids, lowered = soft_nms(starts, ends, scores, groups)
    each = per_group(groups, lambda ids: (ids, *soft_nms(starts[ids], ends[ids], scores[ids])))
    assert ids.tolist() == np.concatenate([members[taken] for members, taken, _ in each]).tolist()
    assert lowered.tolist() == np.concatenate([scores for _, _, scores in each]).tolist()


def test_a_cap_cuts_the_list_and_changes_nothing_before() -> None:
    starts, ends, scores = random_segments(500, seed=7)
    ids, lowered = soft_nms(starts, ends, scores)
    for cap in (1, 10, 10**6):
        first, few = soft_nms(starts, ends, scores, max_num=cap)
        assert first.tolist() == ids[:cap].tolist()
        assert few.tolist() == lowered[:cap].tolist()


# --- wrong input


@pytest.mark.parametrize("nms", [functools.partial(hard_nms, threshold=0.5), soft_nms])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([0, 1], [1], [1, 1]), r"ends has shape \(1,\); expected \(2,\)"),
        (([0, 1], [1, 2], [1]), r"scores has shape \(1,\)"),
        (([0, 1], [1, 2], [1, 1], [0]), r"groups has shape \(1,\)"),
        (([[0, 1]], [[1, 2]], [[1, 1]]), r"starts has shape \(1, 2\)"),
        (([0, np.nan], [1, 2], [1, 1]), r"starts\[1\] is nan; expected a finite float64"),
        (([0, 1], [1, np.inf], [1, 1]), r"ends\[1\] is inf"),
        (([0, 1], [1, 2], [np.nan, 1]), r"scores\[0\] is nan"),
        (([0, 3], [1, 2], [1, 1]), r"Segment 1 ends at 2\.0 s, before its start at 3\.0 s"),
        (([0, 1], [1, 2], [1, 1], [0.5, 1.0]), r"groups has dtype float64; expected integer"),
    ],
)
def test_wrong_columns_are_refused(nms: Any, columns: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nms(*columns)


@pytest.mark.parametrize("threshold", [0, -0.5, 1.01, float("nan")])
def test_a_threshold_outside_its_range_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"threshold is .*; expected a tIoU in \(0, 1\]"):
        hard_nms([0], [1], [1], threshold=threshold)
    with pytest.raises(ValueError, match="threshold is"):
        soft_nms([0], [1], [1], threshold=threshold)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "hard"}, "method is 'hard'; expected 'gaussian', 'linear' or 'bmn'"),
        ({"arithmetic": "float16"}, "arithmetic is 'float16'; expected 'exact' or 'compiled'"),
        ({"sigma": 0}, "sigma is 0; expected a positive number"),
        ({"max_num": 0}, "max_num is 0; expected at least 1, or None"),
        ({"min_score": float("nan")}, "t1, t2, min_score are .*nan; expected finite"),
    ],
)
def test_wrong_soft_options_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        soft_nms([0], [1], [1], **options)


def test_wrong_hard_options_are_refused() -> None:
    with pytest.raises(ValueError, match="length_offset is -1; expected seconds, 0 or more"):
        hard_nms([0], [1], [1], threshold=0.5, length_offset=-1)
    with pytest.raises(ValueError, match=r"ends\[0\] is 1e\+39; expected a finite float32"):
        hard_nms([0], [1e39], [1], threshold=0.5, arithmetic="compiled")
    with pytest.raises(ValueError, match="arithmetic is 'fast'"):
        hard_nms([0], [1], [1], threshold=0.5, arithmetic="fast")  # type: ignore[arg-type]


# --- the worst inputs stay cheap: seconds and bytes are about ten times what was measured


N_WORST = 100_000


def worst_cases() -> dict[str, tuple[Floats, Floats, Floats, float, int]]:
    """Starts, ends, scores, threshold and how many are kept."""
    n, i = N_WORST, np.arange(N_WORST)
    zeros, scores = np.zeros(n), np.random.default_rng(0).permutation(n) / n
    first, last = np.triu_indices(448, 1)
    odd = i % 2 == 1
    return {
        "identical": (zeros, zeros + 10, scores, 0.5, 1),
        "identical, threshold 1": (zeros, zeros + 10, scores, 1.0, 1),
        "length zero": (zeros, zeros, scores, 0.5, n),
        # Each meets only its two neighbours, and the scores run down the chain.
        "chain": (i * 0.3, i * 0.3 + 1, -1.0 * i, 0.5, n // 2),
        # All the short ones lie inside the long ones and rank first.
        "short inside long": (
            np.where(odd, 0, i * 0.1),
            np.where(odd, 1e4, i * 0.1 + 0.1),
            np.where(odd, 0, 1) + scores,
            0.5,
            n // 2 + 1,
        ),
        "every pair of boundaries, ramp": (first, last, -1.0 * (first + last), 0.5, 956),
    }


@pytest.mark.parametrize("name", worst_cases())
def test_a_hundred_thousand_awkward_segments_stay_cheap(name: str) -> None:
    starts, ends, scores, threshold, n_kept = worst_cases()[name]
    begin_s = time.process_time()
    kept = hard_nms(starts, ends, scores, threshold=threshold)
    assert time.process_time() - begin_s < 15
    assert len(kept) == n_kept


@pytest.mark.parametrize("name", ["identical", "every pair of boundaries, ramp"])
def test_memory_stays_within_the_documented_bound(name: str) -> None:
    starts, ends, scores, threshold, _ = worst_cases()[name]
    tracemalloc.start()
    try:
        hard_nms(starts, ends, scores, threshold=threshold)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 300 * N_WORST + 100e6


def test_soft_nms_of_many_tiny_groups_beside_a_large_one_stays_cheap() -> None:
    groups = np.append(np.arange(20_000), np.full(500, 20_000))
    starts, ends, scores = random_segments(len(groups), seed=8)
    begin_s = time.process_time()
    ids, _ = soft_nms(starts, ends, scores, groups)
    assert time.process_time() - begin_s < 5
    assert ids[:20_000].tolist() == list(range(20_000))


# --- parity with public figures on a public file


class Proposals(NamedTuple):
    starts: Floats
    ends: Floats
    scores: Floats
    groups: Ints


@pytest.fixture(scope="module")
def pmil() -> Proposals:
    """31,587 raw proposals of a weakly supervised method: 212 videos, one group per class."""
    if not PMIL_FILE.is_file():
        pytest.skip("The P-MIL detections are not in the shared data folder; set WTAL_SHARED.")
    results = json.loads(PMIL_FILE.read_text(encoding="utf-8"))["results"]
    codes: dict[tuple[str, str], int] = {}
    rows = [
        (*row["segment"], row["score"], codes.setdefault((video, row["label"]), len(codes)))
        for video, detections in results.items()
        for row in detections
    ]
    starts, ends, scores, groups = (np.array(column) for column in zip(*rows, strict=True))
    assert (len(results), len(starts)) == (212, 31_587)
    return Proposals(starts, ends, scores, groups)


@pytest.mark.parametrize(
    ("options", "n_kept"),
    [
        ({}, (6_684, 8_234, 8_664, 12_165)),
        ({"arithmetic": "compiled"}, (6_698, 8_233, 9_484, 12_182)),
        ({"length_offset": 1.0}, (5_944, 6_881, 7_396, 10_133)),
    ],
    ids=["exact", "compiled", "plus one"],
)
def test_hard_nms_keeps_the_published_numbers(
    pmil: Proposals, options: Any, n_kept: tuple[int, ...]
) -> None:
    found = [len(hard_nms(*pmil, threshold=t, **options)) for t in (0.3, 0.45, 0.5, 0.7)]
    assert tuple(found) == n_kept


@pytest.mark.parametrize("arithmetic", ["exact", "compiled"])
def test_hard_nms_keeps_the_ids_of_the_one_by_one_rule(
    pmil: Proposals, arithmetic: Arithmetic
) -> None:
    def one_group(ids: Ints) -> Ints:
        columns = pmil.starts[ids], pmil.ends[ids], pmil.scores[ids]
        return ids[slow_hard(*columns, 0.5, arithmetic)]

    expected = np.concatenate(per_group(pmil.groups, one_group))
    found = hard_nms(*pmil, threshold=0.5, arithmetic=arithmetic)
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("options", "n_kept"),
    [
        ({"sigma": 0.5}, 13_948),
        ({"sigma": 0.3}, 12_686),
        ({"method": "linear", "threshold": 0.5}, 13_685),
    ],
)
def test_soft_nms_keeps_the_published_numbers(pmil: Proposals, options: Any, n_kept: int) -> None:
    ids, lowered = soft_nms(*pmil, **options, min_score=0.001, arithmetic="compiled")
    assert len(ids) == n_kept
    assert np.unique(ids).size == n_kept

    def one_group(ids: Ints) -> tuple[Ints, list[float]]:
        columns = pmil.starts[ids], pmil.ends[ids], pmil.scores[ids]
        taken, scores = slow_soft(*columns, "compiled", **options)
        return ids[taken], scores

    expected = per_group(pmil.groups, one_group)
    assert ids.tolist() == np.concatenate([ids for ids, _ in expected]).tolist()
    assert lowered.tolist() == pytest.approx([x for _, xs in expected for x in xs], abs=1e-6)


@pytest.mark.parametrize("method", ["gaussian", "linear", "bmn"])
@pytest.mark.parametrize("arithmetic", ["exact", "compiled"])
@pytest.mark.parametrize("max_num", [None, 7])
def test_small_and_large_groups_are_decided_alike(
    method: SoftMethod, arithmetic: Arithmetic, max_num: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for N in (1, 40, 300):
        starts = np.round(rng.uniform(0, 30, N), 1)
        ends = starts + np.round(rng.exponential(2.0, N), 1)  # ties, duplicates, some of no length
        scores = np.round(rng.uniform(-0.1, 1, N), 2)
        groups = rng.integers(0, 3, N)
        found = []
        for small in (0, 100_000):
            monkeypatch.setattr(wtal_eval.soft_nms, "_SMALL_GROUP", small)
            found.append(
                soft_nms(
                    starts,
                    ends,
                    scores,
                    groups,
                    method=method,
                    t1=0.2,
                    t2=0.01,
                    max_num=max_num,
                    arithmetic=arithmetic,
                )
            )
        np.testing.assert_array_equal(found[0][0], found[1][0])
        np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-6)
