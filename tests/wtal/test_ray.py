"""On a cluster of two nodes the commands do what they do on one machine, and a node may die."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'wtal[ray]'")
pytest.importorskip("av", reason="PyAV is not installed: pip install 'wtal[video]'")

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def happened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("cluster")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.wtal.on_a_cluster", str(folder)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_an_extraction_on_two_nodes_is_the_serial_one_byte_for_byte(
    happened: dict[str, Any],
) -> None:
    found = happened["extract"]
    assert found["same"]
    code, said = found["ray"]
    assert code == found["serial"] == 1  # a video was skipped
    assert "11 videos extracted" in said
    assert "1 video was skipped:\n  v05: " in said
    assert "shares joined" in said


def test_a_second_run_on_the_cluster_does_nothing(happened: dict[str, Any]) -> None:
    _, said = happened["extract"]["again"]
    assert "0 videos extracted (0 snippets, 0.0 min of video), 11 unchanged, 1 skipped" in said


def test_a_localization_on_two_nodes_is_the_serial_one_byte_for_byte(
    happened: dict[str, Any],
) -> None:
    code, said = happened["localize"]["ray"]
    assert (code, happened["localize"]["same"]) == (0, True), said
    assert "detections of 18 videos" in said


def test_a_fault_is_named_and_a_worker_that_died_is_replaced(happened: dict[str, Any]) -> None:
    refused, once = happened["faults"]["refused"], happened["faults"]["once"]
    assert refused == [[1, 1, ""], [2, None, "The disk is full. Free some space."], [3, 9, ""]]
    assert once == [[1, 1, ""], [2, 4, ""], [3, 9, ""]]


def test_a_node_that_is_killed_costs_only_the_video_that_it_was_at(
    happened: dict[str, Any],
) -> None:
    found = happened["killed"]
    assert found["faults"] == []
    assert found["same"]
    assert found["there"] >= 2  # it was amid its work
    begun = Counter(found["begun"])
    assert len(begun) == 12
    assert sum(begun.values()) <= 13 + begun["v05"] - 1  # the broken one is tried again, too
