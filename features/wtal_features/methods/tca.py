"""TCA: a video finds its pair among a bank of others, by what its frames say together.

Legend: B videos of a batch, m strangers of each, L rows that are shown of a video, d dimensions,
K slots of the bank, N = 1 + K.

Source: TCA (WACV 2021), sections 3.2 and 3.3; xwen99/temporal_context_aggregation train.py,
data.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wtal_features.augment.draws import below
from wtal_features.contrast.circle import circle_loss
from wtal_features.contrast.infonce import infonce, queue_logits, top1
from wtal_features.contrast.momentum import key_copy, momentum_update
from wtal_features.contrast.processes import rank_and_size
from wtal_features.contrast.queue import KeyQueue, check_queue
from wtal_features.errors import FeatureError, Finding
from wtal_features.methods.pairs import PairConfig, Relations, relate
from wtal_features.methods.rows import RowStore, WhiteningConfig, open_rows
from wtal_features.methods.settings import OptimConfig, RunConfig, require
from wtal_features.methods.stages import (
    Batch,
    Facts,
    Objective,
    Outcome,
    Sample,
    Stage,
    named,
    under,
)
from wtal_features.pretraining.randomness import on_device
from wtal_features.pretraining.units import Unit
from wtal_features.retrieval.aggregator import DROPOUT, HEADS, HIDDEN, TCA, check_heads, pooled
from wtal_features.retrieval.alterations import PixelAlteration, time_indices
from wtal_features.retrieval.context import ContextAbout, ContextModel, save_context
from wtal_features.retrieval.whitening import Whitening
from wtal_features.store import FeatureStore


@dataclass(frozen=True)
class TransformerConfig:
    """The transformer; its width is that of the rows, after the whitening.

    Attributes:
        heads: Of attention.
        hidden: Dims of the feed-forward part.
        layers: Published: 1.
        dropout: As in the released training script; the paper says .5.
    """

    heads: int = HEADS
    hidden: int = HIDDEN
    layers: int = 1
    dropout: float = DROPOUT

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("heads", "hidden", "layers"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        require(self, "dropout", 0 <= self.dropout < 1, "0 to 1")


@dataclass(frozen=True)
class BankConfig:
    """The memory bank of strangers.

    Attributes:
        slots: K, a multiple of the strangers of a step.
        strangers: m, beside each anchor; they enter the bank after the step.
        momentum: Of the encoder of pairs and strangers; 0, as published: it is the encoder itself,
            without gradient.
    """

    slots: int = 4096
    strangers: int = 16
    momentum: float = 0.0

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self, "strangers", self.strangers >= 1, "at least 1")
        require(self, "momentum", 0 <= self.momentum < 1, "0 to 1")


@dataclass(frozen=True)
class LossConfig:
    """What pulls pairs together and pushes strangers apart.

    Attributes:
        kind: `circle` or `infonce`.
        margin: m of the circle loss.
        gamma: Its scale.
        temperature: Of InfoNCE.
    """

    kind: Literal["circle", "infonce"] = "circle"
    margin: float = 0.25
    gamma: float = 256.0
    temperature: float = 0.07

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self, "margin", 0 <= self.margin < 1, "0 to 1")
        for name in ("gamma", "temperature"):
            require(self, name, getattr(self, name) > 0, "above 0")


@dataclass(frozen=True)
class FramesConfig:
    """What is made of videos before training; a feature store is taken as it is.

    Attributes:
        encoder: Of single frames, in the words of `wtal extract`.
        pooling: Of its maps, where the encoder has a choice: `irmac` or `imac`, as published, or
            `mean`.
        copies: Altered copies of each video: in time as `pairs.time` says, in their pixels as
            `pixels` does.
        pixels: Blur, crop, mirror and overlay of a copy.
    """

    encoder: str | None = None
    pooling: str | None = None
    copies: int = 3
    pixels: PixelAlteration = field(default_factory=PixelAlteration)

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self, "copies", 0 <= self.copies <= 100, "0 to 100")


@dataclass(frozen=True)
class TCAConfig:
    """TCA.

    Attributes:
        frames: Of videos.
        whitening: Of the rows.
        pairs: Where they come from, and what is shown of them.
        transformer: The network.
        bank: The strangers.
        loss: The contrast.
        optim: The training, as published.
        cache_mb: Prepared rows are kept in memory as far as they fit in so many MiB.
        run: How to go about it.
    """

    frames: FramesConfig = field(default_factory=FramesConfig)
    whitening: WhiteningConfig = field(default_factory=WhiteningConfig)
    pairs: PairConfig = field(default_factory=PairConfig)
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    bank: BankConfig = field(default_factory=BankConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(
            epochs=40, batch=64, optimizer="adam", lr=1e-5, weight_decay=1e-4, schedule="cosine"
        )
    )
    cache_mb: int = 4096
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        """The bank takes whole steps."""
        require(self, "cache_mb", self.cache_mb >= 0, "0 or more")
        check_queue(self.bank.slots, self.optim.batch * self.bank.strangers)


# Samples -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TCADraw:
    """An anchor, its pair and strangers.

    Attributes:
        config: What is shown of each.
        strangers: m.
        relations: Who belongs to whom.
    """

    config: PairConfig
    strangers: int
    relations: Relations

    def __call__(self, store: RowStore, unit: Unit, generator: torch.Generator) -> Sample:
        """One sample.

        Returns:
            `anchor`, `pair` (L, d) and `strangers` (m, L, d) float32, with `anchor_mask`, ... bool,
            True where a row is real; `video` and `others` (m,), the numbers of anchor and
            strangers.
        """
        related = self.relations
        source, *two = related.pair(unit.source, generator)
        if source == "time":
            anchor, pair = self._two_of_one(store.rows(unit.video), generator)
        else:
            anchor, pair = (store.rows(related.videos[place]) for place in two)
        others = [related.stranger(unit.source, generator) for _ in range(self.strangers)]
        anchor, anchor_mask = self._shown(anchor, generator)
        if source in ("copies", "list"):
            pair = facing(pair, anchor[anchor_mask], self.config.rows)
        pair, pair_mask = self._shown(pair, generator)
        shown = [self._shown(store.rows(related.videos[other]), generator) for other in others]
        rows, masks = zip(*shown, strict=True)
        return {
            "anchor": anchor,
            "anchor_mask": anchor_mask,
            "pair": pair,
            "pair_mask": pair_mask,
            "strangers": torch.stack(rows),
            "strangers_mask": torch.stack(masks),
            "video": torch.tensor(unit.source),
            "others": torch.tensor(others),
        }

    def _two_of_one(self, rows_Td: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A video as it is and as a copy of it would be; of a long one, a piece of both."""
        # Two pieces of L rows from 2 L have something in common more often than not.
        rows_Td = _piece(rows_Td, 2 * self.config.rows, generator)
        altered = rows_Td[time_indices(len(rows_Td), self.config.time, generator)]
        noise = torch.randn(altered.shape, generator=generator) * altered.shape[1] ** -0.5
        return rows_Td, F.normalize(altered + self.config.noise * noise, dim=1)

    def _shown(self, rows_Td: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(L, d) and (L,): a piece at a random place, padded with zeros."""
        rows = _piece(rows_Td, self.config.rows, generator)
        missing = self.config.rows - len(rows)
        mask_L = torch.arange(self.config.rows) < len(rows)
        return F.pad(rows, (0, 0, 0, missing)), mask_L


def _piece(rows_Td: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """At most `length` rows, one after the other."""
    start = below(max(0, len(rows_Td) - length) + 1, generator)
    return rows_Td[start : start + length]


def facing(rows_Td: Tensor, piece_Ld: Tensor, length: int) -> Tensor:
    """At most `length` rows of a video, around those that are most like a piece of its pair.

    Two pieces of long videos, each at a random place, would show the same thing by luck alone.

    Args:
        rows_Td: Rows of length one.
        piece_Ld: Likewise, of the other video.
        length: Of the result.
    """
    centre = int((piece_Ld @ rows_Td.T).argmax(dim=1).median())
    start = min(max(0, centre - length // 2), max(0, len(rows_Td) - length))
    return rows_Td[start : start + length]


# The contrast ------------------------------------------------------------------------------------


def own_draws(generator: torch.Generator) -> torch.Generator:
    """The generator; of several processes, each has one of its own that follows from it."""
    rank, size = rank_and_size()
    if size == 1:
        return generator
    seeds = torch.randint(2**63 - 1, (size,), generator=generator)
    return torch.Generator().manual_seed(int(seeds[rank]))


@dataclass(frozen=True)
class ContextExport:
    """The context model that a training ends with.

    Attributes:
        network: The transformer.
        whitening: Of its rows.
        heads: Of attention.
    """

    network: TCA
    whitening: Whitening | None
    heads: int

    def save(self, path: Path, facts: Facts) -> None:
        """One safetensors file."""
        about = ContextAbout(
            heads=self.heads,
            encoder=facts.settings["encoder"],
            step=facts.step,
            videos=facts.videos,
            versions=dict(facts.versions),
            config_sha256=facts.config_sha256,
        )
        save_context(path, ContextModel(self.network, self.whitening, about))


class TCAObjective(Objective):
    """Anchors against their pairs and the bank.

    Args:
        config: Of the method.
        whitening: For the file.
        dim: d.
        relations: Who belongs to whom: slots of one's own are left out.
        carried: Nothing; there is one stage.
        generator: Of weights and bank.
    """

    def __init__(
        self,
        config: TCAConfig,
        whitening: Whitening | None,
        dim: int,
        relations: Relations,
        carried: Mapping[str, Tensor],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.config, self.whitening, self.relations = config, whitening, relations
        network = config.transformer
        self.network = TCA(
            *(dim, network.heads, network.hidden, network.layers, network.dropout),
            generator=generator,
        )
        self.key_network = key_copy(self.network) if config.bank.momentum else None
        self.bank = KeyQueue(
            dim, config.bank.slots, config.optim.batch * config.bank.strangers, generator=generator
        )

    def forward(self, batch: Batch, generator: torch.Generator) -> Outcome:
        """The loss against the bank as it was before this step."""
        device = batch["anchor"].device
        draws = on_device(own_draws(generator), device)
        self._move(device)
        anchors_Bd = self._pooled(self.network, batch, "anchor", draws)
        with torch.no_grad():
            keys: nn.Module = self.network
            if self.key_network is not None:
                momentum_update(self.key_network, self.network, self.config.bank.momentum)
                keys = self.key_network
            pairs_Bd = self._pooled(keys, batch, "pair", draws)
            flat = {name: batch[name].flatten(0, 1) for name in ("strangers", "strangers_mask")}
            strangers_Nd = self._pooled(keys, flat, "strangers", draws)
        similarities_BN = queue_logits(anchors_Bd, pairs_Bd, self.bank.keys_DK, temperature=1)
        own_BK = self.relations.related_to_slots(batch["video"], self.bank.sources_K)
        own_BN = F.pad(own_BK, (1, 0), value=False)
        loss = self._loss(similarities_BN, own_BN)
        self.bank.enqueue(strangers_Nd, sources_B=batch["others"].flatten())
        seen = similarities_BN.detach().masked_fill(own_BN, -1)
        figures = {"top1": top1(seen), "pair": seen[:, 0].mean(), "rival": seen[:, 1:].amax(1)}
        return Outcome(loss, {**figures, "rival": figures["rival"].mean()})

    def _pooled(
        self,
        network: nn.Module,
        batch: Mapping[str, Tensor],
        name: str,
        draws: torch.Generator | None,
    ) -> Tensor:
        """(B, d), rows of length one."""
        mask_BL = batch[f"{name}_mask"]
        with self.products(mask_BL.device):
            rows_BLd = network(batch[name], mask_BL, draws if self.training else None)
        return pooled(rows_BLd.float(), mask_BL)

    def _loss(self, similarities_BN: Tensor, own_BN: Tensor) -> Tensor:
        """Own slots, which are no strangers, left out."""
        loss = self.config.loss
        if loss.kind == "circle":
            return circle_loss(similarities_BN, loss.margin, loss.gamma, own_BN)
        return infonce(similarities_BN.masked_fill(own_BN, -torch.inf) / loss.temperature)

    def _move(self, device: torch.device) -> None:
        self.bank.to(device)
        if self.relations.group_V.device != device:
            self.relations = self.relations.to(device)

    def exports(self) -> Mapping[str, ContextExport]:
        """The transformer with its whitening."""
        heads = self.config.transformer.heads
        return {"rows": ContextExport(self.network, self.whitening, heads)}

    def carried(self) -> dict[str, Tensor]:
        """The transformer."""
        return named("rows.", self.network.state_dict())

    def state(self) -> dict[str, Tensor]:
        """Networks and bank."""
        return {**super().state(), **named("bank.", self.bank.state_dict())}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Likewise."""
        self.bank.load_state_dict(under("bank.", state))
        super().restore({n: t for n, t in state.items() if not n.startswith("bank.")})


def tca_rows(
    config: TCAConfig,
    store: FeatureStore,
    videos: Sequence[str],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[RowStore, list[Finding]]:
    """What TCA trains on: see `open_rows`."""
    return open_rows(
        *(store, videos, config.whitening),
        cache_mb=config.cache_mb,
        multiple=config.transformer.heads,
        progress=progress,
    )


def tca_stages(
    config: TCAConfig,
    store: RowStore,
    videos: list[str],
    labels: Mapping[str, tuple[int, ...]],
) -> list[Stage]:
    """One stage; labels are used where pairs come from tags.

    Raises:
        FeatureError: If no video has both a partner and a stranger, or heads do not divide d.
    """
    check_heads(store.dim, config.transformer.heads)
    relations = relate(videos, config.pairs, labels)
    units = [
        Unit(videos[place], 0, store.info(videos[place]).rows, place)
        for place in sorted(relations.usable)
    ]
    if not units:
        raise FeatureError(
            f"None of {len(videos)} videos has both a partner and a stranger.",
            "TCA needs at least two videos that do not belong together.",
            code="pairs",
        )
    return [
        Stage(
            name="tca",
            units=units,
            draw=TCADraw(config.pairs, config.bank.strangers, relations),
            build=partial(TCAObjective, config, store.whitening, store.dim, relations),
            optim=config.optim,
            batch_norm=False,
            digest=relations.digest,
        )
    ]
