"""What disks, schedulers and people do to a run: one sentence, and the next run loses no byte."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("av", reason="pip install 'wtal[video]'")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched by /proc")
QUICK = ("localize", "extract")
ALL = ("localize", "extract", "train", "calibrate", "pretrain", "run")


def faults(scene: str, folder: object, *commands: str) -> list[str]:
    """What a scene found, in a process of its own."""
    found = subprocess.run(
        [sys.executable, "-m", "tests.chaos.hardening", scene, str(folder), *commands],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    if lines and "cannot mount" in lines[0]:
        pytest.skip(f"no small disk can be made here: {lines[0]}")
    return lines


@pytest.mark.parametrize(
    "commands", [("train", *QUICK), pytest.param(ALL[3:], marks=pytest.mark.slow)]
)
def test_kills_at_the_writes_of_a_run_cost_no_byte(
    tmp_path: object, commands: tuple[str, ...]
) -> None:
    assert faults("kills", tmp_path, *commands) == []


@pytest.mark.parametrize("scene", ["full_disk", "no_space", "read_only"])
def test_a_disk_that_takes_no_more_is_named_and_the_next_run_goes_on(
    tmp_path: object, scene: str
) -> None:
    assert faults(scene, tmp_path, *(ALL if scene == "read_only" else (*QUICK, "train"))) == []


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["full_disk", "no_space"])
def test_every_command_survives_a_full_disk(tmp_path: object, scene: str) -> None:
    assert faults(scene, tmp_path, *ALL[3:]) == []


def test_clocks_that_jump_change_no_byte(tmp_path: object) -> None:
    assert faults("clocks", tmp_path, *QUICK, "run") == []


def test_a_second_run_in_a_folder_is_refused_at_once(tmp_path: object) -> None:
    assert faults("second_run", tmp_path, *ALL) == []


def test_sigterm_and_ctrl_c_stop_every_command_and_it_goes_on_to_the_same_bytes(
    tmp_path: object,
) -> None:
    assert faults("signals", tmp_path, *ALL) == []
