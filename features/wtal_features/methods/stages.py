"""What the loop and the methods say to each other.

A method is a list of stages. A stage draws samples from pieces of videos, and has an objective: the
networks that it trains and the loss of a batch. Networks go from stage to stage by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from wtal_features.checkpoints.own import EncoderMetadata, save_encoder
from wtal_features.clips import ClipSpec
from wtal_features.extraction.settings import parse_fps
from wtal_features.methods.settings import OptimConfig
from wtal_features.pretraining.units import Unit

Sample = Mapping[str, Tensor]  # of one piece of a video; the loader stacks them by name
Batch = dict[str, Tensor]


class Outcome(NamedTuple):
    """What a batch says.

    Attributes:
        loss: Scalar, the mean over the rows of this process; None: nothing is learned from it.
        figures: Scalars for metrics.jsonl, such as `top1`; means over the rows.
    """

    loss: Tensor | None
    figures: dict[str, Tensor]


class Keyed(Protocol):
    """What a source knows of a video."""

    @property
    def key(self) -> str:
        """Another one for other content."""
        ...


class Source(Protocol):
    """What samples are drawn from: a clip store, or the rows of a feature store."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """How it was made, as JSON values."""
        ...

    def info(self, video: str) -> Keyed:
        """What it has of a video."""
        ...


@dataclass(frozen=True)
class Facts:
    """What the loop knows of a run, for the files that it ends with.

    Attributes:
        method: That trained.
        settings: Of the source.
        sees_motion: Whether motion was seen, be it only in training.
        step: Optimizer steps done.
        videos: Videos it was trained on.
        versions: Package -> version.
        config_sha256: Of the configuration of the training.
    """

    method: str
    settings: Mapping[str, Any]
    sees_motion: bool
    step: int
    videos: int
    versions: Mapping[str, str]
    config_sha256: str


class Export(Protocol):
    """What a stage has trained, as it is kept."""

    def save(self, path: Path, facts: Facts) -> None:
        """Write it, whole or not at all."""
        ...


@dataclass(frozen=True)
class EncoderExport:
    """An encoder that a stage has trained, as its file will say.

    Attributes:
        network: The backbone, without heads.
        arch: Its name in `ENCODERS`.
        width: Multiplier of its channels.
        in_channels: C of its input.
        clip: What it wants to see.
    """

    network: nn.Module
    arch: str
    width: float
    in_channels: int
    clip: ClipSpec

    def save(self, path: Path, facts: Facts) -> None:
        """One safetensors file."""
        motion = facts.settings.get("motion")
        metadata = EncoderMetadata(
            method=facts.method,
            arch=self.arch,
            width=self.width,
            in_channels=self.in_channels,
            dim=int(self.network.dim),  # type: ignore[arg-type]
            clip=self.clip,
            grid_fps=float(parse_fps(str(facts.settings["grid_fps"]))),
            motion_source=motion["source"] if motion and facts.sees_motion else None,
            step=facts.step,
            videos=facts.videos,
            versions=facts.versions,
            config_sha256=facts.config_sha256,
        )
        save_encoder(path, self.network, metadata)


class Objective(nn.Module, ABC):
    """The networks of a stage, and the loss of a batch.

    Parameters that ask for a gradient are trained. All that a resumed run needs is in `state`.

    Attributes:
        precision: Of the products of networks: `fp32` or `bf16`.
    """

    precision = "fp32"

    @abstractmethod
    def forward(self, batch: Batch, generator: torch.Generator) -> Outcome:
        """The loss of a batch, and what changes besides the gradient: queues, key encoders.

        Args:
            batch: Of this process, on the device of the parameters.
            generator: Of this step; a CPU generator, in the same state in every process.
        """

    @abstractmethod
    def exports(self) -> Mapping[str, Export]:
        """Stream (`rgb`, `flow`) -> what was trained of it."""

    @abstractmethod
    def carried(self) -> dict[str, Tensor]:
        """What the next stages begin with, under names that begin with the stream."""

    def embed(self, network: nn.Module, x_BCTHW: Tensor) -> Tensor:
        """What a network makes of clips that `to_network` has scaled; float32."""
        with self.products(x_BCTHW.device):
            found: Tensor = network(x_BCTHW)
        return found.float()

    def products(self, device: torch.device) -> AbstractContextManager[object]:
        """The context in which networks compute: bfloat16 products, or nothing."""
        bf16 = self.precision == "bf16"
        return torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()

    def state(self) -> dict[str, Tensor]:
        """Everything that changes."""
        return dict(self.state_dict())

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        self.load_state_dict(dict(state))


@dataclass(frozen=True)
class Stage:
    """One part of a run.

    Attributes:
        name: Such as `rgb-infonce`; names a file.
        units: What samples are drawn from.
        draw: Makes the sample of a unit; of nothing but the store, the unit and the generator.
        build: Makes the objective from what earlier stages carried and a generator.
        optim: Steps, batch and rate.
        in_batch: The rows of a batch are each other's negatives: none may come twice, and batch
            norm takes its statistics over all processes, where the device can (CUDA).
        batch_norm: The networks have it, and want more than one row.
        digest: Of what else decides the samples; empty: nothing does.
    """

    name: str
    units: list[Unit]
    draw: Callable[[Any, Unit, torch.Generator], Sample]  # of a source of the method's own kind
    build: Callable[[Mapping[str, Tensor], torch.Generator], Objective]
    optim: OptimConfig
    in_batch: bool = False
    batch_norm: bool = True
    digest: str = ""


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with this before their names."""
    return {prefix + name: tensor for name, tensor in tensors.items()}
