"""Single random numbers from a generator that is passed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """A number of [low, high)."""
    import torch

    share = torch.rand((), generator=generator, dtype=torch.float64).item()
    return low + (high - low) * share


def chance(p: float, generator: torch.Generator) -> bool:
    """True with probability p; never at 0, always at 1."""
    return uniform(0, 1, generator) < p


def below(count: int, generator: torch.Generator) -> int:
    """An integer of 0..count - 1."""
    import torch

    return int(torch.randint(count, (), generator=generator))


def order(count: int, generator: torch.Generator) -> list[int]:
    """0..count - 1 in random order."""
    import torch

    return [int(i) for i in torch.randperm(count, generator=generator)]
