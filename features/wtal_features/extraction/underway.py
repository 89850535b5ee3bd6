"""An extraction that was begun and is not finished: what is done, skipped and missing, by name.

While a run or a share is at work, two hidden files tell what no array does: where the videos lie,
and which were skipped so far. They go when it has come to its end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wtal_features.errors import FeatureError, Finding
from wtal_features.extraction.joining import SHARDS, folder_of
from wtal_features.extraction.listing import list_videos
from wtal_features.extraction.report import ExtractionReport, read_skipped
from wtal_features.files import no_follow, read_json, write_failed, write_json
from wtal_features.jobs.underway import UnderWay
from wtal_features.manifest import MANIFEST
from wtal_features.shards import begun
from wtal_features.writer import JOURNAL, read_head

_SOURCE = ".videos.json"
_SKIPPED_SO_FAR = ".skipped.partial.jsonl"


@contextmanager
def on_record(
    folder: Path, whole: Path, videos: str | Path, report: ExtractionReport
) -> Iterator[None]:
    """Keep the two files while the block lasts; where it is left by an exception they stay.

    Args:
        folder: Of the run or the share, locked.
        whole: Of the store, which is `folder` where nothing is shared out.
        videos: What is extracted.
        report: What it skips from now on goes to disk at once.
    """
    source = _source(folder, whole)
    write_json(source, {"videos": str(Path(videos).absolute())})
    path = folder / _SKIPPED_SO_FAR
    try:
        handle = open(path, "wb", opener=no_follow)  # noqa: SIM115 (closed by the `with` below)
    except OSError as error:
        write_failed(path, error)
    with handle:
        report.as_it_comes = handle
        known, report.skipped = report.skipped, []
        for finding in known:
            report.skip(finding)
        yield
        report.as_it_comes = None
    path.unlink()
    if folder == whole:
        source.unlink()


def _source(folder: Path, whole: Path) -> Path:
    return whole / _SOURCE if folder == whole else whole / SHARDS / _SOURCE


def under_way(store: str | Path) -> UnderWay | None:
    """Look at a store that may not be finished; None where nothing unfinished is there.

    Args:
        store: A folder.

    Raises:
        FeatureError: If one of our files in it is damaged.
    """
    whole = Path(store)
    shards = begun(whole / SHARDS)
    if not shards and not (whole / JOURNAL).exists():
        return None
    found = UnderWay(whole, "features")
    _add(found, whole)
    for shard in shards:
        folder = folder_of(whole, shard)
        finished = (folder / MANIFEST).exists() and not (folder / JOURNAL).exists()
        found.add(shard, finished=finished)
        _add(found, folder)
    found.settle(_videos(_source(whole / SHARDS if shards else whole, whole)))
    return found


def _add(found: UnderWay, folder: Path) -> None:
    """What one folder has: its manifest, its journal, what it skipped."""
    if (folder / MANIFEST).exists():
        found.done.update(read_head(folder / MANIFEST)["videos"])
    found.done.update(r["video"] for r in _lines(folder / JOURNAL) if "video" in r)
    found.skipped |= read_skipped(folder)
    for line in _lines(folder / _SKIPPED_SO_FAR):
        found.skipped |= line


def _lines(path: Path) -> Iterator[dict[str, str]]:
    """Whole lines of a file that may be growing; one that is spoiled ends it, as for a writer."""
    if not path.exists():
        return
    with path.open("rb") as handle:
        for line in handle:
            try:
                record = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                record = None
            if not isinstance(record, dict):
                return
            yield record


def _videos(source: Path) -> list[str] | None:
    """All videos there are; None where their folder is not to be seen from here."""
    try:
        record = read_json(source)
        folder = record.get("videos") if isinstance(record, dict) else None
        return None if folder is None else [file.video for file in list_videos(str(folder)).videos]
    except FeatureError:
        return None


def skipped_of(store: Path) -> list[Finding]:
    """What the extraction of a finished store left out, and why."""
    return [
        Finding("skipped", video, why, severity="warning")
        for video, why in read_skipped(store).items()
    ]
