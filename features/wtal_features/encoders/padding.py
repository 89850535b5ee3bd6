"""TensorFlow's "same" padding, which is lopsided where torch's is not.

With an even input and a stride of 2 the total is odd, and the larger half comes after the data.
Symmetric padding gives maps of the same size, sampled one pixel beside where the weights were
trained. Shapes: (B, C, T, H, W).

Source: the documentation of `tf.nn`, "Notes on padding".
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """What "same" adds before and after n values: max((ceil(n/s) - 1) s + k - n, 0) in all.

    Args:
        size: n, values along the axis.
        kernel: k, taps.
        stride: s.

    Returns:
        Zeros before and after; the second is the larger where the total is odd.

    Example:
        >>> same_padding(224, 7, 2), same_padding(224, 3, 2), same_padding(225, 3, 2)
        ((2, 3), (0, 1), (1, 1))
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad_same(
    x_BCTHW: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], value: float
) -> Tensor:
    """Widen T, H and W by what "same" asks for.

    Args:
        x_BCTHW: The map.
        kernel: Taps along T, H and W.
        stride: Steps along T, H and W.
        value: What to add: 0 before a convolution, -inf before a maximum.

    Returns:
        The widened map; `x_BCTHW` itself where nothing is missing.
    """
    sizes = x_BCTHW.shape[2:]
    per_axis = [same_padding(*axis) for axis in zip(sizes, kernel, stride, strict=True)]
    # F.pad counts from the last axis.
    flat = [amount for axis in reversed(per_axis) for amount in axis]
    return F.pad(x_BCTHW, flat, value=value) if any(flat) else x_BCTHW


class SameConv3d(nn.Conv3d):
    """A convolution whose padding follows TensorFlow's rule; parameters as in `nn.Conv3d`."""

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, D, ceil(T/s), ceil(H/s), ceil(W/s))."""
        return super().forward(pad_same(x_BCTHW, self.kernel_size, self.stride, 0.0))


class SameMaxPool3d(nn.Module):
    """A maximum whose padding follows TensorFlow's rule and never wins.

    Args:
        kernel: Taps along T, H and W.
        stride: Steps along T, H and W.
    """

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C, ceil(T/s), ceil(H/s), ceil(W/s))."""
        padded = pad_same(x_BCTHW, self.kernel, self.stride, -torch.inf)
        return F.max_pool3d(padded, self.kernel, self.stride)
