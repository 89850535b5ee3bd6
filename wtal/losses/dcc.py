"""Denoised cross-video contrast between regions (DCC, D9 to D11).

Shapes: A anchors (valid action regions of the batch), R keys (regions of the bank), d projected
dims, S slots, M regions.

Source: DCC (CVPR 2022), as docs/method.md states it: positives are action regions of the class of
the anchor, negatives are background regions of any video and action regions of other classes in
other videos.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from wtal.memory import Slots

CIRCLE_MARGIN = 0.25  # Sun et al., Circle Loss, CVPR 2020, section 4.5


class Relations(NamedTuple):
    """What the regions of one slot are to those of another."""

    positive_AS: Tensor  # bool
    negative_AS: Tensor  # bool; a pair may be neither


def relate(
    anchors: Slots,
    keys: Slots,
    labels_VC: Tensor,
    *,
    literal_conflicts: bool = False,
    same_video_negatives: bool = False,
) -> Relations:
    """D9 and D10 for every pair of slots.

    Args:
        anchors: slots of the anchors; what is said of backgrounds among them means nothing.
        keys: slots of the keys.
        labels_VC: bool tags of all videos.
        literal_conflicts: another class of another video is a negative even if that video also
            carries the anchor's class, or the anchor's video the key's.
        same_video_negatives: so is another class of the same video.
    """
    same_video_AS = anchors.video_S.unsqueeze(1) == keys.video_S
    same_class_AS = anchors.class_S.unsqueeze(1) == keys.class_S
    action_S = ~keys.background_S
    other_action_AS = action_S & ~same_class_AS & ~same_video_AS
    if not literal_conflicts:
        # Key class c' of v' against anchor class c of v: c' in Y_v or c in Y_v'.
        last = labels_VC.shape[1] - 1  # backgrounds have no column; they are not looked at
        carried_AS = labels_VC[anchors.video_S][:, keys.class_S.clamp(max=last)]
        carries_AS = labels_VC[keys.video_S].T[anchors.class_S.clamp(max=last)]
        other_action_AS &= ~(carried_AS | carries_AS)
    if same_video_negatives:
        other_action_AS |= action_S & ~same_class_AS & same_video_AS
    return Relations(action_S & same_class_AS, keys.background_S | other_action_AS)


class Contrasted(NamedTuple):
    """The loss, and what it says about itself."""

    loss: Tensor  # scalar, 0 without a gradient where no anchor counts
    counted_A: Tensor  # bool, anchors with at least one positive
    positive_mass: float  # mean softmax mass on the positives


def contrast(
    anchors_Ad: Tensor,
    keys_Rd: Tensor,
    positive_AR: Tensor,
    negative_AR: Tensor,
    *,
    tau: float,
    form: Literal["inside", "outside", "circle"] = "inside",
    hardest: int = 0,
) -> Contrasted:
    """L_dcc over anchors that have a positive (D11), or 0.

    `inside`: -log [ sum_Pos exp(r.r+/tau) / sum_{Pos u Neg} exp(r.r/tau) ], as the paper is read;
    `outside`: the mean over positives of -log [ exp(r.r+/tau) / sum_{Pos u Neg} ]; `circle`: Circle
    Loss with gamma = 1/tau.

    Args:
        anchors_Ad: region vectors with a graph.
        keys_Rd: region vectors to compare with.
        positive_AR: bool.
        negative_AR: bool.
        tau: temperature.
        form: of the loss.
        hardest: only that many most similar negatives of each anchor; 0: all.
    """
    similarity_AR = anchors_Ad @ keys_Rd.T
    counted_A = positive_AR.any(1)
    if hardest:
        negative_AR = _hardest(similarity_AR.detach(), negative_AR, hardest)
    logits_AR = similarity_AR / tau
    positives_A = _masked_logsumexp(logits_AR, positive_AR)
    everything_A = _masked_logsumexp(logits_AR, positive_AR | negative_AR)
    if form == "circle":
        each_A = _circle(similarity_AR, positive_AR, negative_AR, tau)
    elif form == "outside":
        mean_A = logits_AR.masked_fill(~positive_AR, 0).sum(1) / positive_AR.sum(1).clamp(min=1)
        each_A = everything_A - mean_A
    else:
        each_A = everything_A - positives_A
    if not counted_A.any():
        return Contrasted(anchors_Ad.new_zeros(()), counted_A, float("nan"))
    mass = (positives_A - everything_A).detach()[counted_A].exp().mean().item()
    return Contrasted(each_A[counted_A].mean(), counted_A, mass)


def _masked_logsumexp(logits_AR: Tensor, mask_AR: Tensor) -> Tensor:
    """Log of the sum over True entries; very small where there is none, without NaN gradients."""
    lowest = torch.finfo(logits_AR.dtype).min
    return logits_AR.masked_fill(~mask_AR, lowest).logsumexp(1)


def _hardest(similarity_AR: Tensor, negative_AR: Tensor, n: int) -> Tensor:
    """The n most similar negatives of each anchor; ties to the lower index where they are cut."""
    if n >= negative_AR.shape[1]:
        return negative_AR
    ranked_AR = similarity_AR.masked_fill(~negative_AR, -torch.inf)
    kept_An = ranked_AR.sort(dim=1, descending=True, stable=True).indices[:, :n]
    return torch.zeros_like(negative_AR).scatter_(1, kept_An, True) & negative_AR


def _circle(similarity_AR: Tensor, positive_AR: Tensor, negative_AR: Tensor, tau: float) -> Tensor:
    """log[1 + sum_n exp((s_n + m)+ (s_n - m)/tau) sum_p exp(-(1 + m - s_p)+ (s_p - 1 + m)/tau)]."""
    m = CIRCLE_MARGIN
    weight_p = (1 + m - similarity_AR.detach()).clamp(min=0)
    weight_n = (similarity_AR.detach() + m).clamp(min=0)
    push_A = _masked_logsumexp(weight_n * (similarity_AR - m) / tau, negative_AR)
    pull_A = _masked_logsumexp(-weight_p * (similarity_AR - (1 - m)) / tau, positive_AR)
    return F.softplus(push_A + pull_A)
