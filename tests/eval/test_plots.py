"""Pictures: that they are written, whole, and without the state of pyplot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wtal_eval import EvalError, evaluate, plots, read_annotations, read_detections
from wtal_eval import calibration as calibrations
from wtal_eval import errors as analyses
from wtal_eval import sensitivity as sensitivities
from wtal_eval.calibration import Curve
from wtal_eval.diagnosis import diagnose_ranking, headline_per_class
from wtal_eval.notes import Notes
from wtal_eval.protocols import resolve
from wtal_eval.ranking import select_detections
from wtal_eval.truth import select_truth

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def toy() -> Any:
    """A ranking with every kind of error, its truth and its protocol."""
    rows = [{"label": "run", "segment": [0, 10]}, {"label": "jump", "segment": [20, 30]}]
    database = {"v": {"subset": "test", "duration": 100, "annotations": rows}}
    found = [
        ("run", 0, 10), ("run", 0, 10), ("jump", 0, 10), ("run", 0, 4), ("jump", 0, 4),
        ("run", 60, 70),
    ]  # fmt: skip
    results = [
        {"label": label, "segment": [s, e], "score": 0.9 - k / 10}
        for k, (label, s, e) in enumerate(found)
    ]
    rules = resolve("thumos14", {})
    annotations = read_annotations({"database": database})
    truth = select_truth(annotations, rules, Notes())
    detections = read_detections({"results": {"v": results}})
    return select_detections(detections, annotations, truth, rules, Notes()), truth, rules


def draw(name: str, toy: Any, path: Path) -> Path:
    makers: dict[str, Callable[[], Path]] = {
        "precision_recall": lambda: plots.precision_recall(
            calibrations.precision_recall(*toy), path, tiou=0.5
        ),
        "class_bars": lambda: plots.class_bars({"run": 0.25, "jump": 1.0}, path),
        "error_profile": lambda: plots.error_profile(analyses.analyse(*toy), path),
        "sensitivity_bars": lambda: plots.sensitivity_bars(sensitivities.analyse(*toy), path),
        "reliability": lambda: plots.reliability(calibrations.analyse(*toy), path),
    }
    return makers[name]()


NAMES = ("precision_recall", "class_bars", "error_profile", "sensitivity_bars", "reliability")


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_a_whole_png_or_svg_and_nothing_else_is_left(
    name: str, toy: Any, tmp_path: Path
) -> None:
    png = draw(name, toy, tmp_path / "picture.png")
    assert png.read_bytes().startswith(PNG)
    svg = draw(name, toy, tmp_path / "picture.svg")
    assert svg.read_text().rstrip().endswith("</svg>")
    assert sorted(tmp_path.iterdir()) == [png, svg]


def test_the_same_figures_give_the_same_bytes(toy: Any, tmp_path: Path) -> None:
    for suffix in ("png", "svg"):
        once = draw("error_profile", toy, tmp_path / f"once.{suffix}")
        again = draw("error_profile", toy, tmp_path / f"again.{suffix}")
        assert once.read_bytes() == again.read_bytes()


def test_names_are_text_and_never_formulas_or_markup(tmp_path: Path) -> None:
    names = ["$x^2 {", "_run", "<script>alert(1)</script>", "a\x1b[31m", "\u6f22\u5b57", "n" * 500]
    path = plots.class_bars(dict.fromkeys(names, 0.5), tmp_path / "bars.svg")
    assert "<script>" not in path.read_text().replace("<!--", "")
    one = np.array([0.5])
    curves = [Curve(name, 3, one, np.array([2]), one, one) for name in names]
    assert plots.precision_recall(curves, tmp_path / "curves.png", tiou=0.5).exists()


def test_many_classes_are_cut_to_the_best_and_the_worst() -> None:
    items, note = plots._extremes(list("abcdef"), [3, 1, 2, 6, 5, 4], 4)
    assert items == ["b", "c", "d", "e"]
    assert note == " (best 2 and worst 2 of 6 classes)"
    assert plots._extremes(["a"], [1], 4) == (["a"], "")


def test_a_class_without_detections_has_an_empty_panel(toy: Any, tmp_path: Path) -> None:
    curves = calibrations.precision_recall(*toy)
    none = np.zeros(0)
    empty = Curve("silent", 3, none, np.zeros(0, int), none, none)
    assert plots.precision_recall([*curves, empty], tmp_path / "a.png", tiou=0.5).exists()
    assert plots.precision_recall([empty], tmp_path / "b.png", tiou=0.5).exists()


def test_pictures_of_nothing_are_drawn(tmp_path: Path) -> None:
    rows = [{"label": "run", "segment": [0, 10]}]
    annotations = read_annotations({"database": {"v": {"subset": "test", "annotations": rows}}})
    rules = resolve("thumos14", {})
    truth = select_truth(annotations, rules, Notes())
    nothing = read_detections({"results": {}})
    toy = (select_detections(nothing, annotations, truth, rules, Notes()), truth, rules)
    for name in NAMES:
        assert draw(name, toy, tmp_path / f"{name}.png").exists()


def test_another_suffix_and_a_missing_folder_are_one_sentence(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(EvalError, match=r"another suffix than expected: \.png or \.svg"):
        draw("class_bars", toy, tmp_path / "picture.jpg")
    with pytest.raises(EvalError, match="cannot be written: No such file"):
        draw("class_bars", toy, tmp_path / "absent" / "picture.png")


def test_without_matplotlib_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(EvalError, match=r"pip install 'wtal\[plots\]'"):
        plots.class_bars({"run": 0.5}, tmp_path / "bars.png")


def test_importing_costs_numpy_only_and_drawing_never_touches_pyplot(tmp_path: Path) -> None:
    program = """
import sys
import wtal_eval.errors, wtal_eval.sensitivity, wtal_eval.calibration
import wtal_eval.significance, wtal_eval.plots
heavy = {"matplotlib", "pandas", "torch", "scipy", "wtal", "wtal_features"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
wtal_eval.plots.class_bars({"run": 0.5}, sys.argv[1])
assert "matplotlib.pyplot" not in sys.modules
"""
    command = [sys.executable, "-c", program, str(tmp_path / "bars.png")]
    path = {"PYTHONPATH": ":".join(p for p in sys.path if p), "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=path, check=False)
    assert done.returncode == 0, done.stderr


def test_the_bars_of_a_diagnosis_are_the_headline_per_class() -> None:
    rows = [{"label": label, "segment": [0, 10]} for label in ("run", "jump")]
    truth = {"database": {"v": {"subset": "test", "annotations": rows}}}
    ends = {"run": 10, "jump": 4}  # tIoU 1 and .4
    found = [{"label": k, "score": 0.5, "segment": [0, end]} for k, end in ends.items()]
    kept: list[tuple[str, dict[str, float]]] = []

    def analyse(*parts: Any) -> Any:
        kept.append(headline_per_class(*parts))
        return diagnose_ranking(*parts)

    result = evaluate({"results": {"v": found}}, truth, analyse=analyse)
    ((name, ap),) = kept
    assert name == "0.1:0.7"
    assert ap == {"jump": pytest.approx(4 / 7), "run": 1.0}
    assert sum(ap.values()) / 2 == pytest.approx(result.headline[1])
