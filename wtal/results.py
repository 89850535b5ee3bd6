"""The result file, written video by video, so that memory does not grow with their number."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from wtal import __version__
from wtal.localize import VideoDetections
from wtal_features import FeatureError
from wtal_features.files import atomic_write, write_json

# Beside `runs.DETECTIONS_FILE`; absent where nothing was skipped.
SKIPPED_FILE = "localize-skipped.json"


class Entry(NamedTuple):
    """What the file says of one video, as JSON."""

    video: str
    class_scores: bytes
    detections: bytes | None  # None: no entry among the results, see compat.skip_unsure_videos


def entry_of(
    video: str, class_scores: Mapping[str, float], detections: Sequence[Mapping[str, object]] | None
) -> Entry:
    """Scores and detections of a video, as they are written."""
    return Entry(video, _json(class_scores), None if detections is None else _json(detections))


def write_results(
    path: Path,
    found: Iterable[tuple[str, VideoDetections | FeatureError]],
    details: Mapping[str, object],
) -> dict[str, str]:
    """Write an ActivityNet result JSON with the video-level scores of every class.

    Args:
        path: the file; it appears whole or not at all.
        found: videos with their detections, or with the fault that kept them from being read.
        details: goes to `external_data`: model, features.

    Returns:
        Video -> fault of the videos that were left out.
    """
    skipped: dict[str, str] = {}

    def entries() -> Iterator[Entry]:
        for video, detections in found:
            if isinstance(detections, FeatureError):
                skipped[video] = str(detections)
            else:
                rows = None if detections.skipped else detections.as_dicts()
                yield entry_of(video, detections.class_scores, rows)

    write_entries(path, entries(), details)
    return skipped


def write_entries(path: Path, entries: Iterable[Entry], details: Mapping[str, object]) -> None:
    """Write the file from JSON that is there already; as `write_results`."""
    with atomic_write(path) as file, tempfile.TemporaryFile(dir=path.parent) as scores:
        file.write(b'{"version": ' + _json(f"wtal {__version__}") + b', "results": {')
        separator = b"\n"
        scores_separator = b"\n"
        for video, class_scores, detections in entries:
            _entry(scores, scores_separator, video, class_scores)
            scores_separator = b",\n"
            if detections is None:
                continue
            _entry(file, separator, video, detections)
            separator = b",\n"
        file.write(b'\n}, "video_scores": {')
        scores.seek(0)
        while block := scores.read(1 << 20):
            file.write(block)
        file.write(b'\n}, "external_data": ' + _json(dict(details)) + b"}\n")


def write_skipped(path: Path, skipped: Mapping[str, str]) -> None:
    """Write video -> fault, or remove the list of an earlier time."""
    if skipped:
        write_json(path, dict(skipped))
    else:
        path.unlink(missing_ok=True)


def _entry(file: IO[bytes], separator: bytes, video: str, value: bytes) -> None:
    file.write(separator + _json(video) + b": " + value)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
