"""A decoder as its parent sees it: a process that answers requests, replaced when it dies.

Legend: what stands on its pipes is in `wire`, what it does in `serving`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Any

from wtal_features.errors import FeatureError
from wtal_features.video.limits import Limits
from wtal_features.video.wire import Array, Message, WireError, receive, send

# For a decoder whose answers broke off to end by itself: its exit code tells why.
_PATIENCE_S = 2.0
# To glibc: keep the memory of a frame for the next one. Handed back, it would come again empty, and
# clearing the pages of 1280 x 720 px costs as much as shrinking them.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(128 << 20)}

_Process = subprocess.Popen[bytes]
Answers = Generator[tuple[Message, Array | None], None, None]


class Decoder:
    """One process at a time; a new one after the old one died."""

    def __init__(self, module: str, limits: Limits) -> None:
        """Start nothing yet.

        Args:
            module: What the process runs: `python -m MODULE MEMORY_GB`.
            limits: What one video may cost.
        """
        self.module, self.limits = module, limits
        self._process: _Process | None = None
        self._starting = threading.Lock()
        self._closed = False
        self._ready = False  # has said something
        self._waiting_since: float | None = None
        self._stalled = False

    def answers(self, request: Any) -> Answers:
        """Everything about one video, ending with `end` or `fault`; nothing once it is closed.

        A process whose answers are not heard to their end is of no more use, and is ended.

        Args:
            request: A dataclass with a `path`, which the module understands.
        """
        process = self._started()
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        done, why = False, "it fell silent"
        try:
            send(process.stdin, asdict(request))
            while not done and (answer := self._next(process.stdout)) is not None:
                done = answer[0].get("kind") in ("end", "fault")
                yield answer
        except (WireError, OSError) as error:
            why = str(error)
        except GeneratorExit:
            if not done:
                _end(process)
            raise
        finally:
            self._waiting_since = None
        if not done:
            yield self._death(request.path, process, why), None

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
                self._process = _start(self.module, self.limits)
                self._ready = self._stalled = False
            return self._process

    def _death(self, path: str, process: _Process, why: str) -> Message:
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
            "problem": f"{path} {problem}.",
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


def fault_of(message: Message) -> FeatureError:
    """The error that a `fault` tells of."""
    return FeatureError(message["problem"], message["cure"], code=message["code"])


def _start(module: str, limits: Limits) -> _Process:
    # The child finds the packages that this process found; -P keeps its folder out.
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, str(limits.memory_gb)],
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
        with suppress(OSError, ValueError):  # nobody is there, or another thread is closing it
            if pipe is not None:
                pipe.close()
    return code


def _cause(code: int) -> str:
    """How a process ended, in words."""
    with suppress(ValueError):
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    return f"signal {-code}"
