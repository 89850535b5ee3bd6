"""The videos of a folder: who they are, how long, at which rate; each header is read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wtal.errors import WtalError
from wtal.notices import EXAMPLES
from wtal.pipeline.ledger import digest
from wtal.pipeline.telling import Progress
from wtal_features import FeatureError
from wtal_features.errors import counted
from wtal_features.extraction.listing import Listing, VideoFile, list_videos
from wtal_features.extraction.preview import duration
from wtal_features.files import read_json, write_json
from wtal_features.video.container import load_av
from wtal_features.video.cutting import Cutter


@dataclass(frozen=True)
class Clip:
    """One video.

    Attributes:
        file: where it lies.
        stamp: size in bytes and time of change in ns: another content has another one.
        rate: frames per second as the header says; None where it says nothing.
        seconds: length, likewise.
        fault: why its header cannot be read; then extraction will skip it.
    """

    file: VideoFile
    stamp: tuple[int, int]
    rate: float | None
    seconds: float | None
    fault: str | None


@dataclass(frozen=True)
class Footage:
    """All of them.

    Attributes:
        source: folder or file.
        videos: id -> video.
        faults: files that cannot have an id of their own -> why.
        others: number of files that are no videos by their names.
    """

    source: Path
    videos: Mapping[str, Clip]
    faults: Mapping[str, str]
    others: int

    @property
    def key(self) -> str:
        """Changes with every video that comes, goes, moves, or gets another content."""
        clips = self.videos.values()
        names = sorted([c.file.video, c.file.name, *c.stamp] for c in clips)
        return digest(names, sorted(self.faults))

    @property
    def usable(self) -> list[Clip]:
        """Those whose header can be read, by id."""
        return [clip for _, clip in sorted(self.videos.items()) if clip.fault is None]

    @property
    def seconds(self) -> float:
        """Of all together."""
        return sum(clip.seconds or 0.0 for clip in self.usable)

    def remember(self, memory: Path) -> None:
        """Keep what the headers said, for the next run; a file that says the same is left alone."""
        known = {
            clip.file.name: [*clip.stamp, clip.rate, clip.seconds, clip.fault]
            for clip in self.videos.values()
        }
        if _remembered(memory) != known:
            write_json(memory, known)

    def warnings(self) -> list[str]:
        """Files that are left out before anything is decoded; of many the first."""
        found = [f"{name}: {why}" for name, why in self.faults.items()]
        more = len(found) - EXAMPLES
        return found[:EXAMPLES] + ([f"{counted(more, 'more file')} like that."] if more > 0 else [])

    def lines(self) -> list[str]:
        """For a person."""
        lengths = sorted(clip.seconds for clip in self.usable if clip.seconds)
        line = f"{self.source}: {counted(len(self.videos), 'video')}"
        if lengths:
            middle = lengths[len(lengths) // 2]
            line += (
                f", {duration(sum(lengths))} in all; from {duration(lengths[0])} to "
                f"{duration(lengths[-1])}, median {duration(middle)}"
            )
        rates = Counter(f"{clip.rate:.4g}" for clip in self.usable if clip.rate)
        shown = ", ".join(f"{rate} ({count})" for rate, count in rates.most_common(4))
        return [line, f"frames per second: {shown}"] if shown else [line]


def listed(source: Path) -> Listing:
    """The videos by their names, at least one.

    Args:
        source: folder, searched through, or one file.

    Raises:
        FeatureError, WtalError: there are no videos, or PyAV is not installed.
    """
    load_av()  # missing, it would be missed once per video
    listing = list_videos(source)
    if not listing.videos:
        raise WtalError(f"{source} holds no video that can be used. The first: {listing.faults[0]}")
    return listing


def look_over(source: Path, listing: Listing, memory: Path, progress: Progress) -> Footage:
    """Read the headers of the videos that are new or changed.

    Args:
        source: what was listed.
        listing: the videos.
        memory: file that `Footage.remember` wrote; it need not exist.
        progress: told (done, total) headers.
    """
    known = _remembered(memory)
    stamps = {file.name: _stamp(file.path) for file in listing.videos}
    new = [file for file in listing.videos if known.get(file.name, [])[:2] != [*stamps[file.name]]]
    if new:
        read = _headers(new, progress)
        known = {f.name: known.get(f.name, []) for f in listing.videos}
        known |= {name: [*stamps[name], *header] for name, header in read.items()}
    videos = {
        file.video: Clip(file, stamps[file.name], *known[file.name][2:]) for file in listing.videos
    }
    faults = {finding.where: f"{finding.message} {finding.cure}" for finding in listing.faults}
    return Footage(source, videos, faults, len(listing.others))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # a dangling link, or gone since it was listed
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _headers(files: Sequence[VideoFile], progress: Progress) -> dict[str, list[Any]]:
    """Name -> rate, length, fault."""
    found: dict[str, list[Any]] = {}
    with Cutter() as cutter:
        for done, file in enumerate(files, 1):
            try:
                header = cutter.header(str(file.path))
                rate = None if header.rate is None else float(header.rate)
                found[file.name] = [rate, header.duration_s, None]
            except FeatureError as error:
                found[file.name] = [None, None, str(error)]
            progress(done, len(files))
    return found


def _remembered(path: Path) -> dict[str, list[Any]]:
    """What an earlier run kept; nothing where it is damaged: the memory only saves time."""
    try:
        content = read_json(path)
    except FeatureError:
        return {}
    entries = content.items() if isinstance(content, dict) else ()
    return {name: entry for name, entry in entries if isinstance(entry, list) and len(entry) == 5}
