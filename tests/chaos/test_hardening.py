"""What disks, schedulers and people do to a run: one sentence, and the next run loses no byte."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("av", reason="pip install 'wtal[video]'")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="clocks of processes are Linux's")
FEW = ("read_only", "second_run", "signals")
ALL = ("kills", "no_space", "full_disk", "clocks", *FEW)


# `make chaos` plays all scenes with all commands, and more often.
@pytest.mark.parametrize(
    ("commands", "scenes"),
    [(("train", "extract", "localize"), ALL), (("run", "calibrate", "pretrain"), FEW)],
)
def test_what_disturbs_a_command_is_said_in_a_sentence_and_costs_no_byte(
    commands: tuple[str, ...], scenes: tuple[str, ...]
) -> None:
    words = [f"--command={name}" for name in commands] + [f"--scene={name}" for name in scenes]
    played = subprocess.run(
        [sys.executable, "-m", "tests.chaos.hardening", "--often=4", *words],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    lines = played.stdout.splitlines()
    assert [line for line in lines if "cannot mount" not in line] == []
    assert played.returncode == 0, played.stderr
    if lines:
        pytest.skip(f"no small or read-only disk can be made here: {lines[0]}")
