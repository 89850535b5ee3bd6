"""`kill -9` at any moment, then the same command again: the store is that of an undisturbed run."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from tests.features.crashing import contents
from tests.features.in_process import decode_here
from tests.features.test_extract import environment, temporaries
from tests.features.videos import panned, write_video
from wtal_features import extract
from wtal_features.encoders.histograms import Null
from wtal_features.writer import JOURNAL

torch.set_num_threads(1)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")

KILLS = int(os.environ.get("WTAL_KILLS", "4"))  # `make chaos` asks for more


@dataclass
class Command:
    """`wtal extract` of a folder, as a process of its own."""

    videos: Path
    out: Path
    workers: int = 1

    def start(self) -> subprocess.Popen[str]:
        options = ("--encoder", "null", "--workers", str(self.workers), "--device", "cpu", "-q")
        return subprocess.Popen(
            [sys.executable, "-m", "wtal", "extract", self.videos, "--out", self.out, *options],
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def finish(self) -> None:
        with self.start() as process:
            _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors

    def written(self) -> int:
        """Videos that the journal has so far; its first line is the head."""
        journal = self.out / JOURNAL
        return journal.read_bytes().count(b"\n") - 1 if journal.exists() else 0

    def wait_for_a_video(self, process: subprocess.Popen[str]) -> None:
        before = self.written()
        while process.poll() is None and self.written() <= before:
            time.sleep(0.005)


class Undisturbed(NamedTuple):
    """What one run makes, and the seconds that it takes."""

    contents: dict[str, bytes]
    duration_s: float


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for i, frames in enumerate((250, 31, 120, 1, 200, 16, 90, 170)):
        write_video(root / f"v{i}.mp4", panned(frames, 64, 48, seed=i))
    return root


@pytest.fixture(scope="module")
def here(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A run in this process, without starting anything."""
    out, started = tmp_path_factory.mktemp("store"), time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        decode_here(patch)
        extract(videos, out, Null())
    found = contents(out)
    assert len(found) == 8 + 2  # arrays, manifest, memory
    return Undisturbed(found, time.monotonic() - started)


@pytest.fixture(scope="module")
def undisturbed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The command itself, from start to end, with two decoders."""
    command = Command(videos, tmp_path_factory.mktemp("store"), workers=2)
    started = time.monotonic()
    command.finish()
    return Undisturbed(contents(command.out), time.monotonic() - started)


def children(process: subprocess.Popen[str]) -> list[int]:
    """Process numbers of the decoders."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(number) for task in tasks for number in task.read_text().split()]


def alive(numbers: list[int]) -> list[int]:
    return [n for n in numbers if _state(n) not in ("", "Z")]


def _state(number: int) -> str:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def gone(numbers: list[int], within_s: float = 20) -> bool:
    end = time.monotonic() + within_s
    while alive(numbers) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(numbers)


def test_a_sigterm_three_kills_and_a_last_run_make_the_undisturbed_store(
    videos: Path, tmp_path: Path, here: Undisturbed
) -> None:
    command, moments = Command(videos, tmp_path / "s"), random.Random(0)
    with command.start() as process:
        command.wait_for_a_video(process)
        decoders = children(process)
        process.send_signal(signal.SIGTERM)
        sent = time.monotonic()
        _, errors = process.communicate(timeout=20)
    assert time.monotonic() - sent < 10
    assert (process.returncode, len(decoders), alive(decoders)) == (1, 1, [])
    assert errors == "interrupted: finished files are whole; the same command starts again.\n"
    assert temporaries(command.out) == []
    assert 1 <= command.written() < 8
    for _ in range(3):  # each hits a run that goes on from the one before
        with command.start() as process:
            command.wait_for_a_video(process)
            decoders = children(process)
            time.sleep(moments.uniform(0, here.duration_s / 4))
            process.kill()
            process.communicate()
        assert gone(decoders)
    command.finish()
    assert contents(command.out) == here.contents
    assert temporaries(command.out) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(KILLS))
def test_a_kill_at_any_moment_costs_no_byte(
    videos: Path, tmp_path: Path, undisturbed: Undisturbed, seed: int
) -> None:
    command = Command(videos, tmp_path / "s")
    with command.start() as process:
        time.sleep(random.Random(seed).uniform(0, undisturbed.duration_s))
        process.kill()
        process.communicate()
    command.finish()
    assert contents(command.out) == undisturbed.contents
    assert temporaries(command.out) == []


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("scenario", ["one_run", "changed_video"])
def test_a_run_that_is_killed_at_any_step_of_writing_goes_on_to_the_same_bytes(
    tmp_path: Path, scenario: str, every: int
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for i, name in enumerate("abc"):
        write_video(folder / f"{name}.mp4", panned(3 + 9 * i, 64, 48, seed=i))
    (folder / "d.mp4").write_bytes(b"no video")
    command = [sys.executable, "-m", "tests.features.crashing", scenario]
    done = subprocess.run(
        [*command, str(folder), str(tmp_path), str(every)],
        capture_output=True,
        text=True,
        env=environment() | {"OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 12  # steps
