"""The queue of keys: order, labels, a second space, saving."""

import pytest
import torch
from torch import Tensor

from wtal_features.contrast.queue import KeyQueue, check_queue
from wtal_features.errors import FeatureError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def step(i: int, rows: int = 2, dim: int = 3) -> Tensor:
    """Keys of step i that say their number: row j holds 10 i + j throughout."""
    return (10.0 * i + torch.arange(rows))[:, None].expand(rows, dim)


def ids(queue: KeyQueue) -> list[float]:
    """What the slots say, by the keys of `step`."""
    assert (queue.keys_DK == queue.keys_DK[0]).all()
    return queue.keys_DK[0].tolist()


def test_a_new_queue_holds_random_directions_and_nothing_known() -> None:
    queue = KeyQueue(16, 8, 4, generator=generator(), second_dim=5)
    assert queue.keys_DK.shape == (16, 8)
    torch.testing.assert_close(queue.keys_DK.norm(dim=0), torch.ones(8))
    assert queue.second_DK is not None
    assert queue.second_DK.shape == (5, 8)
    assert queue.labels_K.tolist() == queue.sources_K.tolist() == [-1] * 8
    assert (queue.pointer, queue.filled) == (0, False)


def test_the_same_generator_state_gives_the_same_queue() -> None:
    first, again, other = (KeyQueue(4, 8, 4, generator=generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.keys_DK, again.keys_DK)
    assert not torch.equal(first.keys_DK, other.keys_DK)


def test_the_oldest_keys_leave_first() -> None:
    queue = KeyQueue(3, 6, 2, generator=generator())
    for i in range(1, 4):
        queue.enqueue(step(i))
    assert ids(queue) == [10, 11, 20, 21, 30, 31]
    queue.enqueue(step(4))
    assert ids(queue) == [40, 41, 20, 21, 30, 31]
    queue.enqueue(step(5))
    assert ids(queue) == [40, 41, 50, 51, 30, 31]


def test_the_pointer_advances_by_the_batch_and_starts_again() -> None:
    queue = KeyQueue(3, 6, 2, generator=generator())
    pointers = []
    for i in range(7):
        pointers.append(queue.pointer)
        queue.enqueue(step(i))
    assert pointers == [0, 2, 4, 0, 2, 4, 0]


def test_a_queue_is_filled_once_every_slot_has_had_a_key_and_stays_so() -> None:
    queue = KeyQueue(3, 6, 2, generator=generator())
    seen = []
    for i in range(5):
        seen.append(queue.filled)
        queue.enqueue(step(i))
    assert seen == [False, False, False, True, True]


def test_labels_sources_and_the_second_space_share_the_slots_of_the_keys() -> None:
    queue = KeyQueue(3, 4, 2, generator=generator(), second_dim=1)
    for i in range(3):
        now = 10 * i + torch.arange(2)
        queue.enqueue(step(i), second_BD=now[:, None], labels_B=now, sources_B=100 + now)
    assert queue.second_DK is not None
    assert ids(queue) == queue.second_DK[0].tolist() == [20, 21, 10, 11]
    assert queue.labels_K.tolist() == [20, 21, 10, 11]
    assert queue.sources_K.tolist() == [120, 121, 110, 111]


def test_keys_about_which_nothing_is_known_take_away_what_was_known_of_their_slots() -> None:
    queue = KeyQueue(3, 2, 2, generator=generator())
    queue.enqueue(step(0), labels_B=torch.tensor([5, 6]), sources_B=torch.tensor([7, 8]))
    queue.enqueue(step(1))
    assert queue.labels_K.tolist() == queue.sources_K.tolist() == [-1, -1]


def test_a_queue_of_one_batch_is_replaced_at_every_step() -> None:
    queue = KeyQueue(3, 2, 2, generator=generator())
    queue.enqueue(step(1))
    queue.enqueue(step(2))
    assert ids(queue) == [20, 21]
    assert queue.filled


def test_keys_are_kept_without_their_gradients() -> None:
    queue = KeyQueue(3, 4, 2, generator=generator())
    queue.enqueue(step(0).clone().requires_grad_())
    assert not queue.keys_DK.requires_grad


@pytest.mark.parametrize(("slots", "batch", "cure"), [(2048, 48, 2064), (10, 64, 64), (7, 2, 8)])
def test_a_queue_that_batches_do_not_fill_exactly_is_refused(
    slots: int, batch: int, cure: int
) -> None:
    with pytest.raises(FeatureError, match=f"{slots} keys.*{batch} at a time.*queue of {cure}\\."):
        KeyQueue(4, slots, batch, generator=generator())
    check_queue(cure, batch)  # the cure cures


@pytest.mark.parametrize(("slots", "batch"), [(0, 1), (4, 0), (-4, 2), (4, -2)])
def test_sizes_that_are_none_are_refused(slots: int, batch: int) -> None:
    with pytest.raises(FeatureError, match="expected a multiple"):
        check_queue(slots, batch)


def test_a_batch_of_another_size_is_refused_and_changes_nothing() -> None:
    queue = KeyQueue(3, 4, 2, generator=generator())
    before = queue.state_dict()
    with pytest.raises(FeatureError, match="brought 1 keys to a queue filled 2 at a time"):
        queue.enqueue(step(0, rows=1))
    for name, tensor in queue.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_second_space_is_given_where_there_is_one_and_only_there() -> None:
    plain = KeyQueue(3, 4, 2, generator=generator())
    double = KeyQueue(3, 4, 2, generator=generator(), second_dim=3)
    with pytest.raises(ValueError, match="second space"):
        plain.enqueue(step(0), second_BD=step(0))
    with pytest.raises(ValueError, match="second space"):
        double.enqueue(step(0))


# Saving ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("second_dim", [None, 2])
def test_a_restored_queue_goes_on_as_the_first(second_dim: int | None) -> None:
    first = KeyQueue(3, 6, 2, generator=generator(), second_dim=second_dim)
    other = KeyQueue(3, 6, 2, generator=generator(9), second_dim=second_dim)

    def go_on(queue: KeyQueue, i: int) -> None:
        second = None if second_dim is None else step(i, dim=second_dim)
        queue.enqueue(step(i), second_BD=second, labels_B=torch.tensor([i, -1]))

    for i in range(4):
        go_on(first, i)
    other.load_state_dict(first.state_dict())
    for i in range(4, 6):
        assert (other.pointer, other.filled) == (first.pointer, first.filled)
        go_on(first, i)
        go_on(other, i)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_a_saved_state_does_not_change_when_the_queue_goes_on() -> None:
    queue = KeyQueue(3, 4, 2, generator=generator())
    saved = queue.state_dict()
    keys = saved["keys"].clone()
    queue.enqueue(step(0), labels_B=torch.tensor([1, 2]))
    assert torch.equal(saved["keys"], keys)
    assert saved["labels"].tolist() == [-1] * 4
    assert int(saved["enqueued"]) == 0


@pytest.mark.parametrize(("dim", "slots", "second_dim"), [(4, 6, None), (3, 8, None), (3, 6, 3)])
def test_the_state_of_a_queue_of_another_form_is_refused(
    dim: int, slots: int, second_dim: int | None
) -> None:
    queue = KeyQueue(3, 6, 2, generator=generator())
    other = KeyQueue(dim, slots, 2, generator=generator(), second_dim=second_dim)
    with pytest.raises(FeatureError, match=r"The saved queue has .*; expected .*interrupted run"):
        queue.load_state_dict(other.state_dict())


def test_a_pointer_within_a_batch_is_refused() -> None:
    queue = KeyQueue(3, 6, 2, generator=generator())
    state = queue.state_dict()
    queue.enqueue(step(0))
    with pytest.raises(FeatureError, match="2 keys put in at a time"):
        queue.load_state_dict({**state, "enqueued": torch.tensor(3)})
    assert queue.enqueued == 2
