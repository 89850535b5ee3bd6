"""Writing a clip store: one video's files, whole or not at all, and the manifest.

Legend: as in `clipstore`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from wtal_features.errors import FeatureError
from wtal_features.files import atomic_write, read_json, write_json
from wtal_features.pretraining.clipstore import (
    ENDS,
    ENDS_DTYPE,
    FACTS,
    MANIFEST,
    MOTION,
    RGB,
    StoredVideo,
)


class ClipSink:
    """Takes the pictures of one video, one after another; memory holds none of them.

    Attributes:
        facts: What else the store should say of the video; JSON values.
    """

    def __init__(self, rgb: IO[bytes], motion: IO[bytes] | None) -> None:
        """Made by `new_video`."""
        self._rgb, self._motion = rgb, motion
        self._shape: tuple[int, ...] | None = None
        self._cells: tuple[int, ...] | None = None
        self._maps = 0
        self._ends: list[int] = []
        self._intra: list[int] = []
        self.facts: dict[str, Any] = {}

    def frame(self, frame_HWC: npt.NDArray[Any], times: int = 1, *, intra: bool = False) -> None:
        """Add one frame.

        Args:
            frame_HWC: (H, W, 3) uint8, the same size for all frames of a video.
            times: Grid frames that it fills.
            intra: Whether it is an I-frame of the original file.

        Raises:
            FeatureError: If it has another form, or fills no grid frame.
        """
        good = frame_HWC.dtype == np.uint8 and frame_HWC.ndim == 3 and frame_HWC.shape[2] == 3
        fills = type(times) is int and times > 0
        if not good or self._shape not in (None, frame_HWC.shape) or not fills:
            raise _wrong("Frame", len(self._ends), frame_HWC, self._shape or "(H, W, 3)", "uint8")
        if intra:
            self._intra.append(self._filled())
        self._shape = frame_HWC.shape
        self._ends.append(self._filled() + times)
        self._rgb.write(np.ascontiguousarray(frame_HWC).data.cast("B"))

    def motion(self, map_HW2: npt.NDArray[Any]) -> None:
        """Add the map of the frame that was added last.

        Args:
            map_HW2: (H', W', 2) int8, see `clipworker.quantized`; the same size for all.

        Raises:
            FeatureError: If it has another form.
        """
        good = map_HW2.dtype == np.int8 and map_HW2.ndim == 3 and map_HW2.shape[2] == 2
        if not good or self._cells not in (None, map_HW2.shape) or self._motion is None:
            raise _wrong("Map", self._maps, map_HW2, self._cells or "(H', W', 2)", "int8")
        self._cells, self._maps = map_HW2.shape, self._maps + 1
        self._motion.write(np.ascontiguousarray(map_HW2).data.cast("B"))

    def _filled(self) -> int:
        """Grid frames so far."""
        return self._ends[-1] if self._ends else 0

    def ends(self) -> npt.NDArray[np.uint32]:
        """(M,): the grid frame at which each picture ends, exclusive."""
        return np.array(self._ends, ENDS_DTYPE)

    def entry(self, key: str) -> dict[str, Any]:
        """What `StoredVideo.parse` reads, and the other facts.

        Raises:
            FeatureError: If no frame came, or not one map for each.
        """
        M = len(self._ends)
        if self._shape is None or (self._motion is not None and self._maps != M):
            raise FeatureError(
                f"A video came with {M} frames and {self._maps} maps; "
                "expected at least one frame, and a map for each where there is motion.",
                code="empty",
            )
        sizes = {"frames": self._filled(), "pictures": M}
        sizes |= {"height": self._shape[0], "width": self._shape[1]}
        cells = None if self._cells is None else list(self._cells[:2])
        return {"key": key, **sizes, "motion": cells, "intra": self._intra, **self.facts}


def _wrong(
    what: str, number: int, array: npt.NDArray[Any], shape: object, dtype: str
) -> FeatureError:
    return FeatureError(
        f"{what} {number} of a video has shape {array.shape}, {array.dtype}; "
        f"expected {shape}, {dtype}, for at least one grid frame.",
        code="shape",
    )


@contextmanager
def new_video(folder: Path, key: str, *, motion: bool) -> Iterator[ClipSink]:
    """Write the files of one video; if the block raises, nothing is left.

    Args:
        folder: The store.
        key: From `clip_key`.
        motion: Whether maps will come too.

    Yields:
        Where to put its pictures.

    Raises:
        FeatureError: If nothing was put, or the folder or disk does not take it.
    """
    with ExitStack() as stack:
        rgb = stack.enter_context(atomic_write(folder / (key + RGB)))
        maps = stack.enter_context(atomic_write(folder / (key + MOTION))) if motion else None
        sink = ClipSink(rgb, maps)
        yield sink
        entry = sink.entry(key)
        if entry["pictures"] < entry["frames"]:
            with atomic_write(folder / (key + ENDS)) as handle:
                handle.write(sink.ends().tobytes())
    write_json(folder / (key + FACTS), entry)


def find_video(folder: Path, key: str) -> dict[str, Any] | None:
    """What `new_video` wrote of a key; None if it is not there, or not whole."""
    try:
        entry = read_json(folder / (key + FACTS))
        if not isinstance(entry, dict) or entry.get("key") != key:
            return None
        return entry if StoredVideo.parse(entry).is_whole(folder) else None
    except (FeatureError, KeyError, TypeError, ValueError):
        return None


def remove_video(folder: Path, key: str) -> None:
    """Remove the files of a key; harmless where they are gone."""
    for suffix in (FACTS, RGB, MOTION, ENDS):  # the facts first: without them nothing is believed
        (folder / (key + suffix)).unlink(missing_ok=True)


def write_manifest(
    folder: Path,
    settings: Mapping[str, object],
    videos: Mapping[str, Mapping[str, Any]],
    **more: object,
) -> None:
    """Make a store of the videos that were written.

    Args:
        folder: The store.
        settings: `ClipSettings.described()`.
        videos: Id -> entry, from `find_video`.
        more: Other JSON values: versions, what was skipped.

    Raises:
        FeatureError: If the file cannot be written.
    """
    fields = {"settings": dict(settings), **more, "videos": dict(sorted(videos.items()))}
    write_json(folder / MANIFEST, fields)
