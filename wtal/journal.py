"""What a share of `wtal localize` has found: a line for each video, as soon as it is known.

The lines come in the order of the videos. So a share that was stopped goes on behind its last whole
line, without an index in memory; a video whose features have changed meanwhile ends the part that
counts. Nothing is synchronised to the disk before the end: a line that a power cut spoiled is none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from wtal.localize import VideoDetections
from wtal.results import Entry, entry_of
from wtal_features import FeatureError, FeatureStore
from wtal_features.files import no_follow

JOURNAL = "videos.jsonl"


@dataclass(frozen=True)
class Line:
    """One video.

    Attributes:
        video: The id.
        source: What its features were: see `source_of`.
        entry: What was found; None of a video that cannot be read.
        fault: Why it cannot.
    """

    video: str
    source: str
    entry: Entry | None
    fault: str = ""


def source_of(store: FeatureStore, video: str) -> str:
    """Time base, sizes and times of change of a video's features: if they stay, so do these."""
    try:
        told: list[object] = [store.timing(video).seconds_per_snippet]
        files = store.files(video)
        for path in files.values():
            status = path.stat()
            told.append([status.st_size, status.st_mtime_ns])
        if not files:  # of a packed store: by its checksum
            told.append(store.stored(video))
    except (FeatureError, OSError) as error:
        return type(error).__name__
    return json.dumps(told)


class Journal:
    """Appends lines; a context manager. The folder must be locked."""

    def __init__(self, path: Path, work: str) -> None:
        """Name the file.

        Args:
            path: JSON lines; need not exist.
            work: Digest of all that decides the answers besides the features.
        """
        self._path, self._head = path, _bytes({"work": work})
        self._file: IO[bytes] | None = None
        self.faults: dict[str, str] = {}  # of the videos that cannot be read

    def __enter__(self) -> Self:
        """Open the file, or begin it anew where it is of another work."""
        self._file = os.fdopen(no_follow(str(self._path), os.O_RDWR | os.O_CREAT), "r+b")
        if self._file.readline() != self._head:
            self._cut(0)
            self._file.write(self._head)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def take_up(self, store: FeatureStore, videos: Sequence[str]) -> int:
        """How many of the first videos are done and still as they were; what follows is cut off."""
        assert self._file is not None
        for done, video in enumerate(videos):
            start = self._file.tell()
            line = _read(self._file.readline())
            if line is None or (line.video, line.source) != (video, source_of(store, video)):
                self._cut(start)
                return done
            if line.entry is None:
                self.faults[video] = line.fault
        self._cut(self._file.tell())
        return len(videos)

    def add(self, video: str, source: str, found: VideoDetections | FeatureError) -> None:
        """Write a line."""
        assert self._file is not None
        record: dict[str, object] = {"video": video, "source": source}
        if isinstance(found, FeatureError):
            self.faults[video] = record["fault"] = str(found)
        else:
            record["class_scores"] = found.class_scores
            record["detections"] = None if found.skipped else found.as_dicts()
        self._file.write(_bytes(record))
        self._file.flush()

    def finish(self) -> None:
        """Say that all videos are there, and make the bytes reach the disk."""
        assert self._file is not None
        self._file.write(_bytes({"end": True}))
        self._file.flush()
        os.fsync(self._file.fileno())

    def _cut(self, at: int) -> None:
        assert self._file is not None
        self._file.seek(at)
        self._file.truncate()


def read_lines(path: Path) -> Iterator[Line]:
    """The whole lines of a journal that may be growing."""
    with path.open("rb") as file:
        file.readline()
        while (line := _read(file.readline())) is not None:
            yield line


def work_in(path: Path) -> str:
    """The work that a journal is of; empty if it is no journal."""
    with path.open("rb") as file:
        found = _parsed(file.readline())
    return str(found.get("work", ""))


def is_finished(path: Path) -> bool:
    """Whether the share has come to its end: the last line says so."""
    try:
        with path.open("rb") as file:
            end = _bytes({"end": True})
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - len(end)))
            return file.read() == end
    except FileNotFoundError:
        return False


def _bytes(record: dict[str, object]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data) if data.endswith(b"\n") else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def _read(data: bytes) -> Line | None:
    """One line; None if it is cut short, spoiled, or the end."""
    found = _parsed(data)
    if "fault" in found:
        return Line(found["video"], found["source"], None, found["fault"])
    if "class_scores" not in found:
        return None
    entry = entry_of(found["video"], found["class_scores"], found["detections"])
    return Line(found["video"], found["source"], entry)
