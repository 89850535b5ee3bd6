"""`wtal extract`: from the words of a command line to encoders and settings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from wtal.errors import WtalError
from wtal.interrupt import sigterm_as_ctrl_c
from wtal_features.extraction import ExtractSettings, MotionSettings, extract, parse_fps
from wtal_features.shards import Shard
from wtal_features.video.limits import Limits

if TYPE_CHECKING:
    import torch

    from wtal_features.encoders.encoder import Encoder
    from wtal_features.errors import Finding

_STREAM = re.compile(r"([A-Za-z][\w-]*)=(.+)", re.DOTALL)


class Report(Protocol):
    """What a run or a preview says at its end."""

    skipped: list[Finding]

    def lines(self) -> list[str]:
        """For a person."""
        ...


@dataclass(frozen=True)
class Words:
    """The options of the command, as they were typed."""

    encoders: tuple[str, ...]
    fps: str = "25"
    stride: int = 16
    mode: str = "window"
    frames: int | None = None
    every: int | None = None
    width: float | None = None
    size: int | None = None
    seed: int | None = None
    pooling: str | None = None
    revision: str | None = None
    precision: str = "auto"
    motion: str = "dis"
    reencode: bool = True
    cache: Path | None = None
    dtype: str = "float16"
    partial: bool = False
    batch: int = 4
    workers: int = 0
    timeout: float = 120.0
    memory_gb: float = 4.0
    max_hours: float = 24.0

    def settings(self) -> ExtractSettings:
        """How to extract.

        Raises:
            FeatureError: If a value is not possible.
        """
        choices: Any = {"mode": self.mode, "dtype": self.dtype}
        method: Any = self.motion
        cache = None if self.cache is None else str(self.cache)
        return ExtractSettings(
            fps=parse_fps(self.fps),
            stride=self.stride,
            partial=self.partial,
            motion=MotionSettings(method, reencode=self.reencode, cache=cache),
            batch=self.batch,
            workers=self.workers,
            limits=Limits(self.timeout, self.memory_gb, self.max_hours),
            **choices,
        )

    def load(self, device: torch.device) -> tuple[dict[str, Encoder], list[str]]:
        """The encoders by stream, and what should be read about them.

        Args:
            device: Decides the precision where that is `auto`: bfloat16 on a GPU.

        Raises:
            FeatureError, WtalError: If there is none, or one cannot be had.
        """
        from wtal_features.encoders.catalog import EncoderOptions, load_encoder

        named = self.named()
        precision: Any = self.precision
        if precision == "auto":
            precision = "bfloat16" if device.type == "cuda" else "float32"
        elif precision not in ("float32", "bfloat16", "float16"):
            raise WtalError(
                f"--precision is {precision!r}; expected auto, float32, bfloat16 or float16."
            )
        options = EncoderOptions(
            width=self.width,
            frames=self.frames,
            every=self.every,
            size=self.size,
            seed=self.seed,
            precision=precision,
            pooling=self.pooling,
            revision=self.revision,
        )
        found: dict[str, Encoder] = {}
        notes = []
        for stream, name in named.items():
            found[stream], said = load_encoder(name, options)
            notes += said
        return found, notes

    def named(self) -> dict[str, str]:
        """Stream -> encoder, as they were typed.

        Raises:
            WtalError: If there is none, or two share a stream.
        """
        if not self.encoders:
            raise WtalError(
                "--encoder is missing: a .safetensors file, hub:MODEL, or a network such as s3d."
            )
        named: dict[str, str] = {}
        for word in self.encoders:
            stream, name = _stream_of(word)
            if stream in named or "" in named or (not stream and named):
                raise WtalError(
                    "Several --encoder make the streams of one store; give each a name of its own, "
                    "such as rgb=s3d and flow=s3d-flow."
                )
            named[stream] = name
        return named


def _stream_of(word: str) -> tuple[str, str]:
    """`flow=s3d-flow` -> (flow, s3d-flow); without a name the stream is empty."""
    match = None if os.path.exists(word) else _STREAM.fullmatch(word)
    return (match[1], match[2]) if match else ("", word)


def run(
    videos: Path,
    out: Path | None,
    words: Words,
    device: torch.device,
    shard: str | None,
    *,
    preview: bool,
    progress: Callable[[int, int], None],
    say: Callable[[str], None],
) -> Report:
    """Extract, or estimate what it would take.

    Args:
        videos: Folder or file.
        out: The store; needed unless it is a preview.
        words: The options.
        device: Where to compute.
        shard: `i/N`.
        preview: Write nothing.
        progress: Told (done, total) videos.
        say: Told of the encoders before the work begins.

    Raises:
        FeatureError, WtalError: What the user can mend.
    """
    settings = words.settings()
    part = None if shard is None else Shard.parse(shard)
    encoders, notes = words.load(device)
    for note in notes:
        say(note)
    if preview:
        from wtal_features.extraction.preview import preview as estimate

        return estimate(videos, encoders, settings, device=device, shard=part)
    assert out is not None  # the command has asked for it
    with sigterm_as_ctrl_c():  # it shall stop as by Ctrl-C, with its decoders
        return extract(
            videos,
            out,
            encoders,
            settings,
            device=device,
            shard=part,
            progress=lambda done, total, video_s: progress(done, total),
        )
