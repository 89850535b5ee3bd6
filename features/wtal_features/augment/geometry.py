"""Random resized crop and flip, the same for the frames and the motion of a clip.

Shapes: n frames of H x W pixels; n maps of motion of H' x W' cells over the same picture, in px
per frame; S the side of the square that comes out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wtal_features.augment.bands import filter_both
from wtal_features.augment.draws import below, chance, uniform
from wtal_features.clips import Resampling

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Crops that do not fit are drawn anew this often; then the middle is taken.
_TRIES = 10

Box = tuple[int, int, int, int]  # top, left, height, width


@dataclass(frozen=True)
class CropRange:
    """Which crops may be drawn.

    Attributes:
        size: S, in pixels.
        area: Smallest and largest share of the picture.
        ratio: Smallest and largest width over height.
        swap: Exchange width and height with probability 1/2.
        flip_p: Probability of mirroring left and right.
        resampling: Of colour; motion is always resized bilinearly.
        antialias: Widen the filter where colour shrinks.
    """

    size: int
    area: tuple[float, float]
    ratio: tuple[float, float]
    swap: bool = False
    flip_p: float = 0.5
    resampling: Resampling = "bilinear"
    antialias: bool = True

    def draw(self, frame_hw: tuple[int, int], generator: torch.Generator) -> Crop:
        """One crop of pictures of H x W pixels.

        Area and ratio are uniform. Of a picture in which none of ten crops fits, the largest
        centred square is taken.

        Args:
            frame_hw: H and W, in pixels.
            generator: A CPU generator.
        """
        box = self._draw_box(*frame_hw, generator)
        return Crop(frame_hw, box, chance(self.flip_p, generator), self)

    def _draw_box(self, height: int, width: int, generator: torch.Generator) -> Box:
        for _ in range(_TRIES):
            area = uniform(*self.area, generator) * height * width
            ratio = uniform(*self.ratio, generator)
            w, h = max(1, round(math.sqrt(area * ratio))), max(1, round(math.sqrt(area / ratio)))
            if self.swap and chance(0.5, generator):
                w, h = h, w
            if w <= width and h <= height:
                return below(height - h + 1, generator), below(width - w + 1, generator), h, w
        side = min(height, width)
        return (height - side) // 2, (width - side) // 2, side, side


@dataclass(frozen=True)
class Crop:
    """A drawn crop.

    Attributes:
        frame_hw: H and W of the pictures that it was drawn for, in pixels.
        box: Top, left, height and width, in pixels.
        flip: Mirror left and right.
        of: Where it was drawn from: size and resampling.
    """

    frame_hw: tuple[int, int]
    box: Box
    flip: bool
    of: CropRange

    def frames(self, frames_nHWC: Tensor) -> Tensor:
        """Cut, resize and flip colour.

        Args:
            frames_nHWC: (n, H, W, 3) uint8.

        Returns:
            (n, S, S, 3) uint8.
        """
        from torch.nn import functional as F

        top, left, height, width = self.box
        cut = frames_nHWC[:, top : top + height, left : left + width].permute(0, 3, 1, 2)
        # Channels last is what the cut is already, and six times as fast as planes.
        square = F.interpolate(
            cut,
            (self.of.size, self.of.size),
            mode=self.of.resampling,
            align_corners=False,
            antialias=self.of.antialias,
        ).permute(0, 2, 3, 1)
        return square.flip(2) if self.flip else square.contiguous()

    def motion(self, maps_nhw2: Tensor) -> Tensor:
        """Cut, resize and flip motion; a flip also changes the sign of dx.

        The values stay px of the source: a resize moves them, it does not rescale them.

        Args:
            maps_nhw2: (n, H', W', 2) float; H' x W' cells cover the picture of H x W pixels.

        Returns:
            (n, S, S, 2), of the same type.
        """
        top, left, height, width = self.box
        rows, columns = maps_nhw2.shape[1:3]
        (y0, y1), down_Sh = _filter(rows, self.frame_hw[0], top, height, self.of.size)
        (x0, x1), across_Sw = _filter(columns, self.frame_hw[1], left, width, self.of.size)
        planes_n2hw = maps_nhw2[:, y0:y1, x0:x1].permute(0, 3, 1, 2).float().contiguous()
        square_n2SS = filter_both(down_Sh, across_Sw, planes_n2hw)
        square = square_n2SS.permute(0, 2, 3, 1).to(maps_nhw2.dtype).contiguous()
        return square.flip(2) * square.new_tensor([-1, 1]) if self.flip else square


def _filter(
    cells: int, pixels: int, start: int, length: int, size: int
) -> tuple[tuple[int, int], Tensor]:
    """Bilinear weights, widened where they shrink, of one edge of a box that may cut through cells.

    Args:
        cells: Of the map along this edge.
        pixels: Of the picture along this edge.
        start: Of the box, in pixels.
        length: Likewise.
        size: S.

    Returns:
        First cell and last cell + 1 that the box touches, and (S, cells touched) weights; each row
        sums to one.
    """
    import torch

    first, last = start * cells // pixels, -(-(start + length) * cells // pixels)
    step = length * cells / pixels / size
    centres_S = start * cells / pixels + (torch.arange(size) + 0.5) * step
    centres_c = torch.arange(first, last) + 0.5
    weights_Sc = (1 - (centres_S[:, None] - centres_c).abs() / max(step, 1)).clamp(min=0)
    return (first, last), weights_Sc / weights_Sc.sum(1, keepdim=True)
