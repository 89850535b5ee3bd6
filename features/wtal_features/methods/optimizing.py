"""One update: optimizer, mean gradients over processes, clipping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, distributed, nn

from wtal_features.contrast.processes import rank_and_size
from wtal_features.methods.settings import OptimConfig


def optimizer_of(objective: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """The optimizer of the parameters that ask for a gradient.

    Weight decay is added to the gradient, as in all the published trainings.

    Args:
        objective: On its device.
        config: Which optimizer, momentum, weight decay and what decays.
    """
    trained = [p for p in objective.parameters() if p.requires_grad]
    kernels = [p for p in trained if p.ndim > 1]
    others = [p for p in trained if p.ndim <= 1]
    decay = config.weight_decay
    groups = [
        {"params": kernels, "weight_decay": decay},
        {"params": others, "weight_decay": decay if config.decayed == "all" else 0.0},
    ]
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=0.0)
    nesterov = config.nesterov and config.momentum > 0
    return torch.optim.SGD(groups, lr=0.0, momentum=config.momentum, nesterov=nesterov)


def update(
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    rate: float,
    config: OptimConfig,
) -> None:
    """Backward pass, mean gradient over the processes, and one step.

    Args:
        objective: Whose parameters the loss depends on.
        optimizer: As `optimizer_of` made it.
        loss: Of this process; gradients are averaged over all.
        rate: Learning rate of this step.
        config: Says how gradients are clipped.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    trained = [p for p in objective.parameters() if p.requires_grad]
    average_gradients(trained)
    if config.clip_norm != "off":
        nn.utils.clip_grad_norm_(trained, config.clip_norm)
    optimizer.step()


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes; nothing without a group.

    One message for all of them. DistributedDataParallel would hide it behind the backward pass, but
    it wants every parameter in every step and knows no step without a loss.

    Args:
        parameters: The same ones, in the same order, in every process; with or without gradient.
    """
    size = rank_and_size()[1]
    if size == 1:
        return
    with_gradient = [p for p in parameters if p.grad is not None]
    flat = torch.cat([p.grad.flatten() for p in with_gradient if p.grad is not None])
    distributed.all_reduce(flat)
    flat /= size
    pieces = torch.split(flat, [p.numel() for p in with_gradient])
    for parameter, piece in zip(with_gradient, pieces, strict=True):
        if parameter.grad is not None:
            parameter.grad.copy_(piece.view_as(parameter))


def of_first(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the first process has under these names; without a group, the tensors themselves.

    Batch norm remembers other means and variances in every process.

    Args:
        tensors: The same names, in the same order, and the same shapes in every process.
    """
    if rank_and_size()[1] == 1:
        return dict(tensors)
    found = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    for tensor in found.values():
        distributed.broadcast(tensor, 0)
    return found


def mean_figures(figures: Mapping[str, Tensor]) -> dict[str, float]:
    """Figures of this process -> their means over all."""
    if not figures:
        return {}
    values = torch.stack([figure.detach().float() for figure in figures.values()])
    size = rank_and_size()[1]
    if size > 1:
        distributed.all_reduce(values)
        values /= size
    return dict(zip(figures, values.tolist(), strict=True))


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What the optimizer remembers, by the number of the parameter: `3/exp_avg`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}/{slot}": value
        for number, slots in state.items()
        for slot, value in slots.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Take up what `optimizer_state` gave."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, slot = name.split("/")
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:  # in memory as the parameter is: else steps are slow
            value = torch.empty_like(parameter, requires_grad=False).copy_(value)
        state.setdefault(int(number), {})[slot] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
