"""Full and read-only disks, clocks that jump, second runs, signals: each against every command.

A process of its own, since it forks: `python -m tests.chaos.hardening` plays all scenes with all
commands, prints a fault a line, and `cannot mount: WHY` where this machine has no small disks.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chaos.commands import COMMANDS
from tests.chaos.disks import CannotMountError, Disk
from tests.chaos.forked import Running, done
from tests.chaos.trials import Bench, at_every_write, kill_self, terminated
from tests.chaos.writes import at_each_write, at_write

_ROOMY = 64 << 20
_PAGE = 4096
_SPACE = ("replace", "fsync", "mkdir", "rename")  # what a full disk refuses
_SOON_S = 2.0  # of a processor
_NO_DISK = "cannot mount"


def _sentence(running: Running, *words: str) -> str:
    """What is wrong with the end of a command that should say one sentence and 1."""
    said = running.said()
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    fine = running.code == 1 and len(errors) == 1 and any(word in errors[0] for word in words)
    return "" if fine and "Traceback" not in said else f"code {running.code}: {said[-400:]}"


def kills(bench: Bench, often: int) -> Iterator[str]:
    """`kill -9` at so many writes, spread over the run."""
    every = max(1, _writes(bench) // often)
    disturb = partial(at_write, action=kill_self)
    yield from _numbered(at_every_write(bench, disturb, _killed, every))


def _writes(bench: Bench) -> int:
    """How often an undisturbed run writes."""
    count = bench.log.with_suffix(".count")
    count.unlink(missing_ok=True)
    bench.clear()
    handle = os.open(count, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    done(bench.words, bench.log, partial(at_each_write, partial(os.write, handle, b".")))
    os.close(handle)
    return count.stat().st_size


def _killed(running: Running) -> bool:
    return running.code == -signal.SIGKILL


def _numbered(faults: Iterator[str]) -> Iterator[str]:
    """The faults; and one if nothing was disturbed at all."""
    count = 0
    for count, fault in enumerate(faults, 1):  # noqa: B007
        yield fault
    if count < 2:
        yield f"only {count} writes were disturbed"


def full_disk(bench: Bench, often: int) -> Iterator[str]:
    """On a disk that is too small, from nearly nothing to nearly enough; then there is space."""
    refused = 0
    with Disk(bench.out, _ROOMY) as disk:
        bench.clear()
        given = _pages([path.stat().st_size for path in bench.out.rglob("*") if path.is_file()])
        needed = max(0, _pages([len(data) for data in bench.whole.values()]) - given)
        for share in (0.05, 0.4, 0.8)[-often // 2 :]:
            disk.resize(_ROOMY)
            bench.clear()
            disk.resize(given + _PAGE + round(share * needed))
            ended = done(bench.words, bench.log)
            refused += ended.code != 0
            disk.resize(_ROOMY)
            yield (ended.code and _sentence(ended, "space")) or bench.goes_on()
    yield "" if refused else "the disk was large enough"


def _pages(sizes: list[int]) -> int:
    return sum(-(-size // _PAGE) * _PAGE for size in sizes)


def no_space(bench: Bench, often: int) -> Iterator[str]:
    """So many writes meet a full disk; the next run goes on."""

    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    disturb = partial(at_write, action=full, names=_SPACE)
    every = max(1, _writes(bench) // often)
    yield from at_every_write(bench, disturb, _says_space, every)


def _says_space(running: Running) -> bool:
    return not _sentence(running, "space")


def read_only(bench: Bench, often: int) -> Iterator[str]:
    """A folder that cannot be written: a sentence, and nothing has changed."""
    with Disk(bench.out, _ROOMY) as disk:
        bench.clear()
        before = bench.made()
        disk.read_only(True)
        yield _sentence(done(bench.words, bench.log), "annot be written", "ead-only")
        yield "something has changed" if bench.made() != before else ""
        disk.read_only(False)
        yield bench.goes_on()


def clocks(bench: Bench, often: int) -> Iterator[str]:
    """Clocks that run backwards; files of 1970 and of the future; the bytes are the same."""
    for moment_ns in (0, 4_000_000_000 * 10**9):
        bench.clear()
        files = [path for path in bench.folder.rglob("*") if path.is_file()]
        stats = [path.stat() for path in files]
        for path in files:
            os.utime(path, ns=(moment_ns, moment_ns))
        ended = done(bench.words, bench.log, _run_backwards)
        yield f"it ended with {ended.code}: {ended.said()[-400:]}" if ended.code else ""
        for path, stat in zip(files, stats, strict=True):  # some products name those of videos
            if path.exists():
                os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        yield bench.goes_on()


def _run_backwards() -> None:
    """An hour back at each look; what measures durations may go on."""
    now = [4e9]

    def back() -> float:
        now[0] -= 3600
        return now[0]

    time.time = back
    time.time_ns = lambda: int(back() * 1e9)


def second_run(bench: Bench, often: int) -> Iterator[str]:
    """A second run in a folder is refused at once, and the first ends as if alone."""
    bench.clear()
    stop = partial(os.kill, 0, signal.SIGSTOP)  # the group of the process: itself
    first = Running.start(bench.words, bench.log, partial(at_write, 4, stop))
    _wait_until_stopped(first)
    second = done(bench.words_again, bench.log.with_suffix(".second"))
    yield _sentence(second, f"process {first.pid}", "already holds a run", "is not empty")
    yield "it took long" if second.cpu_s > _SOON_S else ""
    os.kill(first.pid, signal.SIGCONT)
    first.wait()
    yield f"the first ended with {first.code}: {first.said()}" if first.code else ""
    yield bench.goes_on()


def _wait_until_stopped(running: Running) -> None:
    stat = Path(f"/proc/{running.pid}/stat")
    while stat.read_text().rpartition(")")[2].split()[0] != "T":
        assert not running.ended(), running.said()
        time.sleep(0.01)


def signals(bench: Bench, often: int) -> Iterator[str]:
    """SIGTERM and Ctrl-C at several moments; the next run goes on to the same bytes."""
    draw = random.Random(bench.name)
    for number in (signal.SIGTERM, signal.SIGINT):
        for _ in range(max(1, often // 4)):
            bench.clear()
            yield terminated(bench, draw.uniform(0.2, 0.95), number)[1]
            yield bench.goes_on()


SCENES: dict[str, Callable[[Bench, int], Iterator[str]]] = {
    scene.__name__: scene
    for scene in (kills, full_disk, no_space, read_only, clocks, second_run, signals)
}


def main() -> int:
    """The command; 1 where a fault was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scene", action="append", choices=list(SCENES), help="default: all")
    parser.add_argument("--command", action="append", choices=list(COMMANDS), help="likewise")
    parser.add_argument("--often", type=int, default=12, help="how often a scene is played")
    asked = parser.parse_args()
    found = []
    with TemporaryDirectory(prefix="wtal-chaos-") as folder:
        for name in asked.command or list(COMMANDS):
            bench = Bench.of(name, Path(folder))
            for scene in asked.scene or list(SCENES):
                for fault in _played(SCENES[scene], bench, asked.often):
                    sys.stdout.write(f"{name}, {scene}: {fault}\n")
                    found.append(fault)
    return 1 if any(not fault.startswith(_NO_DISK) for fault in found) else 0


def _played(
    scene: Callable[[Bench, int], Iterator[str]], bench: Bench, often: int
) -> Iterator[str]:
    try:
        yield from filter(None, scene(bench, often))
    except CannotMountError as error:
        yield f"{_NO_DISK}: {error}"


if __name__ == "__main__":
    sys.exit(main())
