"""Whether the processes of a training still hold the same network, memory bank and clusters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from wtal.checkpoint import optimizer_tensors
from wtal.dcc import DenoisedContrast
from wtal.model import BaSNet
from wtal.peers import Peers


def check_alike(
    peers: Peers,
    network: BaSNet,
    optimizer: torch.optim.Optimizer,
    contrast: DenoisedContrast | None,
    done: int,
    inputs: Mapping[str, Any] | None = None,
) -> None:
    """Compare what all processes hold, after `done` steps.

    Args:
        peers: the processes.
        network: its weights.
        optimizer: its moments.
        contrast: memory bank and clusters; None: neither.
        done: steps, for the message.
        inputs: what each process was given and has read; None: compared before.

    Raises:
        WtalError: in all processes, if one differs.
    """
    if peers.size == 1:
        return
    parts: dict[str, Sequence[Tensor]] = {}
    if inputs is not None:
        digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).digest()
        parts["config or training set"] = [torch.frombuffer(bytearray(digest), dtype=torch.uint8)]
    moments = optimizer_tensors(network, optimizer)
    parts["network"] = [torch.tensor(done), *network.state_dict().values(), *moments.values()]
    if contrast is not None:
        parts |= contrast.shared()
    peers.check_same(parts, f"after step {done}")
