"""CoCLR's files -> our S3D, or our R3D-50.

A file of pre-training holds encoder_q, its momentum copy encoder_k, for CoCLR the frozen encoder of
the other stream (`sampler`), each a backbone and a head, and queues. A file of evaluation holds a
backbone and a classifier. The backbone registers its layers twice, by name and in block1..block5.

Source: TengdaHan/CoCLR model/pretrain.py, model/classifier.py, backbone/s3dg.py and, for R3D-50,
backbone/resnet_2d3d.py, which pads symmetrically.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from wtal_features.checkpoints.reading import read_tensors
from wtal_features.checkpoints.report import KeyReport, load_mapped
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.encoders.r3d50 import R3D50
from wtal_features.encoders.s3d import S3D
from wtal_features.errors import FeatureError

_PIXELS = Preprocess(short_side=256, crop=224, resize=128, resampling="bicubic")
# Flow has three channels too, scaled like colour: its files are JPEG images.
COCLR_RGB = ClipSpec(32, 1, "rgb", _PIXELS)
COCLR_FLOW = ClipSpec(32, 1, "motion", _PIXELS)

_S3D_STEM, _R3D50_STEM = "Conv_1a.conv1.weight", "conv1.weight"
_AGAIN = re.compile(r"block[1-5]\.")
_LEFT = {
    "encoder_k.": "momentum copy",
    "encoder_q.": "encoder of the other stream",
    "sampler.": "encoder of the other stream",
    "queue": "queue of keys",
    "final_": "classifier",
}


def load_coclr(
    path: str | Path,
    stream: Literal["rgb", "flow"],
    encoder: Literal["encoder_q", "sampler"] = "encoder_q",
) -> tuple[S3D | R3D50, KeyReport]:
    """A network with the weights of a CoCLR, InfoNCE or UberNCE file, in evaluation mode.

    Args:
        path: The file.
        stream: What the encoder was trained on; the file does not say.
        encoder: `encoder_q`, or the frozen `sampler` of a CoCLR file. A file of evaluation has its
            one backbone in place of `encoder_q`.

    Returns:
        The network that the file holds, with as many input channels as its stem has, gated if the
        file is; and what became of each tensor.

    Raises:
        FeatureError: If the file cannot be read, holds no such encoder, lacks a tensor or holds
            one of another shape.
    """
    tensors = read_tensors(path)
    prefix, stem = _found(tensors, encoder, path)
    channels = _channels(tensors[prefix + stem], stream, path)
    network: S3D | R3D50
    if stem == _S3D_STEM:
        gated = f"{prefix}Mixed_3b.gating_b0.fc.weight" in tensors
        network = S3D(in_channels=channels, gated=gated, generator=torch.Generator())
    else:
        network = R3D50(in_channels=channels, generator=torch.Generator())
    names, left = _sorted_out(tensors, prefix, encoder)
    return network, load_mapped(network.eval(), tensors, names, left, str(path))


def _found(tensors: Mapping[str, Tensor], encoder: str, path: str | Path) -> tuple[str, str]:
    """What stands before the names of the backbone that was asked for, and its first layer."""
    prefixes = [f"{encoder}.0."] + (["backbone."] if encoder == "encoder_q" else [])
    for prefix, stem in itertools.product(prefixes, (_S3D_STEM, _R3D50_STEM)):
        if prefix + stem in tensors:
            return prefix, stem
    raise FeatureError(
        f"{path} holds no S3D or R3D-50 under {' or '.join(prefixes)}; expected a file of CoCLR.",
        "Only files of the co-training have a sampler." if encoder == "sampler" else "",
        code="checkpoint",
    )


def _channels(stem: Tensor, stream: str, path: str | Path) -> int:
    """Input channels of a first layer: 3, or 2 for flow."""
    channels = stem.shape[1] if stem.ndim == 5 else 0
    if channels != 3 and (stream, channels) != ("flow", 2):
        raise FeatureError(
            f"{path}: the first layer has shape {tuple(stem.shape)}; expected 3 input channels, "
            "or 2 for flow.",
            "It may be the encoder of the other stream.",
            code="checkpoint",
        )
    return channels


def _sorted_out(
    tensors: Mapping[str, Tensor], prefix: str, encoder: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Names to be used -> ours, and names to be left -> why."""
    names: dict[str, str] = {}
    left: dict[str, str] = {}
    for name in tensors:
        ours = name.removeprefix(prefix)
        if ours == name:
            left[name] = _why_left(name, encoder)
        elif _AGAIN.match(ours):
            left[name] = "registered twice"
        else:
            names[name] = ours
    return names, left


def _why_left(name: str, encoder: str) -> str:
    if name.startswith(f"{encoder}."):
        return "projection head"
    return next((why for start, why in _LEFT.items() if name.startswith(start)), "unknown")
