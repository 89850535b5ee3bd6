"""What can be done to the colours of a clip; motion has none.

Every function takes and gives planes (3, n, H, W), floats in 0..1, and treats all n frames alike:
where it needs a mean, that of the whole clip.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and TensorFlow have it

Change = Literal[
    "brightness", "contrast", "channel_contrast", "saturation", "hsv_saturation", "hue"
]


def luma(x_3nHW: Tensor) -> Tensor:
    """(n, H, W): how bright each pixel is."""
    red, green, blue = x_3nHW
    bright: Tensor = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    return bright


def gray(x_3nHW: Tensor) -> Tensor:
    """The luma in all three channels."""
    return luma(x_3nHW).expand_as(x_3nHW)


def brightness(x_3nHW: Tensor, factor: float) -> Tensor:
    """Factor times every value."""
    return (x_3nHW * factor).clamp_(0, 1)


def contrast(x_3nHW: Tensor, factor: float) -> Tensor:
    """Factor times the distance from the mean luma of the clip, as Pillow does per image."""
    return _away_from(luma(x_3nHW).mean(), x_3nHW, factor)


def channel_contrast(x_3nHW: Tensor, factor: float) -> Tensor:
    """Factor times the distance from each channel's mean, as `tf.image.adjust_contrast` does."""
    return _away_from(x_3nHW.mean((1, 2, 3), keepdim=True), x_3nHW, factor)


def saturation(x_3nHW: Tensor, factor: float) -> Tensor:
    """Factor times the distance from the luma of each pixel, as Pillow does."""
    return _away_from(luma(x_3nHW), x_3nHW, factor)


def hsv_saturation(x_3nHW: Tensor, factor: float) -> Tensor:
    """Factor times S of (H, S, V), at most 1, as `tf.image.adjust_saturation` does.

    V - x is proportional to S in every channel, so that no conversion is needed.
    """
    value, chroma = _value_and_chroma(x_3nHW)
    # Where S becomes 1, the smallest channel becomes 0: the distance grows by 1 / S = V / C.
    growth = (value / chroma.clamp(min=1e-12)).clamp(max=factor)
    return (value - (value - x_3nHW) * growth).clamp_(0, 1)


def hue(x_3nHW: Tensor, turns: float) -> Tensor:
    """H of (H, S, V) turned; 1 is a whole turn, 1/3 makes red into green.

    Args:
        x_3nHW: Planes in 0..1.
        turns: Of the circle of hues.
    """
    import torch

    red, green, blue = x_3nHW
    value, chroma = _value_and_chroma(x_3nHW)
    lowest = value - chroma
    # Sixths of a turn away from red, 0..3: (1 - r) + g + b of the pure hue; the sign says where to.
    away = (value - 2 * lowest - red + green + blue) / chroma.clamp(min=1e-12)
    angle = torch.copysign(away, green - blue) + 6 * turns
    # A channel is full within one sixth of its own hue, and fades out over the next.
    pure = [((angle - own).remainder(6) - 3).abs_().sub_(1).clamp_(0, 1) for own in (0, 2, 4)]
    return torch.stack([channel.mul_(chroma).add_(lowest) for channel in pure])


def solarize(x_3nHW: Tensor) -> Tensor:
    """1 - x where x is at least 1/2."""
    import torch

    return torch.minimum(x_3nHW, 1 - x_3nHW)  # six times as fast as `where`


def _away_from(centre: Tensor, x_3nHW: Tensor, factor: float) -> Tensor:
    return centre.lerp(x_3nHW, factor).clamp_(0, 1)


def _value_and_chroma(x_3nHW: Tensor) -> tuple[Tensor, Tensor]:
    """V, the largest channel, and V minus the smallest, (n, H, W) each."""
    value = x_3nHW.amax(0)
    return value, value - x_3nHW.amin(0)


CHANGES: dict[Change, Callable[[Tensor, float], Tensor]] = {
    "brightness": brightness,
    "contrast": contrast,
    "channel_contrast": channel_contrast,
    "saturation": saturation,
    "hsv_saturation": hsv_saturation,
    "hue": hue,
}
