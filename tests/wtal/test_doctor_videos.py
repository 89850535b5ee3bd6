"""`wtal doctor` on a folder of videos: what is there, what cannot be used, what does not fit."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.features.videos import numbered, panned, write_video
from wtal.cli import app
from wtal_features import Tags, write_tags

pytest.importorskip("av", reason="PyAV is not installed: pip install 'wtal[video]'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    write_video(root / "steady.mp4", numbered(50))
    write_video(root / "slow.mp4", panned(20, 96, 64), fps=10)
    write_video(root / "unsteady.mp4", numbered(6), times_s=[0, 0.04, 0.5, 0.6, 1.9, 2.0])
    good = (root / "steady.mp4").read_bytes()
    (root / "cut.mkv").write_bytes(good[: len(good) // 2])
    (root / "text.mp4").write_text("no video")
    (root / "notes.txt").write_text("not looked at")
    return root


def doctor(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["doctor", *(str(word) for word in words)])
    return done.exit_code, done.output


def test_every_video_is_decoded_and_the_faulty_ones_are_named(folder: Path) -> None:
    code, said = doctor(folder)
    assert code == 1
    assert "3 videos, 6 s in all" in said
    assert "frames per second: " in said
    assert "10 (1)" in said
    assert "64 x 48 (2), 96 x 64 (1)" in said
    assert "1 of variable frame rate" in said
    assert "1 file is no video by name: 'notes.txt'" in said
    assert "error [video] text:" in said
    assert "] cut:" in said
    assert "2 errors, 0 warnings" in said


def test_headers_alone_are_read_when_that_is_asked_for(folder: Path) -> None:
    code, said = doctor(folder, "--headers-only")
    assert code == 1
    assert "3 videos" in said
    assert "variable" not in said  # no header says so


def test_tags_and_annotations_are_compared_with_the_files(folder: Path, tmp_path: Path) -> None:
    tags, annotations = tmp_path / "tags.csv", tmp_path / "annotations.json"
    write_tags(tags, Tags({"steady": ("a",), "slow": ("b",), "gone": ("a",)}))
    database = {
        "steady": {"duration": 2.0, "annotations": [{"label": "a", "segment": [0, 9]}]},
        "slow": {"duration": 9.0, "annotations": [{"label": "b", "segment": [0, 1]}]},
        "gone": {"duration": 2.0, "annotations": [{"label": "a", "segment": [0, 1]}]},
    }
    for entry in database.values():
        entry["subset"] = "training"
    annotations.write_text(json.dumps({"database": database}))
    _, said = doctor(folder, "--tags", tags, "--annotations", annotations)
    assert "1 of 3 videos have no file that can be used: gone" in said
    assert "1 of 3 videos have no line in" in said
    assert "unsteady" in said
    assert "after the end of the files: steady (9.0 s after 2.0 s)" in said
    assert "1 video has files of another length than stated: slow" in said


def test_a_store_beside_videos_is_taken_for_a_store(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", numbered(20))
    (tmp_path / "a.npy").write_bytes(b"")
    _, said = doctor(tmp_path)
    assert "fps or stride is not known" in said
