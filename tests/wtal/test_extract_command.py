"""`wtal extract`: what it says, how it ends, and that a slip costs seconds, not hours."""

import json
import signal
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.features.in_process import decode_here
from tests.features.videos import panned, write_video
from wtal.cli import app
from wtal_features import open_store

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Decode in this process; the paths of the videos that were decoded."""
    return decode_here(monkeypatch)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for name, frames in (("a", 20), ("b", 40)):
        write_video(root / f"{name}.mp4", panned(frames, 64, 48))
    return root


@pytest.fixture
def videos(good: Path, tmp_path: Path) -> Path:
    """A folder of two, to be changed."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for path in good.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def extract(*words: object, code: int = 0) -> str:
    """What the command prints, on both channels."""
    result = CliRunner().invoke(app, ["extract", "--device", "cpu", *map(str, words)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def refused(*words: object) -> str:
    """The one sentence of a command that is refused."""
    said = extract(*words, code=1)
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


# Ends --------------------------------------------------------------------------------------------


def test_a_folder_becomes_a_store_and_a_second_run_changes_nothing(
    videos: Path, tmp_path: Path, asked: list[str]
) -> None:
    out = tmp_path / "s"
    said = extract(videos, "--out", out, "--encoder", "null")
    assert f"{out}: 2 videos extracted (3 snippets, 0.0 min of video), 0 unchanged" in said
    assert open_store(out).videos == ("a", "b")
    assert "0 videos extracted" in extract(videos, "--out", out, "--encoder", "null")
    assert len(asked) == 2


def test_quiet_says_nothing_when_all_is_well(videos: Path, tmp_path: Path) -> None:
    assert extract(videos, "--out", tmp_path / "s", "--encoder", "null", "-q") == ""


def test_a_skipped_video_ends_in_exit_code_1_and_is_named_with_the_reason(
    videos: Path, tmp_path: Path
) -> None:
    (videos / "broken.mp4").write_bytes(b"no video")
    out = tmp_path / "s"
    said = extract(videos, "--out", out, "--encoder", "null", code=1)
    assert "1 video was skipped:" in said
    assert "broken: " in said
    assert "broken.mp4 does not open as a video" in said
    assert open_store(out).videos == ("a", "b")
    assert list(json.loads((out / "skipped.json").read_text())) == ["broken"]


def test_keep_going_ends_in_exit_code_0_and_still_names_it(videos: Path, tmp_path: Path) -> None:
    (videos / "broken.mp4").write_bytes(b"no video")
    words = (videos, "--out", tmp_path / "s", "--encoder", "null", "--keep-going")
    assert "broken: " in extract(*words)


def test_more_than_five_skipped_videos_are_listed_with_verbose(
    videos: Path, tmp_path: Path
) -> None:
    for i in range(7):
        (videos / f"broken{i}.mp4").write_bytes(b"no video")
    words = (videos, "--out", tmp_path / "s", "--encoder", "null", "--keep-going")
    assert "and 2 more; -v lists all." in extract(*words)
    assert "broken6: " in extract(*words, "-v")


def test_all_options_reach_the_manifest(videos: Path, tmp_path: Path) -> None:
    options = "--fps 12.5 --stride 8 --mode dense --frames 4 --every 2 --width 0.125 --size 16"
    options += " --seed 5 --precision bfloat16 --dtype float32 --batch 2"
    said = extract(videos, "--out", tmp_path / "s", "--encoder", "r3d26", *options.split())
    assert "r3d26 has random weights: for comparison only." in said
    fields = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert (fields["fps"], fields["stride"], fields["window"]) == (12.5, 8, 7)
    assert fields["extraction"] == {"grid_fps": "25/2", "mode": "dense", "dtype": "float32"}
    encoder = fields["encoders"]
    assert (encoder["width"], encoder["seed"], encoder["precision"]) == (0.125, 5, "bfloat16")
    assert (encoder["clip"]["frames"], encoder["clip"]["every"]) == (4, 2)
    assert encoder["clip"]["preprocess"]["crop"] == 16
    assert fields["made_with"][0]["batch"] == "2"


def test_two_encoders_with_names_make_streams(videos: Path, tmp_path: Path) -> None:
    encoders = ("--encoder", "rgb=null", "--encoder", "flow=motion-histogram", "--motion", "mv")
    extract(videos, "--out", tmp_path / "s", *encoders)
    assert open_store(tmp_path / "s").streams == ("rgb", "flow")


def test_shares_join_and_say_what_is_to_come(videos: Path, tmp_path: Path) -> None:
    words = (videos, "--out", tmp_path / "s", "--encoder", "null", "--shard")
    assert "1 of 2 shares are to come, such as 1-of-2" in extract(*words, "2/2")
    assert "2 shares joined" in extract(*words, "1/2")
    assert open_store(tmp_path / "s").videos == ("a", "b")


def test_an_interrupted_run_says_so_and_puts_sigterm_back(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def terminated(self: object, *ignored: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("wtal_features.extraction.run.Extraction._take", terminated)
    said = extract(videos, "--out", tmp_path / "s", "--encoder", "null", code=1)
    assert "interrupted: finished files are whole" in said
    assert signal.getsignal(signal.SIGTERM) is before


# Preview -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", [True, False])
def test_preview_prints_three_lines_and_writes_nothing(
    videos: Path, tmp_path: Path, out: bool
) -> None:
    before = sorted(tmp_path.rglob("*"))
    words = ["--out", tmp_path / "s"] if out else []
    said = extract(videos, "--encoder", "null", "--preview", *words).splitlines()
    assert said[0].startswith("2 videos, 2 s of video")
    assert said[1].startswith("time ")
    assert said[2].startswith("memory ")
    assert len(said) == 3
    assert sorted(tmp_path.rglob("*")) == before


def test_preview_names_videos_that_do_not_open(videos: Path) -> None:
    (videos / "broken.mp4").write_bytes(b"no video")
    assert "broken: " in extract(videos, "--encoder", "null", "--preview", code=1)


# Refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("", "--encoder is missing: a .safetensors file, hub:MODEL, or a network such as s3d."),
        ("--encoder s3d-flw", "There is no encoder 's3d-flw'. Did you mean s3d-flow?"),
        ("--encoder none.safetensors", "none.safetensors"),
        ("--encoder null --encoder s3d", "give each a name of its own, such as rgb=s3d"),
        ("--encoder a=null --encoder a=null", "give each a name of its own, such as rgb=s3d"),
        ("--encoder a=null --encoder null", "give each a name of its own, such as rgb=s3d"),
        ("--encoder test=null", "A stream cannot be named 'test'"),
        ("--encoder null --mode denser", "mode is 'denser'; expected window or dense."),
        ("--encoder null --motion raft", "motion is 'raft'; expected tvl1, farneback, dis, mv."),
        ("--encoder null --dtype float64", "dtype is 'float64'; expected float16 or float32."),
        ("--encoder null --precision half", "--precision is 'half'; expected auto, float32,"),
        ("--encoder null --fps fast", "fps is 'fast'; expected a number such as 25 or 30000/1001"),
        ("--encoder null --fps 0", "fps is '0'"),
        ("--encoder null --fps=-25", "fps is '-25'"),
        ("--encoder null --fps 25/0", "fps is '25/0'"),
        ("--encoder null --fps nan", "fps is 'nan'"),
        ("--encoder null --fps 1e999999999", "fps is '1e999999999'"),
        ("--encoder null --stride 0", "stride is 0; expected at least 1."),
        ("--encoder null --batch 0", "batch is 0; expected at least 1."),
        ("--encoder null --workers=-1", "workers is -1; expected 0 (one per core) or more."),
        ("--encoder null --timeout 0", "is 0.0; expected a number above zero."),
        ("--encoder null --max-hours inf", "is inf; expected a number above zero."),
        ("--encoder null --shard 3/2", "--shard is '3/2'; expected i/N from 1/N to N/N"),
        ("--encoder null --shard half", "--shard is 'half'"),
        ("--encoder null --width 0.5", "--width means nothing for null"),
        ("--encoder s3d --pooling cls", "--pooling means nothing for s3d"),
        ("--encoder s3d --width 0", "The width of the network is 0"),
    ],
)
def test_a_slip_is_one_sentence_before_anything_is_decoded(
    videos: Path, tmp_path: Path, asked: list[str], options: str, reason: str
) -> None:
    assert reason in refused(videos, "--out", tmp_path / "s", *options.split())
    assert asked == []
    assert not (tmp_path / "s").exists()


def test_without_a_place_to_write_the_option_is_named(videos: Path) -> None:
    assert refused(videos, "--encoder", "null") == (
        "--out is missing: the folder of the store to write."
    )


@pytest.mark.parametrize("option", ["--frames", "--every", "--size", "--seed"])
def test_a_number_below_the_least_is_a_usage_error(videos: Path, option: str) -> None:
    assert option in extract(videos, "--encoder", "s3d", option, "-1", code=2)


def test_a_mistyped_option_names_the_nearest(videos: Path) -> None:
    assert "--encoder" in extract(videos, "--encoders", "null", code=2)


def test_a_place_without_videos_is_named(tmp_path: Path) -> None:
    words = ("--out", tmp_path / "s", "--encoder", "null")
    assert "none does not exist" in refused(tmp_path / "none", *words)
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "tags.csv").touch()
    assert "holds no video by its name; it holds 'tags.csv'." in refused(tmp_path / "v", *words)
    assert "is no video by its name" in refused(tmp_path / "v" / "tags.csv", *words)
    assert "local files only" in refused("https://example.org/v.mp4", *words)


def test_a_folder_of_somebody_else_is_named(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    words = ("--out", tmp_path / "mine", "--encoder", "null")
    assert "is not empty and no store of ours: it holds" in refused(videos, *words)
    assert "is not empty and no store of ours" in refused(videos, *words, "--shard", "1/2")
    assert "cannot be written" in refused(
        videos, "--out", tmp_path / "mine" / "thesis.tex", "--encoder", "null"
    )


def test_a_store_of_other_settings_names_the_first_that_differs(
    videos: Path, tmp_path: Path
) -> None:
    words = (videos, "--out", tmp_path / "s", "--encoder", "null")
    extract(*words)
    assert "was written with stride 16; now it is 8." in refused(*words, "--stride", "8")
    assert "with extraction.dtype 'float16'; now it is 'float32'." in refused(
        *words, "--dtype", "float32"
    )


@pytest.mark.parametrize(
    ("module", "encoder", "extra"), [("av", "null", "video"), ("cv2", "motion-histogram", "flow")]
)
@pytest.mark.parametrize("preview", [[], ["--preview"]])
def test_a_missing_package_is_named_with_the_command_that_brings_it(
    videos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    encoder: str,
    extra: str,
    preview: list[str],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    said = refused(videos, "--out", tmp_path / "s", "--encoder", encoder, *preview)
    assert f"pip install 'wtal[{extra}]'" in said
    assert "not installed" in said
    assert not (tmp_path / "s").exists()


def test_a_batch_that_does_not_fit_names_its_option(videos: Path, tmp_path: Path) -> None:
    words = (videos, "--out", tmp_path / "s", "--encoder", "null", "--batch", 10**15)
    assert "Choose a smaller --batch." in refused(*words)
