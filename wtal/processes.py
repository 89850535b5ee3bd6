"""The processes that torchrun starts: who this one is, the device that is its own, how all end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous

from wtal.errors import WtalError

# Others wait while the first one decodes videos.
_PATIENCE = timedelta(hours=24)

_FAULTS = "wtal/faults"  # counted in the store where the processes met


def started_by_torchrun() -> bool:
    """Whether there are others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def leads() -> bool:
    """Whether this is the only process or the first one, which writes and speaks."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def group(device: torch.device) -> Iterator[torch.device]:
    """Be one of the group within the block, if torchrun started several; yields the own device.

    If one fails, all end: it leaves, which breaks the connections that the others wait at. Only the
    first one that failed passes on its error, the others end with exit code 1 and no word.

    Args:
        device: as the user asked; of several GPUs each process takes one.

    Raises:
        WtalError: torchrun did not say where the others are, there are too few GPUs, or another
            process was killed.
    """
    if not started_by_torchrun() or distributed.is_initialized():
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
    store, rank, size = next(rendezvous("env://", timeout=_PATIENCE))
    try:
        distributed.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=_PATIENCE
        )
        yield device
    except BaseException as error:
        _end_all(error, store)
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _end_all(error: BaseException, store: Any) -> None:
    """Tell the others, or end in silence where another failed before.

    Raises:
        SystemExit: another process has said what went wrong.
        WtalError: another process is gone without having said it.
    """
    first = True
    with suppress(RuntimeError):  # the store may be gone with the process that kept it
        first = store.add(_FAULTS, 1) == 1
    if not first:
        raise SystemExit(1) from error
    if isinstance(error, RuntimeError) and _is_broken(error):
        raise WtalError(
            "Another process of this run was killed or lost its connection, so this one ended, "
            "too. The last checkpoint is untouched; start all of them again with --resume."
        ) from error


def _is_broken(error: RuntimeError) -> bool:
    """Whether a message to or from another process failed."""
    words = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL")
    text = str(error)
    return isinstance(error, distributed.DistError) or any(word in text for word in words)
