"""Which layout a source is in, and its listing."""

from collections.abc import Callable
from pathlib import Path

from wtal_features.errors import FeatureError
from wtal_features.layouts import Layout, Limits, hdf5, npz, table, wtalc
from wtal_features.layouts.folders import find_suffixes, read_folders
from wtal_features.listing import STREAM_ORDER
from wtal_features.npy import FeatureArray, read_npy

# Suffix of the files of each layout that comes as files per video or as one archive.
_SUFFIXES = {
    "npy": (".npy",),
    "npz": (".npz",),
    "hdf5": (".h5", ".hdf5"),
    "csv": (".csv",),
}
KINDS = (*_SUFFIXES, "wtalc", "wtalc-annotations")
_ARCHIVES: dict[str, Callable[[Path, Limits], Layout]] = {
    "npz": npz.read_archive,
    "hdf5": hdf5.read_file,
}
_READERS: dict[str, Callable[[Path, Limits], dict[str, FeatureArray]]] = {
    "npy": lambda path, _: {"": read_npy(path, double=True)},
    "npz": npz.read_video,
    "hdf5": hdf5.read_video,
    "csv": lambda path, _: table.read_video(path),
}


def checked_kind(kind: str) -> str:
    """A kind the user named.

    Raises:
        FeatureError: If it is not one of `KINDS`.
    """
    if kind not in KINDS:
        raise FeatureError(
            f"The kind {kind!r} is not known; expected one of {', '.join(KINDS)}.", code="layout"
        )
    return kind


def find_kind(source: Path) -> str:
    """Which of `KINDS` a file or folder is.

    Raises:
        FeatureError: If it is missing, or none or several of them.
    """
    if not source.exists():
        raise FeatureError(f"{source} does not exist.", "Check the name.", code="missing")
    if (source / wtalc.NAMES).exists():
        return "wtalc-annotations"
    if source.is_file():
        suffixes = {source.suffix.lower()}
        if suffixes == {".npy"}:
            return "wtalc"
    elif any(source.glob(f"*{wtalc.FEATURES_SUFFIX}")):
        return "wtalc"
    else:
        suffixes = find_suffixes(source)
    kinds = [kind for kind, own in _SUFFIXES.items() if not suffixes.isdisjoint(own)]
    if len(kinds) != 1:
        raise FeatureError(
            f"{source} holds {'files of ' + ' and '.join(kinds) if kinds else 'no features'}; "
            "expected one of .npy, .npz, .h5, .csv, or the layout of W-TALC.",
            "Name the layout with kind." if kinds else "See features/README.md for the layouts.",
            code="layout",
        )
    return kinds[0]


def feature_file(source: Path) -> Path:
    """The one W-TALC feature file in a folder, or the file itself.

    Raises:
        FeatureError: If the folder holds none or several.
    """
    if source.is_file():
        return source
    files = sorted(source.glob(f"*{wtalc.FEATURES_SUFFIX}"))
    if len(files) != 1:
        raise FeatureError(
            f"{source} holds {len(files)} files *{wtalc.FEATURES_SUFFIX}; expected one.",
            "Name the file itself.",
            code="layout",
        )
    return files[0]


def list_source(kind: str, source: Path, annotations: Path | None, limits: Limits) -> Layout:
    """List the videos of a source.

    Args:
        kind: One of `KINDS`, not the annotations alone.
        source: The file or folder.
        annotations: W-TALC's annotation folder, where it was named.
        limits: Bounds for what is unpacked.

    Raises:
        FeatureError: If the source does not have the layout.
    """
    if kind == "wtalc":
        folder = annotations if annotations and annotations.is_dir() else None
        return wtalc.read_features(source, folder or wtalc.find_annotations(source), limits)
    if source.is_file() and kind in _ARCHIVES:
        return _ARCHIVES[kind](source, limits)
    read = _READERS[kind]
    return read_folders(source, _SUFFIXES[kind], lambda path: read(path, limits))


def streams_of(layout: Layout) -> tuple[str, ...]:
    """The streams of a source; where its listing does not tell, those of the first good video."""
    if layout.streams is not None:
        return layout.streams
    for read in layout.videos.values():
        try:
            found = read().keys() - {""}
        except FeatureError:  # reported when its turn comes
            continue
        return tuple(sorted(found, key=lambda name: (STREAM_ORDER.get(name, 2), name)))
    return ()
