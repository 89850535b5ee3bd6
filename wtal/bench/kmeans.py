"""`kmeans`: one iteration, a warm start after drift, and one clustering per video.

Shapes: N points, d dims, K clusters, T snippets of a video.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from wtal import kmeans
from wtal.bench.rows import CPU, WALL, Figures, Plan, Row, timed
from wtal.kmeans import faiss_search
from wtal.kmeans.lloyd import MakeSearch, partial_stats, square_sum, torch_search, update

DRIFT = 0.1  # size of the linear map and of the noise, over the length of a point
COLD_ITERATIONS = 25
ITERATIONS_ON_GPU = 10  # in one turn: a single one is shorter than its start
PRECISIONS: dict[str, MakeSearch] = {
    "fp32": torch_search,
    "bf16": partial(torch_search, dtype="bf16"),
}


class Sizes(NamedTuple):
    """What is clustered."""

    N: int
    d: int
    clusters: tuple[int, ...]  # of one iteration
    drift_K: int
    videos: int
    T: int
    video_K: int


THUMOS14 = Sizes(150_000, 512, (20, 200, 2000), 200, 200, 750, 20)
QUICK = Sizes(3000, 32, (5, 20), 20, 8, 60, 5)


def make_points(N: int, d: int, *, device: str = "cpu", seed: int = 0) -> Tensor:
    """Unit vectors around 400 directions, twice as much noise as direction."""
    generator = torch.Generator(device).manual_seed(seed)
    directions = torch.randn(400, d, generator=generator, device=device)
    which_N = torch.randint(0, 400, (N,), generator=generator, device=device)
    noise_Nd = torch.randn(N, d, generator=generator, device=device)
    return F.normalize(directions[which_N] + 2 * noise_Nd, dim=1)


def drifted(x_Nd: Tensor, size: float, *, seed: int = 1) -> Tensor:
    """The points after a random linear map near the identity, and noise."""
    generator = torch.Generator().manual_seed(seed)
    N, d = x_Nd.shape
    map_dd = torch.randn(d, d, generator=generator) / d**0.5
    noise_Nd = torch.randn(N, d, generator=generator) / d**0.5
    return F.normalize(x_Nd + size * (x_Nd @ map_dd + noise_Nd), dim=1)


def share_kept(before_N: Tensor, after_N: Tensor, K: int) -> float:
    """Points that stay in their cluster, in %, under the best matching of clusters."""
    together_KK = torch.bincount(before_N * K + after_N, minlength=K * K).view(K, K).numpy()
    rows, columns = linear_sum_assignment(together_KK, maximize=True)
    return 100 * float(together_KK[rows, columns].sum()) / len(before_N)


def one_iteration(x_Nd: Tensor, init_Kd: Tensor, make_search: MakeSearch) -> Callable[[], Tensor]:
    """Assignment and update as inside `fit`, which takes the norms of the points once."""
    squares = square_sum(x_Nd)

    def run() -> Tensor:
        stats = partial_stats(x_Nd, init_Kd, squares=squares, make_search=make_search)
        return update(stats, init_Kd)

    return run


def reference_iterations(
    iters: int, *, cut: int | None = None
) -> tuple[str, Callable[[Tensor, Tensor], object]]:
    """The loop of faiss if it is installed, else that of scikit-learn; its name, and what runs it.

    Args:
        iters: updates.
        cut: points per centroid in faiss' sample; None: all points.
    """
    if faiss_search.installed("faiss-cpu"):

        def by_faiss(x_Nd: Tensor, init_Kd: Tensor) -> Tensor:
            return faiss_search.own_kmeans(
                x_Nd, len(init_Kd), iters=iters, init=init_Kd, points_per_centroid=cut
            )

        return f"faiss {metadata.version('faiss-cpu')}, its own loop", by_faiss
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    def by_sklearn(x_Nd: Tensor, init_Kd: Tensor) -> object:
        settings = {"n_init": 1, "max_iter": iters, "tol": 0, "algorithm": "lloyd"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return KMeans(len(init_Kd), init=init_Kd.numpy(), **settings).fit(x_Nd.numpy())

    return f"scikit-learn {metadata.version('scikit-learn')}, Lloyd", by_sklearn


def _iteration_rows(plan: Plan, sizes: Sizes, x_Nd: Tensor) -> Iterator[Row]:
    """One iteration from the same centroids."""
    reference, run_reference = reference_iterations(1)
    for K in sizes.clusters:
        init_Kd = x_Nd[torch.randperm(sizes.N, generator=torch.Generator().manual_seed(K))[:K]]
        works = {
            name: timed(one_iteration(x_Nd, init_Kd, make_search))
            for name, make_search in PRECISIONS.items()
        }
        works[reference] = timed(lambda init_Kd=init_Kd: run_reference(x_Nd, init_Kd))  # type: ignore[misc]
        taken = plan.alternate(works, label=f"kmeans K = {K}")
        for name in PRECISIONS:
            title = f"kmeans: one iteration, {sizes.N:,} x {sizes.d}, K = {K}, {name}, CPU"
            yield plan.row(title, "s", taken[name][CPU], reference, taken[reference][CPU])


def _drift_rows(plan: Plan, sizes: Sizes, x_Nd: Tensor) -> Iterator[Row]:
    """The second round: from the last centroids to 1 % changed labels, or from nothing."""
    K, results = sizes.drift_K, {}
    first = kmeans.fit(x_Nd, K, spherical=True)
    moved_Nd = drifted(x_Nd, DRIFT)
    library, run_library = reference_iterations(COLD_ITERATIONS, cut=256)

    def warm() -> None:
        results["warm"] = kmeans.fit(
            moved_Nd, K, init=first.centroids, previous=first.labels, spherical=True, tol=0
        )

    def cold() -> None:
        results["cold"] = kmeans.fit(moved_Nd, K, spherical=True, seed=1)

    works = {
        "warm": timed(warm),
        "a first round, from nothing": timed(cold),
        f"{library}, 256 per centroid, {COLD_ITERATIONS} iterations": timed(
            lambda: run_library(moved_Nd, moved_Nd[:: sizes.N // K][:K])
        ),
    }
    taken = plan.alternate(works, label="kmeans drift")
    title = f"kmeans: after drift {DRIFT}, {sizes.N:,} x {sizes.d}, K = {K}, warm"
    for reference in list(works)[1:]:
        yield plan.row(f"{title}, CPU", "s", taken["warm"][CPU], reference, taken[reference][CPU])
    kept = {name: share_kept(first.labels, r.labels, K) for name, r in results.items()}
    cold_name = "a first round, from nothing"
    yield plan.row(f"{title}, labels kept", "%", [kept["warm"]], cold_name, [kept["cold"]])
    inertia = {name: r.inertia for name, r in results.items()}
    yield plan.row(f"{title}, inertia", "1", [inertia["warm"]], cold_name, [inertia["cold"]])


def _video_rows(plan: Plan, sizes: Sizes, x_Nd: Tensor) -> Iterator[Row]:
    """Every video by itself."""
    T, K = sizes.T, sizes.video_K
    videos = [x_Nd[v * T : (v + 1) * T] for v in range(sizes.videos)]
    starts = [clusters.centroids for clusters in kmeans.fit_batched(videos, K, iters=0)]
    library, run_library = reference_iterations(COLD_ITERATIONS)

    def loop() -> None:
        for x_nd, init_Kd in zip(videos, starts, strict=True):
            run_library(x_nd, init_Kd)

    works = {
        "batched": timed(lambda: kmeans.fit_batched(videos, K, iters=COLD_ITERATIONS)),
        "loop": timed(loop),
    }
    taken = plan.alternate(works, label="kmeans videos")
    title = f"kmeans: {sizes.videos} videos of {T} x {sizes.d}, K = {K}, batched, CPU"
    yield plan.row(title, "s", taken["batched"][CPU], f"{library}, in a loop", taken["loop"][CPU])


def on_gpu(work: Callable[[], object], iters: int) -> Callable[[], Figures]:
    """The work repeated; its wall time in ms for each time."""

    def run() -> Figures:
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(iters):
            work()
        torch.cuda.synchronize()
        return {WALL: (time.perf_counter() - start) * 1000 / iters}

    return run


def _gpu_rows(plan: Plan) -> Iterator[Row]:
    """A million points that stay on the GPU; what copying them from the host would add."""
    N, d, K = 1_000_000, 512, 1000
    x_Nd = make_points(N, d, device="cuda")
    host_Nd, init_Kd = x_Nd.cpu(), x_Nd[:K].clone()
    works = {
        name: on_gpu(one_iteration(x_Nd, init_Kd, make_search), ITERATIONS_ON_GPU)
        for name, make_search in PRECISIONS.items()
    }
    works["copy"] = on_gpu(lambda: host_Nd.to("cuda"), 1)
    if faiss_search.installed("faiss-gpu"):
        works["faiss"] = on_gpu(
            lambda: faiss_search.own_kmeans(host_Nd, K, iters=1, init=init_Kd, gpu=True), 1
        )
    taken = plan.alternate(works, label="kmeans GPU")
    title = f"kmeans: one iteration on the GPU, {N:,} x {d}, K = {K}"
    fp32, bf16 = taken["fp32"][WALL], taken["bf16"][WALL]
    yield plan.row(f"{title}, bf16, wall", "ms", bf16, "fp32", fp32)
    copy = "copying the points from the host"
    yield plan.row(f"{title}, bf16, wall", "ms", bf16, copy, taken["copy"][WALL])
    if "faiss" in taken:
        reference = "faiss-gpu, its own loop, points in host memory"
        yield plan.row(f"{title}, fp32, wall", "ms", fp32, reference, taken["faiss"][WALL])


def measure(plan: Plan) -> Iterator[Row]:
    """One iteration at three K, the second round after drift, videos, and a GPU if there is one."""
    sizes = QUICK if plan.quick else THUMOS14
    x_Nd = make_points(sizes.N, sizes.d)
    yield from _iteration_rows(plan, sizes, x_Nd)
    yield from _drift_rows(plan, sizes, x_Nd)
    yield from _video_rows(plan, sizes, x_Nd)
    if torch.cuda.is_available() and not plan.quick:
        yield from _gpu_rows(plan)
