"""What a store says about itself: encoder, window, stride, and the time base of every video."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from wtal_features.errors import FeatureError
from wtal_features.files import read_json

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Timing:
    """The time base of one video.

    Attributes:
        fps: Frames per second of the frames that were encoded.
        stride_frames: Frames from one snippet's start to the next.
        window_frames: Frames that one snippet saw; None if unknown.
        duration_s: Length of the video in seconds; None if unknown.
    """

    fps: float
    stride_frames: float
    window_frames: float | None = None
    duration_s: float | None = None

    @property
    def seconds_per_snippet(self) -> float:
        """Length of one snippet on the time axis, in seconds."""
        return self.stride_frames / self.fps

    def span_s(self, snippet: int) -> tuple[float, float]:
        """Start and end of snippet t in seconds: [t * stride, t * stride + stride) / fps.

        Example:
            >>> Timing(fps=25.0, stride_frames=16).span_s(25)
            (16.0, 16.64)
        """
        start = snippet * self.stride_frames
        return start / self.fps, (start + self.stride_frames) / self.fps


@dataclass(frozen=True)
class Manifest:
    """The checked head of a `manifest.json`; its entries are checked when they are asked for.

    Attributes:
        path: The file, for error messages.
        encoder: What made the features; None if not said.
        dim: Dimensions after joining the streams; None if not said.
        window_frames: As in `Timing`.
        stride_frames: As in `Timing`; None if not said.
        fps: Frame rate of the videos that have none of their own; None if not said.
        videos: Unchecked entry of every video.
    """

    path: Path
    encoder: str | None = None
    dim: int | None = None
    window_frames: float | None = None
    stride_frames: float | None = None
    fps: float | None = None
    videos: Mapping[str, object] = field(default_factory=dict)

    def has_fps(self, video: str) -> bool:
        """Whether the entry of a video states a frame rate; `number` checks it."""
        entry = self.videos.get(video)
        return isinstance(entry, dict) and entry.get("fps") is not None

    def number(self, video: str, key: str) -> float | None:
        """A positive number of one video's entry; None where the entry or the key is missing.

        Raises:
            FeatureError: If the entry is no object or the value no positive number.
        """
        entry = self.videos.get(video)
        if entry is None:
            return None
        where = f"{self.path}, video {video!r}"
        if not isinstance(entry, dict):
            raise FeatureError(
                f"{where}: the entry is {type(entry).__name__}; "
                "expected an object with fps, frames and duration.",
                code="manifest",
            )
        return positive(entry.get(key), f"{where}: {key}")


def positive(value: object, what: str) -> float | None:
    """Check that a value is a finite number above zero, or None.

    Raises:
        FeatureError: Naming `what` and the value.
    """
    if value is None:
        return None
    # bool is a kind of int in Python, but `true` is no frame rate.
    # An int may be larger than any float.
    largest = sys.float_info.max
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= largest:
        return value
    raise FeatureError(f"{what} is {value!r}; expected a number above zero.", code="manifest")


def read_manifest(path: Path) -> Manifest:
    """Read and check a `manifest.json`.

    Raises:
        FeatureError: If it is no JSON object or a field has the wrong type, naming the field.
    """
    fields = read_json(path)
    if not isinstance(fields, dict):
        raise FeatureError(
            f"{path} holds {type(fields).__name__}; expected a JSON object.", code="manifest"
        )
    videos, encoder, dim = fields.get("videos", {}), fields.get("encoder"), fields.get("dim")
    if not isinstance(videos, dict):
        raise FeatureError(
            f"{path}: videos is {type(videos).__name__}; expected an object with one entry each.",
            code="manifest",
        )
    if encoder is not None and not isinstance(encoder, str):
        raise FeatureError(f"{path}: encoder is {encoder!r}; expected a text.", code="manifest")
    if dim is not None and (type(dim) is not int or dim < 1):
        raise FeatureError(
            f"{path}: dim is {dim!r}; expected a whole number above zero.", code="manifest"
        )
    return Manifest(
        path=path,
        encoder=encoder,
        dim=dim,
        window_frames=positive(fields.get("window"), f"{path}: window"),
        stride_frames=positive(fields.get("stride"), f"{path}: stride"),
        fps=positive(fields.get("fps"), f"{path}: fps"),
        videos=videos,
    )


def time_base(root: Path, fps: float | None, stride: float | None) -> Manifest:
    """The manifest of a folder with the flags filled in.

    Args:
        root: The store; it need not have a manifest.
        fps: Frame rate where the manifest states none for the store.
        stride: Frames from snippet to snippet where the manifest states none.

    Raises:
        FeatureError: If the manifest is faulty or a flag contradicts it. The fps of a video's
            own entry is no contradiction: it wins, for that video.
    """
    path = root / MANIFEST
    manifest = read_manifest(path) if path.exists() else Manifest(path)
    flags = {"fps": positive(fps, "fps"), "stride": positive(stride, "stride")}
    said = {"fps": manifest.fps, "stride": manifest.stride_frames}
    for name, flag in flags.items():
        if flag is not None and said[name] not in (None, flag):
            raise FeatureError(
                f"{path} says {name} {said[name]}, but {name} {flag} was asked for.",
                f"Leave {name} out, or correct the manifest.",
                code="time-base",
            )
    return replace(
        manifest,
        fps=manifest.fps or flags["fps"],
        stride_frames=manifest.stride_frames or flags["stride"],
    )


def no_time_base(root: Path, who: str) -> FeatureError:
    """The error for features whose snippets cannot be placed in time."""
    beside = root.parent / MANIFEST
    hint = f" ({beside} exists: open that folder.)" if beside.exists() else ""
    return FeatureError(
        f"{root}: fps or stride is not known for {who}; "
        f"{MANIFEST} does not say, and neither is ever guessed.",
        f"Give --fps and --stride, the ones used when the features were extracted.{hint}",
        code="time-base",
    )
