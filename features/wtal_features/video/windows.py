"""Which grid frames each clip covers, and which snippet each clip speaks for.

Legend: s stride (grid frames per snippet), n frames of a clip, r grid frames between two of them,
S = (n - 1) r + 1 the span, N grid frames of the video, T = max(1, floor(N / s)) snippets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wtal_features.clips import ClipSpec


def snippets_of(N: int, s: int) -> int:
    """T, the number of snippets of a video of N grid frames: at least one.

    Example:
        >>> snippets_of(47, 16), snippets_of(3, 16)
        (2, 1)
    """
    return max(1, N // s)


@dataclass(frozen=True)
class ClipPlan:
    """Clip j starts at grid frame j * hop - lead; there is one per `hop` grid frames.

    In `window` mode a clip stands for one snippet and is centred on it: hop = s and the start is
    floor(t s + s/2 - S/2). In `dense` mode a longer clip stands for several.

    Attributes:
        clip: Frames and their distance.
        stride: s.
        hop: Grid frames from one clip's start to the next; a multiple of s.
        lead: Grid frames before the first snippet at which the first clip starts.
    """

    clip: ClipSpec
    stride: int
    hop: int
    lead: int

    def start(self, j: int) -> int:
        """First grid frame of clip j; before 0 or past the end, edge frames repeat."""
        return j * self.hop - self.lead

    def last(self, j: int) -> int:
        """Last grid frame of clip j, unclamped."""
        return self.start(j) + self.clip.span - 1

    def count(self, N: int) -> int:
        """Number of clips of a video of N grid frames; never shrinks as N grows."""
        return -(-snippets_of(N, self.stride) * self.stride // self.hop)

    def indices(self, j: int, N: int) -> list[int]:
        """Grid frames of clip j, clamped to [0, N - 1].

        Example:
            >>> from wtal_features.clips import ClipSpec
            >>> plan = window_plan(ClipSpec(4, 2, "rgb"), 16)
            >>> plan.indices(0, 100)  # span 7, centred on frames 0..15
            [4, 6, 8, 10]
        """
        start, r = self.start(j), self.clip.every
        return [min(max(start + m * r, 0), N - 1) for m in range(self.clip.frames)]

    def snippets(self, j: int, N: int) -> int:
        """How many of a video's snippets clip j stands for; the last clip may reach beyond them."""
        before = j * self.hop // self.stride
        return min(self.hop // self.stride, snippets_of(N, self.stride) - before)

    def wanted(self) -> frozenset[int]:
        """Residues modulo hop of the grid frames that some clip shows; the others are not needed.

        At the edges a clip repeats the first or the last frame, whatever their residue.
        """
        shown = range(0, self.clip.frames * self.clip.every, self.clip.every)
        return frozenset((m - self.lead) % self.hop for m in shown)


def window_plan(clip: ClipSpec, stride: int) -> ClipPlan:
    """One clip per snippet, centred on it: f0(t) = floor(t s + s/2 - S/2)."""
    return ClipPlan(clip, stride, stride, -((stride - clip.span) // 2))


def dense_plan(clip: ClipSpec, stride: int, margin: int) -> ClipPlan:
    """Clips that cover several snippets each, with `margin` grid frames of context on both sides.

    Args:
        clip: The longer clip.
        stride: s.
        margin: Less where the clip is too short to leave room for one snippet.
    """
    hop = max(stride, (clip.span - 2 * margin) // stride * stride)
    return ClipPlan(clip, stride, hop, max(0, (clip.span - hop) // 2))


def positions(plan: ClipPlan, j: int, n_positions: int) -> Sequence[float]:
    """Centres of a clip's time positions, in grid frames.

    A network that shrinks n frames to T' positions sees with position p the p-th of T' equal parts
    of the span.
    """
    width = plan.clip.span / n_positions
    return [plan.start(j) + (p + 0.5) * width for p in range(n_positions)]
