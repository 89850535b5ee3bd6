"""What moves in the demo's videos: six shaded, patterned things, drawn once per angle and size.

Shapes: S side of a sprite in px, P points of the grid on which one is drawn.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatPP = NDArray[np.float32]
Frame = NDArray[np.uint8]  # (height, width, 3)

TONES = 5  # hues that each thing comes in
ANGLES = 48  # directions that each is drawn in
_FINE = 3  # points per px and axis, averaged: smooth edges
_WHITE = np.array([248, 246, 238], np.float32)
_DARK = np.array([40, 36, 48], np.float32)


class Sprite(NamedTuple):
    """A picture with soft edges."""

    colour_SS3: NDArray[np.float32]  # 0..255, times alpha
    clear_SS1: NDArray[np.float32]  # 1 - alpha: how much of what lies behind is seen


class _Look(NamedTuple):
    """Where a thing is, and which of three colours it shows there."""

    inside_PP: NDArray[np.bool_]
    colour_PP: NDArray[np.int64]  # 0: its own; 1: white; 2: dark


def paste(frame: Frame, sprite: Sprite, x: float, y: float) -> None:
    """Draw a sprite into a frame, its middle at (x, y) px; what is outside is cut off."""
    side = len(sprite.clear_SS1)
    left, top = round(x - side / 2), round(y - side / 2)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + side, frame.shape[1]), min(top + side, frame.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    behind = frame[y0:y1, x0:x1]
    behind[:] = behind * sprite.clear_SS1[part] + sprite.colour_SS3[part]


def sprite(look: str, tone: int, angle: float, radius: float) -> Sprite:
    """A thing of `LOOKS`.

    Args:
        look: its name.
        tone: which of its hues, 0 to TONES - 1.
        angle: radians, clockwise as y points down.
        radius: px.
    """
    step = round(angle / (2 * np.pi) * ANGLES) % ANGLES
    return _drawn(look, tone, step, max(1, round(2 * radius)))


@lru_cache(maxsize=8192)
def _drawn(look: str, tone: int, step: int, diameter: int) -> Sprite:
    side = diameter + 2
    points = side * _FINE
    grid_P = (np.arange(points, dtype=np.float32) + 0.5) / _FINE - side / 2
    v_PP, u_PP = np.meshgrid(grid_P, grid_P, indexing="ij")
    u_PP, v_PP = u_PP / (diameter / 2), v_PP / (diameter / 2)
    turned = -2 * np.pi * step / ANGLES
    x_PP = np.cos(turned) * u_PP - np.sin(turned) * v_PP
    y_PP = np.sin(turned) * u_PP + np.cos(turned) * v_PP
    found = LOOKS[look](x_PP, y_PP)
    colours_33 = np.stack([_hue(look, tone), _WHITE, _DARK])
    # Light comes from the upper left, whichever way the thing is turned.
    light_PP = 1.08 - 0.5 * ((u_PP + 0.35) ** 2 + (v_PP + 0.35) ** 2) / 2
    colour_PP3 = (colours_33[found.colour_PP] * light_PP[..., None]).clip(0, 255)
    alpha_PP1 = found.inside_PP[..., None].astype(np.float32)
    return Sprite(_averaged(colour_PP3 * alpha_PP1), 1 - _averaged(alpha_PP1))


def _averaged(x_PPK: NDArray[np.float32]) -> NDArray[np.float32]:
    side = len(x_PPK) // _FINE
    mean: NDArray[np.float32] = x_PPK.reshape(side, _FINE, side, _FINE, -1).mean(axis=(1, 3))
    return mean.astype(np.float32)


def _hue(look: str, tone: int) -> NDArray[np.float32]:
    """The hues of a look lie next to each other."""
    start = list(LOOKS).index(look) / len(LOOKS)
    hue = (start + 0.1 * tone / TONES) % 1.0
    return np.array(colorsys.hsv_to_rgb(hue, 0.85, 0.95), np.float32) * 255


def _polar(x_PP: FloatPP, y_PP: FloatPP) -> tuple[FloatPP, FloatPP]:
    return np.hypot(x_PP, y_PP), np.arctan2(y_PP, x_PP)


def _ball(x_PP: FloatPP, y_PP: FloatPP) -> _Look:
    """Six sectors, every other one white."""
    r_PP, angle_PP = _polar(x_PP, y_PP)
    sector_PP = np.floor(angle_PP / (np.pi / 3)).astype(np.int64) % 2
    return _Look(r_PP < 1, np.where(r_PP < 0.18, 1, sector_PP))


def _windmill(x_PP: FloatPP, y_PP: FloatPP) -> _Look:
    """Four bent blades around a dark hub, one side of each in the shade."""
    r_PP, angle_PP = _polar(x_PP, y_PP)
    blade_PP = np.cos(4 * angle_PP + 2.2 * r_PP)
    shade_PP = 2 * (np.sin(4 * angle_PP + 2.2 * r_PP) > 0.5).astype(np.int64)
    colour_PP = np.where(r_PP < 0.22, 1, shade_PP)
    return _Look((r_PP < 0.22) | ((blade_PP > 0.1 + 0.4 * r_PP) & (r_PP < 1)), colour_PP)


def _lantern(x_PP: FloatPP, y_PP: FloatPP) -> _Look:
    """A rounded diamond with stripes across."""
    inside_PP = np.abs(x_PP) ** 1.4 / 0.55 + np.abs(y_PP) ** 1.4 < 0.98
    stripe_PP = (np.floor((y_PP + 1) * 3.5).astype(np.int64) % 2) * 1
    return _Look(inside_PP, np.where(np.abs(y_PP) > 0.72, 2, stripe_PP))


def _pin(x_PP: FloatPP, y_PP: FloatPP) -> _Look:
    """A small ball with a dark belt."""
    r_PP, _ = _polar(x_PP, y_PP)
    return _Look(r_PP < 0.95, np.where(np.abs(y_PP) < 0.25, 2, 0))


def _flower(x_PP: FloatPP, y_PP: FloatPP) -> _Look:
    """Seven petals around a white middle."""
    r_PP, angle_PP = _polar(x_PP, y_PP)
    petal_PP = 0.62 + 0.36 * np.cos(7 * angle_PP)
    ring_PP = np.where(r_PP > 0.55 * petal_PP, 0, 2)
    return _Look(r_PP < petal_PP, np.where(r_PP < 0.3, 1, ring_PP))


def _fish(x_PP: FloatPP, y_PP: FloatPP) -> _Look:
    """An oval with a tail; it looks to the right."""
    body_PP = ((x_PP - 0.2) / 0.78) ** 2 + (y_PP / 0.5) ** 2 < 1
    tail_PP = (x_PP < -0.4) & (x_PP > -0.98) & (np.abs(y_PP) < -0.85 * (x_PP + 0.4) + 0.12)
    eye_PP = np.hypot(x_PP - 0.62, y_PP + 0.12) < 0.13
    bands_PP = (np.floor((x_PP + 2) * 4).astype(np.int64) % 2) * (x_PP < 0.4)
    return _Look(body_PP | tail_PP, np.where(eye_PP, 2, bands_PP))


LOOKS: dict[str, Callable[[FloatPP, FloatPP], _Look]] = {
    "ball": _ball,
    "windmill": _windmill,
    "lantern": _lantern,
    "pin": _pin,
    "flower": _flower,
    "fish": _fish,
}


@lru_cache(maxsize=64)
def shadow(width: int) -> Sprite:
    """A soft dark oval on the ground, px wide."""
    grid_S = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1
    r_SS = np.hypot(grid_S[None, :], grid_S[:, None] * 3)
    dark_SS1 = (0.45 * (1 - r_SS).clip(0, 1))[..., None].astype(np.float32)
    return Sprite(np.zeros((width, width, 3), np.float32), 1 - dark_SS1)
