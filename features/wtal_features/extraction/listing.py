"""The videos of a folder, each under the id that its features will have."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Never

from wtal_features.errors import FeatureError, Finding
from wtal_features.files import check_name
from wtal_features.listing import SUBSETS, SUFFIX

# What recordings are called. A file of another name is not looked into, but counted and said.
EXTENSIONS = frozenset(
    f".{ending}"
    for ending in (
        *("3g2", "3gp", "asf", "avi", "dv", "flv", "gif", "h264", "hevc", "ivf", "m2t", "m2ts"),
        *("m4a", "m4v", "mjpeg", "mjpg", "mka", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "mxf"),
        *("nut", "ogg", "ogv", "rm", "rmvb", "ts", "vob", "webm", "wmv"),
    )
)
# Of a web address; a `Path` has lost one of its two strokes. One letter is a drive of Windows.
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]+:/")


@dataclass(frozen=True)
class VideoFile:
    """One file.

    Attributes:
        video: The id: the file's name without its ending, in Unicode form NFC.
        path: Where it lies.
        name: Its path below the folder, with `/`.
        subset: The folder it lies in, where that has the name of a subset.
    """

    video: str
    path: Path
    name: str
    subset: str | None


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Attributes:
        videos: Sorted by id.
        faults: Files that cannot have an id of their own.
        others: Names of files that are no recordings by their ending.
    """

    videos: tuple[VideoFile, ...]
    faults: tuple[Finding, ...]
    others: tuple[str, ...]


def list_videos(source: str | Path) -> Listing:
    """List the recordings below a folder, or one file.

    Args:
        source: A folder, searched through, or a file. Names that start with a dot are left out.

    Raises:
        FeatureError: If there is no such folder, no recording in it, or a folder in it cannot be
            listed.
    """
    root = Path(source)
    if not os.path.exists(root):
        hint = " Videos are read from local files only." if _ADDRESS.match(str(source)) else ""
        raise FeatureError(
            f"{root} does not exist; expected a folder of videos.{hint}",
            "Check the name.",
            code="missing",
        )
    alone = not root.is_dir()
    listing = _listing([root], root.parent) if alone else _listing(_walk(root), root)
    if not listing.videos and not listing.faults:
        found = f"; it holds {some(listing.others)}" if listing.others and not alone else ""
        raise FeatureError(
            f"{root} {'is' if alone else 'holds'} no video by its name{found}.",
            f"Expected files such as kitchen_1.mp4; known endings: {' '.join(sorted(EXTENSIONS))}.",
            code="no-videos",
        )
    return listing


def some(names: Sequence[str]) -> str:
    """The first names of a list, safe to print: a file's name may hold anything."""
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")


def _walk(root: Path) -> Iterator[Path]:
    """Every file, folder by folder, in the order of the names; links are followed once."""
    seen = set()
    for folder, folders, files in os.walk(root, onerror=_refuse, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder above would have no end
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(folder, name)


def _refuse(error: OSError) -> Never:
    """A folder that cannot be listed is no empty folder."""
    raise FeatureError(
        f"{error.filename} cannot be listed: {error.strerror}.",
        "Make it readable, or move it away.",
        code="unreadable",
    ) from error


def _listing(paths: Iterable[Path], root: Path) -> Listing:
    by_id: dict[str, list[VideoFile]] = {}
    faults, others = [], []
    for path in paths:
        name = path.relative_to(root).as_posix()
        if path.suffix.lower() not in EXTENSIONS:
            others.append(name)
            continue
        # macOS hands out names in NFD; ids are in NFC, as people type them.
        video = unicodedata.normalize("NFC", path.stem)
        try:
            check_name(video, SUFFIX)
        except FeatureError as error:
            faults.append(Finding.of(error, name))
            continue
        subset = path.parent.name if path.parent.name.lower() in SUBSETS else None
        by_id.setdefault(video, []).append(VideoFile(video, path, name, subset))
    faults += [_twice(same) for same in by_id.values() if len(same) > 1]
    videos = [same[0] for same in by_id.values() if len(same) == 1]
    return Listing(tuple(sorted(videos, key=lambda v: v.video)), tuple(faults), tuple(others))


def _twice(same: list[VideoFile]) -> Finding:
    names = some([file.name for file in same])
    return Finding(
        "twice",
        same[0].video,
        f"{len(same)} files have this name, and none of them is used: {names}.",
        "Rename all but one; a video is called like its file without the ending.",
    )
