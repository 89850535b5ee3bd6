"""The processes that torchrun starts: who this one is, and the device that is its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed

from wtal.errors import WtalError

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

    Raises:
        WtalError: torchrun did not say where the others are, or there are too few GPUs.
    """
    if not started_by_torchrun():
        yield device
        return
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        if name not in os.environ:
            raise WtalError(f"WORLD_SIZE is set and {name} is not; start it by torchrun.")
    if device.type == "cuda" and int(os.environ["LOCAL_RANK"]) >= torch.cuda.device_count():
        raise WtalError(
            f"{os.environ.get('LOCAL_WORLD_SIZE', 'Several')} processes on this machine and "
            f"{torch.cuda.device_count()} GPUs; take as many processes as GPUs."
        )
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield device
    finally:
        distributed.destroy_process_group()
