"""The processes that torchrun starts: who this one is, and the device that is its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed

# Others wait while the first one decodes videos.
_PATIENCE = timedelta(hours=24)


def started_by_torchrun() -> bool:
    """Whether there are others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def leads() -> bool:
    """Whether this is the only process or the first one, which writes and speaks."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def group(device: torch.device) -> Iterator[torch.device]:
    """Be one of the group within the block, if torchrun started several; yields the own device.

    Args:
        device: as the user asked; of several GPUs each process takes one.
    """
    if not started_by_torchrun():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield device
    finally:
        distributed.destroy_process_group()
