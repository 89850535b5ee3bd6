"""`python -m wtal_features`: exit codes and what is printed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from wtal_features.__main__ import main

SaveArray = Callable[..., Path]


def test_convert_and_check_from_the_command_line(
    tmp_path: Path, save: SaveArray, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    save(source / "a.npy")
    command = ["convert", str(source), "--out", str(out), "--fps", "25", "--stride", "16"]
    assert main(command) == 0
    assert "1 video written" in capsys.readouterr().out
    assert main(["check", str(out), "--values"]) == 0
    assert "0 errors, 0 warnings" in capsys.readouterr().out
    save(source / "b.npy", np.zeros((0, 6), dtype=np.float32))
    assert main(command) == 1
    assert "error [no-snippets] b:" in capsys.readouterr().out


def test_a_fault_is_one_sentence_without_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tmp_path / "missing")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "does not exist" in captured.err
    assert "Traceback" not in captured.err


def test_wrong_usage_exits_with_2() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["convert"])
    assert caught.value.code == 2


def test_importing_the_package_brings_neither_torch_nor_h5py() -> None:
    code = "import sys, wtal_features; print({'torch', 'h5py', 'pandas'} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
