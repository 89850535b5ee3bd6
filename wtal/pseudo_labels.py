"""Pseudo-labels of snippets, and how far the clusters confirm them (DCC, D1 to D3).

Shapes: N snippets (all videos of a batch or of the set, one below the other), B videos, C action
classes; column index C is the background, K clusters. `video_N` says whose a snippet is: 0 .. B-1,
in order.

Source: DCC (CVPR 2022), pseudo-label denoising, as docs/method.md states it; what the paper leaves
open is an option here, its default and the evidence in docs/decisions/0007.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from wtal.errors import WtalError
from wtal.peers import ALONE

Total = Callable[[Tensor], Tensor]  # the sum over all processes


@dataclass(frozen=True)
class PseudoLabelConfig:
    """From the class activation sequence to a label per snippet and class."""

    source: Literal["supp", "base", "weighted", "softmax"] = "supp"
    """Action columns: logits of the suppression branch, of the base branch, of the suppression
    branch times the attention, or its softmax over C+1. The background is the base branch's."""
    threshold: Literal["mean", "quantile"] = "mean"
    """A snippet is labelled where its activation exceeds this statistic over its video."""
    above_mean: float = 0.0
    """Standard deviations added to the mean."""
    quantile: float = 0.5
    """Level of `threshold: quantile`."""
    gate: bool = True
    """Classes without a tag are never labelled."""

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.quantile <= 1:
            raise WtalError(f"dcc.pseudo.quantile is {self.quantile}; expected [0, 1].")


def activations(attention_N: Tensor, base_NC: Tensor, supp_NC: Tensor, source: str) -> Tensor:
    """(N, C+1) activations that are thresholded: actions of `source`, background of base."""
    if source == "softmax":
        base_NC, supp_NC = base_NC.softmax(1), supp_NC.softmax(1)
    actions_NC = base_NC if source == "base" else supp_NC
    if source == "weighted":
        actions_NC = actions_NC * attention_N.unsqueeze(1)
    return torch.cat([actions_NC[:, :-1], base_NC[:, -1:]], dim=1)


def pseudo_labels(
    cas_NC: Tensor, video_N: Tensor, labels_BC: Tensor, config: PseudoLabelConfig
) -> Tensor:
    """P_{t,c} = 1 where A_{t,c} exceeds its mean over the video (D1).

    Args:
        cas_NC: (N, C+1) activations, background last.
        video_N: int64, video of each snippet.
        labels_BC: (B, C) 0/1 tags.
        config: statistic and gate.

    Returns:
        (N, C+1) bool.
    """
    B = len(labels_BC)
    if config.threshold == "quantile":
        levels = [cas_NC[video_N == b].quantile(config.quantile, 0) for b in range(B)]
        level_BC = torch.stack(levels) if levels else cas_NC[:0]
    else:
        level_BC = _mean(cas_NC, video_N, B)
        if config.above_mean:
            variance_BC = _mean((cas_NC - level_BC[video_N]) ** 2, video_N, B)
            level_BC = level_BC + config.above_mean * variance_BC.sqrt()
    labels_NC = cas_NC > level_BC[video_N]
    if config.gate:
        tagged_BC = torch.cat([labels_BC > 0, torch.ones_like(labels_BC[:, :1]) > 0], dim=1)
        labels_NC &= tagged_BC[video_N]
    return labels_NC


def _mean(values_NC: Tensor, group_N: Tensor, n_groups: int) -> Tensor:
    """(groups, C) mean of each group; 0 for an empty one."""
    total_GC = values_NC.new_zeros(n_groups, values_NC.shape[1]).index_add_(0, group_N, values_NC)
    return total_GC / torch.bincount(group_N, minlength=n_groups).clamp(min=1).unsqueeze(1)


@dataclass(frozen=True)
class ClusterShares:
    """What D3 needs of a clustering: pi, and how many snippets it was counted over.

    Args:
        share_KC: pi_{k,c}, share of the members of cluster k that are labelled c.
        count_KC: members counted for it.
        overall_C: the same share over all clusters.
    """

    share_KC: Tensor
    count_KC: Tensor
    overall_C: Tensor


def cluster_shares(
    labels_NC: Tensor,
    cluster_N: Tensor,
    K: int,
    counted_NC: Tensor | None = None,
    total: Total = ALONE.total,
) -> ClusterShares:
    """Shares pi of every cluster and class (D3').

    Args:
        labels_NC: bool pseudo-labels.
        cluster_N: int64 cluster of each snippet.
        K: number of clusters; empty ones take the share over all.
        counted_NC: bool, which snippets count for which class; None: all.
        total: where several processes hold snippets.
    """
    weight_NC = torch.ones_like(labels_NC) if counted_NC is None else counted_NC
    shape = K, labels_NC.shape[1]
    count_KC = torch.zeros(shape, device=labels_NC.device).index_add_(
        0, cluster_N, weight_NC.float()
    )
    ones_KC = torch.zeros_like(count_KC).index_add_(0, cluster_N, (labels_NC & weight_NC).float())
    count_KC, ones_KC = total(torch.stack([count_KC, ones_KC]))
    overall_C = ones_KC.sum(0) / count_KC.sum(0).clamp(min=1)
    share_KC = torch.where(count_KC > 0, ones_KC / count_KC.clamp(min=1), overall_C)
    return ClusterShares(share_KC, count_KC, overall_C)


def confidence(
    labels_NC: Tensor,
    cluster_N: Tensor,
    shares: ClusterShares,
    *,
    leave_one_out: bool = False,
    min_size: int = 0,
) -> Tensor:
    """S = P pi_q + (1 - P)(1 - pi_q): the share of a snippet's cluster that is labelled as it is.

    Equal to D3, #{u : q(u)=q(t), P_{u,c}=P_{t,c}} / #{u : q(u)=q(t)}, at one look-up per snippet.

    Args:
        labels_NC: bool pseudo-labels.
        cluster_N: int64 cluster of each snippet.
        shares: pi of the clustering.
        leave_one_out: the snippet itself does not count; alone in its cluster it takes the share
            over all.
        min_size: clusters of fewer members take the share over all.

    Returns:
        (N, C+1) in [0, 1].
    """
    share_NC, count_NC = shares.share_KC[cluster_N], shares.count_KC[cluster_N]
    agree_NC = torch.where(labels_NC, share_NC, 1 - share_NC)
    overall_NC = torch.where(labels_NC, shares.overall_C, 1 - shares.overall_C)
    small_NC = count_NC < min_size
    if leave_one_out:
        agree_NC = ((agree_NC * count_NC - 1) / (count_NC - 1).clamp(min=1)).clamp(0, 1)
        small_NC |= count_NC <= 1
    return torch.where(small_NC, overall_NC, agree_NC)


def purity(labels_NC: Tensor, cluster_N: Tensor, K: int, total: Total = ALONE.total) -> float:
    """Share of snippets that carry the commonest pseudo-label of their cluster, in [0, 1].

    A snippet counts for each of its action labels, or for the background if it has none.
    """
    actions_NC = labels_NC[:, :-1]
    kinds_NC = torch.cat([actions_NC, ~actions_NC.any(1, keepdim=True)], dim=1).float()
    count_KC = kinds_NC.new_zeros(K, kinds_NC.shape[1]).index_add_(0, cluster_N, kinds_NC)
    count_KC = total(count_KC)
    return (count_KC.amax(1).sum() / count_KC.sum().clamp(min=1)).item()


def random_confidence(labels_NC: Tensor, K: int, generator: torch.Generator) -> Tensor:
    """The control of denoising: S by clusters that mean nothing."""
    cluster_N = torch.randint(K, labels_NC.shape[:1], generator=generator, device=labels_NC.device)
    return confidence(labels_NC, cluster_N, cluster_shares(labels_NC, cluster_N, K))


def shuffled(confidence_NC: Tensor, labels_NC: Tensor, generator: torch.Generator) -> Tensor:
    """The other control: each class hands its confidences to other snippets of the same label."""
    mixed_NC = confidence_NC.clone()
    for c in range(labels_NC.shape[1]):
        for label in (True, False):
            rows = (labels_NC[:, c] == label).nonzero()[:, 0]
            order = torch.randperm(len(rows), generator=generator, device=rows.device)
            mixed_NC[rows, c] = confidence_NC[rows[order], c]
    return mixed_NC
