"""Maps of motion kept on disk, so that costly flow is computed once per video.

One file per video and setting. It holds its own key and a checksum: a file that is cut short,
damaged, renamed or somebody else's counts as absent, and is written again.

Legend: N grid frames, maps H' x W' x 2 (dx, dy) in px per grid frame, float16: at 16 px the step
between two values is 1/64 px.
"""

import hashlib
import json
import os
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from wtal_features.errors import FeatureError
from wtal_features.files import TEMPORARY_PREFIX, atomic_write, make_folder
from wtal_features.motion.vectors import Map
from wtal_features.npy import open_regular

Maps = npt.NDArray[np.float16]

# Magic, key, N, H', W', CRC-32 of what follows; little-endian.
_HEADER = struct.Struct("<8s32sQIII4x")
_MAGIC = b"wtalmap1"
_SUFFIX = ".motion"
_PIECE = 1 << 20
_DAY_S = 86_400
_LARGEST = float(np.finfo(np.float16).max)


def motion_key(content_sha256: str, settings: Mapping[str, object]) -> str:
    """The key of one video's maps: other content, method, parameters or fps, another key.

    Args:
        content_sha256: SHA-256 of the video file, hexadecimal.
        settings: JSON values: `describe()` of the view, fps, and what else changes the maps.

    Returns:
        64 hexadecimal digits.
    """
    text = json.dumps([content_sha256, settings], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class MotionCache:
    """A folder of maps; many processes may read and write it at once.

    Example:
        cache = MotionCache(folder)
        if (maps := cache.get(key)) is None:
            with cache.writer(key) as sink:
                for cells, map_HW2 in motion_maps(...):
                    sink.append(map_HW2, len(cells))
            maps = cache.get(key)
    """

    def __init__(self, folder: str | Path) -> None:
        """Make the folder.

        Raises:
            FeatureError: If it cannot be made.
        """
        self.folder = Path(folder)
        make_folder(self.folder)

    def get(self, key: str) -> Maps | None:
        """The maps of a key, read from disk as they are used.

        Args:
            key: From `motion_key`.

        Returns:
            (N, H', W', 2) float16, read-only; None if there are none or the file is not sound.
        """
        path = self._path(key)
        try:
            with open_regular(path) as handle:
                shape = _checked_shape(handle, bytes.fromhex(key))
        except (FeatureError, OSError):
            return None
        if shape is None:
            return None
        return np.memmap(path, np.float16, "r", _HEADER.size, shape)

    @contextmanager
    def writer(self, key: str) -> Iterator["MotionSink"]:
        """Write the maps of a key one by one; only a whole file gets its name.

        Yields:
            Where to append them. If the block raises, nothing is left.

        Raises:
            FeatureError: If nothing was appended, or the folder or disk does not take it.
        """
        with atomic_write(self._path(key)) as handle:
            sink = MotionSink(handle)
            yield sink
            sink.finish(bytes.fromhex(key))

    def sweep(self, older_than_s: float = _DAY_S) -> None:
        """Remove what killed processes left half-written, if it has not grown for so long."""
        limit = time.time() - older_than_s
        for path in self.folder.glob(f"{TEMPORARY_PREFIX}*"):
            with suppress(OSError):  # another process was faster
                if path.stat().st_mtime < limit:
                    path.unlink()

    def _path(self, key: str) -> Path:
        if len(key) != 64 or set(key) - set("0123456789abcdef"):
            raise ValueError(f"{key!r} is no key; expected one of motion_key")
        return self.folder / (key + _SUFFIX)


class MotionSink:
    """Appends maps to an open file; memory holds one at a time."""

    def __init__(self, handle: IO[bytes]) -> None:
        """Leave room for the header."""
        self._handle, self._count, self._crc = handle, 0, 0
        self._shape: tuple[int, ...] | None = None
        handle.write(bytes(_HEADER.size))

    def append(self, map_HW2: Map, times: int = 1) -> None:
        """Add one map, or the same one for several grid frames.

        Args:
            map_HW2: (H', W', 2), the same for all maps of a video; larger than float16 is cut.
            times: Number of grid frames.

        Raises:
            FeatureError: If the shape differs from the one before, or a value is NaN.
        """
        shape = map_HW2.shape
        if len(shape) != 3 or shape[2] != 2 or 0 in shape or self._shape not in (None, shape):
            raise FeatureError(
                f"Map {self._count} has shape {shape}; expected {self._shape or '(H, W, 2)'}.",
                code="shape",
            )
        if np.isnan(map_HW2).any():
            raise FeatureError(f"Map {self._count} holds NaN.", code="nan")
        self._shape = shape
        data = np.clip(map_HW2, -_LARGEST, _LARGEST).astype("<f2").tobytes()
        for _ in range(times):
            self._handle.write(data)
            self._crc = zlib.crc32(data, self._crc)
        self._count += times

    def finish(self, key: bytes) -> None:
        """Write the header.

        Raises:
            FeatureError: If nothing was appended.
        """
        if self._shape is None or not self._count:
            raise FeatureError("There is no map to keep; expected at least one.", code="empty")
        self._handle.seek(0)
        H, W, _ = self._shape
        self._handle.write(_HEADER.pack(_MAGIC, key, self._count, H, W, self._crc))


def _checked_shape(handle: IO[bytes], key: bytes) -> tuple[int, int, int, int] | None:
    """(N, H', W', 2) if the file is whole, unchanged and made for `key`; else None."""
    head = handle.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return None
    magic, its_key, N, H, W, crc = _HEADER.unpack(head)
    size = os.fstat(handle.fileno()).st_size
    whole = N and H and W and size == _HEADER.size + 4 * N * H * W
    if magic != _MAGIC or its_key != key or not whole:
        return None
    found = 0
    while piece := handle.read(_PIECE):
        found = zlib.crc32(piece, found)
    return (N, H, W, 2) if found == crc else None
