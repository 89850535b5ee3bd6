"""Shards of a result: together they are the whole, and strangers are not joined."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.synthetic import make_store
from wtal.cli import app
from wtal_eval import read_detections
from wtal_features import FeatureError
from wtal_features.shards import Shard

SMALL = ("-o", "model.hidden_dim=8", "-o", "train.batch_size=4", "-o", "train.steps=2")


def wtal(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, Path]:
    """A trained run and its store."""
    features, tags, _ = make_store(tmp_path)
    (tmp_path / "c.yaml").write_text("")
    files = ("-f", features, "--tags", tags, "--out", tmp_path / "r")
    wtal("train", tmp_path / "c.yaml", *files, *SMALL)
    return tmp_path / "r", features


@pytest.mark.parametrize("count", [1, 2, 4, 7, 30])
def test_shards_are_disjoint_and_in_order_the_whole(count: int) -> None:
    videos = [f"v{i}" for i in range(18)]
    parts = [Shard(i, count).of(videos) for i in range(1, count + 1)]
    assert [video for part in parts for video in part] == videos
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "-1/4", "a/b", "1/2/3", "1/99999"])
def test_what_is_no_shard_is_one_sentence(text: str) -> None:
    with pytest.raises(FeatureError, match="expected i/N from 1/N to N/N"):
        Shard.parse(text)


def test_the_last_shard_joins_to_the_bytes_of_an_undivided_run(run: tuple[Path, Path]) -> None:
    folder, features = run
    whole = folder / "detections.json"
    wtal("localize", folder, "-f", features)
    undivided = whole.read_bytes()
    whole.unlink()
    said = wtal("localize", folder, "-f", features, "--shard", "3/3")
    assert "2 of 3 shards are to come, such as detections-1-of-3.json" in said
    assert len(read_detections(folder / "detections-3-of-3.json").videos) == 6
    wtal("localize", folder, "-f", features, "--shard", "1/3")
    assert not whole.exists()
    assert "3 shards joined" in wtal("localize", folder, "-f", features, "--shard", "2/3")
    mark = b'}, "external_data": '
    assert whole.read_bytes().split(mark)[0] == undivided.split(mark)[0]
    assert "shard" not in json.loads(whole.read_bytes())["external_data"]


def test_more_shards_than_videos_join_to_the_whole(run: tuple[Path, Path]) -> None:
    folder, features = run
    for i in range(1, 21):
        wtal("localize", folder, "-f", features, "--shard", f"{i}/20", "-q")
    assert len(json.loads((folder / "detections.json").read_text())["results"]) == 18


def test_shards_of_another_model_or_config_are_not_joined(run: tuple[Path, Path]) -> None:
    folder, features = run
    wtal("localize", folder, "-f", features, "--shard", "1/2", "-o", "localize.nms=hard")
    said = wtal("localize", folder, "-f", features, "--shard", "2/2")
    assert "not joined: detections-1-of-2.json is of another model, config or list" in said
    assert not (folder / "detections.json").exists()
    (folder / "detections-1-of-2.json").write_text("{}")
    assert "not joined" in wtal("localize", folder, "-f", features, "--shard", "2/2")


def test_a_shard_lists_its_own_skipped_videos(run: tuple[Path, Path]) -> None:
    folder, features = run
    (features / "video_000.npy").write_bytes(b"")
    wtal("localize", folder, "-f", features, "--shard", "1/2", code=1)
    wtal("localize", folder, "-f", features, "--shard", "2/2")
    skipped = json.loads((folder / "localize-skipped-1-of-2.json").read_text())
    assert set(skipped) == {"video_000"}
    assert not (folder / "localize-skipped-2-of-2.json").exists()
    assert len(json.loads((folder / "detections.json").read_text())["results"]) == 17
