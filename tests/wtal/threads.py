"""Threads in the place of processes: the same calls between them, in milliseconds."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from wtal.errors import WtalError
from wtal.peers import Peers

Result = TypeVar("Result")


class Exchange:
    """Where the threads meet. What one hands over, all get, by rank."""

    def __init__(self, size: int) -> None:
        self.size, self.slots = size, [None] * size
        self.barrier = threading.Barrier(size)

    def __call__(self, rank: int, mine: Any) -> list[Any]:
        self.slots[rank] = mine
        self.barrier.wait(60)
        everyone = list(self.slots)
        self.barrier.wait(60)
        return everyone


class Threads:
    """`Reduce` over threads."""

    def __init__(self, rank: int, exchange: Exchange) -> None:
        self.rank, self.exchange = rank, exchange

    def __call__(self, sums: Tensor) -> Tensor:
        return torch.stack(self.exchange(self.rank, sums)).sum(0)

    def gather(self, rows_MD: Tensor) -> Tensor:
        return torch.cat(self.exchange(self.rank, rows_MD))


class ThreadPeers(Peers):
    """`Peers` over threads."""

    def __init__(self, rank: int, exchange: Exchange) -> None:
        super().__init__()
        self.rank, self.size = rank, exchange.size
        self.exchange, self.reduce = exchange, Threads(rank, exchange)

    def gather_to_first(self, rows_MD: Tensor) -> Tensor:
        every_MD = self.gather(rows_MD)
        return every_MD if self.leads else rows_MD

    def gather_objects(self, value: Any) -> list[Any]:
        return self.exchange(self.rank, value)

    def of_first(self, compute: Callable[[], Result]) -> Result:
        result: Result = self.exchange(self.rank, compute() if self.leads else None)[0]
        return result


def in_threads(work: Callable[[ThreadPeers], Any], size: int) -> list[Any]:
    """What each rank returned, or the WtalError that it ended with."""
    exchange, results, faults = Exchange(size), [None] * size, []

    def run(rank: int) -> None:
        try:
            results[rank] = work(ThreadPeers(rank, exchange))
        except WtalError as error:  # all are told together, or the others see a broken barrier
            results[rank] = error  # type: ignore[call-overload]
        except Exception as error:  # noqa: BLE001 (raised below, in the thread of the test)
            exchange.barrier.abort()
            faults.append(error)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return results
