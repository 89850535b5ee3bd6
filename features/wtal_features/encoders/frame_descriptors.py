"""iMAC and L3-iRMAC: what each frame shows, out of the maps of all stages of an image network.

Legend: B clips, T frames, H x W places of a map, C channels of a map, D channels of all maps.

Source: iMAC, Kordopatis-Zilos et al. (MMM 2017); regions as R-MAC (ICLR 2016); both as TCA (WACV
2021) computes them, xwen99/temporal_context_aggregation pre_processing/extract_features.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def imac(map_BCTHW: Tensor) -> Tensor:
    """L2 over the channels of each place, maximum over the places of each frame, L2.

    Args:
        map_BCTHW: One stage; any floating point type.

    Returns:
        (B, C, T) float32, of unit length along C; zero where the whole map is.
    """
    map_BCTHW = F.normalize(map_BCTHW.float(), dim=1)
    return F.normalize(map_BCTHW.amax(dim=(3, 4)), dim=1)


def irmac(map_BCTHW: Tensor) -> Tensor:
    """The same per region, then the sum of the regions, L2.

    Regions are squares of floor(1.5 p) places, p apart, with p = floor(2 min(H, W) / 7): 3 x 3 of
    them on the square maps of 224 pixels. Maps of less than 4 places have p = 1, and every place is
    a region.

    Args:
        map_BCTHW: One stage; any floating point type.

    Returns:
        (B, C, T) float32, of unit length along C; zero where the whole map is.
    """
    step = max(1, 2 * min(map_BCTHW.shape[3:]) // 7)
    side = 3 * step // 2
    map_BCTHW = F.normalize(map_BCTHW.float(), dim=1)
    regions_BCTRS = F.max_pool3d(map_BCTHW, (1, side, side), (1, step, step))
    regions_BCTRS = F.normalize(regions_BCTRS, dim=1)
    return F.normalize(regions_BCTRS.sum(dim=(3, 4)), dim=1)


DESCRIPTORS: dict[str, Callable[[Tensor], Tensor]] = {"imac": imac, "irmac": irmac}
# Of the last map alone, or one of the above.
POOLINGS = ("mean", *DESCRIPTORS)


class FrameDescriptors(nn.Module):
    """An image network that describes frames: the descriptors of its stages, one after another.

    Each frame has its own; a clip of several frames is described by their mean, which nothing
    scales anew: so a mean over what `encode_dense` gives is what `encode` gives.

    Args:
        network: With `stages` and `stage_dims`, as `ResNet50`.
        pooling: A name of `DESCRIPTORS`.

    Attributes:
        dim: D, 3840 for ResNet-50; of one frame, length 2: four parts of length 1.
    """

    def __init__(self, network: Any, pooling: str) -> None:
        super().__init__()
        self.network = network
        self.dim = sum(network.stage_dims)
        self._describe = DESCRIPTORS[pooling]

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, D, T, 1, 1) float32."""
        parts = [self._describe(stage) for stage in self.network.stages(x_BCTHW)]
        return torch.cat(parts, dim=1)[..., None, None]
