"""ResNet-50, the image network whose maps describe frames for retrieval.

Shapes: B clips, C channels, T frames, H x W pixels, D = 2048 features at width 1. No frame sees
another. The stem halves H and W, the pool behind it again, and so do layers 2 to 4: stride 32 in
space. Odd sizes are rounded up.

Source: ResNet (CVPR 2016) with the stride on the 3x3 convolution, as torchvision's `resnet50`
(pytorch/vision torchvision/models/resnet.py), whose modules have these names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wtal_features.encoders.r2plus1d26 import ONE, conv3d, shortcut
from wtal_features.encoders.widths import scaled

# Per layer: bottlenecks, inner channels, stride of the first.
_LAYERS = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))
_EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1 -> 3x3 with the stride -> 1x1, around a shortcut.

    Args:
        c_in: Channels of the input.
        inner: Channels between the convolutions; four times as many come out.
        stride: In space.
        generator: Draws the initial weights.
    """

    def __init__(self, c_in: int, inner: int, stride: int, generator: torch.Generator) -> None:
        super().__init__()
        c_out, steps = _EXPANSION * inner, (1, stride, stride)
        self.conv1 = conv3d(c_in, inner, ONE, ONE, generator)
        self.bn1 = nn.BatchNorm3d(inner)
        self.conv2 = conv3d(inner, inner, (1, 3, 3), steps, generator)
        self.bn2 = nn.BatchNorm3d(inner)
        self.conv3 = conv3d(inner, c_out, ONE, ONE, generator)
        self.bn3 = nn.BatchNorm3d(c_out)
        self.downsample = shortcut(c_in, c_out, steps, generator)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C_in, T, H, W) -> (B, 4 inner, T, H/stride, W/stride)."""
        y = F.relu(self.bn1(self.conv1(x_BCTHW)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x_BCTHW))


class ResNet50(nn.Module):
    """ResNet-50 up to its last map.

    Args:
        in_channels: C; 3 for colour.
        width: Multiplies every number of channels; 1 is the published network.
        generator: Draws the initial weights.

    Attributes:
        dim: D, 2048 at width 1.
        stage_dims: Channels of the maps that `stages` gives: 256, 512, 1024, 2048 at width 1.
    """

    def __init__(
        self, in_channels: int = 3, width: float = 1.0, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        last = scaled(64, width)
        self.conv1 = conv3d(in_channels, last, (1, 7, 7), (1, 2, 2), generator)
        self.bn1 = nn.BatchNorm3d(last)
        layers, dims = [], []
        for blocks, published, stride in _LAYERS:
            inner, layer = scaled(published, width), nn.Sequential()
            for i in range(blocks):
                layer.append(Bottleneck(last, inner, 1 if i else stride, generator))
                last = _EXPANSION * inner
            layers.append(layer)
            dims.append(last)
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.dim, self.stage_dims = last, tuple(dims)

    def stages(self, x_BCTHW: Tensor) -> tuple[Tensor, ...]:
        """The maps of layers 1 to 4, at strides 4, 8, 16 and 32 in space."""
        y = F.relu(self.bn1(self.conv1(x_BCTHW)))
        y = F.max_pool3d(y, (1, 3, 3), (1, 2, 2), (0, 1, 1))
        first = self.layer1(y)
        second = self.layer2(first)
        third = self.layer3(second)
        return first, second, third, self.layer4(third)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, D, T, H/32, W/32), the map of layer 4."""
        return self.stages(x_BCTHW)[-1]
