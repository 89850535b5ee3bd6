"""`--shard i/N`: which share of the videos is whose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from wtal_features.errors import FeatureError

MOST = 10_000
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

    def file(self, whole: Path) -> Path:
        """Its own file beside the whole one."""
        return whole.with_name(f"{whole.stem}-{self.name}{whole.suffix}")

    def files(self, whole: Path) -> list[Path]:
        """The files of all shards, in order."""
        return [Shard(i, self.count).file(whole) for i in range(1, self.count + 1)]
