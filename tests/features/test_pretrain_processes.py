"""Two processes that share a batch train what one does with all of it, and one of them writes.

Batch norm takes its statistics from the rows of a process; where two are compared with one, the
networks have none.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from tests.features.pretraining_toys import (
    BATCH,
    PLAIN,
    figures,
    states,
    toy_store,
    written,
)
from tests.group import run_group
from wtal_features.encoders.catalog import ENCODERS
from wtal_features.methods.folder import folder_of, load_state
from wtal_features.methods.optimizing import mean_figures, of_first

pytestmark = pytest.mark.slow

State = Mapping[str, Tensor]


class Two(NamedTuple):
    """What two processes did."""

    folder: Path
    found: tuple[Mapping[str, Any], Mapping[str, Any]]  # of each


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Two:
    folder = tmp_path_factory.mktemp("two")
    toy_store(folder / "clips")
    for own in ("0", "1", "shared"):
        (folder / own).mkdir()
    run_group(["-m", "tests.features.pretraining_toys", str(folder)])
    first, second = (torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2))
    return Two(folder, (first, second))


@pytest.mark.parametrize("scene", ["plain-infonce", "plain-coclr"])
def test_two_processes_train_what_one_does(
    two: Two, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: str
) -> None:
    monkeypatch.setitem(ENCODERS, "plain", PLAIN)
    store = toy_store(tmp_path / "clips")
    out = tmp_path / f"{scene}.safetensors"
    one = states(scene, store, out)
    assert any("queue.keys" in name for name in one)
    for found in two.found:
        torch.testing.assert_close(found[scene], one, atol=1e-5, rtol=1e-4)
        for name in one:  # who stands in which slot of the queue
            if "sources" in name or "labels" in name:
                assert torch.equal(found[scene][name], one[name])
    shared = figures(two.folder / "0" / out.name)
    for line, alone in zip(shared, figures(out), strict=True):
        assert line.pop("stage") == alone.pop("stage")
        if "top1" in alone:  # where two keys are equally near, the order of a sum decides a row
            assert line.pop("top1") == pytest.approx(alone.pop("top1"), abs=1 / BATCH)
        assert line == pytest.approx(alone, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("scene", ["coclr", "cvrl"])
def test_both_processes_hold_the_same_parameters(two: Two, scene: str) -> None:
    first, second = (found[scene] for found in two.found)
    memory = ("running_mean", "running_var")
    assert first.keys() == second.keys()
    apart = {name for name in first if not torch.equal(first[name], second[name])}
    assert all(name.endswith(memory) for name in apart)
    assert apart  # their rows are others


def test_the_frozen_stream_of_both_processes_is_that_of_the_first(two: Two) -> None:
    first, second = (found["coclr"] for found in two.found)
    frozen = [name for name in first if ".sampler." in f".{name.replace('/', '.')}"]
    assert any(name.endswith("running_mean") for name in frozen)
    assert all(torch.equal(first[name], second[name]) for name in frozen)


def test_the_first_process_alone_writes(two: Two) -> None:
    assert list((two.folder / "1").iterdir()) == []
    names = {file.name for file in (two.folder / "0").glob("*.safetensors")}
    assert names == {
        *("plain-infonce.safetensors", "cvrl.safetensors"),
        *("plain-coclr.rgb.safetensors", "plain-coclr.flow.safetensors"),
        *("coclr.rgb.safetensors", "coclr.flow.safetensors"),
    }


def test_a_stop_asked_of_one_process_stops_both_and_both_go_on(two: Two) -> None:
    assert [found["steps"] for found in two.found] == [[3, 6, 9, 12]] * 2
    shared, once = (two.folder / own / "coclr.safetensors" for own in ("shared", "0"))
    assert figures(shared) == figures(once)
    assert written(shared) == written(once)
    saved = load_state(folder_of(shared))
    assert (saved.stage, saved.step) == (3, 4)


def test_a_process_without_a_group_is_the_first() -> None:
    tensors = {"a": torch.ones(2)}
    assert of_first(tensors)["a"] is tensors["a"]
    assert mean_figures({"loss": torch.tensor(0.5)}) == {"loss": 0.5}
    assert mean_figures({}) == {}
