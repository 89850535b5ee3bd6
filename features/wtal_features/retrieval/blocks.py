"""Blocks of videos of much the same length, and chamfer between all videos of two blocks.

The similarities of all rows of two blocks are one matrix product. Videos of a block are made
equally long by repeating their last row: that moves no maximum, and in means it has the weight 0.
So every reduction is over a whole axis, and a block is small enough to be reduced in the cache.

Shapes: q, g videos of two blocks; n, m rows of each of them, repeated ones included; N, D as in
the package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Rows of a block at most: enough for the product to run at full speed, and its result (4 MB)
# stays near the processor. GPUs want more work at a time.
_ROWS, _ROWS_ON_GPU = 1024, 8192
# Columns of a product start at multiples of so many elements: others take up to half as long again.
_ALIGNED = 16
# The longest video of a block has at most so many times the rows of the shortest.
_STRETCH = 1.125


@dataclass(frozen=True)
class Budget:
    """How a memory limit is shared out.

    Args:
        memory_mb: In MB (1e6 bytes).
    """

    memory_mb: float

    @property
    def product(self) -> int:
        """Elements of one product; up to five of its size are held, and two blocks of rows."""
        return int(self.memory_mb * 1e6 / 8) // 4

    def rows(self, frames_ND: Tensor) -> int:
        """Rows of a block."""
        most = _ROWS if frames_ND.device.type == "cpu" else _ROWS_ON_GPU
        square = math.isqrt(self.product) // _ALIGNED * _ALIGNED
        return max(1, min(most, square, self.product // frames_ND.shape[1]))

    def room(self, frames_ND: Tensor, blocks: Sequence[Block]) -> Tensor:
        """What all products are written to in turn, as fresh memory would cost time."""
        widest = max(_columns(block.rows_qn.numel()) for block in blocks)
        return frames_ND.new_empty(max(self.product, widest))

    def strip(self, G: int) -> int:
        """Queries of a strip."""
        return max(1, int(self.memory_mb * 1e6 / 4) // (4 * G))


@dataclass(frozen=True)
class Block:
    """Some videos, and where their rows are.

    Attributes:
        videos: (q,) int64.
        rows_qn: int64, into the rows of all videos; the last one repeated.
        weights_qn: float64; one over the number of rows of the video, 0 where repeated.
    """

    videos: Tensor
    rows_qn: Tensor
    weights_qn: Tensor

    def take(self, frames_ND: Tensor) -> BlockRows:
        """The rows; without a copy where it is one video."""
        if len(self.videos) == 1:
            first, last = int(self.rows_qn[0, 0]), int(self.rows_qn[0, -1])
            return BlockRows(frames_ND[None, first : last + 1], self.weights_qn)
        return BlockRows(frames_ND[self.rows_qn], self.weights_qn)


@dataclass(frozen=True)
class BlockRows:
    """What a block holds: (q, n, D) rows and (q, n) weights."""

    rows_qnD: Tensor
    weights_qn: Tensor


def cut(starts: Sequence[int], most: int, device: torch.device) -> list[Block]:
    """Put videos into blocks by their length.

    Args:
        starts: One more than there are videos: offsets into the rows, ascending. Videos are
            numbered from 0.
        most: Rows of a block; a longer video has its own.
        device: Of the blocks.
    """
    offsets = torch.tensor(starts)
    lengths_V = offsets.diff()
    order_V = lengths_V.argsort(stable=True)
    blocks, begin = [], 0
    ascending = lengths_V[order_V].tolist()
    for place, length in enumerate(ascending):
        too_many = length * (place - begin + 1) > most
        if place > begin and (too_many or length > _STRETCH * ascending[begin]):
            blocks.append(_block(order_V[begin:place], offsets, lengths_V, device))
            begin = place
    blocks.append(_block(order_V[begin:], offsets, lengths_V, device))
    return blocks


def _block(videos: Tensor, offsets: Tensor, lengths_V: Tensor, device: torch.device) -> Block:
    lengths_q1 = lengths_V[videos, None]
    steps_n = torch.arange(int(lengths_q1.max()))
    rows_qn = offsets[videos, None] + steps_n.minimum(lengths_q1 - 1)
    weights_qn = (steps_n < lengths_q1).double() / lengths_q1
    return Block(videos.to(device), rows_qn.to(device), weights_qn.to(device))


def _columns(count: int) -> int:
    return -(-count // _ALIGNED) * _ALIGNED


def compared(
    query: BlockRows, gallery: BlockRows, room: Tensor, *, back: bool
) -> tuple[Tensor, Tensor]:
    """Chamfer of every video of one block to every video of another.

    Args:
        query: q videos.
        gallery: g videos.
        room: For the product; rows of the query are cut as small as needed, down to one.
        back: Want the other direction too.

    Returns:
        (q, g) float64, rows of the query averaged; (q, g) float64, rows of the gallery averaged,
        empty if not wanted. Means of many rows in float32 would be off in the sixth decimal.
    """
    (q, n, D), (g, m, _) = query.rows_qnD.shape, gallery.rows_qnD.shape
    columns = _columns(g * m)
    if q > 1 and q * columns > len(room):
        halves = [
            compared(BlockRows(rows, weights), gallery, room, back=back)
            for rows, weights in zip(
                query.rows_qnD.tensor_split(2), query.weights_qn.tensor_split(2), strict=True
            )
        ]
        return torch.cat([half[0] for half in halves]), torch.cat([half[1] for half in halves])
    step = len(room) // (q * columns)
    gallery_DM = gallery.rows_qnD.reshape(g * m, D).T
    there_qg = query.weights_qn.new_zeros(q, g)
    best_qgm: Tensor | None = None
    for start in range(0, n, step):
        part_ND = query.rows_qnD[:, start : start + step].reshape(-1, D)
        product_NM = room[: len(part_ND) * columns].view(-1, columns)[:, : g * m]
        torch.mm(part_ND, gallery_DM, out=product_NM)
        product = product_NM.view(q, -1, g, m)
        weights_q1s = query.weights_qn[:, None, start : start + step]
        there_qg += (weights_q1s @ product.amax(dim=3).double())[:, 0]
        if back:
            most = product.amax(dim=1)
            best_qgm = most if best_qgm is None else best_qgm.maximum(most)
    if best_qgm is None:
        return there_qg, there_qg.new_empty(0)
    return there_qg, torch.einsum("qgm,gm->qg", best_qgm.double(), gallery.weights_qn)
