"""The toy of `wtal bench pretrain` for tests, with a jitter and a tiny network that learns it.

Shapes: B clips, C channels, T frames, H x W pixels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wtal.bench.textures import (
    CLASSES,
    MovingTextures,
    Windows,
    moving_textures,
    textures,
)

__all__ = [
    "CLASSES",
    "MovingTextures",
    "TinyNet",
    "Windows",
    "jittered",
    "moving_textures",
    "textures",
]

_DARKEST, _GRAY = 0.6, 0.2  # jitter: factors 0.6 to 1.4, gray with this probability


def jittered(clips_B3THW: Tensor, generator: torch.Generator) -> Tensor:
    """Contrast, brightness and sometimes gray: one draw per clip, the same for all its frames."""
    shape = (len(clips_B3THW), 1, 1, 1, 1)
    contrast = _DARKEST + 2 * (1 - _DARKEST) * torch.rand(shape, generator=generator)
    brightness = (1 - _DARKEST) * (2 * torch.rand(shape, generator=generator) - 1)
    gray = torch.rand(shape, generator=generator) < _GRAY
    coloured = torch.where(gray, clips_B3THW.mean(dim=1, keepdim=True), clips_B3THW)
    return coloured * contrast + brightness


class TinyNet(nn.Module):
    """Three convolutions and a mean over time and space: learns the toy on a CPU in seconds."""

    def __init__(self, in_channels: int = 3, dim: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _block(in_channels, 16, (3, 5, 5), (1, 2, 2)),
            _block(16, 32, (3, 3, 3), (2, 2, 2)),
            _block(32, 64, (3, 3, 3), (2, 2, 2)),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, dim))

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, dim), L2-normalised."""
        embedding: Tensor = F.normalize(self.head(self.features(x_BCTHW)), dim=1)
        return embedding


def _block(
    channels: int, out: int, kernel: tuple[int, int, int], stride: tuple[int, int, int]
) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    conv = nn.Conv3d(channels, out, kernel, stride, padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(out), nn.ReLU())
