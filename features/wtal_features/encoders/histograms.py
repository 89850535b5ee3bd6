"""Features without any learning: what colours a snippet has, and what moves where.

What an encoder must beat; they cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from wtal_features.clips import ClipSpec, Preprocess

_SMALL = Preprocess(short_side=64, crop=64, mean=None, std=None)
_COLOUR, _MOTION = ClipSpec(4, 4, "rgb", _SMALL), ClipSpec(16, 1, "motion", _SMALL)
_LIKE_A_NETWORK = ClipSpec(16, 1, "rgb", Preprocess(128, 112))
_LEVELS = 4  # per colour channel
_DIRECTIONS = 8
_CELLS = 2  # per edge of the frame, for motion
_STILL_PX = 0.5  # slower, in px per grid frame, is no motion


@dataclass
class ColourHistogram:
    """Joint histogram of red, green and blue over all pixels of a clip, as square roots.

    The square root makes distances those of Hellinger: large bins do not drown the small ones.
    """

    name: str = "colour-histogram"
    dim: int = _LEVELS**3
    clip: ClipSpec = _COLOUR
    any_length: bool = False

    def encode(self, clips_BnHWC: Tensor) -> Tensor:
        """(B, n, H, W, 3) uint8 -> (B, 64), rows of unit length."""
        levels = clips_BnHWC.long() * _LEVELS // 256
        bins_BP = (levels[..., 0] * _LEVELS + levels[..., 1]) * _LEVELS + levels[..., 2]
        bins_BP = bins_BP.flatten(1)
        counts = _sums(bins_BP, torch.ones_like(bins_BP, dtype=torch.float32), self.dim)
        return (counts / bins_BP.shape[1]).sqrt()

    def encode_dense(self, clips_BnHWC: Tensor) -> Tensor:
        """One time position per clip: (B, 1, 64)."""
        return self.encode(clips_BnHWC)[:, None]

    def describe(self) -> Mapping[str, object]:
        """Name and clip."""
        return {"name": self.name, "dim": self.dim, "clip": self.clip.describe()}

    def to(self, device: torch.device) -> ColourHistogram:
        """Nothing to move."""
        return self


@dataclass
class MotionHistogram:
    """Directions of motion in 2 x 2 cells of the frame, weighted by speed, and the share at rest.

    Per cell: mean speed into each of eight directions, in px per grid frame, and the share of
    places that move by less than half a pixel; as square roots.
    """

    name: str = "motion-histogram"
    dim: int = _CELLS**2 * (_DIRECTIONS + 1)
    clip: ClipSpec = _MOTION
    any_length: bool = False

    def encode(self, clips_BnHWC: Tensor) -> Tensor:
        """(B, n, H, W, 2) in px per grid frame -> (B, 36)."""
        _, n, H, W, _ = clips_BnHWC.shape
        v = clips_BnHWC.float()
        speed = v.norm(dim=-1)
        turn = torch.atan2(v[..., 1], v[..., 0]) / (2 * torch.pi)  # in (-1/2, 1/2]
        direction = (turn * _DIRECTIONS).round().long() % _DIRECTIONS
        still = speed < _STILL_PX
        bins = torch.where(still, _DIRECTIONS, direction)
        weight = torch.where(still, 1.0, speed)
        rows = torch.arange(H, device=v.device) * _CELLS // H
        columns = torch.arange(W, device=v.device) * _CELLS // W
        cell_HW = rows[:, None] * _CELLS + columns
        bins = bins + cell_HW * (_DIRECTIONS + 1)
        sums = _sums(bins.flatten(1), weight.flatten(1), self.dim)
        return (sums / (n * H * W / _CELLS**2)).sqrt()

    def encode_dense(self, clips_BnHWC: Tensor) -> Tensor:
        """One time position per clip: (B, 1, 36)."""
        return self.encode(clips_BnHWC)[:, None]

    def describe(self) -> Mapping[str, object]:
        """Name and clip."""
        return {"name": self.name, "dim": self.dim, "clip": self.clip.describe()}

    def to(self, device: torch.device) -> MotionHistogram:
        """Nothing to move."""
        return self


@dataclass
class Null:
    """The colour of one pixel: for measuring everything but an encoder."""

    name: str = "null"
    dim: int = 3
    clip: ClipSpec = _LIKE_A_NETWORK
    any_length: bool = False

    def encode(self, clips_BnHWC: Tensor) -> Tensor:
        """(B, n, H, W, 3) uint8 -> (B, 3), the middle pixel of the first frame over 255."""
        _, _, H, W, _ = clips_BnHWC.shape
        return clips_BnHWC[:, 0, H // 2, W // 2].float() / 255

    def encode_dense(self, clips_BnHWC: Tensor) -> Tensor:
        """One time position per clip: (B, 1, 3)."""
        return self.encode(clips_BnHWC)[:, None]

    def describe(self) -> Mapping[str, object]:
        """Name and clip."""
        return {"name": self.name, "dim": self.dim, "clip": self.clip.describe()}

    def to(self, device: torch.device) -> Null:
        """Nothing to move."""
        return self


def _sums(bins_BP: Tensor, weights_BP: Tensor, n_bins: int) -> Tensor:
    """(B, n_bins): the weights of the places in each bin."""
    sums = torch.zeros(len(bins_BP), n_bins, device=bins_BP.device)
    return sums.scatter_add_(1, bins_BP, weights_BP.float())
