"""Folders of one file per video, for example BaS-Net's `features/{train,test}/{rgb,flow}/*.npy`.

Folder names tell what they hold: subsets (`train`, `test`, ...), `features` and the like, and one
stream. So `features/train/rgb/`, `train/rgb/`, `rgb/`, `train/` and the folder itself all work.
"""

import os
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from wtal_features.errors import FeatureError, Finding
from wtal_features.files import check_name
from wtal_features.layouts import Layout
from wtal_features.listing import STREAM_ORDER, SUBSETS
from wtal_features.npy import FeatureArray

_MAX_DEPTH = 4
# CSV files beside the features that are none.
_OTHERS = frozenset({"tags.csv"})

ReadFile = Callable[[Path], dict[str, FeatureArray]]


def find_suffixes(source: Path) -> set[str]:
    """The suffixes, in lower case, of the files that `read_folders` would look at."""
    return {path.suffix.lower() for path in _walk(source)}


def read_folders(source: Path, suffixes: tuple[str, ...], read: ReadFile) -> Layout:
    """List the files of a tree and sort them by video, stream and subset.

    Args:
        source: The folder.
        suffixes: Which files count.
        read: Reads one file: an array named `""`, or several named by stream.

    Returns:
        The layout. A video that lacks a stream or lies in two subsets is among the faults.

    Raises:
        FeatureError: If there are no such files, or folders that are neither stream nor subset.
    """
    files: dict[str, dict[str, Path]] = {}
    subsets: dict[str, str] = {}
    faults: dict[str, Finding] = {}
    for path in _walk(source):
        if path.suffix.lower() not in suffixes:
            continue
        video = unicodedata.normalize("NFC", path.stem)
        subset, stream = _roles(path, source)
        try:
            check_name(video, ".npy")
            known = files.setdefault(video, {})
            if stream in known or (known and subsets.get(video, "") != subset):
                raise FeatureError(
                    f"The video {video!r} is there twice: {next(iter(known.values()))} and {path}.",
                    "Remove one, or convert the two folders into two stores.",
                    code="twice",
                )
            known[stream] = path
            if subset:
                subsets[video] = subset
        except FeatureError as error:
            faults[video] = Finding.of(error, video)
    streams = _stream_names({stream for known in files.values() for stream in known}, source)
    for video, known in files.items():
        lacking = [stream for stream in streams if stream not in known]
        if lacking and video not in faults:
            faults[video] = Finding(
                "no-partner",
                video,
                f"No file for the stream {', '.join(lacking)}; "
                f"the other is {next(iter(known.values()))}.",
                "Extract the missing stream.",
            )
    good = {video: known for video, known in files.items() if video not in faults}
    return Layout(
        streams=streams or None,
        videos={video: _reader(known, read) for video, known in good.items()},
        subsets=subsets,
        faults=tuple(faults.values()),
    )


def _reader(paths: dict[str, Path], read: ReadFile) -> Callable[[], dict[str, FeatureArray]]:
    """Reads all the files of one video."""

    def arrays() -> dict[str, FeatureArray]:
        if set(paths) == {""}:
            return read(paths[""])
        return {stream: _only(read(path), path) for stream, path in paths.items()}

    return arrays


def _only(arrays: dict[str, FeatureArray], path: Path) -> FeatureArray:
    if set(arrays) != {""}:
        raise FeatureError(
            f"{path} holds the streams {sorted(arrays)}, but its folder is a stream already.",
            "Keep streams in folders or in files, not both.",
            code="layout",
        )
    return arrays[""]


def _walk(source: Path) -> Iterator[Path]:
    """Files of a tree in order of name; hidden ones and what is deeper than 4 are left out."""
    for folder, folders, names in os.walk(source):
        depth = len(Path(folder).relative_to(source).parts)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        if depth == _MAX_DEPTH:
            folders.clear()
        for name in sorted(names):
            if not name.startswith(".") and name not in _OTHERS:
                yield Path(folder, name)


def _roles(path: Path, source: Path) -> tuple[str, str]:
    """Subset and stream of a file, from the folders between it and the source."""
    subset = stream = ""
    for part in path.relative_to(source).parts[:-1]:
        name = part.lower()
        if name in SUBSETS and not subset:
            subset = name
        elif "feature" in name:
            continue
        elif not stream:
            stream = part
        else:
            raise FeatureError(
                f"{path} lies in {stream!r} and {part!r}; expected one folder per stream, "
                "with or without train and test.",
                "Convert the folders one at a time.",
                code="layout",
            )
    return subset, stream


def _stream_names(found: set[str], source: Path) -> tuple[str, ...]:
    if not found:
        raise FeatureError(
            f"{source} holds no files of features.",
            "See features/README.md for the layouts that are known.",
            code="layout",
        )
    if "" in found and len(found) > 1:
        raise FeatureError(
            f"{source} holds files of features beside folders of them "
            f"({', '.join(sorted(found - {''}))}).",
            "Convert the folders one at a time.",
            code="layout",
        )
    return tuple(sorted(found - {""}, key=lambda name: (STREAM_ORDER.get(name, 2), name)))
