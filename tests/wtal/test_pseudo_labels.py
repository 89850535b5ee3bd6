"""Pseudo-labels and their confidence by hand: 2 classes, 6 snippets, 2 clusters."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wtal.errors import WtalError
from wtal.pseudo_labels import (
    PseudoLabelConfig,
    activations,
    cluster_shares,
    confidence,
    pseudo_labels,
    purity,
    random_confidence,
    shuffled,
)

# One video of six snippets tagged with class 0; columns: class 0, class 1, background.
CAS = torch.tensor([[3.0, 1, 0], [2.0, 0, 0], [1.0, 0, 6], [0.0, 0, 6], [0.0, 5, 0], [0.0, 0, 0]])
ONE_VIDEO = torch.zeros(6, dtype=torch.long)
TAGS = torch.tensor([[1.0, 0.0]])
CLUSTERS = torch.tensor([0, 0, 0, 1, 1, 1])


DEFAULT = PseudoLabelConfig()


def labels(config: PseudoLabelConfig = DEFAULT, cas_NC: Tensor = CAS) -> Tensor:
    return pseudo_labels(cas_NC, ONE_VIDEO, TAGS, config)


def test_a_snippet_is_labelled_where_it_exceeds_the_mean_of_its_video() -> None:
    # Means 1, 1, 2: the third snippet equals the mean of class 0, which is not above it.
    assert labels()[:, 0].tolist() == [True, True, False, False, False, False]
    assert labels()[:, 2].tolist() == [False, False, True, True, False, False]


def test_without_the_gate_a_class_that_is_not_tagged_is_labelled_too() -> None:
    assert not labels()[:, 1].any()
    ungated = labels(PseudoLabelConfig(gate=False))
    assert ungated[:, 1].tolist() == [False, False, False, False, True, False]


def test_each_video_has_its_own_mean() -> None:
    cas_NC = torch.tensor([[0.0, 0], [1.0, 0], [10.0, 0], [11.0, 0]])
    video_N = torch.tensor([0, 0, 1, 1])
    found = pseudo_labels(cas_NC, video_N, torch.ones(2, 1), PseudoLabelConfig())
    assert found[:, 0].tolist() == [False, True, False, True]


def test_labels_do_not_change_when_a_video_is_scaled_or_shifted() -> None:
    assert torch.equal(labels(), labels(cas_NC=3 * CAS - 7))


def test_one_snippet_and_a_flat_class_have_no_label() -> None:
    alone = pseudo_labels(CAS[:1], ONE_VIDEO[:1], TAGS, PseudoLabelConfig())
    assert not alone.any()
    assert not labels(cas_NC=torch.ones(6, 3)).any()


def test_standard_deviations_and_quantiles_move_the_threshold() -> None:
    # Class 0: mean 1, population sd sqrt(8/6) = 1.155.
    assert labels(PseudoLabelConfig(above_mean=1.0))[:, 0].tolist() == [True] + [False] * 5
    median = PseudoLabelConfig(threshold="quantile", quantile=0.5)  # of class 0: 0.5
    assert labels(median)[:, 0].tolist() == [True, True, True, False, False, False]
    with pytest.raises(WtalError, match=r"dcc\.pseudo\.quantile is 1\.5"):
        PseudoLabelConfig(quantile=1.5)


def test_the_source_decides_which_branch_is_thresholded() -> None:
    base, supp = torch.full((2, 3), 2.0), torch.tensor([[1.0, 3, 9], [4.0, 2, 9]])
    attention = torch.tensor([0.5, 1.0])
    by = {name: activations(attention, base, supp, name) for name in ("supp", "base", "weighted")}
    assert by["supp"].tolist() == [[1, 3, 2], [4, 2, 2]]
    assert by["base"].tolist() == base.tolist()
    assert by["weighted"].tolist() == [[0.5, 1.5, 2], [4, 2, 2]]
    soft = activations(attention, base, supp, "softmax")
    torch.testing.assert_close(soft[:, :2], supp.softmax(1)[:, :2])
    torch.testing.assert_close(soft[:, 2], torch.full((2,), 1 / 3))


def test_confidence_is_the_share_of_the_cluster_with_the_same_label() -> None:
    # Class 0 by cluster: (1, 1, 0) and (0, 0, 0).
    shares = cluster_shares(labels(), CLUSTERS, 2)
    torch.testing.assert_close(shares.share_KC[:, 0], torch.tensor([2 / 3, 0]))
    found = confidence(labels(), CLUSTERS, shares)[:, 0]
    torch.testing.assert_close(found, torch.tensor([2 / 3, 2 / 3, 1 / 3, 1, 1, 1]))


def brute_force(labels_NC: Tensor, cluster_N: Tensor) -> Tensor:
    """D3 as it is printed, snippet by snippet."""
    found = torch.empty(labels_NC.shape)
    for t in range(len(labels_NC)):
        mates = [u for u in range(len(labels_NC)) if cluster_N[u] == cluster_N[t]]
        for c in range(labels_NC.shape[1]):
            found[t, c] = sum(bool(labels_NC[u, c] == labels_NC[t, c]) for u in mates) / len(mates)
    return found


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_the_table_form_equals_the_printed_form(N: int, K: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    labels_NC = torch.rand(N, 3, generator=draw) < 0.4
    cluster_N = torch.randint(K, (N,), generator=draw)
    shares = cluster_shares(labels_NC, cluster_N, K)
    torch.testing.assert_close(
        confidence(labels_NC, cluster_N, shares), brute_force(labels_NC, cluster_N)
    )


def test_as_many_clusters_as_snippets_switch_denoising_off() -> None:
    every = torch.arange(6)
    assert confidence(labels(), every, cluster_shares(labels(), every, 6)).eq(1).all()


def test_one_cluster_gives_the_global_share_of_the_label() -> None:
    found = confidence(labels(), ONE_VIDEO, cluster_shares(labels(), ONE_VIDEO, 1))
    torch.testing.assert_close(found[:, 0], torch.tensor([2, 2, 4, 4, 4, 4]) / 6)


def test_an_empty_cluster_takes_the_share_over_all() -> None:
    shares = cluster_shares(labels(), CLUSTERS, 3)
    torch.testing.assert_close(shares.share_KC[2, 0], torch.tensor(2 / 6))
    assert shares.count_KC[2].eq(0).all()


def test_leave_one_out_does_not_count_the_snippet_itself() -> None:
    shares = cluster_shares(labels(), CLUSTERS, 2)
    found = confidence(labels(), CLUSTERS, shares, leave_one_out=True)[:, 0]
    torch.testing.assert_close(found, torch.tensor([1 / 2, 1 / 2, 0, 1, 1, 1]))
    alone = torch.arange(6)
    lone = confidence(labels(), alone, cluster_shares(labels(), alone, 6), leave_one_out=True)
    torch.testing.assert_close(lone[:, 0], torch.tensor([2, 2, 4, 4, 4, 4]) / 6)


def test_small_clusters_take_the_share_over_all() -> None:
    clusters = torch.tensor([0, 0, 0, 0, 0, 1])
    shares = cluster_shares(labels(), clusters, 2)
    assert confidence(labels(), clusters, shares)[5, 0] == 1
    small = confidence(labels(), clusters, shares, min_size=2)
    torch.testing.assert_close(small[5, 0], torch.tensor(4 / 6))


def test_only_counted_snippets_enter_the_share() -> None:
    counted = torch.tensor([True, False, True, True, False, False]).unsqueeze(1).expand(6, 3)
    shares = cluster_shares(labels(), CLUSTERS, 2, counted)
    torch.testing.assert_close(shares.share_KC[:, 0], torch.tensor([1 / 2, 0]))
    assert shares.count_KC[:, 0].tolist() == [2, 1]


def test_purity_is_the_share_of_the_commonest_kind_in_each_cluster() -> None:
    # Kinds: 0 0 bg | bg bg bg.
    assert purity(labels(), CLUSTERS, 2) == pytest.approx(5 / 6)
    assert purity(labels(), torch.arange(6), 6) == 1


def test_the_shuffled_control_keeps_the_confidences_of_every_label() -> None:
    draw = torch.Generator().manual_seed(0)
    labels_NC = torch.rand(40, 2, generator=draw) < 0.5
    confidence_NC = torch.rand(40, 2, generator=draw)
    mixed = shuffled(confidence_NC, labels_NC, draw)
    assert not torch.equal(mixed, confidence_NC)
    for c in range(2):
        for rows in (labels_NC[:, c], ~labels_NC[:, c]):
            assert torch.equal(mixed[rows, c].sort().values, confidence_NC[rows, c].sort().values)


def test_random_clusters_say_nothing_but_the_global_share() -> None:
    draw = torch.Generator().manual_seed(0)
    labels_NC = torch.rand(20_000, 2, generator=draw) < 0.3
    found = random_confidence(labels_NC, 4, draw)
    expected = torch.where(labels_NC, 0.3, 0.7)
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0)
