"""A clip store: videos decoded once, small, so that a network never waits for a decoder.

A folder with `manifest.json` and, per video, files named after the SHA-256 of its content and of
the settings:

    <key>.rgb      (M, H, W, 3) uint8, raw: the frames
    <key>.motion   (M, H', W', 2) int8, raw: maps of motion; -127..127 stands for +-range
    <key>.ends     (M,) uint32: the grid frame at which each ends; only where M < N
    <key>.json     sizes, I-frames and source; written last, so it says that the others are whole

Legend: N grid frames of a video, M pictures, fewer where one is shown for several grid frames;
H x W pixels, H' x W' cells of a map; n frames of a clip.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wtal_features.errors import FeatureError
from wtal_features.extraction.settings import parse_fps
from wtal_features.files import read_json
from wtal_features.pretraining.clipsettings import FORMAT, STEPS

MANIFEST = "manifest.json"
RGB, MOTION, ENDS, FACTS = ".rgb", ".motion", ".ends", ".json"
ENDS_DTYPE = np.dtype("<u4")
_KEY = re.compile("[0-9a-f]{64}")

Frames = npt.NDArray[np.uint8]
Maps = npt.NDArray[np.float32]


@dataclass(frozen=True)
class StoredVideo:
    """What a store has of one video.

    Attributes:
        key: Of its files.
        frames: N.
        pictures: M.
        height, width: H and W, in pixels.
        motion: H' and W', in cells; None: there is no motion.
        intra: Grid frames that show an I-frame of the original file, in their order.
        subset: Of the data set, where the folder's name says it.
    """

    key: str
    frames: int
    pictures: int
    height: int
    width: int
    motion: tuple[int, int] | None
    intra: tuple[int, ...]
    subset: str | None = None

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> StoredVideo:
        """From JSON values.

        Raises:
            ValueError: If they are not of their kinds; KeyError and TypeError likewise.
        """
        N, M, H, W = (entry[name] for name in ("frames", "pictures", "height", "width"))
        intra, subset = tuple(entry["intra"]), entry.get("subset")
        h, w = (1, 1) if entry["motion"] is None else entry["motion"]
        sound = (
            _KEY.fullmatch(entry["key"]) is not None,
            all(type(n) is int and n > 0 for n in (N, M, H, W, h, w)),
            all(type(k) is int and 0 <= k < N for k in intra),
            isinstance(subset, str | None),
        )
        if not all(sound):
            raise ValueError("not an entry of a clip store")
        motion = None if entry["motion"] is None else (h, w)
        return cls(entry["key"], N, M, H, W, motion, intra, subset)

    def sizes(self) -> dict[str, int]:
        """Suffix -> bytes of the files that belong to it."""
        M = self.pictures
        found = {RGB: M * self.height * self.width * 3}
        if self.motion is not None:
            found[MOTION] = M * self.motion[0] * self.motion[1] * 2
        if self.frames > M:
            found[ENDS] = M * ENDS_DTYPE.itemsize
        return found

    def is_whole(self, folder: Path) -> bool:
        """Whether all its files are there, with the sizes that they should have."""
        try:
            return all(
                (folder / (self.key + suffix)).stat().st_size == size
                for suffix, size in self.sizes().items()
            )
        except OSError:
            return False


class ClipStore:
    """Read access to a clip store, from any number of threads and processes.

    Example:
        store = ClipStore(folder)
        frames_nHWC = store.frames("v1", range(40, 72))

    Attributes:
        folder: Where it lies.
        settings: How it was made.
        fps: Frames per second of the grid.
        videos: Ids, sorted.
    """

    def __init__(self, folder: str | Path) -> None:
        """Read the manifest and look whether the files are there.

        Raises:
            FeatureError: If there is no clip store, it is damaged, or it was made by another
                version.
        """
        self.folder = Path(folder)
        manifest = _manifest(self.folder)
        self.settings: Mapping[str, Any] = manifest["settings"]
        self.fps: Fraction = parse_fps(str(self.settings.get("grid_fps")))
        self._stored = {
            video: self._checked(video, entry) for video, entry in manifest["videos"].items()
        }
        self.videos = tuple(sorted(self._stored))
        self._step_px = self._step() if any(v.motion for v in self._stored.values()) else 0.0

    def __contains__(self, video: object) -> bool:
        """Whether the store has the video."""
        return video in self._stored

    def __len__(self) -> int:
        """Number of videos."""
        return len(self._stored)

    def info(self, video: str) -> StoredVideo:
        """Sizes and I-frames.

        Raises:
            FeatureError: If the store has no such video.
        """
        try:
            return self._stored[video]
        except KeyError:
            raise FeatureError(
                f"{self.folder} has no video {video!r}.", "Add it to the store.", code="missing"
            ) from None

    def frames(self, video: str, indices: Sequence[int]) -> Frames:
        """Some frames of a video.

        Args:
            video: Its id.
            indices: n grid frames, in any order, repeated or not.

        Returns:
            (n, H, W, 3) uint8, RGB; a copy.

        Raises:
            FeatureError: If the store has no such video.
            IndexError: If a grid frame is not in 0..N-1.
        """
        info = self.info(video)
        rows = self._rows(info, indices)
        found: Frames = self._file(info, RGB, np.uint8, (info.height, info.width, 3))[rows]
        return found

    def motion(self, video: str, indices: Sequence[int]) -> Maps:
        """The maps of motion of some grid frames: of the content, since the frame before.

        Args:
            video: Its id.
            indices: As for `frames`.

        Returns:
            (n, H', W', 2) float32, px of the source per grid frame, dx to the right, dy down.

        Raises:
            FeatureError: If the store has no such video, or no motion.
            IndexError: If a grid frame is not in 0..N-1.
        """
        info = self.info(video)
        if info.motion is None:
            raise FeatureError(
                f"{self.folder} holds no motion.", "Build it with a source of motion.", code="view"
            )
        rows = self._rows(info, indices)
        steps = self._file(info, MOTION, np.int8, (*info.motion, 2))[rows]
        found: Maps = steps * np.float32(self._step_px)
        return found

    def _rows(self, info: StoredVideo, indices: Sequence[int]) -> npt.NDArray[np.intp]:
        """Which picture each grid frame shows."""
        grid = np.asarray(indices, np.intp)
        if grid.size and not 0 <= grid.min() <= grid.max() < info.frames:
            raise IndexError(f"grid frames {grid.min()}..{grid.max()} of 0..{info.frames - 1}")
        if info.pictures == info.frames:
            return grid
        return np.searchsorted(self._file(info, ENDS, ENDS_DTYPE, ()), grid, side="right")

    def _file(
        self, info: StoredVideo, suffix: str, dtype: npt.DTypeLike, shape: tuple[int, ...]
    ) -> npt.NDArray[Any]:
        """A file, mapped for as long as the array lives: kept ones would use up the open files."""
        path = self.folder / (info.key + suffix)
        mapped = np.memmap(path, dtype, "r", shape=(info.pictures, *shape))
        return mapped.view(np.ndarray)

    def _step(self) -> float:
        """What a step of int8 stands for, in px of the source per grid frame."""
        motion = self.settings.get("motion")
        range_px = motion.get("range") if isinstance(motion, dict) else None
        if not isinstance(range_px, int | float) or not range_px > 0:
            raise _damaged(self.folder, f"its motion has the range {range_px!r}")
        return range_px / STEPS

    def _checked(self, video: str, entry: Any) -> StoredVideo:
        try:
            stored = StoredVideo.parse(entry)
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(self.folder, f"the entry of {video!r} is not of its form") from error
        if not stored.is_whole(self.folder):
            raise _damaged(self.folder, f"a file of {video!r} is missing or not whole")
        return stored


def is_clip_store(folder: Path) -> bool:
    """Whether a folder says that it is a clip store, of this version or another."""
    path = folder / MANIFEST
    fields = read_json(path) if path.is_file() else None
    settings = fields.get("settings") if isinstance(fields, dict) else None
    return isinstance(settings, dict) and "format" in settings


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if folder.is_dir() and not path.exists():
        raise FeatureError(
            f"{folder} has no {MANIFEST}: it is no clip store, or was not finished.",
            "Build it again: it goes on where it stopped.",
            code="missing",
        )
    manifest = read_json(path)
    fields = manifest if isinstance(manifest, dict) else {}
    settings, videos = fields.get("settings"), fields.get("videos")
    if not isinstance(settings, dict) or not isinstance(videos, dict):
        raise _damaged(folder, f"{MANIFEST} is not of its form")
    if settings.get("format") != FORMAT:
        raise FeatureError(
            f"{path} has the format {str(settings.get('format'))[:80]!r}; expected {FORMAT!r}.",
            "Build the store again, in a new folder.",
            code="format",
        )
    return fields


def _damaged(folder: Path, problem: str) -> FeatureError:
    return FeatureError(
        f"The clip store {folder} is damaged: {problem}.",
        "Build it again: only what is missing is decoded.",
        code="damaged",
    )
