"""The field's layouts -> a store.

One video after another is read, checked and written; a faulty one is named and left out, the
others go on. A conversion that was stopped goes on where it stopped.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from wtal_features.annotations import Annotations, read_activitynet
from wtal_features.check import length_fault
from wtal_features.errors import FeatureError, Finding, counted
from wtal_features.files import TEMPORARY_PREFIX, atomic_write, make_folder
from wtal_features.layouts import Layout, Limits, wtalc
from wtal_features.layouts.kinds import (
    checked_kind,
    feature_file,
    find_kind,
    list_source,
    streams_of,
)
from wtal_features.manifest import Manifest, Timing, no_time_base, positive, time_base
from wtal_features.npy import FeatureArray, refuse_transposed
from wtal_features.tags import tags_text
from wtal_features.writer import StoreWriter

_SHAPES = 16  # videos looked at before the first is written, at most
# Faults of the place we write to: going on with the next video would meet them again.
_FATAL = frozenset({"disk-full", "unwritable"})


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion did.

    Attributes:
        kind: The layout that was read, one of `KINDS`.
        out: The folder written.
        written: Videos written now, in order.
        resumed: Videos that an earlier run had written.
        skipped: Videos left out, and why.
        notes: What the user should know besides.
    """

    kind: str
    out: Path
    written: tuple[str, ...] = ()
    resumed: tuple[str, ...] = ()
    skipped: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


def convert(
    source: str | Path,
    out: str | Path,
    *,
    kind: str | None = None,
    annotations: str | Path | None = None,
    fps: float | None = None,
    stride: float | None = None,
    window: float | None = None,
    dtype: str | None = None,
    join: bool = False,
    encoder: str | None = None,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ConversionReport:
    """Convert features, annotations, or both.

    Args:
        source: A folder or file; the layouts are listed in features/README.md.
        out: The store to write: a new folder, or that of an earlier run of the same conversion.
        kind: One of `KINDS`; found out when not given.
        annotations: An ActivityNet JSON file or a W-TALC annotation folder. By default the
            `gt.json` or `annotations.json` beside the features, or W-TALC's own folder.
        fps: Frames per second of the frames that were encoded. Never guessed; needed unless the
            source is a store.
        stride: Frames from snippet to snippet. Likewise.
        window: Frames that one snippet saw, if known.
        dtype: `"float16"` or `"float32"` to convert the values; by default they stay as they are
            and float64 is refused.
        join: Write one array per video, the streams joined on D, instead of stream folders.
        encoder: What made the features, for the manifest.
        limits: Bounds on size and time for what is unpacked.
        progress: Called after each video with how many are done and how many there are.

    Returns:
        What was written and what was left out.

    Raises:
        FeatureError: If the layout is not recognised, fps or stride are missing, no video could
            be converted, `out` holds something else, or the disk is full.
    """
    source, out, limits = Path(source), Path(out), limits or Limits()
    annotations = Path(annotations) if annotations is not None else None
    kind = checked_kind(kind) if kind else find_kind(source)
    if dtype not in (None, "float16", "float32"):
        raise FeatureError(f"dtype is {dtype!r}; expected float16 or float32.", code="dtype")
    if kind == "wtalc-annotations":
        _refuse_useless(
            annotations=annotations,
            fps=fps,
            stride=stride,
            window=window,
            dtype=dtype,
            join=join or None,
            encoder=encoder,
        )
        found = wtalc.read_annotations(source, limits)
        _write_annotations(out, found)
        videos = tuple(sorted(found.database))
        return ConversionReport(kind, out, videos, skipped=found.faults, notes=found.notes)
    _check_apart(source, out)
    if kind == "wtalc":
        source = feature_file(source)
    manifest = _manifest_of(source, fps, stride, window)
    known = _annotations_of(kind, source, annotations, limits)
    layout = list_source(kind, source, annotations, limits)
    streams = streams_of(layout)
    with StoreWriter(
        out,
        encoder=encoder or manifest.encoder or "unknown",
        stride=manifest.stride_frames or 0.0,  # refused there; `_manifest_of` has checked it
        window=manifest.window_frames,
        fps=manifest.fps,
        streams=() if join else streams,
        info={"source": {"kind": kind, "name": source.name, "dtype": dtype}},
    ) as writer:
        job = _Job(layout, manifest, known, dtype, streams if join else ())
        report = job.run(writer, source, progress)
    if known is not None:
        _write_annotations(out, known)
        report.skipped.extend(known.faults)
        report.notes.extend(known.notes)
    return ConversionReport(
        kind,
        out,
        tuple(report.written),
        tuple(report.resumed),
        (*layout.faults, *report.skipped),
        tuple(report.notes),
    )


# What there is -----------------------------------------------------------------------------------


def _refuse_useless(**options: object) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise FeatureError(
            f"The source holds annotations and no features: {', '.join(given)} would do nothing.",
            "Leave them out.",
            code="option",
        )


def _check_apart(source: Path, out: Path) -> None:
    if out.resolve().is_relative_to(source.resolve()):
        raise FeatureError(
            f"{out} lies in {source}, which is being read.", "Choose another folder.", code="layout"
        )


def _manifest_of(
    source: Path, fps: float | None, stride: float | None, window: float | None
) -> Manifest:
    """The time base: a store's own, or the flags; never a guess."""
    manifest = time_base(source, fps, stride)
    if window is not None and manifest.window_frames not in (None, window):
        raise FeatureError(
            f"{manifest.path} says window {manifest.window_frames}; {window} was asked for.",
            "Leave window out, or correct the manifest.",
            code="time-base",
        )
    if manifest.stride_frames is None or not (
        manifest.fps or any(manifest.has_fps(video) for video in manifest.videos)
    ):
        raise no_time_base(source, "any video")
    return replace(manifest, window_frames=positive(window, "window") or manifest.window_frames)


def _annotations_of(
    kind: str, source: Path, given: Path | None, limits: Limits
) -> Annotations | None:
    """The annotations that were named, or lie beside the features."""
    if kind == "wtalc" and given is None:
        given = wtalc.find_annotations(source)
    if given is not None:
        if given.is_dir():
            return wtalc.read_annotations(given, limits)
        return read_activitynet(given)
    folders = [source if source.is_dir() else source.parent]
    if "feature" in source.name.lower():
        folders.append(source.parent)
    for path in [folder / name for folder in folders for name in ("gt.json", "annotations.json")]:
        if path.is_file():
            found = read_activitynet(path)
            return replace(found, notes=(f"The annotations are those of {path}.", *found.notes))
    return None


# One video after another -------------------------------------------------------------------------


@dataclass
class _Progress:
    """What has happened so far."""

    written: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    skipped: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    """The settings of a conversion; `joined` names the streams to join, in their order."""

    layout: Layout
    manifest: Manifest
    known: Annotations | None
    dtype: str | None
    joined: tuple[str, ...]

    def run(
        self, writer: StoreWriter, source: Path, progress: Callable[[int, int], None] | None
    ) -> _Progress:
        """Convert every video that is not done yet."""
        report = _Progress()
        videos = sorted(self.layout.videos)
        lengths: list[Finding] = []
        with tempfile.TemporaryDirectory(dir=writer.path, prefix=TEMPORARY_PREFIX) as scratch:
            if self.layout.prepare and not all(writer.done(video) for video in videos):
                self.layout.prepare(Path(scratch))
            if not writer.videos and not self.layout.prepare:
                refuse_transposed(self._shapes(videos), str(source))
            for done, video in enumerate(videos, 1):
                try:
                    if writer.done(video):
                        report.resumed.append(video)
                    else:
                        lengths += self._convert(video, writer)
                        report.written.append(video)
                except FeatureError as error:
                    if error.code in _FATAL:
                        raise
                    report.skipped.append(Finding.of(error, video))
                if progress is not None:
                    progress(done, len(videos))
        if not report.written and not report.resumed:
            first = next(iter((*report.skipped, *self.layout.faults)), None)
            raise FeatureError(
                f"No video of {len(videos)} could be converted; the first fault: "
                f"{first.message if first else 'the source is empty'}",
                first.cure if first else "",
                code=first.code if first else "empty",
            )
        if lengths:
            report.notes.append(
                f"{counted(len(lengths), 'video does', 'videos do')} not fit the duration; "
                f"{lengths[0].where}: "
                f"{lengths[0].message} {lengths[0].cure}"
            )
        return report

    def _shapes(self, videos: Sequence[str]) -> list[tuple[int, ...]]:
        """Shapes of some videos, until two of them differ in T, as they nearly always do."""
        shapes: list[tuple[int, ...]] = []
        for video in videos[:: -(-len(videos) // _SHAPES)]:
            try:
                arrays = self.layout.videos[video]()
            except FeatureError:  # told when this video's turn comes
                continue
            shapes += [array.shape for array in list(arrays.values())[:1] if array.ndim == 2]
            if len({T for T, _ in shapes}) > 1:
                break
        return shapes

    def _convert(self, video: str, writer: StoreWriter) -> list[Finding]:
        """Read, convert and write one video; a length that contradicts its duration is told."""
        arrays = {
            stream: _cast(array, self.dtype, video)
            for stream, array in self.layout.videos[video]().items()
        }
        if self.joined:
            arrays = {"": _join(arrays, self.joined, video)}
        fps = self.manifest.number(video, "fps") or self.manifest.fps
        duration_s = self.manifest.number(video, "duration")
        if duration_s is None and self.known is not None:
            duration_s = self.known.duration_s(video)
        writer.write(
            video,
            arrays,
            fps=fps,
            frames=self.manifest.number(video, "frames"),
            duration_s=duration_s,
            subset=self.layout.subsets.get(video),
        )
        timing = Timing(
            fps or 0.0, self.manifest.stride_frames or 0.0, self.manifest.window_frames, duration_s
        )
        fault = length_fault(video, len(next(iter(arrays.values()))), timing)
        return [fault] if fault else []


def _cast(array: FeatureArray, dtype: str | None, video: str) -> FeatureArray:
    """Convert values as asked; a value that the dtype cannot hold is refused."""
    if dtype is None or array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):  # named below
        cast: FeatureArray = array.astype(dtype)
    if np.isfinite(array).all() and not np.isfinite(cast).all():
        raise FeatureError(
            f"{video!r} holds values up to {np.abs(array).max():g}; {dtype} ends before.",
            "Convert to float32.",
            code="overflow",
        )
    return cast


def _join(arrays: dict[str, FeatureArray], streams: tuple[str, ...], video: str) -> FeatureArray:
    """(T, D) from the streams in their order."""
    lengths = {stream: len(array) for stream, array in arrays.items()}
    if set(arrays) != set(streams) or len(set(lengths.values())) > 1:
        raise FeatureError(
            f"The streams of {video!r} cannot be joined: {lengths} snippets; "
            f"expected {', '.join(streams)} of one length.",
            "Extract both streams with one stride.",
            code="stream-lengths",
        )
    return np.concatenate([arrays[stream] for stream in streams], axis=1)


# Annotations -------------------------------------------------------------------------------------


def _write_annotations(out: Path, annotations: Annotations) -> None:
    """Write `annotations.json` and `tags.csv`; files of another content are not replaced."""
    make_folder(out)
    database = {"version": "", "taxonomy": [], "database": annotations.database}
    texts = {
        "annotations.json": json.dumps(database, ensure_ascii=False, allow_nan=False) + "\n",
        "tags.csv": tags_text(annotations.tags),
    }
    for name, text in texts.items():
        data = text.encode("utf-8")
        if (out / name).exists() and (out / name).read_bytes() != data:
            raise FeatureError(
                f"{out / name} exists with another content.",
                "Move it away, or choose another folder.",
                code="not-empty",
            )
    for name, text in texts.items():
        with atomic_write(out / name) as handle:
            handle.write(text.encode("utf-8"))
