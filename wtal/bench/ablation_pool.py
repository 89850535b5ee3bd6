"""Units side by side, each in a process of its own.

A process that dies takes one unit with it and nothing else, its memory is given back, and its
threads are set before torch starts. The processes are kept from the terminal's Ctrl-C: they stop
when their input ends, that is, when this process asks them to or is gone, and keep a checkpoint.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from wtal.bench.ablation_unit import Unit
from wtal.interrupt import sigterm_as_ctrl_c

COMMAND = (sys.executable, "-m", "wtal.bench.ablation_unit")
POLL_S = 0.1  # a unit takes minutes
LAST_WORDS = 20_000  # bytes of a dead process's stderr that are looked at


@dataclass(frozen=True)
class _Running:
    unit: Unit
    process: subprocess.Popen[bytes]
    errors: IO[bytes]


def run_units(
    units: Sequence[Unit],
    jobs: int,
    *,
    on_end: Callable[[Unit, str, str], None],
    on_wait: Callable[[], None] = lambda: None,
) -> None:
    """Run all of them, at most `jobs` at a time, in their order.

    Args:
        units: what to run.
        jobs: processes at a time.
        on_end: told of the unit, its fault in a sentence (empty: none), and what it wrote to
            stderr.
        on_wait: called ten times a second.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; all processes have stopped, with a checkpoint.
    """
    waiting, running = deque(units), list[_Running]()
    with sigterm_as_ctrl_c():
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_start(waiting.popleft()))
                for each in [each for each in running if each.process.poll() is not None]:
                    running.remove(each)
                    on_end(each.unit, *_ended(each))
                on_wait()
                time.sleep(POLL_S)
        finally:
            _stop(running)


def _start(unit: Unit) -> _Running:
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `_ended` or with the process
    path = os.pathsep.join(entry for entry in sys.path if entry)
    process = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(unit.threads)},
        start_new_session=True,
    )
    assert process.stdin is not None  # a pipe
    with suppress(BrokenPipeError):  # it died at once: `_ended` tells why
        process.stdin.write(unit.to_json() + b"\n")
        process.stdin.flush()
    return _Running(unit, process, errors)


def _ended(running: _Running) -> tuple[str, str]:
    """Fault and stderr of a process that has ended."""
    process, errors = running.process, running.errors
    said = process.communicate()[0]
    with errors:
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - LAST_WORDS))
        words = errors.read().decode(errors="replace")
    if process.returncode == 0:
        return str(json.loads(said)["fault"]), words
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        cause = " (the system may have been short of memory)" if name == "SIGKILL" else ""
        return f"Its process was ended by {name}{cause}; the same command continues it.", words
    last = [line for line in words.splitlines() if line.strip()] or ["no message"]
    return f"Its process failed: {last[-1]}", words


def _stop(running: Sequence[_Running]) -> None:
    """Let every process end at its next step; a second Ctrl-C ends them at once."""
    if running:
        sys.stderr.write("Stopping at the next step; Ctrl-C again stops at once.\n")
    try:
        for each in running:
            _close_input(each.process)
        for each in running:
            each.process.communicate()
    except KeyboardInterrupt:
        for each in running:
            each.process.kill()
        raise
    finally:
        for each in running:
            each.errors.close()


def _close_input(process: subprocess.Popen[bytes]) -> None:
    """The sign to stop."""
    if process.stdin is not None:
        process.stdin.close()
        process.stdin = None  # `communicate` would write to it
