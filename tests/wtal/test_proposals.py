"""Normalising, upsampling and grouping, by hand and against an obvious loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wtal.proposals import normalise, propose, upsample

THRESHOLDS = (0.0, 0.1, 0.5)


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, 1)


def obvious(
    curve_CP: np.ndarray, thresholds: tuple[float, ...], margin: float, after: bool
) -> list[tuple[int, int, int, float]]:
    """One point, one run, one class and one threshold at a time."""
    found = []
    for threshold in thresholds:
        for c, curve_P in enumerate(curve_CP):
            points = [p for p, x in enumerate(curve_P) if x >= np.float32(threshold) and x > 0]
            runs: list[list[int]] = []
            for p in points:
                if runs and runs[-1][-1] == p - 1:
                    runs[-1].append(p)
                else:
                    runs.append([p])
            seen_P = [float(x) if not after or p in points else 0.0 for p, x in enumerate(curve_P)]
            for run in runs:
                left = max(0, int(run[0] - margin * len(run)))
                right = min(len(curve_P) - 1, int(run[-1] + margin * len(run)))
                outside = [*range(left, run[0]), *range(run[-1] + 1, right + 1)]
                inner = sum(seen_P[p] for p in run) / len(run)
                outer = sum(seen_P[p] for p in outside) / len(outside) if outside else 0.0
                found.append((c, run[0], run[-1] + 1, inner - outer))
    return found


@settings(max_examples=150, deadline=None)
@given(
    curves=st.integers(1, 3).flatmap(
        lambda C: st.lists(
            st.lists(
                st.sampled_from([-0.2, 0.0, 0.05, 0.1, 0.3, 0.5, 1.0]), min_size=C, max_size=C
            ),
            min_size=1,
            max_size=30,
        )
    ),
    margin=st.sampled_from([0.0, 0.25, 1.0]),
    after=st.booleans(),
)
def test_proposals_equal_an_obvious_loop(
    curves: list[list[float]], margin: float, after: bool
) -> None:
    curve_CP = np.array(curves, np.float32).T
    got = propose(curve_CP, THRESHOLDS, margin=margin, oic_after_threshold=after)
    expected = obvious(curve_CP, THRESHOLDS, margin, after)
    assert list(zip(*(x.tolist() for x in got[:3]), strict=True)) == [e[:3] for e in expected]
    np.testing.assert_allclose(got.scores_N, [e[3] for e in expected], atol=1e-6)


def test_a_plateau_is_one_run_per_threshold_with_its_contrast() -> None:
    curve_CP = column(0, 0, 0.2, 1, 1, 1, 1, 0.2, 0, 0).T
    found = propose(curve_CP, (0.1, 0.5), margin=0.25)
    assert found.starts_N.tolist() == [2, 3]
    assert found.ends_N.tolist() == [8, 7]
    # [2, 8) has one point of 0 on each side; [3, 7) has one of .2 on each side.
    np.testing.assert_allclose(found.scores_N, [4.4 / 6, 0.8], atol=1e-6)


def test_a_run_that_fills_the_video_has_no_outside() -> None:
    found = propose(np.ones((1, 5), np.float32), (0.5,), margin=0.25)
    assert (found.starts_N.item(), found.ends_N.item(), found.scores_N.item()) == (0, 5, 1.0)


def test_thresholding_before_the_contrast_hides_the_outside() -> None:
    curve_CP = column(0.4, 0.4, 1, 1, 1, 1, 0.4, 0.4).T
    before = propose(curve_CP, (0.5,), margin=0.25).scores_N
    after = propose(curve_CP, (0.5,), margin=0.25, oic_after_threshold=True).scores_N
    np.testing.assert_allclose(before, 0.6, atol=1e-6)
    np.testing.assert_allclose(after, 1.0, atol=1e-6)


def test_nothing_above_zero_gives_no_proposal() -> None:
    assert len(propose(np.zeros((2, 7), np.float32), THRESHOLDS, margin=0.25).starts_N) == 0


def test_normalising_maps_the_positive_range_to_one_and_keeps_negatives_below_zero() -> None:
    np.testing.assert_allclose(normalise(column(-1, 0, 2, 4)), [[-0.25, 0, 0.5, 1]])
    np.testing.assert_allclose(normalise(column(1, 2, 3)), [[0, 0.5, 1]])


def test_a_class_that_is_never_above_zero_takes_its_plain_range_unless_skipped() -> None:
    np.testing.assert_allclose(normalise(column(-3, -2, -1)), [[0, 0.5, 1]])
    assert (normalise(column(-3, -2, -1), skip_flat=True) < 0).all()


def test_a_constant_class_does_not_divide_by_zero() -> None:
    assert normalise(column(2, 2)).tolist() == [[0, 0]]


def test_each_class_is_normalised_alone() -> None:
    cas_TC = np.array([[0, 10], [1, 30]], np.float32)
    np.testing.assert_allclose(normalise(cas_TC), [[0, 1], [0, 1]])


def test_points_read_the_line_between_bin_centres_and_are_held_at_the_ends() -> None:
    curve = upsample(np.array([[0, 1, 2]], np.float32), 2)
    np.testing.assert_allclose(curve, [[0, 0.25, 0.75, 1.25, 1.75, 2]])


def test_left_edges_start_at_the_bin_and_extrapolate_past_the_last() -> None:
    curve = upsample(np.array([[0, 1, 2]], np.float32), 2, left_edge=True)
    np.testing.assert_allclose(curve, [[0, 0.5, 1, 1.5, 2, 2.5]])


@pytest.mark.parametrize("left_edge", [False, True])
def test_one_bin_is_repeated(left_edge: bool) -> None:
    assert upsample(np.array([[3]], np.float32), 4, left_edge=left_edge).tolist() == [[3] * 4]


def test_a_factor_of_one_changes_nothing() -> None:
    curve = np.array([[0, 1, 5]], np.float32)
    np.testing.assert_array_equal(upsample(curve, 1), curve)


@given(shift=st.integers(1, 6))
@settings(deadline=None)
def test_centred_upsampling_is_symmetric_in_time(shift: int) -> None:
    curve = np.random.default_rng(shift).random((1, 9)).astype(np.float32)
    np.testing.assert_allclose(
        upsample(curve, 24)[:, ::-1], upsample(curve[:, ::-1].copy(), 24), atol=1e-5
    )
