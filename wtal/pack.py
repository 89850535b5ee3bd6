"""`wtal pack`: from the words of a command line to a packed store."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wtal.errors import WtalError
from wtal_features import open_store
from wtal_features.packed.packing import PackReport, pack

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*(B|[KMGT]i?B)", re.IGNORECASE)
_POWERS = {"b": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True)
class Words:
    """The options of the command, as they were typed.

    Args:
        stores: to pack into one.
        out: folder to write.
        shard_size: such as `1GiB`.
        fps, stride: for stores without a manifest.
    """

    stores: tuple[Path, ...]
    out: Path
    shard_size: str = "1GiB"
    fps: float | None = None
    stride: float | None = None


def run(words: Words, *, progress: Callable[[int, int], None]) -> PackReport:
    """Pack.

    Args:
        words: the options.
        progress: told (videos done, videos in all).

    Raises:
        WtalError, FeatureError: what the user can mend.
    """
    most = bytes_of(words.shard_size)
    stores = [open_store(path, fps=words.fps, stride=words.stride) for path in words.stores]
    return pack(stores, words.out, shard_bytes=most, progress=progress)


def bytes_of(text: str) -> int:
    """A size in bytes.

    Raises:
        WtalError: it is none.

    Example:
        >>> bytes_of("1GiB"), bytes_of("1.5 kB"), bytes_of("64B")
        (1073741824, 1500, 64)
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise WtalError(f"--shard-size is {text[:40]!r}; expected a size such as 1GiB or 500MB.")
    unit = found[2].lower()
    step = 1024 if "i" in unit else 1000
    size = math.floor(float(found[1]) * math.pow(step, _POWERS[unit[0]]))
    if size < 1:
        raise WtalError(f"--shard-size is {text!r}; expected at least one byte.")
    return size
