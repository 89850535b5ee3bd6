"""Batches, drawn by threads while the network is busy with the one before.

Reading, cropping and colour are torch and NumPy on whole clips, which let go of Python's lock: so
threads do, and nothing has to be sent between processes.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

import torch

from wtal_features.pretraining.randomness import generator_of

if TYPE_CHECKING:
    from torch import Tensor

    from wtal_features.methods.stages import Batch, Sample, Source, Stage

_AHEAD = 3  # batches that are drawn or waiting


class Loader:
    """The batches of one stage for one process, from one step on, in their order.

    A batch is a function of (seed, stage, step): sample i of a step is the same whichever process
    draws it, and however many there are.

    Args:
        store: Where samples come from.
        stage: What they are drawn from, and how.
        seed: Of the run.
        place: Number of the stage.
        steps: The steps to draw.
        threads: That draw; 0: each batch is drawn when it is asked for.
        rank, size: This process and their number.

    Attributes:
        waited_s: Seconds that the last batch was waited for.
    """

    def __init__(
        self,
        store: Source,
        stage: Stage,
        seed: int,
        place: int,
        steps: range,
        threads: int,
        rank: int = 0,
        size: int = 1,
    ) -> None:
        self.waited_s = 0.0
        self._store, self._stage, self._seed, self._place = store, stage, seed, place
        self._steps = iter(steps)
        share = stage.optim.batch // size
        self._rows = range(rank * share, (rank + 1) * share)
        self._order = Order(len(stage.units), stage.optim.batch, seed, place)
        self._pending: deque[list[Callable[[], Sample]]] = deque()
        # Their number of threads is their own. A thread that has not asked for its number would
        # take the last one that was set, so this one asks before.
        torch.get_num_threads()
        self._pool = (
            ThreadPoolExecutor(threads, "clips", initializer=partial(torch.set_num_threads, 1))
            if threads
            else None
        )

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[Batch]:
        """One batch a step."""
        while True:
            ahead = _AHEAD if self._pool is not None else 1
            for step in itertools.islice(self._steps, ahead - len(self._pending)):
                rows = self._order.rows(step)
                self._pending.append([self._begin(step, row, rows[row]) for row in self._rows])
            if not self._pending:
                return
            started = time.perf_counter()
            batch = stacked([finish() for finish in self._pending.popleft()])
            self.waited_s = time.perf_counter() - started
            yield batch

    def _begin(self, step: int, row: int, unit: int) -> Callable[[], Sample]:
        """A call that gives the sample, which a thread may be drawing by then."""
        generator = generator_of(self._seed, "sample", self._place, step, row)
        work = partial(self._stage.draw, self._store, self._stage.units[unit], generator)
        if self._pool is None:
            return work
        future: Future[Sample] = self._pool.submit(work)
        return future.result


class Order:
    """Which units the batches hold: every pass goes through all of them, in an order of its own.

    The rest of a pass that does not fill a batch is left out of it, so no batch holds a unit twice,
    unless there are fewer units than a batch has rows.

    Args:
        count: Units.
        batch: Rows of a batch, of all processes.
        seed: Of the run.
        place: Number of the stage.
    """

    def __init__(self, count: int, batch: int, seed: int, place: int) -> None:
        self._count, self._batch, self._seed, self._place = count, batch, seed, place
        self._shuffled: tuple[int, list[int]] = (-1, [])

    def rows(self, step: int) -> list[int]:
        """The units of one batch."""
        if self._count < self._batch:
            first = step * self._batch
            return [self._at(first + row) for row in range(self._batch)]
        steps = self._count // self._batch
        first = (step // steps) * self._count + (step % steps) * self._batch
        return [self._at(first + row) for row in range(self._batch)]

    def _at(self, position: int) -> int:
        number, within = divmod(position, self._count)
        if self._shuffled[0] != number:
            generator = generator_of(self._seed, "order", self._place, number)
            self._shuffled = number, torch.randperm(self._count, generator=generator).tolist()
        return self._shuffled[1][within]


def stacked(samples: Sequence[Mapping[str, Tensor]]) -> Batch:
    """Name -> (B, ...), the samples on top of each other."""
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
