"""V-JEPA 2 (Assran et al., 2025): the encoder's tokens, without the predictor.

Source: `transformers` models/vjepa2; facebookresearch/vjepa2. Positions are derived from the
configured size, so another size would run and give wrong features: it is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from wtal_features.clips import Preprocess
from wtal_features.encoders.hub.encoder import HubEncoder, HubOptions, tokens_to_positions
from wtal_features.encoders.hub.folder import ModelFolder, load_model
from wtal_features.encoders.hub.pixels import read_pixels
from wtal_features.errors import FeatureError


class VJepa2Network(nn.Module):
    """(B, 3, n, H, W) -> (B, n / tubelet, D)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        # 7 % of ViT-L's parameters; the encoder's features do not need it.
        self.model.predictor = nn.Identity()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Layer-normalised tokens, averaged over space."""
        output = self.model(pixel_values_videos=x_BCTHW.transpose(1, 2), skip_predictor=True)
        n_positions = x_BCTHW.shape[2] // self.model.config.tubelet_size
        return tokens_to_positions(output.last_hidden_state, n_positions)


def load_vjepa2(folder: ModelFolder, options: HubOptions) -> HubEncoder:
    """16 frames, one of each two making a time position; window feature: mean over all tokens."""
    from transformers import VJEPA2Model

    pooling = options.pooling_in(("mean",), "V-JEPA 2")
    given = options.preprocess or read_pixels(folder)
    model = load_model(folder, VJEPA2Model, may_lack="predictor.")
    crop = model.config.crop_size
    preprocess = options.preprocess or _published(given, crop)
    if preprocess.size != crop:
        raise FeatureError(
            f"{folder.name} sees {crop} x {crop} px; a Preprocess to {preprocess.size} was given.",
            code="option",
        )
    return HubEncoder(
        folder.name,
        VJepa2Network(model),
        model.config.hidden_size,
        options.clip(16, 1, preprocess),
        frames_per_position=model.config.tubelet_size,
        details={"hidden_size": model.config.hidden_size, "pooling": pooling},
    )


def _published(pixels: Preprocess, crop: int) -> Preprocess:
    """Mean, std and filter of the file with the size that the positions are made for.

    The short side is 256/224 of the crop whatever the file says, as in transformers
    models/vjepa2/video_processing_vjepa2.py.
    """
    return replace(pixels, short_side=crop * 256 // 224, crop=crop)
