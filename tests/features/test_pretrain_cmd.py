"""CMD's samples and objective: what is shown together, and what each task trains."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.features.pretraining_toys import BATCH, CLIPS, config, stages, toy_store, weights
from tests.moving_textures import moving_textures
from wtal_features.errors import FeatureError
from wtal_features.methods.catalog import METHODS
from wtal_features.methods.cmd import CMD, CMDConfig, CMDDraw, FutureConfig
from wtal_features.methods.loading import Loader
from wtal_features.methods.networks import NetworkConfig
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.units import Unit

WHOLE = Unit("v0000", 0, 20, 0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    return toy_store(tmp_path_factory.mktemp("store"))


def drawn(
    store: ClipStore, unit: Unit, seed: int = 0, **changes: object
) -> dict[str, torch.Tensor]:
    draw = CMDDraw(config("cmd", **changes))
    return dict(draw(store, unit, torch.Generator().manual_seed(seed)))


def test_a_sample_holds_clip_i_frame_target_and_other_motion(store: ClipStore) -> None:
    sample = drawn(store, WHOLE)
    shapes = {name: tuple(value.shape) for name, value in sample.items()}
    assert shapes == {
        "clip": (8, 32, 32, 3),
        "i_frame": (1, 32, 32, 3),
        "target": (4, 32, 32, 2),
        "others": (1, 4, 32, 32, 2),
        "near": (),
    }
    assert sample["clip"].dtype == torch.uint8
    assert sample["target"].dtype == torch.float32


def test_without_other_motion_the_batch_alone_is_told_from(store: ClipStore) -> None:
    future = FutureConfig(frames=4, negatives=0)
    sample = drawn(store, WHOLE, future=future)
    assert sample["others"].shape == (0, 4, 32, 32, 2)
    made = config("cmd", future=future)
    objective = CMD(made, {}, weights())
    (stage,) = METHODS["cmd"].stages(made, store, list(store.videos), {})
    batch = next(iter(Loader(store, stage, 0, 0, range(1), 0)))
    outcome = objective(batch, torch.Generator().manual_seed(0))
    assert outcome.loss is not None
    assert outcome.loss.isfinite()


def test_a_mirrored_clip_has_a_mirrored_target(tmp_path: Path) -> None:
    """Video 0 moves to the right: where the clip is mirrored, its target goes to the left."""
    store = moving_textures(1, torch.Generator().manual_seed(0), side=48).store(tmp_path, 20)
    signs = set()
    for seed in range(12):
        sample = drawn(store, WHOLE, seed, clips=replace(CLIPS, flip=True, colour=0.0))
        dx = sample["target"][..., 0]
        assert (dx > 0).all() or (dx < 0).all()
        # Content of frame t + 1 is that of frame t, shifted the way the target says it goes on.
        first, second = sample["clip"][2].float(), sample["clip"][3].float()
        shift = 1 if dx.mean() > 0 else -1
        ahead = (second.roll(-shift, 1) - first)[:, 4:-4].abs().mean()
        behind = (second.roll(shift, 1) - first)[:, 4:-4].abs().mean()
        assert ahead < behind
        signs.add(shift)
    assert signs == {1, -1}


def test_the_i_frame_is_one_of_the_piece(store: ClipStore) -> None:
    plain = replace(CLIPS, colour=0.0)
    assert store.info("v0000").intra == (0, 12)
    usable = CMDDraw(config("cmd", clips=plain)).usable
    assert usable(store, Unit("v0000", 0, 20, 0))
    assert not usable(store, Unit("v0000", 0, 13, 0))  # 14 frames are the least
    future = FutureConfig(frames=2, gap=0, negatives=0)
    short = CMDDraw(config("cmd", clips=replace(plain, frames=5), future=future)).usable
    assert short(store, Unit("v0000", 5, 13, 0))
    assert not short(store, Unit("v0000", 1, 12, 0))  # between two I-frames


@pytest.mark.parametrize(("off", "on"), [("motion", "context"), ("context", "motion")])
def test_a_task_without_weight_trains_nothing_of_its_own(
    store: ClipStore, off: str, on: str
) -> None:
    weights_of: dict[str, Any] = {f"{off}_weight": 0.0}
    future = replace(FutureConfig(frames=4, negatives=1), **weights_of)
    made = config("cmd", future=future)
    objective = CMD(made, {}, weights()).train()
    (stage,) = METHODS["cmd"].stages(made, store, list(store.videos), {})
    batch = next(iter(Loader(store, stage, 0, 0, range(1), 0)))
    outcome = objective(batch, torch.Generator().manual_seed(0))
    assert outcome.loss is not None
    torch.testing.assert_close(outcome.loss, outcome.figures[on])
    outcome.loss.backward()
    heads = {"motion": ("mq_head", "mk_head"), "context": ("iq_head", "ik_head")}
    for task, names in heads.items():
        for name in names:
            some = [p.grad for p in getattr(objective.network, name).parameters()]
            assert all(grad is None for grad in some) == (task == off)


def test_both_weights_at_zero_are_refused() -> None:
    with pytest.raises(FeatureError, match=r"motion_weight is 0\.0; expected above 0 where"):
        FutureConfig(motion_weight=0.0, context_weight=0.0)


def test_other_networks_and_a_store_without_motion_are_refused(
    store: ClipStore, tmp_path: Path
) -> None:
    with pytest.raises(FeatureError, match="no video network 's3d'"):
        CMDConfig(network=NetworkConfig("s3d"))
    assert store.settings["motion"] is not None
    plain = ClipStore(store.folder)
    plain.settings = {**store.settings, "motion": None}
    with pytest.raises(FeatureError, match="holds no motion"):
        METHODS["cmd"].stages(config("cmd"), plain, list(plain.videos), {})


def test_the_published_schedule_warms_up_and_never_stands_still() -> None:
    optim = CMDConfig().optim
    assert optim.peak_rate() == pytest.approx(5e-4 * 64)
    assert optim.rate(0, 1200) == pytest.approx(5e-6 * 64)
    assert optim.rate(50, 1200) == pytest.approx(5e-4 * 64)
    assert optim.rate(1199, 1200) > 0


def test_a_batch_has_as_many_rows_as_it_says(store: ClipStore) -> None:
    (stage,) = stages("cmd", store)
    assert stage.in_batch
    batch = next(iter(Loader(store, stage, 0, 0, range(1), 0)))
    assert {len(rows) for rows in batch.values()} == {BATCH}
