"""The part of a step's batch that one of several processes sees.

Shapes: B videos of the whole batch, W processes.

Parts are neighbours in the batch, in the order of the ranks, and about equally long in snippets. So
the packed rows of a part are a stretch of the packed rows of the batch (temporal_conv.py), and what
is drawn for the batch, dropout above all, can be drawn alike by all. A part may be empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wtal.peers import ALONE, Peers


@dataclass(frozen=True)
class Part:
    """Args: the videos of the batch, their bins, and where each process's part begins and ends.

    `bounds` has W + 1 places among the B videos; part r is `bounds[r]` to `bounds[r + 1]`.
    """

    videos_B: NDArray[np.int64]
    lengths_B: tuple[int, ...]
    bounds: tuple[int, ...]
    peers: Peers = ALONE

    @classmethod
    def of(
        cls, videos_B: NDArray[np.int64], lengths_B: Sequence[int], peers: Peers = ALONE
    ) -> Part:
        """Cut a batch where the sums of the bins come closest to equal shares."""
        ends_B = np.concatenate([[0], np.cumsum(lengths_B)])
        wanted_W = ends_B[-1] * np.arange(peers.size + 1) / peers.size
        bounds = np.abs(ends_B[:, None] - wanted_W).argmin(0)
        return cls(videos_B, tuple(lengths_B), tuple(bounds.tolist()), peers)

    @property
    def first(self) -> int:
        """Where the videos of this process begin."""
        return self.bounds[self.peers.rank]

    @property
    def last(self) -> int:
        """The place after their end."""
        return self.bounds[self.peers.rank + 1]

    @property
    def share(self) -> float:
        """Of the videos; 1 for one process alone."""
        return (self.last - self.first) / len(self.videos_B)

    @property
    def snippets(self) -> tuple[int, int]:
        """Snippets of the batch before this part, and all of them."""
        return sum(self.lengths_B[: self.first]), sum(self.lengths_B)

    @property
    def rows(self) -> tuple[int, int]:
        """Packed rows of the batch before those of this part, and all of them."""
        before, all_ = self.snippets
        return before + self.first, all_ + len(self.lengths_B) + 1

    def others(self) -> list[int]:
        """Training videos of the batch that other processes see."""
        mine = slice(self.first, self.last)
        return np.delete(self.videos_B, mine).tolist()
