"""What decoding alone takes: PyAV's own loop over the frames of files, nothing else.

As a script, `decoding.py THREADS FILE...`, it decodes the files and says nothing. It imports PyAV
alone, so that its start does not count.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Threads = Literal["AUTO", "NONE"]


def decode(paths: Sequence[Path], threads: Threads, *, rgb: bool = False) -> int:
    """Decode files one after another.

    Args:
        paths: Of videos.
        threads: PyAV's `thread_type`: AUTO spreads one file over the cores, NONE does not.
        rgb: Also turn every frame into an array (H, W, 3).

    Returns:
        Number of frames.
    """
    import av

    n = 0
    for path in paths:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = threads
            for frame in container.decode(stream):
                n += 1
                if rgb:
                    frame.to_ndarray(format="rgb24")
    return n


def decode_side_by_side(paths: Sequence[Path], processes: int) -> None:
    """Decode files in several processes of one thread each, started for it.

    Raises:
        WtalError: If one of them fails.
    """
    from wtal.errors import WtalError  # the script below has no use for it

    command = [sys.executable, "-P", __file__, "NONE"]
    shares = [list(map(str, paths[i::processes])) for i in range(processes)]
    running = [subprocess.Popen(command + share) for share in shares]
    codes = [process.wait() for process in running]
    if any(codes):
        raise WtalError(f"A process that decodes ended with code {max(codes)}; expected 0.")


if __name__ == "__main__":
    decode([Path(name) for name in sys.argv[2:]], "AUTO" if sys.argv[1] == "AUTO" else "NONE")
