"""Works of one share for the tests of the drivers; importable, since they are pickled."""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.features.in_process import InProcessPool
from wtal_features import FeatureError, extract
from wtal_features.encoders.histograms import ColourHistogram
from wtal_features.extraction import ExtractionReport, ExtractSettings, run
from wtal_features.shards import Shard
from wtal_features.video.limits import Limits
from wtal_features.video.pool import Answer
from wtal_features.video.worker import Request


@dataclass(frozen=True)
class Square:
    """The square of the shard's number; every call leaves a line with the process.

    Args:
        log: Where.
        refused: A shard that meets a fault of the user's.
        deadly: A shard that kills its process, so many times.
        times: How many.
        pause_s: How long a shard takes.
    """

    log: Path
    refused: int = 0
    deadly: int = 0
    times: int = 0
    pause_s: float = 0.0

    def __call__(self, shard: Shard) -> int:
        with self.log.open("a") as file:
            file.write(f"{shard.index} {os.getpid()}\n")
        time.sleep(self.pause_s)
        if shard.index == self.refused:
            raise FeatureError("The disk is full.", "Free some space.", code="disk-full")
        if shard.index == self.deadly and self.calls().count(shard.index) <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        return shard.index**2

    def calls(self) -> list[int]:
        """Shards that were begun, in order."""
        return [int(line.split()[0]) for line in self.log.read_text().splitlines()]

    def processes(self) -> set[str]:
        """Who did them."""
        return {line.split()[1] for line in self.log.read_text().splitlines()}


@dataclass(frozen=True)
class SlowExtract:
    """An extraction that takes its time and says who decodes what.

    Args:
        videos: The folder.
        out: The store.
        log: Gets a line `video node` for each video that is begun.
        pause_s: How long each takes.
    """

    videos: Path
    out: Path
    log: Path
    pause_s: float = 0.0

    def __call__(self, shard: Shard) -> ExtractionReport:
        import ray

        pool = _Slow(self, ray.get_runtime_context().get_node_id())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run, "DecoderPool", lambda workers, limits: pool)
            settings = ExtractSettings(batch=1)  # no video waits for clips of the next one
            return extract(self.videos, self.out, ColourHistogram(), settings, shard=shard)


class _Slow(InProcessPool):
    def __init__(self, work: SlowExtract, node: str) -> None:
        super().__init__(1, Limits())
        self._work, self._node = work, node

    def answers(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for request in requests:
            with self._work.log.open("a") as file:
                file.write(f"{Path(request.path).stem} {self._node}\n")
            time.sleep(self._work.pause_s)
            yield from super().answers([request])
