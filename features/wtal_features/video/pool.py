"""Several decoders side by side; whatever one of them meets costs the video it was at, no more.

Each decoder is a process (`worker`) with a thread here that hands it requests and reads its
answers into one bounded queue. A full queue makes the decoders wait, so memory stays bounded; a
decoder that dies or shows nothing for too long is replaced.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from types import TracebackType
from typing import IO, NamedTuple, Self

from wtal_features.errors import FeatureError
from wtal_features.video.limits import Limits
from wtal_features.video.wire import Array, Message, WireError, receive, send
from wtal_features.video.worker import Request

_POLL_S = 0.5
# Clips that may wait per decoder; two keep it busy while the encoder works.
_AHEAD = 2
# For a decoder whose answers broke off to end by itself: its exit code tells why.
_PATIENCE_S = 2.0
# To glibc: keep the memory of a frame for the next one. Handed back, it would come again empty, and
# clearing the pages of 1280 x 720 px costs as much as shrinking them.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(128 << 20)}

_Process = subprocess.Popen[bytes]


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
        self._decoders: list[_Decoder] = []
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
        self._decoders = [_Decoder(self.limits) for _ in range(self.workers)]
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

    def _drive(self, decoder: _Decoder, todo: _Shared) -> None:
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


class _Decoder:
    """One process at a time; a new one after the old one died."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._process: _Process | None = None
        self._starting = threading.Lock()
        self._closed = False
        self._ready = False  # has said something
        self._waiting_since: float | None = None
        self._stalled = False

    def answers(self, request: Request) -> Iterator[tuple[Message, Array | None]]:
        """Everything about one video, ending with `end` or `fault`; nothing once it is closed."""
        process = self._started()
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        why = "it fell silent"
        try:
            send(process.stdin, asdict(request))
            while (answer := self._next(process.stdout)) is not None:
                yield answer
                if answer[0].get("kind") in ("end", "fault"):
                    return
        except (WireError, OSError) as error:
            why = str(error)
        finally:
            self._waiting_since = None
        yield self._death(request, process, why), None

    def _next(self, pipe: IO[bytes]) -> tuple[Message, Array | None] | None:
        """The next answer, listened to with a watch; starting may take as long as it takes."""
        self._waiting_since = time.monotonic() if self._ready else None
        answer = receive(pipe)
        self._waiting_since = None
        self._ready = True
        return answer

    def _started(self) -> _Process | None:
        with self._starting:
            if self._closed:
                return None
            if self._process is None or self._process.poll() is not None:
                if self._process is not None:
                    _end(self._process)
                self._process = _start(self.limits)
                self._ready = self._stalled = False
            return self._process

    def _death(self, request: Request, process: _Process, why: str) -> Message:
        """The fault of a video at which the decoder died."""
        code = _end(process, _PATIENCE_S)
        if self._stalled:
            problem = f"showed no further frame for {self.limits.stall_s:g} s and was given up"
            cure = "It may be damaged; raise --timeout if the machine is merely slow."
        else:
            problem = f"ended its decoder ({why if code is None else _cause(code)})"
            cure = "It is damaged, or needs more memory than there is; convert it first."
        return {
            "kind": "fault",
            "code": "decoder",
            "problem": f"{request.path} {problem}.",
            "cure": cure,
        }

    def end_if_stalled(self) -> None:
        """Kill the process if it has said nothing for too long while it was listened to."""
        since = self._waiting_since
        if since is not None and time.monotonic() - since > self.limits.stall_s:
            self._stalled = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End the process, if there is one, and start no other."""
        with self._starting:
            self._closed = True
            if self._process is not None:
                _end(self._process)


def _start(limits: Limits) -> _Process:
    # The child finds the packages that this process found; -P keeps its folder out.
    path = os.pathsep.join(entry for entry in sys.path if entry)
    module = ("-P", "-m", "wtal_features.video.worker")
    return subprocess.Popen(
        [sys.executable, *module, str(limits.memory_gb)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**_MALLOC, **os.environ, "PYTHONPATH": path},
        process_group=0,  # Ctrl-C reaches us alone; we end the decoders
    )


def _end(process: _Process, patience_s: float = 0) -> int | None:
    """See a process end and close its pipes; its exit code, None if it had to be killed."""
    code = None
    try:
        code = process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # there is nobody to whom the rest could be sent
            if pipe is not None:
                pipe.close()
    return code


def _cause(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def fault_of(message: Message) -> FeatureError:
    """The error that a `fault` tells of."""
    return FeatureError(message["problem"], message["cure"], code=message["code"])


def default_workers() -> int:
    """One decoder per core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
