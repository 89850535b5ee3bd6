"""S3D: Inception-v1 over clips, each 3-D convolution split into space and then time.

Shapes: B clips, C channels, T frames, H x W pixels, D output dims. Modules carry the names that
CoCLR's files use, so that its weights fit without renaming.

Source: Xie et al., "Rethinking Spatiotemporal Feature Learning" (ECCV 2018), as built in
TengdaHan/CoCLR backbone/s3dg.py; head as in model/pretrain.py.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wtal_features.encoders.i3d import INCEPTION_V1, Mixing
from wtal_features.encoders.widths import scaled
from wtal_features.errors import FeatureError

# Shorter clips or smaller frames vanish in the last pooling.
MIN_FRAMES, MIN_SIDE = 5, 17


def _conv(
    c_in: int,
    c_out: int,
    kernel: tuple[int, int, int],
    stride: tuple[int, int, int],
    generator: torch.Generator,
) -> nn.Conv3d:
    """A centred convolution without bias, drawn from N(0, 0.01).

    The scale is no detail: with torch's own initialisation narrow networks stay at chance.
    """
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    conv = nn.Conv3d(c_in, c_out, kernel, stride, padding, bias=False, device="meta")
    conv.to_empty(device="cpu")  # memory, without a draw from torch's global generator
    nn.init.normal_(conv.weight, std=0.01, generator=generator)
    return conv


def _pointwise(c_in: int, c_out: int, generator: torch.Generator) -> nn.Sequential:
    """1x1x1 -> BN -> ReLU."""
    return nn.Sequential(
        OrderedDict(
            conv=_conv(c_in, c_out, (1, 1, 1), (1, 1, 1), generator),
            bn=nn.BatchNorm3d(c_out),
            relu=nn.ReLU(inplace=True),
        )
    )


def _separable(
    c_in: int, c_out: int, kernel: int, stride: int, generator: torch.Generator
) -> nn.Sequential:
    """(1, k, k) -> BN -> ReLU -> (k, 1, 1) -> BN -> ReLU; each half strides along its own axes."""
    k, s = kernel, stride
    return nn.Sequential(
        OrderedDict(
            conv1=_conv(c_in, c_out, (1, k, k), (1, s, s), generator),
            bn1=nn.BatchNorm3d(c_out),
            relu1=nn.ReLU(inplace=True),
            conv2=_conv(c_out, c_out, (k, 1, 1), (s, 1, 1), generator),
            bn2=nn.BatchNorm3d(c_out),
            relu2=nn.ReLU(inplace=True),
        )
    )


def _linear(dim_in: int, dim_out: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer drawn as torch draws it, U(-1/sqrt(fan in), 1/sqrt(fan in))."""
    linear = nn.Linear(dim_in, dim_out, device="meta").to_empty(device="cpu")
    bound = dim_in**-0.5
    nn.init.uniform_(linear.weight, -bound, bound, generator=generator)
    nn.init.uniform_(linear.bias, -bound, bound, generator=generator)
    return linear


class Gate(nn.Module):
    """x sigmoid(W mean(x) + b), the mean over time and space: the G of S3D-G."""

    def __init__(self, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.fc = _linear(channels, channels, generator)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> the same."""
        weights_BC = torch.sigmoid(self.fc(x_BCTHW.mean(dim=(2, 3, 4))))
        return x_BCTHW * weights_BC[:, :, None, None, None]


class Mixed(nn.Module):
    """Four branches, concatenated: 1x1x1; 1x1x1 and 3; 1x1x1 and 3; pool and 1x1x1.

    Args:
        c_in: Channels of the input.
        mixing: Channels of the six convolutions.
        gated: Each branch ends in a gate.
        generator: Draws the initial weights.
    """

    def __init__(self, c_in: int, mixing: Mixing, gated: bool, generator: torch.Generator) -> None:
        super().__init__()
        a, b0, b1, c0, c1, d = mixing
        self.dim = a + b1 + c1 + d
        self.branch0 = nn.Sequential(_pointwise(c_in, a, generator))
        self.branch1 = nn.Sequential(
            _pointwise(c_in, b0, generator), _separable(b0, b1, 3, 1, generator)
        )
        self.branch2 = nn.Sequential(
            _pointwise(c_in, c0, generator), _separable(c0, c1, 3, 1, generator)
        )
        self.branch3 = nn.Sequential(nn.MaxPool3d(3, 1, 1), _pointwise(c_in, d, generator))
        self.gating_b0 = Gate(a, generator) if gated else nn.Identity()
        self.gating_b1 = Gate(b1, generator) if gated else nn.Identity()
        self.gating_b2 = Gate(c1, generator) if gated else nn.Identity()
        self.gating_b3 = Gate(d, generator) if gated else nn.Identity()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C_in, T, H, W) -> (B, dim, T, H, W)."""
        branches = (
            self.gating_b0(self.branch0(x_BCTHW)),
            self.gating_b1(self.branch1(x_BCTHW)),
            self.gating_b2(self.branch2(x_BCTHW)),
            self.gating_b3(self.branch3(x_BCTHW)),
        )
        return torch.cat(branches, dim=1)


class S3D(nn.Module):
    """S3D up to its last map; time shrinks by 8, space by 32.

    Args:
        in_channels: C; 3 for colour.
        width: Multiplies every number of channels; 1 is the published network.
        gated: S3D-G.
        generator: Draws the initial weights.

    Attributes:
        dim: D, 1024 at width 1.
    """

    def __init__(
        self,
        in_channels: int = 3,
        width: float = 1.0,
        *,
        gated: bool = False,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        stem, wide = scaled(64, width), scaled(192, width)
        self.Conv_1a = _separable(in_channels, stem, 7, 2, generator)
        self.MaxPool_2a = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        self.Conv_2b = _pointwise(stem, stem, generator)
        self.Conv_2c = _separable(stem, wide, 3, 1, generator)
        pools = {
            3: nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            4: nn.MaxPool3d(3, 2, 1),
            5: nn.MaxPool3d(2, 2),
        }
        self.dim = wide
        for stage, pool in pools.items():
            self.add_module(f"MaxPool_{stage}a", pool)
            for letter, channels in zip("bcdef", INCEPTION_V1[stage], strict=False):
                mixing = tuple(scaled(c, width) for c in channels)
                block = Mixed(self.dim, mixing, gated, generator)
                self.add_module(f"Mixed_{stage}{letter}", block)
                self.dim = block.dim

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, D, T/8, H/32, W/32).

        Odd sizes are rounded up by every layer but the last pooling, which rounds down.

        Raises:
            FeatureError: If the clips have other channels or are too small.
        """
        _, C, T, H, W = x_BCTHW.shape
        if self.in_channels != C or T < MIN_FRAMES or min(H, W) < MIN_SIDE:
            raise FeatureError(
                f"S3D was given clips of {C} channels, {T} frames and {H} x {W} px; expected "
                f"{self.in_channels} channels and at least {MIN_FRAMES} frames of "
                f"{MIN_SIDE} x {MIN_SIDE} px.",
                code="clip",
            )
        for layer in self.children():
            x_BCTHW = layer(x_BCTHW)
        return x_BCTHW


class ContrastHead(nn.Module):
    """The two layers that CoCLR puts behind the average pool; unused after training.

    D -> D -> ReLU -> `dim_out`, then unit length. No BN.

    Args:
        dim: D.
        dim_out: Dimensions of the space of the contrast.
        generator: Draws the initial weights.
    """

    def __init__(self, dim: int, dim_out: int = 128, *, generator: torch.Generator) -> None:
        super().__init__()
        self.inner = _linear(dim, dim, generator)
        self.outer = _linear(dim, dim_out, generator)

    def forward(self, x_BD: Tensor) -> Tensor:
        """(B, D) pooled features -> (B, dim_out) unit vectors."""
        return F.normalize(self.outer(F.relu(self.inner(x_BD))), dim=1)
