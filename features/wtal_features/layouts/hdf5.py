"""HDF5 files: a dataset or a group per video, or a file per video."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from wtal_features.errors import FeatureError
from wtal_features.layouts import Layout, Limits, named_in
from wtal_features.layouts.npz import choose
from wtal_features.npy import FeatureArray, NpyHeader, check_float, check_shape, open_regular


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Open a file; what h5py raises about it becomes a FeatureError."""
    try:
        import h5py
    except ImportError as error:
        raise FeatureError(
            "Reading HDF5 needs h5py, which is not installed.",
            "Install it: pip install 'wtal[hdf5]'.",
            code="no-h5py",
        ) from error
    open_regular(path).close()
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FeatureError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise FeatureError(
            f"{path} cannot be read as HDF5: {error}.", "Write it again.", code="damaged"
        ) from error


def _names(group: Any) -> list[str]:
    return sorted(group.keys())


def _item(group: Any, name: str, path: Path) -> Any:
    """A member of a group; a link is refused, for it may lead to any file of the machine."""
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise FeatureError(
            f"{named_in(path, name)} is a link to somewhere else.",
            "Copy the data into the file (h5repack).",
            code="link",
        )
    return group[name]


def _read(dataset: Any, where: str, limits: Limits) -> FeatureArray:
    """One dataset, checked before it is read."""
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise FeatureError(f"{where} is a group; expected an array (T, D).", code="layout")
    if dataset.external or dataset.is_virtual:
        raise FeatureError(
            f"{where} keeps its values in another file.",
            "Copy the data into the file (h5repack).",
            code="link",
        )
    header = NpyHeader(dataset.shape or (), dataset.dtype, False, 0)
    check_float(header, where, double=True)
    check_shape(header.shape, where)
    limits.check(header.data_bytes, where)
    array: FeatureArray = dataset[()]
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def read_file(path: Path, limits: Limits) -> Layout:
    """A file with a dataset per video, or a group per video that holds its features.

    Raises:
        FeatureError: If the file is no HDF5 or is empty, or h5py is not installed.
    """
    with _open(path) as file:
        names = _names(file)
    if not names:
        raise FeatureError(f"{path} holds no arrays.", code="empty")
    return Layout(
        streams=None,
        videos={
            video: lambda video=video: _read_video(path, video, limits)  # type: ignore[misc]
            for video in names
        },
        subsets={},
    )


def _is_group(file: Any, name: str) -> bool:
    import h5py

    hard = isinstance(file.get(name, getlink=True), h5py.HardLink)
    return hard and file.get(name, getclass=True) is h5py.Group


def _read_video(path: Path, video: str, limits: Limits) -> dict[str, FeatureArray]:
    """The arrays of one member of a file."""
    with _open(path) as file:
        item = _item(file, video, path)
        if not _is_group(file, video):
            return {"": _read(item, named_in(path, video), limits)}
        return _read_group(item, path, limits)


def _read_group(group: Any, path: Path, limits: Limits) -> dict[str, FeatureArray]:
    chosen = choose(_names(group), named_in(path, group.name))
    return {
        stream: _read(_item(group, name, path), named_in(path, name), limits)
        for stream, name in chosen.items()
    }


def read_video(path: Path, limits: Limits) -> dict[str, FeatureArray]:
    """The arrays of one video's own file.

    Raises:
        FeatureError: If it holds several arrays that are no streams.
    """
    with _open(path) as file:
        return _read_group(file, path, limits)
