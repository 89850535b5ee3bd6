"""What InfoNCE, UberNCE and CoCLR share: two clips of a video, a key encoder, a queue of keys.

Shapes: B samples, n frames, S side, C channels, D dimensions of the space of the contrast, K slots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from wtal_features.augment.draws import below
from wtal_features.augment.recipes import coclr_base, coclr_null, draw_coclr
from wtal_features.checkpoints.coclr import COCLR_RGB
from wtal_features.clips import ClipSpec, View
from wtal_features.contrast.momentum import key_copy, step_keys
from wtal_features.contrast.queue import KeyQueue
from wtal_features.encoders.s3d import ContrastHead
from wtal_features.methods.networks import (
    STREAMS,
    Embedder,
    NetworkConfig,
    clip_of,
    network_input,
)
from wtal_features.methods.samples import seen
from wtal_features.methods.settings import ClipConfig, require
from wtal_features.methods.stages import EncoderExport, Export, Objective, Sample, named, under
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.sampling import coclr_clip, coclr_usable
from wtal_features.pretraining.units import Unit, one_label


@dataclass(frozen=True)
class QueueConfig:
    """The space of the contrast and its queue.

    Attributes:
        dim: D.
        slots: K, a multiple of the batch; 2048 for UCF101, 16384 for Kinetics-400.
        temperature: T.
        momentum: Of the key encoder.
    """

    dim: int = 128
    slots: int = 2048
    temperature: float = 0.07
    momentum: float = 0.999

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self, "dim", self.dim >= 1, "at least 1")
        require(self, "temperature", self.temperature > 0, "above 0")
        require(self, "momentum", 0 <= self.momentum <= 1, "0 to 1")


# Samples -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PairDraw:
    """Query and key of one sample, of one view of the video or of both.

    Attributes:
        clips: Frames, stride, size, flip.
        views: `rgb`, `motion`, or both of the same moment, cut alike.
    """

    clips: ClipConfig
    views: tuple[View, ...]

    def __call__(self, store: ClipStore, unit: Unit, generator: torch.Generator) -> Sample:
        """`rgb_query`, `rgb_key` (n, S, S, 3) uint8; `motion_query`, ... (n, S, S, 2) float32.

        Besides, `source` and `label`: the number of the video, and one of its classes or -1.
        """
        n, r, size = self.clips.frames, self.clips.every, self.clips.size
        sampled = [coclr_clip(unit.frames, generator, n, r) for _ in range(2)]
        info = store.info(unit.video)
        base, null = (
            recipe(size).milder(self.clips.colour, flip=self.clips.flip)
            for recipe in (coclr_base, coclr_null)
        )
        pair = draw_coclr(base, null, (info.height, info.width), generator)
        label = one_label(unit, lambda count: below(count, generator))
        sample = {"source": torch.tensor(unit.source), "label": torch.tensor(label)}
        for role, clip, augmentation in zip(("query", "key"), pair.clips, pair.views, strict=True):
            indices = [unit.start + index for index in sampled[clip]]
            for view in self.views:
                sample[f"{view}_{role}"] = seen(store, unit.video, indices, view, augmentation)
        return sample

    def usable(self, store: ClipStore, unit: Unit) -> bool:
        """Whether a piece is long enough: at most half of a clip is padding."""
        return coclr_usable(unit.frames, self.clips.frames, self.clips.every)


# Networks ----------------------------------------------------------------------------------------


class QueueObjective(Objective):
    """An encoder that is trained, its key encoder and a queue; the loss is the subclass's.

    Args:
        network: The backbone.
        clips: Of training.
        queue: The space of the contrast.
        view: What the encoder sees.
        batch: Samples per step, of all processes.
        second_dim: Dimensions of what another stream makes of the keys; None: there is none.
        carried: Of earlier stages; where they hold this stream, it starts from there.
        generator: Of weights and queue.
    """

    def __init__(
        self,
        network: NetworkConfig,
        clips: ClipConfig,
        queue: QueueConfig,
        *,
        view: View,
        batch: int,
        second_dim: int | None,
        carried: Mapping[str, Tensor],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.network, self.config, self.view = network, queue, view
        self.clip = clip_of(clips, view, COCLR_RGB.preprocess)
        self.encoder = started(network, queue.dim, view, carried, generator)
        self.key_encoder = key_copy(self.encoder)
        self.queue = KeyQueue(
            queue.dim, queue.slots, batch, generator=generator, second_dim=second_dim
        )

    def queries_and_keys(
        self, batch: Mapping[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """(B, D) with gradient and (B, D) without, float32, of length one."""
        query, key = (
            network_input(batch[f"{self.view}_{role}"], self.clip) for role in ("query", "key")
        )
        self.queue.to(query.device)
        queries = F.normalize(self.embed(self.encoder, query), dim=1)
        with self.products(key.device):
            keys = step_keys(self.key_encoder, self.encoder, key, generator, self.config.momentum)
        return queries, F.normalize(keys.float(), dim=1)

    def exports(self) -> Mapping[str, Export]:
        """The backbone of the trained encoder."""
        return {STREAMS[self.view]: exported(self.encoder, self.network, self.clip)}

    def carried(self) -> dict[str, Tensor]:
        """The trained encoder with its head."""
        return named(f"{self.view}.", self.encoder.state_dict())

    def state(self) -> dict[str, Tensor]:
        """Networks and queue."""
        return {**super().state(), **named("queue.", self.queue.state_dict())}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Likewise."""
        self.queue.load_state_dict(under("queue.", state))
        super().restore({n: t for n, t in state.items() if not n.startswith("queue.")})


def started(
    network: NetworkConfig,
    dim: int,
    view: View,
    carried: Mapping[str, Tensor],
    generator: torch.Generator,
) -> Embedder:
    """An encoder with its head, as an earlier stage left it or anew."""
    backbone = network.build(view, generator)
    head = ContrastHead(int(backbone.dim), dim, generator=generator)  # type: ignore[arg-type]
    encoder = Embedder(backbone, head)
    weights = under(f"{view}.", carried)
    if weights:
        encoder.load_state_dict(weights)
    return encoder


def exported(encoder: Embedder, network: NetworkConfig, clip: ClipSpec) -> EncoderExport:
    """The backbone of an encoder, for its file."""
    channels = 2 if clip.view == "motion" else 3
    arch = network.named_for(clip.view)
    return EncoderExport(encoder.backbone, arch, network.width, channels, clip)


class QueuedConfig(Protocol):
    """What the configs of these methods share."""

    @property
    def network(self) -> NetworkConfig:
        """The backbone."""
        ...

    @property
    def clips(self) -> ClipConfig:
        """Of training."""
        ...

    @property
    def queue(self) -> QueueConfig:
        """The space of the contrast."""
        ...


def build_queued(
    objective: Callable[..., QueueObjective],
    config: QueuedConfig,
    view: View,
    batch: int,
    carried: Mapping[str, Tensor],
    generator: torch.Generator,
) -> QueueObjective:
    """An objective of one stream by itself, from what is carried or anew; see `QueueObjective`."""
    return objective(
        config.network,
        config.clips,
        config.queue,
        view=view,
        batch=batch,
        second_dim=None,
        carried=carried,
        generator=generator,
    )
