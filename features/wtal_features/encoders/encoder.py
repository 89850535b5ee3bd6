"""What every encoder is to the extractor, whoever trained it: clips in, one vector each out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from wtal_features.clips import ClipSpec
from wtal_features.encoders.inference import layout


class Encoder(Protocol):
    """Clips in, vectors out; made by a builder of `ENCODERS`, by an importer or by the hub.

    The four properties are read only: fields do as well.
    """

    @property
    def name(self) -> str:
        """As the user named it."""
        ...

    @property
    def dim(self) -> int:
        """D."""
        ...

    @property
    def clip(self) -> ClipSpec:
        """What it wants to see."""
        ...

    @property
    def any_length(self) -> bool:
        """Whether longer clips than `clip` can be encoded, which makes `dense` cheap."""
        ...

    def encode(self, clips_BnHWC: Tensor) -> Tensor:
        """One vector per clip.

        Args:
            clips_BnHWC: uint8 (rgb) or float16/float32 in px per grid frame (motion, C = 2), on the
                device where the work is done.

        Returns:
            (B, D) float32.
        """
        ...

    def encode_dense(self, clips_BnHWC: Tensor) -> Tensor:
        """The same without pooling over time: (B, T', D) float32, T' time positions of the clip."""
        ...

    def describe(self) -> Mapping[str, object]:
        """As JSON values, for the manifest: architecture, weights' SHA-256, licence, clip."""
        ...

    def to(self, device: torch.device) -> Encoder:
        """The encoder on a device."""
        ...


@dataclass
class NetworkEncoder:
    """An encoder around one of our own networks: (B, C, T, H, W) -> (B, D, T', H', W').

    Attributes:
        name: As the user named it.
        network: In evaluation mode; all its weights of one dtype, in which it computes.
        dim: D.
        clip: What the network wants to see.
        details: What else the manifest should say: width, weights and their SHA-256.
        channels: C that the network takes; of an image of motion, the first two or all three.
        any_length: Whether longer clips than `clip` can be encoded.
    """

    name: str
    network: nn.Module
    dim: int
    clip: ClipSpec
    details: Mapping[str, object] = field(default_factory=dict)
    channels: int = 3
    any_length: bool = True

    def encode(self, clips_BnHWC: Tensor) -> Tensor:
        """Mean over time and space of the network's last map."""
        return self._maps(clips_BnHWC).mean(dim=(2, 3, 4))

    def encode_dense(self, clips_BnHWC: Tensor) -> Tensor:
        """Mean over space alone."""
        return self._maps(clips_BnHWC).mean(dim=(3, 4)).transpose(1, 2)

    def describe(self) -> Mapping[str, object]:
        """Name, dimensions, clip and details."""
        return {"name": self.name, "dim": self.dim, "clip": self.clip.describe(), **self.details}

    def to(self, device: torch.device) -> NetworkEncoder:
        """Move the network; the object stays the same."""
        self.network.to(device, memory_format=layout(device))  # type: ignore[call-overload]
        return self

    @torch.inference_mode()
    def _maps(self, clips_BnHWC: Tensor) -> Tensor:
        from wtal_features.preprocess import to_network

        x_BCTHW = to_network(clips_BnHWC, self.clip)[:, : self.channels]
        dtype = next(self.network.parameters()).dtype
        x_BCTHW = x_BCTHW.to(dtype, memory_format=layout(x_BCTHW.device))
        maps: Tensor = self.network(x_BCTHW)
        return maps.float()
