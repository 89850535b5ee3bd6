"""VideoMAE (Tong et al., NeurIPS 2022): the mean of all tokens, normalised as the model was.

Source: `transformers` models/videomae; MCG-NJU/VideoMAE. Files that were fine-tuned with mean
pooling keep their last norm, `fc_norm`, in the classification model; it belongs to the feature.
"""

from __future__ import annotations

from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from wtal_features.encoders.hub.encoder import HubEncoder, HubOptions, tokens_to_positions
from wtal_features.encoders.hub.folder import ModelFolder, load_model
from wtal_features.encoders.hub.pixels import read_pixels
from wtal_features.encoders.hub.sizes import require_size
from wtal_features.errors import FeatureError


class VideoMaeNetwork(nn.Module):
    """(B, 3, n, H, W) -> (B, n / tubelet, D)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Tokens averaged over space."""
        output = self.model(pixel_values=x_BCTHW.transpose(1, 2))
        n_positions = x_BCTHW.shape[2] // self.model.config.tubelet_size
        return tokens_to_positions(output.last_hidden_state, n_positions)


def load_videomae(folder: ModelFolder, options: HubOptions) -> HubEncoder:
    """The configured frames, one next to the other; window feature: norm of the mean token."""
    from transformers import VideoMAEModel

    pooling = options.pooling_in(("mean",), "VideoMAE")
    preprocess = options.preprocess or read_pixels(folder)
    model = load_model(folder, VideoMAEModel)
    config = model.config
    require_size(folder, config.image_size, preprocess)
    if options.frames not in (None, config.num_frames):
        raise FeatureError(
            f"{folder.name} takes exactly {config.num_frames} frames; {options.frames} were asked.",
            code="option",
        )
    norm = "layernorm"
    head: nn.Module = nn.Identity()
    if config.use_mean_pooling:
        norm, head = _final_norm(folder, config.hidden_size)
    return HubEncoder(
        folder.name,
        VideoMaeNetwork(model),
        config.hidden_size,
        options.clip(config.num_frames, 1, preprocess),
        frames_per_position=config.tubelet_size,
        fixed_frames=True,
        head=head,
        details={"hidden_size": config.hidden_size, "pooling": pooling, "final_norm": norm},
    )


def _final_norm(folder: ModelFolder, dim: int) -> tuple[str, nn.Module]:
    """`fc_norm` where the weights have it; models that were only pre-trained do not."""
    values: dict[str, Tensor] = {}
    for path in folder.weights():
        with safe_open(path, framework="pt") as file:
            for name in ("weight", "bias"):
                if f"fc_norm.{name}" in file.keys():  # noqa: SIM118 (it is no dict)
                    values[name] = file.get_tensor(f"fc_norm.{name}").to(torch.float32)
    if not values:
        return "none", nn.Identity()
    norm = nn.LayerNorm(dim)
    if {name: value.shape for name, value in values.items()} != {
        name: value.shape for name, value in norm.named_parameters()
    }:
        raise FeatureError(
            f"{folder.path}: fc_norm does not have weight and bias of {dim} numbers.",
            "It is a checkpoint of another size.",
            code="checkpoint",
        )
    norm.load_state_dict(values)
    return "fc_norm", norm.eval().requires_grad_(False)
