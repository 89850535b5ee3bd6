"""The command, its files and its tables."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import wtal_eval
from wtal_eval import EvalError, Report, evaluate, read_detections, run, write_detections
from wtal_eval.command import main
from wtal_eval.options import OPTIONS
from wtal_eval.protocols import Protocol
from wtal_eval.ranking import Ranking
from wtal_eval.tables import class_frame, summary_frame
from wtal_eval.truth import Truth

KEYS = ["version", "protocol", "counts", "tiou", "map", "averages", "headline"]
KEYS += ["per_class", "video_level", "baselines", "errors", "warnings"]


def detection(start: float, end: float, score: float, label: str = "run") -> dict[str, Any]:
    return {"label": label, "segment": [start, end], "score": score}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Two result files and annotations: the second result misses one of two instances."""
    rows = [{"label": "run", "segment": [0, 10]}, {"label": "jump", "segment": [20, 30]}]
    database = {"v": {"subset": "test", "duration": 40, "annotations": rows}}
    good = {"v": [detection(0, 10, 0.9), detection(20, 30, 0.8, "jump")]}
    weak = {"v": [detection(0, 10, 0.9)]}
    paths = (tmp_path / "good.json", tmp_path / "weak.json", tmp_path / "truth.json")
    documents = ({"results": good}, {"results": weak}, {"version": "toy 1", "database": database})
    for path, document in zip(paths, documents, strict=True):
        path.write_text(json.dumps(document))
    return paths


def words(*parts: object) -> list[str]:
    return [str(part) for part in parts]


def test_the_command_prints_counts_map_averages_and_the_baseline(
    files: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    good, _, truth = files
    assert main(words(good, truth)) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("thumos14: subset=test tiou=0.1,0.2,")
    assert "annotation: 1 videos, 2 instances, 2 classes; version: toy 1" in printed
    assert "good.json: 2 detections read, 2 kept, 0 on unknown videos" in printed
    assert re.search(r"average \(%\) +0\.1:0\.5 +0\.1:0\.7 +0\.3:0\.7 +0\.5:0\.95\n", printed)
    assert re.search(r"good\.json( +100\.00){14}\n", printed)
    assert re.search(r"good\.json( +100\.00){4}\n", printed)
    assert re.search(r"whole video x true tags +100\.00 +100\.00 +0\.00", printed)
    assert "headline (average 0.1:0.7): 100.00" in printed
    assert "top-1 100.00" in printed


def test_the_json_has_exactly_the_stable_keys(
    files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    good, _, truth = files
    target = tmp_path / "eval.json"
    assert main(words(good, truth, "--json", target)) == 0
    document = json.loads(target.read_text())
    assert list(document) == KEYS
    assert document == evaluate(good, truth).to_json()
    assert len(document["tiou"]) == len(document["map"]) == 14
    assert document["headline"] == {"name": "0.1:0.7", "value": 1.0}
    assert document["errors"] is None
    assert document["protocol"]["ties"] == "last"
    assert list(document["baselines"]["whole_video"]) == ["map", "averages"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "eval.json",
        "good.json",
        "truth.json",
        "weak.json",
    ]


def test_several_files_get_a_row_each_with_mean_and_sample_deviation(
    files: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "eval.json"
    assert main(words(*files, "--json", target, "--tiou", ".1:.1:.7")) == 0
    printed = capsys.readouterr().out
    for row, value in (("good.json", "100.00"), ("weak.json", "50.00"), ("mean", "75.00")):
        assert re.search(rf"{re.escape(row)}( +{value}){{7}}\n", printed)
    assert re.search(r"sd( +35\.36){7}\n", printed)
    assert "headline (average 0.1:0.7): mean 75.00, sd 35.36 of 2 files" in printed
    document = json.loads(target.read_text())
    assert list(document) == ["runs", "mean", "sd"]
    assert [one["file"] for one in document["runs"]] == ["good.json", "weak.json"]
    assert document["mean"]["0.1:0.7"] == document["mean"]["0.1"] == 0.75
    assert document["sd"]["0.1:0.7"] == pytest.approx(0.5 / 2**0.5)


def test_the_same_file_twice_is_two_rows(
    files: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(files[0], files[0], files[2])) == 0
    assert capsys.readouterr().out.count(f"{files[0]}: 2 detections read") == 2


def test_per_class_prints_ap_and_recall(
    files: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(files[1], files[2], "--per-class", "--tiou", "0.5")) == 0
    printed = capsys.readouterr().out
    assert "AP (%) per class, weak.json" in printed
    assert "recall (%) per class, weak.json" in printed
    assert len(re.findall(r"^run +1 +1 +100\.00$", printed, re.MULTILINE)) == 2
    assert len(re.findall(r"^jump +1 +0 +0\.00$", printed, re.MULTILINE)) == 2
    assert "warning: 1 class has no detection ('jump')" in printed


def test_a_problem_with_the_input_is_one_sentence_and_exit_code_one(
    files: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, _, truth = files
    for arguments in (
        [good, tmp_path / "absent.json"],
        [truth, good],
        [good, truth, "--tiou", "2"],
        [good, truth, "--subset", "nowhere"],
        [good, truth, "--exclude-videos", tmp_path],
        [good, truth, "--json", tmp_path / "no folder" / "eval.json"],
    ):
        assert main(words(*arguments)) == 1
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1
        assert captured.out == ""


def test_wrong_usage_is_exit_code_two(files: tuple[Path, Path, Path]) -> None:
    for arguments in (words(files[0]), words(*files, "--ties", "random"), ["--nonsense"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2


def test_every_option_of_the_command_reaches_the_protocol(
    files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    good, _, truth = files
    excluded, target = tmp_path / "excluded.txt", tmp_path / "eval.json"
    excluded.write_text("# mislabelled\n\n w \r\n")
    intervals = tmp_path / "Ambiguous_test.txt"
    intervals.write_text("v 100 110")
    options: dict[str, Any] = {
        "subset": "test",
        "tiou": ".3,.5",
        "headline": "@0.5",
        "match": "first",
        "overlap": "hull",
        "overlap_test": "gt",
        "ap": "sum",
        "ties": "first",
        "precision": "float32",
        "zero_union": "no-match",
        "grid": "16/25",
        "grid_units": "snippets",
        "grid_detections": "cut",
        "ambiguous": "drop-fp",
        "ambiguous_file": str(intervals),
        "exclude_videos": str(excluded),
        "exclude_class": "jump",
        "unknown_videos": "ignore",
        "unknown_labels": "ignore",
        "invalid_detections": "swap",
        "nonpositive_gt": "drop",
        "dedup_gt": 0.001,
        "cliff_as_diving": "detections",
        "assume_fps": 30.0,
        "time_scale": 1.2,
        "time_offset": 0.32,
        "end_offset": -0.64,
        "nms": 0.5,
        "length_offset": 1.0,
        "score_norm": "max",
        "max_per_video": 100,
        "video_ap": "interpolated",
    }
    assert list(options) == list(OPTIONS)
    document = json.loads(truth.read_text())
    document["database"]["v"]["fps"] = 25
    truth.write_text(json.dumps(document))
    arguments = words(good, truth, "--json", target)
    for option, value in options.items():
        arguments.append(f"--{option.replace('_', '-')}={value}")
    assert main(arguments) == 0
    protocol = json.loads(target.read_text())["protocol"]
    assert protocol == {
        "name": "thumos14",
        **options,
        "tiou": [0.3, 0.5],
        "exclude_videos": ["w"],
        "exclude_class": ["jump"],
    }


def test_diagnostic_options_are_named_in_every_output(
    files: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, _, truth = files
    target = tmp_path / "eval.json"
    assert main(words(good, truth, "--time-scale", "1.2", "--nms", ".7", "--json", target)) == 0
    line = "Diagnosis only, the detections were changed: time_scale=1.2, nms=0.7."
    assert f"warning: {line}\n" in capsys.readouterr().out
    assert line in json.loads(target.read_text())["warnings"]


def test_the_ceiling_is_two_rows(
    files: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, _, truth = files
    target = tmp_path / "eval.json"
    arguments = words(good, truth, "--ceiling", "--ceiling-grid", "100/25", "--tiou", ".8,.9")
    assert main([*arguments, "--json", str(target)]) == 0
    printed = capsys.readouterr().out
    # [0, 10] on a grid of 4 s: outward [0, 12], rounded [0, 8]; [20, 30]: [20, 32] and [20, 32].
    assert re.search(r"instances widened to the grid +100\.00 +0\.00\n", printed)
    assert re.search(r"instances rounded to the grid +100\.00 +0\.00\n", printed)
    baselines = json.loads(target.read_text())["baselines"]
    assert list(baselines) == ["whole_video", "ceiling_outward", "ceiling_rounded"]


def test_video_scores_of_a_file_replace_those_of_the_result(
    files: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, weak, truth = files
    path = tmp_path / "scores.json"
    for document in ({"v": {"run": 0.9}}, {"video_scores": {"v": {"run": 0.9}}}):
        path.write_text(json.dumps(document))
        assert main(words(good, truth, "--video-scores", path)) == 0
        assert "(video_scores): mAP 50.00" in capsys.readouterr().out
    assert main(words(good, weak, truth, "--video-scores", path)) == 1
    assert "expected one result file" in capsys.readouterr().err
    path.write_text(json.dumps({"v": {"run": None}}))
    assert main(words(good, truth, "--video-scores", path)) == 1
    assert "video 'v', label 'run', score is null" in capsys.readouterr().err


def test_an_analysis_becomes_the_part_errors(files: tuple[Path, Path, Path]) -> None:
    class Counted:
        def __init__(self, ranking: Ranking, truth: Truth, protocol: Protocol) -> None:
            self.figures = [len(ranking.score), len(truth.instances), protocol.name]

        def to_json(self) -> dict[str, Any]:
            return {"figures": self.figures}

        def text(self) -> str:
            return str(self.figures)

    report = run(files[:1], files[2], analyse=Counted)
    assert report.to_json()["errors"] == {"figures": [2, 2, "thumos14"]}


def test_run_gives_a_report_of_every_file(files: tuple[Path, Path, Path]) -> None:
    report = run(files[:2], files[2], protocol="thumos14", ties="first", subset=None)
    assert isinstance(report, Report)
    assert [e.map[0] for e in report.evaluations] == [1.0, 0.5]
    assert report.evaluations[0].protocol.ties == "first"
    with pytest.raises(EvalError, match="No result file"):
        run([], files[2])


def test_written_detections_read_back_to_the_same_columns(
    files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    document = json.loads(files[0].read_text()) | {"video_scores": {"v": {"run": 0.25}}}
    once = read_detections(document)
    write_detections(once, tmp_path / "copy.json")
    again = read_detections(tmp_path / "copy.json")
    assert (again.videos, again.labels) == (once.videos, once.labels)
    assert again.video_scores == once.video_scores
    for name in ("video", "label", "start", "end", "score"):
        assert getattr(again, name).tolist() == getattr(once, name).tolist()


def test_frames_hold_percent(files: tuple[Path, Path, Path]) -> None:
    report = run(files[:2], files[2], tiou=".1:.1:.7")
    frame = summary_frame(report.evaluations)
    assert list(frame.index) == ["good.json", "weak.json", "mean", "sd"]
    assert frame.loc["mean", "0.1:0.7"] == 75.0
    classes = class_frame(report.evaluations[1])
    assert classes.loc["run", ("AP", "0.5")] == 100.0
    assert classes.loc["jump", ("", "detections")] == 0


def test_control_characters_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label = "\x1b[31mred\ud800"
    rows = [{"label": label, "segment": [0, 10]}]
    database = {"v": {"subset": "Test", "annotations": rows}}
    (tmp_path / "truth.json").write_text(json.dumps({"version": label, "database": database}))
    (tmp_path / "found.json").write_text(json.dumps({"results": {"v": [rows[0] | {"score": 1}]}}))
    arguments = words(tmp_path / "found.json", tmp_path / "truth.json", "--per-class")
    assert main(arguments) == 0
    assert capsys.readouterr().out.replace("\n", "").isprintable()


def in_a_fresh_interpreter(code: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_the_package_loads_neither_numpy_nor_pandas_nor_torch() -> None:
    heavy = "{'numpy', 'pandas', 'torch', 'wtal', 'wtal_features'} & set(sys.modules)"
    assert in_a_fresh_interpreter(f"import sys, wtal_eval; print({heavy})") == "set()"
    everything = "from wtal_eval import evaluate, run; import wtal_eval.command"
    assert in_a_fresh_interpreter(f"import sys; {everything}; print({heavy})") == "{'numpy'}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--versus", "GOOD", "--errors"], "--versus prints one table and nothing of --errors"),
        (["--versus", "GOOD", "--per-class", "--ceiling"], "nothing of --per-class, --ceiling"),
        (["--versus", "GOOD", "--plots", "p"], "nothing of --plots"),
        (["--versus", "GOOD", "--video-scores", "x"], "nothing of --video-scores"),
        (["--compare-protocols", "--errors", "--plots", "p"], "nothing of --errors, --plots"),
        (["--compare-protocols", "--ceiling"], "--compare-protocols prints one table"),
        (["--compare-protocols", "--versus", "GOOD"], "ask for one of them"),
        (["--versus", "GOOD", "--seed", "-1"], "--seed) is -1; expected 0 or more"),
        (["--versus", "GOOD", "--resamples", "1000000000000"], "--resamples) is 1000000000000"),
        (["--seed", "3"], "--seed does nothing without --versus"),
        (["--resamples", "3"], "--resamples does nothing without --versus"),
        (["--error-ties", "own"], "--error-ties does nothing without --errors or --plots"),
        (["--ceiling-grid", "16/30"], "--ceiling-grid does nothing without --ceiling"),
        (["--length-offset", "1"], "--length-offset does nothing without --nms"),
        (["--grid-units", "snippets"], "--grid-units does nothing without --grid"),
        (["--grid", "16/25", "--grid-detections", "cut"], "--grid-detections does nothing without"),
        (["--ambiguous-file", "x"], "--ambiguous-file does nothing without --ambiguous drop-fp"),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused(
    files: tuple[Path, Path, Path],
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    given = [str(files[0]) if word == "GOOD" else word for word in options]
    assert main(words(files[1], files[2], *given)) == 1
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_quiet_prints_nothing_and_verbose_every_count(
    files: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(files[0], files[2], "-q")) == 0
    assert capsys.readouterr().out == ""
    assert main(words(files[0], files[2], "-v")) == 0
    assert "good.json: videos 1, instances 2, classes 2, " in capsys.readouterr().out


def test_a_warning_names_its_file_where_not_all_give_it(
    files: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(*files)) == 0
    printed = capsys.readouterr().out
    silent = "warning: 1 class has no detection ('jump'); its AP of 0 stays in the mean."
    assert f"{silent} [weak.json]" in printed
    assert main(words(files[1], files[2])) == 0
    assert "stays in the mean.\n" in capsys.readouterr().out


def test_tables_per_class_have_a_blank_line_between_them(
    files: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(files[0], files[2], "--per-class")) == 0
    assert "\n\nrecall (%) per class, good.json\n" in capsys.readouterr().out


def test_every_public_name_is_there() -> None:
    for name in wtal_eval.__all__:
        assert getattr(wtal_eval, name) is not None
    assert set(wtal_eval.__all__) == set(dir(wtal_eval))
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        _ = wtal_eval.evaluat


def test_the_version_is_that_of_the_project() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    assert tomllib.loads(project.read_text())["project"]["version"] == wtal_eval.__version__
