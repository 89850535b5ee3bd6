"""Class activation sequence -> proposals scored by outer-inner contrast.

Shapes: T bins, C kept classes, P = T * upsample points, Q thresholds, N proposals. Everything is
one array operation for all classes and thresholds of a video: no loop over snippets, points or
proposals.

Source: BaS-Net (AAAI 2020) as released, Pilhyeon/BaSNet-pytorch@c8c6bbd test.py and utils.py; the
outer-inner contrast is that of AutoLoc (ECCV 2018). What is repaired is listed in docs/method.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatTC = NDArray[np.float32]
FloatCT = NDArray[np.float32]
FloatCP = NDArray[np.float32]
FloatN = NDArray[np.float64]
IntN = NDArray[np.int64]


class Proposals(NamedTuple):
    """Runs of points above a threshold, before suppression."""

    classes_N: IntN  # index into the kept classes
    starts_N: IntN  # first point
    ends_N: IntN  # one past the last point
    scores_N: FloatN  # outer-inner contrast


def normalise(cas_TC: FloatTC, *, skip_flat: bool = False) -> FloatCT:
    """(A - lo) / (hi - lo) per class, lo = relu(min A), hi = relu(max A), divisor 1 if hi <= lo.

    With lo = 0 negative activations stay negative. A class that is never above 0 would stay below
    every threshold: it takes its plain minimum and maximum instead, unless `skip_flat` (see
    compat.py).
    """
    cas_CT = np.ascontiguousarray(cas_TC.T)
    low_C1, high_C1 = cas_CT.min(1, keepdims=True), cas_CT.max(1, keepdims=True)
    flat_C1 = (high_C1 <= 0) & (not skip_flat)
    low_C1 = np.where(flat_C1, low_C1, np.maximum(low_C1, 0))
    high_C1 = np.where(flat_C1, high_C1, np.maximum(high_C1, 0))
    span_C1 = high_C1 - low_C1
    curve_CT: FloatCT = (cas_CT - low_C1) / np.where(span_C1 > 0, span_C1, np.float32(1))
    return curve_CT


def upsample(curve_CT: FloatCT, factor: int, *, left_edge: bool = False) -> FloatCP:
    """Linear interpolation to `factor` points per bin; point j covers [j, j + 1) / factor bins.

    Bin t stands for its centre: point j reads coordinate (j + .5)/factor - .5, held at the first
    and the last bin. `left_edge` reads j/factor and extrapolates past the last bin, as released.
    """
    C, T = curve_CT.shape
    if T == 1 or (factor == 1 and not left_edge):
        return np.repeat(curve_CT, factor, axis=1)
    # Point j reads (j + shift) / factor on bins with one more at the end, or at each end; between
    # two bins the weights are the same everywhere.
    last_C1 = 2 * curve_CT[:, -1:] - curve_CT[:, -2:-1] if left_edge else curve_CT[:, -1:]
    bins = (curve_CT, last_C1) if left_edge else (curve_CT[:, :1], curve_CT, last_C1)
    bins_CU = np.concatenate(bins, axis=1)
    shift = 0.0 if left_edge else (factor + 1) / 2
    cut = int(shift)
    weight_F = (np.arange(factor) + shift - cut) / factor
    step_CU1 = np.diff(bins_CU, axis=1)[:, :, None]
    points_CP = (bins_CU[:, :-1, None] + step_CU1 * weight_F.astype(np.float32)).reshape(C, -1)
    return np.ascontiguousarray(points_CP[:, cut : cut + T * factor])


def propose(
    curve_CP: FloatCP,
    thresholds: tuple[float, ...],
    *,
    margin: float,
    oic_after_threshold: bool = False,
) -> Proposals:
    """Maximal runs of points >= threshold and > 0, for every threshold, with their contrast.

    Args:
        curve_CP: normalised, upsampled curves.
        thresholds: Q values.
        margin: width of the outside on each side, as a share of the run's length, clipped to the
            video.
        oic_after_threshold: points below the threshold count as 0 (see compat.py).

    Returns:
        Proposals ordered by threshold, class and time.
    """
    C, P = curve_CP.shape
    level_Q11 = np.asarray(thresholds, np.float32)[:, None, None]
    # A False in front of every curve separates it from the one before.
    above = np.zeros((len(thresholds), C, P + 1), dtype=bool)
    np.greater_equal(curve_CP, level_Q11, out=above[:, :, 1:])
    above[:, :, 1:] &= curve_CP > 0
    flat = above.reshape(-1)
    change = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat[-1]:
        change = np.append(change, flat.size)
    row_N, first_N = np.divmod(change[0::2], P + 1)
    starts_N, ends_N = first_N - 1, first_N - 1 + (change[1::2] - change[0::2])
    if oic_after_threshold:
        summed = _prefix_sums(np.where(above[:, :, 1:], curve_CP, 0).reshape(-1, P))
        scores_N = _contrast(summed, row_N, starts_N, ends_N, margin)
    else:
        scores_N = _contrast(_prefix_sums(curve_CP), row_N % C, starts_N, ends_N, margin)
    return Proposals(row_N % C, starts_N, ends_N, scores_N)


def _prefix_sums(curve_RP: NDArray[np.float32]) -> NDArray[np.float64]:
    """(R, P + 1): entry p is the sum of the first p points."""
    summed = np.zeros((curve_RP.shape[0], curve_RP.shape[1] + 1))
    np.cumsum(curve_RP, axis=1, dtype=np.float64, out=summed[:, 1:])
    return summed


def _contrast(
    summed_RP: NDArray[np.float64], row_N: IntN, starts_N: IntN, ends_N: IntN, margin: float
) -> FloatN:
    """Mean inside minus mean of both outsides together, 0 where there is no outside."""
    P = summed_RP.shape[1] - 1
    length_N = ends_N - starts_N
    # Truncation toward zero before the clip, as released.
    outer_starts_N = np.maximum((starts_N - margin * length_N).astype(np.int64), 0)
    outer_ends_N = np.minimum((ends_N - 1 + margin * length_N).astype(np.int64) + 1, P)
    inside_N = summed_RP[row_N, ends_N] - summed_RP[row_N, starts_N]
    around_N = summed_RP[row_N, outer_ends_N] - summed_RP[row_N, outer_starts_N]
    outside_N = outer_ends_N - outer_starts_N - length_N
    contrast_N: FloatN = inside_N / length_N - (around_N - inside_N) / np.maximum(outside_N, 1)
    return contrast_N
