"""An extraction that was begun and is not finished: what is done, skipped and missing, by name.

While a run or a share is at work, two hidden files tell what no array does: where the videos lie,
and which were skipped so far. They go when it has come to its end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wtal_features.errors import FeatureError, Finding
from wtal_features.extraction.joining import SHARDS, folder_of
from wtal_features.extraction.listing import list_videos
from wtal_features.extraction.report import ExtractionReport, read_skipped
from wtal_features.files import no_follow, read_json, write_failed, write_json
from wtal_features.manifest import MANIFEST
from wtal_features.shards import Shard, begun, shards_of
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


@dataclass
class UnderWay:
    """What there is of an unfinished store.

    Attributes:
        store: The folder.
        shards: Of the division, if it is shared out; in order.
        finished: Those that came to their end.
        begun: Those that are at work or were stopped.
        done: Videos with features.
        skipped: Videos that were tried, and why they have none.
        missing: Videos that are neither, and the shard that each belongs to; None where the
            folder of the videos cannot be seen from here.
    """

    store: Path
    shards: list[Shard] = field(default_factory=list)
    finished: list[Shard] = field(default_factory=list)
    begun: list[Shard] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    missing: dict[str, Shard | None] | None = None

    def facts(self) -> list[str]:
        """For a person, one line each."""
        missing = "an unknown number" if self.missing is None else str(len(self.missing))
        counts = (
            f"{self.store} is not finished: {len(self.done)} videos done, {len(self.skipped)} "
            f"skipped, {missing} missing"
        )
        if not self.shards:
            return [counts]
        states = {shard: "not begun" for shard in self.shards}
        states |= dict.fromkeys(self.begun, "at work or stopped")
        states |= dict.fromkeys(self.finished, "done")
        parts = [f"{len(self.finished)} of {len(self.shards)} shards done"]
        for state in ("at work or stopped", "not begun"):
            names = [shard.word for shard, found in states.items() if found == state]
            if names:
                parts.append(f"{state}: {' '.join(names[:20])}{' ...' if names[20:] else ''}")
        return [counts, "; ".join(parts)]

    def findings(self) -> list[Finding]:
        """What is skipped and what is missing, by name, each with its cure."""
        found = [
            Finding("skipped", video, why, severity="warning")
            for video, why in sorted(self.skipped.items())
        ]
        if self.missing is None:
            text = "The folder of the videos cannot be seen from here: what is missing is unknown."
            cure = "Run doctor where the extraction runs."
            found.append(Finding("unfinished", str(self.store), text, cure))
        elif not self.missing:
            text = "Every video is done or skipped, and the last step is not."
            found.append(Finding("unfinished", str(self.store), text, f"Run {self._any()} again."))
        for video, shard in (self.missing or {}).items():
            cure = "Run the same command again." if shard is None else f"Run --shard {shard.word}."
            found.append(Finding("not-extracted", video, "Its features are missing.", cure))
        return found

    def _any(self) -> str:
        return f"--shard {self.shards[-1].word}" if self.shards else "the same command"


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
    found = UnderWay(whole)
    _add(found, whole)
    if shards:
        # Where somebody began with two divisions, the one that has most of it.
        counts = [shard.count for shard in shards]
        found.shards = shards_of(max(set(counts), key=lambda count: (counts.count(count), count)))
    for shard in shards:
        folder = folder_of(whole, shard)
        finished = (folder / MANIFEST).exists() and not (folder / JOURNAL).exists()
        if shard.count == len(found.shards):
            (found.finished if finished else found.begun).append(shard)
        _add(found, folder)
    found.skipped = {v: why for v, why in found.skipped.items() if v not in found.done}
    found.missing = _missing(found, _source(whole / SHARDS if shards else whole, whole))
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
    """Whole lines of a file that may be growing."""
    if not path.exists():
        return
    with path.open("rb") as handle:
        for line in handle:
            if not line.endswith(b"\n"):
                return
            try:
                record = json.loads(line)
            except ValueError as error:
                raise FeatureError(
                    f"{path} is damaged: {line[:80]!r}.", "Extract again.", code="journal"
                ) from error
            if isinstance(record, dict):
                yield record


def _missing(found: UnderWay, source: Path) -> dict[str, Shard | None] | None:
    """Videos of the folder that are neither done nor skipped."""
    try:
        record = read_json(source)
        videos = list_videos(str(record["videos"])).videos if isinstance(record, dict) else ()
    except (FeatureError, KeyError):
        return None
    names = [file.video for file in videos]
    parts = [(shard, shard.of(names)) for shard in found.shards] or [(None, names)]
    known = found.done | found.skipped.keys()
    return {video: shard for shard, part in parts for video in part if video not in known}


def skipped_of(store: Path) -> list[Finding]:
    """What the extraction of a finished store left out, and why."""
    return [
        Finding("skipped", video, why, severity="warning")
        for video, why in read_skipped(store).items()
    ]
