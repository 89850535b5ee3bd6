"""CMD: a clip finds an I-frame of its scene, and foresees the motion that follows.

Source: CMD (CVPR 2021); foolwood/DRL Context-Motion-Decoupling/pretrain.py, dataset/dataset.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from wtal_features.augment.recipes import cmd_clip, draw_cmd
from wtal_features.checkpoints.cmd import CMD_CLIP
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.encoders.cmd_pretraining import VIDEO_NETWORKS, CMDNet, cmd_losses
from wtal_features.errors import FeatureError
from wtal_features.methods.networks import NetworkConfig, clip_of, network_input
from wtal_features.methods.samples import check_motion, seen
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
from wtal_features.pretraining.sampling import CmdSampler
from wtal_features.pretraining.units import Unit, units_of


@dataclass(frozen=True)
class FutureConfig:
    """The motion that is foreseen, the motion it is told from, and the weight of both tasks.

    Attributes:
        frames: Of a motion clip, one after the other.
        gap: Grid frames between the last of the RGB clip and the first of the motion.
        negatives: Motion clips of other times of the same video.
        margin: The I-frame may lie so many grid frames outside the RGB clip.
        temperature: T of both tasks.
        motion_weight: Of the loss of motion; the published total is the plain sum of the two.
        context_weight: Of the loss of context.
    """

    frames: int = 8
    gap: int = 2
    negatives: int = 3
    margin: int = 5
    temperature: float = 0.1
    motion_weight: float = 1.0
    context_weight: float = 1.0

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self, "frames", self.frames >= 1, "at least 1")
        for name in ("gap", "negatives", "margin", "motion_weight", "context_weight"):
            require(self, name, getattr(self, name) >= 0, "0 or more")
        require(self, "temperature", self.temperature > 0, "above 0")
        some = self.motion_weight + self.context_weight > 0
        require(self, "motion_weight", some, "above 0 where context_weight is 0")


@dataclass(frozen=True)
class CMDConfig:
    """CMD.

    Attributes:
        network: The video network: r2plus1d26, r3d26 or c3d. Its width is that of the motion and
            image networks, too.
        clips: What it sees.
        future: The motion, and the weight of both tasks.
        optim: The training, as the released code has it; published: weight decay 5e-3, batches of
            64 for UCF101 and of 512 for Kinetics-400.
        run: How to go about it.
    """

    network: NetworkConfig = field(default_factory=lambda: NetworkConfig("r2plus1d26"))
    clips: ClipConfig = field(default_factory=lambda: ClipConfig(16, 4, 112))
    future: FutureConfig = field(default_factory=FutureConfig)
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(
            epochs=120,
            batch=64,
            optimizer="sgd",
            lr=5e-4,
            lr_batch=1,
            nesterov=True,
            weight_decay=1e-3,
            schedule="cosine",
            warmup=5 / 120,
            warmup_from=0.01,
            clip_norm=15.0,
        )
    )
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        """Refuse other networks."""
        if self.network.arch not in VIDEO_NETWORKS:
            raise FeatureError(
                f"CMD has no video network {self.network.arch!r}; "
                f"expected one of {', '.join(VIDEO_NETWORKS)}.",
                code="option",
            )

    @property
    def sampler(self) -> CmdSampler:
        """Where in a video the parts of a sample lie."""
        future = self.future
        return CmdSampler(
            n=self.clips.frames,
            r=self.clips.every,
            gap=future.gap,
            future=future.frames,
            negatives=future.negatives,
            margin=future.margin,
        )


@dataclass(frozen=True)
class CMDDraw:
    """RGB clip, I-frame, the motion that follows, and motion of other times.

    Attributes:
        config: Of the method.
    """

    config: CMDConfig

    def __call__(self, store: ClipStore, unit: Unit, generator: torch.Generator) -> Sample:
        """One sample.

        Returns:
            `clip` (n, S, S, 3) uint8, `i_frame` (1, S, S, 3) uint8, `target` (f, S, S, 2) and
            `others` (m, f, S, S, 2) float32 in px per grid frame; `near`: 1 where the I-frame lies
            where it should, 0 where none does and it is the nearest.
        """
        clips, info = self.config.clips, store.info(unit.video)
        windows = self.config.sampler.draw(unit.frames, _intra(store, unit), generator)
        recipe = cmd_clip(clips.size).milder(clips.colour, flip=clips.flip)
        views = draw_cmd(recipe, (info.height, info.width), len(windows.others), generator)

        def moments(within: list[int]) -> list[int]:
            return [unit.start + k for k in within]

        others = [
            seen(store, unit.video, moments(window), "motion", view)
            for window, view in zip(windows.others, views.others, strict=True)
        ]
        target = seen(store, unit.video, moments(windows.target), "motion", views.clip)
        return {
            "clip": seen(store, unit.video, moments(windows.clip), "rgb", views.clip),
            "i_frame": seen(store, unit.video, moments([windows.i_frame]), "rgb", views.i_frame),
            "target": target,
            "others": torch.stack(others) if others else target.new_zeros(0, *target.shape),
            "near": torch.tensor(float(windows.near)),
        }

    def usable(self, store: ClipStore, unit: Unit) -> bool:
        """Whether a piece is long enough for all of it, and shows an I-frame."""
        return self.config.sampler.fits(unit.frames) and bool(_intra(store, unit))


def _intra(store: ClipStore, unit: Unit) -> list[int]:
    """The I-frames of a piece, counted from its start."""
    return [k - unit.start for k in store.info(unit.video).intra if unit.start <= k < unit.stop]


class CMD(Objective):
    """Both tasks of a batch; the rest of the batch, and motion of other times, are the negatives.

    Args:
        config: Of the method.
        carried: Nothing; there is one stage.
        generator: Of the weights.
    """

    def __init__(
        self, config: CMDConfig, carried: Mapping[str, Tensor], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.config, size = config, config.clips.size
        self.clip = clip_of(config.clips, "rgb", CMD_CLIP.preprocess)
        pixels = Preprocess(size, size, mean=None, std=None)  # +-10 px become -1..1
        self.motion_clip = ClipSpec(config.future.frames, 1, "motion", pixels)
        self.network = CMDNet(
            config.network.arch,
            config.network.width,
            clip=(config.clips.frames, size, size),
            motion=(config.future.frames, size, size),
            generator=generator,
        )

    def forward(self, batch: Batch, generator: torch.Generator) -> Outcome:
        """The weighted sum of the losses; gradients reach all networks."""
        others = batch["others"]
        B, m = others.shape[:2]
        motion = network_input(torch.cat([batch["target"], others.flatten(0, 1)]), self.motion_clip)
        with self.products(motion.device):
            embeddings = self.network(
                network_input(batch["clip"], self.clip),
                network_input(batch["i_frame"], self.clip)[:, :, 0],
                motion[:B],
                motion[B:].reshape(B, m, *motion.shape[1:]),
                generator,
            )
        embeddings = type(embeddings)(*(part.float() for part in embeddings))
        future = self.config.future
        losses = cmd_losses(embeddings, future.temperature)
        terms = ((future.motion_weight, losses.motion), (future.context_weight, losses.context))
        total = torch.stack([weight * loss for weight, loss in terms if weight]).sum()
        figures = {**losses._asdict(), "near": batch["near"].mean()}
        return Outcome(total, figures)

    def exports(self) -> Mapping[str, Export]:
        """The video network."""
        network = self.config.network
        backbone = self.network.rgb_backbone
        return {"rgb": EncoderExport(backbone, network.arch, network.width, 3, self.clip)}

    def carried(self) -> dict[str, Tensor]:
        """All networks."""
        return named("cmd.", self.network.state_dict())


def cmd_stages(
    config: CMDConfig,
    store: ClipStore,
    videos: list[str],
    labels: Mapping[str, tuple[int, ...]],
) -> list[Stage]:
    """One stage; no labels are used."""
    check_motion(store)
    draw = CMDDraw(config)
    units = units_of(store, videos, config.clips.piece_s, draw.usable)
    return [Stage("rgb-cmd", units, draw, partial(CMD, config), config.optim, in_batch=True)]
