"""NPZ archives: one with an array per video, or one per video."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from wtal_features.errors import FeatureError
from wtal_features.layouts import Layout, Limits, named_in
from wtal_features.npy import (
    FeatureArray,
    check_float,
    check_shape,
    check_size,
    open_regular,
    read_header,
    shaped,
)

# ReLU features deflate to a tenth; deflate itself ends at about 1:1030.
_MAX_RATIO = 200
_RATIO_FLOOR_BYTES = 1 << 26


# What the standard reader raises over damaged archives, besides an error of its own: packings and
# versions that it does not know, encryption, sizes that are none.
UNREADABLE = (
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The arrays of an archive by name, without `.npy`.

    Raises:
        FeatureError: If it is no archive, or would unpack to far more than it is.
    """
    with open_regular(path) as handle:
        try:
            with zipfile.ZipFile(handle) as archive:
                infos = archive.infolist()
        except UNREADABLE as error:
            raise FeatureError(
                f"{path} is no NPZ archive: {error}.", "Write it again.", code="not-npz"
            ) from error
    total = sum(info.file_size for info in infos)
    if total > max(_RATIO_FLOOR_BYTES, _MAX_RATIO * path.stat().st_size):
        raise FeatureError(
            f"{path} claims to unpack to {total} bytes, over {_MAX_RATIO} times its size.",
            "If that is right, store the arrays as .npy.",
            code="too-large",
        )
    return {info.filename.removesuffix(".npy"): info for info in infos}


def read_member(path: Path, info: zipfile.ZipInfo, limits: Limits) -> FeatureArray:
    """Unpack one array.

    Raises:
        FeatureError: As `read_npy`, and if the archive is damaged, encrypted or too large.
    """
    where = named_in(path, info.filename)
    limits.check(info.file_size, where)
    with open_member(path, info, where) as handle:
        header = read_header(handle, where)
        check_float(header, where, double=True)
        check_shape(header.shape, where)
        check_size(header, info.file_size, where)
        data = handle.read(header.data_bytes)
    if len(data) < header.data_bytes:
        raise FeatureError(f"{where} ends early.", "Write it again.", code="truncated")
    return shaped(np.frombuffer(data, dtype=header.dtype), header)


@contextmanager
def open_member(path: Path, info: zipfile.ZipInfo, where: str) -> Iterator[IO[bytes]]:
    """A member of an archive, to be read inside the block.

    Raises:
        FeatureError: If it cannot be unpacked; those of the block pass.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(info) as handle:
            yield handle
    except FeatureError:
        raise
    except UNREADABLE as error:
        raise FeatureError(
            f"{where} cannot be unpacked: {error}.", "Write it again.", code="damaged"
        ) from error


def read_archive(path: Path, limits: Limits) -> Layout:
    """An archive with one array per video.

    Raises:
        FeatureError: If it is no archive or is empty.
    """
    infos = members(path)
    if not infos:
        raise FeatureError(f"{path} holds no arrays.", code="empty")
    return Layout(
        streams=(),
        videos={
            video: lambda info=info: {"": read_member(path, info, limits)}  # type: ignore[misc]
            for video, info in infos.items()
        },
        subsets={},
    )


def read_video(path: Path, limits: Limits) -> dict[str, FeatureArray]:
    """The arrays of one video's own archive: one, or those named after streams.

    Raises:
        FeatureError: If it holds several arrays that are no streams.
    """
    infos = members(path)
    chosen = choose(sorted(infos), str(path))
    return {stream: read_member(path, infos[name], limits) for stream, name in chosen.items()}


# Names under which public feature files keep the one array that matters.
_USUAL = ("features", "feature", "feats", "feat", "arr_0")


def choose(names: list[str], where: str) -> dict[str, str]:
    """Which of a video's arrays are its features: stream -> name.

    Args:
        names: The arrays there are.
        where: The file or group, for the message.

    Returns:
        `rgb` and `flow` where both are there; else the only array, or the one with a usual name,
        under the stream `""`.

    Raises:
        FeatureError: If neither rule decides.
    """
    if {"rgb", "flow"} <= set(names):
        return {"rgb": "rgb", "flow": "flow"}
    usual = [name for name in _USUAL if name in names]
    if len(names) == 1 or len(usual) == 1:
        return {"": (usual or names)[0]}
    raise FeatureError(
        f"{where} holds {len(names)} arrays ({', '.join(names[:5]) or 'none'}); "
        "expected one, or one named features, or rgb and flow.",
        "Keep the features only.",
        code="layout",
    )
