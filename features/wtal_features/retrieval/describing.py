"""Videos as retrieval compares them: unit rows, and one pooled descriptor of each.

Shapes: see the package.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wtal_features.errors import FeatureError

Rows = npt.NDArray[Any] | Tensor

# A row that the mean takes almost everything of is rounding noise, which must not get length one.
_NOTHING = 1e-6


@dataclass(frozen=True)
class Described:
    """Videos as retrieval compares them.

    Attributes:
        names: V, each once.
        pooled_VD: (V, D) float32; mean of the rows of a video, of length one.
        frames_ND: (N, D), rows of length one, video after video; None: only pooled ones are kept.
        starts: V + 1 offsets into the rows, from 0 to N.
    """

    names: tuple[str, ...]
    pooled_VD: Tensor
    frames_ND: Tensor | None
    starts: tuple[int, ...]


def described(
    videos: Iterable[tuple[str, Rows]],
    *,
    frames: bool = True,
    mean_D: Rows | None = None,
    dtype: torch.dtype = torch.float32,
) -> Described:
    """Prepare videos; all that retrieval keeps of them.

    Args:
        videos: Name and (T, D) rows of any length, T at least 1.
        frames: Keep the rows, for chamfer; else only the pooled descriptors.
        mean_D: Taken off every row first. Raw features of one encoder point in much the same
            direction, so that without it any two videos are alike. A row of which it leaves
            nothing becomes zero: it is like no row, not even itself.
        dtype: Of the kept rows. bfloat16 halves memory and, on processors that multiply it, time;
            similarities then are off by up to .001.

    Returns:
        The videos in the given order, on the device of the first.

    Raises:
        FeatureError: If there is none, a name comes twice, rows are not (T, D) with one D, or a
            value is not finite.

    Source: TCA (WACV 2021), section 3.4: TCA_c is the mean, TCA_f the rows.
    """
    names: dict[str, None] = {}
    pooled: list[Tensor] = []
    kept: list[Tensor] = []
    lengths: list[int] = []
    for name, given in videos:
        rows_TD = _double(given)
        _check(name, rows_TD, names, pooled[0].shape[0] if pooled else None)
        names[name] = None
        norms_T1 = torch.linalg.vector_norm(rows_TD, dim=1, keepdim=True)
        if mean_D is not None:
            rows_TD = rows_TD - _mean(mean_D, rows_TD)
        pooled.append(_unit(rows_TD.mean(dim=0, keepdim=True), norms_T1.mean())[0].float())
        lengths.append(len(rows_TD))
        if frames:
            kept.append(_unit(rows_TD, norms_T1).to(dtype))
    if not names:
        raise FeatureError("There is no video to compare.", code="empty")
    rows_ND = _joined(kept, sum(lengths)) if frames else None
    return Described(tuple(names), torch.stack(pooled), rows_ND, (0, *accumulate(lengths)))


def _check(name: str, rows_TD: Tensor, names: Iterable[str], dim: int | None) -> None:
    if name in names:
        raise FeatureError(
            f"The video {name!r} comes twice.", "Give every video its own name.", code="name"
        )
    if rows_TD.ndim != 2 or not rows_TD.numel() or dim not in (None, rows_TD.shape[1]):
        expected = f"(T, {'D' if dim is None else dim})"
        raise FeatureError(
            f"The rows of {name!r} have the shape {tuple(rows_TD.shape)}; expected {expected}, "
            "at least one row.",
            "Take all videos from one store.",
            code="shape",
        )
    if not rows_TD.isfinite().all():
        raise FeatureError(
            f"The rows of {name!r} hold NaN or infinity.", "Extract the video again.", code="nan"
        )


def _double(given: Rows) -> Tensor:
    """In float64. An array is copied: it may be read-only, or run backwards."""
    if isinstance(given, Tensor):
        return given.double()
    return torch.from_numpy(np.array(given, np.float64, order="C"))


def _mean(mean_D: Rows, rows_TD: Tensor) -> Tensor:
    mean = _double(mean_D)
    if mean.shape != rows_TD.shape[1:] or not mean.isfinite().all():
        raise FeatureError(
            f"The mean to take off has the shape {tuple(mean.shape)}; expected "
            f"({rows_TD.shape[1]},), all finite.",
            code="shape",
        )
    return mean.to(rows_TD)


def _unit(rows_TD: Tensor, norms_T1: Tensor) -> Tensor:
    """Rows of length one; zero where next to nothing is left of the length they had."""
    lengths_T1: Tensor = torch.linalg.vector_norm(rows_TD, dim=1, keepdim=True)
    nothing_T1 = lengths_T1 <= _NOTHING * norms_T1
    return (rows_TD / lengths_T1.masked_fill(nothing_T1, 1)).masked_fill(nothing_T1, 0)


def _joined(kept: list[Tensor], N: int) -> Tensor:
    """One tensor of all rows. Each video is let go once copied, so that memory does not double."""
    rows_ND = kept[0].new_empty(N, kept[0].shape[1])
    while kept:
        rows_TD = kept.pop()
        rows_ND[N - len(rows_TD) : N] = rows_TD
        N -= len(rows_TD)
    return rows_ND
