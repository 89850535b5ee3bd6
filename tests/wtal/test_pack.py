"""`wtal pack`, and the other commands on what it wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from wtal.bench.memory import make_run, make_store
from wtal.cli import app
from wtal.errors import WtalError
from wtal.pack import bytes_of

torch.set_num_threads(1)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    make_store(tmp_path / "store", 6, 8, np.random.default_rng(0))
    return tmp_path / "store"


def wtal(*words: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exit_code == code, result.output
    return result.output


def test_commands_say_of_a_packed_store_what_they_say_of_the_folder(
    store: Path, tmp_path: Path
) -> None:
    packed, run = tmp_path / "packed", tmp_path / "run"
    said = wtal("pack", store, "--out", packed, "--shard-size", "20kB")
    assert "packed: 6 videos in " in said
    assert "0 skipped" in said
    make_run(run, 8)
    found = []
    for features in (store, packed):
        out = tmp_path / f"{features.name}.json"
        wtal("localize", run, "-f", features, "--out", out, "--device", "cpu", "-q")
        content = json.loads(out.read_text())
        assert content["external_data"].pop("features") == str(features)
        found.append(content)
    assert found[0] == found[1]
    tags = store.with_suffix(".csv")
    lines = [wtal("doctor", features, "--tags", tags) for features in (store, packed)]
    lines[1] = lines[1].replace(str(packed), str(store))
    # The estimate of time is measured anew each time.
    kept = [[line for line in text.splitlines() if "estimate" not in line] for text in lines]
    assert kept[0] == kept[1] != []


def test_training_on_a_packed_store_gives_the_weights_of_the_folder(
    store: Path, tmp_path: Path
) -> None:
    wtal("pack", store, "--out", tmp_path / "packed", "-q")
    config = tmp_path / "c.yaml"
    config.write_text("train: {steps: 2, batch_size: 2}\nmodel: {hidden_dim: 8, filter_dim: 8}\n")
    weights = []
    for features in (store, tmp_path / "packed"):
        out = tmp_path / f"run-{features.name}"
        tags = ("--tags", store.with_suffix(".csv"))
        wtal("train", config, "-f", features, *tags, "--out", out, "--device", "cpu", "-q")
        weights.append((out / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_a_damaged_video_is_skipped_by_name_and_the_exit_code_says_so(
    store: Path, tmp_path: Path
) -> None:
    (store / "00002.npy").write_bytes(b"no array")
    said = wtal("pack", store, "--out", tmp_path / "packed", code=1)
    assert "1 video was skipped" in said
    assert "00002" in said
    wtal("pack", store, "--out", tmp_path / "packed", "--keep-going")


def test_a_store_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    said = wtal("pack", tmp_path / "none", "--out", tmp_path / "packed", code=1)
    assert "does not exist; expected a folder" in said
    assert not (tmp_path / "packed").exists()


@pytest.mark.parametrize("text", ["", "1", "GiB", "-1MB", "1 PB", "9" * 400 + "TB", "1,5GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(WtalError, match="expected a size such as 1GiB or 500MB"):
        bytes_of(text)


def test_a_size_below_one_byte_is_refused() -> None:
    with pytest.raises(WtalError, match="at least one byte"):
        bytes_of("0.5B")


def test_sizes_are_of_ten_or_of_two() -> None:
    assert [bytes_of(t) for t in ("1KiB", "1kb", "2MB", "1.5GiB", "1TB", "3 B")] == [
        *(1024, 1000, 2_000_000, 3 << 29, 10**12, 3),
    ]


def test_detections_of_a_store_that_was_packed_anew_with_other_values_are_made_again(
    store: Path, tmp_path: Path
) -> None:
    packed, run, out = tmp_path / "packed", tmp_path / "run", tmp_path / "d.json"
    make_run(run, 8)
    words = ("localize", run, "-f", packed, "--out", out, "--device", "cpu")
    wtal("pack", store, "--out", packed, "-q")
    wtal(*words)
    assert "is up to date" in wtal(*words)
    shutil.rmtree(packed)
    changed = sorted(store.rglob("*.npy"))[0]
    np.save(changed, -np.load(changed))
    wtal("pack", store, "--out", packed, "-q")
    assert "is up to date" not in wtal(*words)
