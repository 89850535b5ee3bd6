"""Processes that share a `torch.distributed` group, started as programs of their own.

The store that they meet at lives in the process that starts them: it outlives them all, and its
port is a free one. (A file as a store is opened again while a process ends, when the other may
have removed it; then C++ aborts.)
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from torch import distributed

ROOT = Path(__file__).parents[1]
_TIMEOUT = timedelta(seconds=120)


def run_group(command: Sequence[str], size: int = 2) -> None:
    """Run `python COMMAND PORT RANK SIZE` for every rank.

    Raises:
        AssertionError: If one fails, with what it said.
    """
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with tempfile.TemporaryFile("w+") as said:
        processes = [
            subprocess.Popen(
                [sys.executable, *command, str(store.port), str(rank), str(size)],
                env=environment,
                cwd=ROOT,
                stderr=said,
            )
            for rank in range(size)
        ]
        try:
            codes = [process.wait(_TIMEOUT.total_seconds()) for process in processes]
        finally:
            for process in processes:
                process.kill()
        said.seek(0)
        assert codes == [0] * size, f"{codes}: {said.read()}"


def join(port: str, rank: str, size: str) -> tuple[int, int]:
    """Become one of the group; rank and size."""
    store = distributed.TCPStore("127.0.0.1", int(port), is_master=False, timeout=_TIMEOUT)  # type: ignore[attr-defined]
    distributed.init_process_group("gloo", store=store, rank=int(rank), world_size=int(size))
    return int(rank), int(size)


def leave() -> None:
    """Leave the group after all have come so far: a process that goes early breaks connections."""
    distributed.barrier()
    distributed.destroy_process_group()
