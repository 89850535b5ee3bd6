"""The commands and their options are pinned: a new one is a decision, not an accident."""

import os
import platform
import subprocess
import sys
from importlib import metadata

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from wtal import __version__
from wtal.bench.ablation import parser
from wtal.cli import app

ANY = {"debug", "help"}
INPUT = {"features", "tags", "annotations", "fps", "stride"}
SURFACE = {
    "run": {"videos", "tags", "annotations", "out", "encoder", "pretrain", "corrections", "exports"}
    | {"override", "preview", "device", "keep_going", "quiet", "verbose"},
    "train": INPUT
    | {"config", "out", "override", "seeds", "corrections", "gain", "resume", "device"}
    | {"keep_going", "quiet", "verbose"},
    "localize": INPUT
    | {
        "run",
        "out",
        "subset",
        "shard",
        "jobs",
        "ray",
        "override",
        "device",
        "keep_going",
        "quiet",
        "verbose",
    },
    "calibrate": INPUT | {"run", "subset", "folds", "check", "plot", "override", "device", "quiet"},
    "doctor": INPUT | {"config", "headers_only", "leakage", "override", "quiet", "verbose"},
    "convert": {"source", "out", "kind", "annotations", "fps", "stride", "window", "dtype", "join"}
    | {"encoder", "keep_going", "quiet", "verbose"},
    "pack": {"stores", "out", "shard_size", "fps", "stride", "keep_going", "quiet", "verbose"},
    "extract": {"videos", "out", "encoder", "fps", "stride", "mode", "dtype", "partial", "shard"}
    | {"jobs", "ray"}
    | {"frames", "every", "width", "size", "seed", "pooling", "revision", "precision"}  # encoder
    | {"motion", "reencode", "cache", "batch", "workers", "timeout", "memory_gb", "max_hours"}
    | {"preview", "device", "keep_going", "quiet", "verbose"},
    "probe": {"videos", "labels", "train", "test", "clips", "fps", "short_side", "motion"}
    | {"encoder", "linear", "finetune", "seeds", "override", "batch", "json_file", "device"}
    | {"frames", "every", "width", "size", "seed", "pooling", "revision", "precision"}  # encoder
    | {"keep_going", "quiet", "verbose"},
    "pretrain": {"method", "videos", "out", "config", "override", "tags", "annotations", "subset"}
    | {"clips", "fps", "motion", "reencode", "partial", "workers", "timeout", "memory_gb"}
    | {"max_hours", "resume"}
    | {"device", "keep_going", "quiet", "verbose"},
    "retrieve": {"query", "gallery", "model", "by", "top", "tags", "annotations", "subset"}
    | {"fps", "stride", "out", "duplicates", "above", "suggest", "sure", "truth", "protocol"}
    | {"device", "keep_going", "quiet", "verbose"},
    "export": {"detections", "to", "out", "videos", "annotations", "above", "top", "classes"}
    | {"sure"}
    | {"fps", "timecode", "padding", "keep_going", "quiet", "verbose"},
    "report": INPUT
    | {"detections", "out", "videos", "corrections", "versus", "subset", "protocol", "top", "title"}
    | {"device", "keep_going", "quiet", "verbose"},
    "demo": {"out", "seed", "quiet"},
    "bench": {"what", "json_file", "repeats", "quick", "quiet"},
    "inspect": INPUT
    | {"run", "video", "as_map", "versus", "out", "subset", "space", "points", "seed", "json_file"}
    | {"device", "quiet"},
    "eval": None,  # generated from the evaluator's options, which have their own test
}
ABLATION = INPUT | {"rows", "out", "subset", "held_out", "seeds", "baseline", "override"}
ABLATION |= {"jobs", "threads", "device", "json", "quiet"}


def commands() -> dict[str, object]:
    return dict(get_command(app).commands)  # type: ignore[attr-defined]


def test_the_commands_are_these() -> None:
    assert set(commands()) == set(SURFACE)


@pytest.mark.parametrize("name", [name for name, options in SURFACE.items() if options])
def test_the_options_of_a_command_are_these(name: str) -> None:
    found = {parameter.name for parameter in commands()[name].params}  # type: ignore[attr-defined]
    expected = SURFACE[name]
    assert expected is not None
    assert found - ANY == expected


def test_the_options_without_a_command_are_these() -> None:
    found = {word for parameter in get_command(app).params for word in parameter.opts}
    assert found == {"--version", "--install-completion", "--show-completion"}


def test_the_versions_are_told_without_loading_torch() -> None:
    program = "import sys; from wtal.cli import app; app(['--version'], standalone_mode=False); "
    done = subprocess.run(
        [sys.executable, "-c", f"{program} assert 'torch' not in sys.modules"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=True,
    )
    told = f"wtal {__version__}, Python {platform.python_version()}, PyTorch "
    assert done.stdout == f"{told}{metadata.version('torch')}\n"


@pytest.mark.parametrize("words", [[], *([name] for name in SURFACE)])
def test_no_help_shows_a_value_behind_a_flag(words: list[str]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"], terminal_width=200)
    assert shown.exit_code == 0
    assert "<bool>" not in shown.output


def test_the_piece_ablation_of_bench_has_these_options_of_its_own() -> None:
    found = vars(parser().parse_args(["row", "-f", "f", "--annotations", "a", "--out", "o"]))
    assert set(found) - ANY == ABLATION
    assert "ablation" in CliRunner().invoke(app, ["bench", "--help"]).output
    shown = CliRunner().invoke(app, ["bench", "ablation", "--help"])
    assert shown.exit_code == 0
    assert "Example: wtal bench ablation" in shown.output
    assert "--held-out" in shown.output


@pytest.mark.parametrize("name", SURFACE)
def test_every_command_helps_with_an_example(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"], terminal_width=200)
    assert shown.exit_code == 0
    assert f"Example: wtal {name}" in shown.output


def test_a_mistyped_command_and_option_are_usage_errors_that_name_the_nearest() -> None:
    command = CliRunner().invoke(app, ["trian"])
    assert command.exit_code == 2
    assert "train" in command.output
    option = CliRunner().invoke(app, ["localize", "run", "--featurs", "x"])
    assert option.exit_code == 2
    assert "--features" in option.output
    scoring = CliRunner().invoke(app, ["eval", "--eror"])
    assert scoring.exit_code == 2
    assert "No such option: --eror; did you mean '--errors'?" in scoring.output
    assert len(scoring.output.splitlines()) == 1
