"""CMD's InfoNCE: each predicted point finds its own among the target points of the whole batch.

Shapes: M = B P query points, of B clips with P points each; R = B (1 + m) P target points, of B
target clips and m other motion clips of each of the videos; W processes. For CMD's other task,
context, every clip is one point: P = 1 and m = 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wtal_features.contrast.processes import gather_rows, own_rows

if TYPE_CHECKING:
    from torch import Tensor


def point_logits(
    queries_MD: Tensor, targets_RD: Tensor, temperature: float = 0.1
) -> tuple[Tensor, Tensor]:
    """Cosines of this process's query points with the target points of all, over T.

    Args:
        queries_MD: (M, D), L2-normalised; clip by clip, within a clip by t, y, x.
        targets_RD: (R, D), likewise; the target clips in the order of the queries, the other
            motion clips behind them. The positive of row i is row i.
        temperature: T.

    Returns:
        (M, W R) logits, and the (M,) columns of the positives.
    """
    all_targets = gather_rows(targets_RD)
    return queries_MD @ all_targets.T / temperature, own_rows(targets_RD)[: len(queries_MD)]


def pointwise_infonce(queries_MD: Tensor, targets_RD: Tensor, temperature: float = 0.1) -> Tensor:
    """Mean over query points of the cross-entropy over all target points.

    Gradients reach both sides, the targets of other processes too; there is no queue, no stopped
    gradient and no momentum.

    Args:
        queries_MD: As in `point_logits`.
        targets_RD: Likewise.
        temperature: T.

    Returns:
        Scalar; log(W R) where nothing is told apart: log(196 B) for 7 x 7 points and m = 3.

    Source: CMD (CVPR 2021); foolwood/DRL Context-Motion-Decoupling/pretrain.py.
    """
    from torch.nn import functional as F

    return F.cross_entropy(*point_logits(queries_MD, targets_RD, temperature))
