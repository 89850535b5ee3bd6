"""The files of an input: a sound seed with damage, as a function of reader, seed and number."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from tests.fuzz.damage import damaged
from tests.fuzz.trees import Draw

# Path in the folder of the input -> content.
Files: TypeAlias = dict[str, bytes]


def make_case(name: str, seeds: Sequence[Files], seed: int, number: int) -> Files:
    """Input `number` of a reader; the same arguments give the same bytes.

    Args:
        name: Of the reader.
        seeds: Sound inputs.
        seed: Of the campaign.
        number: From 0.
    """
    draw = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
    files = dict(seeds[int(draw.integers(len(seeds)))])
    for _ in range(int(draw.choice([1, 1, 1, 2]))):
        which = sorted(files)[draw.integers(len(files))]
        if draw.random() < 0.08:
            files[which] = _spliced(files[which], _partner(which, seeds, draw), draw)
        else:
            files[which] = damaged(which, files[which], draw)
    return files


def _partner(which: str, seeds: Sequence[Files], draw: Draw) -> bytes:
    """A file of another seed, of the same name where there is one."""
    other = seeds[int(draw.integers(len(seeds)))]
    return other.get(which) or other[sorted(other)[int(draw.integers(len(other)))]]


def _spliced(first: bytes, second: bytes, draw: Draw) -> bytes:
    """The beginning of one file and the end of another."""
    cut, join = int(draw.integers(len(first) + 1)), int(draw.integers(len(second) + 1))
    return first[:cut] + second[join:]


def write_case(folder: Path, files: Files) -> None:
    """Put the files of an input into an empty folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
