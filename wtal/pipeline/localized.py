"""The memory of `localize`: what was found in each video, a line as soon as it is known.

A run that is killed loses the video at hand; a later one asks the model only about videos that are
new, or whose features, tags or model changed.

Shapes: N detections of a video.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

import numpy as np

from wtal.errors import WtalError
from wtal.localize import VideoDetections
from wtal_features.files import atomic_write, no_follow


class _Line(NamedTuple):
    """Where the last word on a video stands."""

    key: str
    offset: int
    length: int


class Localized:
    """The file; a context manager."""

    def __init__(self, path: Path) -> None:
        """Read what is known.

        Args:
            path: JSON lines; need not exist. A line that a kill cut short is dropped.
        """
        self._path = path
        self._lines: dict[str, _Line] = {}
        self._file: IO[bytes] | None = None
        self._end = 0
        if path.exists():
            with path.open("rb") as file:
                self._scan(file)

    def __enter__(self) -> Self:
        """Begin to write after the last whole line."""
        self._file = open(self._path, "a+b", opener=no_follow)
        self._file.truncate(self._end)
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

    def has(self, video: str, key: str) -> bool:
        """Whether the answer is known."""
        return video in self._lines and self._lines[video].key == key

    def get(self, video: str) -> VideoDetections:
        """The answer that `has` promised.

        Raises:
            WtalError: the line was damaged.
        """
        assert self._file is not None
        line = self._lines[video]
        self._file.seek(line.offset)
        _, _, value = json.loads(self._file.read(line.length))
        try:
            return _read(value)
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            raise WtalError(
                f"{self._path} is damaged where it tells of {video!r}; remove it, and the videos "
                "are localized anew."
            ) from error

    def put(self, video: str, key: str, found: VideoDetections) -> None:
        """Remember an answer."""
        assert self._file is not None
        text = json.dumps([video, key, _written(found)], ensure_ascii=False) + "\n"
        data = text.encode("utf-8", "backslashreplace")
        self._file.seek(0, 2)
        self._file.write(data)
        self._file.flush()
        self._lines[video] = _Line(key, self._end, len(data))
        self._end += len(data)

    def forget_others(self, videos: Iterable[str]) -> None:
        """Drop answers about videos that are gone, and old ones, where those are most of it."""
        assert self._file is not None
        kept = {video: self._lines[video] for video in videos if video in self._lines}
        if sum(line.length for line in kept.values()) * 2 > self._end:
            return
        with atomic_write(self._path) as whole:
            for line in kept.values():
                self._file.seek(line.offset)
                whole.write(self._file.read(line.length))

    def _scan(self, file: IO[bytes]) -> None:
        for data in file:
            try:
                video, key, _ = json.loads(data)
            except (ValueError, TypeError, RecursionError):  # cut short, or not ours
                break
            if not data.endswith(b"\n"):
                break
            self._lines[str(video)] = _Line(str(key), self._end, len(data))
            self._end += len(data)


def _written(found: VideoDetections) -> dict[str, Any]:
    return {
        "found": found.as_dicts(),
        "class_scores": found.class_scores,
        "skipped": found.skipped,
    }


def _read(value: dict[str, Any]) -> VideoDetections:
    rows = value["found"]
    return VideoDetections(
        labels=tuple(row["label"] for row in rows),
        starts_N=np.array([row["segment"][0] for row in rows], np.float64),
        ends_N=np.array([row["segment"][1] for row in rows], np.float64),
        scores_N=np.array([row["score"] for row in rows], np.float64),
        class_scores=value["class_scores"],
        skipped=value["skipped"],
    )
