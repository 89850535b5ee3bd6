"""What every method of pre-training can be told: networks, clips, optimisation.

Each method has a dataclass of its own beside its code, made of these parts with its published
values as defaults.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from wtal_features.errors import FeatureError


@dataclass(frozen=True)
class ClipConfig:
    """One clip of training: n frames of the grid, r apart, cut to a square.

    Attributes:
        frames: n.
        every: r.
        size: Side of the square after cropping, in pixels.
        flip: Mirror half of the crops. Turn it off where left and right differ in meaning.
        colour: Share of the published probabilities with which colour is changed, blurred or turned
            over; 0: never. Small pictures of fine patterns need less than photographs.
        piece_s: Longer videos are cut into pieces of about so many seconds. The published methods
            train on videos of about 10 s, in which two clips show the same thing; in an untrimmed
            one they may not. `whole` never cuts.
    """

    frames: int
    every: int
    size: int
    flip: bool = True
    colour: float = 1.0
    piece_s: float | Literal["whole"] = 10.0

    def __post_init__(self) -> None:
        """Refuse clips that cannot be."""
        require(self, "frames", self.frames >= 1, "at least 1")
        require(self, "every", self.every >= 1, "at least 1")
        require(self, "size", self.size >= 8, "at least 8")
        require(self, "colour", 0 <= self.colour <= 1, "0 to 1")
        sound = self.piece_s == "whole" or 0 < self.piece_s < math.inf
        require(self, "piece_s", sound, "seconds above 0, or whole")


@dataclass(frozen=True)
class OptimConfig:
    """One stage of training, from the first step to the last.

    Attributes:
        epochs: Passes over the pieces of all videos, one sample of each.
        steps: Instead of epochs, where given.
        batch: Samples per step, of all processes together.
        optimizer: Adam, or SGD with momentum; both add the weight decay to the gradient.
        lr: Highest learning rate.
        lr_batch: `lr` is meant for batches of this size and grows in proportion; `fixed`: it does
            not.
        momentum: Of SGD.
        nesterov: Likewise.
        weight_decay: On every parameter, or on `decayed` ones.
        decayed: `all`, or `kernels`: neither biases nor batch norm.
        schedule: `drops`: a tenth from each of the `drops` on; `cosine`: down to 0.
        drops: Shares of the run.
        warmup: Share of the run in which the rate rises from `warmup_from` of itself, in a line.
        warmup_from: Share of the highest rate at the first step.
        clip_norm: Gradients are scaled down to this norm; `off`: never.
    """

    epochs: int
    steps: int | None = None
    batch: int = 64
    optimizer: Literal["adam", "sgd"] = "adam"
    lr: float = 1e-3
    lr_batch: int | Literal["fixed"] = "fixed"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-5
    decayed: Literal["all", "kernels"] = "all"
    schedule: Literal["drops", "cosine"] = "drops"
    drops: tuple[float, ...] = ()
    warmup: float = 0.0
    warmup_from: float = 0.0
    clip_norm: float | Literal["off"] = "off"

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("epochs", "batch"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        require(self, "steps", self.steps is None or self.steps >= 1, "at least 1")
        for name in ("lr", "weight_decay", "momentum"):
            require(self, name, 0 <= getattr(self, name) < math.inf, "0 or more")
        for name in ("warmup", "warmup_from"):
            require(self, name, 0 <= getattr(self, name) <= 1, "0 to 1")
        require(self, "drops", all(0 <= drop <= 1 for drop in self.drops), "shares of the run")
        require(self, "clip_norm", self.clip_norm == "off" or self.clip_norm > 0, "above 0, or off")
        require(
            self, "lr_batch", self.lr_batch == "fixed" or self.lr_batch > 0, "above 0, or fixed"
        )

    def total_steps(self, samples: int) -> int:
        """Steps of the stage; an epoch is at least one.

        Args:
            samples: Pieces of all videos.
        """
        return self.steps or self.epochs * max(1, samples // self.batch)

    def peak_rate(self) -> float:
        """The highest learning rate."""
        return self.lr if self.lr_batch == "fixed" else self.lr * self.batch / self.lr_batch

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of one step, the first is 0, of `steps`.

        Example:
            >>> config = OptimConfig(epochs=1, lr=1.0, schedule="cosine", warmup=0.5)
            >>> [round(config.rate(step, 8), 3) for step in range(8)]
            [0.0, 0.25, 0.5, 0.75, 1.0, 0.854, 0.5, 0.146]
        """
        peak, warm = self.peak_rate(), self.warmup * steps
        if step < warm:
            return peak * (self.warmup_from + (1 - self.warmup_from) * step / warm)
        if self.schedule == "cosine":
            return peak * (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2
        return float(peak * 0.1 ** sum(step >= drop * steps for drop in self.drops))


@dataclass(frozen=True)
class RunConfig:
    """How a run goes about it; nothing here is a part of a method.

    Attributes:
        seed: Of everything that is random.
        precision: Of the matrix products; `auto` is bf16 on a GPU and fp32 elsewhere.
        loaders: Threads that read and augment clips; 0: the network waits for each batch.
        log_every: Steps between two lines of metrics.jsonl.
        save_every: Steps between two checkpoints; a stage ends with one.
    """

    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    loaders: int = 2
    log_every: int = 10
    save_every: int = 200

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self, "seed", self.seed >= 0, "0 or more")
        require(self, "loaders", self.loaders >= 0, "0 or more")
        for name in ("log_every", "save_every"):
            require(self, name, getattr(self, name) >= 1, "at least 1")


def require(config: object, name: str, fine: bool, expected: str) -> None:
    """Refuse a value of a config.

    Raises:
        FeatureError: Unless it is fine.
    """
    if not fine:
        value = getattr(config, name)
        raise FeatureError(f"{name} is {value!r}; expected {expected}.", code="option")


def differences(
    old: Mapping[str, object], new: Mapping[str, object], prefix: str = ""
) -> list[str]:
    """The dotted names of values that two configs, as JSON values, do not share."""
    found = []
    for name in sorted({*old, *new}):
        a, b = old.get(name), new.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += differences(a, b, f"{prefix}{name}.")
        elif a != b:
            found.append(prefix + name)
    return found
