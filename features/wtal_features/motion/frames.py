"""The motion view of one video as clips are made of it: computed, read from a copy, or cached."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from wtal_features.clips import Preprocess
from wtal_features.errors import FeatureError
from wtal_features.files import make_folder
from wtal_features.motion.cache import CachedMaps, MotionCache, MotionSink, motion_key
from wtal_features.motion.flow import load_cv2
from wtal_features.motion.source import MotionView, VectorView, View, motion_view
from wtal_features.motion.usable import why_no_vectors
from wtal_features.motion.vectors import Map, ask_for_vectors
from wtal_features.preprocess import prepare_motion
from wtal_features.video.clipper import Picture
from wtal_features.video.container import OpenVideo, open_video
from wtal_features.video.frames import Decoded, FrameReader
from wtal_features.video.reencode import describe_copy, encode_frames

Beat = Callable[[], None]
_LARGEST = float(np.finfo(np.float16).max)


class Wish(NamedTuple):
    """What is asked of the motion of a video.

    Attributes:
        sha256: Of the file's content, for the keys of the cache.
        fps: Of the grid.
        method: `dis`, `farneback`, `tvl1` or `mv`.
        short_side: Of the frames for optical flow, and of copies; in pixels.
        reencode: Make a copy where the codec has no usable vectors.
        cache: Folder; None: nothing is kept.
        partial: Take what is there of a file that is cut short.
    """

    sha256: str
    fps: Fraction
    method: str
    short_side: int
    reencode: bool
    cache: str | None
    partial: bool


class MotionFrames:
    """Motion of one video, decoded frame by decoded frame; a context manager.

    Enter it before the video is decoded: motion vectors have to be asked for.

    Attributes:
        copied: Why vectors come from a re-encoded copy; None where they do not.
    """

    def __init__(self, video: OpenVideo, wish: Wish, beat: Beat) -> None:
        """Prepare.

        Args:
            video: The open file, from its beginning.
            wish: What is asked.
            beat: Called while a copy is made, now and then: signs of life.
        """
        self.copied: str | None = None
        self._video, self._wish, self._beat = video, wish, beat
        self._stack = ExitStack()
        self._cached: CachedMaps | None = None
        self._sink: MotionSink | None = None
        self._copy: Iterator[Decoded] | None = None
        self._map: npt.NDArray[np.float16] | None = None

    def __enter__(self) -> Self:
        """Find the source of motion.

        Raises:
            FeatureError: If the codec has no usable vectors and no copy may be made, or what a
                method needs is not installed.
        """
        with ExitStack() as stack:
            view = self._vectors(stack) if self._wish.method == "mv" else self._flow()
            self._motion = MotionView(view, self._wish.fps)
            self._open_cache(stack, view)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the copy; keep the maps if all went well."""
        self._stack.__exit__(kind, error, traceback)

    def take(self, cells: range, decoded: Decoded) -> None:
        """Take the next frame of the video.

        Args:
            cells: Grid frames that it fills, possibly none.
            decoded: The frame.

        Raises:
            FeatureError: If its motion cannot be told.
        """
        if self._cached is not None:
            if cells:
                self._map = self._cached.at(cells.start)
            return None
        if self._copy is not None:
            decoded = self._of_copy(decoded)
        if not cells:
            return self._motion.skip(decoded)
        # Cut and rounded as the cache does it, so that a clip is the same with it and without.
        moved = self._motion.feed(decoded)
        self._map = np.clip(moved, -_LARGEST, _LARGEST).astype(np.float16)
        if self._sink is not None:
            self._sink.append(self._map.astype(np.float32), len(cells))
        return None

    def latest(self) -> Map:
        """(H', W', 2) float32: the map of the frame that was taken last, which fills a cell."""
        assert self._map is not None
        return self._map.astype(np.float32)

    def of(self, decoded: Decoded, preprocess: Preprocess) -> Callable[[], Picture]:
        """Prepares the map of the frame that was taken last."""
        map_HW2 = self._map

        def picture() -> Picture:
            assert map_HW2 is not None  # a frame that fills a cell was taken
            return prepare_motion(map_HW2.astype(np.float32), preprocess)

        return picture

    def _flow(self) -> View:
        load_cv2().setNumThreads(1)  # there are as many decoders as cores
        return motion_view(self._wish.method, short_side=self._wish.short_side)

    def _vectors(self, stack: ExitStack) -> View:
        with open_video(self._video.path) as looked_at:
            self.copied = why_no_vectors(looked_at)
        if self.copied is None:
            ask_for_vectors(self._video.stream)
            return VectorView()
        if not self._wish.reencode:
            raise FeatureError(
                f"{self._video.path} {self.copied}.",
                "Allow --reencode, or choose another source of motion.",
                code="vectors",
            )
        copy = stack.enter_context(open_video(self._copied_to(stack)))
        ask_for_vectors(copy.stream)
        self._copy = iter(FrameReader(copy))
        facts, (w, h) = self._video.facts, (copy.facts.width, copy.facts.height)
        even = facts.width + facts.width % 2, facts.height + facts.height % 2
        same = (w, h) == even  # an odd side grew by one; nothing was scaled
        return VectorView() if same else VectorView((facts.width / w, facts.height / h))

    def _copied_to(self, stack: ExitStack) -> Path:
        """The copy: that of an earlier run, or made now."""
        wish = self._wish
        settings: dict[str, object] = {
            "copy": describe_copy(short_side=wish.short_side),
            "partial": wish.partial,
        }
        if wish.cache is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wtal-")))
        else:
            folder = Path(wish.cache)
            make_folder(folder)
        path = folder / f"{motion_key(wish.sha256, settings)}.mp4"
        if not path.exists():
            with open_video(self._video.path) as original:
                frames = self._living(FrameReader(original, partial=wish.partial))
                encode_frames(frames, path, short_side=wish.short_side)
        return path

    def _living(self, reader: FrameReader) -> Iterator[Any]:
        for decoded in reader:
            self._beat()
            yield decoded.frame

    def _of_copy(self, decoded: Decoded) -> Decoded:
        """The copy's frame, at the time and with the rotation of the original's."""
        assert self._copy is not None
        found = next(self._copy, None)
        if found is None:
            raise FeatureError(
                f"The copy of {self._video.path} has fewer frames than the video.",
                "Empty the cache and run again.",
                code="copy",
            )
        return Decoded(decoded.time, found.frame, decoded.quarter_turns)

    def _open_cache(self, stack: ExitStack, view: View) -> None:
        wish = self._wish
        if wish.cache is None:
            return
        cache = MotionCache(wish.cache)
        settings = {
            "view": view.describe(),
            "fps": str(wish.fps),
            "partial": wish.partial,
            "copy": None if self.copied is None else describe_copy(short_side=wish.short_side),
        }
        key = motion_key(wish.sha256, settings)
        self._cached = cache.get(key)
        if self._cached is None:
            self._sink = stack.enter_context(cache.writer(key))
