"""InfoNCE: two clips of a video find each other among the clips of others. UberNCE: of a class.

Source: CoCLR (NeurIPS 2020), section 3.1 and supplement; TengdaHan/CoCLR main_nce.py,
model/pretrain.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch

from wtal_features.clips import View
from wtal_features.contrast.infonce import infonce, queue_logits, top1
from wtal_features.contrast.mining import label_positives
from wtal_features.contrast.queue import check_queue
from wtal_features.contrast.uber_nce import uber_nce
from wtal_features.errors import FeatureError
from wtal_features.methods.networks import STREAMS, NetworkConfig
from wtal_features.methods.queued import PairDraw, QueueConfig, QueueObjective, build_queued
from wtal_features.methods.samples import check_motion
from wtal_features.methods.settings import ClipConfig, OptimConfig, RunConfig
from wtal_features.methods.stages import Batch, Outcome, Stage
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.units import units_of

# Of UCF101, 64 clips a step: 300 epochs, a tenth of the rate from epochs 250 and 280 on.
COCLR_INIT = OptimConfig(
    epochs=300, batch=64, optimizer="adam", lr=1e-3, weight_decay=1e-5, drops=(250 / 300, 280 / 300)
)


@dataclass(frozen=True)
class InfoNCEConfig:
    """InfoNCE and UberNCE, of one stream.

    Attributes:
        view: `rgb` or `motion`.
        network: The backbone.
        clips: What it sees.
        queue: The space of the contrast.
        optim: The training.
        run: How to go about it.
    """

    view: View = "rgb"
    network: NetworkConfig = field(default_factory=lambda: NetworkConfig("s3d"))
    clips: ClipConfig = field(default_factory=lambda: ClipConfig(32, 1, 128))
    queue: QueueConfig = field(default_factory=QueueConfig)
    optim: OptimConfig = COCLR_INIT
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        """A queue takes whole batches."""
        check_queue(self.queue.slots, self.optim.batch)


class InfoNCE(QueueObjective):
    """The own key against the queue."""

    def forward(self, batch: Batch, generator: torch.Generator) -> Outcome:
        """Loss of the keys before they enter the queue."""
        queries, keys = self.queries_and_keys(batch, generator)
        logits = queue_logits(queries, keys, self.queue.keys_DK, self.config.temperature)
        self.queue.enqueue(keys, sources_B=batch["source"])
        return Outcome(infonce(logits), {"top1": top1(logits)})


class UberNCE(QueueObjective):
    """The own key and all keys of the same class against the rest of the queue."""

    def forward(self, batch: Batch, generator: torch.Generator) -> Outcome:
        """Likewise."""
        queries, keys = self.queries_and_keys(batch, generator)
        logits = queue_logits(queries, keys, self.queue.keys_DK, self.config.temperature)
        positives = label_positives(batch["label"], self.queue)
        self.queue.enqueue(keys, labels_B=batch["label"], sources_B=batch["source"])
        figures = {"top1": top1(logits, positives), "positives": positives.sum(1).float().mean()}
        return Outcome(uber_nce(logits, positives), figures)


def infonce_stages(
    config: InfoNCEConfig,
    store: ClipStore,
    videos: list[str],
    labels: Mapping[str, tuple[int, ...]],
) -> list[Stage]:
    """One stage; labels are not used."""
    return [_stage("infonce", config, store, videos, None, InfoNCE)]


def ubernce_stages(
    config: InfoNCEConfig,
    store: ClipStore,
    videos: list[str],
    labels: Mapping[str, tuple[int, ...]],
) -> list[Stage]:
    """One stage, on the videos that have a class.

    Raises:
        FeatureError: If fewer than two have one.
    """
    tagged = [video for video in videos if labels.get(video)]
    if len(tagged) < 2:
        raise FeatureError(
            f"UberNCE learns from labels, and {len(tagged)} of {len(videos)} videos have one.",
            "Give tags or annotations, or take infonce.",
            code="labels",
        )
    return [_stage("ubernce", config, store, tagged, labels, UberNCE)]


def _stage(
    method: str,
    config: InfoNCEConfig,
    store: ClipStore,
    videos: list[str],
    labels: Mapping[str, tuple[int, ...]] | None,
    objective: Callable[..., QueueObjective],
) -> Stage:
    if config.view == "motion":
        check_motion(store)
    draw = PairDraw(config.clips, (config.view,))
    return Stage(
        name=f"{STREAMS[config.view]}-{method}",
        units=units_of(store, videos, config.clips.piece_s, draw.usable, labels),
        draw=draw,
        build=partial(build_queued, objective, config, config.view, config.optim.batch),
        optim=config.optim,
    )
