"""Two processes that share a batch do what one does with all of it."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from tests.features.contrasting import in_batch, pretrain
from tests.group import run_group
from wtal_features.contrast.processes import gather_rows, own_rows, rank_and_size

Found = list[Mapping[str, Mapping[str, Tensor]]]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("two")
    run_group(["-m", "tests.features.contrasting", str(folder)])
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_a_process_without_a_group_is_alone() -> None:
    rows = torch.arange(6).view(3, 2)
    assert rank_and_size() == (0, 1)
    assert gather_rows(rows) is rows
    assert own_rows(rows).tolist() == [0, 1, 2]


@pytest.mark.slow
def test_two_processes_fill_the_queue_as_one_does(two: Found) -> None:
    one = pretrain(0, 1)
    assert int(one["enqueued"]) == 40
    assert sorted(one["sources"].tolist()) == list(range(16, 40))
    for found in two:
        torch.testing.assert_close(found["pretrain"], one, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_both_processes_hold_the_same_queue_to_the_bit(two: Found) -> None:
    first, second = (found["pretrain"] for found in two)
    for name in ("keys", "second", "labels", "sources", "enqueued"):
        assert torch.equal(first[name], second[name])


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["nt_xent", "pointwise"])
def test_losses_and_gradients_of_two_processes_are_those_of_the_whole_batch(
    two: Found, loss: str
) -> None:
    one = in_batch(0, 1)
    for found in two:
        for name in (f"{loss} loss", f"{loss} ours", f"{loss} theirs"):
            torch.testing.assert_close(found["in_batch"][name], one[name], atol=1e-5, rtol=1e-4)
