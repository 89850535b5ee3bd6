"""torchvision's ResNet-50 weights -> our ResNet-50: the names agree, the classifier stays behind.

Source: files of pytorch/vision (resnet50-0676ba61.pth, `ResNet50_Weights.IMAGENET1K_V1`, and their
like); pixels as TCA (WACV 2021) prepares its frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from wtal_features.checkpoints.reading import read_tensors
from wtal_features.checkpoints.report import KeyReport, load_mapped
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.encoders.resnet50 import ResNet50
from wtal_features.errors import FeatureError

RESNET50_CLIP = ClipSpec(1, 1, "rgb", Preprocess(256, 224, resampling="bicubic"))

# Twice the published width; a stem that claims more would ask for memory without end.
_MAX_CHANNELS = 128


def load_resnet50(path: str | Path) -> tuple[ResNet50, KeyReport]:
    """A ResNet-50 with the weights of a file, in evaluation mode.

    Args:
        path: A state_dict of torchvision, or of anything that has its names.

    Returns:
        The network, as wide as the file's, to be used with `RESNET50_CLIP`; and what became of
        each tensor.

    Raises:
        FeatureError: If the file cannot be read, is of another network, lacks a tensor or holds
            one of another shape.
    """
    tensors = read_tensors(path)
    stem = tensors.get("conv1.weight", torch.empty(0))
    if (
        tuple(stem.shape[1:]) != (3, 7, 7)
        or not 0 < len(stem) <= _MAX_CHANNELS
        or "layer1.0.conv3.weight" not in tensors
    ):
        raise FeatureError(
            f"{path} holds no ResNet-50; expected the names and shapes of torchvision's.",
            "Take resnet50-0676ba61.pth (IMAGENET1K_V1), or save the state_dict of the network.",
            code="checkpoint",
        )
    network = ResNet50(3, len(stem) / 64, generator=torch.Generator())
    left = {name: "classifier" for name in tensors if name.startswith("fc.")}
    names = {name: name for name in tensors if name not in left}
    return network, load_mapped(network.eval(), with_time(tensors), names, left, str(path))


def with_time(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The kernels of an image network (D, C, h, w) as those of videos (D, C, 1, h, w)."""
    return {name: t[:, :, None] if t.ndim == 4 else t for name, t in tensors.items()}
