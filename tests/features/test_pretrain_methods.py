"""InfoNCE, UberNCE, CoCLR and CVRL without a loop: what is learned from what, and what is not."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.features.pretraining_toys import (
    BATCH,
    CLIPS,
    PLAIN,
    at_call,
    batch_of,
    config,
    optim,
    plan,
    recorded,
    stages,
    toy_store,
    trainable,
    weights,
)
from wtal_features.clips import View
from wtal_features.encoders.catalog import ENCODERS
from wtal_features.errors import FeatureError
from wtal_features.extraction.settings import MotionSettings
from wtal_features.methods.catalog import METHODS, plan_of
from wtal_features.methods.coclr import CoCLR, MiningConfig
from wtal_features.methods.cvrl import CVRLConfig, CVRLDraw
from wtal_features.methods.loop import pretrain
from wtal_features.methods.networks import NetworkConfig, network_input
from wtal_features.methods.optimizing import optimizer_of, update
from wtal_features.methods.queued import PairDraw
from wtal_features.methods.settings import ClipConfig, OptimConfig
from wtal_features.methods.stages import Batch, Objective, Stage
from wtal_features.pretraining.clipsettings import ClipSettings, clip_key
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.clipworker import quantized
from wtal_features.pretraining.clipwriter import find_video, new_video, write_manifest
from wtal_features.pretraining.units import Unit

T = 0.07


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipStore]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENCODERS, "plain", PLAIN)
        yield toy_store(tmp_path_factory.mktemp("toys") / "clips")


def plain(method: str, store: ClipStore, **changes: Any) -> list[Stage]:
    """Stages of a method whose backbone has no batch norm, and is fast."""
    return stages(method, store, network=NetworkConfig("plain"), **changes)


def copies(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def parameters(module: torch.nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def equal(some: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def step(objective: Objective, stage: Stage, batch: Batch, number: int, rate: float = 0.1) -> None:
    """One step of plain SGD."""
    sgd = OptimConfig(1, batch=BATCH, optimizer="sgd", momentum=0, weight_decay=0)
    loss = objective(batch, weights(number)).loss
    assert loss is not None
    update(objective, optimizer_of(objective, sgd), loss, rate, sgd)


# InfoNCE and UberNCE -----------------------------------------------------------------------------


def by_hand(objective: Any, batch: Batch, number: int) -> tuple[Tensor, Tensor]:
    """(B, 1 + K) logits and (B, D) keys of the next forward pass, which stays to be done."""
    twin = deepcopy(objective)
    queries, keys = twin.queries_and_keys(batch, weights(number))
    queue = twin.queue.keys_DK
    rows = [torch.stack([q @ k, *(q @ old for old in queue.T)]) for q, k in zip(queries, keys)]  # noqa: B905
    return torch.stack(rows).detach() / T, keys


def test_infonce_tells_the_own_key_from_the_queue_as_it_was_before(store: ClipStore) -> None:
    (stage,) = plain("infonce", store)
    objective = trainable(stage)
    for number in range(3):
        batch = batch_of(stage, store, number)
        logits, keys = by_hand(objective, batch, number)
        outcome = objective(batch, weights(number))
        losses = [-(row[0] - torch.log(row.exp().sum())) for row in logits.double()]
        assert float(outcome.loss.detach()) == pytest.approx(
            float(sum(losses)) / BATCH, rel=1e-5, abs=1e-6
        )
        hits = [bool(row[0] > row[1:].max()) for row in logits]
        assert float(outcome.figures["top1"]) == sum(hits) / BATCH
        at = number * BATCH % 8
        assert torch.equal(objective.queue.keys_DK[:, at : at + BATCH], keys.T)
        assert objective.queue.sources_K[at : at + BATCH].equal(batch["source"])


def test_ubernce_takes_all_slots_of_the_label_for_positives(store: ClipStore) -> None:
    (stage,) = plain("ubernce", store)
    objective = trainable(stage)
    for number in range(3):
        batch = batch_of(stage, store, number)
        logits, _ = by_hand(objective, batch, number)
        slots = objective.queue.labels_K.tolist()
        outcome = objective(batch, weights(number))
        losses, counts = [], []
        for row, label in zip(logits.double(), batch["label"].tolist(), strict=True):
            chosen = [0] + [1 + slot for slot, other in enumerate(slots) if other == label]
            log_p = row - torch.log(row.exp().sum())
            losses.append(-sum(float(log_p[c]) for c in chosen) / len(chosen))
            counts.append(len(chosen))
        assert float(outcome.loss.detach()) == pytest.approx(
            sum(losses) / BATCH, rel=1e-5, abs=1e-6
        )
        assert float(outcome.figures["positives"]) == sum(counts) / BATCH
    assert sum(counts) == 3 * BATCH  # two videos of each of the four labels are in the queue


@pytest.mark.parametrize("method", ["infonce", "ubernce"])
def test_the_gradient_reaches_the_encoder_and_no_key(store: ClipStore, method: str) -> None:
    (stage,) = stages(method, store)
    objective = trainable(stage)
    batch = batch_of(stage, store)
    queries, keys = deepcopy(objective).queries_and_keys(batch, weights())
    assert queries.requires_grad
    assert not keys.requires_grad
    objective(batch, weights()).loss.backward()
    assert all(p.grad is not None for p in objective.encoder.parameters())
    touched = [p for p in objective.encoder.parameters() if p.grad.abs().max() > 0]
    assert len(touched) > 0.9 * len(list(objective.encoder.parameters()))
    assert all(p.grad is None for p in objective.key_encoder.parameters())
    trained = {
        id(p) for g in optimizer_of(objective, stage.optim).param_groups for p in g["params"]
    }
    assert trained == {id(p) for p in objective.encoder.parameters()}
    assert not objective.queue.keys_DK.requires_grad


def test_the_key_encoder_follows_by_its_momentum_before_keys_are_made(store: ClipStore) -> None:
    (stage,) = plain("infonce", store)
    objective = trainable(stage)
    start = parameters(objective.encoder)
    assert equal(parameters(objective.key_encoder), start)
    step(objective, stage, batch_of(stage, store, 0), 0)
    assert equal(parameters(objective.key_encoder), start)  # it followed before the step
    moved = parameters(objective.encoder)
    assert not equal(moved, start)
    objective(batch_of(stage, store, 1), weights(1))
    expected = [0.9 * k + 0.1 * q for k, q in zip(start, moved, strict=True)]
    torch.testing.assert_close(parameters(objective.key_encoder), expected, atol=1e-7, rtol=1e-5)


def test_the_batch_norm_of_the_key_encoder_moves_by_its_own_halves(store: ClipStore) -> None:
    (stage,) = stages("infonce", store)
    objective = trainable(stage)
    objective(batch_of(stage, store), weights())
    name = "backbone.Conv_1a.bn1."
    query, key = objective.encoder.state_dict(), objective.key_encoder.state_dict()
    assert int(query[f"{name}num_batches_tracked"]) == 1
    assert int(key[f"{name}num_batches_tracked"]) == 2
    assert not torch.equal(query[f"{name}running_mean"], key[f"{name}running_mean"])


def test_keys_meet_other_companions_than_their_queries(store: ClipStore) -> None:
    # Two clips of one video would else be told by the statistics that they share.
    (stage,) = stages("infonce", store)
    objective = trainable(stage)
    batch = batch_of(stage, store)
    batch["rgb_key"] = batch["rgb_query"]
    queries, keys = objective.queries_and_keys(batch, weights())
    assert not torch.allclose(queries, keys, atol=1e-4)
    parts = [tuple(torch.randperm(BATCH, generator=weights(n)).tolist()) for n in range(8)]
    assert len(set(parts)) > 1


def test_ubernce_wants_at_least_two_videos_with_a_label(store: ClipStore) -> None:
    videos = list(store.videos)
    make = METHODS["ubernce"].stages
    (stage,) = make(config("ubernce"), store, videos, {"v0001": (0,), "v0006": (1, 3)})
    assert [unit.video for unit in stage.units] == ["v0001", "v0006"]
    with pytest.raises(FeatureError, match="1 of 8 videos have one") as refused:
        make(config("ubernce"), store, videos, {"v0001": (0,), "v0002": ()})
    assert refused.value.code == "labels"


def test_a_clip_with_several_tags_takes_one_of_them_at_random(store: ClipStore) -> None:
    draw = PairDraw(CLIPS, ("rgb",))
    unit = Unit("v0000", 0, 20, 0, (1, 3))
    found = [int(draw(store, unit, weights(n))["label"]) for n in range(20)]
    assert set(found) == {1, 3}
    assert int(draw(store, Unit("v0000", 0, 20, 0), weights())["label"]) == -1


# CoCLR -------------------------------------------------------------------------------------------


class Filled(NamedTuple):
    """A turn of CoCLR that has filled its queue."""

    stage: Stage
    objective: CoCLR


def carried_by(made: list[Stage]) -> dict[str, Tensor]:
    """Both streams as InfoNCE would begin them."""
    first = [stage.build({}, weights(n)) for n, stage in enumerate(made[:2])]
    return {**first[0].carried(), **first[1].carried()}


def turn(store: ClipStore, part: int = 0, **mining: Any) -> Filled:
    """Part a trains colour, part b motion."""
    mined = MiningConfig(**{"top": 2, "drop_own": 0.0, **mining})
    made = plain("coclr", store, mining=mined)
    objective = trainable(made[2 + part], carried_by(made))
    for number in range(2):
        outcome = objective(batch_of(made[2 + part], store, number), weights(number))
        assert outcome == (None, {})
    # Motion is even, and where two clips move alike the tie may be settled either way.
    objective.queue.second_DK = F.normalize(torch.randn(16, 8, generator=weights()), dim=0)
    return Filled(made[2 + part], objective)


def positives_by_hand(objective: CoCLR, batch: Batch, siblings: bool) -> list[set[int]]:
    """Columns of the logits per row: own key, same source, and the two nearest of other sources."""
    with torch.no_grad():
        clips = network_input(batch[f"{objective.other}_key"], objective.other_clip)
        second = F.normalize(objective.sampler(clips), dim=1)
    assert objective.queue.second_DK is not None
    found = []
    for row, source in zip(second, batch["source"].tolist(), strict=True):
        slots = list(enumerate(objective.queue.sources_K.tolist()))
        same = [slot for slot, other in slots if other == source]
        others = [slot for slot, other in slots if other != source]
        alike = row @ objective.queue.second_DK
        near = sorted(others, key=lambda slot: -float(alike[slot]))
        found.append({0, *(1 + slot for slot in near[:2] + (same if siblings else []))})
    return found


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("siblings", [True, False])
@pytest.mark.parametrize("drop_own", [0.0, 1.0])
def test_coclr_learns_from_what_the_other_stream_finds_alike(
    store: ClipStore, part: int, siblings: bool, drop_own: float
) -> None:
    stage, objective = turn(store, part, siblings=siblings, drop_own=drop_own)
    batch = batch_of(stage, store, 2)
    logits, keys = by_hand(objective, batch, 2)
    positives = positives_by_hand(objective, batch, siblings)
    assert {len(row) for row in positives} == {4 if siblings else 3}
    outcome = objective(batch, weights(2))
    losses, hits = [], []
    for row, chosen in zip(logits.double(), positives, strict=True):
        kept = chosen - {0} if drop_own else chosen
        losses.append(-torch.log(sum(row[c].exp() for c in kept) / row.exp().sum()))
        rivals = set(range(9)) - chosen
        hits.append(max(row[c] for c in chosen) > max(row[c] for c in rivals))
    assert outcome.loss is not None
    assert float(outcome.loss.detach()) == pytest.approx(
        float(sum(losses)) / BATCH, rel=1e-5, abs=1e-6
    )
    assert float(outcome.figures["positive_top1"]) == sum(map(bool, hits)) / BATCH
    assert torch.equal(objective.queue.keys_DK[:, :BATCH], keys.T)


def test_beside_a_key_the_queue_holds_what_the_other_stream_makes_of_its_clip(
    store: ClipStore,
) -> None:
    stage, objective = turn(store)
    batch = batch_of(stage, store, 2)
    objective(batch, weights(2))
    with torch.no_grad():
        clips = network_input(batch["motion_key"], objective.other_clip)
        second = F.normalize(objective.sampler(clips), dim=1)
    assert objective.queue.second_DK is not None
    torch.testing.assert_close(objective.queue.second_DK[:, :BATCH], second.T)
    assert torch.equal(objective.queue.sources_K[:BATCH], batch["source"])


def test_the_own_key_is_dropped_in_a_share_of_the_batches(store: ClipStore) -> None:
    stage, objective = turn(store)
    batch = batch_of(stage, store, 2)
    dropped = []
    for number in range(16):
        losses = []
        for p in (0.5, 0.0, 1.0):
            each = deepcopy(objective)
            each.mining = MiningConfig(2, drop_own=p)
            losses.append(float(each(batch, weights(number)).loss.detach()))
        assert losses[0] in losses[1:]
        dropped.append(losses[0] == losses[2])
    assert 3 <= sum(dropped) <= 13


def test_the_frozen_stream_gets_no_gradient_and_does_not_move(store: ClipStore) -> None:
    made = stages("coclr", store)
    stage, objective = made[2], trainable(made[2], carried_by(made))
    before = copies(objective.sampler)
    assert any("running_mean" in name for name in before)
    for number in range(2):
        objective(batch_of(stage, store, number), weights(number))
    step(objective, stage, batch_of(stage, store, 2), 2)
    assert not objective.sampler.training
    assert all(p.grad is None for p in objective.sampler.parameters())
    after = objective.sampler.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    trained = {
        id(p) for g in optimizer_of(objective, stage.optim).param_groups for p in g["params"]
    }
    assert trained == {id(p) for p in objective.encoder.parameters()}


@pytest.mark.parametrize("part", [0, 1])
def test_a_turn_begins_with_both_encoders_as_carried_and_an_empty_queue(
    store: ClipStore, part: int
) -> None:
    made = plain("coclr", store)
    carried = carried_by(made)
    objective = made[2 + part].build(carried, weights(5))
    assert isinstance(objective, CoCLR)
    for network, view in (
        (objective.encoder, objective.view),
        (objective.key_encoder, objective.view),
        (objective.sampler, objective.other),
    ):
        assert all(torch.equal(t, carried[f"{view}.{n}"]) for n, t in network.state_dict().items())
    assert objective.view == ("rgb", "motion")[part]
    assert not objective.queue.filled
    assert objective.queue.enqueued == 0
    assert set(objective.queue.sources_K.tolist()) == {-1}


def test_nothing_is_learned_before_the_queue_was_filled_once(
    store: ClipStore, tmp_path: Path
) -> None:
    changes = {"network": NetworkConfig("plain"), "init": optim(1)}
    watched, made = recorded(plan("coclr", store, **changes, cycle=optim(3, lr=0.1)))
    result = pretrain(watched, tmp_path / "a.safetensors", stopped=at_call(4))  # 1, 1 and 2 steps
    assert "loss" not in result.figures
    rgb, _, turned = (made[n] for n in range(3))
    assert isinstance(turned, CoCLR)
    assert turned.queue.filled
    assert equal(parameters(turned.encoder), parameters(rgb.encoder))  # type: ignore[arg-type]
    assert equal(parameters(turned.key_encoder), parameters(rgb.encoder))  # type: ignore[arg-type]
    watched, made = recorded(plan("coclr", store, **changes, cycle=optim(3, lr=0.1)))
    assert "loss" in pretrain(watched, tmp_path / "b.safetensors").figures
    assert not equal(parameters(made[2].encoder), parameters(made[0].encoder))  # type: ignore[arg-type]


def test_after_infonce_of_each_the_streams_take_turns(store: ClipStore) -> None:
    assert [stage.name for stage in plain("coclr", store, cycles=2)] == [
        *("rgb-infonce", "flow-infonce"),
        *("rgb-coclr-1", "flow-coclr-1", "rgb-coclr-2", "flow-coclr-2"),
    ]


def test_each_turn_takes_the_stream_that_was_trained_last_for_its_sampler(
    store: ClipStore, tmp_path: Path
) -> None:
    watched, made = recorded(plan("coclr", store, init=optim(1), cycle=optim(3)))
    pretrain(watched, tmp_path / "coclr.safetensors")
    for before, turned in pairwise(made[1:]):
        assert isinstance(turned, CoCLR)
        assert turned.other == before.view
        old, new = before.encoder.state_dict(), turned.sampler.state_dict()  # type: ignore[union-attr]
        assert all(torch.equal(old[name], new[name]) for name in new)  # batch norm's memory too


# Two views of one sample -------------------------------------------------------------------------


def ramps(folder: Path, N: int = 40, *, motion: bool = True, side: int = 48) -> ClipStore:
    """A video whose values say where and when they are.

    Red is 5 x, green 5 y, blue 5 t; motion is x / 4 and (y + t) / 8 px per frame.
    """
    settings = ClipSettings(motion=MotionSettings() if motion else None)
    folder.mkdir()
    y, x = np.mgrid[:side, :side]
    rows, columns = np.mgrid[: side // 4, : side // 4] * 4 + 1.5  # centres of cells
    key = clip_key("0" * 64, settings)
    with new_video(folder, key, motion=motion) as sink:
        for t in range(N):
            frame = np.stack([5 * x, 5 * y, np.full_like(x, 5 * t)], axis=-1).astype(np.uint8)
            sink.frame(frame, intra=t == 0)
            if motion:
                maps = np.stack([columns / 4, (rows + t) / 8], axis=-1).astype(np.float32)
                sink.motion(quantized(maps, settings.motion_range_px))
    entry = find_video(folder, key)
    assert entry is not None
    write_manifest(folder, settings.described(), {"v": entry})
    return ClipStore(folder)


def test_colour_and_motion_of_a_sample_show_the_same_place_time_and_flip(tmp_path: Path) -> None:
    store = ramps(tmp_path / "ramps")
    draw = PairDraw(ClipConfig(8, 2, 32, colour=0.0), ("rgb", "motion"))
    flips = []
    for number in range(12):
        sample = draw(store, Unit("v", 3, 40, 0), weights(number))
        for role in ("query", "key"):
            inner = (slice(None), slice(8, -8), slice(8, -8))
            x, y, t = (sample[f"rgb_{role}"][inner].float() / 5).unbind(-1)
            dx, dy = sample[f"motion_{role}"][inner].unbind(-1)
            assert float((4 * dx.abs() - x).abs().mean()) < 1
            assert float((8 * dy - y - t).abs().mean()) < 1.5
            rises = bool((x[:, :, -1] > x[:, :, 0]).all())  # to the right, unless mirrored
            assert bool((dx > 0).all()) if rises else bool((dx < 0).all())
            flips.append(not rises)
            assert set(t[1:, 0, 0].sub(t[:-1, 0, 0]).tolist()) == {2.0}
            assert float(t.min()) >= 3
    assert set(flips) == {True, False}


def test_flips_can_be_turned_off(tmp_path: Path) -> None:
    store = ramps(tmp_path / "ramps")
    draw = PairDraw(ClipConfig(8, 2, 32, flip=False, colour=0.0), ("rgb", "motion"))
    for number in range(8):
        sample = draw(store, Unit("v", 0, 40, 0), weights(number))
        for role in ("query", "key"):
            x = sample[f"rgb_{role}"][..., 0].float()
            assert bool((x[:, 5, -1] > x[:, 5, 0]).all())
            assert bool((sample[f"motion_{role}"][..., 0] > 0).all())


def test_motion_is_refused_where_the_store_has_none(tmp_path: Path) -> None:
    store = ramps(tmp_path / "ramps", motion=False)
    for method, changes in (("infonce", {"view": "motion"}), ("coclr", {})):
        with pytest.raises(FeatureError, match="holds no motion") as refused:
            plan_of(method, config(method, **changes), store)
        assert refused.value.code == "view"
    assert [s.name for s in plan_of("infonce", config("infonce"), store).stages] == ["rgb-infonce"]


@pytest.mark.parametrize(("view", "channels"), [("rgb", 3), ("motion", 2)])
def test_a_network_is_given_the_channels_of_its_view(
    store: ClipStore, view: View, channels: int
) -> None:
    (stage,) = stages("infonce", store, view=view)
    objective = trainable(stage)
    x = network_input(batch_of(stage, store)[f"{view}_query"], objective.clip)
    assert x.shape == (BATCH, channels, 8, 32, 32)
    (export,) = objective.exports().values()
    assert export.in_channels == channels
    assert stage.name == f"{'rgb' if view == 'rgb' else 'flow'}-infonce"


# CVRL --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("power", "share"), [(1.0, 1 / 3), ("uniform", 1 / 2), (4.0, 5 / 12)])
def test_the_power_of_the_sampler_decides_how_far_apart_the_clips_are(
    tmp_path: Path, power: float | Literal["uniform"], share: float
) -> None:
    store = ramps(tmp_path / "ramps")
    draw = CVRLDraw(ClipConfig(2, 1, 8, colour=0.0), power)
    apart = []
    for number in range(400):
        sample = draw(store, Unit("v", 0, 40, 0), weights(number))
        first, second = (sample[name][0, 4, 4, 2].float() / 5 for name in ("first", "second"))
        apart.append(float((first - second).abs()))
    room = 40 - 1  # starts; intervals are rounded down, which takes half a frame
    assert sum(apart) / len(apart) == pytest.approx(room * share - 0.5, abs=0.04 * room)


def test_a_video_shorter_than_a_clip_of_cvrl_is_repeated(tmp_path: Path) -> None:
    store = ramps(tmp_path / "ramps", N=5)
    sample = CVRLDraw(ClipConfig(8, 1, 8, colour=0.0), 1.0)(store, Unit("v", 0, 5, 0), weights())
    for clip in sample.values():
        times = (clip[:, 4, 4, 2].float() / 5).tolist()
        assert times == [(times[0] + i) % 5 for i in range(8)]


def test_cvrl_finds_the_other_clip_among_both_clips_of_all(store: ClipStore) -> None:
    (stage,) = stages("cvrl", store)
    assert stage.in_batch
    objective = trainable(stage)
    batch = batch_of(stage, store)
    assert set(batch) == {"first", "second"}
    twin = deepcopy(objective)
    clips = network_input(torch.cat([batch["first"], batch["second"]]), twin.clip)
    views = F.normalize(twin.encoder(clips), dim=1).detach().double()
    outcome = objective(batch, weights())
    losses, hits = [], []
    for row in range(2 * BATCH):
        right = (row + BATCH) % (2 * BATCH)
        cosines = {other: views[row] @ views[other] for other in range(2 * BATCH) if other != row}
        total = sum((cosine / 0.1).exp() for cosine in cosines.values())
        losses.append(-torch.log((cosines[right] / 0.1).exp() / total))
        if row < BATCH:
            among = range(BATCH, 2 * BATCH)
            hits.append(all(cosines[right] >= cosines[other] for other in among))
    assert float(outcome.loss.detach()) == pytest.approx(
        float(sum(losses)) / BATCH, rel=1e-5, abs=1e-6
    )
    assert float(outcome.figures["top1"]) == sum(hits) / BATCH
    bn = objective.encoder.backbone.bn1
    assert int(bn.num_batches_tracked) == 1  # both clips share it


def test_the_decay_of_cvrl_is_half_the_sum_of_squares_of_kernels(store: ClipStore) -> None:
    published = CVRLConfig().optim
    assert (published.weight_decay, published.decayed) == (1e-6, "kernels")
    assert (published.optimizer, published.momentum, published.nesterov) == ("sgd", 0.9, False)
    (stage,) = stages("cvrl", store)
    batch, strength = batch_of(stage, store), 0.2
    built, explicit = trainable(stage), trainable(stage)
    sgd = {"optimizer": "sgd", "lr": 0.1}
    decayed = optim(1, **sgd, weight_decay=strength, decayed="kernels")
    update(built, optimizer_of(built, decayed), built(batch, weights()).loss, 0.1, decayed)
    plain = optim(1, **sgd, weight_decay=0.0)
    kernels = [p for n, p in explicit.named_parameters() if p.ndim > 1]
    assert all(p.ndim in (2, 5) for p in kernels)
    term = strength * sum(p.square().sum() for p in kernels) / 2
    update(
        explicit, optimizer_of(explicit, plain), explicit(batch, weights()).loss + term, 0.1, plain
    )
    torch.testing.assert_close(parameters(built), parameters(explicit), atol=1e-6, rtol=1e-5)
    everything = optim(1, **sgd, weight_decay=strength, decayed="all")
    other = trainable(stage)
    update(other, optimizer_of(other, everything), other(batch, weights()).loss, 0.1, everything)
    changed = zip(other.named_parameters(), explicit.parameters(), strict=True)
    apart = [(n, p) for (n, p), q in changed if not torch.allclose(p, q, atol=1e-6, rtol=1e-5)]
    assert apart
    assert all(p.ndim == 1 for _, p in apart)


def test_gradients_are_scaled_down_to_a_norm_where_one_is_given(store: ClipStore) -> None:
    (stage,) = stages("cvrl", store)
    batch = batch_of(stage, store)
    moved = []
    for clip_norm in ("off", 0.5):
        objective = trainable(stage)
        before = parameters(objective)
        sgd = optim(1, optimizer="sgd", weight_decay=0.0, clip_norm=clip_norm)
        update(objective, optimizer_of(objective, sgd), objective(batch, weights()).loss, 1.0, sgd)
        steps = [a - b for a, b in zip(parameters(objective), before, strict=True)]
        moved.append(torch.cat([each.flatten() for each in steps]))
    assert float(moved[0].norm()) > 0.6
    assert float(moved[1].norm()) == pytest.approx(0.5, rel=1e-3)
    assert float(F.cosine_similarity(moved[0], moved[1], dim=0)) > 0.999


# Weights -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["infonce", "cvrl"])
def test_the_weights_of_a_stage_come_from_its_generator_alone(
    store: ClipStore, method: str
) -> None:
    (stage,) = stages(method, store)
    state = torch.get_rng_state()
    first, again = (parameters(stage.build({}, weights(1))) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert equal(first, again)
    assert not equal(first, parameters(stage.build({}, weights(2))))
