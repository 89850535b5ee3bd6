"""`--shard i/N`: which share of the videos is whose."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from wtal_features.errors import FeatureError

MOST = 10_000
_NAME = re.compile(r"(\d{1,5})-of-(\d{1,5})")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """Number `index` (from 1) of `count`."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`2/4`.

        Raises:
            FeatureError: The text is something else.
        """
        index, _, count = text.partition("/")
        digits = index.isdecimal() and count.isdecimal() and len(text) < 12
        if not digits or not 1 <= int(index) <= int(count) <= MOST:
            raise FeatureError(
                f"--shard is {text[:40]!r}; expected i/N from 1/N to N/N, such as 2/4.",
                code="option",
            )
        return cls(int(index), int(count))

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Its share: neighbours, so that the shards in order are the whole list."""
        n = len(items)
        return list(items[n * (self.index - 1) // self.count : n * self.index // self.count])

    @property
    def name(self) -> str:
        """`2-of-4`."""
        return f"{self.index}-of-{self.count}"

    @property
    def word(self) -> str:
        """`2/4`, as it is typed."""
        return f"{self.index}/{self.count}"


def shards_of(count: int) -> list[Shard]:
    """All shards of a division."""
    return [Shard(i, count) for i in range(1, count + 1)]


def begun(folder: Path) -> list[Shard]:
    """The shards that have a folder of their name in `folder`; any division, sorted."""
    names = os.listdir(folder) if folder.is_dir() else []
    found = [_NAME.fullmatch(name) for name in names]
    shards = [Shard(int(match[1]), int(match[2])) for match in found if match]
    return sorted(shards, key=lambda shard: (shard.count, shard.index))


def divide(folder: Path, videos: int, wanted: int) -> list[Shard]:
    """The shards of a work: those of an earlier run that was stopped, else as many as wanted.

    Args:
        folder: Where the shards have their folders.
        videos: How many there are to share out: no shard shall be empty.
        wanted: Number of shards.
    """
    counts = {shard.count for shard in begun(folder)}
    count = counts.pop() if len(counts) == 1 else max(1, min(wanted, videos, MOST))
    return shards_of(count)
