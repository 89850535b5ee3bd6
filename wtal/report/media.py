"""The videos of a page: the URL that plays each, its length, and what is wrong with it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wtal.exports.sources import find
from wtal.report.page import media_url
from wtal.report.privacy import without_folders
from wtal_features.extraction.listing import list_videos
from wtal_features.video.cutting import Cutter

NO_FILE = "There is no video file of this name: nothing to play."
NO_ROAD = "The video lies on another drive than the page: nothing to play."


@dataclass(frozen=True)
class Media:
    """What was found.

    Attributes:
        urls: video -> relative URL, seen from the page.
        durations: video -> seconds, as its header says.
        notes: video -> why there is nothing to play.
        faults: video -> the same, of files that are there and cannot be read.
    """

    urls: Mapping[str, str] = field(default_factory=dict)
    durations: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)


def look(
    folder: Path, names: Sequence[str], page: Path, progress: Callable[[int, int], None]
) -> Media:
    """Find the videos of a page in a folder.

    Args:
        folder: searched through.
        names: of the videos.
        page: that will play them.
        progress: told (done, total).

    Raises:
        WtalError: not one of them is there.
        FeatureError: there are no videos in the folder, or PyAV is not installed.
    """
    with Cutter() as cutter:
        found = find(folder, names, cutter, progress)
    urls = {video: media_url(file.path, page.parent) for video, file in found.files.items()}
    listing = list_videos(folder)
    there = {file.video for file in listing.videos} | {fault.where for fault in listing.faults}
    broken = {
        video: why
        for video, why in found.faults.items()
        if unicodedata.normalize("NFC", video) in there
    }
    notes = dict.fromkeys(found.faults, NO_FILE)
    notes |= {video: without_folders(why, [folder]) for video, why in broken.items()}
    notes |= {video: NO_ROAD for video, url in urls.items() if url is None}
    return Media(
        {video: url for video, url in urls.items() if url is not None},
        {v: header.duration_s for v, header in found.headers.items() if header.duration_s},
        notes,
        broken,
    )
