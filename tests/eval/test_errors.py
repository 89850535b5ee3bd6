"""What false positives are, what missed instances lack, and what mending them would gain."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wtal_eval import EvalError, diagnose, evaluate, read_annotations, read_detections
from wtal_eval.columns import Annotations, Detections
from wtal_eval.diagnosis import diagnose_ranking
from wtal_eval.errors import CAUSES, ERRORS, KINDS, ErrorAnalysis, analyse
from wtal_eval.judging import judge
from wtal_eval.notes import Notes
from wtal_eval.protocols import PRESETS, Protocol, resolve
from wtal_eval.ranking import Ranking, select_detections
from wtal_eval.scoring import score
from wtal_eval.truth import Truth, select_truth

Rows = Sequence[tuple[Any, ...]]
Parts = tuple[Ranking, Truth, Protocol]

# One video: `run` from 0 to 10 and `jump` from 20 to 30, both found by the first two detections.
FOUND = [("run", 0, 10, 0.9), ("jump", 20, 30, 0.9)]
INSTANCES = {"v": [("run", 0, 10), ("jump", 20, 30)]}


def parts(
    instances: Mapping[str, Rows],
    detections: Mapping[str, Rows],
    protocol: str = "thumos14",
    **options: Any,
) -> Parts:
    """Instances (label, start, end) and detections (label, start, end, score) per video."""
    database = {
        v: {
            "subset": "test",
            "duration": 100,
            "annotations": [{"label": label, "segment": [s, e]} for label, s, e in rows],
        }
        for v, rows in instances.items()
    }
    results = {
        v: [{"label": label, "segment": [s, e], "score": p} for label, s, e, p in rows]
        for v, rows in detections.items()
    }
    return select(
        read_detections({"results": results}),
        read_annotations({"database": database}),
        resolve(protocol, options),
    )


def select(detections: Detections, annotations: Annotations, rules: Protocol) -> Parts:
    truth = select_truth(annotations, rules, Notes())
    return select_detections(detections, annotations, truth, rules, Notes()), truth, rules


def counts_of(detections: Mapping[str, Rows], **options: Any) -> dict[str, float]:
    counts = analyse(*parts(INSTANCES, detections), **options).counts
    return {kind: count for kind, count in counts.items() if count}


# -- categories ---


@pytest.mark.parametrize(
    ("detection", "kind"),
    [
        (("run", 0, 10, 0.5), "double_detection"),
        (("run", 0, 5, 0.5), "double_detection"),  # tIoU of exactly .5 reaches
        (("jump", 0, 10, 0.5), "wrong_label"),
        (("jump", 0, 5, 0.5), "wrong_label"),
        (("run", 0, 4.9, 0.5), "localization"),
        (("run", 0, 1, 0.5), "localization"),  # tIoU of exactly .1 is near
        (("jump", 0, 4.9, 0.5), "confusion"),
        (("run", 0, 0.99, 0.5), "background"),
        (("run", 50, 60, 0.5), "background"),
        (("run", 10, 20, 0.5), "background"),  # touches both, overlaps none
    ],
)
def test_a_false_positive_is_judged_by_the_instance_it_overlaps_most(
    detection: tuple[Any, ...], kind: str
) -> None:
    assert counts_of({"v": [*FOUND, detection]}) == {"true_positive": 2, kind: 1}


def test_a_detection_on_a_video_without_instances_is_background() -> None:
    # DETAD compares all but the first of them with the video before.
    instances = INSTANCES | {"empty": []}
    stray = [("run", 0, 10, 0.5), ("run", 0, 10, 0.4), ("jump", 20, 30, 0.3)]
    for video in ("empty", "nowhere"):
        found = analyse(*parts(instances, {"v": FOUND, video: stray}))
        assert (found.counts["true_positive"], found.counts["background"]) == (2, 3)


def test_the_nearest_instance_of_any_class_judges_even_if_another_of_the_own_class_is_near() -> (
    None
):
    instances = {"v": [("run", 0, 10), ("jump", 4, 14)]}
    detections = {"v": [("run", 0, 10, 0.9), ("run", 4, 13, 0.5)]}
    assert analyse(*parts(instances, detections)).counts["wrong_label"] == 1


def test_of_equally_overlapping_instances_the_own_class_or_the_first_in_the_file_judges() -> None:
    twins = {"v": [("Cliff", 0, 10), ("Diving", 0, 10)]}
    for near, own, first in ((10, "double_detection", "wrong_label"),
                             (4, "localization", "confusion")):  # fmt: skip
        detections = {"v": [("Diving", 0, 10, 0.9), ("Diving", 0, near, 0.5)]}
        assert analyse(*parts(twins, detections)).counts[own] == 1
        assert analyse(*parts(twins, detections), error_ties="first").counts[first] == 1


def test_each_threshold_is_judged_on_its_own_and_counts_are_means() -> None:
    found = analyse(*parts(INSTANCES, {"v": [("run", 0, 8, 0.9)]}), tiou=(0.5, 0.9))
    assert found.counts["true_positive"] == 0.5
    assert found.counts["localization"] == 0.5
    assert sum(found.counts.values()) == found.kept == 1


def test_thresholds_follow_the_headline_of_the_protocol() -> None:
    assert analyse(*parts(INSTANCES, {"v": FOUND})).tiou == (0.5,)
    ten = analyse(*parts(INSTANCES, {"v": FOUND}, "activitynet", subset="test")).tiou
    assert ten == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def test_of_each_class_ten_times_its_instances_are_kept_in_ten_buckets() -> None:
    run = [("run", 0, 10, 0.9), *(("run", 50, 60, 0.5 - k / 100) for k in range(30))]
    jump = [("jump", 50, 60, 0.3), ("jump", 20, 30, 0.2)]
    found = analyse(*parts(INSTANCES, {"v": [*jump, *run]}))
    assert found.kept == 12
    assert found.counts == dict.fromkeys(KINDS, 0) | {"true_positive": 2, "background": 10}
    assert [bucket.name for bucket in found.profile] == [f"{k}G" for k in range(1, 11)]
    assert [bucket.detections for bucket in found.profile] == [2, 2, *[1] * 8]
    assert found.profile[0].share["true_positive"] == 0.5
    assert found.profile[1].share["true_positive"] == 0.5
    assert found.profile[2].share["background"] == 1
    assert analyse(*parts(INSTANCES, {"v": [*jump, *run]}), limit=2).kept == 4


def test_equal_scores_rank_as_in_the_evaluation() -> None:
    detections = {"v": [("run", 0, 10, 0.5), ("run", 0, 4, 0.5), ("run", 0, 9, 0.5)]}
    kept = analyse(*parts(INSTANCES, detections), limit=1).counts
    assert kept["true_positive"] == 1
    last = judge(*parts(INSTANCES, detections), (0.5,))
    assert last.order.tolist() == [2, 1, 0]
    assert last.found.tolist() == [[0, -1, -1]]
    first = judge(*parts(INSTANCES, detections, ties="first"), (0.5,))
    assert first.order.tolist() == [0, 1, 2]
    assert first.found.tolist() == [[0, -1, -1]]


def test_per_class_counts_and_the_most_confused_classes_are_listed() -> None:
    detections = {
        "v": [("jump", 0, 10, 0.5), ("jump", 0, 4, 0.4), ("run", 20, 30, 0.5), ("run", 0, 10, 0.9)]
    }
    found = analyse(*parts(INSTANCES, detections))
    assert found.per_class["jump"]["wrong_label"] == found.per_class["jump"]["confusion"] == 1
    assert found.per_class["run"]["true_positive"] == found.per_class["run"]["wrong_label"] == 1
    assert found.confusions == (("jump", "run", 2), ("run", "jump", 1))


def test_a_false_positive_that_leaves_the_ranking_is_no_error() -> None:
    instances = {"v": [("run", 0, 10), ("Ambiguous", 50, 60)]}
    detections = {"v": [("run", 0, 10, 0.9), ("run", 50, 60, 0.8), ("run", 70, 80, 0.7)]}
    dropped = analyse(*parts(instances, detections, ambiguous="drop-fp"))
    assert (dropped.counts["true_positive"], dropped.counts["background"]) == (1, 1)
    assert analyse(*parts(instances, detections)).counts["background"] == 2


# -- what errors cost ---


def test_normalised_map_and_impacts_have_closed_forms() -> None:
    # run: background, true, localization, true; jump: one true of one. N = (2 + 1) / 2.
    instances = {"v": [("run", 0, 10), ("run", 40, 50), ("jump", 20, 30)]}
    detections = {
        "v": [
            ("run", 80, 90, 0.9),
            ("run", 0, 10, 0.8),
            ("run", 0, 4, 0.7),
            ("run", 40, 50, 0.6),
            ("jump", 20, 30, 0.5),
        ]
    }
    found = analyse(*parts(instances, detections))
    assert found.instances_per_class == 1.5

    def precision(i: int, false: int) -> float:
        return i / 2 * 1.5 / (i / 2 * 1.5 + false)

    def ap(first: float, second: float) -> float:
        return (max(first, second) + second) / 2

    base = (ap(precision(1, 1), precision(2, 2)) + 1) / 2
    no_background = (ap(precision(1, 0), precision(2, 1)) + 1) / 2
    no_localization = (ap(precision(1, 1), precision(2, 1)) + 1) / 2
    assert found.map_n == pytest.approx(base)
    assert found.impact["background"] == pytest.approx(no_background - base)
    assert found.impact["localization"] == pytest.approx(no_localization - base)
    assert found.impact["confusion"] == found.impact["double_detection"] == 0


def test_mended_borders_make_a_true_positive_of_a_misplaced_detection() -> None:
    instances = {"v": [("run", 0, 10)]}
    plain = analyse(*parts(instances, {"v": [("run", 60, 70, 0.9), ("run", 0, 4, 0.8)]})).plain
    assert plain.map == 0
    assert plain.mended["localization"] == 0.5  # second place
    assert plain.mended["background"] == plain.deleted["localization"] == 0


def test_of_detections_that_aim_at_one_instance_only_the_best_scored_is_mended() -> None:
    instances = {"v": [("run", 0, 10), ("run", 20, 30)]}
    twice = [("run", 0, 4, 0.9), ("run", 0, 3, 0.8), ("run", 20, 30, 0.7)]
    plain = analyse(*parts(instances, {"v": twice})).plain
    assert plain.map == pytest.approx(1 / 3 / 2)
    assert plain.mended["localization"] == pytest.approx(1 - 1 / 6)  # the other one is deleted


def test_what_aims_at_an_instance_that_is_found_already_is_deleted() -> None:
    detections = [("run", 0, 4, 0.9), ("run", 0, 10, 0.8)]
    plain = analyse(*parts({"v": [("run", 0, 10)]}, {"v": detections})).plain
    assert plain.map == 0.5
    assert plain.mended["localization"] == plain.deleted["localization"] == 0.5


def test_a_mended_label_moves_the_detection_to_the_ranking_of_the_true_class() -> None:
    detections = [("jump", 0, 10, 0.6), ("run", 60, 70, 0.9), ("jump", 20, 30, 0.5)]
    plain = analyse(*parts(INSTANCES, {"v": detections})).plain
    assert plain.map == (0 + 0.5) / 2
    assert plain.deleted["wrong_label"] == 0.25
    assert plain.mended["wrong_label"] == (0.5 + 1) / 2 - 0.25  # behind the background of `run`


def test_confusion_is_mended_in_label_and_borders() -> None:
    plain = analyse(*parts(INSTANCES, {"v": [("jump", 0, 4, 0.9)]})).plain
    assert plain.mended["confusion"] == 0.5
    assert plain.deleted["confusion"] == 0


def test_missed_instances_count_as_found_with_the_precision_of_the_found_ones() -> None:
    instances = {"v": [("run", 0, 10), ("run", 40, 50), ("jump", 20, 30)]}
    detections = [("run", 80, 90, 0.9), ("run", 0, 10, 0.8)]
    plain = analyse(*parts(instances, {"v": detections})).plain
    assert plain.map == pytest.approx((0.5 / 2 + 0) / 2)
    # Of `jump` nothing is found, so nothing is known of its precision: it stays at 0.
    assert plain.mended["missed"] == pytest.approx((0.5 + 0) / 2 - 0.125)


@pytest.mark.parametrize(
    ("detections", "cause"),
    [
        ([], "unseen"),
        ([("run", 60, 70, 0.5)], "unseen"),
        ([("run", 0, 4, 0.5)], "localization"),
        ([("jump", 0, 4, 0.5)], "confusion"),
        ([("jump", 0, 10, 0.5), ("run", 0, 4, 0.9)], "wrong_label"),
        ([("jump", 0, 4, 0.5), ("run", 0, 4, 0.5)], "localization"),  # equal: the own class
    ],
)
def test_a_missed_instance_is_judged_by_the_detection_that_overlaps_it_most(
    detections: Rows, cause: str
) -> None:
    found = analyse(*parts({"v": [("run", 0, 10)], "w": [("jump", 0, 5)]}, {"v": detections}))
    assert found.missed.count == 2
    assert found.missed.share == 1
    assert found.missed.causes[cause] == (2 if cause == "unseen" else 1)
    assert sum(found.missed.causes.values()) == 2


def test_an_instance_is_taken_if_the_detection_that_reaches_it_counts_for_another() -> None:
    found = analyse(*parts({"v": [("run", 0, 10), ("run", 0, 12)]}, {"v": [("run", 0, 10, 0.5)]}))
    assert found.missed.causes == dict.fromkeys(CAUSES, 0) | {"taken": 1}


# -- edges ---


def test_without_detections_everything_is_zero_and_every_instance_unseen() -> None:
    found = analyse(*parts(INSTANCES, {}))
    assert found.kept == found.map_n == found.plain.map == 0
    assert set(found.counts.values()) | set(found.impact.values()) == {0}
    assert found.missed.causes == dict.fromkeys(CAUSES, 0) | {"unseen": 2}
    assert all(set(bucket.share.values()) == {0} for bucket in found.profile)
    assert "missed instances" in found.text()


def test_one_class_and_one_detection_are_enough() -> None:
    found = analyse(*parts({"v": [("run", 0, 10)]}, {"v": [("run", 0, 10, 1)]}))
    assert (found.map_n, found.plain.map, found.missed.count) == (1, 1, 0)


def test_empty_segments_follow_the_rule_for_a_zero_union() -> None:
    point = {"v": [("run", 5, 5), ("run", 0, 1)]}
    detections = {"v": [("run", 5, 5, 0.9), ("run", 5, 5, 0.8)]}
    found = analyse(*parts(point, detections))
    assert (found.counts["true_positive"], found.counts["double_detection"]) == (1, 1)
    none = analyse(*parts(point, detections, zero_union="no-match"))
    assert none.counts["background"] == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"error_ties": "last"}, "error_ties is 'last'; expected own or first"),
        ({"limit": 0}, "limit is 0; expected a whole number of at least 1"),
        ({"tiou": ()}, "expected thresholds above 0 and up to 1"),
        ({"tiou": (0.5, 1.5)}, "expected thresholds above 0 and up to 1"),
    ],
)
def test_an_option_without_meaning_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(EvalError, match=words):
        analyse(*parts(INSTANCES, {"v": FOUND}), **options)


def test_json_text_and_frames_hold_the_same_figures() -> None:
    hostile = "jump\x1b[31m"
    instances = {"v": [("run", 0, 10), (hostile, 20, 30)]}
    found = analyse(*parts(instances, {"v": [("run", 0, 10, 0.9), (hostile, 0, 10, 0.8)]}))
    stored = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert stored == found.to_json()
    assert stored["counts"] == found.counts
    assert stored["profile"][0]["share"] == found.profile[0].share
    assert stored["plain"]["mended"]["missed"] == found.plain.mended["missed"]
    assert "\x1b" not in found.text()
    assert "wrong label" in found.text()
    assert found.class_frame().loc["run", "true_positive"] == 1
    frame = found.profile_frame()
    assert list(frame.columns) == ["detections", *KINDS]
    assert frame.loc["1G", list(KINDS)].sum() == pytest.approx(100)


def test_the_evaluation_stores_a_diagnosis_under_errors() -> None:
    row = {"label": "run", "segment": [0, 10]}
    truth = {"database": {"v": {"subset": "test", "duration": 20, "annotations": [row]}}}
    found = {"results": {"v": [row | {"score": 0.5}]}}
    stored = evaluate(found, truth, analyse=diagnose_ranking).to_json()["errors"]
    assert diagnose(found, truth).to_json() == stored  # the public way, from the same sources
    assert stored["counts"]["true_positive"] == 1
    assert stored["sensitivity"]["map_n"] == 1
    assert stored["calibration"]["brier"] == 0.25
    text = diagnose_ranking(*parts(INSTANCES, {"v": FOUND})).text()
    for words in ("errors at tIoU 0.5", "sensitivity at tIoU 0.5", "calibration at tIoU 0.5"):
        assert words in text


# -- against the words of the definition, one detection at a time ---
# This shares no code with the package.


def plain_tiou(s: float, e: float, gs: float, ge: float) -> float:
    shared = max(0.0, min(e, ge) - max(s, gs))
    union = ((ge - gs) + (e - s)) - shared
    return shared / union if union else math.inf


def plain_ap(hits: list[bool], npos: int, N: float | None) -> float:
    precision, recall, found, false = [], [0.0], 0, 0
    for hit in hits:
        found, false = found + hit, false + (not hit)
        weight = found if N is None else found / npos * N
        precision.append(weight / (weight + false) if weight + false else 0.0)
        recall.append(found / npos)
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((b - a) * p for (a, b), p in zip(pairwise(recall), precision, strict=True))


class Plain:
    """Detections (video, label, start, end, score), ranked; instances (video, label, s, e)."""

    def __init__(self, instances: Rows, detections: Rows, threshold: float, own: bool) -> None:
        self.instances = instances
        self.ranked = sorted(detections, key=lambda row: row[4])[::-1]
        self.classes = sorted({row[1] for row in instances})
        self.npos = {c: sum(row[1] == c for row in instances) for c in self.classes}
        self.taken: dict[int, int] = {}  # instance -> detection
        self.kind, self.aim = [], []
        for d, (video, label, s, e, _) in enumerate(self.ranked):
            overlaps = [
                plain_tiou(s, e, gs, ge) if v == video else 0.0 for v, _, gs, ge in instances
            ]
            order = sorted(range(len(instances)), key=lambda g: overlaps[g])[::-1]
            mine = [
                g
                for g in order
                if instances[g][1] == label and overlaps[g] >= threshold and g not in self.taken
            ]
            most = max(overlaps)
            best = [g for g, x in enumerate(overlaps) if x == most]
            same = [g for g in best if instances[g][1] == label]
            aim = same[0] if own and same else best[0]
            right = instances[aim][1] == label
            if mine:
                self.taken[mine[0]] = d
                self.kind.append("true_positive")
            elif most >= threshold:
                self.kind.append("double_detection" if right else "wrong_label")
            elif most >= 0.1:
                self.kind.append("localization" if right else "confusion")
            else:
                self.kind.append("background")
            self.aim.append(aim)

    def rows(self, c: str, limit: int | None) -> list[int]:
        of_class = [d for d, row in enumerate(self.ranked) if row[1] == c]
        return of_class if limit is None else of_class[: limit * self.npos[c]]

    def map(self, without: str = "", N: float | None = None, limit: int | None = None) -> float:
        aps = []
        for c in self.classes:
            rows = [d for d in self.rows(c, limit) if self.kind[d] != without]
            hits = [self.kind[d] == "true_positive" for d in rows]
            aps.append(plain_ap(hits, self.npos[c], N))
        return sum(aps) / len(aps)

    def mended(self, kind: str) -> float:
        hits: dict[str, list[bool]] = {c: [] for c in self.classes}
        used = set(self.taken)
        for d, row in enumerate(self.ranked):
            if self.kind[d] != kind:
                hits[row[1]].append(self.kind[d] == "true_positive")
            elif self.aim[d] not in used:
                used.add(self.aim[d])
                hits[self.instances[self.aim[d]][1]].append(True)
        return sum(plain_ap(hits[c], self.npos[c], None) for c in self.classes) / len(self.classes)


boxes = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda pair: tuple(sorted(pair)))
instance_rows = st.lists(
    st.tuples(st.sampled_from("uv"), st.sampled_from(["run", "jump"]), boxes),
    min_size=1,
    max_size=6,
)
detection_rows = st.lists(
    st.tuples(
        st.sampled_from("uvw"),
        st.sampled_from(["run", "jump"]),
        boxes,
        st.sampled_from([-1.0, 0.25, 0.25, 0.5, 2.0]),
    ),
    max_size=24,
)


@settings(max_examples=200, deadline=None)
@given(
    instances=instance_rows,
    detections=detection_rows,
    threshold=st.sampled_from([0.05, 0.25, 0.5, 0.75]),
    own=st.booleans(),
)
def test_equals_a_diagnosis_that_follows_the_words_of_the_definition(
    instances: list[Any], detections: list[Any], threshold: float, own: bool
) -> None:
    labels = {label for _, label, _ in instances}
    by_video: dict[str, list[Any]] = {v: [] for v in "uvw"}
    truth_by_video: dict[str, list[Any]] = {v: [] for v in "uvw"}
    for video, label, (s, e) in instances:
        truth_by_video[video].append((label, s, e))
    for video, label, (s, e), p in detections:
        if label in labels:
            by_video[video].append((label, s, e, p))
    ties = "own" if own else "first"
    made = parts(truth_by_video, by_video)
    found = analyse(*made, tiou=(threshold,), error_ties=ties, limit=2)  # type: ignore[arg-type]
    plain = Plain(
        [(v, *row) for v, rows in truth_by_video.items() for row in rows],
        [(v, *row) for v, rows in by_video.items() for row in rows],
        threshold,
        own,
    )
    kept = [d for c in plain.classes for d in plain.rows(c, 2)]
    assert found.counts == {kind: sum(plain.kind[d] == kind for d in kept) for kind in KINDS}
    assert found.kept == len(kept) == sum(found.counts.values())
    N = len(plain.instances) / len(plain.classes)
    assert found.map_n == pytest.approx(plain.map(N=N, limit=2), abs=1e-12)
    assert found.plain.map == pytest.approx(plain.map(), abs=1e-12)
    for kind in ERRORS:
        gain = plain.map(kind, N=N, limit=2) - plain.map(N=N, limit=2)
        assert found.impact[kind] == pytest.approx(gain, abs=1e-12)
        gain = plain.map(kind) - plain.map()
        assert found.plain.deleted[kind] == pytest.approx(gain, abs=1e-12)
        if kind in ("localization", "wrong_label", "confusion"):
            gain = plain.mended(kind) - plain.map()
        assert found.plain.mended[kind] == pytest.approx(gain, abs=1e-12)
    assert found.missed.count == len(plain.instances) - len(plain.taken)
    check_laws(found, made[1])


def check_laws(found: ErrorAnalysis, truth: Truth) -> None:
    """What holds for every analysis."""
    assert sum(found.counts.values()) == pytest.approx(found.kept)
    assert sum(bucket.detections for bucket in found.profile) == found.kept
    for bucket in found.profile:
        assert sum(bucket.share.values()) == pytest.approx(float(bucket.detections > 0))
    for kind in KINDS:
        assert sum(row[kind] for row in found.per_class.values()) == pytest.approx(
            found.counts[kind]
        )
    assert sum(found.missed.causes.values()) == pytest.approx(found.missed.count)
    assert found.missed.count == pytest.approx(found.missed.share * len(truth.instances))
    # Without some false positives no true positive has a lower precision.
    gains = [*found.impact.values(), *found.plain.deleted.values(), *found.plain.mended.values()]
    assert min(gains) > -1e-12
    for kind in ERRORS:
        assert found.plain.mended[kind] >= found.plain.deleted[kind] - 1e-12


# -- figures of the field's diagnosis tool for a published file ---

TABLE = """
first 210 27161 2102 6963 1148 7734 1091 8123 .001870 .000778 .102097 .003124 .043747 .359918
own   210 27161 2102 7662  449 8248  577 8123 .001956 .000705 .105849 .000991 .043747 .359918
own   all 27359 2102 7662  449 8248  577 8321                                         .358489
"""


@pytest.fixture(scope="module")
def pmil(shared: Path) -> tuple[Detections, Annotations]:
    return (
        read_detections(shared / "detections" / "pmil_base_test.json"),
        read_annotations(shared / "annotations" / "thumos14.json"),
    )


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_pmil_false_positives(pmil: tuple[Detections, Annotations], line: str) -> None:
    ties, which, *figures = line.split()
    unknown = "ignore" if which == "210" else "fp"
    rules = resolve("thumos14", {"unknown_videos": unknown})
    found = analyse(*select(*pmil, rules), error_ties=ties)  # type: ignore[arg-type]
    assert [found.kept, *found.counts.values()] == [int(x) for x in figures[:7]]
    assert found.map_n == pytest.approx(float(figures[-1]), abs=1e-6)
    if len(figures) > 8:
        expected = [float(x) for x in figures[7:-1]]
        assert list(found.impact.values()) == pytest.approx(expected, abs=1e-6)
    check_laws(found, select(*pmil, rules)[1])


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "activitynet"])
def test_plain_map_is_that_of_the_evaluation_under_every_preset(
    shared: Path, pmil: tuple[Detections, Annotations], preset: str
) -> None:
    ambiguous = shared / "annotations" / "thumos14_evalkit" / "Ambiguous_test.txt"
    asks = PRESETS[preset].ambiguous.startswith("drop")
    rules = resolve(preset, {"ambiguous_file": ambiguous} if asks else {})
    ranking, truth, rules = select(*pmil, rules)
    found = analyse(ranking, truth, rules, tiou=rules.tiou)
    assert found.plain.map == pytest.approx(
        float(score(ranking, truth, rules).map.mean()), abs=1e-12
    )
    hits = (judge(ranking, truth, rules, rules.tiou).found >= 0).sum(axis=1)
    scores = score(ranking, truth, rules)
    assert hits.tolist() == np.rint((scores.recall * scores.npos[:, None]).sum(axis=0)).tolist()
