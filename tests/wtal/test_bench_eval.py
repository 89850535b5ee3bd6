"""The sets that `wtal bench eval` makes, and the plain evaluator it compares with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wtal.bench import plain_evaluation
from wtal.bench.child import cpu_and_peak
from wtal.bench.evaluation import A, B, Case, MadeSet, Recipe, ThumosRecipe, make_set
from wtal_eval import evaluate
from wtal_eval.options import TENTHS

SMALL = (Recipe(30, 3, 20), ThumosRecipe(9, 4, 40))


@pytest.fixture(scope="module")
def large() -> MadeSet:
    return make_set(B)


def test_set_a_has_the_size_and_shape_of_a_thumos14_result() -> None:
    made = make_set(A)
    assert len(made.detections.video) == pytest.approx(31_600, rel=0.01)
    assert len(made.instances.video) == pytest.approx(3_300, rel=0.02)
    assert len(np.unique(made.instances.video)) == 212
    assert len(np.unique(made.instances.label)) == 20
    assert np.median(made.instances.end - made.instances.start) == pytest.approx(3.2, rel=0.1)


def test_set_b_has_its_number_of_videos_classes_instances_and_detections(large: MadeSet) -> None:
    assert len(large.detections.video) == 500_000
    assert np.bincount(large.detections.video).tolist() == [100] * 5000
    assert len(large.instances.video) / 5000 == pytest.approx(1.55, rel=0.02)
    assert len(np.unique(large.detections.label)) == len(np.unique(large.instances.label)) == 200
    assert large.duration_V.min() >= 5
    assert large.duration_V.max() <= 240


@pytest.mark.parametrize("recipe", [A, B])
def test_segments_lie_in_order_and_instances_inside_their_video(recipe: Recipe) -> None:
    made = make_set(recipe)
    for rows in (made.instances, made.detections):
        assert (rows.start <= rows.end).all()
        assert (np.diff(rows.video) >= 0).all()
    assert made.instances.start.min() >= 0
    assert (made.instances.end <= made.duration_V[made.instances.video] + 1e-9).all()


def test_sixty_percent_of_set_b_carry_a_label_of_their_video(large: MadeSet) -> None:
    labels = [set[int]() for _ in range(B.videos)]
    for v, c in zip(large.instances.video.tolist(), large.instances.label.tolist(), strict=True):
        labels[v].add(c)
    rows = zip(large.detections.video.tolist(), large.detections.label.tolist(), strict=True)
    own = sum(c in labels[v] for v, c in rows) / len(large.detections.video)
    assert own == pytest.approx(0.6, abs=0.01)


def test_a_seed_makes_the_same_set_and_another_seed_another() -> None:
    once, again, other = make_set(SMALL[0]), make_set(SMALL[0]), make_set(SMALL[0], seed=1)
    np.testing.assert_array_equal(once.detections.score, again.detections.score)
    assert not np.array_equal(once.detections.score, other.detections.score)


@pytest.mark.parametrize("recipe", SMALL)
def test_arrays_and_json_of_a_set_give_the_same_figures(recipe: Recipe, tmp_path: Path) -> None:
    text = Case("text", recipe, tmp_path, TENTHS, recipe.classes)
    arrays = Case("arrays", recipe, tmp_path, TENTHS, arrays=True)
    assert text.write() == arrays.write() == 1
    assert text.loop_detections.read_bytes() == text.detections.read_bytes()
    one = evaluate(text.detections, text.annotations, tiou=TENTHS)
    # JSON holds times to a microsecond only.
    other = evaluate(arrays.detections, arrays.annotations, tiou=TENTHS)
    assert one.counts["detections_read"] == other.counts["detections_read"]
    assert one.map == pytest.approx(other.map, abs=1e-3)
    assert one.map[0] > 0.01


def test_the_loop_gets_the_detections_of_the_first_classes(tmp_path: Path) -> None:
    case = Case("part", SMALL[0], tmp_path, TENTHS, loop_classes=2)
    scale = case.write()
    whole, part = (
        json.loads(path.read_text())["results"] for path in (case.detections, case.loop_detections)
    )
    first = ("human activity 000", "human activity 001")
    kept = {v: [row for row in rows if row["label"] in first] for v, rows in whole.items()}
    assert part == kept
    assert scale == sum(map(len, whole.values())) / sum(map(len, part.values())) > 1


@pytest.mark.parametrize("recipe", SMALL)
def test_the_plain_evaluator_finds_the_same_figures(
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = Case("x", recipe, tmp_path, TENTHS)
    case.write()
    arguments = [case.detections, case.annotations, "test", *TENTHS]
    monkeypatch.setattr(sys, "argv", ["plain_evaluation.py", *map(str, arguments)])
    plain_evaluation.main()
    ours = evaluate(case.detections, case.annotations, tiou=TENTHS)
    assert json.loads(capsys.readouterr().out) == pytest.approx(ours.map, abs=1e-12)


def test_the_plain_evaluator_breaks_ties_and_counts_silent_classes_as_ours(tmp_path: Path) -> None:
    def segments(*rows: tuple[str, float, float]) -> list[dict[str, object]]:
        return [{"label": label, "segment": [s, e], "score": 0.5} for label, s, e in rows]

    truth = segments(("run", 0, 10), ("run", 10, 20), ("jump", 0, 5), ("sit", 3, 3))
    found = segments(("run", 0, 20), ("run", 0, 9), ("run", 11, 20), ("jump", 1, 9))
    paths = tmp_path / "truth.json", tmp_path / "found.json"
    database = {"v": {"subset": "test", "annotations": truth}}
    paths[0].write_text(json.dumps({"database": database}))
    paths[1].write_text(json.dumps({"results": {"v": found, "w": found}}))
    ours = evaluate(paths[1], paths[0], tiou=TENTHS)
    plain = plain_evaluation.mean_average_precision(
        plain_evaluation.read(str(paths[1]), "results"),
        plain_evaluation.read(str(paths[0]), "database", "test"),
        list(TENTHS),
    )
    assert plain.tolist() == pytest.approx(ours.map, abs=1e-12)


def test_the_plain_evaluator_runs_alone() -> None:
    command = [sys.executable, plain_evaluation.__file__]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b""


def test_the_time_and_memory_of_a_child_are_its_own() -> None:
    code = "import time; x = bytearray(200_000_000)\nwhile time.process_time() < 0.5: pass"
    cpu, peak = cpu_and_peak([sys.executable, "-c", code])
    assert 0.5 <= cpu < 1.5
    assert 200 < peak < 260
