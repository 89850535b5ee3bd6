"""The processes that decode for a clip store: what a video does to one of them costs that video.

They differ from the decoders of `video.pool` in what is done with the answers: every video goes to
files of its own, so the thread that listens to a process writes them, and nothing has to come
together in one queue.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import asdict
from types import TracebackType
from typing import Self

from wtal_features.errors import FeatureError
from wtal_features.pretraining.clipworker import ShrinkRequest
from wtal_features.video.limits import Limits
from wtal_features.video.pool import fault_of
from wtal_features.video.wire import Array, Message, WireError, receive, send

_MODULE = "wtal_features.pretraining.clipworker"
# For a process whose answers broke off to end by itself: its exit code tells why.
_PATIENCE_S = 2.0
# To glibc: keep the memory of a frame for the next one, as `video.pool` says.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(128 << 20)}

_Process = subprocess.Popen[bytes]


class Children:
    """Processes for as long as the `with` block lasts; each starts with its first video.

    Example:
        with Children(2, Limits()) as children:
            for message, array in children.answers(request):
                ...
    """

    def __init__(self, count: int, limits: Limits) -> None:
        """Settle how many there are.

        Args:
            count: Processes; so many threads may listen at once.
            limits: What one video may cost.
        """
        self._all = [_Child(limits) for _ in range(count)]
        self._free: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        for child in self._all:
            self._free.put(child)

    def __enter__(self) -> Self:
        """Nothing starts yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End every process, whatever it is doing; none is left when this returns."""
        for child in self._all:
            child.close()

    def answers(
        self, request: ShrinkRequest
    ) -> Generator[tuple[Message, Array | None], None, None]:
        """What a free process says of one video; the last message is `end`.

        Raises:
            FeatureError: If the video cannot be used, or its process died or fell silent.
        """
        child = self._free.get()
        try:
            yield from child.answers(request)
        finally:
            self._free.put(child)

    def watch(self) -> None:
        """Kill what has been silent for too long; to be called now and then."""
        for child in self._all:
            child.end_if_stalled()


class _Child:
    """One process at a time; a new one after the old one died."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: _Process | None = None
        self._starting = threading.Lock()
        self._closed = self._stalled = False
        self._listening_since: float | None = None

    def answers(
        self, request: ShrinkRequest
    ) -> Generator[tuple[Message, Array | None], None, None]:
        """Everything about one video, ending with `end`."""
        process, done = self._started(), False
        assert process.stdin is not None
        try:
            send(process.stdin, asdict(request))
            while not done:
                message, array = self._next(process)
                done = message.get("kind") in ("end", "fault")
                if message.get("kind") == "fault":
                    raise fault_of(message)
                yield message, array
        except (WireError, OSError) as error:
            raise self._death(request, process, str(error)) from error
        finally:
            if not done:  # the rest of its answers is of no use
                _end(process)

    def _next(self, process: _Process) -> tuple[Message, Array | None]:
        """The next answer, listened to with a watch."""
        assert process.stdout is not None
        self._listening_since = time.monotonic()
        try:
            answer = receive(process.stdout)
        finally:
            self._listening_since = None
        if answer is None:
            raise WireError("it fell silent")
        return answer

    def _started(self) -> _Process:
        """The process, ready; starting may take as long as it takes."""
        with self._starting:
            if self._closed:
                raise FeatureError("The decoders were ended.", code="closed")
            if self._process is not None:
                if self._process.poll() is None:
                    return self._process
                _end(self._process)
            process = self._process = _start(self._limits)
            self._stalled = False
        assert process.stdout is not None
        with suppress(WireError):  # one that cannot start is met again by whoever asks it
            receive(process.stdout)
        return process

    def _death(self, request: ShrinkRequest, process: _Process, why: str) -> FeatureError:
        """The fault of a video at which the process died."""
        code = _end(process, _PATIENCE_S)
        if self._stalled:
            problem = f"showed no further frame for {self._limits.stall_s:g} s and was given up"
            cure = "It may be damaged; raise --timeout if the machine is merely slow."
        else:
            problem = f"ended its decoder ({why if code is None else _cause(code)})"
            cure = "It is damaged, or needs more memory than there is; convert it first."
        return FeatureError(f"{request.path} {problem}.", cure, code="decoder")

    def end_if_stalled(self) -> None:
        """Kill the process if it has said nothing for too long while it was listened to."""
        since, process = self._listening_since, self._process
        if since is not None and time.monotonic() - since > self._limits.stall_s and process:
            self._stalled = True
            process.kill()

    def close(self) -> None:
        """End the process, if there is one, and start no other."""
        with self._starting:
            self._closed = True
            if self._process is not None:
                _end(self._process)


def _start(limits: Limits) -> _Process:
    # The child finds the packages that this process found; -P keeps its folder out.
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, str(limits.memory_gb)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**_MALLOC, **os.environ, "PYTHONPATH": path},
        process_group=0,  # Ctrl-C reaches us alone; we end the children
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
        with suppress(OSError, ValueError):  # nobody is there, or another thread is closing it
            if pipe is not None:
                pipe.close()
    return code


def _cause(code: int) -> str:
    """How a process ended, in words."""
    with suppress(ValueError):
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    return f"signal {-code}"
