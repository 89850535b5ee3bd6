"""CVRL: two clips of a video, near in time more often than far, each changed in a way of its own.

Source: CVRL (CVPR 2021); tensorflow/models official/projects/video_ssl.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from wtal_features.augment.recipes import cvrl_views, draw_cvrl
from wtal_features.checkpoints.cvrl import CVRL_CLIP
from wtal_features.contrast.nt_xent import nt_xent
from wtal_features.contrast.processes import gather_rows, own_rows
from wtal_features.encoders.r3d50 import CVRLHead
from wtal_features.methods.networks import Embedder, NetworkConfig, clip_of, network_input
from wtal_features.methods.samples import seen
from wtal_features.methods.settings import ClipConfig, OptimConfig, RunConfig, require
from wtal_features.methods.stages import (
    Batch,
    EncoderExport,
    Export,
    Objective,
    Outcome,
    Sample,
    Stage,
    named,
)
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.sampling import cvrl_clips
from wtal_features.pretraining.units import Unit, units_of


@dataclass(frozen=True)
class CVRLConfig:
    """CVRL.

    Attributes:
        network: The backbone.
        clips: What it sees.
        dim: Of the space of the contrast.
        temperature: T.
        power: The interval t between two clips of T possible ones has a density proportional to
            1 - (t/T)^power; `uniform` makes all intervals equally likely.
        optim: The training; published for 366,016 videos of Kinetics-600. The rate may not carry
            over from TPUs, whose optimizer may sum over replicas: tune it.
        run: How to go about it.
    """

    network: NetworkConfig = field(default_factory=lambda: NetworkConfig("r3d50"))
    clips: ClipConfig = field(default_factory=lambda: ClipConfig(16, 2, 224))
    dim: int = 128
    temperature: float = 0.1
    power: float | Literal["uniform"] = 1.0
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(
            epochs=200,
            batch=1024,
            optimizer="sgd",
            lr=0.32,
            lr_batch=1024,
            weight_decay=1e-6,
            decayed="kernels",
            schedule="cosine",
            warmup=1787 / 71488,
        )
    )
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self, "dim", self.dim >= 1, "at least 1")
        require(self, "temperature", self.temperature > 0, "above 0")
        require(self, "power", self.power == "uniform" or self.power > 0, "above 0, or uniform")


@dataclass(frozen=True)
class CVRLDraw:
    """Two clips of a video, each with a view of its own.

    Attributes:
        clips: Frames, stride, size, flip.
        power: See `CVRLConfig`.
    """

    clips: ClipConfig
    power: float | Literal["uniform"]

    def __call__(self, store: ClipStore, unit: Unit, generator: torch.Generator) -> Sample:
        """`first` and `second`, (n, S, S, 3) uint8."""
        power = math.inf if self.power == "uniform" else self.power
        n, r = self.clips.frames, self.clips.every
        both = cvrl_clips(unit.frames, generator, n, r, power)
        recipes = cvrl_views(self.clips.size)
        one, other = (each.milder(self.clips.colour, flip=self.clips.flip) for each in recipes)
        info = store.info(unit.video)
        pair = draw_cvrl((one, other), (info.height, info.width), generator)
        sample = {}
        for name, indices, view in zip(("first", "second"), both, pair.views, strict=True):
            moments = [unit.start + index for index in indices]
            sample[name] = seen(store, unit.video, moments, "rgb", view)
        return sample


class CVRL(Objective):
    """One encoder for both clips; the rest of the batch are the negatives.

    Args:
        config: Of the method.
        carried: Nothing; there is one stage.
        generator: Of the weights.
    """

    def __init__(
        self, config: CVRLConfig, carried: Mapping[str, Tensor], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.config = config
        self.clip = clip_of(config.clips, "rgb", CVRL_CLIP.preprocess)
        backbone = config.network.build("rgb", generator)
        dim = int(backbone.dim)  # type: ignore[arg-type]
        self.encoder = Embedder(backbone, CVRLHead(dim, config.dim, generator=generator))

    def forward(self, batch: Batch, generator: torch.Generator) -> Outcome:
        """Both clips of all rows go through the encoder at once, and share its batch norm."""
        clips = network_input(torch.cat([batch["first"], batch["second"]]), self.clip)
        a_BD, b_BD = F.normalize(self.embed(self.encoder, clips), dim=1).chunk(2)
        found = {"top1": _found(a_BD.detach(), b_BD.detach())}
        return Outcome(nt_xent(a_BD, b_BD, self.config.temperature), found)

    def exports(self) -> Mapping[str, Export]:
        """The backbone."""
        network = self.config.network
        encoder = self.encoder.backbone
        return {"rgb": EncoderExport(encoder, network.arch, network.width, 3, self.clip)}

    def carried(self) -> dict[str, Tensor]:
        """The encoder with its head."""
        return named("rgb.", self.encoder.state_dict())


def _found(a_BD: Tensor, b_BD: Tensor) -> Tensor:
    """Share of first clips whose second clip is the nearest of all second clips."""
    right_B = (a_BD @ gather_rows(b_BD).T).argmax(1) == own_rows(a_BD)
    return right_B.float().mean()


def cvrl_stages(
    config: CVRLConfig,
    store: ClipStore,
    videos: list[str],
    labels: Mapping[str, tuple[int, ...]],
) -> list[Stage]:
    """One stage; no labels are used. A piece of any length serves: a short one is repeated."""
    units = units_of(store, videos, config.clips.piece_s, lambda store, unit: True)
    draw = CVRLDraw(config.clips, config.power)
    return [Stage("rgb-cvrl", units, draw, partial(CVRL, config), config.optim, in_batch=True)]
