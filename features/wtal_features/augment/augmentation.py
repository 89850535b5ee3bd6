"""From a recipe, which says what may happen, to an augmentation, which says what does.

Shapes: see the package.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wtal_features.augment.blur import gaussian_blur
from wtal_features.augment.colour import CHANGES, Change, gray, solarize
from wtal_features.augment.draws import chance, order, uniform
from wtal_features.augment.geometry import Crop, CropRange
from wtal_features.errors import FeatureError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Recipe:
    """What may happen to a clip. Everything but the crop is off at first.

    Attributes:
        crop: Crops and flips.
        jitter: Changes of colour and the range of each, done in random order.
        jitter_p: Probability of all of them together.
        gray_p: Probability of gray.
        blur_sigma: Range of the Gaussian's standard deviation, in pixels.
        blur_radius: See `gaussian_blur`.
        blur_p: Probability of blur.
        solarize_p: Probability of solarizing.
    """

    crop: CropRange
    jitter: tuple[tuple[Change, float, float], ...] = ()
    jitter_p: float = 0.0
    gray_p: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    blur_radius: int = 8
    blur_p: float = 0.0
    solarize_p: float = 0.0

    def milder(self, colour: float, *, flip: bool) -> Recipe:
        """The same with a share of its probabilities.

        Args:
            colour: Share of those of jitter, gray, blur and solarizing; 1 leaves them.
            flip: Whether to mirror at all.
        """
        crop = self.crop if flip else replace(self.crop, flip_p=0.0)
        return replace(
            self,
            crop=crop,
            jitter_p=self.jitter_p * colour,
            gray_p=self.gray_p * colour,
            blur_p=self.blur_p * colour,
            solarize_p=self.solarize_p * colour,
        )

    def draw(self, frame_hw: tuple[int, int], generator: torch.Generator) -> Augmentation:
        """Settle what happens to one clip.

        Args:
            frame_hw: H and W of its frames, in pixels.
            generator: A CPU generator; the same state gives the same augmentation.
        """
        crop = self.crop.draw(frame_hw, generator)
        jitter: tuple[tuple[Change, float], ...] = ()
        if chance(self.jitter_p, generator):
            ranges = [self.jitter[i] for i in order(len(self.jitter), generator)]
            jitter = tuple((name, uniform(low, high, generator)) for name, low, high in ranges)
        grayed = chance(self.gray_p, generator)
        sigma = uniform(*self.blur_sigma, generator) if chance(self.blur_p, generator) else None
        solarized = chance(self.solarize_p, generator)
        return Augmentation(crop, jitter, grayed, sigma, self.blur_radius, solarized)


@dataclass(frozen=True)
class Augmentation:
    """What happens to one clip: to each of its frames, and to its maps of motion.

    Attributes:
        crop: Where it is cut, and whether it is mirrored.
        jitter: Changes of colour and the strength of each, in their order.
        gray: Take the colour out.
        blur_sigma: Of the blur, in pixels; None: there is none.
        blur_radius: See `gaussian_blur`.
        solarize: Turn the bright half of the values over.
    """

    crop: Crop
    jitter: tuple[tuple[Change, float], ...] = ()
    gray: bool = False
    blur_sigma: float | None = None
    blur_radius: int = 8
    solarize: bool = False

    def frames(self, frames_nHWC: Tensor) -> Tensor:
        """Crop, flip, jitter, gray, blur, solarize.

        Args:
            frames_nHWC: (n, H, W, 3) uint8, of the size that the augmentation was drawn for.

        Returns:
            (n, S, S, 3) uint8.

        Raises:
            FeatureError: If the frames have another size, type or number of channels.
        """
        import torch

        right_size = frames_nHWC.shape[1:] == (*self.crop.frame_hw, 3)
        if frames_nHWC.dtype != torch.uint8 or not right_size:
            raise FeatureError(
                f"Frames of shape {tuple(frames_nHWC.shape)}, {frames_nHWC.dtype}; expected "
                f"(n, {self.crop.frame_hw[0]}, {self.crop.frame_hw[1]}, 3), uint8.",
                "Draw an augmentation for the size of the frames.",
                code="shape",
            )
        square_nSSC = self.crop.frames(frames_nHWC)
        return self._recoloured(square_nSSC) if self._recolours else square_nSSC

    def motion(self, maps_nhw2: Tensor) -> Tensor:
        """Crop and flip, as the frames of the same clip; a flip changes the sign of dx.

        Args:
            maps_nhw2: (n, H', W', 2) float, px per frame; over the same picture, of any resolution.

        Returns:
            (n, S, S, 2), of the same type; still px of the source.

        Raises:
            FeatureError: If the maps have another type or number of channels.
        """
        if maps_nhw2.ndim != 4 or maps_nhw2.shape[-1] != 2 or not maps_nhw2.is_floating_point():
            raise FeatureError(
                f"Motion of shape {tuple(maps_nhw2.shape)}, {maps_nhw2.dtype}; "
                "expected (n, H', W', 2), floating point.",
                code="shape",
            )
        return self.crop.motion(maps_nhw2)

    @property
    def _recolours(self) -> bool:
        blurs = self.blur_sigma is not None
        return bool(self.jitter) or self.gray or blurs or self.solarize

    def _recoloured(self, frames_nSSC: Tensor) -> Tensor:
        """(n, S, S, 3) uint8, by way of planes (3, n, S, S) in 0..1."""
        x_3nSS = frames_nSSC.permute(3, 0, 1, 2).contiguous().float().div_(255)
        for name, strength in self.jitter:
            x_3nSS = CHANGES[name](x_3nSS, strength)
        if self.gray:
            x_3nSS = gray(x_3nSS)
        if self.blur_sigma is not None:
            x_3nSS = gaussian_blur(x_3nSS, self.blur_sigma, self.blur_radius)
        if self.solarize:
            x_3nSS = solarize(x_3nSS)
        pixels_3nSS = x_3nSS.mul(255).round_().clamp_(0, 255).byte()
        return pixels_3nSS.permute(1, 2, 3, 0).contiguous()
