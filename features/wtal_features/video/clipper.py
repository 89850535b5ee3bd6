"""Grid frames, one after another -> clips, as soon as their last frame is there.

Only frames that some clip shows are prepared, each once, and kept while a clip may still need
them: memory does not grow with the video. Legend as in `windows`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wtal_features.video.windows import ClipPlan

Picture = npt.NDArray[Any]  # (S, S, C): what one frame became


class Clip(NamedTuple):
    """Clip j of a video."""

    j: int
    snippets: int  # that it stands for
    frames: Picture  # (n, S, S, C)


class Clipper:
    """Makes the clips of one video and one encoder."""

    def __init__(self, plan: ClipPlan) -> None:
        """Start before the first frame."""
        self.plan = plan
        self._wanted = plan.wanted()
        self._kept: dict[int, Picture] = {}
        self._latest: Callable[[], Picture] | None = None
        self._seen = 0  # grid frames so far
        self._next = 0  # the clip to be made next

    def feed(self, cells: range, picture: Callable[[], Picture]) -> Iterator[Clip]:
        """Take one frame for the grid frames that it fills.

        Args:
            cells: The next grid frames, possibly none.
            picture: Prepares the frame; called at most when it is needed.

        Yields:
            Every clip that this frame completes.
        """
        if not cells:
            return
        once = _Once(picture)
        self._latest = once
        for k in cells:
            # A clip that starts before the video repeats frame 0.
            if k == 0 or k % self.plan.hop in self._wanted:
                self._kept[k] = once()
            self._seen = k + 1
            while self._next < self.plan.count(self._seen) and self.plan.last(self._next) <= k:
                yield self._make()

    def finish(self) -> Iterator[Clip]:
        """The clips that reach beyond the last frame, which they repeat."""
        if self._latest is not None:
            self._kept[self._seen - 1] = self._latest()
        while self._next < self.plan.count(self._seen):
            yield self._make()

    def _make(self) -> Clip:
        j = self._next
        frames = np.stack([self._kept[k] for k in self.plan.indices(j, self._seen)])
        self._next += 1
        # Frame 0 stays while clips start before it.
        for k in [k for k in self._kept if k < max(self.plan.start(self._next), 0)]:
            del self._kept[k]
        return Clip(j, self.plan.snippets(j, self._seen), frames)


class _Once:
    """Calls a function at most once."""

    def __init__(self, function: Callable[[], Picture]) -> None:
        self._function = function
        self._value: Picture | None = None

    def __call__(self) -> Picture:
        if self._value is None:
            self._value = self._function()
        return self._value
