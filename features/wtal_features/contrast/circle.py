"""Circle loss: each similarity is pushed the harder, the farther it is from where it should be.

Shapes: see the package.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def circle_loss(
    similarities_BN: Tensor,
    margin: float = 0.25,
    gamma: float = 256.0,
    left_out_BN: Tensor | None = None,
) -> Tensor:
    """Cross entropy of weighted similarities, one positive per row.

    The positive s_p has the logit g a_p (s_p - (1 - m)) with a_p = [1 + m - s_p]+, a negative s_n
    has g a_n (s_n - m) with a_n = [s_n + m]+; no gradient flows through a. The released code takes
    the weights by row instead of by column, so all rows but the first have their positive pushed
    away as a negative; that is not done here.

    Args:
        similarities_BN: (B, N) cosines, of the positive in column 0; no temperature.
        margin: m.
        gamma: g.
        left_out_BN: Bool, True for columns that are neither; None: none.

    Returns:
        Scalar, the mean over the rows.

    Source: Circle Loss (CVPR 2020), eq. 6 with one positive; TCA (WACV 2021), section 3.3;
    xwen99/temporal_context_aggregation utils.py, `CircleLoss`.

    Example:
        >>> import torch
        >>> round(circle_loss(torch.tensor([[0.5, 0.3, -0.4]], dtype=torch.float64)).item(), 6)
        55.040876
    """
    import torch

    s_B1, s_BK = similarities_BN[:, :1], similarities_BN[:, 1:]
    a_B1 = (1 + margin - s_B1).detach().clamp(min=0)
    a_BK = (s_BK + margin).detach().clamp(min=0)
    logits_BN = gamma * torch.cat([a_B1 * (s_B1 - (1 - margin)), a_BK * (s_BK - margin)], dim=1)
    if left_out_BN is not None:
        logits_BN = logits_BN.masked_fill(left_out_BN, -math.inf)
    return -logits_BN.log_softmax(1)[:, 0].mean()
