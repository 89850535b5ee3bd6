"""A feature store of videos and of altered versions of them, by any encoder of colour.

A version is called `<video>~1`, `<video>~2`, ...; which frames it shows and what was done to their
pixels follows from the seed, the video's name and the number, whatever else is in the store.

Legend: N grid frames of a video, T rows of a version, one per frame that it shows; n frames of a
clip, H x W pixels.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wtal_features.encoders.encoder import Encoder
from wtal_features.errors import FeatureError
from wtal_features.extraction.versions import made_with
from wtal_features.npy import FeatureArray
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.randomness import generator_of
from wtal_features.probing.encode import prepared
from wtal_features.retrieval.alterations import (
    DrawnPixels,
    PixelAlteration,
    TimeAlteration,
    time_indices,
)
from wtal_features.video.windows import window_plan
from wtal_features.writer import StoreWriter

_VERSION = re.compile(r"(.+)~[1-9][0-9]*", re.DOTALL)
_BATCH = 16  # clips that are encoded at a time


def original_of(name: str) -> str:
    """The video that a name is of.

    Example:
        >>> original_of("a~12"), original_of("a"), original_of("a~b"), original_of("~1")
        ('a', 'a', 'a~b', '~1')
    """
    match = _VERSION.fullmatch(name)
    return match[1] if match else name


def version_name(video: str, copy: int) -> str:
    """The name of a version; of copy 0, the video itself.

    Example:
        >>> version_name("a", 0), version_name("a", 2)
        ('a', 'a~2')
    """
    return f"{video}~{copy}" if copy else video


def describe_versions(
    clips: ClipStore,
    encoder: Encoder,
    out: Path,
    *,
    copies: int,
    time: TimeAlteration,
    pixels: PixelAlteration,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write features of every video, unaltered, and of altered versions of it.

    A second call does what is missing: after an interruption, with more copies, with new videos,
    or where a video has changed.

    Args:
        clips: The videos; its frames per second are those of the rows.
        encoder: Of colour; it is moved to the device and stays there. One of several frames sees
            those around each frame.
        out: The feature store: one float16 row per frame that is shown, stride 1.
        copies: Altered versions of each video, at least 0.
        time: What may happen to their time.
        pixels: What may happen to their pixels.
        seed: Of all draws.
        device: Where to compute.
        progress: Told (versions done, versions in all).

    Raises:
        FeatureError: If the encoder sees motion, a video is named like a version, two names are
            one, the store holds something else, or the disk is full.
    """
    device = torch.device(device)
    _check(clips, encoder, copies)
    encoder.to(device)
    wanted = [_Version(video, copy) for video in clips.videos for copy in range(copies + 1)]
    draws = {"time": asdict(time), "pixels": asdict(pixels), "seed": seed}
    with StoreWriter(
        out,
        encoder=encoder.name,
        stride=1,
        window=encoder.clip.span,
        fps=float(clips.fps),
        info={
            "encoders": dict(encoder.describe()),
            "clips": dict(clips.settings),
            "versions": draws,
        },
        made_with=made_with(device, _BATCH),
    ) as writer:
        for done, version in enumerate(wanted):
            progress(done, len(wanted))
            key = clips.info(version.video).key
            if writer.done(version.name) and writer.entry(version.name).get("of") == key:
                continue
            shown = version.shown(clips, time, pixels, seed)
            _write(writer, version.name, shown.blocks(clips, encoder, device), of=key)
        progress(len(wanted), len(wanted))


@dataclass(frozen=True)
class _Version:
    """Which version of which video; copy 0 is unaltered."""

    video: str
    copy: int

    @property
    def name(self) -> str:
        return version_name(self.video, self.copy)

    def shown(
        self, clips: ClipStore, time: TimeAlteration, pixels: PixelAlteration, seed: int
    ) -> _Shown:
        """What it shows."""
        info = clips.info(self.video)
        if self.copy == 0:
            return _Shown(self.video, list(range(info.frames)), None)
        digest = hashlib.sha256(self.video.encode("utf-8", "surrogatepass")).digest()
        generator = generator_of(seed, "alter", int.from_bytes(digest[:8]), self.copy)
        indices = time_indices(info.frames, time, generator)
        return _Shown(self.video, indices, pixels.draw((info.height, info.width), generator))


@dataclass(frozen=True)
class _Shown:
    """T grid frames of a video, repeated or not, and what is done to each."""

    video: str
    indices: list[int]
    pixels: DrawnPixels | None

    def blocks(
        self, clips: ClipStore, encoder: Encoder, device: torch.device
    ) -> Iterator[FeatureArray]:
        """(at most 16, D) float16: the rows of the version, one clip around each frame."""
        spec, T = encoder.clip, len(self.indices)
        plan = window_plan(spec, 1)
        for start in range(0, T, _BATCH):
            rows = range(start, min(start + _BATCH, T))
            places = [self.indices[place] for t in rows for place in plan.indices(t, T)]
            frames_NHWC = self._altered(torch.from_numpy(clips.frames(self.video, places)))
            clips_BnHWC = frames_NHWC.reshape(len(rows), spec.frames, *frames_NHWC.shape[1:])
            squares = prepared(clips_BnHWC, spec.preprocess).to(device)
            block: FeatureArray = encoder.encode(squares).cpu().numpy().astype(np.float16)
            yield block

    def _altered(self, frames_NHWC: Tensor) -> Tensor:
        return frames_NHWC if self.pixels is None else self.pixels.frames(frames_NHWC)


def _write(writer: StoreWriter, name: str, blocks: Iterator[FeatureArray], *, of: str) -> None:
    """One version, whole or not at all."""
    rows, T = writer.rows(name), 0
    try:
        for block in blocks:
            rows.append(block)
            T += len(block)
        rows.commit(frames=T, of=of)
    finally:
        rows.discard()  # after `commit` there is nothing left


def _check(clips: ClipStore, encoder: Encoder, copies: int) -> None:
    """Refuse what cannot be described, or not told apart afterwards."""
    if encoder.clip.view != "rgb":
        raise FeatureError(
            f"{encoder.name} sees motion; versions of videos are altered in their colours.",
            "Choose an encoder of colour.",
            code="view",
        )
    if copies < 0:
        raise FeatureError(f"copies is {copies}; expected 0 or more.", code="option")
    for video in clips.videos:
        if original_of(video) != video:
            raise FeatureError(
                f"The video {video!r} is named like a version of {original_of(video)!r}.",
                "Rename it: names that end in ~ and a number are those of altered versions.",
                code="name",
            )
