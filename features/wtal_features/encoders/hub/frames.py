"""Image encoders over single frames: DINOv2, DINOv3 and CLIP; a snippet is a mean of four frames.

Source: `transformers` models/dinov2, dinov3_vit, clip. Patch tokens follow the CLS token and, in
DINOv3, the register tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from wtal_features.clips import Preprocess
from wtal_features.encoders.hub.encoder import HubEncoder, HubOptions
from wtal_features.encoders.hub.folder import ModelFolder, load_model
from wtal_features.encoders.hub.pixels import read_pixels
from wtal_features.encoders.hub.sizes import require_patches, require_size

POOLINGS = ("cls", "cls+patches")


class FrameNetwork(nn.Module):
    """(B, 3, n, H, W) -> (B, n, D): every frame on its own."""

    def __init__(self, model: Any, pooling: str) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling
        # CLS, and the registers of DINOv3.
        self.n_special = 1 + getattr(model.config, "num_register_tokens", 0)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """CLS of each frame; followed by the mean patch where asked; or projected (CLIP).

        Patches are what the model returns: normed at last, but for CLIP, which norms CLS alone.
        """
        n = x_BCTHW.shape[2]
        output = self.model(pixel_values=x_BCTHW.transpose(1, 2).flatten(0, 1))
        y_ND = output.image_embeds if self.pooling == "projection" else output.pooler_output
        if self.pooling == "cls+patches":
            patches_NPD = output.last_hidden_state[:, self.n_special :]
            y_ND = torch.cat([y_ND, patches_NPD.mean(dim=1)], dim=1)
        y_BTD: Tensor = y_ND.unflatten(0, (-1, n))
        return y_BTD


def load_dinov2(folder: ModelFolder, options: HubOptions) -> HubEncoder:
    """DINOv2: other sizes than the configured are interpolated by the model."""
    from transformers import Dinov2Model

    pooling = options.pooling_in(POOLINGS, "DINOv2")
    preprocess = options.preprocess or read_pixels(folder)
    return _any_size(folder, options, load_model(folder, Dinov2Model), pooling, preprocess)


def load_dinov3(folder: ModelFolder, options: HubOptions) -> HubEncoder:
    """DINOv3, vision transformers: positions are rotary and follow the size."""
    from transformers import DINOv3ViTModel

    pooling = options.pooling_in(POOLINGS, "DINOv3")
    preprocess = options.preprocess or read_pixels(folder)
    return _any_size(folder, options, load_model(folder, DINOv3ViTModel), pooling, preprocess)


def load_clip(folder: ModelFolder, options: HubOptions) -> HubEncoder:
    """CLIP's image tower; `projection` gives vectors to compare with those of texts."""
    from transformers import CLIPVisionModel, CLIPVisionModelWithProjection

    pooling = options.pooling_in((*POOLINGS, "projection"), "CLIP")
    preprocess = options.preprocess or read_pixels(folder)
    if pooling == "projection":
        # A file of both towers says it at the top; its part about images may have a default.
        both = folder.model_type == "clip" and "projection_dim" in folder.config
        changes = {"projection_dim": folder.config["projection_dim"]} if both else {}
        model = load_model(folder, CLIPVisionModelWithProjection, changes=changes)
    else:
        model = load_model(folder, CLIPVisionModel)
    require_size(folder, model.config.image_size, preprocess)
    return _encoder(folder, options, model, pooling, preprocess)


def _any_size(
    folder: ModelFolder, options: HubOptions, model: Any, pooling: str, preprocess: Preprocess
) -> HubEncoder:
    """A model that takes whole patches, however many."""
    require_patches(folder, model.config.patch_size, preprocess)
    return _encoder(folder, options, model, pooling, preprocess)


def _encoder(
    folder: ModelFolder, options: HubOptions, model: Any, pooling: str, preprocess: Preprocess
) -> HubEncoder:
    hidden = model.config.hidden_size
    dim = {"cls": hidden, "cls+patches": 2 * hidden}.get(pooling) or model.config.projection_dim
    return HubEncoder(
        folder.name,
        FrameNetwork(model, pooling),
        dim,
        options.clip(4, 4, preprocess),
        details={"hidden_size": hidden, "pooling": pooling},
    )
