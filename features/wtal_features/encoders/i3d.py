"""I3D: Inception-v1 with its kernels inflated into time.

Shapes: B clips, C channels, T frames, H x W pixels, D output dims. Modules carry the names of the
torch files in circulation.

Source: Carreira and Zisserman, "Quo Vadis, Action Recognition?" (CVPR 2017); names, padding and BN
constants as in piergiaj/pytorch-i3d pytorch_i3d.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wtal_features.encoders.padding import SameConv3d, SameMaxPool3d
from wtal_features.encoders.widths import scaled
from wtal_features.errors import FeatureError

# Channels of the six convolutions of one block: a; b0, b1; c0, c1; d (GoogLeNet's table 1, with
# 3x3 for its 5x5).
Mixing = tuple[int, ...]
INCEPTION_V1: dict[int, tuple[Mixing, ...]] = {
    3: ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    4: (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    5: ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
}


class Unit(nn.Module):
    """Convolution -> BN -> ReLU.

    Args:
        c_in: Channels of the input.
        c_out: Channels of the output.
        kernel: k, along all three axes.
        stride: Along all three axes.
        generator: Draws the initial weights, N(0, 0.01).
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int, stride: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        # With stride 1 and odd kernels "same" is symmetric, and torch pads without a copy.
        kind, padding = (SameConv3d, 0) if stride > 1 else (nn.Conv3d, kernel // 2)
        conv = kind(c_in, c_out, kernel, stride, padding, bias=False, device="meta")
        self.conv3d = conv.to_empty(device="cpu")  # no draw from torch's global generator
        nn.init.normal_(self.conv3d.weight, std=0.01, generator=generator)
        self.bn = nn.BatchNorm3d(c_out, eps=1e-3, momentum=0.01)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C_in, T, H, W) -> (B, C_out, ceil(T/s), ceil(H/s), ceil(W/s))."""
        return F.relu(self.bn(self.conv3d(x_BCTHW)), inplace=True)


class Mixed(nn.Module):
    """Four branches, concatenated: 1; 1 and 3; 1 and 3; pool and 1.

    Args:
        c_in: Channels of the input.
        mixing: Channels of the six convolutions.
        generator: Draws the initial weights.
    """

    def __init__(self, c_in: int, mixing: Mixing, generator: torch.Generator) -> None:
        super().__init__()
        a, b0, b1, c0, c1, d = mixing
        self.dim = a + b1 + c1 + d
        self.b0 = Unit(c_in, a, 1, 1, generator)
        self.b1a = Unit(c_in, b0, 1, 1, generator)
        self.b1b = Unit(b0, b1, 3, 1, generator)
        self.b2a = Unit(c_in, c0, 1, 1, generator)
        self.b2b = Unit(c0, c1, 3, 1, generator)
        self.b3a = nn.MaxPool3d(3, 1, 1)
        self.b3b = Unit(c_in, d, 1, 1, generator)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C_in, T, H, W) -> (B, dim, T, H, W)."""
        branches = (
            self.b0(x_BCTHW),
            self.b1b(self.b1a(x_BCTHW)),
            self.b2b(self.b2a(x_BCTHW)),
            self.b3b(self.b3a(x_BCTHW)),
        )
        return torch.cat(branches, dim=1)


class I3D(nn.Module):
    """I3D up to its last map, before the average pool; time shrinks by 8, space by 32.

    Args:
        in_channels: C; 3 for colour, 2 for flow.
        width: Multiplies every number of channels; 1 is the published network.
        generator: Draws the initial weights.

    Attributes:
        dim: D, 1024 at width 1.
    """

    def __init__(
        self, in_channels: int = 3, width: float = 1.0, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        stem, wide = scaled(64, width), scaled(192, width)
        self.Conv3d_1a_7x7 = Unit(in_channels, stem, 7, 2, generator)
        self.MaxPool3d_2a_3x3 = SameMaxPool3d((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(stem, stem, 1, 1, generator)
        self.Conv3d_2c_3x3 = Unit(stem, wide, 3, 1, generator)
        pools = {
            3: ("MaxPool3d_3a_3x3", SameMaxPool3d((1, 3, 3), (1, 2, 2))),
            4: ("MaxPool3d_4a_3x3", SameMaxPool3d((3, 3, 3), (2, 2, 2))),
            5: ("MaxPool3d_5a_2x2", SameMaxPool3d((2, 2, 2), (2, 2, 2))),
        }
        self.dim = wide
        for stage, (name, pool) in pools.items():
            self.add_module(name, pool)
            for letter, channels in zip("bcdef", INCEPTION_V1[stage], strict=False):
                mixing = tuple(scaled(c, width) for c in channels)
                block = Mixed(self.dim, mixing, generator)
                self.add_module(f"Mixed_{stage}{letter}", block)
                self.dim = block.dim

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, D, T/8, H/32, W/32), every size rounded up.

        Raises:
            FeatureError: If the clips have other channels.
        """
        if x_BCTHW.shape[1] != self.in_channels:
            raise FeatureError(
                f"I3D was given clips of {x_BCTHW.shape[1]} channels; expected {self.in_channels}.",
                code="clip",
            )
        for layer in self.children():
            x_BCTHW = layer(x_BCTHW)
        return x_BCTHW
