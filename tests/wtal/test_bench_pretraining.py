"""`wtal bench pretrain`: what stands beside a trained network is what it says."""

import json
from pathlib import Path

import pytest
import torch

from wtal.bench.pretraining import row
from wtal.bench.pretraining_settings import chance, quick_trials, trials
from wtal.bench.pretraining_trial import Toy, class_of, last_losses
from wtal.bench.rows import Plan
from wtal_features.methods.catalog import plan_of
from wtal_features.methods.networks import STREAMS
from wtal_features.methods.stages import EncoderExport
from wtal_features.pretraining.randomness import generator_of

SMALL = Toy(train=4, test=4, side=32, frames=12)


@pytest.mark.parametrize("name", ["infonce", "coclr", "cvrl, decreasing", "cmd, joint"])
def test_the_untrained_network_has_the_first_weights_of_the_run(name: str, tmp_path: Path) -> None:
    trial = quick_trials()[name]
    plan = plan_of(trial.method, trial.config, trial.toy.stores(tmp_path, 0)["train"])
    for number, view in enumerate(STREAMS if name == "coclr" else ["rgb"]):
        objective = plan.stages[number].build({}, generator_of(0, "weights", number))
        (export,) = objective.exports().values()
        assert isinstance(export, EncoderExport)
        alone = trial.config.network.build(view, generator_of(0, "weights", number))
        for one, other in zip(export.network.parameters(), alone.parameters(), strict=True):
            assert torch.equal(one, other)


def test_training_and_held_out_textures_differ_and_a_seed_gives_the_same_ones(
    tmp_path: Path,
) -> None:
    first, again = (SMALL.stores(tmp_path / place, 3) for place in "ab")
    shown = {name: store.frames("v0000", [0]) for name, store in first.items()}
    assert (again["train"].frames("v0000", [0]) == shown["train"]).all()
    assert (shown["train"] != shown["test"]).mean() > 0.9


def test_a_class_is_a_direction_or_a_direction_and_a_scene() -> None:
    assert [class_of(f"v{number:04d}", 4) for number in range(5)] == [0, 1, 2, 3, 0]
    toy = Toy(scenes=4)
    assert toy.classes == 16
    assert {class_of(f"v{number:04d}", toy.classes) for number in range(toy.train)} == {*range(16)}


def test_losses_at_the_end_are_of_the_last_stage_and_skip_steps_without(tmp_path: Path) -> None:
    lines = [{"stage": "a", "loss": 9.0}, {"stage": "b"}]
    lines += [{"stage": "b", "loss": loss} for loss in (1.0, 2.0)]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert dict(last_losses(path, ["loss"])) == {"loss": 1.5}


def test_a_row_has_means_and_the_deviation_of_the_paired_difference() -> None:
    plan = Plan(3, quick=True, machine="m", quiet=True)
    found = row(plan, "n", "share", [0.5, 0.6, 0.7], "untrained", [0.1, 0.2, 0.6])
    assert (found.value, found.reference_value) == pytest.approx((0.6, 0.3))
    assert found.reference == "untrained; sd 0.100 against 0.265, of the difference 0.173"
    assert found.spread == (0.5, 0.7)
    assert row(plan, "n", "nat", [1.0], "chance", 2.0).reference == "chance; sd -"


def test_chance_is_the_loss_of_a_network_that_tells_nothing_apart() -> None:
    found = {name: chance(trial.config) for name, trial in trials().items()}
    assert found["infonce"]["loss"][0] == pytest.approx(4.860, abs=1e-3)  # ln 129
    assert found["cvrl, decreasing"]["loss"][0] == pytest.approx(8.286, abs=1e-3)  # 2 ln 63
    assert found["cmd, joint"]["motion"][0] == pytest.approx(5.951, abs=1e-3)  # ln(12 x 32)
