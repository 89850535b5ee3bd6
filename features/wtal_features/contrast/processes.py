"""The processes that share a batch, if there are several: who am I, and the rows of all of us.

Shapes: B rows of D numbers in each process, W processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def rank_and_size() -> tuple[int, int]:
    """This process among those of the running group; (0, 1) where no group is running."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def together() -> None:
    """Wait until all processes have come so far; without a group, nothing."""
    from torch import distributed

    if rank_and_size()[1] > 1:
        distributed.barrier()


def own_rows(rows_BD: Tensor) -> Tensor:
    """(B,) where the rows of this process stand in `gather_rows(rows_BD)`."""
    import torch

    start = rank_and_size()[0] * len(rows_BD)
    return torch.arange(start, start + len(rows_BD), device=rows_BD.device)


def gather_rows(rows_BD: Tensor) -> Tensor:
    """The rows of all processes below one another, by rank; without a group, the rows themselves.

    Gradients flow back to the process that a row came from, summed over the losses of all. Where
    each loss is a mean over its own B rows and gradients are averaged over the processes, as
    DistributedDataParallel does, the result is the gradient of the mean over all W B rows.

    Args:
        rows_BD: (B, ...), the same shape and kind of numbers in every process.

    Returns:
        (W B, ...).
    """
    import torch
    from torch import distributed

    rank, size = rank_and_size()
    if size == 1:
        return rows_BD
    sent = rows_BD.detach().contiguous()
    parts = [torch.empty_like(sent) for _ in range(size)]
    distributed.all_gather(parts, sent)
    parts[rank] = rows_BD
    rows = torch.cat(parts)
    if rows.requires_grad:
        rows.register_hook(_summed)  # type: ignore[no-untyped-call]
    return rows


def _summed(gradient: Tensor) -> Tensor:
    """What all processes want of the rows; each then keeps the part of its own."""
    from torch import distributed

    total = gradient.clone()
    distributed.all_reduce(total)
    return total
