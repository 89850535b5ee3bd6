"""Where in a video training clips lie: the rules of CoCLR, CVRL and CMD."""

import math
from collections import Counter
from itertools import pairwise

import pytest
import torch

from wtal_features.errors import FeatureError
from wtal_features.pretraining.sampling import (
    CmdSampler,
    coclr_clip,
    coclr_usable,
    cvrl_clips,
    interval_share,
    padded_left,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# CoCLR -------------------------------------------------------------------------------------------


def test_ucf_keeps_videos_over_half_a_clip_and_kinetics_over_a_whole_one() -> None:
    assert [coclr_usable(N) for N in (17, 18, 33, 34)] == [False, True, True, True]
    assert [coclr_usable(N, whole=True) for N in (17, 33, 34)] == [False, False, True]


def test_a_short_video_is_padded_on_the_left_with_its_first_frame() -> None:
    assert coclr_clip(30, generator()) == [0, 0, *range(30)]
    assert coclr_clip(32, generator()) == list(range(32))
    assert coclr_clip(1, generator()) == [0] * 32
    assert padded_left([], 2) == [0, 0]


def test_a_clip_is_32_frames_in_a_row() -> None:
    clip = coclr_clip(300, generator())
    assert clip == list(range(clip[0], clip[0] + 32))


def test_starts_are_uniform_and_never_reach_the_last_frame() -> None:
    g = generator()
    starts = Counter(coclr_clip(37, g)[0] for _ in range(5000))
    assert sorted(starts) == [0, 1, 2, 3, 4]  # 0..N - 33
    assert all(abs(count - 1000) < 150 for count in starts.values())
    assert {coclr_clip(33, g)[0] for _ in range(20)} == {0}


@pytest.mark.parametrize("N", [1, 2, 3, 7, 8, 9, 20])
def test_spread_frames_stay_inside_the_video(N: int) -> None:
    g = generator()
    for _ in range(50):
        clip = coclr_clip(N, g, n=4, r=2)
        assert len(clip) == 4
        assert 0 <= min(clip) <= max(clip) < N
        assert set(map(int.__sub__, clip[1:], clip)) <= {0, 1, 2}


def test_the_same_state_gives_the_same_clips() -> None:
    assert coclr_clip(300, generator(5)) == coclr_clip(300, generator(5))
    assert cvrl_clips(300, generator(5)) == cvrl_clips(300, generator(5))


# CVRL --------------------------------------------------------------------------------------------


def cdf(x: float, p: float) -> float:
    return ((p + 1) * x - math.pow(x, p + 1)) / p


def shares(count: int, power: float) -> torch.Tensor:
    u = torch.rand(count, generator=generator(), dtype=torch.float64)
    return torch.tensor([interval_share(value, power) for value in u.tolist()])


@pytest.mark.parametrize("p", [0.1, 0.5, 1.0, 2.0, 7.0, 60.0])
def test_the_interval_is_the_inverse_of_its_distribution(p: float) -> None:
    for u in (0.0, 1e-9, 0.1, 0.4375, 0.75, 0.999, 1 - 1e-9):
        x = interval_share(u, p)
        assert 0 <= x < 1
        assert cdf(x, p) == pytest.approx(u, abs=1e-12)


def test_the_closed_form_is_what_halving_finds() -> None:
    for u in (0.0, 0.1, 0.5, 0.9, 0.999):
        assert interval_share(u) == pytest.approx(interval_share(u, 1 + 1e-9), abs=1e-6)


def test_cvrls_intervals_are_distributed_as_in_the_paper() -> None:
    x = shares(100_000, 1.0)
    assert cdf(0.25, 1) == 0.4375
    assert cdf(0.5, 1) == 0.75
    assert x.mean() == pytest.approx(1 / 3, abs=0.005)
    assert x.std() == pytest.approx(1 / math.sqrt(18), abs=0.005)
    assert x.median() == pytest.approx(0.2929, abs=0.005)
    assert (x < 0.25).double().mean() == pytest.approx(0.4375, abs=0.005)
    assert (x < 0.5).double().mean() == pytest.approx(0.75, abs=0.005)


@pytest.mark.parametrize("p", [0.5, 3.0])
def test_other_powers_have_their_mean(p: float) -> None:
    assert shares(5000, p).mean() == pytest.approx((p + 1) / (2 * (p + 2)), abs=0.012)


def test_an_infinite_power_is_uniform() -> None:
    assert interval_share(0.3, math.inf) == 0.3
    assert shares(20_000, math.inf).mean() == pytest.approx(0.5, abs=0.01)


def test_a_whole_interval_is_the_floor_of_the_closed_form() -> None:
    """The public code bisects over whole frames for the last k with F(k) <= u."""
    room = 170
    for u in torch.rand(300, generator=generator(), dtype=torch.float64).tolist():
        bisected = max(k for k in range(room) if cdf(k / room, 1) <= u)
        assert math.floor(room * interval_share(u)) == bisected


def test_whole_intervals_are_half_a_frame_shorter_on_average() -> None:
    g = generator()
    gaps = [abs(one[0] - other[0]) for one, other in (cvrl_clips(330, g) for _ in range(10_000))]
    assert sum(gaps) / len(gaps) == pytest.approx(300 / 3 - 0.5, abs=2)


@pytest.mark.parametrize("power", [0.0, -1.0, math.nan])
def test_a_power_that_is_not_above_zero_is_refused(power: float) -> None:
    with pytest.raises(FeatureError, match=r"has power .*; expected a number above 0"):
        interval_share(0.5, power)


@pytest.mark.parametrize("N", [1, 17, 30, 31, 32, 300])
def test_both_clips_lie_in_the_video(N: int) -> None:
    g = generator()
    for _ in range(200):
        for clip in cvrl_clips(N, g):
            assert len(clip) == 16
            assert 0 <= min(clip) <= max(clip) < N
            assert all((later - k) % N == 2 % N for k, later in pairwise(clip))


def test_a_video_of_31_frames_has_one_place_for_both() -> None:
    one, other = cvrl_clips(31, generator())
    assert one == other == list(range(0, 31, 2))


def test_a_video_of_30_frames_is_repeated() -> None:
    g = generator()
    starts = Counter(clip[0] for _ in range(3000) for clip in cvrl_clips(30, g))
    assert sorted(starts) == list(range(30))
    assert all(abs(count - 200) < 80 for count in starts.values())


def test_either_clip_is_the_earlier_one() -> None:
    g = generator()
    pairs = [cvrl_clips(300, g) for _ in range(2000)]
    earlier = sum(one[0] < other[0] for one, other in pairs)
    later = sum(one[0] > other[0] for one, other in pairs)
    assert abs(earlier - later) < 150


def test_the_first_start_is_uniform_where_the_interval_leaves_room() -> None:
    g = generator()
    pairs = [cvrl_clips(34, g) for _ in range(8000)]  # room for starts 0..3
    starts = Counter(tuple(sorted((one[0], other[0]))) for one, other in pairs)
    for gap, share in enumerate((7, 5, 3, 1)):  # F of quarters, in sixteenths
        places = 4 - gap
        for first in range(places):
            expected = 8000 * share / 16 / places
            assert starts[first, first + gap] == pytest.approx(expected, abs=5 * expected**0.5)


# CMD ---------------------------------------------------------------------------------------------


def test_cmd_needs_71_frames() -> None:
    assert CmdSampler().shortest == 71
    with pytest.raises(FeatureError, match="A video of 70 frames with 1 I-frames; expected at"):
        CmdSampler().draw(70, [0], generator())


def test_in_the_shortest_video_every_window_is_known() -> None:
    drawn = CmdSampler().draw(71, [0, 66, 70], generator())
    assert drawn.clip == list(range(0, 61, 4))
    assert drawn.target == list(range(63, 71))
    assert drawn.i_frame in (0, 66) or not drawn.near
    assert all(other[-1] < 63 for other in drawn.others)


def test_the_target_starts_three_frames_after_the_clip() -> None:
    g = generator()
    for _ in range(200):
        drawn = CmdSampler().draw(150, [0], g)
        assert len(drawn.clip) == 16
        assert drawn.clip[-1] - drawn.clip[0] == 60
        assert drawn.target == list(range(drawn.clip[-1] + 3, drawn.clip[-1] + 11))
        assert drawn.target[-1] < 150


def test_cmds_starts_are_uniform() -> None:
    g = generator()
    starts = Counter(CmdSampler().draw(74, [0], g).clip[0] for _ in range(4000))
    assert sorted(starts) == [0, 1, 2, 3]
    assert all(abs(count - 1000) < 150 for count in starts.values())


def test_negatives_are_different_windows_beside_the_target() -> None:
    g = generator()
    for _ in range(300):
        drawn = CmdSampler().draw(160, [0], g)
        assert len({other[0] for other in drawn.others}) == 3
        for other in drawn.others:
            assert other == list(range(other[0], other[0] + 8))
            assert 0 <= other[0] < 153
            assert not set(other) & set(drawn.target)


def test_negatives_may_touch_the_target_on_both_sides() -> None:
    sampler = CmdSampler(n=1, r=1, gap=0, future=2, negatives=1)
    g = generator()
    found = {
        (drawn.target[0], drawn.others[0][0])
        for drawn in (sampler.draw(6, [0], g) for _ in range(2000))
    }
    starts = range(5)
    allowed = {(t, k) for t in (1, 2, 3, 4) for k in starts if k + 1 < t or k > t + 1}
    assert found == allowed


def test_where_too_few_windows_are_left_they_repeat() -> None:
    sampler = CmdSampler(n=1, r=1, gap=1, future=2, negatives=3)
    drawn = sampler.draw(4, [0], generator())
    assert drawn.target == [2, 3]
    assert drawn.others == [[0, 1]] * 3
    with pytest.raises(FeatureError, match="no motion besides"):
        CmdSampler(n=1, r=1, gap=0, future=2).draw(3, [0], generator())


def test_the_i_frame_lies_within_five_frames_of_the_clip() -> None:
    g = generator()
    found = {
        (drawn.clip[0], drawn.i_frame)
        for drawn in (CmdSampler().draw(72, [0, 5, 65, 66, 67, 71], g) for _ in range(500))
        if drawn.near
    }
    assert found == {(0, 0), (0, 5), (0, 65), (1, 0), (1, 5), (1, 65), (1, 66)}


def test_without_one_nearby_the_nearest_is_taken_and_said() -> None:
    sampler = CmdSampler(n=2, r=2, gap=0, future=2, margin=0)
    g = generator()
    for _ in range(50):
        drawn = sampler.draw(40, [10, 20], g)
        low, high = drawn.clip[0], drawn.clip[-1]
        distance = {k: max(low - k, k - high) for k in (10, 20)}
        assert drawn.near is (min(distance.values()) <= 0)
        assert distance[drawn.i_frame] == min(distance.values())


def test_a_video_without_i_frames_is_refused() -> None:
    with pytest.raises(FeatureError, match="with 0 I-frames"):
        CmdSampler().draw(100, [], generator())
