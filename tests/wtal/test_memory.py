"""The region bank: what its slots are, what a visit writes, what resume gets back."""

import pytest
import torch

from wtal.memory import NEVER, RegionBank, Slots

# Video 0 carries class 0, video 1 nothing, video 2 classes 0 and 1.
LABELS = torch.tensor([[1.0, 0], [0, 0], [1, 1]])


def bank(M: int = 2, d: int = 3) -> RegionBank:
    return RegionBank(Slots.of(LABELS), M, d)


def test_a_slot_is_a_tag_of_a_video_or_its_background() -> None:
    slots = Slots.of(LABELS)
    assert slots.video_S.tolist() == [0, 0, 1, 2, 2, 2]
    assert slots.class_S.tolist() == [0, 2, 2, 0, 1, 2]
    assert slots.background_S.tolist() == [False, True, True, False, False, True]


def test_the_printed_form_has_a_background_for_every_tag() -> None:
    slots = Slots.of(LABELS, background_per_class=True)
    assert slots.video_S.tolist() == [0, 0, 1, 2, 2, 2, 2]
    assert slots.class_S.tolist() == [0, 0, 2, 0, 1, 0, 1]
    assert slots.background_S.tolist() == [False, True, True, False, False, True, True]


def test_slots_of_videos_come_in_the_order_asked_for() -> None:
    assert bank().of_videos(torch.tensor([2, 0])).tolist() == [3, 4, 5, 0, 1]


def test_a_new_bank_holds_nothing() -> None:
    empty = bank()
    assert (empty.coverage(), empty.age(7)) == (0.0, 0.0)
    assert not empty.newest(0).any()
    assert empty.written_S.eq(NEVER).all()


def test_a_visit_overwrites_its_slots_and_only_them() -> None:
    filled = bank()
    index = torch.tensor([3, 0])
    valid = torch.tensor([[True, False], [True, True]])
    filled.update(index, torch.ones(2, 2, 3), valid, 4)
    filled.update(index[:1], torch.full((1, 2, 3), 2.0), valid[:1], 6)
    assert filled.vectors_SMd[3].tolist() == [[2, 2, 2], [0, 0, 0]]  # not valid: not kept
    assert filled.vectors_SMd[0].eq(1).all()
    assert filled.valid_SM.sum(1).tolist() == [2, 0, 0, 1, 0, 0]
    assert filled.written_S.tolist() == [4, NEVER, NEVER, 6, NEVER, NEVER]
    assert filled.coverage() == pytest.approx(2 / 6)
    assert filled.age(8) == (4 + 2) / 2


def test_vectors_are_kept_without_their_graph() -> None:
    filled = bank()
    vectors = torch.ones(1, 2, 3, requires_grad=True)
    filled.update(torch.tensor([0]), vectors, torch.ones(1, 2, dtype=torch.bool), 0)
    assert not filled.vectors_SMd.requires_grad


def test_momentum_turns_a_vector_and_keeps_its_length() -> None:
    filled = bank(M=1, d=2)
    one, valid = torch.tensor([0]), torch.tensor([[True]])
    filled.update(one, torch.tensor([[[1.0, 0]]]), valid, 0, momentum=0.5)
    assert filled.vectors_SMd[0].tolist() == [[1, 0]]  # the first visit has nothing to keep
    filled.update(one, torch.tensor([[[0.0, 1]]]), valid, 1, momentum=0.5)
    torch.testing.assert_close(filled.vectors_SMd[0], torch.full((1, 2), 0.5**0.5))


def test_a_cap_keeps_the_newest_slots_of_every_class() -> None:
    filled = RegionBank(Slots.of(torch.ones(4, 1)), 1, 2)  # a slot and a background per video
    for step, video in enumerate((2, 0, 3, 1)):
        index = filled.of_videos(torch.tensor([video]))
        filled.update(index, torch.ones(2, 1, 2), torch.ones(2, 1, dtype=torch.bool), step)
    newest = filled.newest(2).view(4, 2)
    assert newest.tolist() == [[False, False], [True, True], [False, False], [True, True]]
    assert filled.newest(0).all()
    assert filled.newest(9).all()


def test_a_saved_bank_is_the_same_bank() -> None:
    filled, other = bank(), bank()
    valid = torch.ones(2, 2, dtype=torch.bool)
    filled.update(torch.tensor([1, 4]), torch.rand(2, 2, 3), valid, 3)
    other.load({name: part.clone() for name, part in filled.state().items()})
    for name, part in filled.state().items():
        assert torch.equal(part, other.state()[name])
