"""Where the arrays of a store lie: in the folder itself, or in one sub-folder per stream."""

import unicodedata
from collections.abc import Sequence
from os import scandir
from pathlib import Path

from wtal_features.errors import FeatureError, Finding
from wtal_features.files import check_name
from wtal_features.manifest import MANIFEST

SUFFIX = ".npy"
# Folders of this name are parts of a data set, not streams of one video.
SUBSETS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
STREAM_ORDER = {"rgb": 0, "flow": 1}


def find_folders(root: Path, streams: Sequence[str]) -> dict[str, Path]:
    """Stream name -> folder; the name is empty when the arrays lie in one folder.

    Args:
        root: The store; a folder with a manifest may keep its arrays in `features/`.
        streams: The sub-folders to use; none means those found, `rgb` before `flow`.

    Raises:
        FeatureError: If there are no arrays, a named stream is missing, or both forms are there.
    """
    arrays = root
    nested = root / "features"
    if not has_arrays(root) and nested.is_dir() and (root / MANIFEST).exists():
        arrays = nested
    if streams:
        return {name: _stream_folder(arrays, name) for name in streams}
    folders = sorted(
        (Path(e.path) for e in scandir(arrays) if not e.name.startswith(".") and e.is_dir()),
        key=lambda folder: (STREAM_ORDER.get(folder.name, 2), folder.name),
    )
    found = {folder.name: folder for folder in folders if has_arrays(folder)}
    flat = has_arrays(arrays)
    if flat and found:
        raise FeatureError(
            f"{arrays} holds arrays and folders of arrays ({', '.join(found)}).",
            "Name the streams to use, or move one of the two away.",
            code="layout",
        )
    if flat:
        return {"": arrays}
    if not found or SUBSETS & found.keys() or SUBSETS & {folder.name for folder in folders}:
        raise _no_store(arrays, [folder.name for folder in folders])
    return found


def _stream_folder(root: Path, name: str) -> Path:
    check_name(name)
    folder = root / name
    if not folder.is_dir():
        raise FeatureError(
            f"{root} has no stream {name!r}: the folder {folder} does not exist.",
            "Check the name of the stream.",
            code="no-stream",
        )
    return folder


def _no_store(root: Path, folders: list[str]) -> FeatureError:
    """Why a folder without arrays of its own is refused, with the cure that fits."""
    if SUBSETS & set(folders) or "features" in folders:
        cure = "It looks like the BaS-Net layout; wtal convert makes a store of it."
    elif (root.parent / MANIFEST).exists():
        cure = f"Its parent has a {MANIFEST}; open that."
    else:
        cure = "See features/README.md for the layout."
    return FeatureError(
        f"{root} holds no arrays; expected <video>.npy, or folders of them such as rgb/ and flow/.",
        cure,
        code="layout",
    )


def has_arrays(folder: Path) -> bool:
    """Whether a folder directly holds an array; stops at the first."""
    with scandir(folder) as entries:
        return any(e.name.endswith(SUFFIX) and not e.name.startswith(".") for e in entries)


def scan(folder: Path) -> tuple[dict[str, str], list[Finding]]:
    """List the arrays of a folder without touching them.

    Returns:
        File name of every video id (they differ where the name is not in NFC), and the names
        that are refused.
    """
    files: dict[str, str] = {}
    faults = []
    with scandir(folder) as entries:
        names = sorted(
            e.name for e in entries if e.name.endswith(SUFFIX) and not e.name.startswith(".")
        )
    for name in names:
        # macOS hands out names in NFD; ids are in NFC, as people type them.
        video = unicodedata.normalize("NFC", name.removesuffix(SUFFIX))
        try:
            check_name(video, SUFFIX)
            if video in files:
                raise FeatureError(
                    f"{folder} holds two files for {video!r}, in two Unicode forms.",
                    "Delete one.",
                    code="name",
                )
            files[video] = name
        except FeatureError as error:
            faults.append(Finding.of(error, name))
    return files, faults
