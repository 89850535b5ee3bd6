"""What a training run will cost, before it starts.

Time is the FLOP count of the matrix products over the speed that this machine shows on a product of
that width; the rest of a step adds about a tenth (docs/benchmarks/basnet.md).

Shapes: N packed rows of a batch, D feature dims, E embedding dims, S filter dims.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from wtal.config import Config
from wtal.context import open_context
from wtal.data import bins_of

OVERHEAD = 1.1  # a step over its products
BRANCHES = 2


@dataclass(frozen=True)
class Cost:
    """Estimates for one run."""

    seconds: float
    memory_bytes: float
    disk_bytes: float
    steps: int

    def line(self) -> str:
        """One line for a person."""
        return (
            f"estimate for {self.steps} steps on this CPU: {_duration(self.seconds)}, "
            f"{self.memory_bytes / 2**30:.1f} GiB of memory, "
            f"{self.disk_bytes / 2**20:.0f} MiB of disk"
        )


def training_cost(lengths: Sequence[int], dim: int, n_classes: int, config: Config) -> Cost:
    """Estimate from the lengths of the training videos, in snippets.

    Args:
        lengths: snippets per video.
        dim: of the store; in context, D is what its rows become.
        n_classes: C.
        config: of the run.

    Raises:
        WtalError, FeatureError: the config wants a context, and its file is not there.
    """
    bins = np.array([bins_of(n, config.data, training=True) for n in lengths])
    rows = float(bins.mean()) * min(config.train.batch_size, len(bins))
    E, S = config.model.widths(dim)
    context = open_context(config.features)
    D = dim if context is None else context.dim
    steps = config.train.total_steps(len(lengths))
    flop = step_flop(rows, D, E, S, n_classes, config.model.second_kernel)
    second = config.model.second_kernel * E * E
    parameters = D * S + 3 * D * E + second + E * (n_classes + 1)
    # Weights, gradients and two moments; then what the backward pass keeps of a batch.
    kept = rows * (D + 3 * E + BRANCHES * 4 * E)
    cached = min(4.0 * D * float(np.sum(lengths)), config.data.cache_mb * 2.0**20)
    return Cost(
        OVERHEAD * steps * flop / _flop_per_second(E),
        16.0 * parameters + 4 * kept + cached + 4e8,
        16.0 * parameters,
        steps,
    )


def step_flop(rows: float, D: int, E: int, S: int, C: int, second_kernel: int) -> float:
    """FLOP of the matrix products of one training step.

    The first convolution serves both branches and needs no gradient of its input; the second runs
    once per branch, forward, for its weights and for its input (wtal/temporal_conv.py).
    """
    first = 2 * 3 * D * E * 2
    second = 2 * second_kernel * E * E * 3 * BRANCHES
    classifier = 2 * E * (C + 1) * 3 * BRANCHES
    filtering = 2 * D * S * 2 + 2 * S * 3
    return rows * (first + second + classifier + filtering)


def _flop_per_second(width: int) -> float:
    """Speed of a matrix product of this width, the best of three."""
    rows = 2048
    a, b = torch.ones(rows, width), torch.ones(width, width)
    out = torch.empty(rows, width)
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - started)
    return 2 * rows * width * width / best


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
