"""The evaluator alone: the wheel and NumPy in a fresh environment, without torch and pandas."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PARTS = ("pyproject.toml", "README.md", "LICENSE", "wtal", "features", "eval")
UNREACHABLE = ("No matching distribution", "Connection", "Could not fetch", "Temporary failure")


def pip(*arguments: object) -> None:
    """Run this interpreter's pip, with the configuration of the environment."""
    command = [sys.executable, "-m", "pip", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and any(words in done.stderr for words in UNREACHABLE):
        pytest.skip("pip cannot reach an index that has what this test installs.")
    assert not done.returncode, done.stderr


@pytest.mark.slow
def test_the_wheel_scores_a_file_in_an_environment_with_numpy_alone(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a build leaves folders behind
    source.mkdir()
    for part in PARTS:
        path = PROJECT / part
        if path.is_dir():
            shutil.copytree(path, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.exists():
            shutil.copy(path, source / part)
    pip("wheel", "--no-deps", "--quiet", source, "--wheel-dir", tmp_path)
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    (wheel,) = tmp_path.glob("wtal-*.whl")
    pip("--python", python, "install", "--quiet", "numpy")
    pip("--python", python, "install", "--quiet", "--no-deps", wheel)

    row = {"label": "Run", "segment": [0, 10]}
    database = {"v": {"subset": "test", "duration": 40, "annotations": [row]}}
    (tmp_path / "truth.json").write_text(json.dumps({"database": database}))
    (tmp_path / "found.json").write_text(json.dumps({"results": {"v": [row | {"score": 0.5}]}}))
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    checks = (
        "-c import importlib.util as u; print([m for m in ('torch', 'pandas') if u.find_spec(m)])",
        "-m wtal_eval found.json truth.json --json eval.json",
        "-m wtal_eval found.json truth.json --compare-protocols",
    )
    printed = []
    for line in checks:
        flag, rest = line.split(" ", 1)
        words = [rest] if flag == "-c" else rest.split()
        done = subprocess.run(
            [python, flag, *words], cwd=tmp_path, env=alone, capture_output=True, text=True
        )
        assert not done.returncode, done.stderr
        printed.append(done.stdout)
    assert printed[0] == "[]\n"
    assert "headline (average 0.1:0.7): 100.00" in printed[1]
    assert json.loads((tmp_path / "eval.json").read_text())["map"] == [1.0] * 14
    assert "thumos14-evalkit" in printed[2]
