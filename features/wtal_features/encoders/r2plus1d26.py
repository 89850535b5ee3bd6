"""R(2+1)D-26 and R3D-26, the video networks of CMD: 4 layers of 2 bottlenecks.

Shapes: B clips, C channels, T frames, H x W pixels, D = 2048 features at width 1. The stem halves
H and W, the pool behind it again; layers 2 to 4 halve T, H and W: strides 8 in time, 32 in space.
Odd sizes are rounded up.

Source: CMD (CVPR 2021); foolwood/DRL@9bd1768 Context-Motion-Decoupling/models/resnet2p1d.py and
resnet3d.py, whose modules have these names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wtal_features.encoders.widths import scaled

Axes = tuple[int, int, int]
ONE: Axes = (1, 1, 1)

_EXPANSION = 4


def conv3d(
    c_in: int,
    c_out: int,
    kernel: Axes,
    stride: Axes,
    generator: torch.Generator,
    *,
    bias: bool = False,
) -> nn.Conv3d:
    """A centred convolution, drawn as CMD draws all of its own: N(0, 2 / fan out).

    Args:
        c_in: Channels of the input.
        c_out: Channels of the output.
        kernel: Odd sizes along T, H, W.
        stride: Along T, H, W.
        generator: Draws the weights.
        bias: Have one, zero at first. The public code leaves it at torch's default; the BatchNorm
            behind takes out what it adds.
    """
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    conv = nn.Conv3d(c_in, c_out, kernel, stride, padding, bias=bias, device="meta")
    conv.to_empty(device="cpu")  # memory, without a draw from torch's global generator
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu", generator=generator)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def shortcut(c_in: int, c_out: int, stride: Axes, generator: torch.Generator) -> nn.Module:
    """The way around a block: the input itself where shapes agree, else 1x1x1 -> BN."""
    if c_in == c_out and stride == ONE:
        return nn.Identity()
    return nn.Sequential(conv3d(c_in, c_out, ONE, stride, generator), nn.BatchNorm3d(c_out))


def factored(c_in: int, c_out: int, taps: int, side: int) -> int:
    """Channels between a (1, d, d) and a (t, 1, 1) convolution that cost as much as one (t, d, d).

    floor(t d^2 c_in c_out / (d^2 c_in + t c_out)); R(2+1)D (CVPR 2018), section 3.5.

    Args:
        c_in: Channels before the pair.
        c_out: Channels behind it.
        taps: t.
        side: d.

    Example:
        >>> factored(3, 64, 3, 7), factored(64, 64, 3, 3)
        (83, 144)
    """
    area = side * side
    return taps * area * c_in * c_out // (area * c_in + taps * c_out)


class Bottleneck2Plus1D(nn.Module):
    """1x1x1 -> (1,3,3) -> (3,1,1) -> 1x1x1 around a shortcut; the middle pair has the stride.

    Args:
        c_in: Channels of the input.
        inner: Channels between the convolutions; four times as many come out.
        stride: In time and space.
        generator: Draws the initial weights.
    """

    def __init__(self, c_in: int, inner: int, stride: int, generator: torch.Generator) -> None:
        super().__init__()
        middle, c_out, s = factored(inner, inner, 3, 3), _EXPANSION * inner, stride
        self.conv1 = conv3d(c_in, inner, ONE, ONE, generator)
        self.bn1 = nn.BatchNorm3d(inner)
        self.conv2_s = conv3d(inner, middle, (1, 3, 3), (1, s, s), generator)
        self.bn2_s = nn.BatchNorm3d(middle)
        self.conv2_t = conv3d(middle, inner, (3, 1, 1), (s, 1, 1), generator)
        self.bn2_t = nn.BatchNorm3d(inner)
        self.conv3 = conv3d(inner, c_out, ONE, ONE, generator)
        self.bn3 = nn.BatchNorm3d(c_out)
        self.downsample = shortcut(c_in, c_out, (s, s, s), generator)
        nn.init.zeros_(self.bn3.weight)  # every block starts as its shortcut

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C_in, T, H, W) -> (B, 4 inner, T/stride, H/stride, W/stride)."""
        y = F.relu(self.bn1(self.conv1(x_BCTHW)))
        y = F.relu(self.bn2_s(self.conv2_s(y)))
        y = F.relu(self.bn2_t(self.conv2_t(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x_BCTHW))


class Bottleneck3D(nn.Module):
    """1x1x1 -> 3x3x3 with the stride -> 1x1x1, around a shortcut; arguments as above."""

    def __init__(self, c_in: int, inner: int, stride: int, generator: torch.Generator) -> None:
        super().__init__()
        c_out, s = _EXPANSION * inner, stride
        self.conv1 = conv3d(c_in, inner, ONE, ONE, generator)
        self.bn1 = nn.BatchNorm3d(inner)
        self.conv2 = conv3d(inner, inner, (3, 3, 3), (s, s, s), generator)
        self.bn2 = nn.BatchNorm3d(inner)
        self.conv3 = conv3d(inner, c_out, ONE, ONE, generator)
        self.bn3 = nn.BatchNorm3d(c_out)
        self.downsample = shortcut(c_in, c_out, (s, s, s), generator)
        nn.init.zeros_(self.bn3.weight)  # every block starts as its shortcut

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C_in, T, H, W) -> (B, 4 inner, T/stride, H/stride, W/stride)."""
        y = F.relu(self.bn1(self.conv1(x_BCTHW)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x_BCTHW))


class ResNet26(nn.Module, ABC):
    """What the two networks share: layers 1 to 4, behind a stem of their own.

    Args:
        block: Makes a bottleneck from channels in, inner channels, stride and generator.
        width: Multiplies every number of channels; 1 is the published network.
        generator: Draws the initial weights.

    Attributes:
        dim: D.
    """

    def __init__(
        self,
        block: Callable[[int, int, int, torch.Generator], nn.Module],
        width: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        layers, last = [], scaled(64, width)
        for published, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            inner = scaled(published, width)
            first = block(last, inner, stride, generator)
            last = _EXPANSION * inner
            layers.append(nn.Sequential(first, block(last, inner, 1, generator)))
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.dim = last

    @abstractmethod
    def stem(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, 64, T, H/2, W/2), before the pool."""

    def stages(self, x_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        """The maps of layer 3 (D/2 channels) and of layer 4; CMD's pre-training adds the two."""
        y = F.max_pool3d(self.stem(x_BCTHW), (1, 3, 3), (1, 2, 2), (0, 1, 1))
        third: Tensor = self.layer3(self.layer2(self.layer1(y)))
        return third, self.layer4(third)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, D, T/8, H/32, W/32), the map of layer 4."""
        return self.stages(x_BCTHW)[1]


class R2Plus1D26(ResNet26):
    """R(2+1)D-26: every 3x3x3 convolution is one in space and one in time.

    Args:
        in_channels: C; 3 for colour.
        width: Multiplies every number of channels; 1 is the published network.
        generator: Draws the initial weights.

    Attributes:
        dim: D, 2048 at width 1.
    """

    def __init__(
        self, in_channels: int = 3, width: float = 1.0, *, generator: torch.Generator
    ) -> None:
        super().__init__(Bottleneck2Plus1D, width, generator)
        c_out = scaled(64, width)
        middle = factored(in_channels, c_out, 3, 7)
        self.conv1_s = conv3d(in_channels, middle, (1, 7, 7), (1, 2, 2), generator)
        self.bn1_s = nn.BatchNorm3d(middle)
        self.conv1_t = conv3d(middle, c_out, (3, 1, 1), ONE, generator)
        self.bn1_t = nn.BatchNorm3d(c_out)

    def stem(self, x_BCTHW: Tensor) -> Tensor:
        """(1,7,7) with stride 2 in space, then (3,1,1)."""
        y = F.relu(self.bn1_s(self.conv1_s(x_BCTHW)))
        return F.relu(self.bn1_t(self.conv1_t(y)))


class R3D26(ResNet26):
    """R3D-26: the same with whole 3x3x3 convolutions; arguments as above."""

    def __init__(
        self, in_channels: int = 3, width: float = 1.0, *, generator: torch.Generator
    ) -> None:
        super().__init__(Bottleneck3D, width, generator)
        c_out = scaled(64, width)
        self.conv1 = conv3d(in_channels, c_out, (3, 7, 7), (1, 2, 2), generator)
        self.bn1 = nn.BatchNorm3d(c_out)

    def stem(self, x_BCTHW: Tensor) -> Tensor:
        """(3,7,7) with stride 2 in space."""
        return F.relu(self.bn1(self.conv1(x_BCTHW)))
