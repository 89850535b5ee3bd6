"""MIL-NCE, CoCLR's loss: of several candidates for a positive, any may do. Shapes: see package."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def mil_nce(logits_BN: Tensor, positives_BN: Tensor, *, drop_own: bool = False) -> Tensor:
    """Mean over rows of -log sum_P softmax(l) = logsumexp_N(l) - logsumexp_P(l).

    The sum stands inside the logarithm: one near positive is enough, so wrong ones do less harm.

    Args:
        logits_BN: (B, N).
        positives_BN: (B, N) bool, at least one per row; a row without makes the loss infinite.
        drop_own: Use `without_own`. CoCLR does so with probability 0.9 per batch; the paper does
            not say it, and without it UCF101 takes about 300 epochs (TengdaHan/CoCLR#43).

    Returns:
        Scalar.

    Source: CoCLR (NeurIPS 2020); TengdaHan/CoCLR main_coclr.py, `multi_nce_loss`.
    """
    if drop_own:
        positives_BN = without_own(positives_BN)
    chosen_BN = logits_BN.masked_fill(~positives_BN, -math.inf)
    return (logits_BN.logsumexp(1) - chosen_BN.logsumexp(1)).mean()


def without_own(positives_BN: Tensor) -> Tensor:
    """Take column 0 out of the positives of rows that have another; it remains among all columns.

    After InfoNCE the own key is so near that it alone would satisfy the loss.

    Args:
        positives_BN: (B, N) bool; stays as it is.

    Returns:
        (B, N) bool.
    """
    kept_BN = positives_BN.clone()
    kept_BN[:, 0] &= ~positives_BN[:, 1:].any(1)
    return kept_BN
