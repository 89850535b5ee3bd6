"""K-Means against scikit-learn, faiss, brute force and itself, and on data that has no clusters."""

import sys
from collections.abc import Callable
from functools import partial
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn import functional as F

from tests.group import run_group
from tests.wtal.threads import in_threads
from wtal import kmeans
from wtal.bench import kmeans as bench
from wtal.bench.rows import Plan
from wtal.errors import WtalError
from wtal.kmeans import faiss_search, lloyd
from wtal.kmeans.seeding import plus_plus
from wtal.kmeans.videos import sums_by_index, sums_by_product
from wtal.peers import Peers

TO_THE_END: dict[str, Any] = {"iters": 300, "tol": 0, "change_tol": 0}
needs_faiss = pytest.mark.skipif(
    not faiss_search.installed("faiss-cpu"),
    reason="faiss is not installed; pip install 'wtal[faiss]' runs this test",
)


def blobs(
    N: int = 3000, d: int = 16, K: int = 12, *, noise: float = 0.1, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """L2-normalised points around K directions, and which."""
    generator = torch.Generator().manual_seed(seed)
    directions_Kd = F.normalize(torch.randn(K, d, generator=generator), dim=1)
    truth_N = torch.randint(0, K, (N,), generator=generator)
    noise_Nd = noise * torch.randn(N, d, generator=generator)
    return F.normalize(directions_Kd[truth_N] + noise_Nd, dim=1), truth_N


def some_rows(x_Nd: Tensor, k: int, seed: int = 1) -> Tensor:
    return x_Nd[torch.randperm(len(x_Nd), generator=torch.Generator().manual_seed(seed))[:k]]


def column(*values: float) -> Tensor:
    """Points on a line."""
    return torch.tensor(values, dtype=torch.float32).unsqueeze(1)


def check_consistent(x_Nd: Tensor, result: kmeans.Result) -> None:
    """Labels, counts and inertia are those of the returned centroids."""
    labels_N, distances_N = kmeans.assign(x_Nd, result.centroids)
    assert torch.equal(labels_N, result.labels)
    assert torch.equal(labels_N.bincount(minlength=len(result.centroids)), result.counts.long())
    assert distances_N.double().sum().item() == pytest.approx(result.inertia, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize(("k", "noise"), [(12, 0.1), (5, 0.5), (40, 0.5)])
def test_the_same_start_leads_to_the_labels_and_the_inertia_of_scikit_learn(
    k: int, noise: float
) -> None:
    x_Nd, _ = blobs(noise=noise)
    init_Kd = some_rows(x_Nd, k)
    ours = kmeans.fit(x_Nd, k, init=init_Kd, **TO_THE_END)
    theirs = KMeans(k, init=init_Kd.numpy(), n_init=1, algorithm="lloyd", tol=0).fit(x_Nd.numpy())
    assert (ours.labels == torch.from_numpy(theirs.labels_)).float().mean() > 0.999
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=1e-4)
    torch.testing.assert_close(
        ours.centroids, torch.from_numpy(theirs.cluster_centers_), atol=1e-3, rtol=0
    )
    check_consistent(x_Nd, ours)


@needs_faiss
@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("k", [12, 30])
def test_torch_and_faiss_agree_from_the_same_start(k: int, spherical: bool) -> None:
    x_Nd, _ = blobs()
    init_Kd = some_rows(x_Nd, k)
    options: dict[str, Any] = {"init": init_Kd, "spherical": spherical, **TO_THE_END}
    by_torch = kmeans.fit(x_Nd, k, **options)
    by_faiss = kmeans.fit(x_Nd, k, backend="faiss", **options)
    assert torch.equal(by_torch.labels, by_faiss.labels)
    assert by_torch.inertia == pytest.approx(by_faiss.inertia, rel=1e-6)
    assert by_torch.iterations == by_faiss.iterations
    assert torch.equal(by_torch.labels, kmeans.fit(x_Nd, k, **options).labels)


@needs_faiss
def test_torch_and_faiss_agree_from_nothing_with_empty_clusters_weights_and_ties() -> None:
    x_Nd, _ = blobs(N=400)
    weights_N = torch.arange(400) % 3 + 0.5
    backends: tuple[kmeans.Backend, ...] = ("torch", "faiss")
    for weights in (None, weights_N):
        both = [kmeans.fit(x_Nd, 12, backend=backend, weights=weights) for backend in backends]
        assert torch.equal(both[0].labels, both[1].labels)
    x_Nd, init_Kd = column(10, 7, 0, 1, 5), column(8, 0, 100, 8, 0)
    both = [kmeans.fit(x_Nd, 5, init=init_Kd, iters=2, backend=b) for b in backends]
    assert torch.equal(both[0].labels, both[1].labels)
    assert torch.equal(both[0].centroids, both[1].centroids)


@needs_faiss
def test_one_pass_moves_the_centroids_as_faiss_own_loop_does() -> None:
    x_Nd, _ = blobs(noise=0.5)
    init_Kd = some_rows(x_Nd, 20)
    ours = kmeans.fit(x_Nd, 20, init=init_Kd, iters=1)
    torch.testing.assert_close(
        ours.centroids,
        faiss_search.own_kmeans(x_Nd, 20, iters=1, init=init_Kd),
        atol=1e-5,
        rtol=1e-5,
    )


@pytest.mark.parametrize("spherical", [False, True])
def test_assigning_finds_what_all_distances_in_fp64_find(spherical: bool) -> None:
    x_Nd, _ = blobs(N=5000, noise=0.5)
    centroids_Kd = 3 * some_rows(x_Nd, 33)
    labels_N, distances_N = kmeans.assign(x_Nd, centroids_Kd, spherical=spherical)
    if spherical:
        assert torch.equal(labels_N, (x_Nd.double() @ centroids_Kd.double().T).argmax(1))
        centroids_Kd = F.normalize(centroids_Kd, dim=1)
    truth_NK = torch.cdist(x_Nd.double(), centroids_Kd.double()).square()
    assert torch.equal(labels_N, truth_NK.argmin(1))
    torch.testing.assert_close(distances_N, truth_NK.amin(1).float())
    assert not kmeans.assign(centroids_Kd, centroids_Kd)[1].any()


def test_rows_stored_in_bf16_cluster_as_their_values() -> None:
    x_Nd = blobs(noise=0.5)[0].bfloat16()
    stored, plain = kmeans.fit(x_Nd, 12), kmeans.fit(x_Nd.float(), 12)
    assert torch.equal(stored.labels, plain.labels)
    assert stored.centroids.dtype == torch.float32


def test_products_in_bf16_cost_a_thousandth_of_the_inertia_at_most() -> None:
    x_Nd = F.normalize(blobs(noise=0.5)[0].relu(), dim=1)  # a common mean, as after a ReLU
    init_Kd = some_rows(x_Nd, 40)
    exact = kmeans.fit(x_Nd, 40, init=init_Kd, iters=0)
    coarse = kmeans.fit(x_Nd, 40, init=init_Kd, iters=0, dtype="bf16")
    assert (coarse.labels == exact.labels).float().mean() > 0.97
    assert exact.inertia <= coarse.inertia < 1.001 * exact.inertia


def test_ties_go_to_the_lowest_index() -> None:
    labels_N, _ = kmeans.assign(column(0, 1, 2), column(2, 0, 2, 0))
    assert labels_N.tolist() == [1, 0, 0]


def test_an_empty_cluster_takes_the_point_that_is_truly_farthest() -> None:
    # Without |x|^2, (0, 1) would rank first: |c|^2 - 2 x.c is 0 there and -96 at (10, 0).
    x_Nd = torch.tensor([[0.0, 1], [0, -0.5], [10, 0], [7, 0]])
    init_Kd = torch.tensor([[0.0, 0], [8, 0], [100, 100]])
    result = kmeans.fit(x_Nd, 3, init=init_Kd, iters=1)
    assert result.centroids.tolist() == [[0, 0.25], [7, 0], [10, 0]]
    assert result.labels.tolist() == [0, 0, 2, 1]


def test_of_points_equally_far_the_lowest_index_fills_the_empty_cluster() -> None:
    result = kmeans.fit(column(0, 2, 10, 12), 3, init=column(1, 11, 100), iters=1)
    assert result.centroids[:, 0].tolist() == [2, 11, 0]


def test_a_cluster_keeps_its_last_point() -> None:
    result = kmeans.fit(column(0, 10, 11), 3, init=column(4, 10.2, 99), iters=1)
    assert result.centroids[:, 0].tolist() == [0, 10, 11]


def test_several_empty_clusters_take_different_places() -> None:
    init_Kd = column(0, 100, 100, 100)
    result = kmeans.fit(column(0, 1, 8, 8, 9), 4, init=init_Kd, iters=1)
    assert result.centroids[:, 0].tolist() == [4, 9, 8, 1]  # the other 8 stays with 0


@pytest.mark.parametrize("backend", ["torch", pytest.param("faiss", marks=needs_faiss)])
@pytest.mark.parametrize("spherical", [False, True])
def test_more_clusters_than_distinct_points_leave_some_empty_for_good(
    backend: kmeans.Backend, spherical: bool
) -> None:
    distinct_Md = blobs(N=7)[0]
    x_Nd = distinct_Md.repeat(5, 1)
    for k in (8, 40):
        first = kmeans.fit(x_Nd, k, spherical=spherical, backend=backend)
        assert sorted(first.counts.tolist(), reverse=True) == [5] * 7 + [0] * (k - 7)
        assert first.inertia == pytest.approx(0, abs=1e-5)
        again = kmeans.fit(
            x_Nd, k, init=first.centroids, previous=first.labels, spherical=spherical
        )
        assert again.changed == (0, 0)
        assert again.centroids.isfinite().all()


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("N", [1, 5000])
def test_points_that_are_all_equal_are_one_cluster(N: int, dtype: lloyd.Precision) -> None:
    x_Nd = blobs(N=1)[0].expand(N, -1)
    for sample in (256, 64):
        result = kmeans.fit(x_Nd, 4, dtype=dtype, sample_per_centroid=sample)
        assert result.counts.tolist() == [N, 0, 0, 0]
        assert not result.labels.any()
        torch.testing.assert_close(result.centroids, x_Nd[:1].expand(4, -1))


def test_as_many_clusters_as_points_put_each_point_alone() -> None:
    x_Nd, _ = blobs(N=30)
    result = kmeans.fit(x_Nd, 30)
    assert result.counts.tolist() == [1] * 30
    assert result.inertia == pytest.approx(0, abs=1e-5)


def test_the_first_round_finds_clear_clusters_on_a_sample_and_labels_all_points() -> None:
    x_Nd, truth_N = blobs(K=5)
    calls: list[tuple[int, float, float]] = []
    result = kmeans.fit(
        x_Nd, 5, sample_per_centroid=50, callback=lambda *call: calls.append(call), seed=3
    )
    check_consistent(x_Nd, result)
    pairs = set(zip(result.labels.tolist(), truth_N.tolist(), strict=True))
    assert len(pairs) == 5
    assert len(result.changed) == 2  # full passes
    assert len(calls) == result.iterations + 2  # an assignment of the sample, then of all points
    assert calls[-1] == (result.iterations, result.changed[-1], result.inertia)
    assert calls[0][2] < calls[-1][2] / 2  # of 250 points, not 3000


def test_the_same_seed_gives_the_same_bits_and_another_seed_other_clusters() -> None:
    x_Nd, _ = blobs(noise=0.7)
    results = [kmeans.fit(x_Nd, 12, seed=seed, sample_per_centroid=64) for seed in (0, 0, 1)]
    assert torch.equal(results[0].labels, results[1].labels)
    assert torch.equal(results[0].centroids, results[1].centroids)
    assert results[0].inertia == results[1].inertia
    assert not torch.equal(results[0].labels, results[2].labels)


def test_sorted_sums_equal_added_sums() -> None:
    x_Nd, labels_N = blobs(N=500)
    added_Kd, sorted_Kd = torch.ones(15, 16), torch.ones(15, 16)  # three clusters are empty
    lloyd.add_in_order(added_Kd, labels_N, x_Nd)
    lloyd.add_sorted(sorted_Kd, labels_N, x_Nd)
    torch.testing.assert_close(added_Kd, sorted_Kd)
    plain, fixed = (kmeans.fit(x_Nd, 12, deterministic=fixed) for fixed in (False, True))
    assert torch.equal(plain.centroids, fixed.centroids)


def test_a_weight_counts_as_so_many_equal_points() -> None:
    x_Nd, _ = blobs(N=300, noise=0.5)
    times_N = torch.arange(300) % 4
    init_Kd = some_rows(x_Nd, 10)
    weighted = kmeans.fit(x_Nd, 10, init=init_Kd, weights=times_N, **TO_THE_END)
    repeated = kmeans.fit(x_Nd.repeat_interleave(times_N, dim=0), 10, init=init_Kd, **TO_THE_END)
    assert torch.equal(weighted.labels.repeat_interleave(times_N), repeated.labels)
    assert torch.equal(weighted.counts, repeated.counts)
    torch.testing.assert_close(weighted.centroids, repeated.centroids)
    assert weighted.inertia == pytest.approx(repeated.inertia)
    assert weighted.changed == repeated.changed


def test_points_without_weight_are_labelled_but_move_nothing() -> None:
    x_Nd = torch.cat([blobs(N=200)[0], torch.full((3, 16), 9.0)])
    weights_N = torch.ones(203)
    weights_N[200:] = 0
    whole, part = kmeans.fit(x_Nd, 20, weights=weights_N), kmeans.fit(x_Nd[:200], 20)
    torch.testing.assert_close(whole.centroids, part.centroids)
    assert torch.equal(whole.labels[:200], part.labels)
    assert whole.inertia == pytest.approx(part.inertia, abs=1e-4)


def test_after_a_small_drift_a_warm_start_keeps_the_labels() -> None:
    x_Nd, _ = blobs(noise=0.15)
    first = kmeans.fit(x_Nd, 12)
    generator = torch.Generator().manual_seed(5)
    drift_dd = torch.eye(16) + 0.05 * torch.randn(16, 16, generator=generator) / 4
    moved_Nd = F.normalize(x_Nd @ drift_dd, dim=1)
    options: dict[str, Any] = {"init": first.centroids, "previous": first.labels}
    second = kmeans.fit(moved_Nd, 12, iters=3, spherical=True, **options)
    assert (second.labels == first.labels).float().mean() >= 0.99
    assert second.iterations == 1
    assert second.changed[0] < 0.01


def test_a_warm_start_counts_changes_against_the_round_before_and_updates_at_least_once() -> None:
    x_Nd, init_Kd = column(0, 1, 10, 11), column(0, 10)
    result = kmeans.fit(x_Nd, 2, init=init_Kd, previous=torch.tensor([0, 1, 1, 1]))
    assert result.changed == (0.25, 0)
    assert result.iterations == 1
    assert result.centroids[:, 0].tolist() == [0.5, 10.5]
    assert kmeans.fit(x_Nd, 2, init=init_Kd).changed == (1, 0)


def test_no_iterations_only_assign() -> None:
    x_Nd, init_Kd = column(0, 1, 10, 11), column(0, 10)
    result = kmeans.fit(x_Nd, 2, init=init_Kd, iters=0)
    assert torch.equal(result.centroids, init_Kd)
    assert (result.iterations, result.inertia, result.changed) == (0, 2, (1,))


def test_a_warm_start_stops_at_few_changes_or_at_little_gain() -> None:
    x_Nd, _ = blobs(noise=0.7)
    options: dict[str, Any] = {"init": some_rows(x_Nd, 12), "iters": 100}
    to_the_end = kmeans.fit(x_Nd, 12, **options, tol=0, change_tol=0)
    assert to_the_end.changed[-1] == 0
    few = kmeans.fit(x_Nd, 12, **options, tol=0, change_tol=0.02)
    assert few.changed[-1] < 0.02 <= few.changed[-2]
    gains: list[float] = []
    kmeans.fit(
        x_Nd, 12, **options, tol=1e-2, change_tol=0, callback=lambda *call: gains.append(call[2])
    )
    assert gains[-2] - gains[-1] < 1e-2 * gains[-2]
    assert all(a - b >= 1e-2 * a for a, b in pairwise(gains[:-1]))
    assert len(gains) < len(to_the_end.changed)


def test_what_a_callback_raises_passes_on() -> None:
    def stop(iteration: int, changed: float, inertia: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kmeans.fit(blobs(N=50)[0], 3, callback=stop)


def test_spherical_centroids_have_unit_length_and_the_direction_of_their_points() -> None:
    x_Nd, _ = blobs(noise=0.5)
    result = kmeans.fit(x_Nd, 12, init=5 * some_rows(x_Nd, 12), spherical=True, **TO_THE_END)
    for k in range(12):
        mean_d = x_Nd[result.labels == k].double().mean(0)
        torch.testing.assert_close(result.centroids[k], F.normalize(mean_d, dim=0).float())
    assert torch.equal(result.labels, (x_Nd @ result.centroids.T).argmax(1))


def test_opposite_points_keep_the_spherical_centroid_they_cancel() -> None:
    x_Nd = torch.tensor([[1.0, 0], [-1, 0]])
    result = kmeans.fit(x_Nd, 1, init=torch.tensor([[0.0, 2]]), spherical=True)
    assert result.centroids.tolist() == [[0, 1]]


def test_plus_plus_draws_by_the_squared_distance_to_the_points_drawn_before() -> None:
    # The share of each ordered pair of first draws; from 0 the odds of 1 and 3 are 1 : 9.
    x_Sd, counts = column(0, 1, 3), torch.zeros(3, 3)
    for seed in range(1000):
        picked = plus_plus(x_Sd, 3, torch.Generator().manual_seed(seed))[:, 0].tolist()
        a, b = (column(0, 1, 3)[:, 0].tolist().index(value) for value in picked[:2])
        assert len(set(picked)) == 3
        counts[a, b] += 1
    expected = torch.tensor([[0, 1 / 10, 9 / 10], [1 / 5, 0, 4 / 5], [9 / 13, 4 / 13, 0]]) / 3
    torch.testing.assert_close(counts / 1000, expected, atol=0.05, rtol=0)


def test_drawing_many_at_once_equals_drawing_one_by_one() -> None:
    # How often each of six points is left out of four.
    x_Sd = column(0, 1, 3, 3.5, 7, 20)
    fast, slow = torch.zeros(6), torch.zeros(6)
    for seed in range(800):
        generator = torch.Generator().manual_seed(seed)
        left = set(range(6)) - {
            x_Sd[:, 0].tolist().index(v) for v in plus_plus(x_Sd, 4, generator)[:, 0].tolist()
        }
        fast[list(left)] += 1
        chosen = [int(torch.randint(6, (1,), generator=generator))]
        while len(chosen) < 4:
            nearest_S = (x_Sd - x_Sd[chosen].T).square().amin(1)
            chosen.append(int(torch.multinomial(nearest_S, 1, generator=generator)))
        slow[list(set(range(6)) - set(chosen))] += 1
    torch.testing.assert_close(fast / 800, slow / 800, atol=0.05, rtol=0)


def test_sums_of_parts_add_up_to_the_sums_of_all() -> None:
    x_Nd, _ = blobs(N=5000)
    centroids_Kd, previous_N = some_rows(x_Nd, 7), torch.arange(5000) % 7
    whole = kmeans.partial_stats(x_Nd, centroids_Kd, previous_N=previous_N)
    parts = [
        kmeans.partial_stats(x_Nd[part], centroids_Kd, previous_N=previous_N[part])
        for part in (slice(0, 1234), slice(1234, 1234), slice(1234, None))
    ]
    for name in ("sums_Kd", "counts_K", "inertia", "changed"):
        summed = sum(getattr(part, name) for part in parts)
        torch.testing.assert_close(summed, getattr(whole, name), rtol=1e-6, atol=1e-5)
    assert torch.equal(torch.cat([part.labels_N for part in parts]), whole.labels_N)


BOUNDS = [0, 700, 700, 2000]  # three processes, one of them without points
CASES: dict[str, dict[str, Any]] = {
    "from nothing": {"sample_per_centroid": 30},
    "warm": {"init": some_rows(blobs()[0], 12)},
    "with empty clusters": {
        "init": torch.cat([some_rows(blobs()[0], 7), torch.full((5, 16), 9.0)])
    },
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_several_processes_find_what_one_finds(name: str, weighted: bool) -> None:
    x_Nd = blobs(N=2000)[0]
    weights_N = torch.arange(2000) % 4 + 0.5 if weighted else None
    one = kmeans.fit(x_Nd, 12, weights=weights_N, **CASES[name])

    def work(peers: Peers) -> kmeans.Result:
        mine = slice(BOUNDS[peers.rank], BOUNDS[peers.rank + 1])
        weights = weights_N[mine] if weights_N is not None else None
        return kmeans.fit(x_Nd[mine], 12, weights=weights, reduce=peers.reduce, **CASES[name])

    parts = in_threads(work, 3)
    assert torch.equal(torch.cat([part.labels for part in parts]), one.labels)
    for part in parts:
        assert torch.equal(part.centroids, parts[0].centroids)
        torch.testing.assert_close(part.centroids, one.centroids)
        assert part.inertia == pytest.approx(one.inertia, rel=1e-6)
        assert part.changed == one.changed


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_points_may_be_dealt_out_in_any_way(name: str, weighted: bool) -> None:
    """In turn, to three processes."""
    x_Nd = blobs(N=2000)[0].repeat(2, 1)  # every point twice: places decide between equals
    weights_N = torch.arange(4000) % 4 / 1.0 if weighted else None
    one = kmeans.fit(x_Nd, 12, weights=weights_N, **CASES[name])

    def work(peers: Peers) -> kmeans.Result:
        mine = torch.arange(peers.rank, 4000, 3)
        weights = weights_N[mine] if weights_N is not None else None
        how = {"reduce": peers.reduce, "places": mine, **CASES[name]}
        return kmeans.fit(x_Nd[mine], 12, weights=weights, **how)

    parts = in_threads(work, 3)
    for rank, part in enumerate(parts):
        assert torch.equal(part.labels, one.labels[rank::3])
        assert torch.equal(part.centroids, parts[0].centroids)
        torch.testing.assert_close(part.centroids, one.centroids)
        assert part.changed == one.changed


def test_a_fault_of_one_process_stops_all_of_them() -> None:
    def work(peers: Peers) -> kmeans.Result:
        x_Nd = blobs(N=50)[0]
        if peers.rank == 1:
            x_Nd[7, 3] = torch.nan
        return kmeans.fit(x_Nd, 3, reduce=peers.reduce)

    one, two = in_threads(work, 2)
    assert str(one).startswith("x of another process holds NaN")
    assert str(two).startswith("Row 7 of x holds NaN")


GLOO = """
import sys, torch
from tests.group import join, leave
from tests.group import run_group
from tests.wtal.threads import in_threads
from wtal import kmeans
torch.set_num_threads(1)
folder, (rank, _) = sys.argv[1], join(*sys.argv[2:])
data = torch.load(f"{folder}/data.pt")
mine = slice(0, 700) if rank == 0 else slice(700, None)
reduce = kmeans.AllReduce()
results = [kmeans.fit(data["x"][mine], 12, reduce=reduce, **case) for case in data["cases"]]
torch.save([tuple(result) for result in results], f"{folder}/{rank}.pt")
leave()
"""


@pytest.mark.slow
def test_two_processes_of_torch_distributed_find_what_one_finds(tmp_path: Path) -> None:
    x_Nd = blobs(N=2000)[0]
    torch.save({"x": x_Nd, "cases": list(CASES.values())}, tmp_path / "data.pt")
    run_group(["-c", GLOO, str(tmp_path)])
    both = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for case, *parts in zip(CASES.values(), *both, strict=True):
        one = kmeans.fit(x_Nd, 12, **case)
        first, second = (kmeans.Result(*part) for part in parts)
        assert torch.equal(first.centroids, second.centroids)
        torch.testing.assert_close(first.centroids, one.centroids)
        assert torch.equal(torch.cat([first.labels, second.labels]), one.labels)


def videos(*lengths: int) -> list[Tensor]:
    return [blobs(N=n, noise=0.3, seed=n)[0] for n in lengths]


@pytest.mark.parametrize("init", ["segments", "k-means++"])
@pytest.mark.parametrize("spherical", [False, True])
def test_a_video_among_others_gets_the_clusters_it_gets_alone(init: Any, spherical: bool) -> None:
    all_videos = videos(40, 7, 1, 200, 41, 3)
    together = kmeans.fit_batched(all_videos, 5, init=init, seed=2, spherical=spherical)
    for x_nd, batched in zip(all_videos, together, strict=True):
        (alone,) = kmeans.fit_batched([x_nd], 5, init=init, seed=2, spherical=spherical)
        assert torch.equal(batched.labels, alone.labels)
        torch.testing.assert_close(batched.centroids, alone.centroids)
        assert batched.centroids.shape == (min(5, len(x_nd)), 16)
        assert torch.equal(batched.labels, kmeans.assign(x_nd, batched.centroids)[0])


def test_a_video_starts_from_the_means_of_equal_stretches_of_time() -> None:
    for x_nd, batched in zip(videos(40, 43), kmeans.fit_batched(videos(40, 43), 4), strict=True):
        stretch_n = torch.arange(len(x_nd)) * 4 // len(x_nd)
        assert stretch_n.bincount().tolist() in ([10] * 4, [11, 11, 11, 10])
        start_Kd = torch.stack([x_nd[stretch_n == k].mean(0) for k in range(4)])
        alone = kmeans.fit(x_nd, 4, init=start_Kd, iters=25, tol=0, change_tol=0)
        assert torch.equal(batched.labels, alone.labels)
        torch.testing.assert_close(batched.centroids, alone.centroids)


def test_an_empty_cluster_of_a_video_is_mended_and_equal_snippets_are_one_cluster() -> None:
    # Stretches (0, 4) and (4, 0) share their mean, so the second cluster has no snippet at first.
    mended, equal = kmeans.fit_batched([column(0, 4, 4, 0, 10, 10), column(*[1.7] * 6)], 3)
    assert mended.centroids[:, 0].tolist() == [4, 0, 10]
    assert mended.labels.tolist() == [1, 0, 0, 1, 2, 2]
    assert equal.labels.tolist() == [0] * 6
    assert kmeans.fit_batched([], 3) == []


def test_sums_of_a_group_as_a_product_equal_those_by_index() -> None:
    generator = torch.Generator().manual_seed(0)
    x_GTd = torch.randn(3, 20, 4, generator=generator)
    labels_GT = torch.randint(0, 6, (3, 20), generator=generator)  # 5 is padding
    for one, other in zip(
        sums_by_index(x_GTd, labels_GT, 5), sums_by_product(x_GTd, labels_GT, 5), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_gradients_and_autocast_stay_outside() -> None:
    x_Nd = blobs(N=100)[0]
    plain, plain_videos = kmeans.fit(x_Nd, 3), kmeans.fit_batched([x_Nd], 3)
    x_Nd.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        watched, watched_videos = kmeans.fit(x_Nd, 3), kmeans.fit_batched([x_Nd], 3)
    assert torch.equal(plain.centroids, watched.centroids)
    assert torch.equal(plain_videos[0].centroids, watched_videos[0].centroids)
    assert not watched.centroids.requires_grad


POINTS = blobs(N=10)[0]
NAN = POINTS.clone()
NAN[4, 2] = torch.nan
WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: kmeans.fit(NAN, 2), "Row 4 of x holds NaN, infinity or values too large"),
    (lambda: kmeans.fit(POINTS / 0, 2), "Row 0 of x holds NaN"),
    (lambda: kmeans.fit(POINTS[:0], 2), "There are no points to cluster"),
    (lambda: kmeans.fit(POINTS, 0), "k is 0; expected at least 1"),
    (lambda: kmeans.fit(POINTS, 2, full_passes=0), "full_passes is 0; expected at least 1"),
    (lambda: kmeans.fit(POINTS, 2, iters=-1), "iters is -1; expected at least 0"),
    (lambda: kmeans.fit(POINTS[0], 2), r"shape \(16,\) .*expected floating-point rows"),
    (lambda: kmeans.fit(POINTS.long(), 2), "type torch.int64; expected floating-point rows"),
    (lambda: kmeans.fit(POINTS, 2, init=POINTS[:3]), r"init has shape \(3, 16\); expected \(2, 16"),
    (lambda: kmeans.fit(POINTS, 5, init=NAN[:5]), "init holds NaN or infinity"),
    (lambda: kmeans.fit(POINTS, 2, weights=torch.ones(3)), r"weights has shape .* \(10,\)"),
    (lambda: kmeans.fit(POINTS, 2, previous=torch.ones(3)), r"previous has shape .* \(10,\)"),
    (lambda: kmeans.fit(POINTS, 2, weights=-torch.ones(10)), "10 weights are negative"),
    (lambda: kmeans.fit(POINTS, 2, weights=torch.zeros(10)), "All weights are 0"),
    (lambda: kmeans.fit(POINTS, 2, dtype="fp16"), "dtype is 'fp16'; expected fp32 or bf16"),  # type: ignore[arg-type]
    (lambda: kmeans.fit(POINTS, 2, backend="gpu"), "backend is 'gpu'; expected torch, faiss"),  # type: ignore[arg-type]
    (lambda: kmeans.fit(POINTS, 2, backend="faiss", dtype="bf16"), "faiss computes in fp32"),
    (lambda: kmeans.assign(NAN, POINTS), "Row 4 of x holds NaN"),
    (lambda: kmeans.assign(POINTS, POINTS[:, :3]), r"centroids has shape \(10, 3\)"),
    (lambda: kmeans.assign(POINTS, POINTS[:0]), "k is 0; expected at least 1"),
    (lambda: kmeans.fit_batched([POINTS, NAN], 2), "Row 4 of video 1 holds NaN"),
    (lambda: kmeans.fit_batched([POINTS, POINTS[:0]], 2), r"Video 1 has shape \(0, 16\)"),
    (lambda: kmeans.fit_batched([POINTS, POINTS[:, 1:]], 2), r"Video 1 has shape \(10, 15\)"),
    (lambda: kmeans.fit_batched([POINTS], 2, init="random"), "init is 'random'"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "sentence"), WRONG)
def test_wrong_input_is_answered_with_a_sentence(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(WtalError, match=sentence):
        call()


def pretend_installed(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    def version(name: str) -> str:
        if name in packages:
            return "1.15.1"
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)


def test_without_faiss_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_installed(monkeypatch)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(WtalError, match=r"run `pip install 'wtal\[faiss\]'`, or use"):
        kmeans.fit(POINTS, 2, backend="faiss")
    with pytest.raises(WtalError, match=r"run `pip install 'wtal\[faiss-gpu\]'`, or use"):
        kmeans.fit(POINTS, 2, backend="faiss-gpu")


def test_both_faiss_packages_are_refused_and_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_installed(monkeypatch, "faiss-cpu", "faiss-gpu")
    with pytest.raises(WtalError, match=r"remove faiss-gpu: .* 'wtal\[faiss\]'`\.$"):
        kmeans.fit(POINTS, 2, backend="faiss")
    with pytest.raises(WtalError, match=r"remove faiss-cpu: .* 'wtal\[faiss-gpu\]'`\.$"):
        kmeans.fit(POINTS, 2, backend="faiss-gpu")


def test_a_gpu_that_is_asked_for_is_never_replaced_by_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend_installed(monkeypatch, "faiss-cpu")
    monkeypatch.setitem(sys.modules, "faiss", SimpleNamespace(get_num_gpus=lambda: 0))
    with pytest.raises(WtalError, match="faiss-gpu was asked for, but faiss sees no GPU here"):
        kmeans.fit(POINTS, 2, backend="faiss-gpu")
    with pytest.raises(WtalError, match="points are on cuda:1, but the backend faiss computes on"):
        faiss_search.make_search("faiss", torch.device("cuda:1"))


@needs_faiss
def test_the_index_goes_to_one_gpu_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    faiss = faiss_search.load()
    asked: list[int] = []

    def to_gpu(resources: object, number: int, index: Any) -> Any:
        asked.append(number)
        return index

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", to_gpu, raising=False)
    expected = kmeans.fit(POINTS, 2, init=POINTS[:2])
    assert torch.equal(
        kmeans.fit(POINTS, 2, init=POINTS[:2], backend="faiss-gpu").labels, expected.labels
    )
    assert set(asked) == {0}


def test_a_pass_on_many_clusters_takes_small_chunks() -> None:
    parts = list(lloyd.chunks(100_000, 50_000, torch.device("cuda")))
    assert parts[0] == slice(0, 250)  # 250 x 50,000 x 4 bytes = 50 MB
    assert parts[-1].stop == 100_000
    assert next(iter(lloyd.chunks(10, 10**9, torch.device("cpu")))) == slice(0, 1)
    search = partial(lloyd.torch_search, dtype="bf16")(POINTS)
    assert torch.equal(search(POINTS[:3]), torch.arange(3))


def test_the_share_of_labels_kept_does_not_see_the_names_of_clusters() -> None:
    before_N = torch.tensor([0, 0, 1, 1, 2, 2, 2, 2])
    assert bench.share_kept(before_N, (before_N + 1) % 3, 3) == 100
    assert bench.share_kept(before_N, torch.tensor([1, 1, 2, 1, 0, 0, 0, 0]), 3) == 87.5


@pytest.mark.parametrize("library", [pytest.param("faiss", marks=needs_faiss), "scikit-learn"])
def test_the_benchmark_measures_against_faiss_or_else_scikit_learn(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "scikit-learn":
        pretend_installed(monkeypatch, "scikit-learn")
    rows = list(bench.measure(Plan(1, quick=True, machine="", quiet=True)))
    assert len({(row.name, row.reference) for row in rows}) == len(rows) == 9
    assert sum(row.reference.startswith(library) for row in rows) == 6
    assert all(row.value > 0 and row.ratio > 0 for row in rows)
