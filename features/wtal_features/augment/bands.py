"""Filters of whole pictures as products with two matrices, of which most entries are zero.

Shapes: h x w pixels become H x W. An entry (i, j) of a matrix is the weight of line j of the input
in line i of the result; the weights lie in a band around the diagonal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Lines of the result that are computed at once, from the stretch of the input that they need. For
# pictures of 224 pixels this is three times as fast as the whole product.
_BLOCK = 32


def filter_both(down_Hh: Tensor, across_Ww: Tensor, x_hw: Tensor) -> Tensor:
    """Filter pictures along both edges.

    Args:
        down_Hh: (H, h) weights; no block of rows is all zero.
        across_Ww: (W, w) weights, likewise.
        x_hw: (..., h, w) float.

    Returns:
        (..., H, W): down x across^T.
    """
    return _product(down_Hh.to(x_hw), _product(across_Ww.to(x_hw), x_hw.mT).mT)


def _product(weights_Hh: Tensor, x_hw: Tensor) -> Tensor:
    """(..., H, w): weights x."""
    import torch

    blocks = []
    for weights in torch.split(weights_Hh, _BLOCK):
        used = weights.any(0).nonzero()
        reach = slice(int(used[0]), int(used[-1]) + 1)
        blocks.append(weights[:, reach] @ x_hw[..., reach, :])
    return torch.cat(blocks, dim=-2)
