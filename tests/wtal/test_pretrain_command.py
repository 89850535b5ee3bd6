"""`wtal pretrain`: from videos to a file that `wtal extract` takes; what it says, and refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.features.videos import panned, write_video
from wtal.cli import app
from wtal.pretrain import Words, clip_settings
from wtal_features.methods.catalog import METHODS

torch.set_num_threads(1)
SMALL = (
    *("-o", "clips.size=32", "-o", "clips.frames=8", "-o", "clips.every=1"),
    *("-o", "network.width=.125", "-o", "run.loaders=0", "--device", "cpu"),
)
FEW = ("-o", "optim.steps=2", "-o", "optim.batch=4")
QUEUE = ("-o", "queue.slots=8", "-o", "queue.dim=16")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five videos, and a file that is none."""
    root = tmp_path_factory.mktemp("videos")
    for i in range(5):
        write_video(root / f"v{i}.mp4", panned(30 + i, 64, 48, (i, 1), seed=i))
    (root / "text.mp4").write_text("no video")
    lines = [f"v{i},{'pan' if i % 2 else 'still'},{'a' if i < 4 else 'b'}" for i in range(5)]
    (root / "tags.csv").write_text("video,label,subset\n" + "\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def clips(videos: Path) -> Path:
    """The clip store that all of these share, with motion."""
    folder = videos.parent / "clips"
    out = folder / "made.safetensors"
    pretrain("cmd", videos, "--out", out, "--clips", folder, *SMALL, *FEW, *MV, code=1)
    return folder


MV = ("--motion", "mv", "-o", "future.frames=4", "-o", "future.negatives=1", "--workers", "1")


def pretrain(*words: object, code: int = 0) -> str:
    """What the command prints, on both channels."""
    result = CliRunner().invoke(app, ["pretrain", *map(str, words)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def refused(*words: object) -> str:
    """The one sentence of a command that is refused."""
    said = pretrain(*words, code=1)
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


@pytest.mark.slow
def test_videos_become_an_encoder_and_a_broken_one_is_named(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "cmd.safetensors"
    said = pretrain("cmd", videos, "--out", out, *SMALL, *FEW, *MV, code=1)
    assert "text" in said
    assert "steps: 2, videos: 5" in said
    assert "expect features for these videos" in said
    assert "text" in json.loads((tmp_path / "cmd.run" / "skipped.json").read_text())
    assert (tmp_path / "cmd.run" / "clips" / "manifest.json").is_file()
    store = tmp_path / "store"
    words = ["extract", str(videos), "--encoder", str(out), "--out", str(store), "--keep-going"]
    extracted = CliRunner().invoke(app, words)
    assert extracted.exit_code == 0, extracted.output
    assert "trained by cmd on 5 videos for 2 steps" in extracted.output
    assert len(list(store.glob("v*.npy"))) == 5


@pytest.mark.slow
@pytest.mark.parametrize("method", ["infonce", "ubernce", "cvrl"])
def test_a_clip_store_serves_every_method(clips: Path, tmp_path: Path, method: str) -> None:
    out = tmp_path / f"{method}.safetensors"
    more = () if method == "cvrl" else QUEUE
    tags = clips.parent.glob("videos*/tags.csv")
    pretrain(method, clips, "--out", out, "--tags", next(tags), *SMALL, *FEW, *more)
    entry = json.loads(out.with_suffix(".run").joinpath("metrics.jsonl").read_text())
    assert entry["step"] == 2
    assert out.is_file()


@pytest.mark.slow
def test_coclr_writes_a_file_for_each_stream(clips: Path, tmp_path: Path) -> None:
    few = [word.replace("optim", stage) for stage in ("init", "cycle") for word in FEW]
    out = tmp_path / "coclr.safetensors"
    more = ("-o", "cycles=1", "-o", "cycle.steps=3")
    said = pretrain("coclr", clips, "--out", out, *SMALL, *few, *QUEUE, *more)
    assert (tmp_path / "coclr.rgb.safetensors").is_file()
    assert (tmp_path / "coclr.flow.safetensors").is_file()
    assert "coclr.flow.safetensors" in said


@pytest.mark.slow
def test_a_subset_leaves_the_other_videos_out(clips: Path, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    words = ("--tags", videos / "tags.csv", "--subset", "a", *SMALL, *FEW, *QUEUE)
    assert "videos: 4" in pretrain("infonce", clips, "--out", out, *words)
    assert "present: a, b" in refused(
        "infonce", clips, "--out", tmp_path / "y.safetensors", *words, "--subset", "c"
    )


@pytest.mark.slow
def test_a_broken_video_is_named_where_the_labels_name_it(videos: Path, tmp_path: Path) -> None:
    tags = tmp_path / "tags.csv"
    words = ("--tags", tags, "--subset", "a", *SMALL, *FEW, *QUEUE, "--workers", "1")
    rows = "".join(f"v{i},pan,a\n" for i in range(4))
    for label, code in (("b", 0), ("a", 1)):
        tags.write_text(f"video,label,subset\n{rows}text,pan,{label}\n")
        out = tmp_path / f"{label}.safetensors"
        said = pretrain("infonce", videos, "--out", out, *words, code=code)
        assert "videos: 4" in said
        assert ("text.mp4 does not open as a video" in said) == bool(code)


@pytest.mark.slow
def test_a_run_is_not_overwritten_and_goes_on_with_resume(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    words = ("infonce", clips, "--out", out, *SMALL, *FEW, *QUEUE)
    pretrain(*words)
    first = out.read_bytes()
    assert "--resume" in refused(*words)
    out.unlink()
    assert "steps: 2, videos: 5, loss" in pretrain(*words, "--resume")
    assert out.read_bytes() == first
    assert "queue.slots" in refused(*words, "--resume", "-o", "queue.slots=4")


@pytest.mark.slow
def test_two_processes_of_torchrun_write_one_file(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    words = ["infonce", clips, "--out", out, *SMALL, *FEW, *QUEUE]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--standalone", "-m", "wtal", "pretrain", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("steps: 2, videos: 5") == 1  # the first process speaks
    assert out.is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("moco",), "no method 'moco'; expected one of infonce, ubernce, coclr, cvrl, cmd"),
        (("cvrl", "-o", "power=0"), "power is 0.0; expected above 0, or uniform"),
        (("cvrl", "-o", "network.widht=1"), "nearest known one is 'network.width'"),
        (("cvrl", "-o", "queue.slots=8"), "-o queue.slots=8: unknown key 'queue'"),
        (("infonce", "-o", "optim.momentum=.5"), "add -o optim.optimizer=sgd"),
        (("infonce", "-o", "queue.slots=100"), "a multiple of the batch"),
        (("cmd", "-o", "network.arch=s3d"), "no video network 's3d'"),
        (("infonce", "-o", "network.arch=s3"), "no network 's3'"),
        (("cvrl", "--subset", "training"), "--subset needs --tags or --annotations"),
        (("ubernce",), "ubernce learns from labels"),
        (("cvrl", "--motion", "mv"), "--motion means nothing for cvrl"),
        (("cvrl", "-o", "run.precision=bf16", "--device", "cpu"), "Take fp32 or auto"),
    ],
)
def test_a_slip_is_named_before_anything_is_decoded(
    tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    method, *more = words
    out = tmp_path / "x.safetensors"
    assert sentence in refused(method, tmp_path / "nowhere", "--out", out, *more)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_options_of_decoding_mean_nothing_for_a_clip_store(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    for words in (("--fps", "10"), ("--partial",), ("--clips", tmp_path / "c"), ("--workers", 2)):
        assert f"{words[0]} means nothing" in refused("infonce", clips, "--out", out, *words)


@pytest.mark.slow
def test_what_failed_before_a_checkpoint_leaves_its_place(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    words = ("cmd", clips, "--out", out, *SMALL, *FEW, *MV[2:-2])
    assert "multiple of 1/32" in refused(*words, "-o", "network.width=.3")
    assert "steps: 2" in pretrain(*words)


@pytest.mark.slow
def test_turns_that_only_fill_the_queue_are_refused(clips: Path, tmp_path: Path) -> None:
    few = [word.replace("optim", stage) for stage in ("init", "cycle") for word in FEW]
    words = ("coclr", clips, "--out", tmp_path / "x.safetensors", *SMALL, *few, *QUEUE)
    assert "A turn of 2 steps trains nothing" in refused(*words)


def test_a_file_of_another_run_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "x.safetensors"
    out.write_bytes(b"mine")
    assert "no run beside it" in refused("cvrl", tmp_path, "--out", out)
    assert out.read_bytes() == b"mine"


def test_the_file_must_be_named_as_what_it_is(tmp_path: Path) -> None:
    assert ".safetensors" in refused("cvrl", tmp_path, "--out", tmp_path / "x.pt")


@pytest.mark.parametrize("method", [m for m in METHODS if METHODS[m].source == "clips"])
def test_frames_are_kept_as_large_as_the_published_crops_need(method: str, tmp_path: Path) -> None:
    words = Words(method, tmp_path / "x.safetensors")
    config = METHODS[method].config()
    settings = clip_settings(words, config)
    assert settings.short_side == {"cvrl": 256, "cmd": 128}.get(method, 147)
    assert (settings.motion is not None) == (method in ("coclr", "cmd"))
