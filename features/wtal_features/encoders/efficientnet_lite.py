"""EfficientNet-Lite 0, 1 and 2, image networks that a laptop runs: 0.4 to 0.9 billion products.

Shapes: B clips, C channels, T frames, H x W pixels, D = 1280 features at width 1. No frame sees
another. Padding follows TensorFlow's rule, odd sizes are rounded up; stride 32 in space.

Source: EfficientNet (ICML 2019) without squeeze-and-excitation and with ReLU6; tensorflow/tpu
models/official/efficientnet/lite/efficientnet_lite_builder.py. Modules are named as in the torch
port, ml-illustrated/EfficientNet-Lite-PyTorch, without the underscore before each name.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wtal_features.encoders.padding import SameConv3d
from wtal_features.encoders.widths import scaled


class Coefficients(NamedTuple):
    """How a network of the family differs from the first.

    Attributes:
        width: Multiplier of the channels between stem and head.
        depth: Multiplier of the blocks per group, but for the first and the last group.
        size: Side of the square that it was trained on, in pixels.
    """

    width: float
    depth: float
    size: int


COEFFICIENTS = {0: Coefficients(1.0, 1.0, 224), 1: Coefficients(1.0, 1.1, 240)}
COEFFICIENTS[2] = Coefficients(1.1, 1.2, 260)


class _Group(NamedTuple):
    """Blocks of one kind, one after another."""

    blocks: int
    kernel: int
    stride: int  # of the first block
    expansion: int
    channels: int


_GROUPS = (
    _Group(1, 3, 1, 1, 16),
    _Group(2, 3, 2, 6, 24),
    _Group(2, 5, 2, 6, 40),
    _Group(3, 3, 2, 6, 80),
    _Group(3, 5, 1, 6, 112),
    _Group(4, 5, 2, 6, 192),
    _Group(1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280
# TensorFlow's momentum .99 is the share that stays; torch's is the share that goes.
_norm = partial(nn.BatchNorm3d, eps=1e-3, momentum=0.01)
# In place: memory for new maps took a third of the time.
_relu6 = partial(F.relu6, inplace=True)


def rounded(channels: int, coefficient: float) -> int:
    """Channels times a coefficient, to a multiple of 8, never more than a tenth below.

    Args:
        channels: Of the first network of the family.
        coefficient: Of its width.

    Example:
        >>> rounded(16, 1.1), rounded(24, 1.1), rounded(112, 1.1)
        (16, 24, 120)
    """
    wanted = channels * coefficient
    near = max(8, int(wanted + 4) // 8 * 8)
    return near + 8 if near < 0.9 * wanted else near


def _conv(
    c_in: int, c_out: int, kernel: int, stride: int, generator: torch.Generator, groups: int = 1
) -> nn.Conv3d:
    """A convolution without bias in space, drawn as the public code does: N(0, 2 / fan out).

    Fan out is kernel^2 times the outputs per input channel of a group.
    """
    k, s, padding = (1, kernel, kernel), (1, stride, stride), (0, kernel // 2, kernel // 2)
    # With stride 1 symmetric and "same" padding agree, and nothing has to be copied.
    kind, padding = (nn.Conv3d, padding) if stride == 1 else (SameConv3d, (0, 0, 0))
    conv = kind(c_in, c_out, k, s, padding, groups=groups, bias=False, device="meta")
    conv.to_empty(device="cpu")  # memory, without a draw from torch's global generator
    std = math.sqrt(2 * groups / (kernel * kernel * c_out))
    nn.init.normal_(conv.weight, 0, std, generator=generator)
    return conv


class Block(nn.Module):
    """1x1 wider -> one filter per channel -> 1x1 narrower, plus the input where shapes agree.

    Args:
        c_in: Channels of the input.
        c_out: Channels of the output, which is not rectified.
        kernel: Side of the filters.
        stride: Of the filters.
        expansion: How many times wider; at 1 the first convolution is left out.
        generator: Draws the initial weights.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        stride: int,
        expansion: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        inner = c_in * expansion
        self.expands = expansion != 1
        if self.expands:
            self.expand_conv = _conv(c_in, inner, 1, 1, generator)
            self.bn0 = _norm(inner)
        self.depthwise_conv = _conv(inner, inner, kernel, stride, generator, groups=inner)
        self.bn1 = _norm(inner)
        self.project_conv = _conv(inner, c_out, 1, 1, generator)
        self.bn2 = _norm(c_out)
        self.skips = stride == 1 and c_in == c_out

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C_in, T, H, W) -> (B, C_out, T, H/stride, W/stride)."""
        y = _relu6(self.bn0(self.expand_conv(x_BCTHW))) if self.expands else x_BCTHW
        y = _relu6(self.bn1(self.depthwise_conv(y)))
        narrow: Tensor = self.bn2(self.project_conv(y))
        return narrow + x_BCTHW if self.skips else narrow


class EfficientNetLite(nn.Module):
    """A network of the family up to its last map; the public one drops whole blocks in training.

    Args:
        in_channels: C; 3 for colour.
        width: Multiplies every number of channels; 1 is the published network.
        variant: 0, 1 or 2.
        generator: Draws the initial weights.

    Attributes:
        dim: D, 1280 at width 1.
        stage_dims: Channels of the maps that `stages` gives: for variant 0 at width 1 24, 40, 112
            and 1280.
    """

    def __init__(
        self,
        in_channels: int = 3,
        width: float = 1.0,
        *,
        variant: int = 0,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        wider, deeper, _ = COEFFICIENTS[variant]
        last = scaled(_STEM, width)
        self.conv_stem = _conv(in_channels, last, 3, 2, generator)
        self.bn0 = _norm(last)
        self.blocks = nn.ModuleList()
        # Blocks whose output is the last at its resolution, but for strides 2 and 32.
        self._ends: list[int] = []
        for i, group in enumerate(_GROUPS):
            c_out = scaled(rounded(group.channels, wider), width)
            outermost = i in (0, len(_GROUPS) - 1)
            count = group.blocks if outermost else math.ceil(deeper * group.blocks)
            if group.stride == 2 and i > 1:
                self._ends.append(len(self.blocks) - 1)
            for j in range(count):
                stride = 1 if j else group.stride
                block = Block(last, c_out, group.kernel, stride, group.expansion, generator)
                self.blocks.append(block)
                last = c_out
        self.dim = scaled(_HEAD, width)
        self.conv_head = _conv(last, self.dim, 1, 1, generator)
        self.bn1 = _norm(self.dim)
        ends = [self.blocks[i].get_submodule("project_conv") for i in self._ends]
        channels = [conv.out_channels for conv in ends if isinstance(conv, nn.Conv3d)]
        self.stage_dims = (*channels, self.dim)

    def stages(self, x_BCTHW: Tensor) -> tuple[Tensor, ...]:
        """The last maps at strides 4, 8, 16 and 32 in space; the first three are not rectified."""
        y = _relu6(self.bn0(self.conv_stem(x_BCTHW)))
        maps = []
        for i, block in enumerate(self.blocks):
            y = block(y)
            if i in self._ends:
                maps.append(y)
        return *maps, _relu6(self.bn1(self.conv_head(y)))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, D, T, H/32, W/32)."""
        return self.stages(x_BCTHW)[-1]
