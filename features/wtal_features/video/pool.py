"""Several decoders side by side; whatever one of them meets costs the video it was at, no more.

Each decoder is a process (`decoder`, `worker`) with a thread here that hands it requests and reads
its answers into one bounded queue. A full queue makes the decoders wait, so memory stays bounded.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

from wtal_features.video.decoder import Decoder
from wtal_features.video.limits import Limits
from wtal_features.video.wire import Array, Message
from wtal_features.video.worker import Request

_POLL_S = 0.5
# Clips that may wait per decoder; two keep it busy while the encoder works.
_AHEAD = 2
_MODULE = "wtal_features.video.worker"


class Answer(NamedTuple):
    """What a decoder said about one request."""

    request: Request
    message: Message  # kind: clip, alive, end or fault
    array: Array | None


class DecoderPool:
    """Decoders for as long as the `with` block lasts.

    Example:
        with DecoderPool(2, Limits()) as pool:
            for request, message, array in pool.answers(requests):
                ...
    """

    def __init__(self, workers: int, limits: Limits) -> None:
        """Settle how many there are; they start in the `with` block.

        Args:
            workers: Processes.
            limits: What one video may cost.
        """
        self.workers, self.limits = workers, limits
        self._answers: queue.Queue[Answer | BaseException | None] = queue.Queue(_AHEAD * workers)
        self._decoders: list[Decoder] = []
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        """Start nothing yet: decoders start with their first request."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End every decoder, whatever it is doing; none is left when this returns."""
        self._stop.set()
        for decoder in self._decoders:
            decoder.close()

    def answers(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """What the decoders say, as it comes; the clips of one video come in their order.

        Args:
            requests: Taken up in this order, each when a decoder is free; the iterator runs in the
                threads of the decoders, one at a time.

        Yields:
            Clips and signs of life of the videos at hand, and one `end` or `fault` for each.
        """
        todo = _Shared(iter(requests))
        self._decoders = [Decoder(_MODULE, self.limits) for _ in range(self.workers)]
        threads = [
            threading.Thread(target=self._drive, args=(decoder, todo), daemon=True)
            for decoder in self._decoders
        ]
        for thread in threads:
            thread.start()
        running = len(threads)
        while running:
            self._watch()
            try:
                answer = self._answers.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if isinstance(answer, BaseException):
                raise answer
            if answer is None:
                running -= 1
            else:
                yield answer

    def _watch(self) -> None:
        for decoder in self._decoders:
            decoder.end_if_stalled()

    def _drive(self, decoder: Decoder, todo: _Shared) -> None:
        """Give one decoder request after request; runs in a thread of its own."""
        try:
            while not self._stop.is_set() and (request := todo.next()) is not None:
                for message, array in decoder.answers(request):
                    self._put(Answer(request, message, array))
                    if self._stop.is_set():
                        return
            self._put(None)
        except BaseException as error:  # noqa: BLE001 (raised again where the answers are read)
            self._put(error)

    def _put(self, answer: Answer | BaseException | None) -> None:
        while not self._stop.is_set():
            try:
                self._answers.put(answer, timeout=_POLL_S)
            except queue.Full:
                continue
            return


class _Shared:
    """An iterator that several threads take from."""

    def __init__(self, requests: Iterator[Request]) -> None:
        self._requests, self._lock = requests, threading.Lock()

    def next(self) -> Request | None:
        """The next one; None at the end."""
        with self._lock:
            return next(self._requests, None)


def default_workers() -> int:
    """One decoder per core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
