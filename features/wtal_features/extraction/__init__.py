"""`wtal extract` without the shell: a folder of videos -> a feature store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wtal_features.errors import FeatureError, counted
from wtal_features.extraction.joining import folder_of, join_if_complete, look_around
from wtal_features.extraction.listing import VideoFile, list_videos, some
from wtal_features.extraction.needs import check_installed
from wtal_features.extraction.report import ExtractionReport, write_skipped
from wtal_features.extraction.run import Extraction, Progress, pending
from wtal_features.extraction.settings import ExtractSettings, MotionSettings, parse_fps
from wtal_features.extraction.sources import Sources
from wtal_features.extraction.underway import on_record
from wtal_features.extraction.versions import made_with
from wtal_features.listing import SUBSETS
from wtal_features.shards import Shard
from wtal_features.writer import StoreWriter

if TYPE_CHECKING:
    import torch

    from wtal_features.encoders.encoder import Encoder

__all__ = [
    "ExtractSettings",
    "ExtractionReport",
    "MotionSettings",
    "extract",
    "parse_fps",
]


def extract(
    videos: str | Path,
    out: str | Path,
    encoders: Encoder | Mapping[str, Encoder],
    settings: ExtractSettings | None = None,
    *,
    device: torch.device | str = "cpu",
    shard: Shard | None = None,
    progress: Progress | None = None,
) -> ExtractionReport:
    """Encode every video of a folder into a feature store.

    Videos that are in the store with the same content are left alone, so a second run does only
    what is new or changed, and one that was stopped goes on. A video that cannot be read is named
    in the report; the others go on.

    Args:
        videos: A folder, searched through, or one file.
        out: The store: a new folder, or that of an earlier run with the same settings.
        encoders: One encoder, or one per stream (`rgb`, `flow`).
        settings: How.
        device: Where the encoders compute.
        shard: Only this share of the videos; the last share that is done joins them all.
        progress: Told (videos done, videos in all, seconds of video extracted).

    Returns:
        What was done, and what was skipped and why.

    Raises:
        FeatureError: If there are no videos, the store holds something else or other settings,
            another run is at it, a package is missing, or the disk is full.
    """
    import torch

    settings, device, out = settings or ExtractSettings(), torch.device(device), Path(out)
    named = dict(encoders) if isinstance(encoders, Mapping) else {"": encoders}
    _check_streams(named)
    check_installed(named, settings)

    def writer_of(folder: Path) -> StoreWriter:
        return _writer(folder, named, settings, made_with(device, settings.batch))

    listing = list_videos(videos)
    files = listing.videos if shard is None else tuple(shard.of(listing.videos))
    elsewhere = {} if shard is None else look_around(out, shard, writer_of)
    report = ExtractionReport(out)
    if shard is None or shard.index == 1:  # named once, not by every share
        report.skipped += listing.faults
        report.notes += _others(listing.others)
    folder = out if shard is None else folder_of(out, shard)
    with writer_of(folder) as writer, on_record(folder, out, videos, report):
        sources = Sources(folder, None if shard is None else out)
        run = Extraction(_on(named, device), settings, device, report, progress)
        try:
            run.run(writer, pending(files, writer, sources, report, elsewhere), len(files))
        finally:
            sources.save()
        _say_where(writer, files, elsewhere)
        write_skipped(folder, report.reasons())
    report.written.sort()
    if shard is not None:
        report.notes.append(join_if_complete(out, shard, listing.videos, writer_of))
    return report


def _writer(
    folder: Path,
    encoders: Mapping[str, Encoder],
    settings: ExtractSettings,
    versions: Mapping[str, str],
) -> StoreWriter:
    """The store, with all that decides its features in the head of its manifest."""
    views = {encoder.clip.view for encoder in encoders.values()}
    described = {name: encoder.describe() for name, encoder in encoders.items()}
    streams = tuple(name for name in encoders if name)
    spans = [encoder.clip.span for encoder in encoders.values()]
    return StoreWriter(
        folder,
        encoder=" + ".join(encoder.name for encoder in encoders.values()),
        stride=settings.stride,
        window=max(spans),
        fps=float(settings.fps),
        streams=streams,
        info={
            "encoders": described if streams else next(iter(described.values())),
            "extraction": settings.described(views),
        },
        made_with=versions,
    )


def _check_streams(encoders: Mapping[str, Encoder]) -> None:
    if not encoders or ("" in encoders and len(encoders) > 1):
        raise FeatureError(
            f"{len(encoders)} encoders without a name each; several make one store as streams.",
            "Name them: rgb=s3d, flow=s3d-flow.",
            code="option",
        )
    for name in encoders:
        if name.lower() in SUBSETS:
            raise FeatureError(
                f"A stream cannot be named {name!r}: folders of that name are subsets.",
                "Name it after what the encoder sees, such as rgb or flow.",
                code="option",
            )


def _on(encoders: Mapping[str, Encoder], device: torch.device) -> dict[str, Encoder]:
    return {name: encoder.to(device) for name, encoder in encoders.items()}


def _say_where(
    writer: StoreWriter,
    files: Sequence[VideoFile],
    elsewhere: Mapping[str, Mapping[str, object]],
) -> None:
    """A video that was moved keeps its features; its entry says where it lies now."""
    for file in files:
        entry = writer.entry(file.video) or elsewhere.get(file.video)
        place = {"file": file.name, "subset": file.subset}
        if entry and any(entry.get(key) != value for key, value in place.items()):
            writer.amend(file.video, {**entry, **place})


def _others(names: tuple[str, ...]) -> list[str]:
    if not names:
        return []
    what = counted(len(names), "file is no video", "files are no videos")
    return [f"{what} by name and left out: {some(names)}"]
