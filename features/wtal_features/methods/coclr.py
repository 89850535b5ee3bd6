"""CoCLR: the stream of motion tells the stream of colour which videos are alike, and back again.

Each stream first learns InfoNCE by itself. Then they take turns: one is trained, and its positives
are, besides the own key, what the other, frozen, finds most similar.

Source: CoCLR (NeurIPS 2020); TengdaHan/CoCLR main_coclr.py, model/pretrain.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from wtal_features.augment.draws import chance
from wtal_features.checkpoints.coclr import COCLR_RGB
from wtal_features.clips import View
from wtal_features.contrast.infonce import queue_logits, top1
from wtal_features.contrast.mil_nce import mil_nce
from wtal_features.contrast.mining import coclr_positives
from wtal_features.contrast.queue import check_queue
from wtal_features.errors import FeatureError
from wtal_features.methods.infonce import COCLR_INIT, InfoNCE
from wtal_features.methods.networks import STREAMS, NetworkConfig, clip_of, network_input
from wtal_features.methods.queued import (
    PairDraw,
    QueueConfig,
    QueueObjective,
    build_queued,
    exported,
    started,
)
from wtal_features.methods.samples import check_motion
from wtal_features.methods.settings import ClipConfig, OptimConfig, RunConfig, require
from wtal_features.methods.stages import Batch, Export, Outcome, Stage
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.units import units_of

OTHER: dict[View, View] = {"rgb": "motion", "motion": "rgb"}
_VIEWS: tuple[View, View] = ("rgb", "motion")


@dataclass(frozen=True)
class MiningConfig:
    """Which keys are positives besides the own one.

    Attributes:
        top: So many slots that the other stream finds most similar, of other videos.
        siblings: Slots of the same video are positives; else they are negatives like all.
        drop_own: Probability, per batch, that the own key is no positive where a row has another.
            0.9 in the released code, 0 in the paper; without it UCF101 takes some 300 epochs more
            (TengdaHan/CoCLR#43).
    """

    top: int = 5
    siblings: bool = True
    drop_own: float = 0.9

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self, "top", self.top >= 0, "0 or more")
        require(self, "drop_own", 0 <= self.drop_own <= 1, "0 to 1")


@dataclass(frozen=True)
class CoCLRConfig:
    """Both streams, from nothing.

    Attributes:
        network: The backbone of either stream.
        clips: What they see.
        queue: The space of the contrast.
        mining: Which keys are positives.
        init: InfoNCE of each stream.
        cycle: Each turn of each stream after it.
        cycles: Turns of each stream; with 2 of the published, 500 epochs per stream in all.
        run: How to go about it.
    """

    network: NetworkConfig = field(default_factory=lambda: NetworkConfig("s3d"))
    clips: ClipConfig = field(default_factory=lambda: ClipConfig(32, 1, 128))
    queue: QueueConfig = field(default_factory=QueueConfig)
    mining: MiningConfig = field(default_factory=MiningConfig)
    init: OptimConfig = COCLR_INIT
    cycle: OptimConfig = field(
        default_factory=lambda: OptimConfig(
            epochs=100, batch=64, optimizer="adam", lr=1e-3, weight_decay=1e-5, drops=(0.8,)
        )
    )
    cycles: int = 2
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        """A queue takes whole batches."""
        require(self, "cycles", self.cycles >= 1, "at least 1; infonce is without")
        for stage in (self.init, self.cycle):
            check_queue(self.queue.slots, stage.batch)


class CoCLR(QueueObjective):
    """One turn of one stream.

    Args:
        config: Of the method.
        view: The stream that is trained.
        carried: Both streams, as the stages before left them.
        generator: Of the queue.
    """

    def __init__(
        self,
        config: CoCLRConfig,
        view: View,
        carried: Mapping[str, Tensor],
        generator: torch.Generator,
    ) -> None:
        super().__init__(
            config.network,
            config.clips,
            config.queue,
            view=view,
            batch=config.cycle.batch,
            second_dim=config.queue.dim,
            carried=carried,
            generator=generator,
        )
        self.mining, self.other = config.mining, OTHER[view]
        self.other_clip = clip_of(config.clips, self.other, COCLR_RGB.preprocess)
        self.sampler = started(config.network, config.queue.dim, self.other, carried, generator)
        self.sampler.requires_grad_(False)

    def train(self, mode: bool = True) -> CoCLR:
        """The frozen stream stays as it is."""
        super().train(mode)
        self.sampler.eval()
        return self

    def forward(self, batch: Batch, generator: torch.Generator) -> Outcome:
        """Nothing is learned before every slot of the queue holds a real key."""
        queries, keys = self.queries_and_keys(batch, generator)
        second = self._second(batch)
        logits = queue_logits(queries, keys, self.queue.keys_DK, self.config.temperature)
        positives = coclr_positives(
            second,
            batch["source"],
            self.queue,
            self.mining.top,
            siblings=self.mining.siblings,
        )
        filled = self.queue.filled
        self.queue.enqueue(
            keys, second_BD=second, labels_B=batch["label"], sources_B=batch["source"]
        )
        drop_own = chance(self.mining.drop_own, generator)
        if not filled:
            return Outcome(None, {})
        loss = mil_nce(logits, positives, drop_own=drop_own)
        return Outcome(loss, {"top1": top1(logits), "positive_top1": top1(logits, positives)})

    def _second(self, batch: Batch) -> Tensor:
        """(B, D) what the frozen stream makes of the key clips."""
        with torch.no_grad():
            clips = network_input(batch[f"{self.other}_key"], self.other_clip)
            return F.normalize(self.embed(self.sampler, clips), dim=1)

    def exports(self) -> Mapping[str, Export]:
        """Both streams: the trained one, and the other as it is."""
        frozen = exported(self.sampler, self.network, self.other_clip)
        found = {**super().exports(), STREAMS[self.other]: frozen}
        return {stream: found[stream] for stream in STREAMS.values()}


def coclr_stages(
    config: CoCLRConfig,
    store: ClipStore,
    videos: list[str],
    labels: Mapping[str, tuple[int, ...]],
) -> list[Stage]:
    """InfoNCE of colour, of motion; then they take turns. No labels are used."""
    check_motion(store)
    both = PairDraw(config.clips, _VIEWS)
    units = units_of(store, videos, config.clips.piece_s, both.usable)
    _check_turns(config, len(units))
    first = [
        Stage(
            name=f"{STREAMS[view]}-infonce",
            units=units,
            draw=PairDraw(config.clips, (view,)),
            build=partial(build_queued, InfoNCE, config, view, config.init.batch),
            optim=config.init,
        )
        for view in _VIEWS
    ]
    turns = [
        Stage(
            name=f"{STREAMS[view]}-coclr-{cycle}",
            units=units,
            draw=both,
            build=partial(CoCLR, config, view),
            optim=config.cycle,
        )
        for cycle in range(1, config.cycles + 1)
        for view in _VIEWS
    ]
    return first + turns


def _check_turns(config: CoCLRConfig, units: int) -> None:
    """Refuse turns that end while the queue fills: they would train nothing."""
    steps, filling = config.cycle.total_steps(units), config.queue.slots // config.cycle.batch
    if steps <= filling:
        raise FeatureError(
            f"A turn of {steps} steps trains nothing: the first {filling} fill the queue of "
            f"{config.queue.slots} keys.",
            "Take a smaller queue.slots, or more cycle.steps.",
            code="option",
        )
