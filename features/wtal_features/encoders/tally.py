"""How large a network is and how much it computes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Tally:
    """The cost of one network.

    Attributes:
        parameters: Numbers that training changes.
        multiply_adds: Of one forward pass over one clip, in convolutions and linear layers.
        output: Shape of the result for one clip, without the batch axis.
    """

    parameters: int
    multiply_adds: int
    output: tuple[int, ...]


@torch.no_grad()
def tally(network: nn.Module, shape: tuple[int, ...]) -> Tally:
    """Count parameters and multiply-adds, without computing anything.

    The pass runs over shapes alone (torch's meta device): large clips cost nothing, the network
    and its buffers stay as they are. Products inside an attention are not counted, nor is what
    BatchNorm, pooling and additions do.

    Args:
        network: In evaluation mode; takes one tensor (1, *shape) and returns one.
        shape: Of the input without the batch axis, such as (C, T, H, W).

    Returns:
        The counts; a convolution does (output values) x (weights per output channel).
    """
    counts: list[int] = []

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        weight = module.weight
        assert isinstance(weight, Tensor)
        counts.append(output.numel() * math.prod(weight.shape[1:]))

    layers = [
        m for m in network.modules() if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear)
    ]
    handles = [layer.register_forward_hook(count) for layer in layers]
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {name: tensor.to("meta") for name, tensor in tensors.items()}
    try:
        clip = torch.empty(1, *shape, device="meta")
        output = torch.func.functional_call(network, shapes, (clip,))
    finally:
        for handle in handles:
            handle.remove()
    parameters = sum(p.numel() for p in network.parameters())
    return Tally(parameters, sum(counts), tuple(output.shape[1:]))
