"""Learning rates, ranges, pieces of videos, and where random numbers come from."""

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from tests.features.pretraining_toys import FRAMES, VIDEOS, optim, toy_store
from wtal_features.errors import FeatureError
from wtal_features.methods.coclr import CoCLRConfig, MiningConfig
from wtal_features.methods.cvrl import CVRLConfig
from wtal_features.methods.infonce import InfoNCEConfig
from wtal_features.methods.networks import NetworkConfig
from wtal_features.methods.queued import QueueConfig
from wtal_features.methods.settings import ClipConfig, OptimConfig, RunConfig, differences
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.randomness import PURPOSES, generator_of
from wtal_features.pretraining.units import Unit, one_label, pieces, units_of

# Learning rates ----------------------------------------------------------------------------------


def test_the_rate_drops_to_a_tenth_from_each_share_of_the_run_on() -> None:
    config = optim(10, lr=1.0, drops=(0.5, 0.8))
    rates = [config.rate(step, 10) for step in range(10)]
    assert rates == pytest.approx([1.0] * 5 + [0.1] * 3 + [0.01] * 2)


def test_infonce_drops_at_epochs_250_and_280_of_300() -> None:
    config, epoch = InfoNCEConfig().optim, 149
    steps = config.total_steps(9_537)
    assert steps == 300 * epoch
    rates = [config.rate(step, steps) for step in (0, 250 * epoch - 1, 250 * epoch)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4])
    rates = [config.rate(step, steps) for step in (280 * epoch - 1, 280 * epoch, steps - 1)]
    assert rates == pytest.approx([1e-4, 1e-5, 1e-5])


def test_a_turn_of_coclr_drops_at_epoch_80_of_100() -> None:
    config = CoCLRConfig().cycle
    assert config.total_steps(640) == 1000
    assert [config.rate(step, 1000) for step in (799, 800)] == pytest.approx([1e-3, 1e-4])


def test_cvrl_warms_up_in_a_line_from_0_and_comes_down_in_a_cosine() -> None:
    config, steps, warm = CVRLConfig().optim, 71_488, 1_787
    for step in (0, 1, 900, 1_786):
        assert config.rate(step, steps) == pytest.approx(0.32 * step / warm)
    for step in (1_787, 20_000, 71_487):
        share = (step - warm) / (steps - warm)
        expected = 0.32 * (1 + math.cos(math.pi * share)) / 2
        assert config.rate(step, steps) == pytest.approx(expected)


@pytest.mark.parametrize("steps", [1, 2, 3, 50, 1000])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 1.0])
def test_no_step_but_the_first_of_a_warm_up_is_taken_at_rate_0(steps: int, warmup: float) -> None:
    config = optim(steps, schedule="cosine", warmup=warmup, warmup_from=0.01)
    rates = [config.rate(step, steps) for step in range(steps)]
    assert min(rates) > 0
    assert max(rates) <= config.peak_rate()
    assert rates[-1] > 0


def test_a_warm_up_begins_at_its_share_of_the_highest_rate() -> None:
    config = optim(10, lr=2.0, warmup=0.5, warmup_from=0.1)
    rates = [config.rate(step, 10) for step in range(10)]
    assert rates == pytest.approx([0.2, 0.56, 0.92, 1.28, 1.64] + [2.0] * 5)


def test_the_rate_grows_with_the_batch_where_it_is_meant_for_another() -> None:
    assert CVRLConfig().optim.peak_rate() == 0.32
    assert OptimConfig(1, batch=256, lr=0.32, lr_batch=1024).peak_rate() == pytest.approx(0.08)
    assert OptimConfig(1, batch=256, lr=0.32).peak_rate() == 0.32


def test_an_epoch_is_a_step_at_least_and_steps_come_before_epochs() -> None:
    config = OptimConfig(epochs=3, batch=4)
    assert [config.total_steps(samples) for samples in (1, 4, 7, 8)] == [3, 3, 3, 6]
    assert OptimConfig(epochs=3, steps=5, batch=4).total_steps(8) == 5


# Ranges ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ClipConfig(0, 1, 32), "frames is 0; expected at least 1"),
        (lambda: ClipConfig(8, 0, 32), "every is 0"),
        (lambda: ClipConfig(8, 1, 7), "size is 7; expected at least 8"),
        (lambda: ClipConfig(8, 1, 32, colour=1.5), "colour is 1.5; expected 0 to 1"),
        (lambda: ClipConfig(8, 1, 32, piece_s=0), "piece_s is 0; expected seconds above 0"),
        (lambda: ClipConfig(8, 1, 32, piece_s=math.inf), "piece_s is inf"),
        (lambda: ClipConfig(8, 1, 32, piece_s=math.nan), "piece_s is nan"),
        (lambda: OptimConfig(0), "epochs is 0"),
        (lambda: OptimConfig(1, batch=0), "batch is 0"),
        (lambda: OptimConfig(1, steps=0), "steps is 0"),
        (lambda: OptimConfig(1, lr=math.nan), "lr is nan; expected 0 or more"),
        (lambda: OptimConfig(1, weight_decay=-1), "weight_decay is -1"),
        (lambda: OptimConfig(1, drops=(0.5, 2)), "drops is .* shares of the run"),
        (lambda: OptimConfig(1, warmup=1.1), "warmup is 1.1"),
        (lambda: OptimConfig(1, warmup_from=-0.1), "warmup_from is -0.1"),
        (lambda: OptimConfig(1, clip_norm=0), "clip_norm is 0; expected above 0, or off"),
        (lambda: OptimConfig(1, lr_batch=0), "lr_batch is 0; expected above 0, or fixed"),
        (lambda: RunConfig(seed=-1), "seed is -1"),
        (lambda: RunConfig(loaders=-1), "loaders is -1"),
        (lambda: RunConfig(save_every=0), "save_every is 0"),
        (lambda: RunConfig(log_every=0), "log_every is 0"),
        (lambda: NetworkConfig("s3d", 0), "width is 0"),
        (lambda: NetworkConfig("s4d"), "no network 's4d'; expected one of s3d"),
        (lambda: QueueConfig(dim=0), "dim is 0"),
        (lambda: QueueConfig(temperature=0), "temperature is 0"),
        (lambda: QueueConfig(momentum=1.1), "momentum is 1.1"),
        (lambda: MiningConfig(top=-1), "top is -1"),
        (lambda: MiningConfig(drop_own=2), "drop_own is 2"),
        (lambda: CoCLRConfig(cycles=0), "cycles is 0; .* infonce is without"),
        (lambda: CVRLConfig(power=0), "power is 0; expected above 0, or uniform"),
        (lambda: CVRLConfig(temperature=0), "temperature is 0"),
        (lambda: InfoNCEConfig(queue=QueueConfig(slots=100)), "queue of 100 keys, .* 64 at a time"),
        (lambda: CoCLRConfig(cycle=OptimConfig(1, batch=96)), "queue of 2048 keys"),
        (lambda: CoCLRConfig(init=OptimConfig(1, batch=96)), "queue of 2048 keys"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(FeatureError, match=sentence) as refused:
        make()
    assert refused.value.code == "option"


def test_two_configs_differ_in_the_keys_that_they_do_not_share() -> None:
    old = {"network": {"arch": "s3d", "width": 1.0}, "optim": {"lr": 1, "drops": [0.8]}, "seed": 0}
    new = {"network": {"arch": "s3d", "width": 0.5}, "optim": {"lr": 1, "drops": [0.9]}, "view": 1}
    assert differences(old, new) == ["network.width", "optim.drops", "seed", "view"]
    assert differences(old, old) == []
    assert differences({"a": {"b": 1}}, {"a": 1}) == ["a"]


# Pieces ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("N", "count"), [(1, 1), (149, 1), (150, 2), (250, 3), (1000, 10)])
def test_a_video_is_cut_into_equal_pieces_of_about_the_length(N: int, count: int) -> None:
    found = pieces(N, Fraction(25), 4.0)
    assert len(found) == count
    assert (found[0][0], found[-1][1]) == (0, N)
    assert all(one[1] == other[0] for one, other in pairwise(found))
    lengths = [stop - start for start, stop in found]
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("piece_s", [0.001, 0.05, 1e-12])
def test_no_piece_is_shorter_than_a_frame(piece_s: float) -> None:
    assert pieces(3, Fraction(10), piece_s) == [(0, 1), (1, 2), (2, 3)]


def test_a_whole_video_is_one_piece() -> None:
    assert pieces(10**6, Fraction(25), "whole") == [(0, 10**6)]


def of_store(
    tmp_path: Path, piece_s: float | Literal["whole"], shortest: int, **labels: tuple[int, ...]
) -> list[Unit]:
    def usable(store: ClipStore, unit: Unit) -> bool:
        return unit.frames >= shortest

    store = toy_store(tmp_path / "clips")
    return units_of(store, store.videos, piece_s, usable, labels)


def test_pieces_of_a_video_share_its_number_and_its_labels(tmp_path: Path) -> None:
    units = of_store(tmp_path, 0.4, 10, v0001=(2, 5))
    assert len(units) == 2 * VIDEOS
    assert [(u.start, u.stop, u.source, u.labels) for u in units[:4]] == [
        (0, 10, 0, ()),
        (10, 20, 0, ()),
        (0, 10, 1, (2, 5)),
        (10, 20, 1, (2, 5)),
    ]


def test_pieces_that_the_method_cannot_use_are_left_out(tmp_path: Path) -> None:
    assert len(of_store(tmp_path, "whole", FRAMES)) == VIDEOS
    with pytest.raises(FeatureError, match="None of 8 pieces of 8 videos can be used") as refused:
        of_store(tmp_path, "whole", FRAMES + 1)
    assert refused.value.code == "too-short"


def test_one_of_several_labels_is_drawn_and_none_is_unknown() -> None:
    unit = Unit("v", 0, 8, 0, (3, 7))
    assert one_label(unit, lambda count: 0) == 3
    assert one_label(unit, lambda count: count - 1) == 7
    assert one_label(Unit("v", 0, 8, 0), lambda count: 0) == -1


# Random numbers ----------------------------------------------------------------------------------


def numbers(generator: torch.Generator) -> list[float]:
    found: list[float] = torch.rand(4, generator=generator).tolist()
    return found


def test_a_place_has_the_same_random_numbers_again_and_no_other_has_them() -> None:
    places = [
        (seed, purpose, place)
        for seed in (0, 1)
        for purpose in PURPOSES
        for place in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0))
    ]
    found = [numbers(generator_of(seed, purpose, *place)) for seed, purpose, place in places]
    assert len({tuple(each) for each in found}) == len(places)
    assert found == [numbers(generator_of(s, purpose, *place)) for s, purpose, place in places]
