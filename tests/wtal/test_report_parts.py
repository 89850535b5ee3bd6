"""The parts of `wtal report` by themselves: choice, curves, judging, costs, what is not told."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wtal.calibration import Calibration
from wtal.errors import WtalError
from wtal.report.choice import SHOWN_PER_VIDEO, choose
from wtal.report.costs import METRICS_FILE, training_cost
from wtal.report.curves import POINTS, pooled, quantised
from wtal.report.data import Curves, Index, VideoRow
from wtal.report.judging import choose_rules, error_shares, reliability_of
from wtal.report.privacy import without_folders
from wtal.report.words import Words, named_results
from wtal_eval import Annotations, Detections, evaluate, read_annotations, read_detections
from wtal_eval.errors import analyse
from wtal_eval.protocols import PRESETS

Rows = list[tuple[str, str, float, float, float]]  # video, label, start, end, score


def detections_of(rows: Rows, empty: tuple[str, ...] = ()) -> Detections:
    results: dict[str, list[object]] = {video: [] for video in empty}
    for video, label, start, end, score in rows:
        row = {"label": label, "segment": [start, end], "score": score}
        results.setdefault(video, []).append(row)
    return read_detections({"results": results})


def annotations_of(
    spans: dict[str, list[tuple[str, float, float]]], subset: str = "test"
) -> Annotations:
    return read_annotations(
        {
            "database": {
                video: {
                    "subset": subset,
                    "duration": 100.0,
                    "annotations": [
                        {"label": label, "segment": [start, end]} for label, start, end in rows
                    ],
                }
                for video, rows in spans.items()
            }
        }
    )


# -- choice ---------------------------------------------------------------------------------------


def test_detections_lie_by_video_and_then_by_start() -> None:
    rows: Rows = [("b", "x", 5, 6, 0.1), ("a", "y", 3, 4, 0.2), ("b", "x", 1, 2, 0.3)]
    found = choose(
        detections_of(rows), ["a", "b", "none"], ["x", "y"], {}, top=9, calibration=None
    ).found
    assert found.first == (0, 1, 3, 3)
    assert found.classes_N.tolist() == [1, 0, 0]
    assert found.starts_N.tolist() == [3, 1, 5]
    assert found.scores_N.tolist() == [0.2, 0.3, 0.1]


def test_a_detection_ends_where_its_video_does_and_one_behind_it_is_counted_out() -> None:
    rows: Rows = [("a", "x", -1, 2, 0.9), ("a", "x", 8, 99, 0.8), ("a", "x", 12, 13, 0.7)]
    rows += [("a", "x", -3, -2, 0.6), ("elsewhere", "x", 50, 60, 0.6)]
    choice = choose(detections_of(rows), ["a"], ["x"], {"a": 10.0}, top=9, calibration=None)
    assert choice.found.starts_N.tolist() == [0, 8]
    assert choice.found.ends_N.tolist() == [2, 10]
    assert (choice.outside, choice.cut) == (2, 0)


def test_of_equal_scores_the_first_of_the_file_stays() -> None:
    rows: Rows = [("a", "x", 7, 8, 0.5), ("a", "x", 1, 2, 0.5), ("a", "x", 4, 5, 0.6)]
    choice = choose(detections_of(rows), ["a"], ["x"], {}, top=2, calibration=None)
    assert choice.found.starts_N.tolist() == [4, 7]
    assert choice.cut == 1


def test_no_detection_at_all_is_an_empty_choice() -> None:
    for names in ([], ["quiet"]):
        choice = choose(
            detections_of([], ("quiet",)),
            names,
            [],
            {},
            top=9,
            calibration=Calibration((0,), (1,), 0),
        )
        assert len(choice.found.scores_N) == choice.cut == choice.outside == 0
        assert choice.found.first == (0,) * (len(names) + 1)
    assert choose(detections_of([]), [], [], {}, top=9, calibration=None).threshold == 0


SCORES = st.lists(st.floats(-3, 3, allow_subnormal=False), min_size=1, max_size=40)


@given(SCORES, st.integers(1, 50), st.sampled_from([None, Calibration((-1, 2), (0, 1), 0.5)]))
def test_the_number_at_any_threshold_is_a_plain_count(
    scores: list[float], top: int, calibration: Calibration | None
) -> None:
    rows: Rows = [(f"v{i % 3}", "x", i, i + 1, score) for i, score in enumerate(scores)]
    names = ["v0", "v1", "v2"]
    choice = choose(detections_of(rows), names, ["x"], {}, top=top, calibration=calibration)
    kept: list[float] = []
    for v in range(3):
        kept += sorted(scores[v::3], reverse=True)[:top]
    shown = kept if calibration is None else calibration.confidence(np.array(kept)).tolist()
    if calibration is None and 0 < max(map(abs, kept)) < 0.1:
        return  # rounded to more digits, see `digits_of`
    plain = np.array(shown).round(4)
    for threshold in (*plain, choice.threshold, 0.25):
        assert (choice.found.scores_N >= threshold).sum() == (plain >= threshold).sum()


def test_the_slider_starts_at_five_detections_a_video_without_a_calibration() -> None:
    rows: Rows = [("ab"[i % 2], "x", i, i + 1, i / 100) for i in range(60)]
    choice = choose(detections_of(rows), ["a", "b"], ["x"], {}, top=99, calibration=None)
    assert (choice.found.scores_N >= choice.threshold).sum() == 2 * SHOWN_PER_VIDEO
    few = choose(detections_of(rows[:3]), ["a", "b"], ["x"], {}, top=99, calibration=None)
    assert (few.found.scores_N >= few.threshold).all()


def test_a_calibration_makes_confidences_and_the_slider_starts_at_the_sure_ones() -> None:
    scale = Calibration((0.0, 1.0), (0.0, 0.8), 0.5)
    rows: Rows = [("a", "x", i, i + 1, score) for i, score in enumerate((0.4999, 0.5, 0.75))]
    choice = choose(detections_of(rows), ["a"], ["x"], {}, top=9, calibration=scale)
    assert choice.measure == "confidence"
    assert choice.found.scores_N.tolist() == [0.3999, 0.4, 0.6]
    assert choice.threshold == choice.sure == 0.4


def test_where_few_videos_have_a_sure_detection_the_page_begins_lower_and_knows_it() -> None:
    scale = Calibration((0.0, 1.0), (0.0, 1.0), 0.9)
    rows: Rows = [("abc"[i % 3], "x", i, i + 1, i / 100) for i in range(60)]
    names = ["a", "b", "c", "empty"]
    one_is = [*rows, ("a", "x", 70, 71, 0.95)]
    choice = choose(detections_of(one_is, ("empty",)), names, ["x"], {}, top=99, calibration=scale)
    assert choice.sure == 0.9
    assert (choice.found.scores_N >= choice.threshold).sum() == len(names) * SHOWN_PER_VIDEO
    # Half of the videos that have anything have a sure one: their page begins there.
    two_are = [*one_is, ("b", "x", 70, 71, 0.95)]
    choice = choose(detections_of(two_are), names, ["x"], {}, top=99, calibration=scale)
    assert choice.threshold == choice.sure == 0.9


def test_the_page_never_begins_above_what_is_sure() -> None:
    # Sixteen sure ones in one of three videos: the best five of a video would hide one of them.
    scale = Calibration((0.0, 1.0), (0.0, 1.0), 0.9)
    rows: Rows = [("a", "x", i, i + 1, 0.9 + i / 1000) for i in range(16)]
    rows += [(video, "x", 0, 1, 0.1) for video in "bc"]
    choice = choose(detections_of(rows), list("abc"), ["x"], {}, top=99, calibration=scale)
    assert choice.threshold == choice.sure == 0.9


def test_where_nothing_is_sure_the_page_begins_with_the_best_there_is() -> None:
    scale = Calibration((0.0, 1.0), (0.0, 0.4), 1.5)
    rows: Rows = [("ab"[i % 2], "x", i, i + 1, i / 100) for i in range(60)]
    choice = choose(detections_of(rows), ["a", "b"], ["x"], {}, top=99, calibration=scale)
    assert choice.measure == "confidence"
    assert choice.sure is None
    assert (choice.found.scores_N >= choice.threshold).sum() == 2 * SHOWN_PER_VIDEO


def start_of(
    scores: list[float], videos: int, calibration: Calibration | None
) -> tuple[float, int]:
    """Where the slider starts, and how many detections that shows."""
    names = [f"v{v}" for v in range(videos)]
    rows: Rows = [(names[i % videos], "x", i, i + 1, score) for i, score in enumerate(scores)]
    choice = choose(detections_of(rows), names, ["x"], {}, top=len(scores), calibration=calibration)
    return choice.threshold, int((choice.found.scores_N >= choice.threshold).sum())


PLAIN = Calibration((0.0, 1.0), (0.0, 1.0), 2.0)  # confidences are scores, and none is sure


@pytest.mark.parametrize("calibration", [PLAIN, None])
def test_a_step_that_holds_nearly_everything_does_not_swallow_the_page(
    calibration: Calibration | None,
) -> None:
    # 24 videos want 120 detections: 95 lie above a step of 920.
    steps = [0.037] * 40 + [0.1] * 40 + [0.3] * 15
    assert start_of([*steps, *[0.02] * 920], 24, calibration) == (0.037, 95)
    # One alone would be further from the wanted number than a step of 30 more.
    assert start_of([0.9, *[0.02] * 30], 4, calibration) == (0.02, 31)


def test_where_all_detections_are_equally_likely_all_are_shown() -> None:
    for score in (0.0, 0.4):
        assert start_of([score] * 100, 2, PLAIN) == (score, 100)
        assert start_of([score] * 100, 2, None) == (score, 100)


def test_a_skipped_video_does_not_count_where_the_slider_starts() -> None:
    rows: Rows = [("ab"[i % 2], "x", i, i + 1, i / 100) for i in range(60)]
    names = ["a", "b", "quiet", *(f"skipped{v}" for v in range(9))]
    for calibration in (None, PLAIN):
        choice = choose(
            detections_of(rows, ("quiet",)), names, ["x"], {}, top=99, calibration=calibration
        )
        assert (choice.found.scores_N >= choice.threshold).sum() == 3 * SHOWN_PER_VIDEO


def test_a_confidence_of_0_is_shown_only_where_nothing_has_more() -> None:
    assert start_of([0.04, *[0.0] * 3], 4, PLAIN) == (0.04, 1)
    assert start_of([0.04, *[0.0] * 3], 4, None) == (0.0, 4)  # a score of 0 is a score like others


# -- curves ---------------------------------------------------------------------------------------


@settings(deadline=None)  # the machine may be busy
@given(st.integers(1, 3000), st.integers(0, 5))
def test_a_pooled_and_quantised_curve_is_the_maximum_of_its_points_within_a_255th(
    T: int, seed: int
) -> None:
    curve_KT = np.random.default_rng(seed).uniform(0, 1, (2, T)).astype(np.float32)
    group = -(-T // POINTS)
    curve_KP = quantised(pooled(curve_KT, group)) / 255
    assert curve_KP.shape[1] <= POINTS
    for p in range(curve_KP.shape[1]):
        peak = curve_KT[:, p * group : (p + 1) * group].max(axis=1)
        assert np.abs(curve_KP[:, p] - peak).max() <= 1 / 255
    assert curve_KP.shape[1] * group >= T > (curve_KP.shape[1] - 1) * group


def test_what_lies_below_zero_or_above_one_is_drawn_at_the_edge() -> None:
    assert quantised(np.array([[-0.5, 0.0, 1.0, 1.5]], np.float32)).tolist() == [[0, 0, 255, 255]]


def test_curves_are_base64_of_their_bytes() -> None:
    curves = Curves(0.5, (3, 7), np.array([[0, 255], [1, 2]], np.uint8), None)
    found = curves.to_json()
    assert [base64.b64decode(text) for text in found["cas"]] == [b"\x00\xff", b"\x01\x02"]
    assert found["classes"] == [3, 7]
    assert found["attention"] is None


def test_the_index_lists_videos_in_columns() -> None:
    found = choose(detections_of([]), ["a"], [], {}, top=1, calibration=None).found
    rows = (VideoRow("a", tags=(0, 1), note="why"),)
    index = Index("t", "s", (("k", "v"),), ("x", "y"), "score", 0.5, rows, found)
    content = json.loads(json.dumps(index.to_json()))
    assert content["format"] == 1
    assert content["videos"]["tags"] == [[0, 1]]
    assert content["videos"]["first"] == [0, 0]
    assert content["overview"] is None


# -- judging --------------------------------------------------------------------------------------

TRUTH = {"a": [("x", 0.0, 10.0), ("y", 20.0, 30.0)], "b": [("x", 0.0, 10.0)]}


def rules(words: Words, rows: Rows, truth: Annotations) -> tuple[str, str, str, list[str]]:
    chosen, notes = choose_rules(words, detections_of(rows), truth)
    return chosen.subset, chosen.unknown_videos, chosen.unknown_labels, notes


WORDS = Words(Path("d.json"), annotations=Path("a.json"))
BOTH = read_annotations(
    {
        "database": {
            "a": {"subset": "training", "annotations": [{"label": "x", "segment": [0, 1]}]},
            "b": {"subset": "testing", "annotations": [{"label": "x", "segment": [0, 1]}]},
        }
    }
)


def test_the_rules_are_those_of_the_evaluator_where_the_result_covers_its_subset() -> None:
    subset, videos, labels, notes = rules(WORDS, [("b", "x", 0, 1, 1)], BOTH)
    assert (subset, videos, labels, notes) == ("testing", "fp", "error", [])
    # A video that nobody annotated stays a reason for false positives, as in `wtal eval`.
    assert rules(WORDS, [("b", "x", 0, 1, 1), ("c", "x", 0, 1, 1)], BOTH)[1] == "fp"


def test_a_result_of_one_other_subset_is_measured_there_aloud() -> None:
    subset, videos, _, notes = rules(WORDS, [("a", "x", 0, 1, 1)], BOTH)
    assert (subset, videos) == ("training", "fp")
    assert "'training', the only one" in notes[0]


def test_detections_in_other_subsets_are_no_false_positives_aloud() -> None:
    subset, videos, _, notes = rules(WORDS, [("a", "x", 0, 1, 1), ("b", "x", 0, 1, 1)], BOTH)
    assert (subset, videos) == ("testing", "ignore")
    assert "other subsets ('training') take no part" in notes[0]


def test_one_unknown_label_of_several_is_ignored_and_nothing_but_unknown_ones_is_refused() -> None:
    assert rules(WORDS, [("b", "x", 0, 1, 1), ("b", "new", 0, 1, 1)], BOTH)[2] == "ignore"
    assert rules(WORDS, [("b", "new", 0, 1, 1)], BOTH)[2] == "error"


def test_a_subset_that_was_asked_for_is_taken_as_it_is() -> None:
    words = replace(WORDS, subset="training", protocol="activitynet")
    chosen, _ = choose_rules(words, detections_of([("b", "x", 0, 1, 1)]), BOTH)
    assert (chosen.name, chosen.subset) == ("activitynet", "training")


def test_the_error_profile_is_that_of_the_diagnosis() -> None:
    found: Rows = [
        ("a", "x", 0, 10, 0.9),  # right
        ("a", "x", 0, 9, 0.8),  # the same again
        ("a", "x", 20, 30, 0.7),  # y, called x
        ("b", "x", 7, 20, 0.6),  # badly placed
        ("b", "y", 50, 60, 0.5),  # nothing
    ]
    profile = evaluate(detections_of(found), annotations_of(TRUTH), analyse=analyse).errors
    shares = {one.name: one for one in error_shares(profile)}
    plain = ("right", "double detection", "wrong label", "localization", "background")
    assert [shares[name].share for name in plain] == pytest.approx([0.2] * 5)
    assert shares["missed (of annotated)"].share == pytest.approx(2 / 3)
    assert shares["right"].cost is None
    assert all(one.cost is not None for name, one in shares.items() if name != "right")


def test_reliability_counts_what_is_right_among_detections_of_a_confidence() -> None:
    # Of two equal confidences the better scored one finds the instance.
    rows: Rows = [("a", "x", 0, 10, 0.9), ("a", "x", 0, 10, 0.8), ("a", "y", 20, 30, 0.7)]
    rows += [("b", "x", 40, 50, 0.1)]
    scale = Calibration((0.2, 0.5), (0.1, 0.6), 0.5)
    truth = annotations_of(TRUTH)
    found = reliability_of(detections_of(rows), truth, PRESETS["thumos14"], scale)
    assert [one.count for one in found.bins] == [1, 3]
    assert [one.confidence for one in found.bins] == pytest.approx([0.1, 0.6])
    assert [one.precision for one in found.bins] == pytest.approx([0, 2 / 3])
    assert found.note == "4 detections of subset 'test', right from tIoU 0.5 on"


# -- costs ----------------------------------------------------------------------------------------


def write_lines(folder: Path, lines: list[object]) -> None:
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    (folder / METRICS_FILE).write_text(text)


def test_steps_that_were_not_timed_count_as_the_median_of_those_that_were(tmp_path: Path) -> None:
    lines = [{"step": s, "seconds": x} for s, x in ((10, 2.0), (20, 2.0), (25, 50.0), (30, 2.0))]
    write_lines(tmp_path, [*lines, '{"step": 40, "sec'])
    cost = training_cost(tmp_path)
    assert cost is not None
    assert cost.seconds == 3 * 2.0 + 50.0 + 26 * 2.0
    assert cost.what == "30 steps, 4 of them timed"


@pytest.mark.parametrize("lines", [[], ["\n"], ["not json\n"], [{"step": 1}], [[1]], ["[" * 9999]])
def test_a_run_that_logged_nothing_has_no_cost(lines: list[object], tmp_path: Path) -> None:
    assert training_cost(tmp_path) is None
    write_lines(tmp_path, lines)
    assert training_cost(tmp_path) is None


# -- what is not told -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("/home/me/store/a.npy is truncated.", "a.npy is truncated."),
        ("see '/x/y z.npy'; or ../up/b.json", "see 'y z.npy'; or b.json"),
        (r"C:\Users\me\a.mp4 does not open", "a.mp4 does not open"),
        ("~/a.mp4 and ./b.mp4", "a.mp4 and b.mp4"),
        ("rgb/x and 16/25 and 3 / 4 stay", "rgb/x and 16/25 and 3 / 4 stay"),
    ],
)
def test_a_message_loses_the_folders_of_its_files(text: str, plain: str) -> None:
    assert without_folders(text) == plain


def test_a_known_folder_is_cut_out_whatever_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "my own, odd: folder"
    text = f"{folder}/a b.npy of {folder} is empty"
    assert without_folders(text, [None, folder]) == "a b.npy of my own, odd: folder is empty"


# -- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"top": 0}, "--top is 0"),
        ({"versus": (("a", Path("a.json")),)}, "--versus is measured with --annotations"),
        ({"protocol": "thumos14"}, "--protocol is measured with --annotations"),
        ({"features": Path("store")}, "name the folder of its run"),
        ({"out": Path("page.txt")}, r"ends in \.html"),
    ],
)
def test_words_that_mean_nothing_are_refused(fields: dict[str, object], match: str) -> None:
    with pytest.raises(WtalError, match=match):
        Words(Path("d.json"), **fields)  # type: ignore[arg-type]


def test_the_page_lies_beside_the_detections_unless_it_is_named() -> None:
    assert Words(Path("run/detections.json")).target == Path("run/report.html")
    assert Words(Path("run/other.json")).target == Path("run/other-report.html")
    assert Words(Path("run/other.json"), out=Path("x.HTML")).target == Path("x.HTML")


def test_the_page_of_a_whole_run_is_replaced_only_by_name(tmp_path: Path) -> None:
    for name in ("detections.json", "run.json", "other.json"):
        (tmp_path / name).write_text("{}")
    page = tmp_path / "report.html"
    for detections in (tmp_path, tmp_path / "detections.json"):
        with pytest.raises(WtalError, match=r"the page of `wtal run`, .* name another with --out"):
            Words(detections)
        assert Words(detections, out=page).target == page
    assert Words(tmp_path / "other.json").target == tmp_path / "other-report.html"


@pytest.mark.parametrize("word", ["", "a", "=b", "a=", " = "])
def test_another_result_needs_a_name_and_a_file(word: str) -> None:
    with pytest.raises(WtalError, match="expected NAME=FILE"):
        named_results([word])


def test_two_results_of_one_name_are_refused_and_a_file_may_have_an_equals_sign() -> None:
    assert named_results(["a=b=c.json"]) == (("a", Path("b=c.json")),)
    with pytest.raises(WtalError, match="'a' twice"):
        named_results(["a=b", "a=c"])
