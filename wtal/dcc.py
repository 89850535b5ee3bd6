"""Denoised cross-video contrast: what training adds to BaS-Net, from one batch to one gradient.

Pseudo-labels -> confidence by clusters -> regions -> memory bank -> contrast -> its weight. Nothing
of it is left after training: the network that localizes is BaS-Net's.

Shapes: N snippets of a batch, video by video, B videos, V training videos, C action classes (column
index C is the background), E embedding dims, d projected dims, S slots of the batch, M regions.

Source: DCC (Li, Yang, Ji, Wang, Cheng, CVPR 2022); docs/method.md maps its equations to functions,
docs/decisions/0007 tells what it leaves open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from wtal.beta import Beta, BetaConfig
from wtal.checkpoint import optimizer_tensors, restore_optimizer
from wtal.clusters import ClusterConfig, SnippetClusters
from wtal.corrections.supervision import Known
from wtal.data import Batch
from wtal.errors import WtalError
from wtal.losses import denoised
from wtal.losses.dcc import Contrasted, Relations, contrast, relate
from wtal.memory import RegionBank, Slots
from wtal.model import Output, Projection
from wtal.part import Part
from wtal.peers import ALONE, Peers
from wtal.pseudo_labels import (
    PseudoLabelConfig,
    activations,
    pseudo_labels,
    random_confidence,
    shuffled,
)
from wtal.regions import (
    Entries,
    Regions,
    action_weights,
    background_weights,
    cut_by_mass,
    cut_by_runs,
    cut_uniform,
    fill_empty,
    list_entries,
    pool,
)
from wtal.schedule import torch_generator
from wtal.temporal_conv import Packing

PUBLISHED_RATIO = 4  # 2048 embedding dims to 512 projected ones
_MOST_TAUGHT = 0.1  # the largest weight of the class term that helped on any set


@dataclass(frozen=True)
class DccConfig:
    """The contrast; off by default, which is BaS-Net."""

    contrast: Literal["none", "video", "batch", "bank"] = "none"
    """Regions that an anchor is compared with: of its video, of the batch, of all videos."""
    denoise: Literal["cluster", "off", "shuffled", "random"] = "cluster"
    """`off`: every pseudo-label counts fully. Controls: `shuffled` gives confidences to other
    snippets of the same label, `random` takes clusters that mean nothing."""
    warmup: float = 1 / 3
    """Share of the steps before the contrast starts: early pseudo-labels are noise."""
    start_coverage: float = 0.9
    """Share of the bank that must be written before it starts."""
    dim: int | Literal["auto"] = "auto"
    """d. `auto` is E/4: 512 for 2048."""
    projection: Literal["linear", "mlp"] = "linear"
    """`mlp` has a hidden layer of E dims."""
    embedding: Literal["base", "supp"] = "base"
    """Branch whose embedding is projected."""
    regions: int = 5
    """M."""
    cut: Literal["uniform", "mass", "runs"] = "uniform"
    """Regions of equal time, of equal weight, or the M longest runs of labelled snippets."""
    empty: Literal["skip", "zero", "nearest"] = "skip"
    """A region without weight is no region, a zero vector, or its nearest neighbour."""
    background: Literal["union", "class", "row"] = "union"
    """Background weight: no tag's label and the least of their confidences; or per class as
    printed, 1 - P times S; or the background's own column."""
    normalise: bool = True
    """Unit length of region vectors; false: dot products of the plain means."""
    tau: float = 0.07
    """Temperature."""
    form: Literal["inside", "outside", "circle"] = "inside"
    """Sum over positives inside the logarithm, as printed, outside of it, or Circle Loss."""
    self_positive: bool = False
    """An anchor is its own positive too."""
    same_video_negatives: bool = False
    """Regions of another class in the same video are negatives, instead of nothing."""
    literal_conflicts: bool = False
    """Regions of another class are negatives even where one of the two videos has both tags."""
    hardest: int = 0
    """Only that many most similar negatives of each anchor; 0: all."""
    key_gradient: bool = False
    """Gradients also flow through the keys that are of the batch itself."""
    bank_cap: int = 0
    """Newest slots of every class that serve as keys; 0: all."""
    bank_momentum: float = 0.0
    """Share of its earlier vector that a slot keeps at a visit."""
    teach_classes: float | Literal["auto"] = "auto"
    """Weight of the cross-entropy of denoised snippets in the suppression branch. `auto` is the
    square of the share of training videos with several tags, .1 at most: telling those apart is
    its use, where features tell classes apart; 0 where they do not. Not of the paper, whose labels
    serve the contrast alone: 0 there (docs/decisions/0010)."""
    teach_attention: float = 0.05
    """Weight of the cross-entropy of the attention with denoised snippets. 0 in the paper."""
    pseudo: PseudoLabelConfig = field(default_factory=PseudoLabelConfig)
    beta: BetaConfig = field(default_factory=BetaConfig)

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("regions", "dim"):
            value = getattr(self, name)
            if value != "auto" and value < 1:
                raise WtalError(f"dcc.{name} is {value}; expected at least 1.")
        if (self.teach_classes != "auto" and self.teach_classes < 0) or self.teach_attention < 0:
            raise WtalError("dcc.teach_classes and dcc.teach_attention must be at least 0.")
        for name in ("warmup", "start_coverage", "bank_momentum"):
            if not 0 <= getattr(self, name) <= 1:
                raise WtalError(f"dcc.{name} is {getattr(self, name)}; expected [0, 1].")
        if self.tau <= 0:
            raise WtalError(f"dcc.tau is {self.tau}; expected a number above 0.")
        if self.hardest < 0 or self.bank_cap < 0:
            raise WtalError("dcc.hardest and dcc.bank_cap must be at least 0.")

    def width(self, hidden_dim: int) -> int:
        """Projected dims d for an embedding of E dims."""
        return max(1, hidden_dim // PUBLISHED_RATIO) if self.dim == "auto" else self.dim


class Snippets(NamedTuple):
    """The snippets of a batch one below the other, with all that the contrast asks of them."""

    x_Nd: Tensor  # projected, with a graph
    labels_NC: Tensor  # bool pseudo-labels, background last
    confidence_NC: Tensor  # S
    tagged_NC: Tensor  # bool tags of their videos
    lengths_B: Tensor


class Layout(NamedTuple):
    """The regions of a batch before they are pooled."""

    index_S: Tensor  # slots of the bank
    entries: Entries
    region_E: Tensor  # -1: none
    weight_E: Tensor  # P S, or its background counterpart


class Written(NamedTuple):
    """What a step writes into the bank: the regions of the batch, whichever process saw them."""

    index_S: Tensor  # slots of the bank
    regions: Regions


class Contrast(NamedTuple):
    """What one step adds to the loss; of several processes, the sums of the parts count."""

    loss: Tensor | None  # L_dcc; None before the start, or where no anchor has a positive
    taught: dict[str, Tensor]  # terms of losses/denoised.py by name; empty before the start
    figures: dict[str, float]


class DenoisedContrast:
    """Everything that outlives a step: projection, bank, clusters, and the weight of the term.

    Args:
        config: the contrast.
        clusters: the clustering.
        hidden_dim: E.
        labels_VC: 0/1 tags of the training videos.
        steps: of the whole training.
        steps_per_epoch: steps until every video was seen.
        seed: of the run.
        weight_decay: of the projection, as of the network.
        device: where the network computes.
        peers: the processes that share a batch; all of them hold the same bank.
    """

    def __init__(
        self,
        config: DccConfig,
        clusters: ClusterConfig,
        *,
        hidden_dim: int,
        labels_VC: Tensor,
        steps: int,
        steps_per_epoch: int,
        seed: int,
        weight_decay: float,
        device: torch.device | str = "cpu",
        peers: Peers = ALONE,
    ) -> None:
        if config.background == "row" and clusters.scope == "class":
            raise WtalError(
                "dcc.background: row needs clusters that hold background, and those of "
                "cluster.scope: class hold one action each; use dataset, video or batch."
            )
        self.config, self.seed, self.peers = config, seed, peers
        self.steps, self.steps_per_epoch = steps, steps_per_epoch
        self.labels_VC = (labels_VC > 0).to(device)
        layers = 2 if config.projection == "mlp" else 1
        d = config.width(hidden_dim)
        draw = torch_generator(seed, "projection")
        self.projection = Projection(hidden_dim, d, layers, draw).to(device)
        # Its own optimiser, which steps only where there is a gradient: weight decay alone would
        # take the projection to zero during the warm-up.
        self.optimizer = torch.optim.Adam(
            self.projection.parameters(), weight_decay=weight_decay, fused=True
        )
        slots = Slots.of(labels_VC, background_per_class=config.background == "class")
        self.bank = RegionBank(slots, config.regions, d, device)
        self.clusters = SnippetClusters(clusters, self.labels_VC, seed, peers)
        self.beta = Beta(config.beta)
        several = ((labels_VC > 0).sum(1) > 1).float().mean().item()
        automatic = config.teach_classes == "auto"
        self.teach = {
            "dcc_classes": (
                min(several**2, _MOST_TAUGHT) if automatic else float(config.teach_classes)
            ),
            "dcc_attention": config.teach_attention,
        }
        self.started: int | None = None  # step at which the contrast started

    def __call__(
        self,
        output: Output,
        batch: Batch,
        step: int,
        *,
        measure: bool = True,
        known: Known | None = None,
        part: Part | None = None,
    ) -> Contrast:
        """The term of a batch; the bank and the clusters are brought up to date with it.

        Args:
            output: of the network, with a graph.
            batch: what it saw.
            step: steps done before this one.
            measure: whether to take the figures that tell how it goes.
            known: what corrections say of the batch: certain, in place of pseudo-labels.
            part: where these videos stand in the batch of several processes; None: they are it.
        """
        figures: dict[str, float] = {}
        if self.started is None and self._may_start(step):
            self.started = step
        active = self.started is not None
        if active and self._clusters_last() and self.clusters.due(step, self.steps_per_epoch):
            figures |= self.clusters.round(step)
        with torch.set_grad_enabled(active):
            snippets = self.snippets(output, batch, step, known, part)
            index_S, regions = self.regions(snippets, batch.videos_B)
            written = self._written(index_S, regions, part)
        self.bank.update(written.index_S, *written.regions, step, self.config.bank_momentum)
        if not active:
            return Contrast(None, {}, {})
        found, possible = self.contrast(index_S, regions, written)
        own = int(found.counted_A.sum())
        sums = self.peers.totals({"counted": own, "possible": possible})
        share = own / max(sums["counted"], 1)
        if measure:
            figures |= self.health(snippets, step)
            mass = self.peers.totals({"own": share * found.positive_mass if own else 0.0})["own"]
            figures["positive_mass"] = mass if sums["counted"] else math.nan
            figures["valid_anchors"] = sums["counted"] / max(sums["possible"], 1)
        taught = self._taught(snippets, output, batch)
        if not sums["counted"]:
            return Contrast(None, taught, figures)
        if own:
            return Contrast(share * found.loss, taught, figures)
        # Without anchors of its own a process still takes part in the backward pass.
        nothing = 0 * (regions.vectors_SMd.sum() + written.regions.vectors_SMd.sum())
        return Contrast(nothing, taught, figures)

    def _written(self, index_S: Tensor, regions: Regions, part: Part | None) -> Written:
        """The slots and regions of the whole batch, from those of this process."""
        if part is None or self.peers.size == 1:
            return Written(index_S, regions)
        every_S = self.bank.of_videos(torch.from_numpy(part.videos_B))
        gather = self.peers.gather
        keys = self.peers.gather_with_gradient if self.config.key_gradient else gather
        return Written(every_S, Regions(keys(regions.vectors_SMd), gather(regions.valid_SM)))

    def _may_start(self, step: int) -> bool:
        """After the warm-up, once the bank is full enough; without a warm-up at once."""
        late = step >= int(self.config.warmup * self.steps)
        enough = self.bank.coverage() >= self.config.start_coverage or self.config.warmup == 0
        return late and enough

    def _clusters_last(self) -> bool:
        return self.config.denoise in ("cluster", "shuffled") and self.clusters.config.lasts

    def snippets(
        self,
        output: Output,
        batch: Batch,
        step: int,
        known: Known | None = None,
        part: Part | None = None,
    ) -> Snippets:
        """Pseudo-labels, projected features and confidence of a batch (D1 to D4)."""
        mask_BT = batch.mask_BT
        rows = Packing.of(mask_BT).snippet_rows(mask_BT.device)
        embedding_NE = (
            output.embedding_base_NE
            if self.config.embedding == "base"
            else output.embedding_supp_NE
        )
        h_NE = embedding_NE[rows].float()
        x_Nd = self.projection(h_NE)
        lengths_B = mask_BT.sum(1)
        video_N = torch.repeat_interleave(lengths_B)
        with torch.no_grad():
            attention_N, base_NC, supp_NC = (part[mask_BT] for part in output[:3])
            cas_NC = activations(attention_N, base_NC, supp_NC, self.config.pseudo.source)
            labels_NC = pseudo_labels(cas_NC, video_N, batch.labels_BC, self.config.pseudo)
            if known is not None:
                labels_NC = known.override(labels_NC)
            if self.clusters.config.features == "input":
                clustered_Nd = F.normalize(batch.features_BTD[mask_BT], dim=1)
            else:
                projected = self.clusters.config.features == "projected"
                clustered_Nd = F.normalize((x_Nd if projected else h_NE).detach(), dim=1)
            confidence_NC = self._confidence(clustered_Nd, labels_NC, lengths_B, batch, step, part)
            if known is not None:
                confidence_NC = known.certain(confidence_NC)
            if self._clusters_last():
                self._remember(clustered_Nd, labels_NC, lengths_B, batch, part)
        tagged_NC = self.labels_VC[batch.videos_B][video_N]
        return Snippets(x_Nd, labels_NC, confidence_NC, tagged_NC, lengths_B)

    def _confidence(
        self,
        clustered_Nd: Tensor,
        labels_NC: Tensor,
        lengths_B: Tensor,
        batch: Batch,
        step: int,
        part: Part | None,
    ) -> Tensor:
        """S, or what `dcc.denoise` puts in its place; the controls are drawn for all processes."""
        if self.started is None or self.config.denoise == "off":
            return torch.ones_like(labels_NC, dtype=torch.float32)
        draw = torch_generator(self.seed, "controls", step, labels_NC.device)
        before = 0 if part is None else part.snippets[0]
        own = slice(before, before + len(labels_NC))
        if self.config.denoise == "random":
            return random_confidence(self.peers.gather(labels_NC), self.clusters.K, draw)[own]
        confidence_NC = self.clusters.confidence(
            clustered_Nd, labels_NC, lengths_B, batch.videos_B, step
        )
        if self.config.denoise == "shuffled":
            every_NC = self.peers.gather(confidence_NC)
            return shuffled(every_NC, self.peers.gather(labels_NC), draw)[own]
        return confidence_NC

    def _remember(
        self,
        clustered_Nd: Tensor,
        labels_NC: Tensor,
        lengths_B: Tensor,
        batch: Batch,
        part: Part | None,
    ) -> None:
        """Leave the distinct snippets of every video for the next round."""
        position_N = batch.positions_BT[batch.mask_BT]
        sizes = lengths_B.tolist()
        parts = (torch.split(part, sizes) for part in (clustered_Nd, labels_NC, position_N))
        for video, features, labels, position in zip(batch.videos_B.tolist(), *parts, strict=True):
            new = torch.ones_like(position, dtype=torch.bool)
            new[1:] = position[1:] != position[:-1]
            self.clusters.remember(video, features[new], labels[new])
        if part is not None:
            self.clusters.leave(part.others(), clustered_Nd.shape[1])

    def regions(self, snippets: Snippets, videos_B: Tensor) -> tuple[Tensor, Regions]:
        """Bank slots of these videos and their region vectors (D5 to D7)."""
        index_S, entries, region_E, weight_E = self.layout(snippets, videos_B)
        S, M = len(index_S), self.config.regions
        pooled = pool(snippets.x_Nd, entries, region_E, weight_E, S, M)
        vectors_SMd, valid_SM = fill_empty(pooled, self.config.empty)
        if self.config.normalise:
            vectors_SMd = F.normalize(vectors_SMd, dim=2)
        return index_S, Regions(vectors_SMd, valid_SM)

    def layout(self, snippets: Snippets, videos_B: Tensor) -> Layout:
        """Which snippets make up which region of which slot, and with what weight."""
        index_S = self.bank.of_videos(videos_B)
        slots = self.bank.slots.select(index_S)
        place_V = torch.zeros(len(self.labels_VC), dtype=torch.int64, device=index_S.device)
        place_V[videos_B] = torch.arange(len(videos_B), device=index_S.device)
        entries = list_entries(snippets.lengths_B, place_V[slots.video_S])
        weight_E = self._weights(snippets, slots, entries)
        S, M = len(index_S), self.config.regions
        if self.config.cut == "uniform":
            region_E = cut_uniform(entries, M)
        elif self.config.cut == "mass":
            region_E = cut_by_mass(entries, weight_E, S, M)
        else:
            region_E = cut_by_runs(entries, weight_E, S, M)
        return Layout(index_S, entries, region_E, weight_E)

    def _weights(self, snippets: Snippets, slots: Slots, entries: Entries) -> Tensor:
        """Weight of every entry, by what its slot is."""
        _, labels_NC, confidence_NC, tagged_NC, _ = snippets
        place = entries.row_E, slots.class_S[entries.slot_E]
        action_E = action_weights(labels_NC, confidence_NC)[place]
        background_E = background_weights(
            labels_NC, confidence_NC, tagged_NC, self.config.background
        )[place]
        return torch.where(slots.background_S[entries.slot_E], background_E, action_E)

    def contrast(
        self, index_S: Tensor, regions: Regions, written: Written
    ) -> tuple[Contrasted, int]:
        """L_dcc of this process's action regions against their keys (D9 to D11).

        Returns:
            The loss, and how many action regions there are, empty ones included.
        """
        config, bank, M = self.config, self.bank, self.config.regions
        slots = bank.slots.select(index_S)
        is_anchor_SM = regions.valid_SM & ~slots.background_S.unsqueeze(1)
        place_A = is_anchor_SM.view(-1).nonzero()[:, 0]
        positive_AR, negative_AR = self._pairs(index_S, slots, place_A, written.index_S)
        keys_SMd = bank.vectors_SMd
        if config.key_gradient:
            keys_SMd = keys_SMd.index_copy(0, written.index_S, written.regions.vectors_SMd)
        found = contrast(
            regions.vectors_SMd.flatten(0, 1)[place_A],
            keys_SMd.flatten(0, 1),
            positive_AR,
            negative_AR,
            tau=config.tau,
            form=config.form,
            hardest=config.hardest,
        )
        return found, int((~slots.background_S).sum()) * M

    def _pairs(
        self, index_S: Tensor, slots: Slots, place_A: Tensor, written_S: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Positives and negatives of each anchor among the regions of the bank, (A, S M) bool.

        `written_S` are the slots of the whole batch; None: they are `index_S`.
        """
        config, bank, M = self.config, self.bank, self.config.regions
        relations = relate(
            slots,
            bank.slots,
            self.labels_VC,
            literal_conflicts=config.literal_conflicts,
            same_video_negatives=config.same_video_negatives,
        )
        used_S = bank.newest(config.bank_cap)
        if config.contrast == "batch":
            of_batch_S = index_S if written_S is None else written_S
            used_S = torch.zeros_like(used_S).index_fill_(0, of_batch_S, True)
        used_R = (used_S.unsqueeze(1) & bank.valid_SM).view(-1)
        if config.contrast == "video":
            same_AS = slots.video_S.unsqueeze(1) == bank.slots.video_S
            relations = Relations(*(part & same_AS for part in relations))
        slot_A = place_A // M
        positive_AR, negative_AR = (
            part[slot_A].repeat_interleave(M, dim=1) & used_R for part in relations
        )
        if not config.self_positive:
            itself_A = index_S[slot_A] * M + place_A % M
            positive_AR[torch.arange(len(place_A), device=itself_A.device), itself_A] = False
        return positive_AR, negative_AR

    def backward(
        self, base_loss: Tensor, term: Contrast, output: Output, step: int, lr: float
    ) -> dict[str, float]:
        """Gradients of L_base + beta L_dcc in place of `base_loss.backward()`, and beta (D12).

        Both gradients are taken down to the embedding, where their norms decide beta; from there
        one pass serves both. The projection is updated here.

        Args:
            base_loss: weighted sum of all terms but the contrast.
            term: of this step.
            output: of the network; the embeddings carry the graph.
            step: steps done before this one.
            lr: of this step.

        Returns:
            beta, both norms and the share of the contrast, for the log.
        """
        if term.loss is None:
            base_loss.backward()  # type: ignore[no-untyped-call]
            return {}
        branches = output.embedding_base_NE, output.embedding_supp_NE
        own = branches[0] if self.config.embedding == "base" else branches[1]
        of_base = torch.autograd.grad(base_loss, branches, retain_graph=True)
        parameters = list(self.projection.parameters())
        of_dcc, *of_projection = torch.autograd.grad(term.loss, [own, *parameters])
        base_norm = torch.stack([part.float().norm() for part in of_base]).norm().item()
        base_norm = self.peers.norm(base_norm)
        dcc_norm = self.peers.norm(of_dcc.float().norm().item())
        first = self.started or 0
        progress = (step - first) / max(self.steps - 1 - first, 1)
        beta = self.beta(progress, base_norm, dcc_norm)
        torch.autograd.backward([base_loss, own], [None, beta * of_dcc])
        for parameter, gradient in zip(parameters, of_projection, strict=True):
            parameter.grad = beta * gradient
        self.peers.add_gradients(parameters)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        share = beta * dcc_norm / base_norm if base_norm > 0 else math.inf
        return {"beta": beta, "grad_base": base_norm, "grad_dcc": dcc_norm, "grad_share": share}

    def _taught(self, snippets: Snippets, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The terms that use denoised labels directly, where they have a weight."""
        _, labels_NC, confidence_NC, tagged_NC, _ = snippets
        action_NC = action_weights(labels_NC, confidence_NC)[:, :-1]
        taught: dict[str, Tensor] = {}
        if self.teach["dcc_classes"]:
            supp_NC = output.cas_supp_BTC[batch.mask_BT]
            taught["dcc_classes"] = denoised.classes(supp_NC, action_NC, self.peers.total)
        if self.teach["dcc_attention"]:
            background_NC = background_weights(labels_NC, confidence_NC, tagged_NC, "union")
            taught["dcc_attention"] = denoised.attention(
                output.attention_BT[batch.mask_BT],
                action_NC.amax(1),
                background_NC[:, -1],
                self.peers.total,
            )
        return taught

    def weighted(self, taught: Mapping[str, Tensor]) -> Tensor | float:
        """Their weighted sum."""
        return sum(self.teach[name] * value for name, value in taught.items())

    def health(self, snippets: Snippets, step: int) -> dict[str, float]:
        """Figures that tell a healthy contrast from a collapsing one."""
        with torch.no_grad():
            on_NC = snippets.labels_NC[:, :-1]
            off_NC = snippets.tagged_NC & ~on_NC
            confidence_NC = snippets.confidence_NC[:, :-1]
            mean = self.peers.mean
            return {
                "pseudo_share": mean(on_NC.any(1).float()),
                "confidence_on": mean(confidence_NC[on_NC]),
                "confidence_off": mean(confidence_NC[off_NC]),
                "feature_variance": self.peers.variance(F.normalize(snippets.x_Nd, dim=1)),
                "bank_coverage": self.bank.coverage(),
                "bank_age": self.bank.age(step),
            }

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and small facts that resume needs; `load` takes them back."""
        clusters, cluster_facts = self.clusters.state()
        tensors = {f"projection/{n}": t for n, t in self.projection.state_dict().items()}
        moments = optimizer_tensors(self.projection, self.optimizer)
        tensors |= {f"optimizer/{n}": t for n, t in moments.items()}
        tensors |= {f"bank/{n}": t for n, t in self.bank.state().items()}
        tensors |= {f"clusters/{n}": t for n, t in clusters.items()}
        beta = [self.beta.base_norm, self.beta.dcc_norm]
        return tensors, {"started": self.started, "beta": beta, "clusters": cluster_facts}

    def shared(self) -> dict[str, list[Tensor]]:
        """What several processes hold alike, by name."""
        facts = [self.started or 0, self.beta.base_norm, self.beta.dcc_norm]
        projection = self.projection.state_dict().values()
        moments = optimizer_tensors(self.projection, self.optimizer).values()
        return {
            "projection": [torch.tensor(facts, dtype=torch.float64), *projection, *moments],
            "memory bank": list(self.bank.state().values()),
            "clustering": self.clusters.shared(),
        }

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Put a saved state back, on the device of this one."""

        def part(name: str) -> dict[str, Tensor]:
            head = f"{name}/"
            return {n[len(head) :]: t for n, t in tensors.items() if n.startswith(head)}

        self.projection.load_state_dict(part("projection"))
        restore_optimizer(self.projection, self.optimizer, part("optimizer"))
        self.bank.load(part("bank"))
        self.clusters.load(part("clusters"), facts["clusters"])
        self.started = facts["started"]
        self.beta.base_norm, self.beta.dcc_norm = facts["beta"]
