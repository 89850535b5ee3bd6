"""R3D-10 and R2D-10, which embed motion and single frames while CMD trains (M-net and I-net).

Shapes: B clips, C channels, T frames, H x W pixels, D = 512 features at width 1. Odd sizes are
rounded up.

Source: CMD (CVPR 2021); foolwood/DRL@9bd1768 Context-Motion-Decoupling/models/resnet3d.py and
resnet2d.py, whose modules have these names, with the arguments that its pretrain.py gives them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wtal_features.encoders.r2plus1d26 import ONE, conv3d, shortcut
from wtal_features.encoders.widths import scaled


class BasicBlock(nn.Module):
    """Two (t,3,3) convolutions around a shortcut; the first has the stride.

    Args:
        c_in: Channels of the input.
        c_out: Channels of the output.
        stride: In space, and in time too where t > 1.
        taps: t, along time.
        generator: Draws the initial weights.
    """

    def __init__(
        self, c_in: int, c_out: int, stride: int, taps: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        kernel, steps = (taps, 3, 3), (stride if taps > 1 else 1, stride, stride)
        self.conv1 = conv3d(c_in, c_out, kernel, steps, generator)
        self.bn1 = nn.BatchNorm3d(c_out)
        self.conv2 = conv3d(c_out, c_out, kernel, ONE, generator)
        self.bn2 = nn.BatchNorm3d(c_out)
        self.downsample = shortcut(c_in, c_out, steps, generator)
        nn.init.zeros_(self.bn2.weight)  # every block starts as its shortcut

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C_in, T, H, W) -> (B, C_out, T/stride or T, H/stride, W/stride)."""
        y = F.relu(self.bn1(self.conv1(x_BCTHW)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x_BCTHW))


class ResNet10(nn.Module):
    """What the two networks share: a stem, a pool and four basic blocks.

    Args:
        in_channels: C.
        width: Multiplies every number of channels; 1 is the published network.
        taps: Along time, of every convolution but the shortcuts.
        stem_stride: In space.
        generator: Draws the initial weights.

    Attributes:
        dim: D.
    """

    def __init__(
        self,
        in_channels: int,
        width: float,
        taps: int,
        stem_stride: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        last, steps = scaled(64, width), (1, stem_stride, stem_stride)
        self.conv1 = conv3d(in_channels, last, (taps, 7, 7), steps, generator)
        self.bn1 = nn.BatchNorm3d(last)
        layers = []
        for published, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            c_out = scaled(published, width)
            layers.append(nn.Sequential(BasicBlock(last, c_out, stride, taps, generator)))
            last = c_out
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.dim = last

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, D, T', H', W'); strides as the class says."""
        y = F.relu(self.bn1(self.conv1(x_BCTHW)))
        y = F.max_pool3d(y, (1, 3, 3), (1, 2, 2), (0, 1, 1))
        maps: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        return maps


class R3D10(ResNet10):
    """M-net: maps of motion; strides 8 in time, 16 in space.

    Args:
        in_channels: C; 2 for dx and dy.
        width: Multiplies every number of channels; 1 is the published network.
        generator: Draws the initial weights.

    Attributes:
        dim: D, 512 at width 1.
    """

    def __init__(
        self, in_channels: int = 2, width: float = 1.0, *, generator: torch.Generator
    ) -> None:
        super().__init__(in_channels, width, taps=3, stem_stride=1, generator=generator)


class R2D10(ResNet10):
    """I-net: single frames (T = 1); no frame sees another, stride 32 in space.

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
        super().__init__(in_channels, width, taps=1, stem_stride=2, generator=generator)
