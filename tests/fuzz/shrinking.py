"""A crash made small: the same crash from fewer bytes."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.cases import Files

TRIES = 300


def shrunk(files: Files, crashes: Callable[[Files], bool], tries: int = TRIES) -> Files:
    """Leave files out, then halves, quarters, ... of each, as long as the crash stays.

    Args:
        files: The input.
        crashes: Whether an input leads to the same crash.
        tries: Of `crashes`, at most.
    """
    best, left = dict(files), tries
    for name in sorted(files):
        fewer = {other: data for other, data in best.items() if other != name}
        left -= 1
        if fewer and crashes(fewer):
            best = fewer
    for name in sorted(best):
        size = max(1, len(best[name]) // 2)
        while size and left > 0:
            at = 0
            while at < len(best[name]) and left > 0:
                data = best[name][:at] + best[name][at + size :]
                left -= 1
                if crashes({**best, name: data}):
                    best[name] = data
                else:
                    at += size
            size //= 2
    return best
