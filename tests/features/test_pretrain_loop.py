"""The loop: a run that stops goes on as if it had not, and refuses what it cannot go on with."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from tests.features.pretraining_toys import (
    METHOD_NAMES,
    PLAIN,
    QUEUE,
    RUN,
    at_call,
    batch_of,
    config,
    figures,
    in_pieces,
    optim,
    plan,
    stages,
    toy_store,
    trainable,
    weights,
    written,
)
from wtal_features.checkpoints.own import read_encoder
from wtal_features.encoders.catalog import ENCODERS, load_encoder
from wtal_features.errors import FeatureError
from wtal_features.methods import loop
from wtal_features.methods.catalog import plan_of
from wtal_features.methods.folder import CONFIG, METRICS, STATE, folder_of, load_state
from wtal_features.methods.loop import Plan, Progress, Result, pretrain
from wtal_features.methods.networks import NetworkConfig
from wtal_features.methods.stages import (
    Batch,
    EncoderExport,
    Export,
    Objective,
    Outcome,
    Sample,
    Stage,
)
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.units import Unit


class Whole(NamedTuple):
    """A run in one go."""

    out: Path
    result: Result
    told: list[Progress]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipStore]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENCODERS, "plain", PLAIN)
        yield toy_store(tmp_path_factory.mktemp("toys") / "clips")


@pytest.fixture(scope="module")
def whole(store: ClipStore, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Whole]:
    """Each method, run once with threads that load."""
    runs: dict[str, Whole] = {}

    def run(method: str) -> Whole:
        if method not in runs:
            out = tmp_path_factory.mktemp(method) / "run.safetensors"
            told: list[Progress] = []
            result = pretrain(
                plan(method, store, run=replace(RUN, loaders=2)), out, progress=told.append
            )
            runs[method] = Whole(out, result, told)
        return runs[method]

    return run


def small(store: ClipStore, **changes: Any) -> Plan:
    """InfoNCE of a network that is fast."""
    return plan("infonce", store, **{"network": NetworkConfig("plain"), **changes})


# Going on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    ["infonce", "cvrl", *(pytest.param(m, marks=pytest.mark.slow) for m in ("ubernce", "coclr"))],
)
def test_a_run_stopped_after_every_step_ends_in_the_same_bytes(
    store: ClipStore, whole: Callable[[str], Whole], tmp_path: Path, method: str
) -> None:
    before = torch.get_rng_state()
    once, out = whole(method), tmp_path / "run.safetensors"
    results = in_pieces(lambda: plan(method, store), out)
    steps = once.result.steps
    assert [result.steps for result in results] == list(range(1, steps + 1))
    assert [result.interrupted for result in results] == [True] * (steps - 1) + [False]
    assert all(result.files == () for result in results[:-1])
    assert written(out) == written(once.out)
    assert figures(out) == figures(once.out)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture(scope="module")
def turns(store: ClipStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CoCLR of networks that are fast, in one go: stages end at steps 2, 4, 8 and 12."""
    out = tmp_path_factory.mktemp("turns") / "run.safetensors"
    pretrain(plan("coclr", store, network=NetworkConfig("plain")), out)
    return out


def test_every_stage_of_coclr_can_be_stopped_anywhere(
    store: ClipStore, turns: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run.safetensors"
    results = in_pieces(lambda: plan("coclr", store, network=NetworkConfig("plain")), out)
    assert [result.steps for result in results] == list(range(1, 13))
    assert written(out) == written(turns)
    assert figures(out) == figures(turns)


def test_a_stop_at_the_end_of_a_stage_does_not_begin_the_next(
    store: ClipStore, turns: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run.safetensors"
    for stage, steps in enumerate((2, 2, 4), 1):
        begun = plan("coclr", store, network=NetworkConfig("plain"))
        result = pretrain(begun, out, resume=True, stopped=at_call(steps))
        assert (result.interrupted, result.steps) == (True, (2, 4, 8)[stage - 1])
        saved = load_state(folder_of(out))
        assert (saved.stage, saved.step) == (stage, 0)
    pretrain(plan("coclr", store, network=NetworkConfig("plain")), out, resume=True)
    assert written(out) == written(turns)
    assert figures(out) == figures(turns)


def test_a_stop_at_the_last_step_is_too_late(store: ClipStore, tmp_path: Path) -> None:
    result = pretrain(small(store), tmp_path / "run.safetensors", stopped=at_call(4))
    assert not result.interrupted
    assert [file.exists() for file in result.files] == [True]


class KilledError(Exception):
    """What ends a run wherever it is."""


@pytest.mark.parametrize(
    ("method", "steps", "next_step"), [("infonce", 3, 3), ("coclr", 7, 7), ("coclr", 2, 1)]
)
def test_a_run_killed_between_checkpoints_goes_on_from_the_last(
    store: ClipStore, tmp_path: Path, method: str, steps: int, next_step: int
) -> None:
    once, out = tmp_path / "a" / "run.safetensors", tmp_path / "b" / "run.safetensors"
    for place in (once, out):
        place.parent.mkdir()

    def begin() -> Plan:
        return plan(method, store, network=NetworkConfig("plain"))

    def kill(progress: Progress) -> None:
        if progress.done == steps:
            raise KilledError

    pretrain(begin(), once)
    with pytest.raises(KilledError):
        pretrain(begin(), out, progress=kill)
    told: list[int] = []
    lines = folder_of(out) / METRICS
    assert len(figures(out)) == steps
    lines.write_text(lines.read_text() + '{"stage": "rgb-inf')  # torn
    result = pretrain(begin(), out, resume=True, progress=lambda p: told.append(p.done))
    assert told == list(range(next_step, result.steps + 1))
    assert written(out) == written(once)
    assert figures(out) == figures(once)


def test_a_run_killed_before_its_first_checkpoint_begins_again(
    store: ClipStore, tmp_path: Path
) -> None:
    once, out = tmp_path / "a" / "run.safetensors", tmp_path / "b" / "run.safetensors"
    for place in (once, out):
        place.parent.mkdir()
    seldom = replace(RUN, save_every=200)

    def kill(progress: Progress) -> None:
        if progress.done == 3:
            raise KilledError

    pretrain(small(store), once)
    with pytest.raises(KilledError):
        pretrain(small(store, run=seldom), out, progress=kill)
    assert not (folder_of(out) / STATE).exists()
    pretrain(small(store, run=seldom), out, resume=True)
    assert written(out) == written(once)
    assert figures(out) == figures(once)


def test_a_finished_run_writes_its_files_again_and_trains_no_more(
    store: ClipStore, tmp_path: Path
) -> None:
    told: list[Progress] = []
    out = tmp_path / "run.safetensors"
    pretrain(small(store), out)
    before, lines = written(out), figures(out)
    out.unlink()
    result = pretrain(small(store), out, resume=True, progress=told.append)
    assert (result.interrupted, result.steps, told) == (False, 4, [])
    assert written(out) == before
    assert figures(out) == lines


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"network": NetworkConfig("s3d", 0.25)}, "network.arch, network.width"),
        ({"optim": optim(5)}, "optim.steps"),
        ({"queue": replace(QUEUE, temperature=0.1)}, "queue.temperature"),
        ({"run": replace(RUN, seed=1)}, "seed"),
    ],
)
def test_a_run_goes_on_only_with_its_own_settings(
    store: ClipStore, tmp_path: Path, changes: dict[str, Any], name: str
) -> None:
    out = tmp_path / "run.safetensors"
    pretrain(small(store), out, stopped=at_call(1))
    before = (folder_of(out) / STATE).read_bytes()
    with pytest.raises(FeatureError, match=f"begun with another {name}\\.") as refused:
        pretrain(small(store, **changes), out, resume=True)
    assert refused.value.code == "resume"
    assert (folder_of(out) / STATE).read_bytes() == before


def test_a_run_goes_on_only_with_its_own_method_videos_and_labels(
    store: ClipStore, tmp_path: Path
) -> None:
    out, own = tmp_path / "run.safetensors", config("ubernce", network=NetworkConfig("plain"))
    labels: dict[str, tuple[int, ...]] = {
        video: (number % 2,) for number, video in enumerate(store.videos)
    }

    def of(method: str, videos: int, labels: Mapping[str, tuple[int, ...]]) -> Plan:
        return plan_of(method, own, store, store.videos[:videos], labels)

    pretrain(of("ubernce", 8, labels), out, stopped=at_call(1))
    others = {
        "labels, method\\.": of("infonce", 8, labels),
        "labels, videos\\.": of("ubernce", 7, labels),
        "labels\\.": of("ubernce", 8, {**labels, "v0000": (1,)}),
    }
    for name, other in others.items():
        with pytest.raises(FeatureError, match=f"begun with another {name}"):
            pretrain(other, out, resume=True)
    result = pretrain(of("ubernce", 8, labels), out, resume=True)
    assert result.steps == 4


def test_how_a_run_goes_about_it_may_change(store: ClipStore, tmp_path: Path) -> None:
    once, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    pretrain(small(store), once)
    pretrain(small(store), out, stopped=at_call(3))
    other = replace(RUN, loaders=1, log_every=7, save_every=9)
    pretrain(small(store, run=other), out, resume=True)
    assert written(out) == written(once)


def test_a_place_that_holds_a_run_is_not_taken_without_resume(
    store: ClipStore, tmp_path: Path
) -> None:
    out = tmp_path / "run.safetensors"
    pretrain(small(store), out)
    before = written(out)
    with pytest.raises(FeatureError, match=r"already holds a run\. Add --resume") as refused:
        pretrain(small(store), out)
    assert refused.value.code == "exists"
    assert written(out) == before


def test_a_run_cannot_be_joined_while_it_is_running(store: ClipStore, tmp_path: Path) -> None:
    out = tmp_path / "run.safetensors"

    def again(progress: Progress) -> None:
        pretrain(small(store), out, resume=True)

    with pytest.raises(FeatureError, match="in use by another run") as refused:
        pretrain(small(store), out, progress=again)
    assert refused.value.code == "locked"


def test_a_state_that_is_damaged_or_of_another_run_is_refused(
    store: ClipStore, tmp_path: Path
) -> None:
    out, other = tmp_path / "run.safetensors", tmp_path / "other.safetensors"
    pretrain(small(store), out, stopped=at_call(2))
    pretrain(plan("cvrl", store), other, stopped=at_call(1))
    state = folder_of(out) / STATE
    whole_state = state.read_bytes()
    broken = {
        "is damaged": whole_state[:-7],
        "state.safetensors is damaged": b"",
        "does not fit this run": (folder_of(other) / STATE).read_bytes(),
    }
    for sentence, content in broken.items():
        state.write_bytes(content)
        with pytest.raises(FeatureError, match=sentence):
            pretrain(small(store), out, resume=True)
    state.write_bytes(whole_state)
    (folder_of(out) / CONFIG).rename(tmp_path / CONFIG)
    with pytest.raises(FeatureError, match=r"config\.json is missing") as refused:
        pretrain(small(store), out, resume=True)
    assert refused.value.code == "damaged"
    (tmp_path / CONFIG).rename(folder_of(out) / CONFIG)
    assert pretrain(small(store), out, resume=True).steps == 4


def test_processes_that_cannot_share_a_batch_are_refused(
    store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "rank_and_size", lambda: (0, 3))
    with pytest.raises(FeatureError, match="batch of 8 cannot be shared by 3 processes") as refused:
        pretrain(small(store, optim=replace(optim(1), batch=8)), tmp_path / "run.safetensors")
    assert refused.value.code == "option"
    assert not folder_of(tmp_path / "run.safetensors").exists()


@pytest.mark.parametrize(("size", "batch", "least"), [(1, 2, 4), (4, 4, 8)])
def test_batches_too_small_for_batch_norm_are_refused(
    store: ClipStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    batch: int,
    least: int,
) -> None:
    monkeypatch.setattr(loop, "rank_and_size", lambda: (0, size))
    with pytest.raises(FeatureError, match=f"of {batch}; batch norm needs at least {least}"):
        pretrain(small(store, optim=replace(optim(1), batch=batch)), tmp_path / "a.safetensors")


def test_rows_that_are_negatives_of_each_other_come_from_as_many_pieces(
    store: ClipStore, tmp_path: Path
) -> None:
    out = tmp_path / "run.safetensors"
    sixteen = replace(optim(1), batch=16)
    with pytest.raises(FeatureError, match="batches of 16 and there are 8 pieces") as refused:
        pretrain(plan("cvrl", store, optim=sixteen), out)
    assert refused.value.code == "option"
    queue = replace(QUEUE, slots=32)
    assert pretrain(small(store, optim=sixteen, queue=queue), out).steps == 1


# Losses that are no numbers ----------------------------------------------------------------------


class Point(nn.Module):
    """A network of one number."""

    dim = 1

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))


class Fragile(Objective):
    """Halves its number; at the fourth step the loss or the gradient is none."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.point, self.fault = Point(), fault
        self.steps = nn.Buffer(torch.zeros((), dtype=torch.int64))

    def forward(self, batch: Batch, generator: torch.Generator) -> Outcome:
        self.steps.add_(1)
        loss = self.point.w.square().sum()
        last = int(self.steps) == 4
        if last and self.fault == "loss":
            loss = loss * torch.nan
        if last and self.fault == "gradient":
            loss = loss + (0 * self.point.w).sqrt().sum()  # 0, but its slope is infinite
        figure = torch.tensor(torch.inf if last and self.fault == "figure" else 0.5)
        return Outcome(loss, {"figure": figure})

    def exports(self) -> Mapping[str, Export]:
        return {"rgb": EncoderExport(self.point, "s3d", 1.0, 3, ENCODERS["s3d"].clip)}

    def carried(self) -> dict[str, Tensor]:
        return {"rgb.w": self.point.w}


def fragile(store: ClipStore, fault: str, steps: int, more: int = 0) -> Plan:
    """A plan of one stage, or of a second one after it."""

    def draw(store: ClipStore, unit: Unit, generator: torch.Generator) -> Sample:
        return {"x": torch.rand(1, generator=generator)}

    def stage(name: str, steps: int) -> Stage:
        sgd = optim(steps, optimizer="sgd", lr=0.25, momentum=0.0, weight_decay=0.0)
        return Stage(name, [Unit("v0000", 0, 8, 0)], draw, lambda *_: Fragile(fault), sgd)

    both = [stage("toy", steps)] + ([stage("then", more)] if more else [])
    return Plan("toy", {}, RUN, store, store.videos, both, sees_motion=False)


@pytest.mark.parametrize(("fault", "what"), [("loss", "loss is nan"), ("figure", "figure is inf")])
def test_a_loss_that_is_no_number_stops_the_run_before_it_does_harm(
    store: ClipStore, tmp_path: Path, fault: str, what: str
) -> None:
    out = tmp_path / "run.safetensors"
    with pytest.raises(FeatureError, match=f"{what} at step 4 of toy") as refused:
        pretrain(fragile(store, fault, 6), out)
    assert refused.value.code == "diverged"
    saved = load_state(folder_of(out))
    assert saved.step == 2
    assert saved.tensors["objective/point.w"].tolist() == [0.25]
    assert [entry["step"] for entry in figures(out)] == [1, 2, 3]
    assert not out.exists()


@pytest.mark.parametrize(("steps", "more"), [(6, 0), (4, 0), (4, 2)])
def test_networks_that_an_update_has_broken_are_not_kept(
    store: ClipStore, tmp_path: Path, steps: int, more: int
) -> None:
    out = tmp_path / "run.safetensors"
    with pytest.raises(FeatureError, match=r"point\.w is not finite at step 4 of toy") as refused:
        pretrain(fragile(store, "gradient", steps, more), out)
    assert refused.value.code == "diverged"
    assert load_state(folder_of(out)).tensors["objective/point.w"].tolist() == [0.25]
    assert not out.exists()


# What a run leaves -------------------------------------------------------------------------------


def test_every_line_of_the_metrics_says_how_it_goes_and_how_fast(
    whole: Callable[[str], Whole],
) -> None:
    out, result, told = whole("infonce")
    lines = [json.loads(line) for line in (folder_of(out) / METRICS).read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    for line, progress in zip(lines, told, strict=True):
        assert (line["stage"], line["stage_number"], line["lr"]) == ("rgb-infonce", 0, 1e-3)
        assert line["loss"] > 0
        assert 0 <= line["top1"] <= 1
        assert line["samples_per_s"] > 0
        assert 0 <= line["waited"] <= 1
        assert progress.figures["loss"] == line["loss"]
    assert [(p.stage, p.done, p.total) for p in told] == [
        ("rgb-infonce", n, 4) for n in range(1, 5)
    ]
    assert result.figures == lines[-1]


def test_figures_are_written_every_few_steps_and_at_the_end_of_a_stage(
    store: ClipStore, tmp_path: Path
) -> None:
    out = tmp_path / "run.safetensors"
    pretrain(
        plan("coclr", store, network=NetworkConfig("plain"), run=replace(RUN, log_every=3)), out
    )
    assert [(line["stage_number"], line["step"]) for line in figures(out)] == [
        *((0, 2), (1, 2), (2, 3), (2, 4), (3, 3), (3, 4))
    ]


def test_epochs_are_passes_over_all_pieces(store: ClipStore, tmp_path: Path) -> None:
    twice = replace(optim(1), steps=None, epochs=2)
    told: list[Progress] = []
    pretrain(small(store, optim=twice), tmp_path / "a.safetensors", progress=told.append)
    assert [(p.done, p.total) for p in told] == [(n, 4) for n in range(1, 5)]


@pytest.mark.parametrize(
    ("method", "streams"),
    [
        ("infonce", {"": "s3d"}),
        ("ubernce", {"": "s3d"}),
        ("coclr", {".rgb": "s3d", ".flow": "s3d-flow"}),
        ("cvrl", {"": "r3d50"}),
    ],
)
def test_the_files_are_encoders_that_say_how_they_were_trained(
    whole: Callable[[str], Whole], method: str, streams: dict[str, str]
) -> None:
    _, result, _ = whole(method)
    names = [f"run{stream}.safetensors" for stream in streams]
    assert [file.name for file in result.files] == names
    for (stream, arch), file in zip(streams.items(), result.files, strict=True):
        _, about = read_encoder(file)
        assert (about.method, about.arch, about.width) == (method, arch, 0.125)
        assert (about.step, about.videos, about.grid_fps) == (result.steps, 8, 25.0)
        assert about.motion_source == ("dis" if method == "coclr" else None)
        assert about.clip.view == ("motion" if stream == ".flow" else "rgb")
        assert (about.clip.frames, about.clip.preprocess.size) == (8, 32)
        assert len(about.config_sha256) == 64
        encoder, notes = load_encoder(str(file))
        assert f"trained by {method} on 8 videos for {result.steps} steps" in notes[0]
        channels = 2 if stream == ".flow" else 3
        clips = torch.rand(2, 8, 32, 32, channels, generator=torch.Generator().manual_seed(0))
        features = encoder.encode(clips)
        assert features.shape == (2, about.dim)
        assert bool(features.isfinite().all())


def test_coclr_leaves_the_encoders_of_every_stage(whole: Callable[[str], Whole]) -> None:
    out, result, told = whole("coclr")
    assert sorted(file.name for file in (folder_of(out) / "stages").iterdir()) == [
        "0-rgb-infonce.safetensors",
        "1-flow-infonce.safetensors",
        "2-rgb-coclr-1.flow.safetensors",
        "2-rgb-coclr-1.rgb.safetensors",
    ]
    _, about = read_encoder(folder_of(out) / "stages" / "1-flow-infonce.safetensors")
    assert (about.step, about.in_channels, about.motion_source) == (4, 2, "dis")
    assert result.steps == told[-1].done == told[-1].total == 12


def test_another_seed_trains_another_encoder(store: ClipStore, tmp_path: Path) -> None:
    found: list[Tensor] = []
    for seed in (0, 0, 1):
        out = tmp_path / str(len(found)) / "run.safetensors"
        out.parent.mkdir()
        pretrain(small(store, run=replace(RUN, seed=seed)), out)
        found.append(read_encoder(out)[0]["conv.weight"])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


# Precision ---------------------------------------------------------------------------------------


def test_bfloat16_is_refused_on_a_cpu_before_anything_is_written(
    store: ClipStore, tmp_path: Path
) -> None:
    out = tmp_path / "run.safetensors"
    with pytest.raises(FeatureError, match=r"run\.precision is bf16, and on a CPU") as refused:
        pretrain(small(store, run=replace(RUN, precision="bf16")), out)
    assert refused.value.code == "option"
    assert not folder_of(out).exists()


@pytest.mark.parametrize("method", ["infonce", "ubernce"])
def test_bfloat16_products_come_near_those_of_float32(store: ClipStore, method: str) -> None:
    # Of a network whose kernels are not concerned by the reason for that.
    (stage,) = stages(method, store, network=NetworkConfig("plain"))
    batch, found = batch_of(stage, store), []
    for precision in ("fp32", "bf16"):
        objective = trainable(stage)
        objective.precision = precision
        queries, keys = objective.queries_and_keys(batch, weights())
        assert queries.dtype == keys.dtype == torch.float32
        loss = objective(batch, weights()).loss
        loss.backward()
        gradients = [parameter.grad for parameter in objective.encoder.parameters()]
        assert {gradient.dtype for gradient in gradients} == {torch.float32}
        slope = torch.cat([gradient.flatten() for gradient in gradients])
        found.append((queries.detach(), keys, slope))
    for fp32, bf16 in zip(*found, strict=True):
        assert not torch.equal(fp32, bf16)
        assert float((fp32 - bf16).norm() / fp32.norm()) < 0.1
    lengths = torch.cat(found[1][:2]).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")
@pytest.mark.parametrize("method", METHOD_NAMES)
def test_on_a_gpu_a_run_takes_bfloat16_and_goes_on(
    store: ClipStore, tmp_path: Path, method: str
) -> None:
    out, other = tmp_path / "auto.safetensors", tmp_path / "fp32.safetensors"
    results = [pretrain(plan(method, store), out, device="cuda", stopped=at_call(3))]
    results.append(pretrain(plan(method, store), out, device="cuda", resume=True))
    assert [result.interrupted for result in results] == [True, False]
    exact = replace(RUN, precision="fp32")
    pretrain(plan(method, store, run=exact), other, device="cuda")
    losses = [[line.get("loss") for line in figures(place)] for place in (out, other)]
    assert losses[0] != losses[1]
    assert [loss is None for loss in losses[0]] == [loss is None for loss in losses[1]]
    for file in results[1].files:
        tensors, _ = read_encoder(file)
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float32, torch.int64}
        load_encoder(str(file))
