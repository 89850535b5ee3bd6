"""InfoNCE: find your own key among the keys of a queue. Shapes: see the package."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def queue_logits(
    queries_BD: Tensor, keys_BD: Tensor, queue_DK: Tensor, temperature: float = 0.07
) -> Tensor:
    """Cosines with the own key and with every slot, over the temperature: [q.k, q.Q] / T.

    Gradients reach the queries alone. The queue is copied: it may take new keys before the
    backward pass, and the logits stay those of before.

    Args:
        queries_BD: (B, D), L2-normalised rows.
        keys_BD: (B, D), likewise; row i is the key of query i.
        queue_DK: (D, K), L2-normalised columns, before this step's keys are put in.
        temperature: T.

    Returns:
        (B, 1 + K).

    Source: MoCo (CVPR 2020); TengdaHan/CoCLR model/pretrain.py, `InfoNCE.forward`.
    """
    import torch

    own_B1 = (queries_BD * keys_BD.detach()).sum(1, keepdim=True)
    return torch.cat([own_B1, queries_BD @ queue_DK.detach().clone()], dim=1) / temperature


def infonce(logits_BN: Tensor) -> Tensor:
    """Mean of -log softmax(l)[0].

    Args:
        logits_BN: (B, N), the own key in column 0.

    Returns:
        Scalar; log N where all columns are equal.

    Example:
        >>> import torch
        >>> round(infonce(torch.tensor([[0.8, 0.6, 0.2, -0.4]]) / 0.07).item(), 6)
        0.056023
    """
    return -logits_BN.log_softmax(1)[:, 0].mean()


def top1(logits_BN: Tensor, positives_BN: Tensor | None = None) -> Tensor:
    """Share of rows where a positive beats all else; the figure that shows a run is learning.

    An InfoNCE run on UCF101 passes 0.7; one that stays at 0.05 is broken (TengdaHan/CoCLR#3). A
    tie is no hit: an embedding that collapsed reads 0.

    Args:
        logits_BN: (B, N).
        positives_BN: (B, N) bool; column 0 alone by default.

    Returns:
        Scalar in [0, 1], float32.
    """
    import torch

    if positives_BN is None:
        positives_BN = torch.zeros_like(logits_BN, dtype=torch.bool)
        positives_BN[:, 0] = True
    best_B = logits_BN.masked_fill(~positives_BN, -math.inf).amax(1)
    rival_B = logits_BN.masked_fill(positives_BN, -math.inf).amax(1)
    return (best_B > rival_B).float().mean()
