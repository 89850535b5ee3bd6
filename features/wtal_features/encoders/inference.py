"""A network as extraction runs it: the same function up to rounding, in less time.

In evaluation mode BatchNorm is a factor and a summand per channel, which the convolution before it
can take over; and on CPUs convolutions are fastest on maps whose channels lie side by side.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


def without_norms(network: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """A copy in which every BatchNorm that follows a convolution is part of it.

    gamma (w x + b - mean) / sqrt(var + eps) + beta = w' x + b' with s = gamma / sqrt(var + eps),
    w' = s w and b' = s (b - mean) + beta.

    Args:
        network: In evaluation mode. What a convolution gives to a BatchNorm goes nowhere else.
        shape: Of a clip that it takes, (C, T, H, W); nothing is computed with it.

    Returns:
        The copy; BatchNorms that follow something else stay.

    Raises:
        FeatureError: If the network does not take such clips.
    """
    pairs = _norms_of_convolutions(network, shape)
    faster = copy.deepcopy(network)
    for conv, norm in pairs.items():
        _merge(faster.get_submodule(conv), faster.get_submodule(norm))
        faster.set_submodule(norm, nn.Identity())
    return faster


def layout(device: torch.device) -> torch.memory_format:
    """The order in memory in which clips and weights are convolved fastest.

    On CPUs channels last and no norms take .5 to .8 of the time of a network as written in float32,
    and .3 to .7 in bfloat16 (docs/benchmarks/extraction.md). On GPUs cuDNN reorders by itself.
    """
    return torch.channels_last_3d if device.type == "cpu" else torch.contiguous_format


@torch.no_grad()
def _norms_of_convolutions(network: nn.Module, shape: tuple[int, ...]) -> dict[str, str]:
    """Name of a convolution -> name of the BatchNorm that takes its output, in one forward pass.

    The pass runs over shapes alone (torch's meta device).
    """
    made: list[tuple[str, Tensor]] = []  # kept until the end: a tensor is known by its identity
    pairs: dict[str, str] = {}

    def convolved(name: str) -> Any:
        return lambda _module, _inputs, output: made.append((name, output))

    def normalized(name: str) -> Any:
        def note(_module: nn.Module, inputs: tuple[Tensor]) -> None:
            pairs.update((conv, name) for conv, output in made if output is inputs[0])

        return note

    handles: list[Any] = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv3d):
            handles.append(module.register_forward_hook(convolved(name)))
        elif isinstance(module, nn.BatchNorm3d):
            handles.append(module.register_forward_pre_hook(normalized(name)))
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {name: tensor.to("meta") for name, tensor in tensors.items()}
    try:
        torch.func.functional_call(network, shapes, (torch.empty(1, *shape, device="meta"),))
    finally:
        for handle in handles:
            handle.remove()
    return pairs


@torch.no_grad()
def _merge(conv: Any, norm: Any) -> None:
    """Put a BatchNorm into the convolution before it; in float64, rounded once."""
    scale_D = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    bias_D = 0 if conv.bias is None else conv.bias.double()
    bias_D = (bias_D - norm.running_mean.double()) * scale_D + norm.bias.double()
    weight = conv.weight
    conv.weight = nn.Parameter((weight.double() * scale_D[:, None, None, None, None]).to(weight))
    conv.bias = nn.Parameter(bias_D.to(weight))
