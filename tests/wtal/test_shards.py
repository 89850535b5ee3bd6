"""Shards of a result: together they are the whole, and strangers are not joined."""

import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from tests.synthetic import make_store
from wtal.cli import app
from wtal.journal import Journal
from wtal.localize import VideoDetections
from wtal.shards import Place, join_if_complete
from wtal_features import FeatureError, FeatureStore
from wtal_features.files import lock
from wtal_features.shards import Shard

SMALL = ("-o", "model.hidden_dim=8", "-o", "train.batch_size=4", "-o", "train.steps=2")


def wtal(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained run and its store."""
    folder = tmp_path_factory.mktemp("trained")
    features, tags, _ = make_store(folder)
    (folder / "c.yaml").write_text("")
    files = ("-f", features, "--tags", tags, "--out", folder / "r")
    wtal("train", folder / "c.yaml", *files, *SMALL)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The run and the store, to be changed."""
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy" / "r", tmp_path / "copy" / "store"


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


def localize(run: tuple[Path, Path], *words: object, code: int = 0) -> str:
    return wtal("localize", run[0], "-f", run[1], "--device", "cpu", *words, code=code)


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.fixture
def undivided(run: tuple[Path, Path]) -> bytes:
    """The bytes of a run without shards; they are removed."""
    localize(run)
    found = (run[0] / "detections.json").read_bytes()
    (run[0] / "detections.json").unlink()
    return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The videos that the network was shown."""
    names: list[str] = []
    read = FeatureStore.read

    def noted(self: FeatureStore, video: str) -> NDArray[np.float32]:
        names.append(video)
        return read(self, video)

    monkeypatch.setattr(FeatureStore, "read", noted)
    return names


# The union ---------------------------------------------------------------------------------------


def test_the_last_shard_joins_to_the_bytes_of_an_undivided_run(
    run: tuple[Path, Path], undivided: bytes
) -> None:
    whole, before = run[0] / "detections.json", visible(run[0])
    assert "2 of 3 shards are to come, such as 1-of-3." in localize(run, "--shard", "3/3")
    localize(run, "--shard", "1/3")
    assert visible(run[0]) == before
    assert "3 shards joined" in localize(run, "--shard", "2/3")
    assert whole.read_bytes() == undivided
    assert not (run[0] / ".detections.shards").exists()


@pytest.mark.parametrize("count", [1, 20])
def test_any_number_of_shards_joins_to_the_whole(
    run: tuple[Path, Path], undivided: bytes, count: int
) -> None:
    for i in range(1, count + 1):
        localize(run, "--shard", f"{i}/{count}", "-q")
    assert (run[0] / "detections.json").read_bytes() == undivided


@pytest.mark.slow
def test_processes_localize_to_the_bytes_of_an_undivided_run(
    run: tuple[Path, Path], undivided: bytes
) -> None:
    said = localize(run, "--jobs", 2)
    assert "detections of 18 videos." in said
    assert "8 shards joined" in said
    assert (run[0] / "detections.json").read_bytes() == undivided


def test_shards_of_another_model_or_config_are_not_joined(run: tuple[Path, Path]) -> None:
    localize(run, "--shard", "1/2", "-o", "localize.nms=hard")
    said = localize(run, "--shard", "2/2")
    assert "not joined: 1-of-2 is of another model, config, calibration or list of videos" in said
    assert not (run[0] / "detections.json").exists()
    (run[0] / ".detections.shards" / "1-of-2" / "videos.jsonl").write_text("{}")
    assert "1 of 2 shards are to come" in localize(run, "--shard", "2/2")
    assert "2 shards joined" in localize(run, "--shard", "1/2")


def test_what_the_shards_skipped_is_one_list(run: tuple[Path, Path]) -> None:
    (run[1] / "video_000.npy").write_bytes(b"")
    (run[1] / "video_017.npy").write_bytes(b"")
    localize(run, "--shard", "1/3", code=1)
    localize(run, "--shard", "2/3")
    code, said = doctor(run[0])
    assert code == 1
    assert "detections.json is not finished: 11 videos done, 1 skipped, 6 missing" in said
    assert "2 of 3 shards done; not begun: 3/3" in said
    assert "warning [skipped] video_000: " in said
    assert "error [not-done] video_012: Its detections are missing. Run --shard 3/3." in said
    localize(run, "--shard", "3/3", code=1)
    skipped = json.loads((run[0] / "localize-skipped.json").read_text())
    assert set(skipped) == {"video_000", "video_017"}
    assert len(json.loads((run[0] / "detections.json").read_text())["results"]) == 16
    code, said = doctor(run[0])
    assert (code, "2 skipped" in said, "[skipped] video_017" in said) == (0, True, True)


def doctor(run: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["doctor", str(run)])
    return done.exit_code, done.output


def test_doctor_says_that_a_run_is_not_localized(run: tuple[Path, Path]) -> None:
    code, said = doctor(run[0])
    assert code == 1
    assert "It is not localized. Run wtal localize." in said


# Again -------------------------------------------------------------------------------------------


def test_a_run_that_was_stopped_goes_on_with_the_next_video(
    run: tuple[Path, Path], undivided: bytes, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Journal.add

    def stopped(self: Journal, video: str, *rest: Any) -> None:
        if video == "video_007":
            raise KeyboardInterrupt
        add(self, video, *rest)

    monkeypatch.setattr(Journal, "add", stopped)
    assert "interrupted" in localize(run, code=1)
    monkeypatch.setattr(Journal, "add", add)
    asked.clear()
    assert "detections of 11 videos, 7 unchanged." in localize(run)
    assert asked == [f"video_{i:03d}" for i in range(7, 18)]
    assert (run[0] / "detections.json").read_bytes() == undivided


@pytest.mark.parametrize("spoil", ["half a line", "no JSON", "changed video"])
def test_lines_that_do_not_count_are_made_again(
    run: tuple[Path, Path], undivided: bytes, asked: list[str], spoil: str
) -> None:
    localize(run, "--shard", "1/2")  # 9 videos
    journal = run[0] / ".detections.shards" / "1-of-2" / "videos.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    if spoil == "half a line":
        journal.write_bytes(b"".join(lines[:4]) + lines[4][:50])
    elif spoil == "no JSON":
        journal.write_bytes(b"".join(lines[:4]) + b"\0" * 20 + b"\n" + b"".join(lines[5:]))
    else:
        os.utime(run[1] / "video_003.npy", ns=(1, 1))
    asked.clear()
    localize(run, "--shard", "1/2")
    assert asked == [f"video_{i:03d}" for i in range(3, 9)]
    localize(run, "--shard", "2/2")
    assert (run[0] / "detections.json").read_bytes() == undivided


def test_a_result_that_is_up_to_date_is_left_alone(
    run: tuple[Path, Path], asked: list[str]
) -> None:
    localize(run)
    before = (run[0] / "detections.json").stat()
    asked.clear()
    for words in ((), ("--shard", "2/3"), ("--jobs", 2), ("--ray", "local")):
        assert "is up to date: 18 videos unchanged." in localize(run, *words)
    assert asked == []
    assert (run[0] / "detections.json").stat().st_mtime_ns == before.st_mtime_ns


def test_a_result_is_made_again_when_anything_has_changed(
    run: tuple[Path, Path], asked: list[str]
) -> None:
    whole = run[0] / "detections.json"
    localize(run)
    changes: list[Callable[[], object]] = [
        lambda: os.utime(run[1] / "video_003.npy", ns=(1, 1)),
        lambda: whole.write_text("{}"),
        whole.unlink,
    ]
    for change in changes:
        change()
        asked.clear()
        localize(run)
        assert len(asked) == 18
    localize(run, "-o", "localize.nms=hard")
    assert len(asked) == 36


def test_what_could_not_be_read_is_tried_again(run: tuple[Path, Path]) -> None:
    good = (run[1] / "video_004.npy").read_bytes()
    (run[1] / "video_004.npy").write_bytes(b"")
    localize(run, code=1)
    localize(run, code=1)
    (run[1] / "video_004.npy").write_bytes(good)
    assert "detections of 18 videos." in localize(run)
    assert not (run[0] / "localize-skipped.json").exists()


def test_a_share_that_is_at_work_refuses_a_second_one(run: tuple[Path, Path]) -> None:
    folder = run[0] / ".detections.shards" / "2-of-2"
    folder.mkdir(parents=True)
    with lock(folder):
        assert "2-of-2 is in use by another run" in localize(run, "--shard", "2/2", code=1)


def test_an_undivided_command_goes_on_with_the_shares_that_are_there(
    run: tuple[Path, Path], undivided: bytes, asked: list[str]
) -> None:
    localize(run, "--shard", "2/3")
    asked.clear()
    assert "detections of 12 videos, 6 unchanged." in localize(run)
    assert len(asked) == 12
    assert (run[0] / "detections.json").read_bytes() == undivided


def test_joining_holds_one_video_at_a_time(tmp_path: Path) -> None:
    place = Place(tmp_path / "d.json", tmp_path / "skipped.json")
    found = VideoDetections(
        ("Jump",) * 40, np.zeros(40), np.ones(40), np.full(40, 0.5), {"Jump": 0.5}
    )
    journal = place.journal(Shard(1, 1))
    journal.parent.mkdir(parents=True)
    with Journal(journal, "w") as lines:
        for i in range(2000):
            lines.add(f"v{i}", "[]", found)
        lines.finish()
    assert journal.stat().st_size > 4e6
    tracemalloc.start()
    try:
        assert "1 shards joined" in join_if_complete(Shard(1, 1), place, "w", {})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2e6  # a block of 1 MiB is copied at a time
    assert len(json.loads(place.whole.read_text())["results"]) == 2000
