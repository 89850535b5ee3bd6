"""One pass of Lloyd's algorithm: nearest centroids, sums that processes add up, update.

Shapes: N points (of this process), d dims, K clusters, n points of a chunk.

With s_k = |c_k|^2 / 2 - x . c_k the squared distance is |x|^2 + 2 s_k, so the nearest centroid has
the smallest s_k, and a pass costs one product of 2 N K d FLOP. Nothing of size N x K x d exists,
and of size n x K only one buffer. The inertia needs no distance at all: with S_k the sum and n_k
the number of the points of cluster k,

    sum |x - c|^2 = sum |x|^2 - 2 sum_k c_k . S_k + sum_k n_k |c_k|^2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from wtal.kmeans.reduce import Reduce

Precision = Literal["fp32", "bf16"]
Search = Callable[[Tensor], Tensor]  # (n, d) points -> (n,) labels
MakeSearch = Callable[[Tensor], Search]  # from (K, d) centroids

SCORE_BYTES = 50_000_000  # of one n x K buffer: the L2 cache of a large GPU
CPU_ROWS = 2048  # points per chunk on a CPU: they are still in its cache when they are summed
ADDS = 64  # points per cluster, on average, that are summed in fp32 before fp64 takes over
RESOLUTION = 4 * torch.finfo(torch.float32).eps  # |x - c|^2 / |x|^2 that fp32 products cannot see


class Stats(NamedTuple):
    """What one pass says about the points; all but the labels add up over processes."""

    sums_Kd: Tensor  # fp64, weighted
    counts_K: Tensor  # fp64 total weights; without weights the number of points
    inertia: Tensor  # fp64 scalar, weighted sum of |x - c|^2
    changed: Tensor  # fp64 scalar, weight of the points whose label is new
    labels_N: Tensor  # int64, of this process

    def total(self, reduce: Reduce | None) -> Stats:
        """The sums over all processes: K (d + 1) + 2 numbers travel, whatever N is."""
        if reduce is None:
            return self
        scalars = torch.stack([self.inertia, self.changed])
        whole = reduce(torch.cat([self.sums_Kd.flatten(), self.counts_K, scalars]))
        K, d = self.sums_Kd.shape
        sums_Kd, counts_K = whole[: K * d].view(K, d), whole[K * d : -2]
        return Stats(sums_Kd, counts_K, whole[-2], whole[-1], self.labels_N)


def chunks(N: int, K: int, device: torch.device) -> Iterator[slice]:
    """Slices of the points, in fixed order."""
    n = max(1, SCORE_BYTES // (4 * K))
    if device.type == "cpu":
        n = min(n, CPU_ROWS)
    return (slice(start, min(start + n, N)) for start in range(0, N, n))


def torch_search(centroids_Kd: Tensor, dtype: Precision = "fp32") -> Search:
    """A function that finds the nearest centroid of each point; ties go to the lowest index.

    Args:
        centroids_Kd: fp32.
        dtype: of the products. With bf16 the mean centroid is taken off the centroids first. It
            adds the same to all scores of a point, and the smaller numbers lose less to bf16.

    Returns:
        The function; it reuses one buffer from call to call.
    """
    half_K = torch.linalg.vector_norm(centroids_Kd, dim=1).square() / 2
    scores_nK = centroids_Kd.new_empty(0, len(centroids_Kd))
    if dtype == "bf16":
        centroids_Kd = (centroids_Kd - centroids_Kd.mean(0)).bfloat16()
    products_nK = torch.empty_like(scores_nK, dtype=torch.bfloat16)

    def search(x_nd: Tensor) -> Tensor:
        nonlocal scores_nK, products_nK
        n = len(x_nd)
        if len(scores_nK) < n:
            scores_nK = scores_nK.new_empty(n, len(half_K))
        if dtype == "bf16":
            if len(products_nK) < n:
                products_nK = products_nK.new_empty(n, len(half_K))
            torch.mm(x_nd.bfloat16(), centroids_Kd.T, out=products_nK[:n])
            torch.sub(half_K, products_nK[:n], out=scores_nK[:n])
        else:
            torch.addmm(half_K, x_nd.float(), centroids_Kd.T, alpha=-1, out=scores_nK[:n])
        return _first_smallest(scores_nK[:n])

    return search


def _first_smallest(scores_nK: Tensor) -> Tensor:
    """Row by row the first index of the smallest value."""
    if scores_nK.device.type == "cpu":
        # NumPy's is vectorised: 5 to 10 times as fast as PyTorch's on one core.
        return torch.from_numpy(scores_nK.numpy().argmin(1))
    return scores_nK.argmin(1)


def squared_distances(x_Nd: Tensor, centroids_Kd: Tensor, labels_N: Tensor) -> Tensor:
    """(N,) fp32 |x - c|^2 to the centroid of each point's label, from the difference itself.

    Exact where |x|^2 + 2 s would cancel, and 0 for a point on its centroid.
    """
    distances_N = torch.empty(len(x_Nd), device=x_Nd.device)
    for part in chunks(len(x_Nd), x_Nd.shape[1], x_Nd.device):
        difference_nd = x_Nd[part].float() - centroids_Kd[labels_N[part]]
        distances_N[part] = torch.linalg.vector_norm(difference_nd, dim=1).square()
    return distances_N


def square_sum(x_Nd: Tensor, weights_N: Tensor | None = None) -> Tensor:
    """Fp64 scalar, weighted sum of |x|^2; not finite if a value is not."""
    total = torch.zeros((), dtype=torch.float64, device=x_Nd.device)
    for part in chunks(len(x_Nd), x_Nd.shape[1], x_Nd.device):
        squares_n = torch.linalg.vector_norm(x_Nd[part].float(), dim=1).double().square()
        total += (squares_n if weights_N is None else squares_n * weights_N[part]).sum()
    return total


def partial_stats(
    x_Nd: Tensor,
    centroids_Kd: Tensor,
    *,
    previous_N: Tensor | None = None,
    weights_N: Tensor | None = None,
    squares: Tensor | None = None,
    make_search: MakeSearch = torch_search,
    deterministic: bool = False,
) -> Stats:
    """One pass over the points: labels, and the sums that a Lloyd update needs.

    Args:
        x_Nd: floating-point points of this process; none is fine.
        centroids_Kd: fp32.
        previous_N: labels of the pass before; without them every label counts as changed.
        weights_N: fp32; a point of weight 2 counts as two points.
        squares: `square_sum(x, weights)`, which stays the same from pass to pass.
        make_search: how the nearest centroid is found.
        deterministic: on CUDA, where `index_add_` is atomic and so in random order, sort the points
            of a chunk by label and sum segments.

    Returns:
        Sums of this process; `Stats.total` adds up those of all.
    """
    K, d = centroids_Kd.shape
    search = make_search(centroids_Kd)
    add_rows = add_sorted if deterministic and x_Nd.device.type == "cuda" else add_in_order
    labels_N = torch.empty(len(x_Nd), dtype=torch.int64, device=x_Nd.device)
    sums_Kd = torch.zeros(K, d, dtype=torch.float64, device=x_Nd.device)
    recent_Kd, points = torch.zeros_like(sums_Kd, dtype=torch.float32), 0
    for part in chunks(len(x_Nd), K, x_Nd.device):
        x_nd = x_Nd[part]
        labels_N[part] = search(x_nd)
        x_nd = x_nd.float() if weights_N is None else x_nd.float() * weights_N[part].unsqueeze(1)
        add_rows(recent_Kd, labels_N[part], x_nd)
        points += len(x_nd)
        if points >= ADDS * K:
            sums_Kd += recent_Kd
            recent_Kd.zero_()
            points = 0
    sums_Kd += recent_Kd
    counts_K = _totals(labels_N, weights_N, K)
    if squares is None:
        squares = square_sum(x_Nd, weights_N)
    centroids_Kd = centroids_Kd.double()
    norms_K = torch.linalg.vecdot(centroids_Kd, centroids_Kd)
    inertia = squares - 2 * (centroids_Kd * sums_Kd).sum() + (counts_K * norms_K).sum()
    changed = counts_K.sum()
    if previous_N is not None:
        other_N = labels_N != previous_N
        changed = (other_N if weights_N is None else other_N * weights_N).sum(dtype=torch.float64)
    return Stats(sums_Kd, counts_K, inertia.clamp(min=0), changed, labels_N)


def add_in_order(sums_Kd: Tensor, labels_n: Tensor, x_nd: Tensor) -> None:
    """sums[labels[i]] += x[i]; on CUDA in random order."""
    sums_Kd.index_add_(0, labels_n, x_nd)


def add_sorted(sums_Kd: Tensor, labels_n: Tensor, x_nd: Tensor) -> None:
    """The same, cluster by cluster."""
    lengths_K = torch.bincount(labels_n, minlength=len(sums_Kd))
    sorted_nd = x_nd[labels_n.argsort(stable=True)]
    sums_Kd += torch.segment_reduce(sorted_nd, "sum", lengths=lengths_K, axis=0)


def _totals(labels_N: Tensor, weights_N: Tensor | None, K: int) -> Tensor:
    """(K,) fp64 weight of each cluster."""
    counts_K = torch.bincount(labels_N, minlength=K)
    if weights_N is None:
        return counts_K.double()
    # Sorted, because a weighted bincount is atomic on CUDA.
    sorted_N = weights_N[labels_N.argsort(stable=True)].double()
    return torch.segment_reduce(sorted_N, "sum", lengths=counts_K)


def update(stats: Stats, centroids_Kd: Tensor, *, spherical: bool = False) -> Tensor:
    """(K, d) fp32 means of the clusters; `spherical`: their directions, at unit length.

    An empty cluster becomes a copy of the first cluster that is not empty, if that has a lower
    index: the tie rule then keeps it empty, where its old place could win a point by rounding. An
    empty cluster before it, or points that cancel under `spherical`, keep their centroid.
    """
    lengths_K = stats.counts_K
    if spherical:
        lengths_K = torch.linalg.vector_norm(stats.sums_Kd, dim=1)
    means_Kd = (stats.sums_Kd / lengths_K.unsqueeze(1)).float()
    means_Kd = torch.where(lengths_K.unsqueeze(1) > 0, means_Kd, centroids_Kd)
    filled_K = stats.counts_K > 0
    first = int(filled_K.int().argmax())
    copies_K = ~filled_K & (torch.arange(len(filled_K), device=filled_K.device) > first)
    return torch.where(copies_K.unsqueeze(1), means_Kd[first], means_Kd)
