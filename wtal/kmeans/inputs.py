"""What K-Means accepts: every fault in one sentence, before anything is computed.

Shapes: N points, d dims, K clusters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wtal.errors import WtalError
from wtal.kmeans.lloyd import square_sum
from wtal.kmeans.reduce import Reduce


def check_at_least(smallest: int, **options: int) -> None:
    """Counts that are too small.

    Raises:
        WtalError: an option is below `smallest`.
    """
    for name, value in options.items():
        if value < smallest:
            raise WtalError(f"{name} is {value}; expected at least {smallest}.")


def check_points(x_Nd: Tensor, what: str = "x") -> None:
    """A matrix of numbers.

    Raises:
        WtalError: it is none.
    """
    if x_Nd.dim() != 2 or not x_Nd.dtype.is_floating_point:
        raise WtalError(
            f"{what} has shape {tuple(x_Nd.shape)} and type {x_Nd.dtype}; "
            "expected floating-point rows (N, d)."
        )


def check_centroids(centroids_Kd: Tensor, k: int, d: int, what: str = "init") -> None:
    """Finite centroids that fit the points.

    Raises:
        WtalError: they are not.
    """
    check_points(centroids_Kd, what)
    if tuple(centroids_Kd.shape) != (k, d):
        raise WtalError(
            f"{what} has shape {tuple(centroids_Kd.shape)}; expected {(k, d)}: "
            "k centroids with the dims of x."
        )
    if not centroids_Kd.isfinite().all():
        raise WtalError(f"{what} holds NaN or infinity; expected finite centroids.")


def check_per_point(values_N: Tensor | None, what: str, N: int) -> None:
    """One value per point, or none at all.

    Raises:
        WtalError: another shape.
    """
    if values_N is not None and tuple(values_N.shape) != (N,):
        raise WtalError(
            f"{what} has shape {tuple(values_N.shape)}; expected {(N,)}: one per point."
        )


def checked_square_sum(x_Nd: Tensor, weights_N: Tensor | None, reduce: Reduce | None) -> Tensor:
    """`square_sum` of this process, once the values of all processes have passed.

    Sums of all processes decide, so that all of them go on or none does.

    Raises:
        WtalError: no points, values that are not finite, or weights that are no weights.
    """
    squares = square_sum(x_Nd)
    points = torch.full_like(squares, len(x_Nd))
    bad, weight = torch.zeros_like(squares), points
    if weights_N is not None:
        bad = (~(weights_N.isfinite() & (weights_N >= 0))).sum(dtype=torch.float64)
        weight = weights_N.sum(dtype=torch.float64).nan_to_num()
    facts = torch.stack([points, squares, bad, weight])
    n, all_squares, n_bad, all_weight = (facts if reduce is None else reduce(facts)).tolist()
    if n == 0:
        raise WtalError("There are no points to cluster; expected at least one row in x.")
    if not all_squares < torch.inf:
        raise WtalError(f"{describe_bad_row(x_Nd)}; K-Means needs finite points.")
    if n_bad:
        raise WtalError(f"{n_bad:.0f} weights are negative, NaN or infinite; expected 0 or more.")
    if all_weight <= 0:
        raise WtalError("All weights are 0; expected at least one point with weight.")
    return squares if weights_N is None else square_sum(x_Nd, weights_N)


def describe_bad_row(x_Nd: Tensor, what: str = "x") -> str:
    """Which row of points is to blame for a sum of squares that is not finite."""
    rows = (~torch.linalg.vector_norm(x_Nd.float(), dim=1).square().isfinite()).nonzero().flatten()
    if not len(rows):
        return f"{what} of another process holds NaN, infinity or values too large to square"
    return f"Row {int(rows[0])} of {what} holds NaN, infinity or values too large to square"
