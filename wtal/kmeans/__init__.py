"""K-Means: a first round on a sample, later rounds from the last centroids.

Shapes: N points, d dims, K clusters, S sampled points.
One pass is `wtal.kmeans.lloyd`, the start `wtal.kmeans.seeding`, one clustering per video
`wtal.kmeans.videos`; `wtal bench kmeans` says what they cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from wtal.errors import WtalError
from wtal.kmeans import faiss_search
from wtal.kmeans.inputs import (
    check_at_least,
    check_centroids,
    check_per_point,
    check_points,
    checked_square_sum,
    describe_bad_row,
)
from wtal.kmeans.lloyd import (
    MakeSearch,
    Precision,
    Stats,
    chunks,
    partial_stats,
    square_sum,
    squared_distances,
    torch_search,
    update,
)
from wtal.kmeans.reduce import AllReduce, Reduce
from wtal.kmeans.repair import repair
from wtal.kmeans.seeding import plus_plus, sample
from wtal.kmeans.videos import Clusters, fit_batched

__all__ = [
    "AllReduce",
    "Clusters",
    "Reduce",
    "Result",
    "Stats",
    "assign",
    "fit",
    "fit_batched",
    "partial_stats",
]

Backend = Literal["torch", "faiss", "faiss-gpu"]
Callback = Callable[[int, float, float], None]  # iteration, changed share, inertia


class Result(NamedTuple):
    """A clustering; labels, counts and inertia come from one assignment to these centroids."""

    centroids: Tensor  # (K, d) fp32
    labels: Tensor  # (N,) int64, nearest centroid, of this process's points
    counts: Tensor  # (K,) fp64, total weight of each cluster; without weights its points
    inertia: float  # weighted sum of |x - c|^2 over all points
    iterations: int  # updates of the centroids, those on the sample included
    changed: tuple[float, ...]  # share of labels that each assignment of all points changed


@dataclass(frozen=True)
class _Rules:
    """What stays the same over the passes of a fit."""

    make_search: MakeSearch
    spherical: bool
    deterministic: bool
    reduce: Reduce | None
    callback: Callback | None


def fit(
    x_Nd: Tensor,
    k: int,
    *,
    init: Tensor | None = None,
    previous: Tensor | None = None,
    weights: Tensor | None = None,
    iters: int = 25,
    tol: float = 1e-4,
    change_tol: float = 0.01,
    spherical: bool = False,
    seed: int = 0,
    sample_per_centroid: int = 256,
    full_passes: int = 2,
    dtype: Precision = "fp32",
    deterministic: bool = False,
    reduce: Reduce | None = None,
    places: Tensor | None = None,
    callback: Callback | None = None,
    backend: Backend = "torch",
) -> Result:
    """Lloyd's algorithm, on the device of `x`.

    An iteration is an update of the centroids and the assignment after it. Without `init` (first
    round): k-means++ and at most `iters` iterations on a sample, then `full_passes` assignments of
    all points with an update between two. With `init` (warm start): all points; one assignment to
    `init`, then at least one iteration and at most `iters`, up to the first that changes fewer
    labels than `change_tol` or lowers the inertia by less than `tol` of it.

    Ties go to the lowest index. An empty cluster becomes the point farthest from its centroid; with
    fewer distinct points than `k`, equal points for one, the surplus clusters end with count 0.
    So may one that lost its points in the very last update.

    Args:
        x_Nd: (N, d) floating point, finite; of this process, if there are several. L2-normalised
            for `spherical`, and better so in general: distances come from |x|^2 - 2 x.c + |c|^2.
        k: clusters, at least 1.
        init: (k, d) centroids.
        previous: (N,) labels of the round before, against which the first assignment of all points
            counts its changes; without them all labels count as changed.
        weights: (N,) at least 0; weight 2 counts as two equal points, also in what is returned.
        iters: most iterations; 0 with `init` assigns only.
        tol: share of the inertia; 0: never a reason to stop.
        change_tol: share of the labels; 0: stop when no label changes.
        spherical: centroids have unit length, so that the nearest one has the largest cosine.
        seed: of the sample and k-means++.
        sample_per_centroid: points of the sample, times k.
        full_passes: at least 1.
        dtype: of the products; sums and norms are fp32 and wider. `bf16` takes 0.5 to 0.7 of the
            time on processors with bf16 instructions (`wtal bench kmeans`).
        deterministic: the same bits in every run on CUDA too; on a CPU they are anyway, for a given
            number of threads.
        reduce: joins processes that hold parts of the points, in the order of their ranks, as
            `AllReduce` does. Each calls `fit` with its own `x`, `previous` and `weights` and gets
            its own labels; the rest of the result is the same everywhere.
        places: (N,) int64, ascending: where the points of this process stand among those of all,
            for samples and ties; without them, those of lower ranks stand before.
        callback: called after every assignment, of the sample too, with the iterations so far, the
            share of labels changed and the inertia of the points assigned. What it raises stops
            the fit and passes on.
        backend: `torch`; `faiss` (CPU) or `faiss-gpu` search by faiss and share all the rest.

    Raises:
        WtalError: shapes or values that do not fit, no points, NaN, or a backend that is not there.
    """
    check_at_least(1, k=k, sample_per_centroid=sample_per_centroid, full_passes=full_passes)
    check_at_least(0, iters=iters)
    check_points(x_Nd)
    check_per_point(previous, "previous", len(x_Nd))
    check_per_point(weights, "weights", len(x_Nd))
    check_per_point(places, "places", len(x_Nd))
    if init is not None:
        check_centroids(init, k, x_Nd.shape[1])
    generator = torch.Generator().manual_seed(seed)
    make_search = _backend(backend, dtype, x_Nd.device)
    rules = _Rules(make_search, spherical, deterministic, reduce, callback)
    with torch.no_grad(), torch.autocast(x_Nd.device.type, enabled=False):
        if weights is not None:
            weights = weights.float()
        points = _Points(x_Nd, weights, checked_square_sum(x_Nd, weights, reduce), places)
        if init is not None:
            start = _unit(init.to(x_Nd.device, torch.float32, copy=True), spherical)
            return _lloyd(points, start, previous, rules, iters, tol, change_tol)
        size = sample_per_centroid * k
        few = points.part(
            sample(x_Nd, size, generator, weights_N=weights, places_N=places, reduce=reduce)
        )
        start = _unit(_seed(few, k, generator, reduce), spherical)
        sampled = _lloyd(few, start, None, rules, iters, tol, 0.0)
        start, done = sampled.centroids, sampled.iterations
        return _lloyd(points, start, previous, rules, full_passes - 1, 0.0, 0.0, done=done)


@dataclass(frozen=True)
class _Points:
    x_Nd: Tensor
    weights_N: Tensor | None  # fp32
    squares: Tensor  # weighted sum of |x|^2 of this process
    places_N: Tensor | None  # int64, among the points of all; None: after those of lower ranks

    def part(self, ids: Tensor) -> _Points:
        weights = None if self.weights_N is None else self.weights_N[ids]
        places = None if self.places_N is None else self.places_N[ids]
        x = self.x_Nd[ids].float()
        return _Points(x, weights, square_sum(x, weights), places)


def _seed(few: _Points, k: int, generator: torch.Generator, reduce: Reduce | None) -> Tensor:
    """k-means++ on the sample of all processes; the choice of rank 0 holds for all."""
    if reduce is None:
        return plus_plus(few.x_Nd, k, generator, few.weights_N)
    x_Sd = reduce.gather(few.x_Nd)
    weights_S = None
    if few.weights_N is not None:
        weights_S = reduce.gather(few.weights_N.unsqueeze(1))[:, 0]
    if few.places_N is not None:
        order_S = reduce.gather(few.places_N).argsort()
        x_Sd, weights_S = x_Sd[order_S], None if weights_S is None else weights_S[order_S]
    return reduce.gather(plus_plus(x_Sd, k, generator, weights_S))[:k]


def _lloyd(
    points: _Points,
    centroids_Kd: Tensor,
    previous_N: Tensor | None,
    rules: _Rules,
    iters: int,
    tol: float,
    change_tol: float,
    *,
    done: int = 0,
) -> Result:
    """Assign; then update and assign until the clusters settle."""
    changed: list[float] = []
    before = torch.inf
    for i in range(iters + 1):
        stats = partial_stats(
            points.x_Nd,
            centroids_Kd,
            previous_N=previous_N,
            weights_N=points.weights_N,
            squares=points.squares,
            make_search=rules.make_search,
            deterministic=rules.deterministic,
        ).total(rules.reduce)
        previous_N = stats.labels_N
        total, inertia = stats.counts_K.sum().item(), stats.inertia.item()
        changed.append(stats.changed.item() / total)
        if rules.callback is not None:
            rules.callback(done + i, changed[-1], inertia)
        if i == iters:
            break
        moved, repaired = repair(
            *(stats, points.x_Nd, centroids_Kd),
            weights_N=points.weights_N,
            places_N=points.places_N,
            reduce=rules.reduce,
        )
        few_changed = changed[-1] == 0 or changed[-1] < change_tol
        settled = few_changed or (tol > 0 and before - inertia < tol * before)
        if i > 0 and settled and not repaired:
            break
        before = inertia
        centroids_Kd = update(moved, centroids_Kd, spherical=rules.spherical)
    counts_K = stats.counts_K
    return Result(centroids_Kd, stats.labels_N, counts_K, inertia, done + i, tuple(changed))


def assign(
    x_Nd: Tensor, centroids_Kd: Tensor, *, dtype: Precision = "fp32", spherical: bool = False
) -> tuple[Tensor, Tensor]:
    """The nearest centroid of each point; ties go to the lowest index.

    Args:
        x_Nd: floating point.
        centroids_Kd: on any device.
        dtype: of the products.
        spherical: give the centroids unit length first.

    Returns:
        (N,) int64 labels and (N,) fp32 squared distances, these from the differences themselves.

    Raises:
        WtalError: shapes or values that do not fit.
    """
    check_points(x_Nd)
    check_centroids(centroids_Kd, len(centroids_Kd), x_Nd.shape[1], "centroids")
    check_at_least(1, k=len(centroids_Kd))
    with torch.no_grad(), torch.autocast(x_Nd.device.type, enabled=False):
        centroids_Kd = _unit(centroids_Kd.to(x_Nd.device).float(), spherical)
        search = _backend("torch", dtype, x_Nd.device)(centroids_Kd)
        labels_N = torch.empty(len(x_Nd), dtype=torch.int64, device=x_Nd.device)
        for part in chunks(len(x_Nd), len(centroids_Kd), x_Nd.device):
            labels_N[part] = search(x_Nd[part])
        distances_N = squared_distances(x_Nd, centroids_Kd, labels_N)
    if not distances_N.isfinite().all():
        raise WtalError(f"{describe_bad_row(x_Nd)}; K-Means needs finite points.")
    return labels_N, distances_N


def _unit(centroids_Kd: Tensor, spherical: bool) -> Tensor:
    return F.normalize(centroids_Kd, dim=1) if spherical else centroids_Kd


def _backend(backend: str, dtype: Precision, device: torch.device) -> MakeSearch:
    """How the nearest centroids are found: what was asked for, never what happens to be there."""
    if dtype not in ("fp32", "bf16"):
        raise WtalError(f"dtype is {dtype!r}; expected fp32 or bf16.")
    if backend == "torch":
        return partial(torch_search, dtype=dtype)
    if backend not in ("faiss", "faiss-gpu"):
        raise WtalError(f"The backend is {backend!r}; expected torch, faiss or faiss-gpu.")
    if dtype == "bf16":
        raise WtalError(f"The backend {backend} computes in fp32; use dtype fp32, or torch.")
    return faiss_search.make_search(backend, device)
