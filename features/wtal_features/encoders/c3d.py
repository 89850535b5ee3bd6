"""C3D with BatchNorm, the third video network of CMD.

Shapes: B clips, C channels, T frames, H x W pixels, D = 512 features at width 1. Strides: 8 in
time, 16 in space.

Source: CMD (CVPR 2021); foolwood/DRL@9bd1768 Context-Motion-Decoupling/models/c3d.py, whose
modules have these names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wtal_features.encoders.r2plus1d26 import ONE, Axes, conv3d
from wtal_features.encoders.widths import scaled
from wtal_features.errors import FeatureError

# What the convolution's name ends in, its channels, and the pool behind it (kernel = stride).
_LAYERS: tuple[tuple[str, int, Axes], ...] = (
    ("1", 64, (1, 2, 2)),
    ("2", 128, (2, 2, 2)),
    ("3a", 256, ONE),
    ("3b", 256, (2, 2, 2)),
    ("4a", 512, ONE),
    ("4b", 512, (2, 2, 2)),
    ("5a", 512, ONE),
    ("5b", 512, ONE),
)
# Shorter clips or smaller frames vanish in the pools.
MIN_FRAMES, MIN_SIDE = 8, 16


class C3D(nn.Module):
    """Eight 3x3x3 convolutions with bias, each BN -> ReLU; four pools.

    Args:
        in_channels: C; 3 for colour.
        width: Multiplies every number of channels; 1 is the published network.
        generator: Draws the initial weights.

    Attributes:
        dim: D, 512 at width 1.
    """

    def __init__(
        self, in_channels: int = 3, width: float = 1.0, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.dim = in_channels
        for name, published, _ in _LAYERS:
            c_out = scaled(published, width)
            conv = conv3d(self.dim, c_out, (3, 3, 3), ONE, generator, bias=True)
            self.add_module(f"conv{name}", conv)
            self.add_module(f"bn{name}", nn.BatchNorm3d(c_out))
            self.dim = c_out

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, D, T/8, H/16, W/16), rounded down.

        Raises:
            FeatureError: If the clips are too small.
        """
        T, H, W = x_BCTHW.shape[2:]
        if T < MIN_FRAMES or min(H, W) < MIN_SIDE:
            raise FeatureError(
                f"C3D was given clips of {T} frames of {H} x {W} px; expected at least "
                f"{MIN_FRAMES} frames of {MIN_SIDE} x {MIN_SIDE} px.",
                code="clip",
            )
        for name, _, pool in _LAYERS:
            conv, bn = self.get_submodule(f"conv{name}"), self.get_submodule(f"bn{name}")
            x_BCTHW = F.max_pool3d(F.relu(bn(conv(x_BCTHW))), pool)
        return x_BCTHW
