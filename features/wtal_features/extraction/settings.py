"""How to extract: what decides the features, and what only decides how fast they come."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from wtal_features.errors import FeatureError
from wtal_features.motion.source import MOTION_SOURCES
from wtal_features.video.limits import Limits

# No exponents: 1e999999999 would be written out before it is refused.
_RATE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}|/[0-9]{1,9})?")


@dataclass(frozen=True)
class MotionSettings:
    """The second view, for encoders that want it.

    Attributes:
        method: `dis`, `farneback` and `tvl1` are optical flow by OpenCV; `mv` reads the motion
            vectors of the codec.
        short_side: Frames are scaled down to it for optical flow and for copies, in pixels.
        reencode: Make a copy of files whose codec has no usable vectors; else they are skipped.
        cache: Folder for such copies and for flow that was computed; None: computed anew.
    """

    method: Literal["dis", "farneback", "tvl1", "mv"] = "dis"
    short_side: int = 256
    reencode: bool = True
    cache: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no video could be decoded with."""
        if self.method not in MOTION_SOURCES:
            raise FeatureError(
                f"motion is {self.method!r}; expected {', '.join(MOTION_SOURCES)}.", code="option"
            )
        if self.short_side < 1:
            raise FeatureError(
                f"short_side is {self.short_side}; expected at least 1 px.", code="option"
            )


@dataclass(frozen=True)
class ExtractSettings:
    """Everything about an extraction but the encoders.

    Attributes:
        fps: Frames per second of the grid, such as 25 or 30000/1001.
        stride: Grid frames per snippet.
        mode: `window`: one clip centred on each snippet. `dense`: longer clips, cut along time
            after the network; cheaper, and a little different at the clips' edges.
        dtype: Of the arrays.
        partial: Keep what can be decoded of a file that is cut short.
        motion: The second view.
        batch: Clips that are encoded at a time.
        workers: Processes that decode; 0: one per core.
        limits: What one video may cost.
    """

    fps: Fraction = Fraction(25)
    stride: int = 16
    mode: Literal["window", "dense"] = "window"
    dtype: Literal["float16", "float32"] = "float16"
    partial: bool = False
    motion: MotionSettings = field(default_factory=MotionSettings)
    batch: int = 4
    workers: int = 0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        checks = {
            "fps": (float(self.fps), 0 < self.fps <= 1000, "above 0, at most 1000"),
            "stride": (self.stride, self.stride >= 1, "at least 1"),
            "batch": (self.batch, self.batch >= 1, "at least 1"),
            "workers": (self.workers, self.workers >= 0, "0 (one per core) or more"),
            "mode": (self.mode, self.mode in ("window", "dense"), "window or dense"),
            "dtype": (self.dtype, self.dtype in ("float16", "float32"), "float16 or float32"),
        }
        for name, (value, fine, expected) in checks.items():
            if not fine:
                raise FeatureError(f"{name} is {value!r}; expected {expected}.", code="option")

    @property
    def most(self) -> int:
        """Grid frames of the longest video that is allowed."""
        return int(self.limits.max_hours * 3600 * self.fps)

    def described(self, views: Collection[str]) -> Mapping[str, object]:
        """What decides the features, as JSON values for the manifest."""
        chosen: dict[str, object] = {
            "grid_fps": str(self.fps),
            "mode": self.mode,
            "dtype": self.dtype,
        }
        if "motion" in views:
            chosen["motion"] = {
                "source": self.motion.method,
                "unit": "px of the source per grid frame",
                "short_side": self.motion.short_side,
            }
        return chosen


def parse_fps(text: str) -> Fraction:
    """`25`, `29.97` or `30000/1001`.

    Raises:
        FeatureError: If it is no positive number.
    """
    fps = Fraction(0)
    if _RATE.fullmatch(text):
        with suppress(ZeroDivisionError):
            fps = Fraction(text)
    if not 0 < fps <= 1000:
        raise FeatureError(
            f"fps is {text[:40]!r}; expected a number such as 25 or 30000/1001.", code="option"
        )
    return fps
