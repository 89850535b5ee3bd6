"""Where the demo's videos play: three textured places, and a camera that pans, shakes and cuts.

Shapes: S side of a place, a torus, in px.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wtal.demo.sprites import Frame

SIDE = 320  # S


class _Place(NamedTuple):
    """Colours from the darkest to the lightest, and how stretched its pattern is."""

    colours: tuple[str, ...]
    stretch: tuple[float, float]  # along x and y
    grain: float  # cycles per px, about


PLACES: dict[str, _Place] = {
    "sand": _Place(("9a7b58", "b8976c", "d4b98c", "efe0bd"), (1.6, 0.8), 0.04),
    "snow": _Place(("8e9bab", "b3c0cd", "d8e0e7", "f7fafc"), (1.0, 1.0), 0.03),
    "night": _Place(("14131f", "262438", "3b3654", "5c5478"), (1.0, 1.0), 0.05),
}


def paint(place: str, generator: np.random.Generator) -> Frame:
    """(S, S, 3): a place seen from above, which wraps around at its borders."""
    about = PLACES[place]
    f = np.fft.fftfreq(SIDE)
    radius_SS = np.hypot(f[None, :] * about.stretch[0], f[:, None] * about.stretch[1])
    band_SS = np.exp(-(((radius_SS - about.grain) / (0.6 * about.grain)) ** 2))
    noise_SS = np.fft.fft2(generator.standard_normal((SIDE, SIDE)))
    height_SS = np.fft.ifft2(noise_SS * band_SS).real
    rank_SS = 0.5 + 0.5 * np.tanh(height_SS / height_SS.std() * 0.45)
    colours_K3 = np.array([[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in about.colours])
    stops_K = np.linspace(0, 1, len(colours_K3))
    mixed = [np.interp(rank_SS, stops_K, colours_K3[:, channel]) for channel in range(3)]
    return np.stack(mixed, axis=-1).astype(np.uint8)


class Camera(NamedTuple):
    """Where the camera looks at every frame."""

    x_N: NDArray[np.float64]  # px in the place
    y_N: NDArray[np.float64]
    shake_N2: NDArray[np.float64]  # px
    shot_N: NDArray[np.int64]  # number of the shot


def film(n: int, cut_chance: float, pan_px: float, generator: np.random.Generator) -> Camera:
    """A camera over n frames.

    Args:
        n: frames.
        cut_chance: of a cut at a frame.
        pan_px: standard deviation of the speed, px per frame.
        generator: of all that is random.
    """
    cut_N = generator.random(n) < cut_chance
    shot_N = np.cumsum(cut_N, dtype=np.int64)
    shots = int(shot_N[-1]) + 1
    speed_N2 = pan_px * generator.standard_normal((shots, 2))[shot_N]
    sway_N2 = np.sin(np.arange(n)[:, None] / generator.uniform(9, 25, 2)) * pan_px
    jump_N2 = generator.uniform(0, SIDE, (shots, 2))[shot_N]
    path_N2 = jump_N2 + np.cumsum(speed_N2 + sway_N2, axis=0)
    shake_N2 = generator.normal(0, 0.7, (n, 2))
    return Camera(path_N2[:, 0], path_N2[:, 1], shake_N2, shot_N)


def view(place: Frame, x: float, y: float, width: int, height: int) -> Frame:
    """(height, width, 3): a copy of what is seen of a place; at most S px high and wide."""
    top, left = round(y) % SIDE, round(x) % SIDE
    down = np.concatenate([place[top : top + height], place[: max(0, top + height - SIDE)]])
    parts = [down[:, left : left + width], down[:, : max(0, left + width - SIDE)]]
    return np.concatenate(parts, axis=1)
