"""The weight of the contrast: L = L_base + beta L_dcc (DCC, D12), and what keeps it stable.

The published ramp ends at 10,000. For unit vectors the gradient of L_dcc is then thousands of times
that of L_base (docs/method.md), so the default caps beta by the ratio of both gradients at the
embedding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from wtal.errors import WtalError

SMOOTHING = 20  # steps over which gradient norms are averaged


@dataclass(frozen=True)
class BetaConfig:
    """How much the contrast weighs, step by step."""

    mode: Literal["capped", "paper", "constant"] = "capped"
    """`capped`: the ramp, but at most rho |grad L_base| / |grad L_dcc|; `paper`: the ramp alone;
    `constant`: `value`."""
    rho: float = 0.1
    """Gradient of the weighted contrast at the embedding, as a share of that of L_base."""
    start: float = 0.1
    end: float = 10000.0
    """The ramp's ends, as published."""
    shape: Literal["log", "linear", "step"] = "log"
    """Of the ramp; `step` is `start` in the first half and `end` in the second."""
    value: float = 1.0
    """beta of `constant`."""

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("rho", "start", "end"):
            if getattr(self, name) <= 0:
                raise WtalError(f"dcc.beta.{name} is {getattr(self, name)}; expected above 0.")
        if self.value < 0:
            raise WtalError(f"dcc.beta.value is {self.value}; expected at least 0.")


def ramp(config: BetaConfig, progress: float) -> float:
    """Beta of the published schedule.

    Args:
        config: ends and shape.
        progress: share of the contrast's steps that is done, in [0, 1].

    Example:
        >>> [round(ramp(BetaConfig(), p), 1) for p in (0, 0.2, 0.6, 1)]
        [0.1, 1.0, 100.0, 10000.0]
    """
    if config.shape == "log":
        return float(config.start * (config.end / config.start) ** progress)
    if config.shape == "linear":
        return config.start + (config.end - config.start) * progress
    return config.start if progress < 0.5 else config.end


@dataclass
class Beta:
    """The schedule with its memory: the smoothed gradient norms, which a checkpoint keeps.

    Args:
        config: the schedule.
        base_norm: smoothed |grad L_base| at the embedding; 0 before the first step.
        dcc_norm: smoothed |grad L_dcc| there.
    """

    config: BetaConfig
    base_norm: float = 0.0
    dcc_norm: float = 0.0

    def __call__(self, progress: float, base_norm: float, dcc_norm: float) -> float:
        """Beta of this step, from its two gradient norms."""
        keep = 1 - 1 / SMOOTHING if self.base_norm > 0 else 0.0
        self.base_norm = keep * self.base_norm + (1 - keep) * base_norm
        self.dcc_norm = keep * self.dcc_norm + (1 - keep) * dcc_norm
        if self.config.mode == "constant":
            return self.config.value
        scheduled = ramp(self.config, progress)
        if self.config.mode == "paper":
            return scheduled
        ratio = self.base_norm / self.dcc_norm if self.dcc_norm > 0 else math.inf
        return min(scheduled, self.config.rho * ratio)
