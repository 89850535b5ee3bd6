"""The videos of the detections: their files, rates and lengths, or why they cannot be used."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wtal.errors import WtalError
from wtal_features import FeatureError
from wtal_features.extraction.listing import VideoFile, list_videos
from wtal_features.video.container import load_av
from wtal_features.video.cutting import Cutter, Header


@dataclass(frozen=True)
class Found:
    """What a folder has of the videos.

    Attributes:
        files: Video -> its file.
        headers: Video -> rate and length.
        faults: Video -> what is wrong with its file, or that there is none.
    """

    files: Mapping[str, VideoFile]
    headers: Mapping[str, Header]
    faults: Mapping[str, str]


def find(
    folder: Path, wanted: Sequence[str], cutter: Cutter, progress: Callable[[int, int], None]
) -> Found:
    """Look for videos by their names and read the headers of those that are there.

    Args:
        folder: Searched through.
        wanted: Ids, as the detections have them.
        cutter: Opens the files, in a process of its own.
        progress: Told (done, total).

    Raises:
        WtalError: Not one of them is there.
        FeatureError: There are no videos in the folder, or PyAV is not installed.
    """
    load_av()  # missing, it would be missed once per video
    listing = list_videos(folder)
    by_id = {file.video: file for file in listing.videos}
    twice = {fault.where: f"{fault.message} {fault.cure}" for fault in listing.faults}
    files: dict[str, VideoFile] = {}
    headers: dict[str, Header] = {}
    faults: dict[str, str] = {}
    for done, video in enumerate(wanted, 1):
        # Ids of files are in NFC, as people type them.
        name = unicodedata.normalize("NFC", video)
        if name in by_id:
            try:
                headers[video] = cutter.header(str(by_id[name].path))
                files[video] = by_id[name]
            except FeatureError as error:
                faults[video] = str(error)
        else:
            faults[video] = twice.get(name, f"There is no video of this name in {folder}.")
        progress(done, len(wanted))
    if wanted and not any(unicodedata.normalize("NFC", video) in by_id for video in wanted):
        theirs = f"; that has names like {min(by_id)!r}" if by_id else ""
        raise WtalError(
            f"No video of the detections is in {folder}{theirs}, the detections like "
            f"{min(wanted)!r}. Compare prefixes and suffixes; rename one side."
        )
    return Found(files, headers, faults)
