"""UberNCE: all clips with your label are your keys, each to be found. Shapes: see the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def uber_nce(logits_BN: Tensor, positives_BN: Tensor) -> Tensor:
    """Mean over rows of the mean over positives p of -log softmax(l)[p].

    The mean stands outside the logarithm, unlike in `mil_nce`: every positive has to be near.

    Args:
        logits_BN: (B, N).
        positives_BN: (B, N) bool, at least one per row; a row without makes the loss NaN.

    Returns:
        Scalar.

    Source: supervised contrastive learning (NeurIPS 2020), L_out; TengdaHan/CoCLR main_nce.py.
    """
    log_p_BN = logits_BN.log_softmax(1).masked_fill(~positives_BN, 0)
    return -(log_p_BN.sum(1) / positives_BN.sum(1)).mean()
