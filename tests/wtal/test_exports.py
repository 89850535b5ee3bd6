"""`wtal export` as a command: what is chosen, refused, kept apart and said."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.wtal.exporting import export, sentence, write_results
from wtal.exports import FORMATS
from wtal.exports.folder import MARKER
from wtal.runs import DETECTIONS_FILE

TOY = {
    "a": [("jump", 1.0, 2.5, 0.9), ("run", 2.0, 4.0, 0.25), ("jump", 5.0, 6.0, 0.5)],
    "b": [("run", 0.0, 1.0, 0.7)],
    "quiet": [],
}
FPS = {"labelstudio", "edl", "otio"}
TEXT = [name for name, form in FORMATS.items() if form.needs != "videos"]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_results(tmp_path / "d.json", TOY)


def table(path: Path) -> list[tuple[str, str, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [(row["video"], row["label"], float(row["score"])) for row in csv.DictReader(file)]


def options(name: str) -> tuple[str, ...]:
    return ("--to", name, *(("--fps", "25") if name in FPS else ()))


def files_of(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_the_help_names_every_format() -> None:
    shown = " ".join(export("--help").split())
    assert all(name in shown for name in FORMATS)


@pytest.mark.parametrize("name", TEXT)
def test_each_format_goes_beside_the_input_and_says_how_much(name: str, results: Path) -> None:
    said = export(results, *options(name))
    target = results.parent / f"d-{name}{'' if FORMATS[name].folder else FORMATS[name].suffix}"
    assert said == (
        f"{target}: 4 detections of 3 videos, all there are; --above or --top thins them.\n"
    )
    if FORMATS[name].folder:
        assert files_of(target) == {f"{video}{FORMATS[name].suffix}" for video in TOY}
    else:
        assert target.is_file()


@pytest.mark.parametrize("name", TEXT)
@pytest.mark.parametrize("videos", [{}, {"quiet": []}])
def test_no_detection_at_all_gives_valid_files(
    name: str, videos: dict[str, Any], tmp_path: Path
) -> None:
    results = write_results(tmp_path / "d.json", videos)
    said = export(results, *options(name))
    assert said.endswith(f": 0 detections of {'1 video' if videos else '0 videos'}.\n")


@pytest.mark.parametrize("name", TEXT)
def test_the_same_input_gives_the_same_bytes(name: str, results: Path, tmp_path: Path) -> None:
    found = []
    for folder in ("one", "two"):
        out = tmp_path / folder / f"x{FORMATS[name].suffix}"
        export(results, *options(name), "--out", out, "-q")
        paths = sorted(out.rglob("*")) if out.is_dir() else sorted(out.parent.iterdir())
        found.append([path.read_bytes() for path in paths if not path.name.startswith(".")])
    assert found[0] == found[1] != []


def test_a_run_folder_stands_for_its_result_file(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert f"{run} has no {DETECTIONS_FILE}" in sentence(run, "--to", "csv")
    write_results(run / DETECTIONS_FILE, TOY)
    export(run, "--to", "csv")
    assert len(table(run / "detections-csv.csv")) == 4


def test_above_top_and_class_choose_together(results: Path) -> None:
    out = results.parent / "x.csv"
    export(results, "--to", "csv", "--out", out, "--above", "0.5")
    assert table(out) == [("a", "jump", 0.9), ("a", "jump", 0.5), ("b", "run", 0.7)]
    export(results, "--to", "csv", "--out", out, "--top", "1")
    assert table(out) == [("a", "jump", 0.9), ("b", "run", 0.7)]
    export(results, "--to", "csv", "--out", out, "--class", "run", "--class", "jump", "--top", "2")
    assert table(out) == [("a", "jump", 0.9), ("a", "jump", 0.5), ("b", "run", 0.7)]
    export(results, "--to", "csv", "--out", out, "--class", "run")
    assert table(out) == [("a", "run", 0.25), ("b", "run", 0.7)]


def test_of_equal_scores_top_takes_the_first_of_the_file(tmp_path: Path) -> None:
    results = write_results(tmp_path / "d.json", {"a": [("x", 5, 6, 0.5), ("y", 1, 2, 0.5)]})
    export(results, "--to", "csv", "--top", "1")
    assert table(tmp_path / "d-csv.csv") == [("a", "x", 0.5)]


def test_a_segment_ends_where_its_video_does_and_one_behind_it_is_left_out_aloud(
    tmp_path: Path,
) -> None:
    rows = [("x", -1, 2, 0.9), ("x", 8, 99, 0.8), ("x", 12, 13, 0.7), ("x", -3, -2, 0.6)]
    results = write_results(tmp_path / "d.json", {"a": rows})
    entry = {"subset": "test", "duration": 10.0, "annotations": []}
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"database": {"a": entry}}), encoding="utf-8")
    out = tmp_path / "a.otio"
    said = export(results, "--to", "otio", "--fps", 25, "--annotations", truth, "--out", out)
    assert "2 detections outside the video left out" in said
    (track,) = json.loads(out.read_text())["tracks"]["children"]
    ranges = [marker["marked_range"] for marker in track["children"][0]["markers"]]
    assert [r["start_time"]["value"] for r in ranges] == [0, 200]
    assert [r["duration"]["value"] for r in ranges] == [50, 50]
    assert track["children"][0]["source_range"]["duration"]["value"] == 250


def test_annotations_go_beside_the_detections(results: Path, tmp_path: Path) -> None:
    instance = {"label": "jump", "segment": [1, 2]}
    entry = {"subset": "test", "duration": 10.0, "annotations": [instance]}
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"database": {"a": entry, "other": entry}}), encoding="utf-8")
    export(results, "--to", "eaf", "--annotations", truth, "--out", tmp_path / "eaf")
    assert files_of(tmp_path / "eaf") == {"a.eaf", "b.eaf", "quiet.eaf"}
    assert "jump (annotated)" in (tmp_path / "eaf" / "a.eaf").read_text(encoding="utf-8")


@pytest.mark.parametrize("fps", ["23.98", "23.976", "24000/1001"])
def test_a_rounded_rate_of_ntsc_means_the_exact_one(fps: str, results: Path) -> None:
    out = results.parent / "a.json"
    export(results, "--to", "labelstudio", "--fps", fps, "--out", out)
    assert {task["data"]["fps"] for task in json.loads(out.read_text())} == {24000 / 1001}


@pytest.mark.parametrize("video", ["../evil", "/etc/x", "a/b", "..", "con", "x" * 300, "a\x00b"])
@pytest.mark.parametrize("name", ["webvtt", "eaf", "edl"])
def test_a_name_that_leads_elsewhere_is_skipped_and_named(
    name: str, video: str, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    results = write_results(folder / "d.json", {video: TOY["a"], "good": TOY["b"]})
    said = export(results, *options(name), code=1)
    assert "1 video was skipped" in said
    assert "expected a plain file name" in said
    assert files_of(tmp_path) == {"in/d.json", f"in/d-{name}/good{FORMATS[name].suffix}"}
    assert "1 video was skipped" in export(results, *options(name), "--keep-going")


def test_two_names_that_differ_in_case_do_not_share_a_file(tmp_path: Path) -> None:
    results = write_results(tmp_path / "d.json", {"A": TOY["a"], "a": TOY["b"]})
    assert "upper and lower case" in export(results, "--to", "webvtt", code=1)
    assert files_of(tmp_path / "d-webvtt") == {"A.vtt"}


def test_a_folder_of_something_else_is_refused_untouched(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    assert "'thesis.txt'" in sentence(results, "--to", "webvtt", "--out", out)
    assert files_of(out) == {"thesis.txt"}
    file = tmp_path / "file"
    file.write_text("mine")
    assert "is a file" in sentence(results, "--to", "webvtt", "--out", file)


def test_exports_to_one_folder_replace_each_other_and_never_mix(
    results: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export(results, "--to", "webvtt", "--out", out)
    (out / "notes.txt").write_text("mine")
    fewer = write_results(tmp_path / "fewer.json", {"b": TOY["b"], "new": TOY["a"]})
    export(fewer, "--to", "webvtt", "--out", out)
    assert files_of(out) == {"b.vtt", "new.vtt", "notes.txt"}
    assert "an export to webvtt" in sentence(results, "--to", "eaf", "--out", out)


def test_files_of_an_export_that_was_killed_are_not_left_behind(
    results: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / MARKER).write_text('"webvtt"\n"half.vtt"\n"cut off')
    (out / "half.vtt").write_text("WEBVTT")
    export(results, "--to", "webvtt", "--out", out)
    assert files_of(out) == {"a.vtt", "b.vtt", "quiet.vtt"}


def test_a_folder_of_an_export_that_was_killed_before_it_began_is_taken(
    results: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".wtal-tmp-0123456789abcdef").write_bytes(b"half a marker")
    export(results, "--to", "webvtt", "--out", out)
    assert not list(out.glob(".wtal-tmp-*"))


def test_a_marker_that_somebody_wrote_removes_nothing_outside(
    results: Path, tmp_path: Path
) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    out.mkdir()
    other.mkdir()
    (other / "mine.vtt").write_text("mine")
    (out / "link").symlink_to(other)
    names = ["webvtt", "../other/mine.vtt", "link/mine.vtt", str(other / "mine.vtt"), ".."]
    (out / MARKER).write_text("".join(json.dumps(name) + "\n" for name in names))
    export(results, "--to", "webvtt", "--out", out)
    assert (other / "mine.vtt").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("--to", "webvt"), "Did you mean webvtt"),
        (("--to", "edl"), "needs --videos FOLDER, or --fps"),
        (("--to", "clips"), "needs --videos FOLDER"),
        (("--to", "csv", "--padding", "1"), "--padding goes with --to clips, not csv"),
        (("--to", "csv", "--annotations", "x"), "goes with --to eaf or labelstudio or otio"),
        (("--to", "edl", "--fps", "zero"), "--fps is 'zero'"),
        (("--to", "edl", "--fps", "1/0"), "--fps is '1/0'"),
        (("--to", "edl", "--fps", "nan"), "--fps is 'nan'"),
        (("--to", "edl", "--fps", "25", "--timecode", "25:00:00:00"), "HH:MM:SS:FF"),
        (("--to", "edl", "--fps", "25", "--timecode", "1:00"), "HH:MM:SS:FF"),
        (("--to", "csv", "--above", "nan"), "--above is nan"),
        (("--to", "csv", "--class", "jumb"), "Did you mean 'jump'"),
        (("--to", "csv", "--out", "x.txt"), "ends in .csv"),
        (("--to", "labelstudio", "--fps", "25", "--out", "INPUT"), "is read by this export"),
    ],
)
def test_what_cannot_be_is_one_sentence_with_what_may(
    words: tuple[str, ...], match: str, results: Path
) -> None:
    given = [str(results) if word == "INPUT" else word for word in words]
    assert match in sentence(results, *given)


def test_an_export_of_text_does_not_wait_for_torch_and_codecs() -> None:
    code = "import sys, wtal.exports; print({'torch', 'av', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_segment_that_ends_before_it_starts_is_named(tmp_path: Path) -> None:
    results = write_results(tmp_path / "d.json", {"a": [("x", 3, 2, 0.5)]})
    assert "start <= end" in sentence(results, "--to", "csv")


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text('{"database": {}}')
    assert "swapped" in sentence(path, "--to", "csv")
    assert str(tmp_path / "gone.json") in sentence(tmp_path / "gone.json", "--to", "csv")
