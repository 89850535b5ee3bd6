"""R3D-50, the network of CVRL: a ResNet-50 whose last two stages look along time.

Shapes: B clips, C channels, T frames, H x W pixels, D = 2048 features at width 1. The stem halves
T, H and W, the pool behind it H and W; layers 2 to 4 halve H and W: strides 2 in time, 32 in
space. Odd sizes are rounded up.

Source: CVRL (CVPR 2021), table 1; tensorflow/models@00b830c
official/projects/video_ssl/configs/experiments/cvrl_pretrain_k600_200ep.yaml and
official/vision/modeling/layers/nn_blocks_3d.py. Modules are named as in the torch copy of the same
network, `r2d3d50` of TengdaHan/CoCLR@45f200e backbone/resnet_2d3d.py.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wtal_features.encoders.padding import SameConv3d, SameMaxPool3d
from wtal_features.encoders.widths import scaled

Axes = tuple[int, int, int]

# Per layer: bottlenecks, inner channels, taps along time, stride in space of the first.
_LAYERS = ((3, 64, 1, 1), (4, 128, 1, 2), (6, 256, 3, 2), (3, 512, 3, 2))
_ONE: Axes = (1, 1, 1)
_EXPANSION = 4
# Standard deviation of a standard normal that is cut at -2 and 2.
_STD_OF_CUT_NORMAL = 0.87962566103423978


def _conv(
    c_in: int, c_out: int, kernel: Axes, stride: Axes, same: bool, generator: torch.Generator
) -> nn.Conv3d:
    """A convolution without bias, drawn as Keras' VarianceScaling does.

    That is a normal of variance 1 / fan in, cut at two deviations. With stride 1 symmetric and
    "same" padding agree.
    """
    if same and stride != _ONE:
        conv: nn.Conv3d = SameConv3d(c_in, c_out, kernel, stride, bias=False, device="meta")
    else:
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        conv = nn.Conv3d(c_in, c_out, kernel, stride, padding, bias=False, device="meta")
    conv.to_empty(device="cpu")  # memory, without a draw from torch's global generator
    std = math.prod(conv.weight.shape[1:]) ** -0.5 / _STD_OF_CUT_NORMAL
    nn.init.trunc_normal_(conv.weight, 0, std, -2 * std, 2 * std, generator=generator)
    return conv


class Bottleneck(nn.Module):
    """(t,1,1) -> (1,3,3) with the stride -> 1x1x1, around a shortcut.

    Args:
        c_in: Channels of the input.
        inner: Channels between the convolutions; four times as many come out.
        taps: t, along time.
        stride: In space.
        same: Pad as TensorFlow does.
        generator: Draws the initial weights.
    """

    def __init__(
        self, c_in: int, inner: int, taps: int, stride: int, same: bool, generator: torch.Generator
    ) -> None:
        super().__init__()
        c_out, steps = _EXPANSION * inner, (1, stride, stride)
        self.conv1 = _conv(c_in, inner, (taps, 1, 1), _ONE, same, generator)
        self.bn1 = nn.BatchNorm3d(inner)
        self.conv2 = _conv(inner, inner, (1, 3, 3), steps, same, generator)
        self.bn2 = nn.BatchNorm3d(inner)
        self.conv3 = _conv(inner, c_out, _ONE, _ONE, same, generator)
        self.bn3 = nn.BatchNorm3d(c_out)
        self.downsample: nn.Module = nn.Identity()
        if c_in != c_out:
            around = _conv(c_in, c_out, _ONE, steps, same, generator)
            self.downsample = nn.Sequential(around, nn.BatchNorm3d(c_out))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C_in, T, H, W) -> (B, 4 inner, T, H/stride, W/stride)."""
        y = F.relu(self.bn1(self.conv1(x_BCTHW)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x_BCTHW))


class R3D50(nn.Module):
    """R3D-50 up to its last map.

    Args:
        in_channels: C; 3 for colour.
        width: Multiplies every number of channels; 1 is the published network.
        tf_same_padding: Pad as TensorFlow does, for weights that were trained so. The maps have
            the same size either way; symmetric padding samples them a pixel beside.
        generator: Draws the initial weights.

    Attributes:
        dim: D, 2048 at width 1.
    """

    def __init__(
        self,
        in_channels: int = 3,
        width: float = 1.0,
        *,
        tf_same_padding: bool = False,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        same, last = tf_same_padding, scaled(64, width)
        self.conv1 = _conv(in_channels, last, (5, 7, 7), (2, 2, 2), same, generator)
        self.bn1 = nn.BatchNorm3d(last)
        self.maxpool = (
            SameMaxPool3d((1, 3, 3), (1, 2, 2))
            if same
            else nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        )
        layers = []
        for blocks, published, taps, stride in _LAYERS:
            inner, layer = scaled(published, width), nn.Sequential()
            for i in range(blocks):
                layer.append(Bottleneck(last, inner, taps, 1 if i else stride, same, generator))
                last = _EXPANSION * inner
            layers.append(layer)
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.dim = last

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, D, T/2, H/32, W/32)."""
        y = self.maxpool(F.relu(self.bn1(self.conv1(x_BCTHW))))
        maps: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        return maps


class CVRLHead(nn.Module):
    """What CVRL puts behind the average pool while it trains; the paper says "multi-layer" only.

    Three times D -> BN -> ReLU, then 128 numbers of unit length.

    Args:
        dim_in: D of the pooled features; the hidden layers have as many.
        dim: Of the embedding.
        generator: Draws the initial weights.

    Source: tensorflow/models@00b830c official/projects/video_ssl/modeling/video_ssl_model.py.
    """

    def __init__(self, dim_in: int = 2048, dim: int = 128, *, generator: torch.Generator) -> None:
        super().__init__()
        hidden: list[nn.Module] = []
        for _ in range(3):
            # TensorFlow's momentum .997 is the share that stays; torch's is the share that goes.
            bn = nn.BatchNorm1d(dim_in, momentum=0.003)
            hidden += [_dense(dim_in, dim_in, generator), bn, nn.ReLU()]
        self.layers = nn.Sequential(*hidden, _dense(dim_in, dim, generator))

    def forward(self, features_BD: Tensor) -> Tensor:
        """(B, D) -> (B, dim), rows of length 1."""
        return F.normalize(self.layers(features_BD), dim=1)


def _dense(dim_in: int, dim_out: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer drawn as Keras draws it: Glorot's uniform weights, biases zero."""
    linear = nn.Linear(dim_in, dim_out, device="meta").to_empty(device="cpu")
    nn.init.xavier_uniform_(linear.weight, generator=generator)
    nn.init.zeros_(linear.bias)
    return linear
