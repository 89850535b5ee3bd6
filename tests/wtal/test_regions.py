"""Regions by hand: 6 snippets, 3 regions, and every way of cutting."""

import pytest
import torch
from torch import Tensor

from wtal.regions import (
    Regions,
    action_weights,
    background_weights,
    cut_by_mass,
    cut_by_runs,
    cut_uniform,
    fill_empty,
    list_entries,
    pool,
)


def uniform(T: int, M: int) -> list[int]:
    entries = list_entries(torch.tensor([T]), torch.tensor([0]))
    return cut_uniform(entries, M).tolist()


@pytest.mark.parametrize("M", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("T", [1, 2, 4, 5, 6, 7, 23])
def test_a_uniform_region_holds_the_bins_from_its_floor_to_the_next(T: int, M: int) -> None:
    expected = [m for m in range(M) for _ in range((m + 1) * T // M - m * T // M)]
    assert uniform(T, M) == expected


def test_every_slot_lists_the_snippets_of_its_video() -> None:
    entries = list_entries(torch.tensor([2, 3]), torch.tensor([0, 1, 1]))
    assert entries.slot_E.tolist() == [0, 0, 1, 1, 1, 2, 2, 2]
    assert entries.row_E.tolist() == [0, 1, 2, 3, 4, 2, 3, 4]
    assert entries.time_E.tolist() == [0, 1, 0, 1, 2, 0, 1, 2]
    assert entries.length_E.tolist() == [2, 2, 3, 3, 3, 3, 3, 3]


def test_regions_of_equal_mass_hold_equal_weight() -> None:
    entries = list_entries(torch.tensor([6, 4]), torch.tensor([0, 1]))
    weight_E = torch.tensor([0.0, 1, 1, 0, 1, 1, 1, 1, 1, 1])
    found = cut_by_mass(entries, weight_E, 2, 2)
    assert found[[1, 2, 4, 5]].tolist() == [0, 0, 1, 1]
    assert found[6:].tolist() == [0, 0, 1, 1]


def test_the_longest_runs_become_regions_in_their_order_in_time() -> None:
    entries = list_entries(torch.tensor([10]), torch.tensor([0]))
    weight_E = torch.tensor([1.0, 0, 1, 1, 1, 0, 1, 1, 0, 1])
    assert cut_by_runs(entries, weight_E, 1, 2).tolist() == [-1, -1, 0, 0, 0, -1, 1, 1, -1, -1]
    # Two runs of one snippet: the earlier one is the third region.
    assert cut_by_runs(entries, weight_E, 1, 3).tolist() == [0, -1, 1, 1, 1, -1, 2, 2, -1, -1]


def test_a_run_ends_where_its_slot_does_and_slots_do_not_share_regions() -> None:
    entries = list_entries(torch.tensor([3, 3]), torch.tensor([0, 1]))
    weight_E = torch.tensor([0.0, 0, 1, 1, 0, 1])
    assert cut_by_runs(entries, weight_E, 2, 2).tolist() == [-1, -1, 0, 0, -1, 1]
    assert cut_by_runs(entries, torch.zeros(6), 2, 2).tolist() == [-1] * 6


def toy(weight_E: Tensor, M: int = 3) -> Regions:
    x_Nd = torch.tensor([[1.0, 0], [3, 0], [5, 5], [7, 7], [0, 2], [0, 4]])
    entries = list_entries(torch.tensor([6]), torch.tensor([0]))
    return pool(x_Nd, entries, cut_uniform(entries, M), weight_E, 1, M)


def test_a_region_is_the_average_of_its_weighted_snippets() -> None:
    found = toy(torch.tensor([1.0, 0.5, 0, 0, 0, 1]))
    # (1 + 1.5)/2, nothing, 4/2.
    assert found.vectors_SMd.tolist() == [[[1.25, 0], [0, 0], [0, 2]]]
    assert found.valid_SM.tolist() == [[True, False, True]]


def test_with_unit_length_plain_and_weighted_means_agree() -> None:
    weight_E = torch.tensor([1.0, 0.5, 0.2, 0, 0, 1])
    doubled = toy(2 * weight_E)
    unit = torch.nn.functional.normalize
    torch.testing.assert_close(
        unit(toy(weight_E).vectors_SMd, dim=2), unit(doubled.vectors_SMd, dim=2)
    )


def test_empty_regions_are_skipped_zero_or_their_nearest_neighbour() -> None:
    regions = toy(torch.tensor([1.0, 0.5, 0, 0, 0, 1]))
    assert fill_empty(regions, "skip") is regions
    zero = fill_empty(regions, "zero")
    assert zero.valid_SM.all()
    assert zero.vectors_SMd[0, 1].tolist() == [0, 0]
    nearest = fill_empty(regions, "nearest")
    assert nearest.valid_SM.all()
    assert nearest.vectors_SMd[0].tolist() == [[1.25, 0], [1.25, 0], [0, 2]]
    nothing = fill_empty(toy(torch.zeros(6)), "nearest")
    assert not nothing.valid_SM.any()


def test_one_snippet_fills_one_region() -> None:
    entries = list_entries(torch.tensor([1]), torch.tensor([0]))
    region_E = cut_uniform(entries, 5)
    found = pool(torch.ones(1, 2), entries, region_E, torch.ones(1), 1, 5)
    assert found.valid_SM.sum() == 1
    assert found.vectors_SMd[found.valid_SM].tolist() == [[1, 1]]


LABELS = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.bool)
CONFIDENCE = torch.tensor([[0.9, 0.8, 0.7], [0.6, 0.5, 0.4], [0.3, 0.2, 0.1], [0.4, 0.6, 0.5]])
BOTH = torch.ones(4, 2, dtype=torch.bool)


def test_action_weights_are_labels_times_confidence() -> None:
    expected = [[0.9, 0, 0], [0.6, 0.5, 0], [0, 0.2, 0], [0, 0, 0.5]]
    torch.testing.assert_close(action_weights(LABELS, CONFIDENCE), torch.tensor(expected))


def test_union_background_is_no_tag_at_the_least_confidence() -> None:
    found = background_weights(LABELS, CONFIDENCE, BOTH, "union")
    torch.testing.assert_close(found[:, -1], torch.tensor([0, 0, 0, 0.4]))
    first_only = torch.tensor([[True, False]]).expand(4, 2)
    found = background_weights(LABELS, CONFIDENCE, first_only, "union")
    torch.testing.assert_close(found[:, -1], torch.tensor([0, 0, 0.3, 0.4]))
    untagged = background_weights(LABELS, CONFIDENCE, ~BOTH, "union")
    assert untagged[:, -1].eq(1).all()


def test_printed_background_is_per_class_and_equals_the_union_for_one_tag() -> None:
    found = background_weights(LABELS, CONFIDENCE, BOTH, "class")
    torch.testing.assert_close(found[:, 0], torch.tensor([0, 0, 0.3, 0.4]))
    torch.testing.assert_close(found[:, 1], torch.tensor([0.8, 0, 0, 0.6]))
    first_only = torch.tensor([[True, False]]).expand(4, 2)
    union = background_weights(LABELS, CONFIDENCE, first_only, "union")
    torch.testing.assert_close(found[:, 0], union[:, -1])


def test_row_background_is_its_own_column() -> None:
    found = background_weights(LABELS, CONFIDENCE, BOTH, "row")
    torch.testing.assert_close(found[:, -1], torch.tensor([0, 0, 0, 0.5]))


def test_gradients_reach_only_weighted_snippets() -> None:
    x_Nd = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    entries = list_entries(torch.tensor([6]), torch.tensor([0]))
    weight_E = torch.tensor([1.0, 0, 0, 0.5, 0, 0])
    pool(x_Nd, entries, cut_uniform(entries, 3), weight_E, 1, 3).vectors_SMd.sum().backward()  # type: ignore[no-untyped-call]
    assert x_Nd.grad is not None
    assert x_Nd.grad.any(1).tolist() == [True, False, False, True, False, False]
