"""What an encoder wants to see: how many frames, how far apart, which view, cut and scaled how.

One frozen description, read by the decoder that makes clips, by the encoder that takes them, and
by the manifest that has to say how features were made. Shapes: n frames, H x W pixels, C channels.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from wtal_features.errors import FeatureError

View = Literal["rgb", "motion"]
Resampling = Literal["bilinear", "bicubic"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocess:
    """From a decoded frame to the pixels that the network sees.

    The short side becomes `short_side`, the centre square `crop` is cut out and, where `resize` is
    given, scaled once more. All of it happens on uint8; floats come last, on the whole clip.

    Attributes:
        short_side: Pixels of the shorter edge after the first resize.
        crop: Side of the centre crop, at most `short_side`.
        resize: Side after a second resize of the crop; None: the crop is final.
        resampling: Of the resizes.
        antialias: Widen the filter when shrinking, as Pillow does.
        long_side: How the other edge is rounded: `floor` (transformers, CoCLR) or `round` (CMD).
        mean, std: Per channel, applied after division by 255; None: pixels stay in [0, 1].
    """

    short_side: int
    crop: int
    resize: int | None = None
    resampling: Resampling = "bilinear"
    antialias: bool = True
    long_side: Literal["floor", "round"] = "floor"
    mean: tuple[float, ...] | None = IMAGENET_MEAN
    std: tuple[float, ...] | None = IMAGENET_STD

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be cut."""
        if not 1 <= self.crop <= self.short_side:
            raise FeatureError(
                f"A crop of {self.crop} px cannot be cut from a short side of {self.short_side}.",
                code="option",
            )

    @property
    def size(self) -> int:
        """Side of the final square, in pixels."""
        return self.resize or self.crop


@dataclass(frozen=True)
class ClipSpec:
    """One clip of an encoder: n frames of the grid, r apart.

    Attributes:
        frames: n.
        every: r, grid frames from one frame of the clip to the next.
        view: Colour frames, or maps of motion.
        preprocess: Geometry and scale of the pixels.
    """

    frames: int
    every: int
    view: View
    preprocess: Preprocess = field(default_factory=lambda: Preprocess(256, 224))

    def __post_init__(self) -> None:
        """Refuse clips without frames."""
        if self.frames < 1 or self.every < 1:
            raise FeatureError(
                f"A clip of {self.frames} frames, every {self.every}; expected at least 1 of each.",
                code="option",
            )

    @property
    def span(self) -> int:
        """S = (n - 1) r + 1, the grid frames from the first of a clip to the last."""
        return (self.frames - 1) * self.every + 1

    def describe(self) -> Mapping[str, object]:
        """As JSON values, for the manifest."""
        return asdict(self)
