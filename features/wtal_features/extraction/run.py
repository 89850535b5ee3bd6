"""A folder of videos -> a feature store.

Decoders cut the videos into clips, several videos at a time; one process encodes the clips in
batches across videos, so that a long video holds nobody up; rows go to disk as they come, so that
memory does not grow with the length of a video. A video is done or not there.

Shapes: n frames of a clip, S x S pixels, C channels, D dims, T' time positions of a dense clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wtal_features.errors import FeatureError, Finding
from wtal_features.extraction.batches import Batcher, Floats
from wtal_features.extraction.listing import VideoFile
from wtal_features.extraction.report import ExtractionReport
from wtal_features.extraction.settings import ExtractSettings
from wtal_features.extraction.sources import Sources
from wtal_features.video.decoder import fault_of
from wtal_features.video.pool import Answer, DecoderPool, default_workers
from wtal_features.video.windows import ClipPlan, dense_plan, positions, snippets_of, window_plan
from wtal_features.video.wire import Message
from wtal_features.video.worker import Request
from wtal_features.writer import Rows, StoreWriter

if TYPE_CHECKING:
    import torch

    from wtal_features.encoders.encoder import Encoder

Progress = Callable[[int, int, float], None]  # videos done, videos in all, seconds of video
# A dense clip is so many times as long as the encoder's own, where the encoder can take that.
DENSE_FACTOR = 4
# Faults of the place we write to: going on with the next video would meet them again.
_FATAL = frozenset({"disk-full", "unwritable", "memory", "no-av"})


def plan_of(encoder: Encoder, settings: ExtractSettings) -> ClipPlan:
    """Which clips an encoder sees."""
    clip, s = encoder.clip, settings.stride
    if settings.mode == "window":
        return window_plan(clip, s)
    factor = DENSE_FACTOR if encoder.any_length else 1
    longer = replace(clip, frames=factor * clip.frames)
    return dense_plan(longer, s, max(0, clip.span - s) // 2)


class Extraction:
    """One run over a list of videos, into one store."""

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        settings: ExtractSettings,
        device: torch.device,
        report: ExtractionReport,
        progress: Progress | None = None,
    ) -> None:
        """Set up.

        Args:
            encoders: Stream -> encoder, on `device`; one without streams has the name "".
            settings: How.
            device: Where the encoders are.
            report: What is done is noted here.
            progress: Told of progress.
        """
        self.encoders, self.settings, self.report = dict(encoders), settings, report
        self._progress = progress or (lambda done, total, video_s: None)
        self._plans = {name: plan_of(encoder, settings) for name, encoder in self.encoders.items()}
        dense = settings.mode == "dense"
        self._batchers: dict[str, Batcher[_Place]] = {
            name: Batcher(encoder, settings.batch, device, dense=dense)
            for name, encoder in self.encoders.items()
        }
        self._videos: dict[str, _Video] = {}  # by path, those being decoded or encoded
        self._total = self._faults = 0  # videos in all; faults that were known before

    def run(self, writer: StoreWriter, todo: Iterator[tuple[VideoFile, str]], total: int) -> None:
        """Extract every video of `todo`.

        Args:
            writer: Entered.
            todo: Videos and the SHA-256 of their content.
            total: How many there are, for the progress.
        """
        settings = self.settings
        workers = settings.workers or default_workers()
        requests = self._requests(writer, todo)
        self._total, self._faults = total, len(self.report.skipped)
        with ExitStack() as undo, DecoderPool(workers, settings.limits) as pool:
            undo.callback(self._discard_all)
            for answer in pool.answers(requests):
                self._take(answer)
            for name, batcher in self._batchers.items():
                self._place(name, batcher.flush())
        self._tell()

    def _requests(
        self, writer: StoreWriter, todo: Iterator[tuple[VideoFile, str]]
    ) -> Iterator[Request]:
        settings = self.settings
        for file, sha256 in todo:
            try:
                rows = writer.rows(file.video)
            except FeatureError as error:
                self.report.skip(Finding.of(error, file.video))
                continue
            path = str(file.path)
            self._videos[path] = _Video(file, sha256, rows, self._plans, settings)
            yield Request(
                path=path,
                fps=str(settings.fps),
                most=settings.most,
                plans=tuple(self._plans.values()),
                partial=settings.partial,
                motion={**asdict(settings.motion), "sha256": sha256},
            )

    def _take(self, answer: Answer) -> None:
        """Act on one answer of a decoder."""
        message, path = answer.message, answer.request.path
        kind, video = message["kind"], self._videos.get(path)
        if video is None:  # its features met a fault; the decoder does not know
            return
        if kind == "clip" and answer.array is not None:
            name = list(self.encoders)[message["stream"]]
            place = _Place(path, message["j"], message["snippets"])
            self._place(name, self._batchers[name].add(place, answer.array))
        elif kind == "end":
            video.end = message
            self._finish_if_done(path)
        elif kind == "fault":
            self._skip(path, fault_of(message))

    def _place(self, stream: str, rows: Iterator[tuple[_Place, Floats]]) -> None:
        """Hand encoded rows to their videos."""
        for place, row in rows:
            video = self._videos.get(place.path)
            if video is None:  # it met a fault meanwhile
                continue
            try:
                video.add(stream, place, row)
            except FeatureError as error:
                self._skip(place.path, error)
            else:
                self._finish_if_done(place.path)

    def _finish_if_done(self, path: str) -> None:
        video = self._videos[path]
        if video.end is None or not video.complete():
            return None
        try:
            video.commit()
        except FeatureError as error:
            return self._skip(path, error)
        del self._videos[path]
        report = self.report
        report.written.append(video.file.video)
        report.notes += video.end["notes"]
        report.video_s += video.end["duration_s"]
        report.snippets += video.snippets
        self._tell()
        return None

    def _skip(self, path: str, error: FeatureError) -> None:
        if error.code in _FATAL:
            raise error
        video = self._videos.pop(path)
        video.rows.discard()
        self.report.skip(Finding.of(error, video.file.video))
        self._tell()

    def _tell(self) -> None:
        report = self.report
        done = len(report.written) + len(report.unchanged) + len(report.skipped) - self._faults
        self._progress(done, self._total, report.video_s)

    def _discard_all(self) -> None:
        for video in list(self._videos.values()):  # a decoder's thread may still add one
            video.rows.discard()


class _Place(NamedTuple):
    """Where a row belongs: clip j of a video."""

    path: str
    j: int
    snippets: int  # that the clip stands for


class _Video:
    """One video while it is decoded and encoded."""

    def __init__(
        self,
        file: VideoFile,
        sha256: str,
        rows: Rows,
        plans: Mapping[str, ClipPlan],
        settings: ExtractSettings,
    ) -> None:
        self.file, self.sha256, self.rows = file, sha256, rows
        self.end: Message | None = None
        self._plans, self._settings = plans, settings
        self._done = dict.fromkeys(plans, 0)  # clips whose rows are written, per stream

    @property
    def snippets(self) -> int:
        """T; known at the end."""
        assert self.end is not None
        return snippets_of(self.end["grid_frames"], self._settings.stride)

    def add(self, stream: str, place: _Place, row: Floats) -> None:
        """Write what one clip gives; they come in order."""
        if self._settings.mode == "window":
            block_TD = row[None]
        else:
            block_TD = snippet_rows(self._plans[stream], place.j, row)[: place.snippets]
        self.rows.append(self._cast(block_TD), stream)
        self._done[stream] += 1

    def complete(self) -> bool:
        """Whether every clip has been encoded; known once the end is."""
        assert self.end is not None
        N = self.end["grid_frames"]
        return all(self._done[name] == plan.count(N) for name, plan in self._plans.items())

    def commit(self) -> None:
        """Make it count."""
        assert self.end is not None
        end = self.end
        entry: dict[str, object] = {
            "frames": end["grid_frames"],
            "duration": end["duration_s"],
            "subset": self.file.subset,
            "file": self.file.name,
            "sha256": self.sha256,
            "source_fps": end["rate"],
            "source_frames": end["decoded"],
            "width": end["width"],
            "height": end["height"],
            "codec": end["codec"],
            "start": end["start_s"] or None,  # only where the first time stamp is not 0
            "partial": end.get("partial"),
            "vectors_from_copy": end.get("vectors_from_copy"),
        }
        self.rows.commit(**entry)

    def _cast(self, block_TD: Floats) -> npt.NDArray[Any]:
        with np.errstate(over="ignore"):  # what float16 cannot hold becomes infinite: refused
            return block_TD.astype(self._settings.dtype)


def snippet_rows(plan: ClipPlan, j: int, maps_TD: Floats) -> Floats:
    """The snippets of one dense clip: for each the mean of the positions that lie in it.

    Args:
        plan: Of the clips.
        j: Which clip.
        maps_TD: (T', D), one row per time position.

    Returns:
        (hop / s, D). A snippet in which no position has its centre takes the nearest one.
    """
    s = plan.stride
    centres = np.array(positions(plan, j, len(maps_TD)))
    rows = []
    for start in range(j * plan.hop, (j + 1) * plan.hop, s):
        inside = (centres >= start) & (centres < start + s)
        if not inside.any():
            inside = np.arange(len(centres)) == np.abs(centres - (start + s / 2)).argmin()
        rows.append(maps_TD[inside].mean(axis=0))
    return np.stack(rows)


def pending(
    files: Sequence[VideoFile],
    writer: StoreWriter,
    sources: Sources,
    report: ExtractionReport,
    elsewhere: Mapping[str, Mapping[str, object]],
) -> Iterator[tuple[VideoFile, str]]:
    """Videos whose features are missing or whose content has changed, with its SHA-256.

    Args:
        files: All videos.
        writer: Of the store, entered.
        sources: Tells contents.
        report: The others are noted here.
        elsewhere: Entries of videos that need not be done since another store has them.
    """
    for file in files:
        try:
            sha256 = sources.sha256(file.name, file.path)
        except FeatureError as error:
            report.skip(Finding.of(error, file.video))
            continue
        known = writer.entry(file.video) if writer.done(file.video) else elsewhere.get(file.video)
        if known is not None and known.get("sha256") == sha256:
            report.unchanged.append(file.video)
        else:
            yield file, sha256
