"""`wtal extract --preview`: what an extraction would take, measured on a few of the videos."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wtal_features.errors import FeatureError, Finding
from wtal_features.extraction.batches import Batcher
from wtal_features.extraction.listing import VideoFile, list_videos
from wtal_features.extraction.needs import check_installed
from wtal_features.extraction.run import plan_of
from wtal_features.extraction.settings import ExtractSettings
from wtal_features.shards import Shard
from wtal_features.video.decoder import fault_of
from wtal_features.video.pool import DecoderPool, default_workers
from wtal_features.video.windows import ClipPlan
from wtal_features.video.worker import Request

if TYPE_CHECKING:
    import torch

    from wtal_features.encoders.encoder import Encoder

# Headers of so many videos tell the length of all by their bytes; so many are decoded.
_PROBED, _DECODED = 200, 3
# Decoding of a sample stops after so many seconds of video, encoding after so many of work.
_SAMPLE_VIDEO_S, _SAMPLE_WORK_S = 60.0, 10.0
# PyTorch, PyAV and their libraries in a decoder and in the encoder, in bytes.
_DECODER_BYTES, _ENCODER_BYTES = 4.5e8, 6e8


@dataclass
class Preview:
    """Estimates for one extraction on this machine.

    Attributes:
        videos: Number of files.
        video_s: Seconds of video in all, from headers of some of them.
        decode_s, encode_s: Wall time that decoding alone and encoding alone would take.
        memory_bytes: Of all processes together.
        disk_bytes: Of the store.
        skipped: Files that do not open, of those that were looked at.
    """

    videos: int
    video_s: float
    decode_s: float
    encode_s: float
    memory_bytes: float
    disk_bytes: float
    skipped: list[Finding] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Wall time: on a CPU decoders and encoder share the cores, so the two add up."""
        return self.decode_s + self.encode_s

    def lines(self) -> list[str]:
        """For a person."""
        return [
            f"{self.videos} videos, {duration(self.video_s)} of video",
            f"time {duration(self.seconds)} on this machine: decoding {duration(self.decode_s)}, "
            f"encoding {duration(self.encode_s)}",
            f"memory {self.memory_bytes / 2**30:.1f} GiB, disk {self.disk_bytes / 2**20:.1f} MiB",
        ]


def preview(
    videos: str | Path,
    encoders: Mapping[str, Encoder],
    settings: ExtractSettings,
    *,
    device: torch.device,
    shard: Shard | None = None,
) -> Preview:
    """Estimate what `extract` would take; nothing is written.

    Args:
        videos: As for `extract`.
        encoders: By stream.
        settings: How.
        device: Where the encoders compute.
        shard: Only this share.

    Raises:
        FeatureError: If there are no videos, none of those looked at can be decoded, or a package
            is missing.
    """
    check_installed(encoders, settings)
    files = list_videos(videos).videos
    files = files if shard is None else tuple(shard.of(files))
    opened, skipped = _durations(files, settings)
    if not opened:
        raise _nothing_to_see(videos, skipped)
    sizes = {file: file.path.stat().st_size for file in files}
    looked_at = sum(sizes[file] for file in opened)
    video_s = sum(opened.values()) * sum(sizes.values()) / looked_at
    plans = {name: plan_of(encoder, settings) for name, encoder in encoders.items()}
    workers = settings.workers or default_workers()
    sample = sorted(opened, key=opened.__getitem__)[:: max(1, len(opened) // _DECODED)][:_DECODED]
    speed, faults = _decoding_speed(sample, tuple(plans.values()), settings, workers)
    skipped += faults
    if len(faults) == len(sample):
        raise _nothing_to_see(videos, skipped)
    snippets = video_s * float(settings.fps) / settings.stride
    per_clip = {name: _clip_s(encoders[name], plans[name], settings, device) for name in plans}
    clips = {name: snippets * settings.stride / plan.hop for name, plan in plans.items()}
    itemsize = np.dtype(settings.dtype).itemsize
    skipped.sort(key=lambda finding: finding.where)
    return Preview(
        videos=len(files),
        video_s=video_s,
        decode_s=video_s / speed,
        encode_s=sum(clips[name] * per_clip[name] for name in plans),
        memory_bytes=_memory(plans, settings, workers),
        disk_bytes=snippets * itemsize * sum(encoder.dim for encoder in encoders.values()),
        skipped=skipped,
    )


def _nothing_to_see(videos: str | Path, skipped: Sequence[Finding]) -> FeatureError:
    why = f" {skipped[0].message}" if skipped else ""
    return FeatureError(
        f"None of the {len(skipped)} videos of {videos} that were looked at can be decoded.{why}",
        "Run wtal extract on it: it says why of each.",
        code="no-videos",
    )


def _durations(
    files: Sequence[VideoFile], settings: ExtractSettings
) -> tuple[dict[VideoFile, float], list[Finding]]:
    """Seconds of some of the videos, as their headers say; those that do not open."""
    some = files[:: max(1, len(files) // _PROBED)]
    by_path = {str(file.path): file for file in some}
    requests = [Request(path, str(settings.fps), settings.most, headers=True) for path in by_path]
    found: dict[VideoFile, float] = {}
    skipped = []
    with DecoderPool(1, settings.limits) as pool:  # a hostile header must not end us
        for request, message, _ in pool.answers(requests):
            file = by_path[request.path]
            if message["kind"] == "fault":
                skipped.append(Finding.of(fault_of(message), file.video))
            elif message["kind"] == "end":
                counted = (message["frames"] or 0) / (message["rate"] or 25.0)
                known = message["duration_s"] or message["container_s"] or counted
                found[file] = known or 1.0
    return found, skipped


def _decoding_speed(
    sample: Sequence[VideoFile],
    plans: tuple[ClipPlan, ...],
    settings: ExtractSettings,
    workers: int,
) -> tuple[float, list[Finding]]:
    """Seconds of video per second, with every decoder at work; videos that break."""
    motion = {
        "method": settings.motion.method,
        "short_side": settings.motion.short_side,
        "reencode": settings.motion.reencode,
        "cache": None,
        "sha256": "0" * 64,
    }
    requests = [
        Request(str(file.path), str(settings.fps), settings.most, plans, settings.partial, motion)
        for file in sample
    ]
    names = {str(file.path): file.video for file in sample}
    faults = []
    stride_s = settings.stride / float(settings.fps)
    covered, first = 0.0, None
    with DecoderPool(min(workers, len(requests)), settings.limits) as pool:
        for answer in pool.answers(requests):
            first = first or time.perf_counter()  # a decoder takes seconds to start
            if answer.message["kind"] == "clip":
                covered += answer.message["snippets"] * stride_s / len(plans)
            elif answer.message["kind"] == "fault":
                faults.append(Finding.of(fault_of(answer.message), names[answer.request.path]))
            if covered > _SAMPLE_VIDEO_S:
                break
    spent = time.perf_counter() - (first or time.perf_counter())
    speed = max(covered, stride_s) / max(spent, 1e-3)
    return speed * workers / min(workers, len(requests)), faults


def _clip_s(
    encoder: Encoder, plan: ClipPlan, settings: ExtractSettings, device: torch.device
) -> float:
    """Seconds per clip, in a batch as the extraction would make it."""
    pixels, n = plan.clip.preprocess.size, plan.clip.frames
    channels, dtype = (3, "uint8") if plan.clip.view == "rgb" else (2, "float16")
    clip = np.zeros((n, pixels, pixels, channels), dtype)
    dense = settings.mode == "dense"
    batcher = Batcher[None](encoder.to(device), settings.batch, device, dense=dense)
    best, started = float("inf"), time.perf_counter()
    for _ in range(3):
        before = time.perf_counter()
        for _ in range(settings.batch):
            for _ in batcher.add(None, clip):
                pass
        best = min(best, time.perf_counter() - before)
        if time.perf_counter() - started > _SAMPLE_WORK_S:
            break
    return best / settings.batch


def _memory(plans: Mapping[str, ClipPlan], settings: ExtractSettings, workers: int) -> float:
    """Processes, and the clips on their way."""
    clip_bytes = max(
        plan.clip.frames * plan.clip.preprocess.size**2 * (3 if plan.clip.view == "rgb" else 4)
        for plan in plans.values()
    )
    waiting = (4 * workers + settings.batch * (1 + 40)) * clip_bytes  # activations: some 40 x
    return workers * _DECODER_BYTES + _ENCODER_BYTES + waiting


def duration(seconds: float) -> str:
    """A length of time in words.

    Example:
        >>> duration(3), duration(200), duration(40_000), duration(1e7)
        ('3 s', '3 min', '11.1 h', '115.7 days')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 72 * 3600 else f"{seconds / 86400:.1f} days"
