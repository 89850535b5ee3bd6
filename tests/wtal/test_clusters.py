"""Clusters over a training: when a round is due, what it keeps, when it starts anew."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from wtal import kmeans
from wtal.clusters import ClusterConfig, SnippetClusters, searched_by
from wtal.errors import WtalError

V, C, N, d = 6, 2, 12, 4
TAGS = torch.tensor([[1, 0]] * 3 + [[0, 1]] * 2 + [[0, 0]], dtype=torch.bool)


def points(seed: int = 0, drift: float = 0.0) -> list[Tensor]:
    """Snippets of V videos around four directions, unit length."""
    draw = torch.Generator().manual_seed(0)
    centre = torch.eye(d)[torch.arange(V * N) % 4]
    x = centre + 0.1 * torch.randn(V * N, d, generator=draw)
    x = x + drift * torch.randn(V * N, d, generator=torch.Generator().manual_seed(seed))
    return list(torch.split(F.normalize(x, dim=1), N))


def labels(video: int) -> Tensor:
    """Class 0 is labelled in the first direction, where the video carries it."""
    labels_NC = torch.zeros(N, C + 1, dtype=torch.bool)
    labels_NC[torch.arange(video * N, (video + 1) * N) % 4 == 0, 0] = bool(TAGS[video, 0])
    labels_NC[:, -1] = ~labels_NC[:, 0]
    return labels_NC


def filled(features: list[Tensor], **options: Any) -> SnippetClusters:
    clusters = SnippetClusters(ClusterConfig(**{"k": 4, **options}), TAGS, seed=0)
    visit(clusters, features)
    return clusters


def visit(clusters: SnippetClusters, features: list[Tensor]) -> None:
    for video, x_Nd in enumerate(features):
        clusters.remember(video, x_Nd, labels(video))


def ask(clusters: SnippetClusters, features: list[Tensor], step: int = 0) -> Tensor:
    return clusters.confidence(
        torch.cat(features),
        torch.cat([labels(v) for v in range(V)]),
        torch.full((V,), N),
        torch.arange(V),
        step,
    )


def test_the_first_round_waits_for_most_videos() -> None:
    clusters = SnippetClusters(ClusterConfig(k=4), TAGS, seed=0)
    assert not clusters.due(0, 1)
    visit(clusters, points()[:5])
    assert not clusters.due(3, 1)  # 5 of 6 are not yet nine tenths
    visit(clusters, points())
    assert clusters.due(3, 1)


def test_rounds_come_every_so_many_epochs_or_only_once() -> None:
    often, once = filled(points(), every_epochs=2.0), filled(points(), every_epochs=0)
    for clusters in (often, once):
        clusters.round(10)
    assert [often.due(step, 3) for step in (11, 15, 16)] == [False, False, True]
    assert not once.due(1000, 3)


def test_clusters_of_a_video_or_a_batch_have_no_rounds() -> None:
    assert not filled(points(), scope="video").due(100, 1)
    assert not filled(points(), scope="batch").due(100, 1)


def test_what_clusters_say_is_the_share_of_their_members() -> None:
    clusters = filled(points())
    figures = clusters.round(0)
    cluster_N = torch.cat([clusters.clusters[0][v] for v in range(V)])
    labels_NC = torch.cat([labels(v) for v in range(V)])
    expected = torch.empty(labels_NC.shape)
    for t in range(V * N):
        mates = labels_NC[cluster_N == cluster_N[t]]
        expected[t] = (mates == labels_NC[t]).float().mean(0)
    torch.testing.assert_close(ask(clusters, points()), expected)
    sizes = torch.bincount(cluster_N, minlength=4) / (V * N / 4)
    assert figures["cluster_largest"] == pytest.approx(sizes.max().item())
    assert figures["cluster_smallest"] == pytest.approx(sizes.min().item())


def test_by_class_only_videos_with_the_tag_are_clustered() -> None:
    clusters = filled(points(), scope="class")
    clusters.round(0)
    found = ask(clusters, points())
    assert set(clusters.codebooks) == {0, 1}
    assert found[:, 0].eq(1).all()  # within videos of class 0 its direction is always labelled
    assert found[:, -1].eq(1).all()


def test_before_the_first_round_every_label_counts_fully() -> None:
    for scope in ("dataset", "class"):
        clusters = SnippetClusters(ClusterConfig(k=4, scope=scope), TAGS, seed=0)
        assert ask(clusters, points()).eq(1).all()


def test_members_of_a_class_count_only_where_videos_carry_it() -> None:
    clusters = filled(points(), members="class")
    clusters.round(0)
    first = (torch.arange(V * N) % 4 == 0) & (torch.arange(V * N) < 3 * N)
    assert ask(clusters, points())[first, 0].eq(1).all()


@pytest.mark.parametrize("scope", ["video", "batch"])
def test_clusters_that_live_for_a_step_are_the_same_at_the_same_step(scope: str) -> None:
    clusters = filled(points(), scope=scope)
    assert torch.equal(ask(clusters, points(), 3), ask(clusters, points(), 3))
    assert not clusters.codebooks


def test_a_warm_round_keeps_the_labels_of_a_set_that_hardly_moved() -> None:
    clusters = filled(points())
    clusters.round(0)
    before = {v: part.clone() for v, part in clusters.clusters[0].items()}
    visit(clusters, points(drift=0.01))
    figures = clusters.round(5)
    assert all(torch.equal(before[v], clusters.clusters[0][v]) for v in before)
    assert figures["cluster_restarted"] == 0
    assert figures["cluster_changed_first"] == 0


def test_a_set_that_moved_far_is_clustered_from_nothing() -> None:
    clusters = filled(points())
    clusters.round(0)
    visit(clusters, [x.roll(1, dims=1) if v % 2 else x for v, x in enumerate(points())])
    assert clusters.round(5)["cluster_restarted"] == 1


def test_one_cluster_that_swallows_the_others_is_a_reason_to_start_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clusters = filled(points(), k=24)
    clusters.round(0)
    original, calls = kmeans.fit, []

    def lopsided(*args: Any, **kwargs: Any) -> kmeans.Result:
        result = original(*args, **kwargs)
        calls.append(kwargs.get("init") is not None)
        if calls[-1]:
            counts = torch.zeros_like(result.counts)
            counts[0] = V * N
            return result._replace(counts=counts, changed=(0.0,))
        return result

    monkeypatch.setattr(kmeans, "fit", lopsided)
    assert clusters.round(5)["cluster_restarted"] == 1
    assert calls == [True, False]


def test_a_cold_start_never_looks_at_the_last_round(monkeypatch: pytest.MonkeyPatch) -> None:
    clusters = filled(points(), start="cold")
    clusters.round(0)
    original, inits = kmeans.fit, []

    def watched(*args: Any, **kwargs: Any) -> kmeans.Result:
        inits.append(kwargs.get("init"))
        return original(*args, **kwargs)

    monkeypatch.setattr(kmeans, "fit", watched)
    clusters.round(1)
    assert inits == [None]


def test_a_saved_state_gives_the_same_next_round() -> None:
    one = filled(points(), scope="class")
    one.round(0)
    other = SnippetClusters(one.config, TAGS, seed=0)
    tensors, facts = one.state()
    other.load({name: part.clone() for name, part in tensors.items()}, facts)
    assert torch.equal(ask(one, points()), ask(other, points()))
    for clusters in (one, other):
        visit(clusters, points(drift=0.05))
    first, second = one.round(4), other.round(4)
    timed = {"cluster_seconds", "cluster_share"}
    assert {n: v for n, v in first.items() if n not in timed} == {
        n: v for n, v in second.items() if n not in timed
    }


@pytest.mark.parametrize(
    ("scope", "K"), [("dataset", 50), ("class", 20), ("video", 10), ("batch", 50)]
)
def test_the_number_of_clusters_follows_the_scope(scope: Any, K: int) -> None:
    assert ClusterConfig(scope=scope).number(5) == K
    assert ClusterConfig(scope=scope, k=7).number(5) == 7


def test_numbers_out_of_range_are_named() -> None:
    with pytest.raises(WtalError, match=r"cluster\.k is 0"):
        ClusterConfig(k=0)
    with pytest.raises(WtalError, match="every_epochs"):
        ClusterConfig(every_epochs=-1)


def test_faiss_searches_where_the_training_computes() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert [searched_by(name, cpu) for name in ("torch", "faiss", "faiss-cpu", "faiss-gpu")] == [
        "torch",
        "faiss",
        "faiss",
        "faiss-gpu",  # asked for by name: an error where there is none, never the CPU in silence
    ]
    assert searched_by("faiss", cuda) == "faiss-gpu"


def test_a_search_that_is_not_there_is_named_at_the_first_round() -> None:
    clusters = filled(points(), backend="faiss-gpu")
    with pytest.raises(WtalError, match="faiss"):
        clusters.round(0)


def test_both_searches_give_the_same_labels_from_the_same_start() -> None:
    pytest.importorskip("faiss", reason="faiss is not installed: pip install 'wtal[faiss]'")
    one, other = filled(points()), filled(points(), backend="faiss")
    for clusters in (one, other):
        clusters.round(0)
    assert torch.equal(ask(one, points()), ask(other, points()))


def test_a_round_tells_its_share_of_the_time_since_the_last_one() -> None:
    clusters = filled(points())
    for step in (0, 1):
        figures = clusters.round(step)
        assert 0 < figures["cluster_share"] <= 1
