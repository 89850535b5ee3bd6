"""NT-Xent, CVRL's loss: of two views of each clip, each finds the other. Shapes: see package."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wtal_features.contrast.processes import gather_rows, own_rows

if TYPE_CHECKING:
    from torch import Tensor


def nt_xent(a_BD: Tensor, b_BD: Tensor, temperature: float = 0.1) -> Tensor:
    """L_a + L_b over the batch of all processes; the paper's mean over all views is half of it.

    L_a is the mean over a of the cross-entropy over [a.b, a.a] / T, where the own index of a.b is
    right and that of a.a is left out; L_b likewise. With several processes each computes the rows
    of its own, and the mean over the processes is the loss of the whole batch; for gradients, see
    `gather_rows`.

    Args:
        a_BD: (B, D), L2-normalised; the first view of each clip.
        b_BD: (B, D), likewise; the second.
        temperature: T.

    Returns:
        Scalar; 2 log(2 W B - 1) where nothing is told apart.

    Source: CVRL (CVPR 2021); tensorflow/models official/projects/video_ssl/losses/losses.py,
    `contrastive_loss`.
    """
    all_a, all_b = gather_rows(a_BD), gather_rows(b_BD)
    return _one_way(a_BD, all_b, all_a, temperature) + _one_way(b_BD, all_a, all_b, temperature)


def _one_way(x_BD: Tensor, other: Tensor, same: Tensor, temperature: float) -> Tensor:
    """Each x finds its other view among the other and the same views of all, (W B, D) each."""
    import torch
    from torch.nn import functional as F

    own_B = own_rows(x_BD)
    itself = F.one_hot(own_B, len(same)).bool()
    to_same = (x_BD @ same.T).masked_fill(itself, -math.inf)
    logits = torch.cat([x_BD @ other.T, to_same], dim=1) / temperature
    return F.cross_entropy(logits, own_B)
