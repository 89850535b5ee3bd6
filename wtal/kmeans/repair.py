"""Empty clusters: each becomes the point that lies farthest from its own centroid.

Shapes: N points of this process, d dims, K clusters, E of them empty, M candidates of D = 4 + d
numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wtal.kmeans.lloyd import RESOLUTION, Stats, squared_distances
from wtal.kmeans.reduce import Reduce


def repair(
    stats: Stats,
    x_Nd: Tensor,
    centroids_Kd: Tensor,
    *,
    weights_N: Tensor | None = None,
    places_N: Tensor | None = None,
    reduce: Reduce | None = None,
) -> tuple[Stats, bool]:
    """Give each empty cluster the point that lies farthest from its own centroid.

    Ranked by |x - c|^2, ties to the lowest global index; a point leaves its old cluster, but never
    as the last one, and a point that fp32 cannot tell from its centroid or from one moved before
    stays. The processes pool their candidates, so that all of them decide alike.

    Args:
        stats: totals over all processes, labels of this one.
        x_Nd: points of this process.
        centroids_Kd: those that the labels belong to.
        weights_N: weights; points of weight 0 stay.
        places_N: ascending, among the points of all; None: after those of lower ranks.
        reduce: the processes.

    Returns:
        Sums and counts as if the labels had moved, and whether one has.
    """
    empty = (stats.counts_K == 0).nonzero().flatten().tolist()
    if not empty:
        return stats, False
    # Some candidates will be turned down.
    if places_N is None:
        places_N = torch.zeros_like(stats.labels_N)  # the order of the ranks is that of the places
    pool_MD = _farthest(stats.labels_N, x_Nd, centroids_Kd, weights_N, places_N, 4 * len(empty))
    if reduce is not None:
        pool_MD = reduce.gather(pool_MD)
        pool_MD = pool_MD[pool_MD[:, 3].argsort(stable=True)]
    pool_MD = pool_MD[pool_MD[:, 0].argsort(descending=True, stable=True)]
    sums_Kd, counts_K = stats.sums_Kd.clone(), stats.counts_K.clone()
    moved_Ed, done = sums_Kd.new_empty(len(empty), x_Nd.shape[1]), 0
    for row_D in pool_MD:
        (weight, label), x_d = row_D[1:3].tolist(), row_D[4:]
        old, near = int(label), RESOLUTION * x_d.square().sum()
        taken = (torch.linalg.vector_norm(moved_Ed[:done] - x_d, dim=1).square() <= near).any()
        if taken or counts_K[old] <= weight:
            continue
        new = empty[done]
        moved_Ed[done] = x_d
        done += 1
        sums_Kd[old] -= weight * x_d
        counts_K[old] -= weight
        sums_Kd[new] = weight * x_d
        counts_K[new] = weight
        if done == len(empty):
            break
    return stats._replace(sums_Kd=sums_Kd, counts_K=counts_K), done > 0


def _farthest(
    labels_N: Tensor,
    x_Nd: Tensor,
    centroids_Kd: Tensor,
    weights_N: Tensor | None,
    places_N: Tensor,
    most: int,
) -> Tensor:
    """(M, 4 + d) fp64 rows of distance, weight, label, place and point; the farthest M <= most."""
    distances_N = squared_distances(x_Nd, centroids_Kd, labels_N)
    zero_1d = torch.zeros_like(centroids_Kd[:1])
    squares_N = squared_distances(x_Nd, zero_1d, torch.zeros_like(labels_N))
    weights_N = torch.ones_like(distances_N) if weights_N is None else weights_N
    free_N = (distances_N > RESOLUTION * squares_N) & (weights_N > 0)
    distances_N = distances_N.masked_fill(~free_N, -1)
    # topk alone would break ties at random.
    smallest = distances_N.topk(min(most, len(distances_N))).values.amin() if len(x_Nd) else 0
    ids_M = ((distances_N >= smallest) & free_N).nonzero().flatten()
    ids_M = ids_M[distances_N[ids_M].argsort(descending=True, stable=True)[:most]]
    about = distances_N, weights_N, labels_N, places_N
    about_M4 = torch.stack([part[ids_M].double() for part in about], dim=1)
    return torch.cat([about_M4, x_Nd[ids_M].double()], dim=1)
