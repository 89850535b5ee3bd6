"""The processes that train one network together: sums, rows and decisions of all of them.

Shapes: M rows of D numbers in this process.

Every method is called by all processes in the same order, and gives all of them the same bits. One
process alone gets back what it gave, to the bit. Why there is no DistributedDataParallel stands in
docs/decisions/0019.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from wtal.errors import WtalError
from wtal.kmeans import AllReduce, Reduce
from wtal_features.contrast.processes import rank_and_size

Result = TypeVar("Result")
CHUNK = 1 << 20  # numbers that are fingerprinted at once


class Peers:
    """Args: which process this is, of how many, and where it computes."""

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | str = "cpu") -> None:
        self.rank, self.size, self.device = rank, size, torch.device(device)
        self.reduce: Reduce | None = AllReduce() if size > 1 else None  # for K-Means, too

    @classmethod
    def running(cls, device: torch.device | str) -> Peers:
        """The group of `wtal.processes.group`; this process alone where none is running."""
        return cls(*rank_and_size(), device)

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def total(self, sums: Tensor) -> Tensor:
        """Sum over the processes, without a gradient."""
        return sums if self.reduce is None else self.reduce(sums.detach())

    def totals(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Sums over the processes, in one message; the same names everywhere."""
        if self.size == 1 or not figures:
            return dict(figures)
        values = torch.tensor(list(figures.values()), dtype=torch.float64, device=self.device)
        return dict(zip(figures, self.total(values).tolist(), strict=True))

    def mean(self, values: Tensor) -> float:
        """Mean over the values of all processes; 0 where there are none."""
        own = values.mean().item() if len(values) else 0.0
        if self.size == 1:
            return own
        sums = self.totals({"value": own * len(values), "count": float(len(values))})
        return sums["value"] / max(sums["count"], 1)

    def variance(self, rows_MD: Tensor) -> float:
        """Mean squared distance of the rows of all processes from their mean."""
        if self.size == 1:
            return rows_MD.var(0, correction=0).sum().item()
        wide_MD = rows_MD.double()
        sums = self.total(torch.cat([wide_MD.sum(0), wide_MD.square().sum().view(1)]))
        rows = self.totals({"rows": float(len(rows_MD))})["rows"]
        mean_D, square = sums[:-1] / rows, sums[-1] / rows
        return (square - mean_D.square().sum()).item()

    def norm(self, own: float) -> float:
        """Length of a vector of which every process holds a part of this length."""
        return own if self.size == 1 else math.sqrt(self.totals({"square": own**2})["square"])

    def any(self, flag: bool) -> bool:
        """Whether it is so in some process."""
        return flag if self.size == 1 else self.totals({"flag": float(flag)})["flag"] > 0

    def gather(self, rows_MD: Tensor) -> Tensor:
        """The rows of all below one another, by rank; M may differ, and be 0. No gradient."""
        if self.reduce is None:
            return rows_MD
        return self.reduce.gather(rows_MD.detach().contiguous())

    def gather_to_first(self, rows_MD: Tensor) -> Tensor:
        """The same where there is no gradient and only the first process needs them all.

        The others get back their own.
        """
        if self.size == 1:
            return rows_MD
        counts = self.gather(torch.tensor([len(rows_MD)], device=rows_MD.device)).tolist()
        padded = rows_MD.new_zeros(max(counts), *rows_MD.shape[1:])
        padded[: len(rows_MD)] = rows_MD
        parts = [torch.empty_like(padded) for _ in counts] if self.leads else None
        distributed.gather(padded, parts)
        if parts is None:
            return rows_MD
        return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])

    def gather_with_gradient(self, rows_MD: Tensor) -> Tensor:
        """The same; what all processes' losses want of a row flows back to where it came from."""
        if self.size == 1:
            return rows_MD
        rows: Tensor = _Gather.apply(rows_MD, self)  # type: ignore[no-untyped-call]
        return rows

    def gather_objects(self, value: Any) -> list[Any]:
        """What every process has, by rank; for small things."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value)
        return found

    def of_first(self, compute: Callable[[], Result]) -> Result:
        """What the first process computes, alone; the others wait for it."""
        if self.size == 1:
            return compute()
        found: list[Any] = [compute() if self.leads else None]
        distributed.broadcast_object_list(found, 0)
        result: Result = found[0]
        return result

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes, in one message."""
        if self.size == 1:
            return
        parameters = list(parameters)
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in parameters if p.grad is not None]
        total = self.total(torch.cat([gradient.flatten() for gradient in gradients]))
        pieces = torch.split(total, [gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))

    def check_same(self, parts: Mapping[str, Sequence[Tensor]], when: str) -> None:
        """Compare what every process should hold alike, by fingerprints.

        Args:
            parts: name, such as `memory bank` -> its tensors, in the same order everywhere.
            when: end of the sentence.

        Raises:
            WtalError: in all processes, if one differs.
        """
        if self.size == 1:
            return
        prints = torch.stack([fingerprint(tensors).to(self.device) for tensors in parts.values()])
        every_WP = self.gather(prints.unsqueeze(0))
        differs_WP = every_WP != every_WP[0]
        if differs_WP.any():
            rank, part = differs_WP.nonzero()[0].tolist()
            raise WtalError(
                f"The {list(parts)[part]} of process {rank} differs from that of process 0 {when}; "
                "nothing more was saved. All processes need the same files, versions and kind of "
                "machine; --resume goes on from the last checkpoint."
            )


class _Gather(torch.autograd.Function):
    """Rows of all; backward, the sum of all gradients, of which each keeps its own rows'."""

    @staticmethod
    def forward(ctx: Any, rows_MD: Tensor, peers: Peers) -> Tensor:
        counts = peers.gather(torch.tensor([len(rows_MD)], device=rows_MD.device)).tolist()
        ctx.peers, ctx.own = peers, slice(sum(counts[: peers.rank]), sum(counts[: peers.rank + 1]))
        return peers.gather(rows_MD)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.peers.total(gradient.contiguous())[ctx.own], None


def fingerprint(tensors: Iterable[Tensor]) -> Tensor:
    """Sum of all bits, each number times the place it stands at, modulo 2^64: an int64 scalar.

    Integers add up alike in any order, on GPUs too.
    """
    total, place = torch.zeros((), dtype=torch.int64), 1
    for tensor in tensors:
        whole = tensor.detach().contiguous().view(-1)
        numbers = whole.view(torch.int32 if whole.element_size() % 4 == 0 else torch.uint8)
        total = total.to(numbers.device)
        for part in torch.split(numbers, CHUNK):
            places = torch.arange(place, place + 2 * len(part), 2, device=part.device)
            total = total + (part.long() * places).sum()
            place += 2 * len(part)
    return total


ALONE = Peers()
