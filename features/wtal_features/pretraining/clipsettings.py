"""What a clip store keeps of each video, and how much space that takes.

Legend: H x W pixels of a stored frame, H' x W' cells of a stored map of motion.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from wtal_features.errors import FeatureError
from wtal_features.extraction.settings import MotionSettings
from wtal_features.video.limits import Limits

FORMAT = "wtal-clips-1"
# Motion is kept as int8: so many steps stand for the range.
STEPS = 127


@dataclass(frozen=True)
class ClipSettings:
    """Everything about a clip store but the videos.

    Attributes:
        fps: Frames per second of the grid, such as 25 or 30000/1001.
        short_side: Frames are shrunk to it, in pixels: bilinearly, antialiased, never enlarged and
            never cut.
        motion: Where maps of motion come from; None: there are none.
        motion_side: Maps are shrunk to this short side, in cells.
        motion_range_px: Motion is cut at +- so many px of the source per grid frame; a step of
            int8 is 1/127 of it.
        partial: Keep what can be decoded of a file that is cut short.
        workers: Processes that decode; 0: one per core.
        limits: What one video may cost.
    """

    fps: Fraction = Fraction(25)
    short_side: int = 128
    motion: MotionSettings | None = None
    motion_side: int = 64
    motion_range_px: float = 20.0
    partial: bool = False
    workers: int = 0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        px, most = self.motion_range_px, "above 0, at most 1000"
        checks = {
            "fps": (float(self.fps), 0 < self.fps <= 1000, most),
            "short_side": (self.short_side, self.short_side >= 1, "at least 1"),
            "motion_side": (self.motion_side, self.motion_side >= 1, "at least 1"),
            "motion_range_px": (px, 0 < px <= 1000, most),
            "workers": (self.workers, self.workers >= 0, "0 (one per core) or more"),
        }
        for name, (value, fine, expected) in checks.items():
            if not fine:
                raise FeatureError(f"{name} is {value!r}; expected {expected}.", code="option")

    @property
    def most(self) -> int:
        """Grid frames of the longest video that is allowed."""
        return math.floor(self.limits.max_hours * 3600 * self.fps)

    def described(self) -> Mapping[str, object]:
        """What decides the stored bytes, as JSON values for the manifest and for the keys."""
        motion = self.motion and {
            "source": self.motion.method,
            "flow_short_side": self.motion.short_side,
            "short_side": self.motion_side,
            "unit": "px of the source per grid frame",
            "range": self.motion_range_px,
            "dtype": "int8",
        }
        return {
            "format": FORMAT,
            "grid_fps": str(self.fps),
            "short_side": self.short_side,
            "partial": self.partial,
            "motion": motion,
        }


def clip_key(content_sha256: str, settings: ClipSettings) -> str:
    """The name of one video's files: another content or other settings, another key.

    Args:
        content_sha256: Of the video file, hexadecimal.
        settings: How it is kept.

    Returns:
        64 hexadecimal digits.
    """
    text = json.dumps([content_sha256, settings.described()], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def shrunk_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Size with the given short side, the other edge rounded down; never larger than it was.

    Example:
        >>> shrunk_size(240, 320, 128), shrunk_size(100, 90, 128)
        ((128, 170), (100, 90))
    """
    short = min(height, width)
    if short <= short_side:
        return height, width
    return height * short_side // short, width * short_side // short


def picture_bytes(height: int, width: int, settings: ClipSettings) -> int:
    """What one decoded frame of H x W source pixels takes, with its motion.

    Example:
        >>> picture_bytes(240, 320, ClipSettings())  # 128 x 170 x 3
        65280
    """
    h, w = shrunk_size(height, width, settings.short_side)
    mh, mw = shrunk_size(height, width, settings.motion_side)
    return h * w * 3 + (mh * mw * 2 if settings.motion else 0)
