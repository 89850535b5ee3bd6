"""Dropout from an explicit generator, in a twentieth of the time of `bernoulli_`."""

from __future__ import annotations

import torch
from torch import Tensor


def dropout(
    x: Tensor, p: float, generator: torch.Generator, rows: tuple[int, int] | None = None
) -> tuple[Tensor, float]:
    """What is left of x, and the factor that restores its mean.

    The factor is left to the caller, who can apply it to something smaller than x.

    Sixteen random bits decide one element, four elements a draw: PyTorch's `bernoulli_` draws one
    by one and took 6 % of a training step of BaS-Net, 40 % of TCA's. p is thereby rounded to
    1/65536, and the scale with it.

    Args:
        x: Any shape.
        p: Share that is dropped, 0 to below 1.
        generator: On the device of x.
        rows: Where x is a stretch of a longer matrix: rows before it, and rows in all. The draws
            are those of the whole, so that its stretches lose what the whole would lose.
    """
    if p == 0:
        return x, 1.0
    dropped = round(p * 65536)
    first, whole = 0, x.numel()
    if rows is not None:
        first, whole = (n * x[0].numel() for n in rows)
    bits = torch.empty((whole + 3) // 4, dtype=torch.int64, device=x.device)
    bits.random_(-(2**63), None, generator=generator)
    drawn = bits.view(torch.int16)[first : first + x.numel()]
    lost = (drawn < dropped - 32768).view_as(x)
    return x.masked_fill(lost, 0), 65536 / (65536 - dropped)
