"""How processes that share the points of a clustering add up their sums.

Shapes: M rows of D numbers.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, distributed


class Reduce(Protocol):
    """The processes; each holds a contiguous part of the points, in the order of the ranks."""

    rank: int

    def __call__(self, sums: Tensor) -> Tensor:
        """Element-wise total over the processes, the same bits on each."""

    def gather(self, rows_MD: Tensor) -> Tensor:
        """The rows of all processes below one another, by rank; M may differ, and be 0."""


class AllReduce:
    """`Reduce` over a process group of `torch.distributed`, which is running already.

    Args:
        group: the processes; all of them by default.
    """

    def __init__(self, group: distributed.ProcessGroup | None = None) -> None:
        self.group = group
        self.rank = distributed.get_rank(group)
        self.size = distributed.get_world_size(group)

    def __call__(self, sums: Tensor) -> Tensor:
        """Sum over the group."""
        total = sums.clone()
        distributed.all_reduce(total, group=self.group)
        return total

    def gather(self, rows_MD: Tensor) -> Tensor:
        """All rows; shorter parts travel padded, because a group moves tensors of one shape."""
        mine = torch.tensor([len(rows_MD)], device=rows_MD.device)
        counts = [torch.zeros_like(mine) for _ in range(self.size)]
        distributed.all_gather(counts, mine, group=self.group)
        lengths = [int(count) for count in counts]
        padded = rows_MD.new_zeros(max(lengths), *rows_MD.shape[1:])
        padded[: len(rows_MD)] = rows_MD
        parts = [torch.empty_like(padded) for _ in lengths]
        distributed.all_gather(parts, padded, group=self.group)
        return torch.cat([part[:n] for part, n in zip(parts, lengths, strict=True)])
