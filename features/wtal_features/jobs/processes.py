"""The driver of one machine: processes that take share after share.

A process that dies costs the share it was at, which is tried once more by a new one.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Generic

from wtal_features.jobs import Attempt, Result, Tick, Work, attempt
from wtal_features.shards import Shard

_TICK_S = 1.0
_TRIES = 2
_END_S = 5.0


def in_processes(
    works: Sequence[Work[Result]], shards: Sequence[Shard], tick: Tick
) -> Iterator[Attempt[Result]]:
    """Do all shares, one process for each of `works`.

    Args:
        works: The same work, as each process shall do it: they may differ in the device.
        shards: Handed out in this order.
        tick: Called about once a second.

    Yields:
        How each share went, as they end.
    """
    todo, tries = deque(shards), dict.fromkeys(shards, 0)
    hands = [_Hand(work) for work in works[: len(shards)]]
    try:
        for hand in hands:
            hand.take(todo.popleft(), tries)
        while busy := {hand.channel: hand for hand in hands if hand.shard is not None}:
            ready = wait(list(busy), _TICK_S)
            for hand in [hand for channel, hand in busy.items() if channel in ready]:
                found = hand.answer()
                if found.result is None and hand.died and tries[found.shard] < _TRIES:
                    todo.appendleft(found.shard)
                else:
                    yield found
                if todo:
                    hand.take(todo.popleft(), tries)
            tick()
    finally:
        for hand in hands:
            hand.end()


class _Hand(Generic[Result]):
    """One process, as its user sees it; replaced when it has died."""

    def __init__(self, work: Work[Result]) -> None:
        self._work, self.died = work, False
        self.shard: Shard | None = None  # that it is at
        self._start()

    def _start(self) -> None:
        # A fork would copy the threads' locks of PyTorch in whatever state they are.
        context = multiprocessing.get_context("spawn")
        self.channel, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(
            target=_serve, args=(self._work, theirs), daemon=True
        )
        self._process.start()
        theirs.close()  # so that its end is seen when the process has gone

    def take(self, shard: Shard, tries: dict[Shard, int]) -> None:
        """Begin with a share."""
        if self.died:
            self.end()
            self._start()
        self.shard, self.died = shard, False
        tries[shard] += 1
        with suppress(OSError):  # it died before; `answer` will see
            self.channel.send(shard)

    def answer(self) -> Attempt[Result]:
        """How the share went, or that the process died of it."""
        assert self.shard is not None
        shard, self.shard = self.shard, None
        try:
            found: Attempt[Result] = self.channel.recv()
        except (EOFError, OSError):
            self.died = True
            self._process.join(_END_S)
            code = self._process.exitcode
            return Attempt(shard, None, f"Its process ended with exit code {code}, twice.")
        return found

    def end(self) -> None:
        """Whatever it is doing."""
        self.channel.close()
        self._process.terminate()
        self._process.join(_END_S)
        self._process.kill()
        self._process.join()
        self._process.close()


def _serve(work: Work[Result], channel: Connection) -> None:
    """In the process: share after share, until nobody listens."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        while True:
            channel.send(attempt(work, channel.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        return  # the parent has all it wants, is gone, or is being stopped as we are


def _end_with_parent() -> None:
    """Leave no process behind when the parent was killed: it would hold the lock of its share."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
