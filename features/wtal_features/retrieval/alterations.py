"""Near-duplicates of a video: what copies on the web do to its time and to its pixels.

Everything random is drawn once per version, from a generator that is passed in; all frames of a
version are then changed alike. Shapes: n frames of H x W pixels, h x w of them after the crop.

Source: which changes, TCA (WACV 2021) and ViSiL (ICCV 2019), which name crops in time and space,
changes of speed, blur, flips and overlays; the ranges are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from wtal_features.augment.blur import gaussian_blur
from wtal_features.augment.draws import below, chance, order, uniform
from wtal_features.augment.geometry import Box
from wtal_features.errors import FeatureError

# Time --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TimeAlteration:
    """What may happen to the time of a version.

    Attributes:
        keep: Smallest and largest share of the video that the temporal crop keeps.
        speed: Smallest and largest factor; 2 shows every second frame, .5 every frame twice.
        drop: Largest share of the frames that are then left out, here and there.
    """

    keep: tuple[float, float] = (0.4, 1.0)
    speed: tuple[float, float] = (0.5, 2.0)
    drop: float = 0.3

    def __post_init__(self) -> None:
        """Refuse ranges that have no meaning."""
        _check_range("keep", self.keep, 0, 1)
        _check_range("speed", self.speed, 0, 16)
        _check_share("drop", self.drop)


def time_indices(frames: int, config: TimeAlteration, generator: torch.Generator) -> list[int]:
    """Which grid frames a version shows: cropped, then sped up or slowed down, then thinned.

    The share that is kept and the share that is dropped are uniform, the speed uniform in its
    logarithm: twice as fast is as likely as half as fast.

    Args:
        frames: N of the video, at least 1.
        config: The ranges.
        generator: A CPU generator.

    Returns:
        At least one index of 0..N-1, ascending; an index comes again where time is slowed down.

    Raises:
        FeatureError: If there are no frames.
    """
    if frames < 1:
        raise FeatureError(f"A video of {frames} frames; expected at least 1.", code="option")
    length = max(1, round(uniform(*config.keep, generator) * frames))
    start = below(frames - length + 1, generator)
    slowest, fastest = config.speed
    speed = math.exp(uniform(math.log(slowest), math.log(fastest), generator))
    shown = max(1, math.ceil(length / speed))
    # Rounding may carry the last one to the end of the crop.
    indices = [start + min(int(i * speed), length - 1) for i in range(shown)]
    dropped = min(int(uniform(0, config.drop, generator) * shown), shown - 1)
    return [indices[i] for i in sorted(order(shown, generator)[dropped:])]


# Pixels ------------------------------------------------------------------------------------------

_BLUR_RADIUS = 16  # pixels on each side that count
_LETTERS = (5, 24)  # rows and columns of the cells of a line of text


@dataclass(frozen=True)
class PixelAlteration:
    """What may happen to the pictures of a version. Nothing is resized: encoders do that.

    Attributes:
        crop: Smallest and largest share of the area that the crop keeps; its shape stays.
        flip_p: Probability of mirroring left and right.
        brightness: Smallest and largest factor of all values.
        contrast: Smallest and largest factor of the distance from middle gray.
        blur_p: Probability of blur.
        blur_sigma: Smallest and largest standard deviation of the Gaussian, in pixels.
        overlay_p: Probability of an overlay: a rectangle, bars along the edges, or a line of
            text-like blocks, in one colour, opaque or half transparent.
        overlay: Smallest and largest share of height and of width that a rectangle or a line of
            text covers; a bar has a quarter of it.
    """

    crop: tuple[float, float] = (0.5, 1.0)
    flip_p: float = 0.3
    brightness: tuple[float, float] = (0.8, 1.2)
    contrast: tuple[float, float] = (0.8, 1.2)
    blur_p: float = 0.3
    blur_sigma: tuple[float, float] = (0.5, 2.0)
    overlay_p: float = 0.5
    overlay: tuple[float, float] = (0.1, 0.4)

    def __post_init__(self) -> None:
        """Refuse ranges that have no meaning."""
        for name, high in (("crop", 1), ("overlay", 1), ("brightness", 4), ("contrast", 4)):
            _check_range(name, getattr(self, name), 0, high)
        _check_range("blur_sigma", self.blur_sigma, 0, 64)
        for name in ("flip_p", "blur_p", "overlay_p"):
            _check_share(name, getattr(self, name))

    def draw(self, frame_hw: tuple[int, int], generator: torch.Generator) -> DrawnPixels:
        """Settle what happens to one version.

        Args:
            frame_hw: H and W of its frames, in pixels.
            generator: A CPU generator; the same state gives the same alteration.
        """
        side = math.sqrt(uniform(*self.crop, generator))
        box = _box(frame_hw, (side, side), generator)
        flip = chance(self.flip_p, generator)
        brightness = uniform(*self.brightness, generator)
        contrast = uniform(*self.contrast, generator)
        sigma = uniform(*self.blur_sigma, generator) if chance(self.blur_p, generator) else None
        overlay = None
        if chance(self.overlay_p, generator):
            overlay = _overlay(box[2:], self.overlay, generator)
        return DrawnPixels(frame_hw, box, flip, brightness, contrast, sigma, overlay)


@dataclass(frozen=True)
class Overlay:
    """What lies over every frame.

    Attributes:
        boxes: Where, in pixels of the cropped frame.
        colour: Red, green, blue in 0..1.
        opacity: Share of the colour in what is seen.
    """

    boxes: tuple[Box, ...]
    colour: tuple[float, float, float]
    opacity: float

    def over(self, x_3nhw: torch.Tensor) -> torch.Tensor:
        """(3, n, h, w) in 0..1, likewise."""
        cover_hw = x_3nhw.new_zeros(x_3nhw.shape[2:])
        for top, left, height, width in self.boxes:
            cover_hw[top : top + height, left : left + width] = self.opacity
        return torch.lerp(x_3nhw, x_3nhw.new_tensor(self.colour).view(3, 1, 1, 1), cover_hw)


@dataclass(frozen=True)
class DrawnPixels:
    """What happens to each frame of one version, whatever frames come with it.

    Attributes:
        frame_hw: H and W of the frames that it was drawn for, in pixels.
        box: The crop: top, left, height h and width w, in pixels.
        flip: Mirror left and right.
        brightness: Factor of all values.
        contrast: Factor of the distance from middle gray.
        blur_sigma: Of the blur, in pixels; None: there is none.
        overlay: None: there is none.
    """

    frame_hw: tuple[int, int]
    box: Box
    flip: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    blur_sigma: float | None = None
    overlay: Overlay | None = None

    def frames(self, frames_nHWC: torch.Tensor) -> torch.Tensor:
        """Crop, mirror, contrast and brightness, blur, overlay.

        Args:
            frames_nHWC: (n, H, W, 3) uint8, of the size that the alteration was drawn for.

        Returns:
            (n, h, w, 3) uint8.

        Raises:
            FeatureError: If the frames have another size, type or number of channels.
        """
        H, W = self.frame_hw
        if frames_nHWC.dtype != torch.uint8 or frames_nHWC.shape[1:] != (H, W, 3):
            raise FeatureError(
                f"Frames of shape {tuple(frames_nHWC.shape)}, {frames_nHWC.dtype}; expected "
                f"(n, {H}, {W}, 3), uint8.",
                "Draw an alteration for the size of the frames.",
                code="shape",
            )
        top, left, height, width = self.box
        cut_nhwC = frames_nHWC[:, top : top + height, left : left + width]
        x_3nhw = cut_nhwC.permute(3, 0, 1, 2).float() / 255
        if self.flip:
            x_3nhw = x_3nhw.flip(-1)
        x_3nhw = ((x_3nhw - 0.5) * self.contrast + 0.5).clamp(0, 1) * self.brightness
        x_3nhw = x_3nhw.clamp(0, 1)
        if self.blur_sigma is not None:
            x_3nhw = gaussian_blur(x_3nhw.contiguous(), self.blur_sigma, _BLUR_RADIUS)
        if self.overlay is not None:
            x_3nhw = self.overlay.over(x_3nhw)
        pixels_3nhw = (x_3nhw * 255).round().clamp(0, 255).byte()
        return pixels_3nhw.permute(1, 2, 3, 0).contiguous()


def _overlay(
    size_hw: tuple[int, int], shares: tuple[float, float], generator: torch.Generator
) -> Overlay:
    """One of three kinds, equally likely, at a random place."""
    down, across = uniform(*shares, generator), uniform(*shares, generator)
    kind = below(3, generator)
    if kind == 0:
        boxes: tuple[Box, ...] = (_box(size_hw, (down, across), generator),)
    elif kind == 1:
        boxes = _bars(size_hw, down / 4, across / 4, sides=chance(0.5, generator))
    else:
        boxes = _letters(_box(size_hw, (down, across), generator), generator)
    red, green, blue = (uniform(0, 1, generator) for _ in range(3))
    return Overlay(boxes, (red, green, blue), 0.5 if chance(0.5, generator) else 1.0)


def _box(size_hw: tuple[int, int], shares: tuple[float, float], generator: torch.Generator) -> Box:
    """A box with these shares of height and width, at least one pixel each, somewhere."""
    height, width = (
        max(1, round(size * share)) for size, share in zip(size_hw, shares, strict=True)
    )
    top = below(size_hw[0] - height + 1, generator)
    return top, below(size_hw[1] - width + 1, generator), height, width


def _bars(size_hw: tuple[int, int], down: float, across: float, *, sides: bool) -> tuple[Box, ...]:
    """Above and below; and at the sides, if asked for."""
    h, w = size_hw
    high, wide = max(1, round(h * down)), max(1, round(w * across))
    bars: tuple[Box, ...] = ((0, 0, high, w), (h - high, 0, high, w))
    return (*bars, (0, 0, h, wide), (0, w - wide, h, wide)) if sides else bars


def _letters(line: Box, generator: torch.Generator) -> tuple[Box, ...]:
    """Half of the cells of a line, as letters fill about half of it."""
    top, left, height, width = line
    rows, columns = min(_LETTERS[0], height), min(_LETTERS[1], width)
    ys = [top + height * i // rows for i in range(rows + 1)]
    xs = [left + width * j // columns for j in range(columns + 1)]
    filled = order(rows * columns, generator)[: max(1, rows * columns // 2)]
    cells = (divmod(cell, columns) for cell in sorted(filled))
    return tuple((ys[i], xs[j], ys[i + 1] - ys[i], xs[j + 1] - xs[j]) for i, j in cells)


# Ranges ------------------------------------------------------------------------------------------


def _check_range(name: str, ends: tuple[float, float], low: float, high: float) -> None:
    """Refuse all but low < first <= second <= high."""
    first, second = ends
    if not low < first <= second <= high:
        raise FeatureError(
            f"{name} is {ends}; expected two numbers above {low:g}, at most {high:g}, the smaller "
            "first.",
            code="option",
        )


def _check_share(name: str, share: float) -> None:
    """Refuse all but 0 to 1."""
    if not 0 <= share <= 1:
        raise FeatureError(f"{name} is {share}; expected 0 to 1.", code="option")
