"""Multiple-instance learning from video tags: top-k pooling and the three terms of BaS-Net.

Shapes: B videos, T snippets (padded), C action classes; row index C is the background.
Source: BaS-Net (AAAI 2020) as released, Pilhyeon/BaSNet-pytorch@c8c6bbd model.py and train.py;
the repairs are those of docs/method.md.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PUBLISHED_CLASSES = 20  # THUMOS14, where the terms were balanced
PUBLISHED_LENGTH = 750  # snippets per video there


def top_k_mean(
    cas_BTC: Tensor, mask_BT: Tensor, *, ratio: int, at_least_one: bool = True
) -> Tensor:
    """Mean of the k largest activations of each class over time, k = floor(valid snippets / ratio).

    Args:
        cas_BTC: class activation sequence, logits.
        mask_BT: True at valid snippets; no other snippet is ever picked.
        ratio: 8 in BaS-Net.
        at_least_one: k = max(1, k). Without it a video of fewer than `ratio` snippets gives NaN, as
            in the released code.

    Returns:
        (B, C) video-level class logits.
    """
    lengths_B = mask_BT.sum(1)
    k_B = lengths_B // ratio
    if at_least_one:
        k_B = k_B.clamp(min=1)
    k_max = int(k_B.max())
    top_BKC = cas_BTC.masked_fill(~mask_BT.unsqueeze(2), -torch.inf).topk(k_max, dim=1).values
    picked_BK1 = (torch.arange(k_max, device=k_B.device) < k_B.unsqueeze(1)).unsqueeze(2)
    return top_BKC.masked_fill(~picked_BK1, 0).sum(1) / k_B.unsqueeze(1)


def log_one_minus_softmax(logits_BC: Tensor) -> Tensor:
    """log(1 - softmax(a)_c) = log sum_{j != c} exp a_j - log sum_j exp a_j: finite for any logits.

    Taking log1p(-p) instead rounds p to 1 for a sure class, which needs a clamp and loses the
    gradient.
    """
    C = logits_BC.shape[1]
    itself_CC = torch.eye(C, dtype=torch.bool, device=logits_BC.device)
    others_BCC = logits_BC.unsqueeze(1).masked_fill(itself_CC, -torch.inf)
    return others_BCC.logsumexp(2) - logits_BC.logsumexp(1, keepdim=True)


def classification(
    logits_BC: Tensor, labels_BC: Tensor, *, background: float, separate_log: bool = False
) -> Tensor:
    """Binary cross-entropy on softmax scores against the normalised tags, mean over B and C+1.

    z = [y, g] / sum([y, g]);  L = -(1/(B(C+1))) sum_b sum_c [z log p + (1-z) log(1-p)].

    Args:
        logits_BC: (B, C+1) pooled logits, background last.
        labels_BC: (B, C) 0/1 tags.
        background: g, 1 in the base branch and 0 in the suppression branch.
        separate_log: the released form, log(softmax) with PyTorch's clamp at -100.

    Returns:
        Scalar.
    """
    target_BC = torch.cat([labels_BC, torch.full_like(labels_BC[:, :1], background)], dim=1)
    # A background-only video in the suppression branch has no positive at all: its target stays 0.
    target_BC = target_BC / target_BC.sum(1, keepdim=True).clamp(min=1)
    if separate_log:
        p_BC = logits_BC.softmax(1)
        # PyTorch raises on NaN here; the sum passes it on to the check that names the term.
        return F.binary_cross_entropy(p_BC, target_BC) if p_BC.isfinite().all() else p_BC.sum()
    log_p_BC = logits_BC.log_softmax(1)
    log_not_p_BC = log_one_minus_softmax(logits_BC)
    return -(target_BC * log_p_BC + (1 - target_BC) * log_not_p_BC).mean()


def attention_norm(attention_BT: Tensor, mask_BT: Tensor, *, per_750: bool = True) -> Tensor:
    """L1 norm of the foreground weights, mean over the batch: it keeps the filter sparse.

    Args:
        attention_BT: foreground weights in [0, 1].
        mask_BT: True at valid snippets.
        per_750: the mean over time times 750, so that one alpha suits every length and equals the
            released one at T = 750; False sums over time, as released.
    """
    total_B = attention_BT.masked_fill(~mask_BT, 0).sum(1)
    if per_750:
        total_B = total_B * PUBLISHED_LENGTH / mask_BT.sum(1)
    return total_B.mean()
