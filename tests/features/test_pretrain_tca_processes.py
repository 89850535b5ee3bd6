"""Two processes that share a batch of TCA train what one does with all of it."""

from pathlib import Path

import pytest
import torch

from tests.features.tca_toys import feature_store, states
from tests.group import run_group
from wtal_features.methods import tca


@pytest.mark.slow
def test_two_processes_train_what_one_does_and_hold_the_same_bank(tmp_path: Path) -> None:
    feature_store(tmp_path / "store")
    for own in ("0", "1", "alone"):
        (tmp_path / own).mkdir()
    run_group(["-m", "tests.features.tca_toys", str(tmp_path)])
    one = states(tmp_path / "store", tmp_path / "alone" / "tca.safetensors")
    assert one["bank.enqueued"] == 5 * 4 * 2
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(found, one, atol=1e-5, rtol=1e-4)
        assert torch.equal(found["bank.sources"], one["bank.sources"])
    assert (tmp_path / "0" / "tca.safetensors").is_file()
    assert not (tmp_path / "1" / "tca.safetensors").exists()


def test_each_process_drops_what_it_draws_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(rank: int, size: int) -> list[float]:
        monkeypatch.setattr(tca, "rank_and_size", lambda: (rank, size))
        own = tca.own_draws(torch.Generator().manual_seed(0))
        numbers: list[float] = torch.rand(3, generator=own).tolist()
        return numbers

    assert drawn(0, 1) == torch.rand(3, generator=torch.Generator().manual_seed(0)).tolist()
    assert drawn(0, 2) == drawn(0, 2)
    assert drawn(0, 2) != drawn(1, 2)
