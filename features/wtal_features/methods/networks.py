"""What the methods build: a backbone of `ENCODERS` with a head, and the clip that it sees.

Shapes: B clips, C channels, D features of the backbone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from wtal_features.clips import ClipSpec, Preprocess, View
from wtal_features.encoders.catalog import ENCODERS
from wtal_features.encoders.inference import layout
from wtal_features.errors import FeatureError
from wtal_features.methods.settings import ClipConfig, require
from wtal_features.preprocess import to_network

STREAMS: dict[View, str] = {"rgb": "rgb", "motion": "flow"}
CHANNELS: dict[View, int] = {"rgb": 3, "motion": 2}


@dataclass(frozen=True)
class NetworkConfig:
    """A backbone.

    Attributes:
        arch: Its name in `ENCODERS`.
        width: Multiplier of its channels; 1 is the published network.
    """

    arch: str
    width: float = 1.0

    def __post_init__(self) -> None:
        """Check the name."""
        require(self, "width", 0 < self.width <= 4, "above 0, at most 4")
        if self.arch not in ENCODERS:
            raise FeatureError(
                f"There is no network {self.arch!r}; expected one of {', '.join(ENCODERS)}.",
                code="option",
            )

    def build(self, view: View, generator: torch.Generator) -> nn.Module:
        """The backbone for colour (3 channels) or motion (2)."""
        return ENCODERS[self.arch].build(CHANNELS[view], self.width, generator=generator)

    def named_for(self, view: View) -> str:
        """The name in `ENCODERS` of the same network for a view, for the file."""
        flow = f"{self.arch.removesuffix('-flow')}-flow"
        return flow if view == "motion" and flow in ENCODERS else self.arch


class Embedder(nn.Module):
    """A backbone, the mean of its map over time and space, and a head.

    Args:
        backbone: (B, C, T, H, W) -> (B, D, T', H', W').
        head: (B, D) -> (B, dim), rows of length one.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, dim)."""
        embedded: Tensor = self.head(self.backbone(x_BCTHW).mean(dim=(2, 3, 4)))
        return embedded


def clip_of(clips: ClipConfig, view: View, published: Preprocess) -> ClipSpec:
    """What the trained encoder will be shown: the published pixels, or their like in another size.

    Args:
        clips: Frames, stride and size of the clips of training.
        view: Colour or motion.
        published: Preprocessing of the published encoder.
    """
    pixels = published
    if clips.size != published.size:
        # As much of the frame as the published crop shows: 7/8 of the short side.
        pixels = replace(published, short_side=clips.size * 8 // 7, crop=clips.size, resize=None)
    return ClipSpec(clips.frames, clips.every, view, pixels)


def network_input(clips_BnHWC: Tensor, clip: ClipSpec) -> Tensor:
    """Clips of the loader as a network takes them, in the memory order that suits the device.

    Args:
        clips_BnHWC: uint8 colour or float motion.
        clip: Scale of the pixels; a motion image's empty third channel is left out.

    Returns:
        (B, 3 or 2, n, H, W) float32.
    """
    x_BCTHW = to_network(clips_BnHWC, clip)[:, : CHANNELS[clip.view]]
    return x_BCTHW.contiguous(memory_format=layout(x_BCTHW.device))
