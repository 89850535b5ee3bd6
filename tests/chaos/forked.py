"""Commands as copies of this process, whose imports are done: they start in milliseconds.

A test or a campaign that uses this is a process of its own, since it forks.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wtal.cli import app

CRASHED = 70  # exit code of a command that ended in a traceback
_POLL_S = 0.001


def _nothing() -> None:
    """Disturb nothing."""


@dataclass
class Running:
    """A command at work.

    Attributes:
        pid: Of its process, which leads a group of its own.
        log: What it prints.
        code: How it ended, as `subprocess` says it; None: it has not.
        cpu_s: What it had used when it was last looked at.
    """

    pid: int
    log: Path
    code: int | None = None
    cpu_s: float = 0.0

    @classmethod
    def start(
        cls,
        words: Sequence[str],
        log: Path,
        before: Callable[[], None] = _nothing,
        after: Callable[[], None] = _nothing,
    ) -> Running:
        """Start `wtal WORDS`.

        Args:
            words: Of the command line.
            log: File for what it prints.
            before: Done first, in its process.
            after: Done last, likewise, if nothing ended it.
        """
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            _be(words, log, before, after)
        with suppress(OSError):  # it was faster
            os.setpgid(pid, pid)
        return cls(pid, log)

    def ended(self) -> bool:
        """Whether it has; its time is noted."""
        if self.code is None:
            with suppress(OSError):  # the clock of a process that is gone
                self.cpu_s = time.clock_gettime(_clock_of(self.pid))
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def wait(self, cpu_s: float = float("inf"), wall_s: float = 300) -> bool:
        """Wait until it has ended, or has used so much time of a processor; whether it has ended.

        Raises:
            TimeoutError: It is killed then.
        """
        until = time.monotonic() + wall_s
        while not self.ended() and self.cpu_s < cpu_s:
            if time.monotonic() > until:
                self.kill()
                raise TimeoutError(f"still at work after {wall_s:g} s: {self.said()}")
            time.sleep(_POLL_S)
        return self.code is not None

    def kill(self) -> None:
        """As `kill -9` does, with all its children."""
        os.killpg(self.pid, signal.SIGKILL)
        while not self.ended():
            time.sleep(_POLL_S)

    def said(self) -> str:
        """What it printed so far."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""


def done(words: Sequence[str], log: Path, before: Callable[[], None] = _nothing) -> Running:
    """A command that has come to its end."""
    running = Running.start(words, log, before)
    running.wait()
    return running


def warm(words: Sequence[str], log: Path) -> Running:
    """Run a command once, and import here what it imported on its way.

    Not in this process: PyTorch differentiates no more in the child of one that has.
    """
    listed = log.with_suffix(".modules")
    running = Running.start(
        words, log, after=lambda: _write(listed, "\n".join(dict.fromkeys(sys.modules)))
    )
    running.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in listed.read_text().splitlines():
            if name not in sys.modules:
                with suppress(Exception):  # some only exist as part of another
                    importlib.import_module(name)
    return running


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _be(
    words: Sequence[str], log: Path, before: Callable[[], None], after: Callable[[], None]
) -> None:
    """What the child does; it never returns."""
    code = CRASHED
    try:
        os.setpgid(0, 0)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        before()
        app(list(words))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
        after()
    except BaseException:  # noqa: BLE001 (nothing may leave the child)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _clock_of(pid: int) -> int:
    """Linux: the clock that counts the processor time of all threads of a process."""
    return (~pid << 3) | 2
