"""Gaussian blur of all frames of a clip."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wtal_features.augment.bands import filter_both

if TYPE_CHECKING:
    from torch import Tensor


def gaussian_blur(x_HW: Tensor, sigma: float, radius: int) -> Tensor:
    """Blur with a separable Gaussian; the border repeats the outermost pixels.

    Args:
        x_HW: (..., H, W) float.
        sigma: Standard deviation, in pixels.
        radius: Pixels on each side that count; those beyond 4 sigma never do.

    Returns:
        (..., H, W).

    Source: SimCLR (ICML 2020). CVRL's public code pads with zeros, which darkens the border of
        the view that is always blurred; Pillow, in CoCLR and CMD, repeats the border as here, but
        puts three box filters in the Gaussian's place.
    """
    height, width = x_HW.shape[-2:]
    radius = min(radius, math.ceil(4 * sigma))
    return filter_both(_band(height, sigma, radius), _band(width, sigma, radius), x_HW)


def _band(size: int, sigma: float, radius: int) -> Tensor:
    """(size, size): row i holds the weights of the pixels around i, and sums to one."""
    import torch

    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    near = (torch.arange(size)[:, None] + offsets).clamp(0, size - 1)
    spread = (weights / weights.sum()).expand(size, -1)
    return torch.zeros(size, size).scatter_add_(1, near, spread)
