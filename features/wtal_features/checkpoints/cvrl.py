"""CVRL's published files -> our R3D-50.

They are TensorFlow 2 checkpoints of the backbone, `<name>_backbone-1.index` and its data. Keras
numbers the layers that have weights (`layer_with_weights-{i}`): stem, its BN, then the blocks, in
which every tensor has the name of its Python attribute. Kernels lie as (T, H, W, in, out).

Source: tensorflow/models@00b830c official/vision/modeling/layers/nn_blocks_3d.py (attributes),
official/vision/modeling/backbones/resnet_3d.py (order).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch

from wtal_features.checkpoints.report import KeyReport, load_mapped
from wtal_features.checkpoints.tf_bundle import Entry, open_bundle
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.encoders.r3d50 import R3D50
from wtal_features.errors import FeatureError

# Pixels stay in [0, 1]. The linear evaluation took 32 frames.
CVRL_CLIP = ClipSpec(16, 2, "rgb", Preprocess(256, 224, antialias=False, mean=None, std=None))

# The widest network of the paper; a stem that claims more would ask for memory without end.
_MAX_WIDTH = 2

_ATTRIBUTES = {
    "_temporal_conv": "conv1",
    "_norm1": "bn1",
    "_spatial_conv": "conv2",
    "_norm2": "bn2",
    "_expand_conv": "conv3",
    "_norm3": "bn3",
    "_shortcut_conv": "downsample.0",
    "_norm0": "downsample.1",
}
_VARIABLES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_BLOCKS = [f"layer{i}.{j}" for i, blocks in enumerate((3, 4, 6, 3), 1) for j in range(blocks)]
_STEM = "conv1.weight"
_NAME = re.compile(
    rf"(?P<root>.*?)layer_with_weights-(?P<layer>\d{{1,4}})/"
    rf"(?:(?P<attribute>{'|'.join(_ATTRIBUTES)})/)?(?P<variable>{'|'.join(_VARIABLES)})"
    r"/\.ATTRIBUTES/VARIABLE_VALUE"
)


def load_cvrl(path: str | Path) -> tuple[R3D50, KeyReport]:
    """An R3D-50 with the weights of a CVRL checkpoint, in evaluation mode.

    Args:
        path: The checkpoint without `.index`, or a folder that holds one alone.

    Returns:
        The network, as wide as the checkpoint's, with TensorFlow's padding; and what became of
        each tensor.

    Raises:
        FeatureError: If the checkpoint cannot be read, is none of an R3D-50, lacks a tensor or
            holds one of another shape.
    """
    bundle = open_bundle(_prefix(Path(path)))
    names = backbone_names(bundle.entries, path)
    tensors = {name: torch.from_numpy(bundle.read(name)) for name in names}
    for name, tensor in tensors.items():
        if tensor.ndim == 5:  # (T, H, W, in, out) -> (out, in, T, H, W)
            tensors[name] = tensor.permute(4, 3, 0, 1, 2)
    stem = next(tensors[name] for name, ours in names.items() if ours == _STEM)
    width = stem.shape[0] / 64
    if not 0 < width <= _MAX_WIDTH:
        raise FeatureError(
            f"{path}: the stem has {stem.shape[0]} channels; expected at most {64 * _MAX_WIDTH}.",
            code="checkpoint",
        )
    network = R3D50(stem.shape[1], width, tf_same_padding=True, generator=torch.Generator())
    left = {name: _why_left(name) for name in bundle.entries if name not in names}
    return network, load_mapped(network.eval(), tensors, names, left, str(path))


def backbone_names(entries: Mapping[str, Entry], where: object) -> dict[str, str]:
    """Name in the file -> name in `R3D50`, of the tensors of the backbone.

    Layers are known by what they hold: a block has attributes, the stem a kernel of five axes. Of
    the numbers of Keras only the order counts.

    Args:
        entries: What the file holds.
        where: The file, for messages.

    Raises:
        FeatureError: If the file holds no stem, other than 16 blocks, or two backbones.
    """
    found = {name: match for name in entries if (match := _NAME.fullmatch(name))}
    # A checkpoint of the training has more layers, such as the head's, under another root.
    roots = {match["root"] for match in found.values() if match["attribute"]}
    found = {name: match for name, match in found.items() if match["root"] in roots}
    layers = sorted({int(match["layer"]) for match in found.values() if match["attribute"]})
    blocks = dict(zip(layers, _BLOCKS, strict=False))
    names = {}
    for name, match in found.items():
        if match["attribute"]:
            module = f"{blocks.get(int(match['layer']))}.{_ATTRIBUTES[match['attribute']]}"
        else:
            module = "conv1" if len(entries[name].shape) == 5 else "bn1"
        names[name] = f"{module}.{_VARIABLES[match['variable']]}"
    alone = len(roots) == 1 and len(set(names.values())) == len(names)
    if not alone or len(layers) != len(_BLOCKS) or _STEM not in names.values():
        raise FeatureError(
            f"{where} holds {len(layers)} residual blocks under {len(roots)} names; expected a "
            f"stem and {len(_BLOCKS)} blocks, an R3D-50 of CVRL.",
            "Give the checkpoint whose name ends in _backbone-1.",
            code="checkpoint",
        )
    return names


def _prefix(path: Path) -> Path:
    """The checkpoint that a folder holds alone, or the one that was named."""
    if not path.is_dir():
        return path.with_suffix("") if path.suffix == ".index" else path
    found = sorted(path.glob("*.index"))
    if len(found) != 1:
        raise FeatureError(
            f"{path} holds {len(found)} files *.index; expected 1.",
            "Name the checkpoint, without .index.",
            code="checkpoint",
        )
    return found[0].with_suffix("")


def _why_left(name: str) -> str:
    if ".OPTIMIZER_SLOT" in name:
        return "optimizer"
    return "no layer of the backbone" if "layer_with_weights" in name else "state of the training"
