"""From the name of a model to an encoder: the families that are known, and the one door to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch

from wtal_features.clips import Preprocess
from wtal_features.encoders.hub.encoder import HubEncoder, HubOptions
from wtal_features.encoders.hub.folder import ModelFolder, open_folder
from wtal_features.encoders.hub.frames import load_clip, load_dinov2, load_dinov3
from wtal_features.encoders.hub.videomae import load_videomae
from wtal_features.encoders.hub.vjepa2 import load_vjepa2
from wtal_features.errors import FeatureError

# model_type of config.json -> what loads it.
FAMILIES: dict[str, Callable[[ModelFolder, HubOptions], HubEncoder]] = {
    "vjepa2": load_vjepa2,
    "videomae": load_videomae,
    "dinov2": load_dinov2,
    "dinov3_vit": load_dinov3,
    "clip": load_clip,
    "clip_vision_model": load_clip,
}


def load_hub(
    name_or_folder: str | Path,
    *,
    revision: str | None = None,
    frames: int | None = None,
    every: int | None = None,
    pooling: str | None = None,
    preprocess: Preprocess | None = None,
    autocast: torch.dtype | None = None,
) -> HubEncoder:
    """An encoder of `transformers`, frozen, on the CPU.

    Args:
        name_or_folder: A folder with config.json, model.safetensors and preprocessor_config.json;
            or `hub:owner/name`, which is downloaded when it is not in the hub's cache.
        revision: Branch, tag or commit on the hub; the commit goes into `describe()`.
        frames: Of a clip; None: 16 for V-JEPA 2, what VideoMAE was configured for, 4 images.
        every: Grid frames between two of them; None: 1, and 4 for images.
        pooling: `mean` for videos; `cls`, `cls+patches` or, for CLIP, `projection`.
        preprocess: In place of the folder's preprocessor_config.json.
        autocast: bfloat16 or float16 for the matrix products; None: float32.

    Raises:
        FeatureError: If transformers is missing, the folder is incomplete, the model is of a family
            that is not known, or the options do not fit it.
    """
    if find_spec("transformers") is None:
        raise FeatureError(
            f"{name_or_folder} needs the package transformers.",
            "Install it: pip install 'wtal[encoders]'.",
            code="extra",
        )
    folder = open_folder(str(name_or_folder), revision)
    if folder.model_type not in FAMILIES:
        raise FeatureError(
            f"{folder.name} is a model of type {folder.model_type[:80]}; expected one of "
            f"{', '.join(FAMILIES)}.",
            "Features of other models can be brought in with wtal convert.",
            code="checkpoint",
        )
    options = HubOptions(frames, every, pooling, preprocess)
    encoder = FAMILIES[folder.model_type](folder, options)
    details = {**folder.describe(), **encoder.details}
    return replace(encoder, details=details, autocast=autocast)
