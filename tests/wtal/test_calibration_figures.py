"""The figures of benchmarks/calibration.py: F1 at scores, rows, and the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.scripts import load
from tests.synthetic import make_store
from wtal.calibration import Calibration
from wtal.calibration.evidence import EMPTY
from wtal.calibration.reliability import Hits

# Two of three are right, one instance is missed.
HITS = Hits(np.array([0.9, 0.8, 0.1]), np.array([[True, False, True]]), 3)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load("calibration")


def test_f1_counts_wrong_and_missed_ones(script: ModuleType) -> None:
    assert script.f1(HITS, 0, 0.5) == pytest.approx(2 * 1 / (2 + 3))
    assert script.f1(HITS, 0, 0.0) == pytest.approx(2 * 2 / (3 + 3))
    assert script.f1(HITS, 0, 1.0) == 0
    assert script.best_f1(HITS, 0) == pytest.approx(2 / 3)


def test_the_best_f1_never_cuts_between_equal_scores(script: ModuleType) -> None:
    tied = HITS._replace(scores_N=np.array([0.9, 0.9, 0.1]))
    assert script.best_f1(tied, 0) == pytest.approx(2 * 2 / (3 + 3))
    only_first = Hits(np.array([0.9, 0.9]), np.array([[True, False]]), 1)
    assert script.best_f1(only_first, 0) == pytest.approx(2 / 3)


def test_the_expected_best_keeps_what_is_worth_more_than_half_the_f1(script: ModuleType) -> None:
    step = Calibration((0.1, 0.2, 0.8, 0.9), (0.1, 0.1, 1.0, 1.0), 0.8)
    known = replace(EMPTY, scores_N=np.array([0.9, 0.8, 0.1]))
    assert script.expected_best(known, step) == 0.8


@pytest.mark.slow
def test_the_table_has_a_row_for_each_way_and_a_second_call_repeats_it(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, _, annotations = make_store(tmp_path, train=12, strength=8.0)
    words = [str(store), "--annotations", str(annotations), "--config", "configs/basnet.yaml"]
    words += ["--out", str(tmp_path / "runs"), "--folds", "2", "--json", str(tmp_path / "t.json")]
    words += ["-o", "model.hidden_dim=16", "-o", "train.steps=20"]
    script.main(words)
    said = capsys.readouterr().out.splitlines()
    table = [line for line in said if line.startswith("|")]
    for name in ("folds", "training videos", "folds, no decoys", "folds, tag alone"):
        assert sum(line.startswith(f"| {name} |") for line in table) == 1
    rows = json.loads((tmp_path / "t.json").read_text())["rows"]
    assert rows[0]["folds"]["F1 best 0.1"] >= rows[0]["folds"]["F1 0.1"]
    script.main(words)
    again = capsys.readouterr().out.splitlines()
    assert [line for line in again if line.startswith("|")] == table
