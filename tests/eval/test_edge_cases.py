"""What becomes of unusual input: one test for each kind."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wtal_eval import Detections, EvalError, Evaluation, evaluate, read_annotations, read_detections
from wtal_eval.protocols import PRESETS


def instance(start: Any = 0, end: Any = 10, label: Any = "run") -> dict[str, Any]:
    return {"label": label, "segment": [start, end]}


def detection(
    start: Any = 0, end: Any = 10, score: Any = 0.9, label: Any = "run"
) -> dict[str, Any]:
    return {"label": label, "segment": [start, end], "score": score}


def truth(*rows: Any, **others: list[Any]) -> dict[str, Any]:
    """Rows of video v, and of further videos, all in subset test."""
    videos = {"v": list(rows), **others}
    return {"database": {v: {"subset": "test", "annotations": r} for v, r in videos.items()}}


def result(*rows: Any, **others: list[Any]) -> dict[str, Any]:
    return {"results": {"v": list(rows), **others}}


def warned(evaluation: Evaluation, words: str) -> bool:
    return any(words in line for line in evaluation.warnings)


# Files


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \r\n", "is empty"),
        (b'{"results": {"v": [', "at byte 19, the end of the file: is it truncated?"),
        (b'{"results": {"v": []}', "at byte 21, the end of the file: is it truncated?"),
        (b'{"results": {"v": []}} x', "Extra data after the object at byte 23"),
        (b'{"results": {"v" []}}', "Expected ':' at byte 17"),
        (b"{'results': {}}", "Expected a key in double quotes at byte 1"),
        (b'{"r\xc3\xa9sultats": nothing}', "at byte 15"),
        (b"hello", "line 1, number of fields is 1, expected 5: video start end classid score"),
        (b"[]", "Expected a JSON object at byte 0"),
        (b'\xef\xbb\xbf{"results": !', "at byte 15"),
        (b'{"version": "1"}', "key 'results' is missing; found 'version'"),
        (b"{}", "key 'results' is missing; found nothing"),
        (b'{"results": []}', "'results' is [], expected an object with one member per video"),
        (b'{"results": null}', "'results' is null, expected an object"),
        (b"\xff\xfe{}", "byte 0 is not UTF-8"),
        (b'{"results": {"v": ' + b"[" * 100_000, "nested too deep"),
        (b'{"results": {"v": ' + b"9" * 5000 + b"}}", "too many digits at byte 18"),
    ],
)
def test_a_file_that_is_no_result_json_is_named_with_the_byte_or_key(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "found.json"
    path.write_bytes(content)
    with pytest.raises(EvalError) as caught:
        read_detections(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(EvalError, match=r"absent\.json cannot be read: No such file"):
        read_detections(tmp_path / "absent.json")
    with pytest.raises(EvalError, match=r"is a folder without detclasslist\.txt"):
        read_annotations(tmp_path)
    with pytest.raises(EvalError, match="is a folder; expected a result file; are the two names"):
        read_detections(tmp_path)
    with pytest.raises(EvalError, match="cannot be read"):
        read_annotations("a\0b")


def test_two_swapped_files_are_recognized() -> None:
    with pytest.raises(
        EvalError, match="looks like the annotation file; are the two files swapped"
    ):
        evaluate(truth(instance()), truth(instance()))
    with pytest.raises(EvalError, match="looks like the result file; are the two files swapped"):
        evaluate(truth(instance()), result(detection()))


def test_byte_order_mark_windows_newlines_and_missing_extras_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    text = json.dumps(result(detection()), indent=1).replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert evaluate(path, truth(instance())).map[0] == 1.0


def test_other_keys_are_ignored(tmp_path: Path) -> None:
    database = truth(instance())
    database["database"]["v"] |= {"fps": 30, "url": None}
    database |= {"taxonomy": [[]], "version": 1.3}
    assert evaluate(result(detection()), database).counts["annotation_version"] == "1.3"


def test_a_repeated_key_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "twice.json"
    path.write_text('{"results": {"v": [], "w": [], "v": []}}')
    with pytest.raises(EvalError, match=r"twice\.json: key 'v' is twice in 'results'"):
        read_detections(path)
    path.write_text('{"results": {"v": [{"label": "a", "segment": [0, 1], "label": "b"}]}}')
    with pytest.raises(EvalError, match="key 'label' is twice in an object of 'v'; expected"):
        read_detections(path)
    path.write_text('{"results": {"v": []}, "video_scores": {"v": {"a": 0.5, "b": 1, "a": 1}}}')
    with pytest.raises(EvalError, match="key 'a' is twice in an object of 'video_scores'"):
        read_detections(path)
    entry = '{"subset": "train", "subset": "test", "url": "https://x", "annotations": []}'
    path.write_text(f'{{"database": {{"v": {entry}}}}}')
    with pytest.raises(EvalError, match="key 'subset' is twice in an object of 'v'"):
        read_annotations(path)
    entry = '{"subset": "test", "annotations": []}'
    path.write_text(f'{{"database": {{"v": {entry}, "\\u0076": {entry}}}}}')
    with pytest.raises(EvalError, match=r"key 'v' is twice in 'database'"):
        read_annotations(path)
    path.write_text('{"results": {}, "results": {}}')
    with pytest.raises(EvalError, match="key 'results' is twice in the file"):
        read_detections(path)


# Rows


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (detection(score=math.nan), "detection 1 (from 0), score is nan, expected a finite number"),
        (detection(score=math.inf), "detection 1 (from 0), score is inf"),
        (detection(start=-math.inf), "detection 1 (from 0), start is -inf"),
        (detection(end=math.nan), "detection 1 (from 0), end is nan"),
        (detection(score=None), "score is null, expected a finite number"),
        (detection(score=True), "score is True, expected a finite number"),
        (detection(score="0.9"), "score is '0.9', expected a finite number"),
        (detection(score=10**400), "expected a finite number"),
        (detection(start=None), "segment is [None, 10], expected [start, end], two numbers"),
        (detection(start=False), "segment is [False, 10], expected [start, end]"),
        (detection(start="soon"), "segment is ['soon', 10], expected [start, end]"),
        (detection(start="nan"), "segment is ['nan', 10], expected [start, end]"),
        (detection(start="1_0"), "segment is ['1_0', 10], expected [start, end]"),
        (detection() | {"segment": [1]}, "segment is [1], expected [start, end]"),
        (detection() | {"segment": [1, 2, 3]}, "segment is [1, 2, 3], expected [start, end]"),
        (detection() | {"segment": "12"}, "segment is '12', expected [start, end]"),
        (detection() | {"segment": {"0": 1, "1": 2}}, "expected [start, end]"),
        (detection() | {"segment": None}, "segment is null, expected [start, end]"),
        (detection(label=7), "label is 7, expected text"),
        (detection(label=None), "label is null, expected text"),
        ({"label": "run", "segment": [0, 1]}, "score is missing"),
        ({"label": "run", "score": 1}, "segment is missing"),
        ([0, 1, 0.5], "it is [0, 1, 0.5], expected an object with label, segment, score"),
        (None, "it is null, expected an object"),
    ],
)
def test_a_bad_row_is_named_with_video_place_field_and_value(row: Any, words: str) -> None:
    with pytest.raises(EvalError) as caught:
        evaluate(result(detection(), row), truth(instance()))
    assert str(caught.value).startswith("detections: video 'v', detection 1 (from 0)")
    assert words in str(caught.value)


def test_at_most_five_faults_are_shown_with_their_number() -> None:
    with pytest.raises(EvalError) as caught:
        evaluate(result(*[detection(score=None)] * 12), truth(instance()))
    assert str(caught.value).count("score is null") == 5
    assert str(caught.value).endswith("(5 of 12 faults shown)")
    with pytest.raises(EvalError, match=r"\(5 of 7 faults shown\)"):
        evaluate(result(*[detection(score=math.nan)] * 7), truth(instance()))


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(EvalError) as caught:
        evaluate(result(detection(score="x" * 10**6)), truth(instance()))
    assert len(str(caught.value)) < 300


def test_a_message_that_quotes_many_or_long_names_is_cut() -> None:
    database = truth(instance())
    database["database"]["v"]["subset"] = "x" * 10**6
    with pytest.raises(EvalError, match=r"subset 'test' is not there; .*xx\.\.\. \(1 videos"):
        evaluate(result(detection()), database)
    for i in range(500):
        database["database"][f"v{i}"] = {"subset": f"part {i}", "annotations": []}
    with pytest.raises(EvalError, match=r"subset 'test' is not there; .*\.\.\.$") as caught:
        evaluate(result(detection()), database)
    assert len(str(caught.value)) == 2000


def test_a_list_of_detections_that_is_no_list_is_an_error() -> None:
    with pytest.raises(EvalError, match="video 'v', its detections is 5, expected a list"):
        evaluate({"results": {"v": 5}}, truth(instance()))
    with pytest.raises(EvalError, match="expected a list"):
        evaluate({"results": {"v": {"label": "run"}}}, truth(instance()))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ([], "its entry is [], expected an object"),
        ({"annotations": []}, "subset is missing"),
        ({"subset": "test"}, "annotations is missing"),
        ({"subset": None, "annotations": []}, "subset is null, expected text"),
        ({"subset": "test", "annotations": None}, "its instances is null, expected a list"),
        ({"subset": "test", "annotations": [], "duration": "long"}, "duration is 'long'"),
        ({"subset": "test", "annotations": [], "duration": True}, "duration is True"),
        ({"subset": "test", "annotations": [instance(end=None)]}, "instance 0 (from 0), segment"),
        ({"subset": "test", "annotations": [instance(end=math.nan)]}, "end is nan"),
    ],
)
def test_a_bad_annotation_is_named(entry: Any, words: str) -> None:
    with pytest.raises(EvalError) as caught:
        evaluate(result(detection()), {"database": {"w": entry}})
    assert "video 'w'" in str(caught.value)
    assert words in str(caught.value)


def test_segments_as_numeric_strings_are_accepted() -> None:
    rows = result(detection("18.6", "24.8"), detection(0, "1e0"))
    strings = evaluate(rows, truth(instance("18.6", "24.8"), instance(0, 1)))
    assert strings.map[-1] == 1.0


def test_numbers_of_numpy_are_accepted_in_mappings() -> None:
    rows = result(detection(np.float32(0), np.int64(10), np.float32(0.5)))
    rows["results"]["v"].append(detection() | {"segment": np.array([20.0, 30.0])})
    assert evaluate(rows, truth(instance(), instance(20, 30))).map[-1] == 1.0


def test_columns_that_do_not_fit_together_are_refused() -> None:
    columns: dict[str, Any] = {
        "videos": ("v",),
        "labels": ("run",),
        "video": np.array([0]),
        "label": np.array([0]),
        "start": np.array([0.0]),
        "end": np.array([1.0]),
        "score": np.array([0.5]),
    }
    assert len(Detections(**columns)) == 1
    with pytest.raises(EvalError, match="label codes run from 1 to 1; expected 0 to 0"):
        Detections(**columns | {"label": np.array([1])})
    with pytest.raises(EvalError, match="videos names 'v' twice"):
        Detections(**columns | {"videos": ("v", "w", "v")})
    with pytest.raises(EvalError, match="score has type float64 and shape"):
        Detections(**columns | {"score": np.array([0.5, 0.5])})
    with pytest.raises(EvalError, match="end has type float32"):
        Detections(**columns | {"end": np.array([1], np.float32)})
    with pytest.raises(EvalError, match="expected integer codes"):
        Detections(**columns | {"video": np.array([0.0])})


# Subsets, labels and videos


def test_an_unknown_subset_is_an_error_with_those_present() -> None:
    with pytest.raises(EvalError, match=r"holds 'test' \(2 videos, 1 instances\)"):
        evaluate(result(detection()), truth(instance(), w=[]), subset="training")


def test_a_subset_without_any_instance_is_an_error() -> None:
    with pytest.raises(EvalError, match="subset 'test' holds no instance"):
        evaluate(result(detection()), truth())


@pytest.mark.parametrize(
    ("written", "asked"),
    [("Test", "test"), ("testing", "test"), ("train", "Training"), ("val", "validation")],
)
def test_a_subset_under_another_name_is_found_with_a_note(written: str, asked: str) -> None:
    database = truth(instance())
    database["database"]["v"]["subset"] = written
    found = evaluate(result(detection()), database, subset=asked)
    assert found.map[0] == 1.0
    assert warned(found, f"Subset {written!r} of the annotation file is used for {asked!r}")


def test_the_exact_name_of_a_subset_goes_first() -> None:
    database = truth(instance())
    database["database"]["w"] = {"subset": "Test", "annotations": [instance()]}
    found = evaluate(result(detection()), database)
    assert found.counts["videos"] == 1
    assert not warned(found, "Subset")


def test_no_detections_at_all_is_an_ap_of_zero_with_a_warning() -> None:
    documents: list[dict[str, Any]] = [{"results": {}}, result()]
    for document in documents:
        found = evaluate(document, truth(instance()))
        assert set(found.map) == {0.0}
        assert warned(found, "No detections")
        assert found.video_level is None


def test_a_class_without_detections_stays_in_the_mean() -> None:
    found = evaluate(result(detection()), truth(instance(), instance(20, 30, "jump")))
    assert found.map[0] == 0.5
    assert warned(found, "1 class has no detection ('jump'); its AP")
    many = [instance(20, 30, f"class {i}") for i in range(8)]
    found = evaluate(result(detection()), truth(instance(), *many))
    assert warned(found, "8 classes have no detection ('class 0', 'class 1', ")
    assert warned(found, "'class 4' and 3 more); their AP of 0")


def test_an_unknown_label_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(EvalError, match=r"label 'rum' .* did you mean 'run'") as caught:
        evaluate(result(detection(label="rum")), truth(instance()))
    assert "unknown_labels=ignore" in str(caught.value)
    rows = result(detection(label="rum"), detection())
    found = evaluate(rows, truth(instance()), unknown_labels="ignore")
    assert found.map[0] == 1.0
    assert warned(found, "1 detection of a label unknown")


def test_a_label_without_instances_in_the_subset_is_dropped_from_the_mean() -> None:
    database = truth(instance())
    entry = {"subset": "validation", "annotations": [instance(label="jump")]}
    database["database"]["w"] = entry
    found = evaluate(result(detection(), detection(label="jump")), database)
    assert [one.label for one in found.per_class] == ["run"]
    assert warned(found, "1 detection of a label without instances in this subset")


def test_a_detection_on_a_background_video_is_a_false_positive() -> None:
    rows = result(detection(score=0.5), w=[detection(score=0.9)])
    assert evaluate(rows, truth(instance(), w=[])).map[0] == 0.5
    # The video is known, so there is nothing to ignore.
    assert evaluate(rows, truth(instance(), w=[]), unknown_videos="ignore").map[0] == 0.5


def test_a_detection_on_an_unknown_video_follows_the_option() -> None:
    rows = result(detection(score=0.5), x=[detection(score=0.9)])
    found = evaluate(rows, truth(instance()))
    assert found.map[0] == 0.5
    assert found.counts["detections_unknown_video"] == 1
    ignored = evaluate(rows, truth(instance()), unknown_videos="ignore")
    assert ignored.map[0] == 1.0
    assert ignored.counts["detections_kept"] == 1
    with pytest.raises(EvalError, match="1 of 2 videos are not in the evaluated subset"):
        evaluate(rows, truth(instance()), unknown_videos="error")


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("v_v", "without the prefix 'v_' they are"),
        ("v.mp4", "without the suffix after the last dot they are"),
        ("w", r"1 of them are in subset 'training': subset=training \(--subset training\) eval"),
        ("other", "the annotation's ids look like 'v'"),
    ],
)
def test_mostly_unknown_videos_are_an_error_with_a_cure(name: str, cure: str) -> None:
    database = truth(instance())
    database["database"]["w"] = {"subset": "training", "annotations": [instance()]}
    for rule in ("fp", "ignore", "error"):
        with pytest.raises(EvalError, match=cure):
            evaluate({"results": {name: [detection()]}}, database, unknown_videos=rule)


def test_a_result_with_more_training_videos_than_others_is_told_how_to_leave_them_out() -> None:
    others = {name: {"subset": "training", "annotations": [instance()]} for name in ("w", "x")}
    database = truth(instance())
    database["database"].update(others)
    rows = result(detection(score=0.5), w=[detection()], x=[detection()])
    with pytest.raises(EvalError, match=r"'training': .*--unknown-videos ignore\) evaluates the o"):
        evaluate(rows, database)
    assert evaluate(rows, database, unknown_videos="ignore").map[0] == 1.0


def test_false_positives_that_are_of_another_subset_are_said_with_their_cure() -> None:
    database = truth(instance())
    database["database"]["w"] = {"subset": "training", "annotations": [instance()]}
    rows = result(detection(score=0.5), w=[detection(score=0.9)])
    found = evaluate(rows, database)
    assert found.map[0] == 0.5
    assert warned(found, "1 detection on a video of another subset is a false positive (--unknown")
    # Of a video that is nowhere nothing better is known, and nothing is said.
    stranger = evaluate(result(detection(score=0.5), z=[detection(score=0.9)]), database)
    assert not any("another subset" in text for text in stranger.warnings)


def test_an_added_prefix_is_proposed() -> None:
    database = {"database": {"v_abc": {"subset": "test", "annotations": [instance()]}}}
    with pytest.raises(EvalError, match="with the prefix 'v_' they are"):
        evaluate({"results": {"abc": [detection()]}}, database)


def test_excluded_videos_leave_the_subset() -> None:
    rows = result(detection(score=0.5), w=[detection(score=0.9)])
    found = evaluate(rows, truth(instance(), w=[instance()]), exclude_videos=["w", "x"])
    assert found.counts["videos"] == 1
    assert found.map[0] == 0.5
    assert warned(found, "1 detection on an excluded video is a false positive")
    assert warned(found, "1 excluded video is not in the annotation file")
    for rule in ("ignore", "error"):
        ignored = evaluate(
            rows, truth(instance(), w=[instance()]), exclude_videos=["w"], unknown_videos=rule
        )
        assert ignored.map[0] == 1.0


# Segments


def test_a_reversed_detection_follows_the_option() -> None:
    rows = result(detection(30, 20, 0.95), detection())
    database = truth(instance(), instance(20, 30))
    with pytest.raises(EvalError, match=r"detection 0 \(from 0\), segment is \[30.0, 20.0\]"):
        evaluate(rows, database)
    for rule, ap, words in (
        ("fp", 0.25, "kept as false positives"),
        ("drop", 0.5, "dropped"),
        ("swap", 1.0, "turned round"),
    ):
        found = evaluate(rows, database, invalid_detections=rule, zero_union="no-match")
        assert found.map[0] == ap
        assert warned(found, f"1 detection ends before it starts ({words})")


def test_a_reversed_detection_as_long_as_the_instance_has_a_union_of_zero() -> None:
    rows, database = result(detection(30, 20)), truth(instance())
    assert evaluate(rows, database, invalid_detections="fp").map[-1] == 1.0
    kept = evaluate(rows, database, invalid_detections="fp", zero_union="no-match")
    assert kept.map[0] == 0.0


def test_a_reversed_instance_is_an_error_and_can_be_dropped() -> None:
    database = truth(instance(), instance(9, 3))
    with pytest.raises(
        EvalError, match=r"video 'v', instance 1 \(from 0\), segment is \[9.0, 3.0\]"
    ):
        evaluate(result(detection()), database)
    found = evaluate(result(detection()), database, nonpositive_gt="drop")
    assert found.map[0] == 1.0
    assert warned(found, "1 instance of zero or negative length was dropped")


def test_a_reversed_instance_of_another_subset_does_not_matter() -> None:
    database = truth(instance())
    database["database"]["w"] = {"subset": "training", "annotations": [instance(9, 3)]}
    assert evaluate(result(detection()), database).map[0] == 1.0


def test_a_detection_of_zero_length_is_a_false_positive() -> None:
    found = evaluate(result(detection(5, 5, 0.95), detection()), truth(instance()))
    assert found.map[0] == 0.5
    assert found.counts["detections_zero_length"] == 1
    assert warned(found, "1 detection has zero length")


def test_an_instance_of_zero_length_is_kept_and_unreachable() -> None:
    database = truth(instance(), instance(5, 5))
    found = evaluate(result(detection(), detection(4.9, 5.1, 0.8)), database)
    assert found.map[0] == 0.5
    assert warned(found, "1 instance has zero length")
    assert evaluate(result(detection()), database, nonpositive_gt="drop").map[0] == 1.0


def test_two_empty_segments_match_at_every_threshold_unless_told_otherwise() -> None:
    rows, database = result(detection(3, 3)), truth(instance(5, 5))
    matched = evaluate(rows, database, tiou=(0.5, 1.0))
    assert set(matched.map) == {1.0}
    assert warned(matched, "1 detection has a union of zero with an instance")
    assert warned(matched, "it matches at every threshold (zero_union=match)")
    parted = evaluate(rows, database, zero_union="no-match")
    assert set(parted.map) == {0.0}
    assert warned(parted, "no match (zero_union=no-match)")


def test_a_reversed_detection_as_long_as_an_instance_has_a_union_of_zero_and_a_warning() -> None:
    rows, database = result(detection(14, 4)), truth(instance(0, 10), instance(20, 21))
    found = evaluate(rows, database, invalid_detections="fp")
    assert warned(found, "1 detection has a union of zero")
    other = evaluate(result(detection(14, 5)), database, invalid_detections="fp")
    assert not warned(other, "union of zero")
    assert not warned(evaluate(result(detection(3, 3)), database), "union of zero")


def test_negative_times_and_times_past_the_duration_are_used_and_counted() -> None:
    database = truth(instance(-5, 30))
    database["database"]["v"]["duration"] = "20"
    found = evaluate(result(detection(-5, 30)), database)
    assert found.map[-1] == 1.0
    assert found.counts["detections_before_zero"] == found.counts["instances_before_zero"] == 1
    assert found.counts["detections_past_duration"] == found.counts["instances_past_duration"] == 1


def test_extreme_scores_and_times_are_used_as_they_are() -> None:
    rows = result(
        detection(0, 10, 1e38), detection(20, 30, -5e-324), detection(-1e99, 1e99, -1e308)
    )
    assert evaluate(rows, truth(instance(), instance(20, 30))).map[-1] == 1.0


@pytest.mark.parametrize("preset", PRESETS)
def test_times_whose_lengths_would_overflow_are_refused(preset: str) -> None:
    with pytest.raises(
        EvalError, match=r"detection 0 \(from 0\), end is 1e\+308, .* below 1e\+100 s"
    ):
        evaluate(result(detection(0, 1e308)), truth(instance()), preset, subset="test")
    with pytest.raises(EvalError, match=r"instance 0 \(from 0\), start is -1e\+100, expected"):
        evaluate(result(detection()), truth(instance(-1e100)), preset, subset="test")
    database = truth(instance())
    database["database"]["v"]["duration"] = 1e308
    with pytest.raises(EvalError, match=r"video 'v', duration is 1e\+308, expected below 1e\+100"):
        evaluate(result(detection()), database, preset, subset="test")
    far = evaluate(result(detection(0, 9e99)), truth(instance(0, 9e99)), preset, subset="test")
    assert far.map[0] == 1.0


def test_exact_duplicates_are_counted() -> None:
    rows = result(detection(), detection(), detection(), detection(0, 9))
    found = evaluate(rows, truth(instance(), instance(), instance(0, 9)))
    assert found.counts["detections_duplicate"] == 2
    assert found.counts["instances_duplicate"] == 1


def test_many_tied_scores_are_a_warning() -> None:
    found = evaluate(result(detection(), detection(20, 30)), truth(instance()))
    assert warned(found, "2 of 2 detections share their score with another of their class")
    assert found.counts["detections_tied"] == 2


# Labels and names


def test_ambiguous_is_never_a_class_of_thumos14() -> None:
    database = truth(instance(), instance(20, 30, "Ambiguous"))
    found = evaluate(result(detection(), detection(20, 30, label="Ambiguous")), database)
    assert [one.label for one in found.per_class] == ["run"]
    assert found.counts["instances"] == 1
    assert warned(found, "1 detection of a label without instances in this subset")


def test_ambiguous_is_an_ordinary_class_of_activitynet_with_a_warning() -> None:
    database = truth(instance(), instance(20, 30, "Ambiguous"))
    found = evaluate(result(detection()), database, protocol="activitynet", subset="test")
    assert [one.label for one in found.per_class] == ["Ambiguous", "run"]
    assert warned(found, "1 instance labelled 'Ambiguous' is counted as a class")


def test_strange_names_are_only_text() -> None:
    name = "../../etc/<script>alert(1)</script>\x1b[31m\ud800"
    database = {"database": {name: {"subset": "test", "annotations": [instance(label=name)]}}}
    rows = {"results": {name: [detection(label=name)]}}
    assert evaluate(rows, database).per_class[0].label == name
    rows["results"][name].append(detection(score=None))
    with pytest.raises(EvalError) as caught:
        evaluate(rows, database)
    assert str(caught.value).isprintable()


def test_one_instance_of_one_class_in_one_video_works() -> None:
    found = evaluate(result(detection(0, 5)), truth(instance()), tiou=(0.5, 0.55))
    assert found.map == (1.0, 0.0)


def test_a_label_in_one_video_is_no_candidate_in_another() -> None:
    found = evaluate(result(w=[detection()]), truth(instance(), w=[instance(20, 30)]))
    assert found.map[0] == 0.0


def test_intervals_that_a_preset_asks_for_and_does_not_find_are_a_warning() -> None:
    for protocol in ("thumos14-evalkit", "thumos14-evalkit-2014", "snippet-grid", "wtalc"):
        found = evaluate(result(detection()), truth(instance()), protocol)
        assert warned(found, "asks for Ambiguous intervals, and there are none")
        assert warned(found, "--ambiguous-file")
    assert not warned(evaluate(result(detection()), truth(instance())), "Ambiguous")


def test_raw_proposals_are_a_warning_of_per_instance_matching() -> None:
    rows = [detection(0, 10 + k / 10, 1 - k / 100) for k in range(10)]
    raw = evaluate(result(*rows), truth(instance()), "thumos14-evalkit")
    assert warned(raw, "90 % of the detections overlap a better one of their video and class")
    assert not warned(evaluate(result(*rows), truth(instance())), "overlap a better one")
    once = evaluate(result(*rows), truth(instance()), "thumos14-evalkit", nms=0.5)
    assert not warned(once, "overlap a better one")


def test_a_reversed_instance_may_be_turned_round_as_the_evalkit_does() -> None:
    database = truth(instance(10, 0))
    found = evaluate(result(detection()), database, nonpositive_gt="swap")
    assert found.map[0] == 1.0
    assert warned(found, "1 instance ends before it starts (turned round)")
    kit = evaluate(result(detection(10, 0)), database, "thumos14-evalkit")
    assert kit.map[0] == 1.0


def test_instances_that_repeat_another_within_the_tolerance_can_be_removed() -> None:
    database = truth(
        instance(),
        instance(0.0005, 10),
        instance(0.002, 10),
        instance(label="jump"),
        w=[instance()],
    )
    found = evaluate(result(detection()), database, dedup_gt=1e-3)
    assert found.counts["instances"] == 4
    assert warned(found, "1 instance was removed: it repeats another within 0.001 s")
    assert evaluate(result(detection()), database, dedup_gt=0).counts["instances"] == 5


def test_an_excluded_class_is_not_in_the_mean_and_a_misspelt_one_is_an_error() -> None:
    database = truth(instance(), instance(20, 30, "jump"))
    rows = result(detection(), detection(20, 30, label="jump"))
    found = evaluate(rows, database, exclude_class=["jump"])
    assert [one.label for one in found.per_class] == ["run"]
    assert found.counts["detections_kept"] == 1
    with pytest.raises(EvalError, match=r"exclude_class names 'jumb', .* did you mean 'jump'"):
        evaluate(rows, database, exclude_class=["jumb"])
