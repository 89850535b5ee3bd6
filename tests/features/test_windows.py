"""Which grid frames a clip covers, and which snippets it stands for."""

from collections.abc import Iterator
from itertools import product
from math import floor

import pytest

from wtal_features.clips import ClipSpec
from wtal_features.video.windows import (
    ClipPlan,
    dense_plan,
    positions,
    snippets_of,
    window_plan,
)

S = 16  # stride


def window(n: int, r: int, s: int = S) -> ClipPlan:
    return window_plan(ClipSpec(n, r, "rgb"), s)


def dense(n: int, r: int, s: int, margin: int) -> ClipPlan:
    return dense_plan(ClipSpec(n, r, "rgb"), s, margin)


def plans() -> Iterator[ClipPlan]:
    """Windows and dense plans, also such that leave frames out or overlap."""
    for n, r, s in product((1, 2, 3, 5, 8, 16), (1, 2, 3, 7), (1, 3, 4, 16)):
        yield window(n, r, s)
        for margin in (0, 1, 5, 100):
            yield dense(n, r, s, margin)


@pytest.mark.parametrize(
    ("n", "r", "first"),
    [(16, 1, 0), (32, 1, -8), (16, 2, -8), (32, 2, -24), (16, 4, -23), (64, 1, -24)],
)
def test_first_frames_are_those_of_the_table(n: int, r: int, first: int) -> None:
    plan = window(n, r)
    assert [plan.start(t) for t in range(4)] == [16 * t + first for t in range(4)]


def test_a_window_is_centred_on_its_snippet() -> None:
    for n, r, s in product(range(1, 20), range(1, 5), range(1, 20)):
        plan = window(n, r, s)
        for t in range(3):
            assert plan.start(t) == floor(t * s + s / 2 - plan.clip.span / 2)


def test_a_window_stands_for_one_snippet() -> None:
    for N in range(1, 70):
        plan = window(16, 2)
        assert plan.count(N) == snippets_of(N, S)
        assert all(plan.snippets(j, N) == 1 for j in range(plan.count(N)))


def test_there_are_as_many_snippets_as_whole_strides_but_at_least_one() -> None:
    assert [snippets_of(N, S) for N in (1, 15, 16, 31, 32, 33, 160)] == [1, 1, 1, 1, 2, 2, 10]


def test_edge_frames_repeat() -> None:
    plan = window(16, 4)  # span 61, from -23 on
    N = 40
    assert plan.indices(0, N) == [0] * 6 + [1, 5, 9, 13, 17, 21, 25, 29, 33, 37]
    assert plan.indices(1, N) == [0] * 2 + [1, 5, 9, 13, 17, 21, 25, 29, 33, 37] + [39] * 4


def test_a_video_of_one_frame_is_a_clip_of_that_frame() -> None:
    for plan in plans():
        assert plan.count(1) == 1
        assert plan.indices(0, 1) == [0] * plan.clip.frames
        assert plan.snippets(0, 1) == 1


def test_a_video_shorter_than_a_clip_is_repeated_at_its_edges() -> None:
    assert window(16, 1).indices(0, 3) == [0, 1] + [2] * 14
    assert window(32, 1).indices(0, 20) == [0] * 8 + list(range(20)) + [19] * 4


def test_every_frame_that_a_clip_shows_is_wanted_or_an_edge() -> None:
    for plan in plans():
        wanted = plan.wanted()
        for N in (1, 2, 7, 16, 33, 95):
            for j in range(plan.count(N)):
                inside = [k for k in plan.indices(j, N) if 0 < k < N - 1]
                assert all(k % plan.hop in wanted for k in inside)


def test_no_frame_is_wanted_that_no_clip_shows() -> None:
    for plan in plans():
        N = 6 * (plan.hop + plan.clip.span)
        shown = {k for j in range(plan.count(N)) for k in plan.indices(j, N)}
        middle = range(N // 2, N // 2 + plan.hop)
        assert {k % plan.hop for k in middle if k in shown} == plan.wanted()


def test_every_snippet_belongs_to_exactly_one_clip() -> None:
    for plan in plans():
        for N in (1, 2, 15, 16, 17, 40, 77, 200):
            own = [plan.snippets(j, N) for j in range(plan.count(N))]
            assert sum(own) == snippets_of(N, plan.stride)
            assert min(own) >= 1
            assert set(own[:-1]) <= {plan.hop // plan.stride}


def test_a_dense_clip_covers_its_own_range_and_the_margin_around_it() -> None:
    for n, r, s, margin in product((8, 16, 61, 64), (1, 2), (1, 4, 16), (0, 3, 8)):
        plan = dense(n, r, s, margin)
        assert plan.hop % s == 0
        assert plan.hop >= s
        if plan.clip.span < s + 2 * margin:  # no room: the range comes first
            continue
        for j in range(4):
            assert plan.start(j) <= j * plan.hop - margin
            assert plan.last(j) >= (j + 1) * plan.hop - 1 + margin


def test_a_dense_clip_steps_as_far_as_its_margins_allow() -> None:
    assert dense(64, 1, 16, 8).hop == 48
    assert dense(64, 1, 16, 9).hop == 32
    assert dense(16, 1, 16, 0).hop == 16
    assert dense(4, 1, 16, 0).hop == 16


def test_the_number_of_clips_never_shrinks_as_a_video_grows() -> None:
    for plan in plans():
        counts = [plan.count(N) for N in range(1, 120)]
        assert counts == sorted(counts)


def test_a_longer_video_has_the_same_clips_inside() -> None:
    for plan in plans():
        long = 6 * plan.hop + plan.clip.span
        for j in range(plan.count(long)):
            if plan.last(j) < long:
                assert plan.indices(j, long) == plan.indices(j, 10 * long)


def test_time_positions_lie_amid_equal_parts_of_the_span() -> None:
    plan = window(32, 1)  # from -8 to 23
    assert positions(plan, 0, 4) == [-4, 4, 12, 20]
    assert positions(plan, 1, 4) == [12, 20, 28, 36]
    assert positions(plan, 0, 1) == [8]
