"""The text files of the THUMOS14 evalkit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wtal_eval import EvalError, evaluate, read_annotations, read_detections
from wtal_eval.text_files import THUMOS14_CLASSES, read_intervals


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """Two classes with numbers of their own; Windows newlines, last lines without newline."""
    folder = tmp_path / "kit"
    folder.mkdir()
    (folder / "detclasslist.txt").write_bytes(b"1 Run\r\n2 Jump")
    (folder / "Run_test.txt").write_bytes(b"w  0.0 10.0\r\nv  5 15\r\n")
    (folder / "Jump_test.txt").write_bytes(b"v.mp4  20.0\t30")
    (folder / "Ambiguous_test.txt").write_bytes(b"v  40 50\r\n\r\nu  0 1")
    (folder / "Run_val.txt").write_bytes(b"x  1 2\n")
    (folder / "Jump_val.txt").write_bytes(b"x  3 4\n")
    return folder


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "found"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_folder_of_annotations_is_read_class_by_class(kit: Path) -> None:
    found = read_annotations(kit)
    assert found.labels == ("Run", "Jump", "Ambiguous")
    assert found.videos == ("u", "v", "w", "x")
    assert found.subsets == ("test", "test", "test", "validation")
    rows = [
        (found.videos[v], found.labels[c], s, e)
        for v, c, s, e in zip(
            found.video.tolist(),
            found.label.tolist(),
            found.start.tolist(),
            found.end.tolist(),
            strict=True,
        )
    ]
    assert rows[:5] == [
        ("w", "Run", 0, 10),
        ("v", "Run", 5, 15),
        ("v", "Jump", 20, 30),
        ("v", "Ambiguous", 40, 50),
        ("u", "Ambiguous", 0, 1),
    ]


def test_text_detections_and_a_folder_are_evaluated_with_the_numbers_of_its_list(
    kit: Path, tmp_path: Path
) -> None:
    text = "v.mp4 20 30 2 .9\r\nw.mpeg\t0  10 1 .8\n\nv 5 15 1 .7\nv 0 1 9 .5\nv 0 1 0 .5"
    found = evaluate(written(tmp_path, text), kit, "thumos14-evalkit")
    assert found.map == (1.0,) * 14
    assert found.counts["detections_read"] == 3
    assert found.counts["videos"] == 3
    line = "2 detections of class numbers outside the class list were dropped (0, 9)."
    assert line in found.warnings
    assert found.headline == ("@0.5", 1.0)


def test_text_detections_and_a_json_annotation_use_the_numbers_of_thumos14(tmp_path: Path) -> None:
    assert len(THUMOS14_CLASSES) == 20
    assert list(THUMOS14_CLASSES.values()) == sorted(THUMOS14_CLASSES.values())
    row = {"label": "Diving", "segment": [0, 10]}
    truth = {"database": {"v": {"subset": "test", "annotations": [row]}}}
    found = evaluate(written(tmp_path, "v.mp4 0 10 26 .9"), truth)
    assert found.map[-1] == 1.0
    one = evaluate(written(tmp_path, "v 0 10 26 .9\nv 0 10 1 .9"), truth)
    assert "1 detection of a class number outside the class list was dropped (1)." in one.warnings


def test_json_detections_and_a_folder_fit_together(kit: Path) -> None:
    rows = [{"label": "Run", "segment": [5, 15], "score": 1}]
    assert evaluate({"results": {"v": rows}}, kit).map[0] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("v 0 1 7 .5\nv 0 1 7", "line 2, number of fields is 4, expected 5: video start end"),
        ("v 0 1 7 .5 x", "line 1, number of fields is 6"),
        ("v 0 1 7 nan", "line 1, score is 'nan', expected a finite number"),
        ("\n\nv inf 1 7 .5", "line 3, start is 'inf', expected a finite number"),
        ("v 0 soon 7 .5", "line 1, end is 'soon', expected a finite number"),
        ("v 0 1 Run .5", "line 1, classid is 'Run', expected a whole number"),
        ("v 0 1 7.5 .5", "line 1, classid is '7.5', expected a whole number"),
        (b"v 0 1 7 .5\n\xff", "byte 11 is not UTF-8"),
        ("v 0 1 7 .5\nv 3 2 7 .5", "line 2, segment is [3.0, 2.0], expected start <= end"),
    ],
)
def test_a_fault_in_text_is_named_with_its_line(
    tmp_path: Path, text: str | bytes, words: str
) -> None:
    row = {"label": "BaseballPitch", "segment": [0, 10]}
    truth = {"database": {"v": {"subset": "test", "annotations": [row]}}}
    with pytest.raises(EvalError) as caught:
        evaluate(written(tmp_path, text), truth)
    assert str(caught.value).startswith(str(tmp_path / "found"))
    assert words in str(caught.value)


def test_lines_reversed_in_text_follow_the_option(tmp_path: Path, kit: Path) -> None:
    path = written(tmp_path, "v 15 5 1 .9\nw 0 10 1 .8\nv 20 30 2 .7")
    assert evaluate(path, kit, "thumos14-evalkit").map[0] == 1.0
    with pytest.raises(EvalError, match="line 1, segment is"):
        evaluate(path, kit, "thumos14")


def test_text_where_annotations_belong_is_recognized(tmp_path: Path, kit: Path) -> None:
    path = written(tmp_path, "v 0 1 7 .5")
    with pytest.raises(EvalError, match=r"is text, such as evalkit detections; .* swapped"):
        read_annotations(path)
    with pytest.raises(EvalError, match="is a folder; expected a result file"):
        read_detections(kit)


def test_a_class_of_the_list_needs_instances(kit: Path) -> None:
    (kit / "Jump_test.txt").unlink()
    with pytest.raises(EvalError, match=r"Jump_test\.txt is missing; .* lists 'Jump'"):
        read_annotations(kit)
    (kit / "Jump_test.txt").write_text("\n \n")
    with pytest.raises(EvalError, match=r"Jump_test\.txt is empty"):
        read_annotations(kit)


def test_a_kit_may_hold_one_subset_only(kit: Path) -> None:
    for path in kit.glob("*_val.txt"):
        path.unlink()
    assert set(read_annotations(kit).subsets) == {"test"}
    for path in kit.glob("*_test.txt"):
        path.unlink()
    with pytest.raises(EvalError, match=r"no <Class>_test\.txt and no <Class>_val\.txt"):
        read_annotations(kit)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 Run\n2", "line 2, it is '2', expected a number and a class"),
        ("1 Run\n1 Jump", "line 2, it is '1 Jump', expected each number and class once"),
        ("1 ../Run", "line 1, class is '../Run', expected the first part of a file's name"),
        ("1 Ambiguous", "line 1, class is 'Ambiguous'"),
        ("one Run", "line 1, it is 'one Run', expected a number and a class"),
    ],
)
def test_a_fault_in_the_class_list_is_named(kit: Path, text: str, words: str) -> None:
    (kit / "detclasslist.txt").write_text(text)
    with pytest.raises(EvalError) as caught:
        read_annotations(kit)
    assert words in str(caught.value)


def test_a_fault_in_a_class_file_is_named(kit: Path) -> None:
    (kit / "Run_test.txt").write_text("v 0 1\nv 0\nw 0 x")
    with pytest.raises(EvalError) as caught:
        read_annotations(kit)
    assert "Run_test.txt: line 2, number of fields is 2, expected 3" in str(caught.value)
    assert "line 3, end is 'x'" in str(caught.value)
    (kit / "Run_test.txt").write_text("x 0 1")
    with pytest.raises(EvalError, match="video 'x' is in subset 'test' and in 'validation'"):
        read_annotations(kit)


def test_intervals_of_a_file_are_used_beside_those_of_the_annotation(
    kit: Path, tmp_path: Path
) -> None:
    path = tmp_path / "Ambiguous_more.txt"
    path.write_text("v.mp4 60 70\nv 80 90")
    assert read_intervals(path) == {"v": [(60, 70), (80, 90)]}
    text = "v 41 42 1 .9\nv 61 62 1 .9\nv 5 15 1 .8\nw 0 10 1 .8\nv 20 30 2 .8"
    detections = written(tmp_path, text)
    alone = evaluate(detections, kit, "thumos14-evalkit")
    assert (alone.counts["detections_ambiguous"], alone.map[0] < 1) == (1, True)
    both = evaluate(detections, kit, "thumos14-evalkit", ambiguous_file=path)
    assert (both.counts["detections_ambiguous"], both.map[0]) == (2, 1.0)
    with pytest.raises(EvalError, match=r"absent\.txt cannot be read"):
        evaluate(detections, kit, "thumos14-evalkit", ambiguous_file=tmp_path / "absent.txt")


def test_the_content_tells_the_form_and_not_the_name(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(json.dumps({"results": {"v": []}}))
    assert read_detections(tmp_path / "a.txt").videos == ("v",)
    (tmp_path / "b.json").write_text("v 0 1 7 .5")
    assert read_detections(tmp_path / "b.json").labels == ("BaseballPitch",)
