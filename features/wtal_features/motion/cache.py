"""Maps of motion kept on disk, so that costly flow is computed once per video.

One file per video and setting. It holds its own key and a checksum: a file that is cut short,
damaged, renamed or somebody else's counts as absent, and is written again.

Legend: M maps for N grid frames, since one frame may fill several; H' x W' x 2 (dx, dy) in px per
grid frame, float16: at 16 px the step between two values is 1/64 px.
"""

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from wtal_features.errors import FeatureError
from wtal_features.files import atomic_write, make_folder, sweep
from wtal_features.motion.vectors import Map
from wtal_features.npy import open_regular

Maps = npt.NDArray[np.float16]

# Magic, key, M, H', W', CRC-32 of what follows; little-endian. Then the maps, and for each the grid
# frame at which it ends.
_HEADER = struct.Struct("<8s32sQIII4x")
_MAGIC = b"wtalmap1"
_ENDS = np.dtype("<u4")
_SUFFIX = ".motion"
_PIECE = 1 << 20
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


class CachedMaps:
    """The maps of one video, read from disk as they are used.

    Attributes:
        maps_MHW2: (M, H', W', 2) float16, read-only.
        ends_M: The grid frame at which each ends, exclusive; the last is N.
    """

    def __init__(self, maps_MHW2: Maps, ends_M: npt.NDArray[np.uint32]) -> None:
        """Made by `MotionCache.get`."""
        self.maps_MHW2, self.ends_M = maps_MHW2, ends_M

    def __len__(self) -> int:
        """N, the number of grid frames."""
        return int(self.ends_M[-1])

    def at(self, k: int) -> Maps:
        """(H', W', 2): the map of grid frame k; beyond the end, the last."""
        m = int(np.searchsorted(self.ends_M, k, side="right"))
        found: Maps = self.maps_MHW2[min(m, len(self.ends_M) - 1)]
        return found


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

    def get(self, key: str) -> CachedMaps | None:
        """The maps of a key, read from disk as they are used.

        Args:
            key: From `motion_key`.

        Returns:
            Them; None if there are none or the file is not sound.
        """
        path = self._path(key)
        try:
            with open_regular(path) as handle:
                shape = _checked_shape(handle, bytes.fromhex(key))
        except (FeatureError, OSError):
            return None
        if shape is None:
            return None
        maps: Maps = np.memmap(path, np.float16, "r", _HEADER.size, shape)
        ends = np.memmap(path, _ENDS, "r", _HEADER.size + maps.nbytes, shape[:1])
        return CachedMaps(maps, np.array(ends))

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

    def sweep(self) -> None:
        """Remove what killed processes left half-written."""
        sweep(self.folder)

    def _path(self, key: str) -> Path:
        if len(key) != 64 or set(key) - set("0123456789abcdef"):
            raise ValueError(f"{key!r} is no key; expected one of motion_key")
        return self.folder / (key + _SUFFIX)


class MotionSink:
    """Appends maps to an open file; memory holds one at a time."""

    def __init__(self, handle: IO[bytes]) -> None:
        """Leave room for the header."""
        self._handle, self._crc = handle, 0
        self._ends: list[int] = []
        self._shape: tuple[int, ...] | None = None
        handle.write(bytes(_HEADER.size))

    def append(self, map_HW2: Map, times: int = 1) -> None:
        """Add one map, or the same one for several grid frames.

        Args:
            map_HW2: (H', W', 2), the same for all maps of a video; larger than float16 is cut.
            times: Number of grid frames that it stands for; 0: it is left out.

        Raises:
            FeatureError: If the shape differs from the one before, or a value is NaN.
        """
        shape = map_HW2.shape
        if len(shape) != 3 or shape[2] != 2 or 0 in shape or self._shape not in (None, shape):
            raise FeatureError(
                f"Map {len(self._ends)} has shape {shape}; expected {self._shape or '(H, W, 2)'}.",
                code="shape",
            )
        if np.isnan(map_HW2).any():
            raise FeatureError(f"Map {len(self._ends)} holds NaN.", code="nan")
        if times:
            self._shape = shape
            self._write(np.clip(map_HW2, -_LARGEST, _LARGEST).astype("<f2").tobytes())
            self._ends.append((self._ends[-1] if self._ends else 0) + times)

    def _write(self, data: bytes) -> None:
        self._handle.write(data)
        self._crc = zlib.crc32(data, self._crc)

    def finish(self, key: bytes) -> None:
        """Write the header.

        Raises:
            FeatureError: If nothing was appended.
        """
        if self._shape is None:
            raise FeatureError("There is no map to keep; expected at least one.", code="empty")
        self._write(np.array(self._ends, _ENDS).tobytes())
        self._handle.seek(0)
        H, W, _ = self._shape
        self._handle.write(_HEADER.pack(_MAGIC, key, len(self._ends), H, W, self._crc))


def _checked_shape(handle: IO[bytes], key: bytes) -> tuple[int, int, int, int] | None:
    """(M, H', W', 2) if the file is whole, unchanged and made for `key`; else None."""
    head = handle.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return None
    magic, its_key, M, H, W, crc = _HEADER.unpack(head)
    size = os.fstat(handle.fileno()).st_size
    whole = M and H and W and size == _HEADER.size + M * (4 * H * W + _ENDS.itemsize)
    if magic != _MAGIC or its_key != key or not whole:
        return None
    found = 0
    while piece := handle.read(_PIECE):
        found = zlib.crc32(piece, found)
    return (M, H, W, 2) if found == crc else None
