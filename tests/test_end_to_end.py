"""Videos and tags in, mAP out: every command in its turn, on real H.264 files."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.features.videos import texture, write_video
from wtal.cli import app
from wtal_features import Tags, write_tags

pytest.importorskip("av", reason="PyAV is not installed: pip install 'wtal[video]'")

FPS, SECONDS = 25, 16
SHIFTS = {"leftwards": (4, 0), "upwards": (0, 4)}  # of the camera; the content moves against it


def make_data(folder: Path) -> None:
    """24 videos in which the camera stands still, but for one or two pans of one direction."""
    generator = np.random.default_rng(0)
    database, tags, subsets = {}, {}, {}
    for v in range(24):
        label, subset = list(SHIFTS)[v % 2], "training" if v < 16 else "test"
        world = texture(96, seed=v)
        begins = generator.choice([[1, 9], [3, 10], [6, 12]])[: 1 + v % 2] + generator.random()
        segments = [[float(begin), float(begin + 3)] for begin in begins]
        at, frames = np.zeros(2), []
        for i in range(FPS * SECONDS):
            if any(begin <= i / FPS < end for begin, end in segments):
                at = at + SHIFTS[label]
            rows, columns = (np.arange(48) + int(at[1])) % 96, (np.arange(64) + int(at[0])) % 96
            frames.append(np.ascontiguousarray(world[rows][:, columns]))
        name = f"video_{v:02}"
        path = folder / "videos" / subset / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, frames, fps=FPS)
        annotated = [{"label": label, "segment": segment} for segment in segments]
        database[name] = {"subset": subset, "duration": SECONDS, "annotations": annotated}
        tags[name], subsets[name] = (label,), subset
    (folder / "annotations.json").write_text(json.dumps({"database": database}))
    write_tags(folder / "tags.csv", Tags(tags, subsets))


def run(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.slow
def test_pans_are_found_in_videos_that_nobody_timed(tmp_path: Path) -> None:
    make_data(tmp_path)
    store, model = tmp_path / "store", tmp_path / "run"
    said = run(
        *("extract", tmp_path / "videos", "--out", store, "--motion", "mv"),
        *("--encoder", "rgb=colour-histogram", "--encoder", "flow=motion-histogram"),
    )
    assert "24 videos extracted (600 snippets" in said
    run(
        "doctor",
        store,
        "--tags",
        tmp_path / "tags.csv",
        "--annotations",
        tmp_path / "annotations.json",
    )
    (tmp_path / "config.yaml").write_text("train: {steps: 150}\n")
    run(
        *("train", tmp_path / "config.yaml", "-f", store, "--tags", tmp_path / "tags.csv"),
        *("--out", model, "-q"),
    )
    run("localize", model, "-f", store, "--tags", tmp_path / "tags.csv", "--subset", "test", "-q")
    run("eval", model, tmp_path / "annotations.json", "--json", tmp_path / "eval.json")
    scores = json.loads((tmp_path / "eval.json").read_text())
    found = scores["averages"]["0.1:0.7"]
    trivial = scores["baselines"]["whole_video"]["averages"]["0.1:0.7"]
    assert found > trivial + 0.2
    assert found > 0.4
