"""Groups and near-duplicates: who belongs together, each pair once."""

import numpy as np
import pytest
import torch

from tests.features.test_similarity import ragged
from wtal_features.errors import FeatureError
from wtal_features.retrieval.groups import groups, near_duplicates
from wtal_features.retrieval.similarity import KINDS, Kind, described, similarities

torch.set_num_threads(1)


def test_members_hang_together_directly_or_through_others() -> None:
    assert groups([(5, 3), (1, 3), (6, 0)], 8) == [[0, 6], [1, 3, 5]]


def test_nothing_joins_nothing() -> None:
    assert groups([], 4) == []
    assert groups([], 0) == []
    assert groups([(2, 2)], 4) == []


def test_order_and_repeats_of_the_pairs_are_of_no_account() -> None:
    rng = np.random.default_rng(0)
    pairs = [(int(i), int(j)) for i, j in rng.integers(0, 300, (220, 2))]
    expected = groups(pairs, 300)
    mixed = [pairs[i][::-1] for i in rng.permutation(220)] + pairs
    assert groups(mixed, 300) == expected
    # By flooding, as the definition has it.
    reached = {i: {i} for i in range(300)}
    for _ in range(300):
        for i, j in pairs:
            reached[i] = reached[j] = reached[i] | reached[j]
    flooded = sorted({tuple(sorted(of)) for of in reached.values() if len(of) > 1})
    assert [tuple(group) for group in expected] == flooded


def test_a_long_chain_is_one_group() -> None:
    assert groups(((i, i + 1) for i in range(20_000)), 20_001) == [list(range(20_001))]


@pytest.mark.parametrize("pair", [(0, 4), (-1, 2)])
def test_a_video_that_is_not_there_is_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(FeatureError, match="names a video that is not there; there are 4"):
        groups([pair], 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("memory_mb", [256, 0.01])
@pytest.mark.parametrize("threshold", [-2, 0.3, 2])
def test_each_pair_above_the_threshold_comes_once(
    kind: Kind, memory_mb: float, threshold: float
) -> None:
    videos = described(ragged())
    whole = torch.cat([strip for _, strip in similarities(videos, videos, kind)])
    whole = whole.maximum(whole.T)  # of chamfer, the larger direction
    expected = {
        (i, j): whole[i, j].item()
        for i in range(len(whole))
        for j in range(i + 1, len(whole))
        if whole[i, j] >= threshold
    }
    found = list(near_duplicates(videos, kind, threshold, memory_mb=memory_mb))
    assert len(found) == len(expected)
    assert {(i, j): value for i, j, value in found} == pytest.approx(expected, abs=1e-6)
    assert found == list(near_duplicates(videos, kind, threshold, memory_mb=memory_mb))


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_fetched_together_not_one_by_one(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fetch waits for a GPU."""

    def refused(value: torch.Tensor) -> float:
        raise AssertionError("one value fetched by itself")

    videos = described(ragged())
    monkeypatch.setattr(torch.Tensor, "item", refused)
    assert len(list(near_duplicates(videos, kind, -2))) > 1


def test_a_part_is_found_in_the_whole_by_chamfer() -> None:
    (_, rows), (_, other) = ragged((20, 9), seed=5)
    videos = described([("whole", rows), ("other", other), ("part", rows[3:9])])
    ((i, j, value),) = near_duplicates(videos, "chamfer", 0.999)
    assert (i, j) == (0, 2)
    assert value == pytest.approx(1)
    assert not list(near_duplicates(videos, "symmetric", 0.999))


def test_wrong_wishes_are_refused_before_the_first_pair() -> None:
    videos = described(ragged((2, 3)), frames=False)
    with pytest.raises(FeatureError, match="threshold is NaN"):
        near_duplicates(videos, "cosine", float("nan"))
    with pytest.raises(FeatureError, match="only pooled descriptors"):
        near_duplicates(videos, "chamfer", 0.5)
