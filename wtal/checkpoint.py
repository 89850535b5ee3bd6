"""The tensors of a run: model.safetensors, and state/checkpoint.safetensors to resume from.

Everything that resume needs is one file, replaced in one step: a kill at any moment leaves the last
good one. No pickle anywhere. There is no random state to save (see schedule.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from wtal.errors import WtalError
from wtal.model import BaSNet, ModelConfig
from wtal_features.files import atomic_write

MODEL_FILE = "model.safetensors"
STATE_FILE = "state/checkpoint.safetensors"


class State(NamedTuple):
    """A resumable moment of training."""

    step: int  # steps done
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]  # "<parameter>/<slot>"
    facts: dict[str, Any]  # small values: best validation figure, its step, ...
    contrast: dict[str, Tensor]  # bank, centroids, projection; empty without a contrast


def save_network(path: Path, network: BaSNet, classes: tuple[str, ...], facts: Any) -> None:
    """Write the weights with what is needed to use them: classes and feature dim."""
    about = {"classes": classes, "feature_dim": network.feature_dim, "facts": facts}
    _write(path, dict(network.state_dict()), "wtal.basnet", about)


def load_network(path: Path, config: ModelConfig) -> tuple[BaSNet, tuple[str, ...]]:
    """The network with its weights, and its class names.

    Raises:
        WtalError: the file is missing, damaged, or does not fit the config.
    """
    tensors, about = _read(path, "wtal.basnet")
    try:
        classes = tuple(str(name) for name in about["classes"])
        feature_dim = int(about["feature_dim"])
        _refuse_larger(feature_dim, len(classes), config, tensors)
        network = BaSNet(feature_dim, len(classes), config, torch.Generator())
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise WtalError(
            f"{path} does not fit config.yaml beside it: {' '.join(str(error).split())[:200]}"
        ) from error
    return network, classes


def _refuse_larger(
    feature_dim: int, n_classes: int, config: ModelConfig, tensors: Mapping[str, Tensor]
) -> None:
    """What a header claims is compared with the numbers that are there before it costs memory.

    Raises:
        ValueError: the network would have more parameters than the file has numbers.
    """
    if feature_dim < 1:
        raise ValueError(f"its features have {feature_dim} dimensions")
    E, S = config.widths(feature_dim)
    attention, embedding = feature_dim * S + 2 * S + 1, 3 * feature_dim * E + E
    claimed = attention + embedding + config.second_kernel * E * E + E + E * (n_classes + 1)
    held = sum(tensor.numel() for tensor in tensors.values())
    if claimed > held:
        raise ValueError(f"they ask for {claimed} parameters, and it holds {held} numbers")


def save_state(path: Path, state: State) -> None:
    """Write a resumable moment."""
    path.parent.mkdir(exist_ok=True)
    tensors = {f"model/{name}": value for name, value in state.model.items()}
    tensors |= {f"optimizer/{name}": value for name, value in state.optimizer.items()}
    tensors |= {f"contrast/{name}": value for name, value in state.contrast.items()}
    _write(path, tensors, "wtal.state", {"step": state.step, "facts": state.facts})


def load_state(path: Path) -> State:
    """Read a resumable moment.

    Raises:
        WtalError: the file is missing or damaged.
    """
    tensors, about = _read(path, "wtal.state")
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "contrast": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition("/")
        if part not in parts:
            raise _damaged(path, f"the tensor {name[:80]!r} belongs nowhere")
        parts[part][rest] = value
    step, facts = about.get("step"), about.get("facts")
    if type(step) is not int or step < 0 or not isinstance(facts, dict):
        raise _damaged(path, "it does not say which step it is")
    return State(step, parts["model"], parts["optimizer"], facts, parts["contrast"])


def load_facts(path: Path, kind: str = "wtal.state") -> dict[str, Any]:
    """The remembered facts alone, without the tensors.

    Args:
        path: of a resumable moment, or of the weights.
        kind: which of them; of the weights, `wtal.basnet`.

    Raises:
        WtalError: the file is missing or damaged.
    """
    facts: object = _read(path, kind, tensors=False)[1].get("facts")
    if not isinstance(facts, dict):
        raise _damaged(path, "it lacks its facts")
    return facts


def load_progress(path: Path) -> tuple[int, int] | None:
    """Steps done at a resumable moment, and those of the whole training; no tensors are read.

    None for a file of before the whole was written down.

    Raises:
        WtalError: the file is missing or damaged.
    """
    about = _read(path, "wtal.state", tensors=False)[1]
    facts = about.get("facts")
    done, steps = about.get("step"), facts.get("steps") if isinstance(facts, dict) else None
    return (done, steps) if type(done) is int and type(steps) is int else None


def optimizer_tensors(
    network: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """Adam's moments and step counts by parameter name."""
    return {
        f"{name}/{slot}": value
        for name, parameter in network.named_parameters()
        for slot, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    network: torch.nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Put saved moments back, on the device of each parameter."""
    parameters = dict(network.named_parameters())
    for key, value in tensors.items():
        name, _, slot = key.rpartition("/")
        parameter = parameters[name]
        # The step count of Adam stays on the CPU unless the optimizer is capturable or fused.
        on_device = slot != "step" or any(group.get("fused") for group in optimizer.param_groups)
        optimizer.state[parameter][slot] = value.to(parameter.device) if on_device else value


def _write(path: Path, tensors: dict[str, Tensor], kind: str, about: Mapping[str, Any]) -> None:
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # One key: safetensors writes several in random order, and equal runs should give equal bytes.
    data = save(on_cpu, {"wtal": json.dumps({"kind": kind, **about})})
    with atomic_write(path) as handle:
        handle.write(data)


def _read(
    path: Path, kind: str, *, tensors: bool = True
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise WtalError(f"{path} does not exist; expected a run folder that `wtal train` wrote.")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("wtal", "{}"))
            names = list(file.keys()) if tensors else []
            read = {name: file.get_tensor(name) for name in names}
    # What safetensors and json raise over damaged bytes; KeyError: a type that torch has not.
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path, " ".join(str(error).split())[:120]) from error
    if not isinstance(about, dict) or about.get("kind") != kind:
        raise WtalError(f"{path} was not written by this program; expected a {kind} file.")
    return read, about


def _damaged(path: Path, why: str) -> WtalError:
    return WtalError(
        f"{path} is damaged or no safetensors file ({why}); train again, or restore it from a copy."
    )
