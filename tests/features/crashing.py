"""Runs that end before any of their steps of writing, as `kill -9` would end them.

A process of its own, since it forks: `python -m tests.features.crashing SCENARIO VIDEOS FOLDER
EVERY` ends a run at every EVERY-th step in turn, lets the same command go on, and compares the
store with that of a run that nothing disturbed. Prints the step at which it came to its end.
"""

import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.chaos.writes import at_write
from tests.features.in_process import decode_here
from wtal_features import extract
from wtal_features.encoders.histograms import ColourHistogram
from wtal_features.shards import Shard

SHARES = 3


def contents(store: Path) -> dict[str, bytes]:
    """Every file but the lock, with its bytes."""
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def ends_at(step: int, action: Callable[[], object]) -> bool:
    """Run `action` in a process that dies before its step-th write; whether it got there."""
    child = os.fork()
    if child == 0:
        try:
            at_write(step, lambda: os._exit(9))  # no buffer is flushed, no `finally` runs
            action()
            os._exit(0)
        except BaseException:  # noqa: BLE001 (nothing may leave the child)
            traceback.print_exc()
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), f"step {step}: exit code {code}"
    return code == 9


def one_run(videos: Path, folder: Path, every: int) -> int:
    """Extract, dying at every step; go on."""
    whole = folder / "whole"
    extract(videos, whole, ColourHistogram())
    step = 1
    while ends_at(step, lambda: extract(videos, folder / "s", ColourHistogram())):
        extract(videos, folder / "s", ColourHistogram())
        assert contents(folder / "s") == contents(whole), f"step {step}"
        shutil.rmtree(folder / "s")
        step += every
    return step


def changed_video(videos: Path, folder: Path, every: int) -> int:
    """A store is there and one video has changed: old or new features, never a mixture."""
    before, after = folder / "before", folder / "after"
    shutil.copytree(videos, after)
    shutil.copy(videos / "a.mp4", after / "b.mp4")
    extract(videos, before, ColourHistogram())
    extract(after, folder / "whole", ColourHistogram())
    step = 1
    while True:
        shutil.copytree(before, folder / "s")
        if not ends_at(step, lambda: extract(after, folder / "s", ColourHistogram())):
            return step
        extract(after, folder / "s", ColourHistogram())
        assert contents(folder / "s") == contents(folder / "whole"), f"step {step}"
        shutil.rmtree(folder / "s")
        step += every


def last_share(videos: Path, folder: Path, every: int) -> int:
    """The last of three shares, and the joining; go on by running a share again."""
    extract(videos, folder / "whole", ColourHistogram())

    def share(i: int) -> None:
        extract(videos, folder / "s", ColourHistogram(), shard=Shard(i, SHARES))

    for i in (1, 2):
        share(i)
    (folder / "s").rename(folder / "two")
    step = 1
    while True:
        shutil.copytree(folder / "two", folder / "s")
        if not ends_at(step, lambda: share(SHARES)):
            return step
        share(1 + step % SHARES)  # takes up a join that was under way
        for i in (SHARES, 1, 2, 3):  # where the last share was not finished, or all were joined
            if (folder / "s" / ".shards").exists():
                share(i)
        assert contents(folder / "s") == contents(folder / "whole"), f"step {step}"
        shutil.rmtree(folder / "s")
        step += every


if __name__ == "__main__":
    torch.set_num_threads(1)
    decode_here(pytest.MonkeyPatch())
    scenarios = {f.__name__: f for f in (one_run, changed_video, last_share)}
    scenario, videos, folder, every = sys.argv[1:]
    sys.stdout.write(f"{scenarios[scenario](Path(videos), Path(folder), int(every))}\n")
