"""How long and how fast to train, and where every random number comes from.

Randomness is a function of (seed, purpose, step) and of nothing else: each use makes its own
generator. So there is no generator state to save, a resumed run continues to the bit, and a change
in one place (another dropout, say) does not shift the draws of another. See docs/decisions/0003.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from wtal.errors import WtalError

PUBLISHED_WIDTH = 2048  # hidden dims for which the published learning rate was set
AUTO_STEPS = 400  # docs/log.md, 2026-11-21
AUTO_EPOCHS = 20

PURPOSES = {
    "weights": 0,
    "order": 1,
    "jitter": 2,
    "dropout": 3,
    "split": 4,
    "demo": 5,
    "projection": 6,
    "clusters": 7,
    "controls": 8,
    "withheld": 9,
    "folds": 10,
    "decoys": 11,
}


@dataclass(frozen=True)
class TrainConfig:
    """Optimisation: Adam with coupled weight decay, as published."""

    seed: int = 0
    steps: int | Literal["auto"] = "auto"
    """Optimiser steps. `auto`: 400, or 20 passes over the training videos if those are more."""
    batch_size: int = 16
    """Videos per step."""
    lr: float | Literal["auto"] = "auto"
    """`auto` is 1e-4 * 2048 / hidden_dim: the published rate at the published width."""
    lr_schedule: Literal["constant", "cosine"] = "cosine"
    """`cosine` falls from lr to 0 over the steps; `constant` as published."""
    weight_decay: float = 5e-4
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 computes the matrix products in bfloat16 and keeps weights and sums in float32."""
    log_every: int = 10
    """Steps between two lines of metrics.jsonl."""
    checkpoint_every: int = 100
    """Steps between two checkpoints; the last step always has one."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("steps", "batch_size", "log_every", "checkpoint_every"):
            if getattr(self, name) != "auto" and getattr(self, name) < 1:
                raise WtalError(f"train.{name} is {getattr(self, name)}; expected at least 1.")
        if self.seed < 0:
            raise WtalError(f"train.seed is {self.seed}; expected an integer >= 0.")
        if self.lr != "auto" and self.lr <= 0:
            raise WtalError(f"train.lr is {self.lr}; expected 'auto' or a number above 0.")
        if self.weight_decay < 0:
            raise WtalError(f"train.weight_decay is {self.weight_decay}; expected at least 0.")

    def total_steps(self, n_videos: int) -> int:
        """Steps of a whole training on `n_videos` videos."""
        if self.steps != "auto":
            return self.steps
        return max(AUTO_STEPS, AUTO_EPOCHS * -(-n_videos // self.batch_size))

    def peak_rate(self, hidden_dim: int) -> float:
        """Learning rate at the first step."""
        return 1e-4 * PUBLISHED_WIDTH / hidden_dim if self.lr == "auto" else self.lr


def learning_rate(config: TrainConfig, peak: float, step: int, steps: int) -> float:
    """Learning rate of one step (the first is 0) of `steps`."""
    if config.lr_schedule == "constant":
        return peak
    return float(peak * 0.5 * (1 + np.cos(np.pi * step / steps)))


def numpy_generator(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """The NumPy stream of one purpose at one step."""
    return np.random.default_rng([seed, PURPOSES[purpose], step])


def torch_generator(
    seed: int, purpose: str, step: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """The PyTorch stream of one purpose at one step."""
    return torch.Generator(device).manual_seed(integer_seed(seed, purpose, step))


def integer_seed(seed: int, purpose: str, step: int = 0) -> int:
    """The seed of one purpose at one step, for what makes its own generator; below 2^63."""
    state = np.random.SeedSequence([seed, PURPOSES[purpose], step]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
