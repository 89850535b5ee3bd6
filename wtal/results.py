"""The result file, written video by video, so that memory does not grow with their number."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from wtal import __version__
from wtal.localize import VideoDetections
from wtal_features import FeatureError
from wtal_features.files import atomic_write, write_json

DETECTIONS_FILE = "detections.json"
SKIPPED_FILE = "localize-skipped.json"  # in the run folder; absent where nothing was skipped
# How the lines begin that end the list of videos, and that of their scores.
SCORES, EXTERNAL = b'}, "video_scores": {', b'}, "external_data": '


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
    with atomic_write(path) as file, tempfile.TemporaryFile() as scores:
        file.write(b'{"version": ' + _json(f"wtal {__version__}") + b', "results": {')
        separator = b"\n"
        scores_separator = b"\n"
        for video, detections in found:
            if isinstance(detections, FeatureError):
                skipped[video] = str(detections)
                continue
            _entry(scores, scores_separator, video, detections.class_scores)
            scores_separator = b",\n"
            if detections.skipped:
                continue
            _entry(file, separator, video, detections.as_dicts())
            separator = b",\n"
        file.write(b"\n" + SCORES)
        scores.seek(0)
        while block := scores.read(1 << 20):
            file.write(block)
        file.write(b"\n" + EXTERNAL + _json(dict(details)) + b"}\n")
    return skipped


def write_skipped(path: Path, skipped: Mapping[str, str]) -> None:
    """Write video -> fault, or remove the list of an earlier time."""
    if skipped:
        write_json(path, dict(skipped))
    else:
        path.unlink(missing_ok=True)


def _entry(file: IO[bytes], separator: bytes, video: str, value: object) -> None:
    file.write(separator + _json(video) + b": " + _json(value))


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
