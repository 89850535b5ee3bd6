"""Fine-tuning: it learns what can be learned, from what it is given, and repeats to the bit."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.features.test_own_checkpoints import ABOUT, network
from tests.moving_textures import moving_textures
from wtal_features.augment.recipes import coclr_base, coclr_null
from wtal_features.checkpoints.own import save_encoder
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.encoders.catalog import EncoderOptions, TrainableNetwork, load_network
from wtal_features.encoders.r2plus1d26 import R2Plus1D26
from wtal_features.errors import FeatureError
from wtal_features.extraction.settings import MotionSettings
from wtal_features.pretraining.clipsettings import ClipSettings, clip_key
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.clipwriter import find_video, new_video, write_manifest
from wtal_features.probing.clips import LabelledClip, windows
from wtal_features.probing.finetune import FineTuned, FinetuneSettings, dropped, fine_tune

torch.set_num_threads(1)

TINY = EncoderOptions(width=0.125, size=32, frames=8)
# Everything that only helps on large data is off.
PLAIN = FinetuneSettings(
    epochs=2, batch=8, backbone_lr_share=1, dropout=0, weight_decay=0, jitter_p=0, flip=False
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def start() -> TrainableNetwork:
    return load_network("s3d", TINY)


class Toys:
    """Textures that move to the right (0) or to the left (1)."""

    def __init__(self, folder: Path) -> None:
        toy = moving_textures(32, generator())
        self.store = toy.store(folder, 10)
        chosen = [i for i in range(32) if toy.labels_V[i] in (0, 2)]
        self.clips = [LabelledClip(self.store.videos[i], "any") for i in chosen]
        self.labels = toy.labels_V[chosen] // 2


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Toys:
    return Toys(tmp_path_factory.mktemp("toys"))


def tuned(
    start: TrainableNetwork,
    toys: Toys,
    settings: FinetuneSettings = PLAIN,
    *,
    seed: int = 0,
    count: int = 16,
) -> FineTuned:
    clips, labels = toys.clips[:count], toys.labels[:count]
    return fine_tune(start, toys.store, clips, labels, generator(seed), settings)


def tensors(result: FineTuned) -> dict[str, Tensor]:
    classifier = {f"classifier.{n}": t for n, t in result.classifier.state_dict().items()}
    return {**result.network.state_dict(), **classifier}


# Learning ----------------------------------------------------------------------------------------


def test_it_learns_its_clips_by_heart(start: TrainableNetwork, toys: Toys) -> None:
    told: list[tuple[int, int]] = []
    settings = replace(PLAIN, epochs=60, lr=2e-3)  # from any seed, on any CPU
    result = fine_tune(
        *(start, toys.store, toys.clips, toys.labels, generator(1), settings),
        progress=lambda done, total: told.append((done, total)),
    )
    assert result.accuracy(toys.store, toys.clips, toys.labels) >= 0.9
    assert len(result.losses) == 60
    assert result.losses[0] > math.log(2) - 0.1 > 0.5 > result.losses[-1]
    assert told == [(i, 60) for i in range(1, 61)]


def test_the_defaults_are_the_published_ones() -> None:
    settings = FinetuneSettings()
    assert (settings.epochs, settings.batch, settings.lr) == (500, 32, 1e-3)
    assert (settings.backbone_lr_share, settings.dropout, settings.weight_decay) == (0.1, 0.9, 1e-3)
    assert [share * settings.epochs for share in settings.drops] == [400, 450]


def test_views_are_crops_flips_and_some_jitter() -> None:
    pixels = Preprocess(256, 224, resize=128, resampling="bicubic")
    assert replace(FinetuneSettings(), jitter_p=0).recipe(pixels).crop == coclr_null(128).crop
    recipe = FinetuneSettings().recipe(pixels)
    assert (recipe.jitter, recipe.jitter_p) == (coclr_base().jitter, 0.3)
    assert recipe.gray_p == recipe.blur_p == recipe.solarize_p == 0
    plain = FinetuneSettings(flip=False).recipe(Preprocess(32, 28, antialias=False))
    assert plain.crop.flip_p == 0
    assert (plain.crop.size, plain.crop.resampling, plain.crop.antialias) == (28, "bilinear", False)


def test_the_network_to_begin_with_stays_as_it_is(start: TrainableNetwork, toys: Toys) -> None:
    before = {name: t.clone() for name, t in start.network.state_dict().items()}
    result = tuned(start, toys)
    assert not start.network.training
    after = start.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not torch.equal(
        result.network.state_dict()["Conv_1a.conv1.weight"], before["Conv_1a.conv1.weight"]
    )


def test_imported_files_and_files_of_ours_can_be_begun_with(tmp_path: Path, toys: Toys) -> None:
    saved = R2Plus1D26(width=0.125, generator=generator())
    torch.save(saved.state_dict(), tmp_path / "cmd.pth")
    save_encoder(tmp_path / "own.safetensors", network(), ABOUT)
    for text in (f"cmd:{tmp_path}/cmd.pth", f"{tmp_path}/own.safetensors"):
        begun = load_network(text, EncoderOptions(frames=8, every=1))
        result = tuned(begun, toys, replace(PLAIN, epochs=1), count=4)
        found = result.probabilities(toys.store, toys.clips[:3])
        torch.testing.assert_close(found.sum(dim=1), torch.ones(3))


# Chance ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loaders", [0, 3])
def test_equal_seeds_give_equal_bytes_whatever_the_number_of_threads(
    start: TrainableNetwork, toys: Toys, loaders: int
) -> None:
    settings = replace(PLAIN, dropout=0.5, flip=True, jitter_p=0.5, epochs=2, batch=2)
    first = tuned(start, toys, settings, count=5)
    torch.manual_seed(loaders)
    again = tuned(start, toys, replace(settings, loaders=loaders), count=5)
    assert first.losses == again.losses
    one, other = tensors(first), tensors(again)
    assert all(one[name].numpy().tobytes() == other[name].numpy().tobytes() for name in one)
    assert tuned(start, toys, settings, seed=1, count=5).losses != first.losses


def test_the_global_generator_is_left_alone(start: TrainableNetwork, toys: Toys) -> None:
    before = torch.get_rng_state()
    result = tuned(start, toys, replace(PLAIN, dropout=0.5, jitter_p=1, flip=True), count=4)
    result.accuracy(toys.store, toys.clips, toys.labels)
    assert torch.equal(before, torch.get_rng_state())


def test_dropout_makes_zeros_and_keeps_the_mean() -> None:
    x = torch.linspace(1, 2, 20_000).reshape(100, 200)
    y = dropped(x, 0.9, generator())
    kept = y != 0
    assert kept.float().mean().item() == pytest.approx(0.1, abs=0.01)
    torch.testing.assert_close(y[kept], 10 * x[kept])
    assert torch.equal(dropped(x, 0.0, generator()), x)
    assert torch.equal(y, dropped(x, 0.9, generator()))


# Optimisation ------------------------------------------------------------------------------------


class Seen(nn.Module):
    """A network that keeps what it was given: its one weight scales the mean of each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dim = channels
        self.weight = nn.Parameter(torch.ones(1))
        self.inputs: list[Tensor]

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        INPUTS.append(x_BCTHW.detach().clone())
        return self.weight * x_BCTHW.mean(dim=(2, 3, 4), keepdim=True)


INPUTS: list[Tensor] = []  # of every `Seen`, which are copied


@pytest.fixture(autouse=True)
def inputs() -> Iterator[list[Tensor]]:
    INPUTS.clear()
    yield INPUTS
    INPUTS.clear()


def seeing(view: Any = "rgb", n: int = 4) -> TrainableNetwork:
    """Pixels as they are, over 255; motion over 10."""
    spec = ClipSpec(n, 1, view, Preprocess(4, 4, mean=None, std=None))
    channels = 3 if view == "rgb" else 2
    return TrainableNetwork("seen", Seen(channels), spec, channels, {}, ())


@pytest.fixture
def ramp(tmp_path: Path) -> ClipStore:
    """A video of 100 frames: frame k has the value k, and moves by (k / 10, 0)."""
    settings = ClipSettings(motion=MotionSettings(), motion_range_px=12.7)
    key = clip_key("0" * 64, settings)
    with new_video(tmp_path, key, motion=True) as sink:
        for k in range(100):
            sink.frame(np.full((6, 8, 3), k, np.uint8))
            sink.motion(np.full((3, 4, 2), [k, 0], np.int8))
    entry = find_video(tmp_path, key)
    assert entry is not None
    write_manifest(tmp_path, settings.described(), {"v": entry})
    return ClipStore(tmp_path)


PARTS = [LabelledClip("v", "early", 0.4, 1.2), LabelledClip("v", "late", 2.0, 2.8)]  # 20 frames
LABELS = torch.tensor([0, 1])


def steps_of(store: ClipStore, settings: FinetuneSettings) -> tuple[float, Tensor]:
    """How far the network's weight and the classifier's biases, which start at 0, have come."""
    result = fine_tune(seeing(), store, PARTS, LABELS, generator(), settings)
    moved: Any = result.network
    return abs(moved.weight.item() - 1), result.classifier.bias.detach().abs()


def test_the_first_step_of_adam_is_the_learning_rate_and_a_share_of_it(ramp: ClipStore) -> None:
    settings = replace(PLAIN, epochs=1, lr=0.01, backbone_lr_share=0.1)
    network_step, biases = steps_of(ramp, settings)
    assert network_step == pytest.approx(0.001, rel=0.01)
    assert biases.tolist() == pytest.approx([0.01, 0.01], rel=0.01)


def test_the_rate_drops_at_shares_of_the_run(ramp: ClipStore) -> None:
    settings = replace(PLAIN, lr=0.01, drops=())
    far = [
        float(steps_of(ramp, replace(settings, epochs=10, drops=drops))[1].max())
        for drops in ((), (0.5,), (0.0,), (0.0, 0.0))
    ]
    assert far[1] == pytest.approx(far[0] * (5 + 0.5) / 10, rel=0.25)
    assert far[2] == pytest.approx(far[0] / 10, rel=0.25)


def test_weight_decay_pulls_the_network_to_zero(ramp: ClipStore) -> None:
    settings = replace(PLAIN, epochs=1, lr=0.01, weight_decay=1e3)
    result = fine_tune(seeing(), ramp, PARTS, LABELS, generator(), settings)
    moved: Any = result.network
    assert moved.weight.item() == pytest.approx(0.99)


# Views -------------------------------------------------------------------------------------------


def test_an_epoch_shows_a_random_window_of_each_clip(ramp: ClipStore, inputs: list[Tensor]) -> None:
    fine_tune(seeing(), ramp, PARTS, LABELS, generator(), replace(PLAIN, epochs=200))
    assert len(inputs) == 200
    frames_XT = (255 * torch.cat(inputs).mean(dim=(1, 3, 4))).round().long()
    assert frames_XT.shape == (400, 4)
    assert (frames_XT.diff(dim=1) == 1).all()
    starts = sorted(set(frames_XT[:, 0].tolist()))
    # Of 20 frames from 10 and from 50 on; CoCLR's sampler never shows the last.
    assert starts == [*range(10, 26), *range(50, 66)]
    early = (frames_XT[:, 0].reshape(200, 2) < 40).sum(dim=1)
    assert early.tolist() == [1] * 200


@pytest.mark.parametrize("flip", [False, True])
def test_a_flip_turns_motion_around_and_can_be_switched_off(
    ramp: ClipStore, inputs: list[Tensor], flip: bool
) -> None:
    settings = replace(PLAIN, epochs=20, flip=flip)
    fine_tune(seeing("motion"), ramp, PARTS, LABELS, generator(), settings)
    signs = sorted(set(torch.cat(inputs)[:, 0].sign().flatten().tolist()))
    assert signs == ([-1.0, 1.0] if flip else [1.0])


def test_a_rest_of_one_clip_is_left_out(ramp: ClipStore, inputs: list[Tensor]) -> None:
    clips = [PARTS[i % 2] for i in range(7)]
    labels = torch.arange(7) % 2
    fine_tune(seeing(), ramp, clips, labels, generator(), replace(PLAIN, batch=3, epochs=2))
    assert [len(x) for x in inputs] == [3, 3, 3, 3]
    inputs.clear()
    fine_tune(seeing(), ramp, clips, labels, generator(), replace(PLAIN, batch=5, epochs=1))
    assert [len(x) for x in inputs] == [5, 2]


# Testing -----------------------------------------------------------------------------------------


def test_a_clip_is_classified_by_the_mean_softmax_of_its_windows(ramp: ClipStore) -> None:
    start = seeing()
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[5.0, 0, 0], [0, 0, 0]]))
        layer.bias.copy_(torch.tensor([-1.0, 0]))
    result = FineTuned(start.network, layer, start.clip, 3, ())
    # Windows of 4 frames, one after another, from frame 10 on.
    values = [sum(10 + k for k in w) / 4 / 255 for w in windows(20, 4)]
    expected = sum(1 / (1 + math.exp(1 - 5 * value)) for value in values) / len(values)
    (row,) = result.probabilities(ramp, PARTS[:1], batch=3)
    assert row.tolist() == pytest.approx([expected, 1 - expected], abs=1e-6)


def test_a_class_that_was_not_trained_is_a_miss(ramp: ClipStore) -> None:
    start = seeing()
    layer = nn.Linear(3, 2)
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1.0, 0]))
    result = FineTuned(start.network, layer, start.clip, 3, ())
    assert result.accuracy(ramp, PARTS, torch.tensor([0, 2])) == 0.5
    assert result.accuracy(ramp, PARTS, torch.tensor([1, 2])) == 0.0


# Refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("epochs", 0),
            ("batch", 1),
            ("lr", -1.0),
            ("lr", math.nan),
            ("lr", 1e38),
            ("dropout", 1.0),
        ),
        *(("dropout", -0.1), ("backbone_lr_share", math.inf), ("weight_decay", -1.0)),
        *(("drops", (0.5, 1.5)), ("jitter_p", 2.0), ("loaders", -1)),
    ],
)
def test_settings_that_cannot_be_are_refused(name: str, value: Any) -> None:
    with pytest.raises(FeatureError, match=f"{name} is .*; expected"):
        FinetuneSettings(**{name: value})


def test_too_few_clips_and_labels_that_do_not_fit_are_refused(ramp: ClipStore) -> None:
    for clips, labels in (
        (PARTS[:1], LABELS[:1]),
        (PARTS, LABELS[:1]),
        (PARTS, torch.tensor([0, -1])),
    ):
        with pytest.raises(FeatureError, match="expected at least two clips, and for each a label"):
            fine_tune(seeing(), ramp, clips, labels, generator(), PLAIN)


def test_a_training_that_diverges_is_named(ramp: ClipStore) -> None:
    start = seeing()
    nn.init.constant_(next(start.network.parameters()), math.inf)
    with pytest.raises(FeatureError, match="Fine-tuning diverged: the loss of epoch 1 is nan"):
        fine_tune(start, ramp, PARTS, LABELS, generator(), PLAIN)


def test_a_network_of_motion_needs_a_store_with_motion(tmp_path: Path) -> None:
    settings = ClipSettings()
    write_manifest(tmp_path, settings.described(), {})
    with pytest.raises(FeatureError, match="seen sees motion, and the clip store"):
        fine_tune(seeing("motion"), ClipStore(tmp_path), PARTS, LABELS, generator(), PLAIN)
