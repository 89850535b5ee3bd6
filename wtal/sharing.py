"""`--shard`, `--jobs` and `--ray`: one work in shares, on this machine or on a cluster.

What a share is, is the business of its command (`extract`, `localize`); here are the words, the
choice of the driver, and the progress, which is read from the journals of the shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from wtal.errors import WtalError
from wtal.interrupt import sigterm_as_ctrl_c
from wtal_features.jobs import Attempt, Tick, attempt
from wtal_features.shards import Shard, divide

Result = TypeVar("Result", covariant=True)
Progress = Callable[[int, int], None]  # videos done, videos in all
# Shares per process: one that has done its own takes over from those with the long videos.
PER_PROCESS = 4
# Tasks of a cluster, at most: each lists the videos anew.
MOST_TASKS = 1000
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Sharing:
    """How a work is shared out.

    Attributes:
        shard: `i/N`: this share alone; the others are run elsewhere.
        jobs: Processes of this machine, or tasks of the cluster in all; 0: not said.
        ray: Address of a cluster.
    """

    shard: str | None = None
    jobs: int = 0
    ray: str | None = None

    def one(self) -> Shard | None:
        """The share that alone is asked for.

        Raises:
            FeatureError: it is no share.
            WtalError: all are asked for, too.
        """
        if self.shard is None:
            return None
        if self.jobs or self.ray is not None:
            raise WtalError("--shard does one share, --jobs and --ray do all: give one or other.")
        return Shard.parse(self.shard)

    @property
    def divides(self) -> bool:
        """Whether a driver is asked for."""
        return self.jobs > 1 or self.ray is not None

    def shares(self, folder: Path, videos: int) -> list[Shard]:
        """All shares: those of an earlier run that was stopped; one if nothing is shared out.

        Args:
            folder: where the shares have their folders.
            videos: how many there are.
        """
        wanted = self.jobs * PER_PROCESS if self.jobs > 1 else 1
        if self.ray is not None:
            wanted = self.jobs or MOST_TASKS
        return divide(folder, videos, wanted)


class SharedWork(Protocol[Result]):
    """The work of a command, as the drivers call it; pickled on its way to a process or a node."""

    def __call__(self, shard: Shard) -> Result:
        """Do one share."""

    def on(self, process: int, processes: int) -> SharedWork[Result]:
        """The same for one of several processes of this machine: its GPU, its threads."""

    def tasks(self) -> tuple[int, int | None]:
        """Cores and GPUs of a task of a cluster; None: a GPU if there is one."""


def do_shares(
    sharing: Sharing, work: SharedWork[Result], shards: Sequence[Shard], watch: Watch
) -> tuple[list[Result], dict[Shard, str]]:
    """Do all shares by the driver that was chosen.

    Args:
        sharing: which driver.
        work: of one share.
        shards: all of them.
        watch: told of progress.

    Returns:
        What the shares returned, and why others did not come to their end.

    Raises:
        FeatureError: there is no Ray, or no cluster.
    """
    results, faults = [], {}
    with sigterm_as_ctrl_c():
        for found in _attempts(sharing, work, shards, watch.tick):
            if found.result is None:
                faults[found.shard] = found.fault
            else:
                results.append(found.result)
                watch.end(found.shard)
    return results, faults


def _attempts(
    sharing: Sharing, work: SharedWork[Result], shards: Sequence[Shard], tick: Tick
) -> Iterator[Attempt[Result]]:
    if sharing.ray is not None:
        from wtal_features.jobs.ray_tasks import on_ray

        cpus, gpus = work.tasks()
        return on_ray(work, shards, sharing.ray, tick, cpus=cpus, gpus=gpus)
    if sharing.jobs > 1:
        from wtal_features.jobs.processes import in_processes

        processes = min(sharing.jobs, len(shards))
        works = [work.on(i, processes) for i in range(processes)]
        return in_processes(works, shards, tick)
    return (attempt(work, shard, patience_s=0) for shard in shards)


def refuse_undone(faults: dict[Shard, str]) -> None:
    """Say which shares are not done.

    Raises:
        WtalError: there is one.
    """
    for shard, why in faults.items():
        raise WtalError(
            f"{len(faults)} of {shard.count} shares are not done, such as {shard.word}: {why} "
            "What is finished is kept; the same command goes on."
        )


class Watch:
    """Videos that are done so far: those of shares that ended, and lines of the others' journals.

    Each look reads what was added since the last one, so that it costs the same at any size.
    """

    def __init__(self, journals: dict[Shard, Path], videos: int, tell: Progress) -> None:
        """Begin.

        Args:
            journals: of each share: one line for its head, then one for each video.
            videos: how many there are.
            tell: told (done, total).
        """
        self._journals, self._videos, self._tell = dict(journals), videos, tell
        self._read = dict.fromkeys(journals, (0, 0))  # bytes, lines
        self._ended = 0

    def tick(self) -> None:
        """Look, and tell."""
        for shard, path in self._journals.items():
            at, lines = self._read[shard]
            try:
                with path.open("rb") as file:
                    file.seek(at)
                    while new := file.read(_BLOCK):
                        at, lines = at + len(new), lines + new.count(b"\n")
            except FileNotFoundError:
                continue
            self._read[shard] = at, lines
        running = sum(max(0, lines - 1) for _, lines in self._read.values())
        self._tell(min(self._videos, self._ended + running), self._videos)

    def end(self, shard: Shard) -> None:
        """A share has come to its end."""
        del self._journals[shard], self._read[shard]
        self._ended += len(shard.of(range(self._videos)))
        self.tick()
