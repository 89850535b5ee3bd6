"""CMD's files -> our R(2+1)D-26, R3D-26 or C3D; or the M-net or I-net that trained them.

A published file is the state_dict of a video network, and our modules have its names. A file of
the pre-training holds that network under `rgb_backbone.`, the two others, and what ties them.

Source: foolwood/DRL@9bd1768 Context-Motion-Decoupling/pretrain.py; modelscope/modelscope
modelscope/models/cv/cmdssl_video_embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch

from wtal_features.checkpoints.reading import read_tensors
from wtal_features.checkpoints.report import KeyReport, load_mapped
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.encoders.c3d import C3D
from wtal_features.encoders.r2plus1d26 import R3D26, R2Plus1D26
from wtal_features.encoders.r3d10 import R2D10, R3D10
from wtal_features.errors import FeatureError

CMD_CLIP = ClipSpec(16, 4, "rgb", Preprocess(128, 112, long_side="round"))

Part = Literal["video", "motion", "image"]
Network = R2Plus1D26 | R3D26 | C3D | R3D10 | R2D10

# Twice the published width; a stem that claims more would ask for memory without end.
_MAX_CHANNELS = 128

_PREFIXES: Mapping[str, str] = {
    "video": "rgb_backbone.",
    "motion": "m_backbone.",
    "image": "i_backbone.",
}
_LEFT = {
    "rgb_backbone.": "video network",
    "m_backbone.": "motion network",
    "i_backbone.": "image network",
    "fc.": "motion predictor or classifier",
    "k_embedding.": "motion predictor",
    "q_embedding.": "motion predictor",
    "transformer.": "motion predictor",
    "mq_head.": "head of the predicted motion",
    "mk_head.": "head of the motion target",
    "iq_head.": "head of the context",
    "ik_head.": "head of the image",
}


def load_cmd(path: str | Path, part: Part = "video") -> tuple[Network, KeyReport]:
    """A network with the weights of a CMD file, in evaluation mode.

    Args:
        path: A file of torch or safetensors: one network alone, or a whole pre-training.
        part: Which network of a pre-training: the video's, the M-net or the I-net. A file of one
            network alone holds the video's.

    Returns:
        The network that the names and shapes say it is; and what became of each tensor.

    Raises:
        FeatureError: If the file cannot be read, holds no such network, lacks a tensor or holds
            one of another shape.
    """
    tensors = read_tensors(path)
    whole = any(name.startswith(tuple(_PREFIXES.values())) for name in tensors)
    prefix = _PREFIXES[part] if whole else ""
    ours = {name: name.removeprefix(prefix) for name in tensors if name.startswith(prefix)}
    network = _network({ours[name]: tuple(tensors[name].shape) for name in ours})
    if network is None or (part != "video" and not whole):
        raise FeatureError(
            f"{path} holds no {part} network of CMD under {prefix or 'plain names'!r}.",
            "Files of the pre-training hold three networks, the published ones the video's alone.",
            code="checkpoint",
        )
    wanted = network.state_dict()
    names = {name: our for name, our in ours.items() if our in wanted}
    left = {name: _why_left(name, prefix) for name in tensors if name not in names}
    return network, load_mapped(network.eval(), tensors, names, left, str(path))


def _network(shapes: Mapping[str, tuple[int, ...]]) -> Network | None:
    """The network whose state_dict has these names and shapes; None if it is none of CMD's."""
    draws = torch.Generator()  # overwritten by the weights
    stem = shapes.get("conv1_s.weight") or shapes.get("conv1.weight", ())
    last = shapes.get("conv1_t.weight", stem)  # of the stem, as wide as layer 1
    if (
        len(stem) != 5
        or len(last) != 5
        or not 0 < min(stem[1], last[0]) <= max(stem[1], last[0]) <= _MAX_CHANNELS
    ):
        return None
    c_in, width = stem[1], last[0] / 64
    if "conv3a.weight" in shapes:
        return C3D(c_in, width, generator=draws)
    if "conv1_s.weight" in shapes:
        return R2Plus1D26(c_in, width, generator=draws)
    if "layer1.0.conv3.weight" in shapes:
        return R3D26(c_in, width, generator=draws)
    taps = stem[2]
    return R3D10(c_in, width, generator=draws) if taps > 1 else R2D10(c_in, width, generator=draws)


def _why_left(name: str, prefix: str) -> str:
    if prefix and name.startswith(prefix):
        return "unknown"
    return next((why for start, why in _LEFT.items() if name.startswith(start)), "unknown")
