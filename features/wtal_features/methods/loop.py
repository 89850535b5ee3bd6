"""The loop that all methods share: stages, steps, checkpoints, the file at the end.

Several processes, as torchrun starts them, share each batch: every one draws and learns from rows
of its own, gradients are averaged, keys and in-batch negatives are gathered. The first one writes.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn

from wtal_features.contrast.processes import rank_and_size, together
from wtal_features.encoders.inference import layout
from wtal_features.errors import FeatureError
from wtal_features.extraction.versions import made_with
from wtal_features.files import lock, make_folder, sweep
from wtal_features.methods import folder as run_folder
from wtal_features.methods.loading import Loader
from wtal_features.methods.optimizing import (
    mean_figures,
    of_first,
    optimizer_of,
    optimizer_state,
    restore_optimizer,
    update,
)
from wtal_features.methods.settings import RunConfig
from wtal_features.methods.stages import (
    Batch,
    Facts,
    Objective,
    Source,
    Stage,
    named,
    under,
)
from wtal_features.pretraining.randomness import generator_of

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """Everything about a run but where it is written.

    Attributes:
        method: Its name.
        config: Of the method, as JSON values.
        run: How to go about it.
        store: Where samples come from.
        videos: Ids of the videos that are used.
        stages: What is trained, in order.
        sees_motion: Whether any of them does, be it only while it trains.
    """

    method: str
    config: Mapping[str, Any]
    run: RunConfig
    store: Source
    videos: Sequence[str]
    stages: Sequence[Stage]
    sees_motion: bool

    @property
    def used(self) -> list[str]:
        """The videos that have a piece of use."""
        return sorted({unit.video for stage in self.stages for unit in stage.units})

    def identity(self, precision: str) -> dict[str, Any]:
        """What decides the run, as JSON values.

        Args:
            precision: What `auto` has become.
        """
        keys = [self.store.info(video).key for video in self.videos]
        labels: list[Any] = [[unit.labels for unit in stage.units] for stage in self.stages]
        labels += [stage.digest for stage in self.stages if stage.digest]
        own = {name: value for name, value in self.config.items() if name != "run"}
        return {
            "method": self.method,
            "config": json.loads(json.dumps(own)),
            "seed": self.run.seed,
            "precision": precision,
            "store": dict(self.store.settings),
            "videos": _sha256(keys),
            "labels": _sha256(labels),
        }


class Progress(NamedTuple):
    """Told after every step."""

    stage: str
    done: int  # steps of the run
    total: int
    figures: Figures


@dataclass(frozen=True)
class Result:
    """What a run ended with.

    Attributes:
        files: The encoders; none where it was interrupted.
        steps: Done, of all stages.
        figures: Of the last line of metrics.jsonl.
        interrupted: Stopped when asked to, with a checkpoint.
    """

    files: tuple[Path, ...]
    steps: int
    figures: Figures
    interrupted: bool


def pretrain(
    plan: Plan,
    out: Path,
    *,
    resume: bool = False,
    device: torch.device | str = "cpu",
    progress: Callable[[Progress], None] = lambda progress: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Result:
    """Train, from the first stage or from the last checkpoint on, and write the encoders.

    Args:
        plan: What to train on what.
        out: The `.safetensors` file to write. See `folder` for what lies beside it.
        resume: Go on with a run that is there.
        device: Where to compute.
        progress: See `Progress`.
        stopped: Asked after every step: whether to save and stop.

    Raises:
        FeatureError: If the place holds another run, the settings do not fit the data, or a loss
            is not finite.
    """
    device = torch.device(device)
    precision = precision_on(plan.run, device)
    for stage in plan.stages:
        _check(stage)
    here = run_folder.folder_of(out)
    first = rank_and_size()[0] == 0
    if first:
        run_folder.refuse_earlier(out, resume=resume)
        make_folder(here)
    with lock(here) if first else nullcontext():
        if first:
            sweep(out.parent, here, here / run_folder.STAGES)
            run_folder.open_folder(here, plan.identity(precision))
        together()
        return _Run(plan, out, here, device, precision, progress, stopped).all_stages()


class _Run:
    """The stages of one run; arguments as for `pretrain`."""

    def __init__(
        self,
        plan: Plan,
        out: Path,
        here: Path,
        device: torch.device,
        precision: str,
        progress: Callable[[Progress], None],
        stopped: Callable[[], bool],
    ) -> None:
        self.plan, self.out, self.here, self.device = plan, out, here, device
        self.precision = precision
        self.progress, self.stopped = progress, stopped
        self.rank, self.size = rank_and_size()
        self.steps = [stage.optim.total_steps(len(stage.units)) for stage in plan.stages]
        self.carried: dict[str, Tensor] = {}
        self.figures: dict[str, Any] = {}

    def all_stages(self) -> Result:
        """Stage after stage, from the last checkpoint on."""
        saved = None
        if (self.here / run_folder.STATE).exists():
            saved = run_folder.load_state(self.here)
            self.carried = under("carried/", saved.tensors)
        place, step = (saved.stage, saved.step) if saved else (0, 0)
        with self._metrics(place, step) as write:
            for number in range(place, len(self.plan.stages)):
                objective, done, stopped = self._stage(number, saved, write)
                saved = None
                if stopped and done < sum(self.steps):
                    return Result((), done, self.figures, True)
        files = self._write(objective, self.out, sum(self.steps))
        self.figures = self.figures or run_folder.last_figures(self.here)
        return Result(files, sum(self.steps), self.figures, False)

    def _metrics(self, stage: int, step: int) -> AbstractContextManager[Callable[[Figures], None]]:
        if self.rank:
            return nullcontext(_ignored)
        return run_folder.metrics(self.here, stage, step)

    def _stage(
        self, number: int, saved: run_folder.Saved | None, write: Callable[[Figures], None]
    ) -> tuple[Objective, int, bool]:
        """One stage; its objective, the steps of the run that are done, and whether to stop."""
        stage, run = self.plan.stages[number], self.plan.run
        objective = self._objective(number)
        optimizer = optimizer_of(objective, stage.optim)
        done, steps, stop = 0, self.steps[number], False
        if saved is not None and saved.step:
            done = saved.step
            _restore(objective, optimizer, saved, self.here)
        watch = _Watch()
        rest = range(done, steps)
        place = (self.rank, self.size)
        with Loader(self.plan.store, stage, run.seed, number, rest, run.loaders, *place) as loader:
            for step, batch in zip(rest, loader, strict=True):
                entry = self._step(number, step, objective, optimizer, batch)
                done = step + 1
                watch.step(loader.waited_s, stage.optim.batch)
                if done % run.log_every == 0 or done == steps:
                    self.figures = {**entry, **watch.read()}
                    write(self.figures)
                if self.rank == 0:
                    total = sum(self.steps)
                    self.progress(
                        Progress(stage.name, sum(self.steps[:number]) + done, total, entry)
                    )
                stop = self._any(self.stopped())
                if done == steps and number + 1 < len(self.plan.stages):
                    self._advance(number, objective)
                elif stop or done == steps or done % run.save_every == 0:
                    self._save(number, done, objective, optimizer)
                if stop:
                    break
        return objective, sum(self.steps[:number]) + done, stop

    def _objective(self, number: int) -> Objective:
        """That of a stage, ready to train."""
        stage = self.plan.stages[number]
        generator = generator_of(self.plan.run.seed, "weights", number)
        objective = stage.build(self.carried, generator)
        objective.precision = self.precision
        objective.to(self.device, memory_format=layout(self.device))  # type: ignore[call-overload]
        if stage.in_batch and self.size > 1 and self.device.type == "cuda":
            objective = nn.SyncBatchNorm.convert_sync_batchnorm(objective)  # type: ignore[no-untyped-call]
        return objective.train()

    def _step(
        self,
        number: int,
        step: int,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        batch: Batch,
    ) -> dict[str, Any]:
        """Loss, gradient and update of one batch; what there is to say of it."""
        stage = self.plan.stages[number]
        rate = stage.optim.rate(step, self.steps[number])
        batch = {name: rows.to(self.device) for name, rows in batch.items()}
        outcome = objective(batch, generator_of(self.plan.run.seed, "step", number, step))
        loss = {} if outcome.loss is None else {"loss": outcome.loss}
        figures = mean_figures({**loss, **outcome.figures})
        bad = [name for name, value in figures.items() if not math.isfinite(value)]
        if bad:
            raise _diverged(f"{bad[0]} is {figures[bad[0]]}", stage, step + 1)
        if outcome.loss is not None:
            update(objective, optimizer, outcome.loss, rate, stage.optim)
        about = {"stage": stage.name, "stage_number": number, "step": step + 1, "lr": rate}
        return {**about, **figures}

    def _any(self, here: bool) -> bool:
        """Whether it is so in any process: all have to stop at the same step."""
        if self.size == 1:
            return here
        flag = torch.tensor(float(here), device=self.device)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag)

    # What is written; by the first process ------------------------------------------------------

    def _advance(self, number: int, objective: Objective) -> None:
        """From the end of a stage to the beginning of the next."""
        _check_finite(objective, self.plan.stages[number], self.steps[number])
        self.carried |= of_first(objective.carried())
        stages = self.here / run_folder.STAGES
        if self.rank == 0:
            make_folder(stages)
        out = stages / f"{number}-{self.plan.stages[number].name}{self.out.suffix}"
        self._write(objective, out, sum(self.steps[: number + 1]))
        self._keep(run_folder.Saved(number + 1, 0, named("carried/", self.carried)))

    def _save(
        self, number: int, done: int, objective: Objective, optimizer: torch.optim.Optimizer
    ) -> None:
        _check_finite(objective, self.plan.stages[number], done)
        tensors = {
            **named("objective/", objective.state()),
            **named("optimizer/", optimizer_state(optimizer)),
            **named("carried/", self.carried),
        }
        self._keep(run_folder.Saved(number, done, tensors))

    def _keep(self, saved: run_folder.Saved) -> None:
        if self.rank == 0:
            run_folder.save_state(self.here, saved)

    def _write(self, objective: Objective, out: Path, steps: int) -> tuple[Path, ...]:
        """What an objective has trained, a file for each stream."""
        exports = objective.exports()
        files = {stream: run_folder.stream_file(out, stream, len(exports)) for stream in exports}
        if self.rank == 0:
            for stream, export in exports.items():
                export.save(files[stream], self._facts(steps))
        together()
        return tuple(files.values())

    def _facts(self, steps: int) -> Facts:
        return Facts(
            method=self.plan.method,
            settings=self.plan.store.settings,
            sees_motion=self.plan.sees_motion,
            step=steps,
            videos=len(self.plan.used),
            versions=made_with(self.device, self.plan.stages[0].optim.batch),
            config_sha256=_sha256(self.plan.identity(self.precision)),
        )


class _Watch:
    """Time between two lines of metrics.jsonl: of how many samples, and how much of it waiting."""

    def __init__(self) -> None:
        self._since, self._waited_s, self._samples = time.perf_counter(), 0.0, 0

    def step(self, waited_s: float, samples: int) -> None:
        """Count one."""
        self._waited_s += waited_s
        self._samples += samples

    def read(self) -> dict[str, float]:
        """Since it was read last."""
        seconds = time.perf_counter() - self._since
        found = {
            "samples_per_s": round(self._samples / seconds, 3),
            "waited": round(self._waited_s / seconds, 4),
        }
        self._since, self._waited_s, self._samples = time.perf_counter(), 0.0, 0
        return found


def precision_on(run: RunConfig, device: torch.device) -> str:
    """What `auto` means here.

    Raises:
        FeatureError: If bfloat16 is wanted on a CPU. oneDNN's gradient of the weights of a 3-D
            convolution is then memory that nothing has written, where maps have two times left and
            kernels span three (torch 2.13; docs/log.md, 2026-11-27).
    """
    if run.precision == "bf16" and device.type == "cpu":
        raise FeatureError(
            "run.precision is bf16, and on a CPU its gradients of 3-D convolutions can be garbage.",
            "Take fp32 or auto.",
            code="option",
        )
    if run.precision == "auto":
        return "bf16" if device.type == "cuda" else "fp32"
    return run.precision


def _check(stage: Stage) -> None:
    """Refuse a batch that the units or the processes cannot fill."""
    batch, units, size = stage.optim.batch, len(stage.units), rank_and_size()[1]
    least = 4 if size == 1 else 2 * size  # one process encodes keys in two halves
    if stage.batch_norm and batch < least:
        raise FeatureError(
            f"{stage.name} has batches of {batch}; batch norm needs at least {least}.",
            "Take a larger batch.",
            code="option",
        )
    if batch % size:
        raise FeatureError(
            f"A batch of {batch} cannot be shared by {size} processes.",
            f"Take a multiple of {size}.",
            code="option",
        )
    if stage.in_batch and units < batch:
        raise FeatureError(
            f"{stage.name} takes batches of {batch} and there are {units} pieces of videos; "
            "the rows of a batch are each other's negatives, so none may come twice.",
            "Take a smaller batch, shorter pieces or more videos.",
            code="option",
        )


def _diverged(what: str, stage: Stage, step: int) -> FeatureError:
    return FeatureError(
        f"{what} at step {step} of {stage.name}; training stopped, and the last checkpoint is "
        "untouched.",
        "A lower learning rate may help.",
        code="diverged",
    )


def _check_finite(objective: Objective, stage: Stage, done: int) -> None:
    """Refuse to keep networks that an update has broken."""
    for name, tensor in objective.state_dict().items():
        if not bool(tensor.isfinite().all()):
            raise _diverged(f"{name} is not finite", stage, done)


def _restore(
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    saved: run_folder.Saved,
    here: Path,
) -> None:
    try:
        objective.restore(under("objective/", saved.tensors))
        restore_optimizer(optimizer, under("optimizer/", saved.tensors))
    except (LookupError, RuntimeError, ValueError) as error:
        raise FeatureError(
            f"{here / run_folder.STATE} does not fit this run: "
            f"{' '.join(str(error).split())[:160]}.",
            "Remove it and begin again.",
            code="resume",
        ) from error


def _sha256(value: object) -> str:
    """Of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _ignored(figures: Figures) -> None:
    """What the other processes write."""
