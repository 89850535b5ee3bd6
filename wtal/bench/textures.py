"""Toy videos with a known truth: textures that move, and the class is where to.

Each video is one band-passed random texture on a torus of S x S px. It moves by a constant speed in
one of C = 4 directions, or turns its direction steadily, so that its future can be told. A clip is
a window of it at a random place. A flip would swap classes: never flip these.

Shapes: V videos, n frames, S side of the torus, s side of a window, B clips.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wtal_features.extraction.settings import MotionSettings
from wtal_features.pretraining.clipsettings import ClipSettings, clip_key
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.clipworker import quantized
from wtal_features.pretraining.clipwriter import find_video, new_video, write_manifest

CLASSES = 4  # right, down, left, up
_BAND = (0.06, 0.22)  # cycles per px
_NOISE_PX = 0.5
_TINT = 0.5
_CONTRAST = 40.0  # levels of uint8 per standard deviation


class Windows(NamedTuple):
    """Clips of several videos."""

    rgb_BCTHW: Tensor  # (B, 3, n, s, s) float, zero mean and unit variance over a whole texture
    motion_BCTHW: Tensor  # (B, 2, n, s, s) float, px per frame, noisy


@dataclass(frozen=True)
class MovingTextures:
    """Videos without end and without files.

    Attributes:
        textures_V3SS: One frame of each video.
        labels_V: The direction in which it moves first.
        speed_px: Per frame.
        turn: Radians by which the direction turns per frame, clockwise as y points down.
    """

    textures_V3SS: Tensor
    labels_V: Tensor
    speed_px: float = 2.0
    turn: float = 0.0

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.labels_V)

    def velocity(self, video: int, t: int) -> tuple[float, float]:
        """Velocity (dx, dy) from frame t - 1 to frame t, px."""
        angle = 2 * math.pi * int(self.labels_V[video]) / CLASSES + self.turn * (t - 1)
        return self.speed_px * math.cos(angle), self.speed_px * math.sin(angle)

    def offset(self, video: int, t: int) -> tuple[int, int]:
        """Where the content of frame 0 has moved until frame t, in whole px (x, y)."""
        steps = [self.velocity(video, k) for k in range(1, t + 1)]
        return round(sum(dx for dx, _ in steps)), round(sum(dy for _, dy in steps))

    def frame(self, video: int, t: int) -> Tensor:
        """(3, S, S): the whole torus at frame t."""
        dx, dy = self.offset(video, t)
        return torch.roll(self.textures_V3SS[video], (dy, dx), dims=(1, 2))

    def windows(
        self, videos: Tensor, generator: torch.Generator, n: int = 8, side: int = 32
    ) -> Windows:
        """One clip of each of these videos: its first n frames, at a random place."""
        clips = [self._window(int(video), generator, n, side) for video in videos]
        rgb, motion = zip(*clips, strict=True)
        return Windows(torch.stack(rgb), torch.stack(motion))

    def _window(
        self, video: int, generator: torch.Generator, n: int, side: int
    ) -> tuple[Tensor, Tensor]:
        top, left = torch.randint(self.textures_V3SS.shape[-1], (2,), generator=generator).tolist()
        whole = torch.stack([self.frame(video, t) for t in range(n)], dim=1)
        rgb = torch.roll(whole, (-top, -left), dims=(2, 3))[:, :, :side, :side]
        velocity = torch.tensor([self.velocity(video, t) for t in range(n)])
        noise = torch.randn(2, n, side, side, generator=generator)
        return rgb, velocity.T[:, :, None, None] + _NOISE_PX * noise

    def store(self, folder: Path, N: int, *, intra_every: int = 12) -> ClipStore:
        """The first N frames of every video, with motion, as a clip store; ids sort by number.

        The first frame of a video has no motion, as none has been seen.
        """
        settings = ClipSettings(motion=MotionSettings())
        folder.mkdir(parents=True, exist_ok=True)
        entries = {
            f"v{video:04d}": self._write(folder, video, N, intra_every, settings)
            for video in range(len(self))
        }
        write_manifest(folder, settings.described(), entries)
        return ClipStore(folder)

    def _write(
        self, folder: Path, video: int, N: int, intra_every: int, settings: ClipSettings
    ) -> dict[str, Any]:
        key = clip_key(f"{video:064x}", settings)
        side = self.textures_V3SS.shape[-1]
        with new_video(folder, key, motion=True) as sink:
            for t in range(N):
                pixels = (128 + _CONTRAST * self.frame(video, t)).round().clamp(0, 255).byte()
                sink.frame(pixels.permute(1, 2, 0).numpy(), intra=t % intra_every == 0)
                velocity = self.velocity(video, t) if t else (0.0, 0.0)
                map_HW2 = np.full((side // 4, side // 4, 2), velocity, np.float32)
                sink.motion(quantized(map_HW2, settings.motion_range_px))
        entry = find_video(folder, key)
        assert entry is not None
        return entry


def moving_textures(
    count: int,
    generator: torch.Generator,
    *,
    side: int = 64,
    speed_px: float = 2.0,
    turn: float = 0.0,
    scenes: int = 1,
) -> MovingTextures:
    """So many videos, as many of each class as of the others, up to one.

    Args:
        count: V.
        generator: Of everything that is random.
        side: S.
        speed_px: Per frame.
        turn: Radians by which the direction turns per frame.
        scenes: Mean colours that there are; each comes with every direction. One: gray.
    """
    numbers = torch.arange(count)
    frames = textures(count, side, generator)
    if scenes > 1:
        frames = frames + scene_colours(scenes)[numbers // CLASSES % scenes, :, None, None]
    return MovingTextures(frames, numbers % CLASSES, speed_px, turn)


def scene_colours(count: int) -> Tensor:
    """(count, 3): so many hues around gray, in standard deviations of a texture."""
    hues = torch.arange(count)[:, None] / count + torch.arange(3) / 3
    return _TINT * torch.cos(2 * math.pi * hues)


def textures(count: int, side: int, generator: torch.Generator) -> Tensor:
    """(count, 3, side, side) noise of .06 to .22 cycles per px; zero mean, unit variance."""
    noise = torch.randn(count, 3, side, side, generator=generator)
    frequency = torch.fft.fftfreq(side)
    radius = torch.hypot(frequency[:, None], frequency[None, :])
    band = (radius >= _BAND[0]) & (radius <= _BAND[1])
    smooth: Tensor = torch.fft.ifft2(torch.fft.fft2(noise) * band).real
    return smooth / smooth.std(dim=(1, 2, 3), keepdim=True, correction=0)
