"""One disturbance of one command, and whether running it again ends in the undisturbed bytes."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from tests.chaos.commands import COMMANDS, Command
from tests.chaos.forked import CRASHED, Running, done, warm
from wtal import environment

Phase = Literal["before the first write", "in the middle", "after the end"]
STOPS_WITHIN_S = 3.0  # of a processor, after SIGTERM
_TEMPORARY = ".wtal-tmp-*"


@dataclass
class Bench:
    """A command, its inputs, and what it makes when nothing disturbs it.

    Attributes:
        name: Of the command.
        command: Itself.
        folder: Of inputs, results and logs.
        whole: What it makes.
        cpu_s: What that takes.
    """

    name: str
    command: Command
    folder: Path
    whole: dict[str, bytes]
    cpu_s: float

    @classmethod
    def of(cls, name: str, root: Path) -> Bench:
        """Prepare a command; two undisturbed runs must agree.

        Args:
            name: Key of `COMMANDS`.
            root: A folder to work in.
        """
        torch.set_num_threads(1)
        environment._commit = lambda: None  # `git describe` takes longer than a training here
        bench = cls(name, COMMANDS[name], root / name, {}, 0.0)
        bench.inputs.mkdir(parents=True)
        bench.command.prepare(bench.inputs)
        for run in (warm, done):
            bench.clear()
            ended = run(bench.words, bench.log)
            assert ended.code == 0, ended.said()
            before, bench.whole = bench.whole, bench.made()
            bench.cpu_s = ended.cpu_s
        differ = [n for n in before.keys() | bench.whole if before.get(n) != bench.whole.get(n)]
        assert not differ, f"two undisturbed runs of {name} differ in {differ}"
        return bench

    @property
    def inputs(self) -> Path:
        """What it reads."""
        return self.folder / "in"

    @property
    def out(self) -> Path:
        """What it writes into."""
        return self.folder / "out"

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "log.txt"

    @property
    def words(self) -> list[str]:
        """Its command line."""
        return self.command.words(self.inputs, self.out)

    @property
    def words_again(self) -> list[str]:
        """The command line that goes on."""
        return [*self.words, *self.command.again]

    def clear(self) -> None:
        """As before the first run; the folder itself stays, for it may be a disk of its own."""
        self.out.mkdir(exist_ok=True)
        for path in self.out.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.command.begin(self.inputs, self.out)

    def made(self) -> dict[str, bytes]:
        """What is there."""
        return self.command.products(self.out)

    def left(self) -> list[str]:
        """Half-written files."""
        return sorted(str(path.relative_to(self.out)) for path in self.out.rglob(_TEMPORARY))

    def goes_on(self) -> str:
        """Run it again, undisturbed; what is wrong afterwards, in a sentence."""
        ended = done(self.words_again, self.log)
        if ended.code != 0:
            return f"the next run ended with {ended.code}: {ended.said()[-400:]}"
        made = self.made()
        names = sorted(self.whole.keys() | made)
        differ = [name for name in names if made.get(name) != self.whole.get(name)]
        if differ:
            return f"after the next run these differ: {differ}"
        return f"half-written files stay: {self.left()}" if self.left() else ""


def killed(bench: Bench, share: float, again: bool) -> tuple[Phase, str]:
    """`kill -9` when a run has used so much of what it takes.

    Args:
        bench: The command.
        share: Of the processor time of an undisturbed run.
        again: Whether an earlier run was killed already; this one goes on from it.

    Returns:
        Where it was hit, and the fault of a run that ended before.
    """
    before = bench.made()
    running = Running.start(bench.words_again if again else bench.words, bench.log)
    if running.wait(share * bench.cpu_s):
        return "after the end", "" if running.code == 0 else f"it failed: {running.said()[-1500:]}"
    running.kill()
    return ("before the first write" if bench.made() == before else "in the middle"), ""


def terminated(bench: Bench, share: float, number: signal.Signals) -> tuple[Phase, str]:
    """SIGTERM, or Ctrl-C: it stops soon, says 1, leaves nothing half-written."""
    before = bench.made()
    running = Running.start(bench.words, bench.log)
    if running.wait(share * bench.cpu_s):
        return "after the end", ""
    os.kill(running.pid, number)
    since_s = running.cpu_s
    if not running.wait(since_s + STOPS_WITHIN_S):
        running.kill()
        return "in the middle", f"it went on for {STOPS_WITHIN_S:g} s"
    untouched = bench.made() == before
    phase: Phase = "before the first write" if untouched else "in the middle"
    # Before the command has begun, or after its last line, a signal ends Python itself.
    torn = running.code == CRASHED and "KeyboardInterrupt" in running.said()
    edge = torn or running.code in (-number, 128 + number)
    if edge and (untouched or bench.made() == bench.whole):
        return phase, ""
    if running.code not in (0, 1):
        return phase, f"it ended with {running.code}: {running.said()[-1500:]}"
    if "Traceback" in running.said():
        return phase, f"it told of itself: {running.said()[-1500:]}"
    return phase, f"half-written files stay: {bench.left()}" if bench.left() else ""


def kill_self() -> None:
    """What `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def at_every_write(
    bench: Bench,
    disturb: Callable[[int], None],
    allowed: Callable[[Running], bool],
    every: int = 1,
) -> Iterator[str]:
    """Disturb a run at each of its writes in turn, and let it go on; what was wrong, each time.

    Args:
        bench: The command.
        disturb: Called in its process with the number of the write, from 1; see `at_write`.
        allowed: Whether a run may end so.
        every: Leaves writes out.
    """
    step = 1
    while True:
        bench.clear()
        ended = done(bench.words, bench.log, partial(disturb, step))
        if ended.code == 0:
            return
        if not allowed(ended):
            yield f"write {step}: it ended with {ended.code}: {ended.said()[-400:]}"
        else:
            fault = bench.goes_on()
            yield f"write {step}: {fault}" if fault else ""
        step += every
