"""Our own checkpoints: one safetensors file, the weights and all that extraction needs to know.

The file says what the network is, what it wants to see, and where it comes from; there is no
second file to lose. Loading it runs nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from wtal_features.checkpoints.reading import read_tensors
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.errors import FeatureError
from wtal_features.files import atomic_write

# One entry of the file's metadata: safetensors writes several in random order, and equal runs
# should give equal bytes.
_ENTRY = "wtal.encoder"


@dataclass(frozen=True)
class EncoderMetadata:
    """What a file of ours says about the network in it.

    Attributes:
        method: That trained it, such as `infonce`.
        arch: Name of the network, such as `s3d`.
        width: Multiplier of its channels; 1 is the published network.
        in_channels: C of its input.
        dim: D of its output.
        clip: Frames, stride, view, geometry and scale of its input.
        grid_fps: Frames per second of the grid that the clip counts in.
        motion_source: Where motion came from (`dis`, `mv`, ...), be it only in training; None where
            no motion was seen.
        step: Optimizer steps done.
        videos: Videos it was trained on.
        versions: Package -> version.
        config_sha256: Of the configuration of the training.
    """

    method: str
    arch: str
    width: float
    in_channels: int
    dim: int
    clip: ClipSpec
    grid_fps: float
    motion_source: str | None
    step: int
    videos: int
    versions: Mapping[str, str]
    config_sha256: str

    def to_strings(self) -> dict[str, str]:
        """One string per field: texts as they are, all else as JSON."""
        clip, pixels = self.clip, self.clip.preprocess
        values: dict[str, object] = {
            "method": self.method,
            "arch": self.arch,
            "width": self.width,
            "in_channels": self.in_channels,
            "dim": self.dim,
            "n": clip.frames,
            "r": clip.every,
            "view": clip.view,
            "short_side": pixels.short_side,
            "crop": pixels.crop,
            "resize": pixels.resize,
            "size": pixels.size,  # follows from the two above; for other readers
            "resampling": pixels.resampling,
            "antialias": pixels.antialias,
            "long_side": pixels.long_side,
            "mean": pixels.mean,
            "std": pixels.std,
            "grid_fps": self.grid_fps,
            "motion_source": self.motion_source,
            "step": self.step,
            "videos": self.videos,
            "versions": dict(sorted(self.versions.items())),
            "config_sha256": self.config_sha256,
        }
        return {name: v if isinstance(v, str) else json.dumps(v) for name, v in values.items()}

    @classmethod
    def from_strings(cls, strings: Mapping[str, str], where: object = "The metadata") -> Self:
        """What `to_strings` wrote.

        Args:
            strings: Field -> text; others than ours are ignored.
            where: The file, for messages.

        Raises:
            FeatureError: Naming the first field that is missing or cannot be read.
        """
        take = partial(_field, strings, where)
        return cls(
            method=take("method", str),
            arch=take("arch", str),
            width=take("width", _positive),
            in_channels=take("in_channels", _count),
            dim=take("dim", _count),
            clip=_clip(take, where),
            grid_fps=take("grid_fps", _positive),
            motion_source=take("motion_source", _or_none(str)),
            step=take("step", int),
            videos=take("videos", int),
            versions=take("versions", _texts),
            config_sha256=take("config_sha256", str),
        )


def save_encoder(path: str | Path, network: nn.Module, metadata: EncoderMetadata) -> None:
    """Write a network and what it needs, whole or not at all.

    Args:
        path: The file; its folder must exist. Equal networks and metadata give equal bytes.
        network: The backbone, without heads; on any device.
        metadata: What the file says about it.

    Raises:
        FeatureError: If the file cannot be written.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
    data = save(tensors, {_ENTRY: json.dumps(metadata.to_strings())})
    with atomic_write(path) as handle:
        handle.write(data)


def read_encoder(path: str | Path) -> tuple[dict[str, Tensor], EncoderMetadata]:
    """The tensors of a file of ours, under the names of our network, and its metadata.

    Raises:
        FeatureError: If the file is missing, damaged, not ours, or lacks a field.
    """
    tensors = read_tensors(path)
    try:
        with safe_open(path, framework="pt") as file:
            strings = json.loads(file.metadata()[_ENTRY])
        if not isinstance(strings, dict):
            raise TypeError("expected an object")
    except (SafetensorError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise FeatureError(
            f"{path} does not say what network it holds; expected a file of wtal pretrain.",
            "Name the family it comes from, if it is a published checkpoint.",
            code="checkpoint",
        ) from error
    return tensors, EncoderMetadata.from_strings(strings, path)


def _clip(take: Callable[[str, Callable[[str], Any]], Any], where: object) -> ClipSpec:
    """The clip, whose parts must fit each other."""
    pixels = {
        "short_side": take("short_side", _count),
        "crop": take("crop", _count),
        "resize": take("resize", _or_none(_count)),
        "resampling": take("resampling", _choice("bilinear", "bicubic")),
        "antialias": take("antialias", _flag),
        "long_side": take("long_side", _choice("floor", "round")),
        "mean": take("mean", _or_none(_numbers)),
        "std": take("std", _or_none(_numbers)),
    }
    n, r, view = take("n", _count), take("r", _count), take("view", _choice("rgb", "motion"))
    try:
        return ClipSpec(n, r, view, Preprocess(**pixels))
    except FeatureError as error:
        raise FeatureError(f"{where}: {error.problem}", error.cure, code="checkpoint") from error


def _field(strings: Mapping[str, str], where: object, name: str, read: Callable[[str], Any]) -> Any:
    """One field, read."""
    text = strings.get(name)
    try:
        if text is not None:
            return read(text)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise FeatureError(
            f"{where}: its field {name!r} is {str(text)[:80]!r}, which cannot be read.",
            "Take the checkpoint from its source again.",
            code="checkpoint",
        ) from error
    raise FeatureError(
        f"{where} lacks the field {name!r}.",
        "It was written by another version, or it is not a checkpoint of wtal pretrain.",
        code="checkpoint",
    )


# From text; a ValueError says that it is no such thing.


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError("expected at least 1")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise ValueError("expected a positive number")
    return value


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("expected true or false")
    return text == "true"


def _numbers(text: str) -> tuple[float, ...]:
    values = tuple(float(value) for value in json.loads(text))
    if not all(map(math.isfinite, values)):
        raise ValueError("expected finite numbers")
    return values


def _texts(text: str) -> Mapping[str, str]:
    values = json.loads(text)
    if not isinstance(values, dict):
        raise TypeError("expected an object")
    return {name: str(value) for name, value in values.items()}


def _choice(*allowed: str) -> Callable[[str], Any]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"expected one of {allowed}")
        return text

    return read


def _or_none(read: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text == "null" else read(text)
