"""The demo, end to end and small: what it films it annotates, and every stage leaves its part."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from wtal import training
from wtal.cli import app
from wtal.demo import DemoConfig, WorldConfig, demo, scenes
from wtal.demo.filming import encode, frames
from wtal.demo.script import CLASSES, write_scripts
from wtal.demo.settings import ENCODER, NETWORK
from wtal.errors import WtalError
from wtal.pipeline import Telling
from wtal_features import open_store, read_tags

av: Any = pytest.importorskip("av", reason="pip install 'wtal[video]'")
SMALL = DemoConfig(
    world=WorldConfig(training=7, test=6, seconds=(6.0, 8.0), action_s=(1.5, 2.0), context=0.5),
    encoder=(*ENCODER, "optim.steps=2", "optim.batch=8", "queue.slots=16"),
    network=(*NETWORK, "train.steps=3"),
)


def test_the_script_is_a_function_of_the_generator() -> None:
    first, again, other = (
        list(write_scripts(WorldConfig(training=3, test=2), np.random.default_rng(seed)))
        for seed in (5, 5, 6)
    )
    assert first == again
    assert first != other


def test_actions_lie_in_their_video_and_never_touch() -> None:
    config = WorldConfig(training=40, test=0)
    for script in write_scripts(config, np.random.default_rng(0)):
        assert script.actions
        assert {event.action for event in script.actions} <= set(CLASSES)
        edges = [edge for event in script.actions for edge in (event.start_s, event.end_s)]
        assert edges == sorted(edges)
        assert len(set(edges)) == len(edges)
        assert edges[0] >= 0
        assert edges[-1] <= script.seconds


def test_the_same_pictures_become_the_same_file_whatever_lies_in_the_memory(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    script = next(iter(write_scripts(WorldConfig(training=1, test=0), rng)))
    places = {name: scenes.paint(name, rng) for name in scenes.PLACES}
    pictures = list(frames(script, places, rng))[:250]
    found = set()
    for turn in range(6):
        rubbish = [
            rng.integers(0, 255, int(n), np.uint8) for n in rng.integers(1000, 3_000_000, 40)
        ]
        del rubbish[::2]  # what x264 is given next has been written to
        encode(tmp_path / f"{turn}.mp4", iter(pictures))
        found.add((tmp_path / f"{turn}.mp4").read_bytes())
    assert len(found) == 1


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], list[str]]:
    """A folder, what was said, and the lines at the end."""
    out = tmp_path_factory.mktemp("demo") / "out"
    said: list[str] = []
    result = demo(out, 3, telling=Telling(say=said.append), config=SMALL)
    return out, said, result.lines()


Made = tuple[Path, list[str], list[str]]


def test_every_stage_is_said_and_leaves_its_part(made: Made) -> None:
    out, said, lines = made
    assert [line[:3] for line in said if line[1:2] == "/"] == [f"{k}/7" for k in range(1, 8)]
    for name in ("encoder.safetensors", "runs/basnet/detections.json", "runs/dcc/detections.json"):
        assert (out / name).stat().st_size > 0
    names = [line.split("  ")[0] for line in lines if line.startswith(("whole", "BaS", "DCC"))]
    assert names == ["whole video x true tags", "BaS-Net (baseline)", "DCC"]
    assert str(out / "report.html") in "\n".join(lines)
    assert "video_0007" in (out / "report.html").read_text("utf-8")


def test_videos_tags_annotations_and_features_speak_of_the_same_videos(made: Made) -> None:
    out, _, _ = made
    database = json.loads((out / "annotations.json").read_text())["database"]
    tags = read_tags(out / "tags.csv")
    assert sorted(database) == sorted(tags.labels) == sorted(open_store(out / "features").videos)
    for name, entry in database.items():
        labels = {segment["label"] for segment in entry["annotations"]}
        assert labels == set(tags.labels[name])
        assert entry["subset"] == tags.subsets[name]
        with av.open(str(out / "videos" / f"{name}.mp4")) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert stream.frames == round(entry["duration"] * 10)


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    second = CliRunner().invoke(app, ["demo", "--out", str(tmp_path), "-q"])
    assert second.exit_code == 1
    assert "is not empty; name another folder with --out" in second.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_sigterm_stops_a_demo_that_is_filming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminated(*args: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("wtal.demo.command.film_all", terminated)
    stopped = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "d"), "-q"])
    assert stopped.exit_code == 1
    assert stopped.output == f"stopped: remove {tmp_path / 'd'} to start the demo again.\n"


def test_a_demo_that_is_stopped_says_how_to_start_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = training.train_step

    def stops(*args: object, **options: object) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "train_step", stops)
    with pytest.raises(WtalError, match=f"at step 1; remove {tmp_path} to start"):
        demo(tmp_path, 3, config=SMALL)
