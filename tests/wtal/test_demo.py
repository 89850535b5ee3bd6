"""The demo, end to end: it finds far more than the trivial answer does, and draws it."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from wtal import demo as demo_module
from wtal import training
from wtal.cli import app
from wtal.procedural import CLASSES, WorldConfig, make_videos


def test_made_up_videos_are_a_function_of_the_generator() -> None:
    config = WorldConfig(train=3, test=2)
    first = list(make_videos(config, np.random.default_rng(5)))
    again = list(make_videos(config, np.random.default_rng(5)))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.features_TD, b.features_TD)
        assert a.segments == b.segments


def test_segments_lie_in_their_video_and_never_touch() -> None:
    for video in make_videos(WorldConfig(train=40, test=0), np.random.default_rng(0)):
        assert video.segments
        assert {label for label, _, _ in video.segments} <= set(CLASSES)
        edges = [edge for _, start, end in video.segments for edge in (start, end)]
        assert edges == sorted(edges)
        assert len(set(edges)) == len(edges)
        assert edges[0] >= 0
        assert edges[-1] <= len(video.features_TD)


@pytest.mark.slow
def test_the_demo_beats_the_trivial_answer_and_draws_timelines(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "d"), "--seed", "1"])
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "d" / "run" / "eval.json").read_text())
    ours = written["averages"]["0.1:0.7"]
    assert ours > 0.4
    assert ours > 5 * written["baselines"]["whole_video"]["averages"]["0.1:0.7"]
    assert (tmp_path / "d" / "timelines.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_demo_in_the_same_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_module, "STEPS", 1)
    assert CliRunner().invoke(app, ["demo", "--out", str(tmp_path), "-q"]).exit_code == 0
    (tmp_path / "run" / "config.yaml").unlink()  # whatever is there
    before = sorted(tmp_path.rglob("*"))
    second = CliRunner().invoke(app, ["demo", "--out", str(tmp_path), "-q"])
    assert second.exit_code == 1
    assert "is not empty; name another folder with --out" in second.output
    assert "--resume" not in second.output
    assert sorted(tmp_path.rglob("*")) == before


def test_a_demo_that_is_stopped_says_how_to_start_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = training.train_step

    def stops(*args: object, **options: object) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "train_step", stops)
    stopped = CliRunner().invoke(app, ["demo", "--out", str(tmp_path), "-q"])
    assert stopped.exit_code == 1
    assert f"Stopped at step 1; remove {tmp_path} to start the demo again." in stopped.output
