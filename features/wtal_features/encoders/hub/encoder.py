"""What every hub encoder does with clips, whatever its family.

Legend: B clips of n frames, H x W pixels, T' time positions, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.errors import FeatureError
from wtal_features.preprocess import to_network


@dataclass(frozen=True)
class HubOptions:
    """What the user asked for; None: what suits the family.

    Attributes:
        frames: Of a clip.
        every: Grid frames from one frame of a clip to the next.
        pooling: How tokens become one vector.
        preprocess: In place of the model folder's own JSON file.
    """

    frames: int | None = None
    every: int | None = None
    pooling: str | None = None
    preprocess: Preprocess | None = None

    def clip(self, frames: int, every: int, preprocess: Preprocess) -> ClipSpec:
        """The clip, from a family's defaults and the wishes."""
        n = frames if self.frames is None else self.frames
        r = every if self.every is None else self.every
        return ClipSpec(n, r, "rgb", preprocess)

    def pooling_in(self, allowed: tuple[str, ...], family: str) -> str:
        """The pooling; the first of those allowed is the default.

        Raises:
            FeatureError: If the family has no such pooling.
        """
        if self.pooling is not None and self.pooling not in allowed:
            raise FeatureError(
                f"{family} has no pooling {self.pooling!r}; expected {' or '.join(allowed)}.",
                code="option",
            )
        return self.pooling or allowed[0]


@dataclass
class HubEncoder:
    """A network whose output is one vector per time position.

    Attributes:
        name: As the user named it.
        network: (B, 3, n, H, W) -> (B, T', D), averaged over space.
        dim: D.
        clip: What it wants to see.
        frames_per_position: n / T'.
        fixed_frames: Whether it takes clips of `clip.frames` frames alone.
        head: What follows the average over time, D -> D; applied per position in dense mode.
        details: What else the manifest should say.
        autocast: bfloat16 or float16 for the matrix products; None: float32.

    Raises:
        FeatureError: If the network cannot take clips of `clip.frames` frames.
    """

    name: str
    network: nn.Module
    dim: int
    clip: ClipSpec
    frames_per_position: int = 1
    fixed_frames: bool = False
    head: nn.Module = field(default_factory=nn.Identity)
    details: Mapping[str, object] = field(default_factory=dict)
    autocast: torch.dtype | None = None

    @property
    def any_length(self) -> bool:
        """Whether longer clips than `clip` can be encoded."""
        return not self.fixed_frames

    def __post_init__(self) -> None:
        """Refuse a clip that the network would cut or double; switch training behaviour off."""
        self._check_frames(self.clip.frames)
        self.network.eval()
        self.head.eval()

    @torch.inference_mode()
    def encode(self, clips_BnHWC: Tensor) -> Tensor:
        """(B, D): the mean over all positions, then the head.

        Raises:
            FeatureError: If the clips have another number of frames or another size.
        """
        y_BD: Tensor = self.head(self._positions(clips_BnHWC).mean(dim=1))
        return y_BD

    @torch.inference_mode()
    def encode_dense(self, clips_BnHWC: Tensor) -> Tensor:
        """(B, T', D): one vector per time position.

        Raises:
            FeatureError: As `encode`.
        """
        y_BTD: Tensor = self.head(self._positions(clips_BnHWC))
        return y_BTD

    def describe(self) -> Mapping[str, object]:
        """Name, dimensions, clip, precision and details."""
        return {
            "name": self.name,
            "dim": self.dim,
            "clip": self.clip.describe(),
            "frames_per_position": self.frames_per_position,
            "precision": str(self.autocast or torch.float32).removeprefix("torch."),
            **self.details,
        }

    def to(self, device: torch.device) -> HubEncoder:
        """Move the network; the object stays the same."""
        self.network.to(device)
        self.head.to(device)
        return self

    def _positions(self, clips_BnHWC: Tensor) -> Tensor:
        """(B, T', D) float32."""
        x_BCTHW = to_network(clips_BnHWC, self.clip)
        _, _, n, height, width = x_BCTHW.shape
        self._check_frames(n)
        size = self.clip.preprocess.size
        if (height, width) != (size, size):
            raise FeatureError(
                f"{self.name}: clips of {height} x {width} px; expected {size} x {size}.",
                "Prepare the frames as the encoder's clip says.",
                code="shape",
            )
        dtype = self.autocast
        with torch.autocast(x_BCTHW.device.type, dtype=dtype, enabled=dtype is not None):
            y_BTD: Tensor = self.network(x_BCTHW)
        return y_BTD.float()

    def _check_frames(self, n: int) -> None:
        # The networks would lose the last frame, double an only one, or fail in the middle.
        if self.fixed_frames and n != self.clip.frames:
            expected = f"exactly {self.clip.frames}"
        elif n % self.frames_per_position:
            expected = f"a multiple of {self.frames_per_position}"
        else:
            return
        raise FeatureError(
            f"{self.name}: clips of {n} frames; expected {expected}.",
            "Choose another number of frames.",
            code="option",
        )


def tokens_to_positions(y_BND: Tensor, n_positions: int) -> Tensor:
    """Mean over space of tokens in the order time, row, column.

    Args:
        y_BND: (B, T' H' W', D).
        n_positions: T'.

    Returns:
        (B, T', D) float32.
    """
    B, _, D = y_BND.shape
    return y_BND.float().reshape(B, n_positions, -1, D).mean(dim=2)
