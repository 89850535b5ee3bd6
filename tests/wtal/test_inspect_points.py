"""Which snippets of a map are action, which are left out, and how the sample is drawn."""

import numpy as np
import pytest

from wtal.errors import WtalError
from wtal.inspection.points import (
    BACKGROUND,
    LEFT_OUT,
    fair_shares,
    label_snippets,
    sample,
)

CLASSES = ("Jump", "Run")


def test_snippets_beside_a_border_are_left_out_on_both_sides() -> None:
    labels = label_snippets(8, 0.64, [("Run", 2 * 0.64, 6 * 0.64)], CLASSES)
    assert labels.tolist() == [-1, -2, -2, 1, 1, -2, -2, -1]


def test_a_border_within_a_snippet_leaves_out_that_snippet() -> None:
    labels = label_snippets(6, 1.0, [("Jump", 2.5, 20.0)], CLASSES)
    assert labels.tolist() == [-1, -1, -2, 0, 0, 0]


@pytest.mark.parametrize("other", ["Jump", "Ambiguous"])
@pytest.mark.parametrize("turned", [False, True])
def test_two_classes_at_once_or_an_unknown_one_are_left_out(other: str, turned: bool) -> None:
    segments = [("Run", -9.0, 99.0), (other, -9.0, 99.0)]
    labels = label_snippets(3, 1.0, segments[::-1] if turned else segments, CLASSES)
    assert set(labels.tolist()) == {LEFT_OUT}


def test_segments_of_one_class_may_overlap() -> None:
    assert label_snippets(2, 1.0, [("Run", -9.0, 99.0)] * 2, CLASSES).tolist() == [1, 1]


def test_shares_differ_only_where_a_group_has_no_more() -> None:
    assert fair_shares(np.array([5, 0, 2, 9]), 12).tolist() == [5, 0, 2, 5]
    assert fair_shares(np.array([5, 5]), 100).tolist() == [5, 5]
    assert fair_shares(np.empty(0, int), 3).tolist() == []


def pools() -> dict[str, np.ndarray]:
    """Class 0 in two videos, class 1 in one that is long, and much background."""
    return {
        "a": np.array([0] * 20 + [BACKGROUND] * 100),
        "b": np.array([0] * 20 + [LEFT_OUT] * 7),
        "c": np.array([1] * 500 + [BACKGROUND] * 30),
    }


def test_the_sample_is_balanced_over_kinds_classes_and_videos() -> None:
    points = sample(pools(), 80, np.random.default_rng(0))
    assert len(points.class_N) == 80
    assert np.bincount(points.class_N + 1).tolist() == [40, 20, 20]
    assert np.bincount(points.video_N[points.class_N == 0]).tolist() == [10, 10]
    assert np.bincount(points.video_N[points.class_N == BACKGROUND]).tolist() == [20, 0, 20]


def test_every_point_is_drawn_once_and_is_what_its_video_says() -> None:
    points = sample(pools(), 60, np.random.default_rng(1))
    pairs = set(zip(points.video_N.tolist(), points.snippet_N.tolist(), strict=True))
    assert len(pairs) == len(points.class_N)
    for v, s, c in zip(*(part.tolist() for part in points[1:]), strict=True):
        assert pools()[points.videos[v]][s] == c


def test_the_seed_decides_the_sample_and_the_order_of_the_videos_does_not() -> None:
    turned = dict(reversed(pools().items()))
    first, same = (sample(each, 30, np.random.default_rng(5)) for each in (pools(), turned))
    other = sample(pools(), 30, np.random.default_rng(6))
    assert all(np.array_equal(a, b) for a, b in zip(first[1:], same[1:], strict=True))
    assert not np.array_equal(first.snippet_N, other.snippet_N)


def test_one_kind_alone_takes_all_the_points() -> None:
    points = sample({"a": np.zeros(9, int)}, 6, np.random.default_rng(0))
    assert points.class_N.tolist() == [0] * 6


def test_nothing_to_draw_is_said() -> None:
    with pytest.raises(WtalError, match="None of 1 videos has a snippet"):
        sample({"a": np.full(3, LEFT_OUT)}, 6, np.random.default_rng(0))
