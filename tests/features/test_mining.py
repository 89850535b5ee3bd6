"""Positives among the slots of a queue: labels, sources, neighbours in the other view."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from wtal_features.contrast.mil_nce import mil_nce, without_own
from wtal_features.contrast.mining import (
    coclr_positives,
    label_positives,
    nearest,
    same_as,
    with_own,
)
from wtal_features.contrast.queue import KeyQueue


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def filled(sources: list[int], second_DK: Tensor | None = None, steps: int = 1) -> KeyQueue:
    """A queue of random keys whose slots come from these sources."""
    slots = len(sources)
    queue = KeyQueue(6, slots, slots // steps, generator=generator(), second_dim=4)
    if second_DK is None:
        second_DK = F.normalize(torch.randn(4, slots, generator=generator(1)), dim=0)
    for part in torch.arange(slots).chunk(steps):
        keys = torch.randn(len(part), 6, generator=generator(2))
        of_part = torch.tensor(sources)[part]
        queue.enqueue(keys, second_BD=second_DK.T[part], labels_B=of_part, sources_B=of_part)
    return queue


def test_the_own_key_is_a_positive_in_front_of_the_slots() -> None:
    slots = torch.tensor([[True, False], [False, False]])
    assert with_own(slots).tolist() == [[True, True, False], [True, False, False]]


def test_slots_of_the_same_label_are_positives_and_unknown_ones_never() -> None:
    slots = torch.tensor([3, -1, 4, 3])
    expected = [[True, False, False, True], [False, False, False, False]]
    assert same_as(torch.tensor([3, 5]), slots).tolist() == expected
    assert not same_as(torch.tensor([-1]), slots).any()  # unknown is not like unknown


def test_positives_by_label_are_the_own_key_and_slots_of_the_label() -> None:
    queue = filled([0, 1, 0, 2])
    expected = [[True, True, False, True, False], [True, False, False, False, False]]
    assert label_positives(torch.tensor([0, -1]), queue).tolist() == expected


def test_before_the_first_keys_a_label_has_no_slot() -> None:
    queue = KeyQueue(6, 4, 2, generator=generator())
    assert label_positives(torch.tensor([0, 1]), queue).sum(1).tolist() == [1, 1]


def test_the_nearest_allowed_slots_are_taken() -> None:
    similarities = torch.tensor([[0.9, 0.1, 0.8, 0.7], [0.1, 0.2, 0.3, 0.4]])
    allowed = torch.tensor([[False, True, True, True], [True, True, True, True]])
    expected = [[False, False, True, True], [False, False, True, True]]
    assert nearest(similarities, allowed, 2).tolist() == expected


@pytest.mark.parametrize("k", [3, 4, 9])
def test_rows_with_few_allowed_slots_get_these_and_no_other(k: int) -> None:
    allowed = torch.tensor([[False, True, False, True], [False, False, False, False]])
    assert torch.equal(nearest(torch.rand(2, 4, generator=generator()), allowed, k), allowed)


def test_no_neighbours_are_mined_where_none_are_asked_for() -> None:
    assert not nearest(torch.rand(2, 4), torch.ones(2, 4, dtype=torch.bool), 0).any()


def test_positives_are_own_key_same_source_and_top_k_of_other_sources() -> None:
    second = torch.tensor([[1.0, 0.9, 0.8, 0.7, 0.1, 0.0], [0, 0, 0, 0, 0, 0]] + [[0.0] * 6] * 2)
    queue = filled([7, 7, 1, 2, 3, 4], second)
    found = coclr_positives(torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([7]), queue, k=2)
    #                 own   7     7     1     2     3      4
    assert found.tolist() == [[True, True, True, True, True, False, False]]


def test_the_top_k_never_holds_a_slot_of_the_same_source() -> None:
    sources = [i % 5 for i in range(30)]
    queue = filled(sources)
    clips = F.normalize(torch.randn(20, 4, generator=generator(3)), dim=1)
    own = torch.arange(20) % 7  # 5 and 6 are in no slot
    found = coclr_positives(clips, own, queue, k=5)[:, 1:]
    same = own[:, None] == torch.tensor(sources)
    assert found[same].all()
    assert (found & ~same).sum(1).tolist() == [5] * 20


def test_mined_slots_are_the_most_similar_in_the_second_space() -> None:
    queue = filled(list(range(12)))
    assert queue.second_DK is not None
    clips = F.normalize(torch.randn(3, 4, generator=generator(3)), dim=1)
    found = coclr_positives(clips, torch.full((3,), 99), queue, k=4)[:, 1:]
    for similar, mined in zip(clips @ queue.second_DK, found, strict=True):
        assert similar[mined].min() > similar[~mined].max()


def test_a_slot_that_holds_no_key_yet_is_never_mined() -> None:
    queue = KeyQueue(6, 8, 4, generator=generator(), second_dim=4)
    clips = F.normalize(torch.randn(2, 4, generator=generator(3)), dim=1)
    nobody = torch.tensor([9, 9])
    assert coclr_positives(clips, nobody, queue).sum(1).tolist() == [1, 1]
    queue.enqueue(torch.randn(4, 6), second_BD=torch.randn(4, 4), sources_B=torch.arange(4))
    found = coclr_positives(clips, nobody, queue)
    assert found[:, 1:].tolist() == [[True] * 4 + [False] * 4] * 2
    assert not queue.filled  # where a method waits before its first step


def test_a_clip_alone_with_its_source_keeps_its_own_key() -> None:
    queue = filled([3, 3, 3, 3])
    clips = F.normalize(torch.randn(2, 4, generator=generator(3)), dim=1)
    found = coclr_positives(clips, torch.tensor([3, 5]), queue, k=0)
    assert without_own(found)[:, 0].tolist() == [False, True]
    logits = torch.randn(2, 5, generator=generator(4))
    assert mil_nce(logits, found, drop_own=True).isfinite()


def test_mining_needs_a_second_space() -> None:
    queue = KeyQueue(6, 4, 2, generator=generator())
    with pytest.raises(ValueError, match="second key space"):
        coclr_positives(torch.randn(2, 6), torch.tensor([0, 1]), queue)
