"""Nearly equal videos under two names, found by their features; for `wtal doctor`.

A re-encoded, rescaled or slightly trimmed copy has nearly the same features at the same share of
its length. So each video becomes a short signature, and two videos are alike as far as their
signatures correlate.

Shapes: V videos, n snippets, D dims, S = 16 places, P = 64 projected dims.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

PLACES, PROJECTED = 16, 64
ALIKE = 0.9
"""Correlation from which two videos are reported. On 400 sequences of real VGG16 features the most
alike pair of different videos has .61. Their copies have at least .94 with noise of half the
features' spread, .92 at half the rate, and .93 without 2 % of the length at either end; without 5 %
at one end .70 to .9: a copy cut harder than that is not found."""
BLOCK = 1024  # videos compared at a time


class Twins(NamedTuple):
    """Two videos of different subsets."""

    first: str
    second: str
    correlation: float


def projection(dim: int) -> Floats:
    """(D, P) random directions, always the same: they keep correlations and save most of D."""
    generator = np.random.default_rng(0)
    matrix: Floats = generator.standard_normal((dim, PROJECTED), np.float32)
    return matrix / np.float32(np.sqrt(PROJECTED))


def signature(features_nD: Floats, matrix_DP: Floats) -> Floats:
    """(S, P): the mean of each sixteenth of the video, projected.

    Where there are fewer snippets than places, a snippet stands in several.
    """
    n = len(features_nD)
    low = np.arange(PLACES) * n // PLACES
    high = np.maximum((np.arange(PLACES) + 1) * n // PLACES, low + 1)
    sums_nD = np.concatenate(
        [np.zeros((1, features_nD.shape[1])), np.cumsum(features_nD, 0, float)]
    )
    means_SD = (sums_nD[high] - sums_nD[low]) / (high - low)[:, None]
    projected: Floats = (means_SD @ matrix_DP).astype(np.float32)
    return projected


def find_twins(
    signatures: Mapping[str, Floats], subsets: Mapping[str, str | None]
) -> Iterator[Twins]:
    """Pairs of different subsets whose signatures correlate by `ALIKE` or more.

    Of every signature the mean of the whole store is taken first: features of one encoder are all
    alike. It costs V^2 S P multiplications, two CPU seconds for 10,000 videos, and 4 kB a video.
    """
    names = sorted(name for name in signatures if subsets.get(name) is not None)
    if len({subsets[name] for name in names}) < 2:
        return
    x_VSP = np.stack([signatures[name] for name in names])
    x_VSP = x_VSP - x_VSP.mean(axis=(0, 1))
    x_VK = x_VSP.reshape(len(names), -1)
    norm_V1 = np.linalg.norm(x_VK, axis=1, keepdims=True)
    x_VK = np.divide(x_VK, norm_V1, out=np.zeros_like(x_VK), where=norm_V1 > 0)
    for low in range(0, len(names), BLOCK):
        correlation_BV = x_VK[low : low + BLOCK] @ x_VK[low:].T
        for i, j in zip(*np.nonzero(np.triu(correlation_BV, 1) >= ALIKE), strict=True):
            first, second = names[low + int(i)], names[low + int(j)]
            if subsets[first] != subsets[second]:
                yield Twins(first, second, float(correlation_BV[i, j]))


def words(pairs: Sequence[Twins]) -> str:
    """The pairs for a message, the most alike first."""
    best = sorted(pairs, key=lambda pair: -pair.correlation)[:5]
    more = f" and {len(pairs) - len(best)} more" if len(pairs) > len(best) else ""
    return ", ".join(f"{p.first} ~ {p.second} ({p.correlation:.2f})" for p in best) + more
