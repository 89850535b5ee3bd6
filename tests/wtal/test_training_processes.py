"""Several processes train as one: the same steps, one writer, one bank."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.group import run_group
from tests.synthetic import make_store
from tests.wtal.sharing import CASES, as_peers, run, stopped_after, tampered
from tests.wtal.threads import in_threads
from wtal.checkpoint import MODEL_FILE, STATE_FILE
from wtal.peers import ALONE, Peers
from wtal.training import TrainResult

TOLERANCE = 1e-6
TIMES = ("seconds", "cluster_seconds", "cluster_share")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten videos, one of which cannot be read."""
    folder = tmp_path_factory.mktemp("data")
    features, _, _ = make_store(folder, train=10, test=0)
    (features / "video_007.npy").write_bytes(b"not an array")
    return folder


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every training by one process."""
    folder = tmp_path_factory.mktemp("alone")
    with as_peers():
        for name in CASES:
            run(data, folder / name, name, ALONE)
    return folder


def together(
    data: Path, out: Path, name: str, size: int = 2, *, resume: bool = False
) -> list[TrainResult]:
    """A training by several; who should write nothing gets a folder of his own to write into."""

    def work(peers: Peers) -> TrainResult:
        shared = out if peers.leads or resume else out.parent / "never"
        return run(data, shared, name, peers, resume=resume)

    with as_peers():
        return in_threads(work, size)


def lines(run_folder: Path) -> list[dict[str, float]]:
    read = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in read]


def assert_same(one: Path, two: Path) -> None:
    """Weights, moments, memory bank, pseudo-labels, centroids, clusters."""
    for file in (MODEL_FILE, STATE_FILE):
        ours, theirs = load_file(one / file), load_file(two / file)
        assert ours.keys() == theirs.keys()
        for name, tensor in ours.items():
            assert_close(tensor, theirs[name], name)


def assert_close(one: Tensor, two: Tensor, name: str) -> None:
    if one.dtype == torch.bfloat16:  # visits: rounding may fall to the other side
        torch.testing.assert_close(two, one, rtol=2**-7, atol=TOLERANCE)
    elif one.is_floating_point():
        assert (one - two).abs().max() <= TOLERANCE, name
    else:  # labels, clusters, ages, which regions are there
        assert torch.equal(one, two), name


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", CASES)
def test_several_processes_take_and_log_the_steps_of_one(
    name: str, size: int, data: Path, alone: Path, tmp_path: Path
) -> None:
    """Three epochs; the last batch of each is one video, so that the others have nothing to do."""
    results = together(data, tmp_path / "r", name, size)
    assert_same(alone / name, tmp_path / "r")
    one, several = lines(alone / name), lines(tmp_path / "r")
    assert len(one) == len(several) == 9
    for ours, theirs in zip(one, several, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-4, abs=1e-5, nan_ok=True)
    assert not (tmp_path / "never").exists()
    assert all(list(result.skipped) == ["video_007"] for result in results)
    assert all(result.figures == results[0].figures for result in results)


def test_a_run_goes_from_two_processes_to_one_and_back(
    data: Path, alone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r"
    with stopped_after(4):
        together(data, out, "dcc")
    with stopped_after(2), as_peers():
        assert run(data, out, "dcc", ALONE, resume=True).steps == 6
    together(data, out, "dcc", resume=True)
    assert_same(alone / "dcc", out)
    assert [line["step"] for line in lines(out)] == list(range(1, 10))


def test_a_bank_that_differs_is_found_at_the_end_of_the_epoch(data: Path, tmp_path: Path) -> None:
    """Epochs have three steps."""
    with tampered(5):
        errors = together(data, tmp_path / "r", "dcc")
    for error in errors:
        assert "memory bank of process 1 differs from that of process 0 after step 6" in str(error)
    assert not (tmp_path / "r" / STATE_FILE).exists()


@pytest.mark.slow
def test_two_processes_of_torch_distributed_take_the_steps_of_one(
    data: Path, alone: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").symlink_to(data)
    run_group(["-m", "tests.wtal.sharing", str(tmp_path)])
    for name in ("basnet", "dcc", "keys"):
        assert_same(alone / name, tmp_path / name)
