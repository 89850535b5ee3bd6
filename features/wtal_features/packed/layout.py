"""The form of a packed store: which files it has, and what a record of its index says.

    manifest.json       as of any store, without `videos`; its `packed` has sizes and checksums
    videos.index        a record of 36 bytes per video, by the bytes of its name
    videos.texts        per video its name and its entry of the manifest, both UTF-8
    shard-000000.bin    the rows of the videos in turn, (T, D) in C order, from multiples of 64

All numbers are little-endian. Every place follows from the record before it: rows begin at the
next multiple of 64 after the rows before, or at 0 of a later shard; a text begins where the last
one ends. So a record and the one before it are enough to see a lie, an overlap or a gap.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wtal_features.manifest import MANIFEST

FORMAT = 1
INDEX, TEXTS = "videos.index", "videos.texts"
PARTS = ".packing"  # folder of what a store that is being packed has so far
ALIGNMENT = 64  # bytes: a cache line, and more than any instruction asks for
_RECORD = struct.Struct("<QQIIIIHH")
RECORD_BYTES = _RECORD.size
# The same for NumPy, which looks at many records at once.
RECORDS = np.dtype(
    [
        *(("text", "<u8"), ("at", "<u8")),
        *(("rows", "<u4"), ("entry_bytes", "<u4"), ("shard", "<u4"), ("crc32", "<u4")),
        *(("name_bytes", "<u2"), ("itemsize", "<u2")),
    ]
)


class Record(NamedTuple):
    """What the index says of one video.

    Attributes:
        text: Where its name begins in `videos.texts`; its entry follows.
        at: Where its rows begin in the shard.
        rows: T.
        entry_bytes: Of its entry, JSON.
        shard: Number of the shard.
        crc32: Of the bytes of its rows.
        name_bytes: Of its name.
        itemsize: Bytes of one value: 2 is float16, 4 is float32.
    """

    text: int
    at: int
    rows: int
    entry_bytes: int
    shard: int
    crc32: int
    name_bytes: int
    itemsize: int

    @classmethod
    def unpack(cls, buffer: Any, number: int) -> "Record":
        """Record `number` of an index."""
        return cls(*_RECORD.unpack_from(buffer, number * RECORD_BYTES))

    def pack(self) -> bytes:
        """As it stands in the index."""
        return _RECORD.pack(*self)

    def size(self, dim: int) -> int:
        """Bytes of the rows, D values each."""
        return self.rows * dim * self.itemsize

    @property
    def text_end(self) -> int:
        """Where the next text begins."""
        return self.text + self.name_bytes + self.entry_bytes


def aligned(at: int) -> int:
    """The next multiple of `ALIGNMENT`.

    Example:
        >>> aligned(0), aligned(1), aligned(64)
        (0, 64, 64)
    """
    return -(-at // ALIGNMENT) * ALIGNMENT


def shard_name(number: int) -> str:
    """File of a shard."""
    return f"shard-{number:06}.bin"


def is_packed(root: Path) -> bool:
    """Whether a folder holds a packed store."""
    return (root / INDEX).is_file()


def is_unfinished(root: Path) -> bool:
    """Whether a folder holds the beginning of one."""
    began = (root / PARTS).is_dir() or (root / INDEX).is_file()
    return began and not (root / MANIFEST).exists()


def promised(head: Mapping[str, Any], kind: str) -> tuple[int, str]:
    """Bytes and SHA-256 that the manifest states of the index or the texts.

    Raises:
        ValueError: It states none.
    """
    about = head[kind] if isinstance(head.get(kind), dict) else {}
    size, sha256 = about.get("bytes"), about.get("sha256")
    if type(size) is not int or size < 0 or not isinstance(sha256, str):
        raise ValueError(kind)
    return size, sha256
