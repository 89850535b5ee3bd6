"""A folder of videos -> a clip store: every video decoded once, in processes of their own.

A video is in the store whole or not at all; one that cannot be read is named and left out; a run
that was stopped goes on where it stopped, and a second run decodes only what is new or changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wtal_features.errors import FeatureError, Finding
from wtal_features.extraction.listing import VideoFile, list_videos
from wtal_features.extraction.sources import Sources
from wtal_features.files import TEMPORARY_PREFIX, lock, make_folder, read_json, write_failed
from wtal_features.motion.source import motion_view
from wtal_features.pretraining.clipchildren import Children
from wtal_features.pretraining.clipsettings import ClipSettings, clip_key, picture_bytes
from wtal_features.pretraining.clipstore import MANIFEST, StoredVideo
from wtal_features.pretraining.clipworker import ShrinkRequest
from wtal_features.pretraining.clipwriter import (
    ClipSink,
    find_video,
    new_video,
    remove_video,
    write_manifest,
)
from wtal_features.video.container import load_av
from wtal_features.video.pool import DecoderPool, default_workers
from wtal_features.video.wire import Array, Message
from wtal_features.video.worker import Request

Progress = Callable[[int, int], None]  # videos done, videos in all
_POLL_S = 0.5
_RATE = 25.0  # frames per second where a header does not say it
# Faults of the place we write to: going on with the next video would meet them again.
_FATAL = frozenset({"disk-full", "unwritable", "closed"})


@dataclass(frozen=True)
class Expected:
    """What a run will write, as the headers of the videos say.

    Attributes:
        videos: How many will be decoded; those that do not open count, too.
        bytes: On disk.
        free_bytes: What is free there.
        largest: The video that takes the most; None where there is none to be decoded.
    """

    videos: int
    bytes: int
    free_bytes: int
    largest: str | None

    def __str__(self) -> str:
        """One line for a terminal."""
        gib = 2**30
        return (
            f"{self.videos} videos to decode, {self.bytes / gib:.2f} GiB to write, "
            f"{self.free_bytes / gib:.2f} GiB free"
        )


@dataclass
class ClipReport:
    """What was done, and what was not.

    Attributes:
        out: The store.
        written: Videos that were decoded now.
        unchanged: Videos that were there already, with the same content.
        skipped: Videos that are left out, and why.
        notes: What the user should know besides.
    """

    out: Path
    written: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    skipped: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def build_clip_store(
    videos: str | Path,
    out: str | Path,
    settings: ClipSettings | None = None,
    *,
    before: Callable[[Expected], None] | None = None,
    progress: Progress | None = None,
) -> ClipReport:
    """Put every video of a folder into a clip store.

    Args:
        videos: A folder, searched through, or one file.
        out: A new folder, or a clip store of the same settings; its other videos stay.
        settings: How.
        before: Told what will be written, before anything is decoded.
        progress: Told (videos done, videos in all).

    Returns:
        What was done, and what was skipped and why.

    Raises:
        FeatureError: If there are no videos, the folder holds a store of other settings or another
            run is at it, a package is missing, or there is not enough space.
    """
    settings, out = settings or ClipSettings(), Path(out)
    load_av()
    if settings.motion is not None:
        motion_view(settings.motion.method, short_side=settings.motion.short_side)
    listing = list_videos(videos)
    make_folder(out)
    with lock(out):
        for left in out.glob(f"{TEMPORARY_PREFIX}*"):  # by a run that was killed
            left.unlink(missing_ok=True)
        known = _known(out, settings)
        run = _Build(out, settings, ClipReport(out, skipped=list(listing.faults)))
        todo = run.look_over(listing.videos)
        expected = expect([job.file for job in todo], out, settings)
        if before is not None:
            before(expected)
        _check_space(expected, out)
        run.decode(todo, progress or (lambda done, total: None))
        run.finish(known)
    return run.report


@dataclass(frozen=True)
class _Job:
    file: VideoFile
    sha256: str
    key: str


class _Build:
    """One run over a list of videos."""

    def __init__(self, out: Path, settings: ClipSettings, report: ClipReport) -> None:
        self.out, self.settings, self.report = out, settings, report
        self._entries: dict[str, dict[str, Any]] = {}

    def look_over(self, files: Sequence[VideoFile]) -> list[_Job]:
        """The videos that have to be decoded; the others are noted."""
        sources, todo = Sources(self.out), []
        try:
            for file in files:
                job = self._job(file, sources)
                if job is None:
                    continue
                if self._enter(job):
                    self.report.unchanged.append(file.video)
                else:
                    todo.append(job)
        finally:
            sources.save()
        return todo

    def _job(self, file: VideoFile, sources: Sources) -> _Job | None:
        try:
            sha256 = sources.sha256(file.name, file.path)
        except FeatureError as error:
            self.report.skipped.append(Finding.of(error, file.video))
            return None
        return _Job(file, sha256, clip_key(sha256, self.settings))

    def decode(self, todo: Sequence[_Job], progress: Progress) -> None:
        """Decode several videos at a time, each listened to by a thread."""
        workers = min(self.settings.workers or default_workers(), len(todo)) or 1
        with (
            ThreadPoolExecutor(workers) as threads,
            Children(workers, self.settings.limits) as children,
        ):
            running = {threads.submit(self._store, job, children): job for job in todo}
            try:
                while running:
                    children.watch()
                    done, _ = wait(running, _POLL_S, FIRST_COMPLETED)
                    for future in done:
                        self._take(running.pop(future), future)
                        progress(len(todo) - len(running), len(todo))
            finally:
                threads.shutdown(wait=False, cancel_futures=True)

    def _store(self, job: _Job, children: Children) -> None:
        """Write one video; runs in a thread."""
        if find_video(self.out, job.key) is not None:  # a copy of one that was done just now
            return
        motion = self.settings.motion is not None
        answers = children.answers(_request(job, self.settings))
        try:
            # Closed whatever happens: a process whose answers are not heard is of no more use.
            with closing(answers), new_video(self.out, job.key, motion=motion) as sink:
                for message, array in answers:
                    _put(sink, message, array)
                sink.facts["sha256"] = job.sha256
        except OSError as error:
            write_failed(self.out / job.key, error)

    def _take(self, job: _Job, future: Future[None]) -> None:
        """Note how a video ended."""
        try:
            future.result()
        except FeatureError as error:
            if error.code in _FATAL:
                raise
            self.report.skipped.append(Finding.of(error, job.file.video))
            return
        self._enter(job)
        self.report.written.append(job.file.video)
        if note := self._entries[job.file.video].get("note"):
            self.report.notes.append(note)

    def _enter(self, job: _Job) -> bool:
        """Take a video up into the manifest, if its files are whole."""
        entry = find_video(self.out, job.key)
        if entry is not None:
            place = {"file": job.file.name, "subset": job.file.subset}
            self._entries[job.file.video] = {**entry, **place}
        return entry is not None

    def finish(self, known: Mapping[str, dict[str, Any]]) -> None:
        """Write the manifest, then remove what it has no more use for."""
        report = self.report
        report.written.sort()
        report.skipped.sort(key=lambda finding: finding.where)
        now = {**known, **self._entries}
        for finding in report.skipped:  # what was there is of another content
            now.pop(finding.where, None)
        skipped = {finding.where: finding.message for finding in report.skipped}
        write_manifest(self.out, self.settings.described(), now, skipped=skipped)
        used = {entry["key"] for entry in now.values()}
        for key in {entry["key"] for entry in known.values()} - used:
            remove_video(self.out, key)


def _known(out: Path, settings: ClipSettings) -> dict[str, dict[str, Any]]:
    """The entries of an earlier run whose files are whole."""
    if not (out / MANIFEST).exists():
        return {}
    manifest = read_json(out / MANIFEST)
    fields = manifest if isinstance(manifest, dict) else {}
    if fields.get("settings") != settings.described():
        raise FeatureError(
            f"{out / MANIFEST} is not that of a clip store with these settings: it has "
            f"{fields.get('settings')}.",
            "Choose another folder, or the same settings.",
            code="settings",
        )
    videos = fields.get("videos")
    entries = videos.items() if isinstance(videos, dict) else ()
    return {video: entry for video, entry in entries if _is_whole(out, entry)}


def _is_whole(out: Path, entry: Any) -> bool:
    try:
        return StoredVideo.parse(entry).is_whole(out)
    except (KeyError, TypeError, ValueError):
        return False


def _put(sink: ClipSink, message: Message, array: Array | None) -> None:
    """Act on one answer about a video."""
    if message["kind"] == "frame" and array is not None:
        sink.frame(array, message["times"], intra=message["intra"])
    elif message["kind"] == "motion" and array is not None:
        sink.motion(array.view(np.int8))
    elif message["kind"] == "end":
        sink.facts |= _facts(message)


def _request(job: _Job, settings: ClipSettings) -> ShrinkRequest:
    motion = settings.motion
    return ShrinkRequest(
        path=str(job.file.path),
        fps=str(settings.fps),
        most=settings.most,
        short_side=settings.short_side,
        partial=settings.partial,
        motion=None if motion is None else {**asdict(motion), "sha256": job.sha256},
        motion_side=settings.motion_side,
        motion_range_px=settings.motion_range_px,
    )


def _facts(end: Message) -> dict[str, object]:
    """What the manifest says of the source."""
    return {
        "duration": end["duration_s"],
        "start": end["start_s"],
        "source_fps": end["rate"],
        "source_frames": end["decoded"],
        "source_width": end["width"],
        "source_height": end["height"],
        "codec": end["codec"],
        "note": end["note"],
    }


def expect(files: Sequence[VideoFile], out: Path, settings: ClipSettings) -> Expected:
    """What videos will take, from their headers; those that do not open take nothing.

    Args:
        files: Videos that are not in the store.
        out: Where it will be.
        settings: How.
    """
    names = {str(file.path): file.video for file in files}
    requests = [Request(path, str(settings.fps), settings.most, headers=True) for path in names]
    sizes: dict[str, int] = {}
    if requests:
        with DecoderPool(1, settings.limits) as pool:  # a hostile header must not end us
            for request, message, _ in pool.answers(requests):
                if message["kind"] == "end":
                    sizes[names[request.path]] = _expected_bytes(message, settings)
    largest = max(sizes, key=sizes.__getitem__, default=None)
    return Expected(len(files), sum(sizes.values()), shutil.disk_usage(out).free, largest)


def _expected_bytes(header: Message, settings: ClipSettings) -> int:
    rate = header["rate"] or _RATE
    frames = header["frames"] or 0
    duration_s = header["duration_s"] or header["container_s"] or frames / rate
    grid = max(1, round(duration_s * float(settings.fps)))
    pictures = min(grid, frames or round(duration_s * rate) or 1, settings.most)
    return pictures * picture_bytes(header["height"], header["width"], settings)


def _check_space(expected: Expected, out: Path) -> None:
    if expected.bytes > expected.free_bytes:
        raise FeatureError(
            f"{out} has too little space: {expected}; {expected.largest!r} takes the most.",
            "Choose another place, a lower fps or a smaller short side.",
            code="disk-full",
        )
