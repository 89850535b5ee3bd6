"""Against an evaluator that follows the words of the protocols, one detection at a time.

It is slow and obvious, and shares no code with the package.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wtal_eval import evaluate

GRID = (0.1, 0.25, 1 / 3, 0.5, 2 / 3, 0.75, 1.0)


def union_tiou(s: float, e: float, gs: float, ge: float) -> float:
    shared = max(0.0, min(e, ge) - max(s, gs))
    union = ((ge - gs) + (e - s)) - shared
    return shared / union if union else math.nan


def hull_tiou(s: float, e: float, gs: float, ge: float) -> float:
    shared = min(e, ge) - max(s, gs)
    return shared / (max(e, ge) - min(s, gs)) if shared > 0 else 0.0


def reaches(overlap: float, t: float, options: dict[str, Any]) -> bool:
    if math.isnan(overlap):
        return bool(options["zero_union"] == "match")
    return overlap >= t if options["overlap_test"] == "ge" else overlap > t


def touches(row: Any, ambiguous: list[Any]) -> bool:
    return any(v == row[0] and min(row[2], e) - max(row[1], s) > 0 for v, s, e in ambiguous)


def best_first(rows: list[Any], value: Callable[[Any], float], ties: str) -> list[Any]:
    """By descending value, NaN in front; of equal values the last or the first of the list."""

    def key(row: Any) -> float:
        return math.inf if math.isnan(value(row)) else value(row)

    if ties == "last":
        return sorted(rows, key=key)[::-1]
    return sorted(rows, key=key, reverse=True)


def hits_per_detection(
    detections: list[Any], instances: list[Any], t: float, options: dict[str, Any]
) -> list[tuple[Any, bool]]:
    """Detections by rank, each with whether it is a true positive."""
    measure = hull_tiou if options["overlap"] == "hull" else union_tiou
    taken: set[int] = set()
    hits = []
    for row in best_first(detections, lambda row: float(row[3]), options["ties"]):
        candidates = [
            (k, measure(row[1], row[2], gs, ge))
            for k, (v, gs, ge) in enumerate(instances)
            if v == row[0]
        ]
        if options["match"] == "best":
            candidates = best_first(candidates, lambda pair: float(pair[1]), options["ties"])
        hit = False
        for k, overlap in candidates:
            if reaches(overlap, t, options) and k not in taken:
                taken.add(k)
                hit = True
                break
        hits.append((row, hit))
    return hits


def hits_per_instance(
    detections: list[Any], instances: list[Any], t: float, options: dict[str, Any]
) -> list[tuple[Any, bool]]:
    """The evalkit: video by video, each instance takes the best fitting free detection."""
    pooled = []
    for video in sorted({row[0] for row in detections}):
        ranked = sorted((row for row in detections if row[0] == video), key=lambda row: -row[3])
        found = [False] * len(ranked)
        for v, gs, ge in instances:
            if v != video:
                continue
            free = [i for i in range(len(ranked)) if not found[i]]
            overlaps = [hull_tiou(ranked[i][1], ranked[i][2], gs, ge) for i in free]
            if free and reaches(max(overlaps), t, options):
                found[free[overlaps.index(max(overlaps))]] = True
        pooled += list(zip(ranked, found, strict=True))
    if options["ties"] == "true-first":
        pooled = [pair for pair in pooled if pair[1]] + [pair for pair in pooled if not pair[1]]
    return sorted(pooled, key=lambda pair: -pair[0][3])


def plain_ap(hits: list[bool], npos: int, rule: str) -> float:
    """Area under the precision-recall curve, in the forms of the official programs."""
    precision, recall, found = [], [], 0
    for n, hit in enumerate(hits, 1):
        found += hit
        precision.append(found / n)
        recall.append(found / npos)
    if rule == "sum":
        return sum(p for p, hit in zip(precision, hits, strict=True) if hit) / npos
    if rule == "11point":
        levels = [0.1 * k for k in range(11)]
        pairs = list(zip(precision, recall, strict=True))
        return sum(max((p for p, r in pairs if r >= t), default=0.0) for t in levels) / 11
    precision, recall = [0.0, *precision, 0.0], [0.0, *recall, 1.0]
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def plain_evaluation(
    results: dict[str, Any], database: dict[str, Any], options: dict[str, Any]
) -> dict[str, list[float]]:
    instances: dict[str, list[Any]] = {}
    for video, entry in database.items():
        for row in entry["annotations"]:
            instances.setdefault(row["label"], []).append((video, *row["segment"]))
    ambiguous = instances.pop("Ambiguous", [])
    per_instance = options["match"] == "per-instance"
    ap: dict[str, list[float]] = {}
    for label in sorted(instances):
        rows = [
            (video, *row["segment"], row["score"])
            for video, found in results.items()
            for row in found
            if row["label"] == label
        ]
        if options["ambiguous"] == "drop-all":
            rows = [row for row in rows if not touches(row, ambiguous)]
        ap[label] = []
        for t in GRID:
            rule = hits_per_instance if per_instance else hits_per_detection
            pairs = rule(rows, instances[label], t, options)
            if options["ambiguous"] == "drop-fp":
                pairs = [(row, hit) for row, hit in pairs if hit or not touches(row, ambiguous)]
            hits = [hit for _, hit in pairs]
            ap[label].append(plain_ap(hits, len(instances[label]), options["ap"]))
    return ap


# Times on a small grid and few scores: ties, duplicates, empty and nested segments are common.
segments = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda pair: sorted(pair))
labels = st.sampled_from(["run", "jump"])
instance = st.fixed_dictionaries(
    {"label": st.sampled_from(["run", "jump", "run", "jump", "Ambiguous"]), "segment": segments}
)
detection = st.fixed_dictionaries(
    {"label": labels, "segment": segments, "score": st.sampled_from([-1.0, 0.0, 0.5, 0.5, 2])}
)
videos = st.fixed_dictionaries(
    {
        "a": st.lists(instance, max_size=5),
        "b": st.lists(instance, max_size=5),
        "c": st.just([]),
    }
).filter(lambda rows: any(row["label"] != "Ambiguous" for row in rows["a"] + rows["b"]))
found = st.fixed_dictionaries(
    {
        "b": st.lists(detection, min_size=1, max_size=8),
        "a": st.lists(detection, min_size=1, max_size=8),
        "c": st.lists(detection, max_size=2),
        "not annotated": st.lists(detection, max_size=2),
    }
)
common: dict[str, Any] = {
    "overlap_test": st.sampled_from(["ge", "gt"]),
    "ap": st.sampled_from(["interpolated", "sum", "11point"]),
    "ambiguous": st.sampled_from(["keep", "drop-fp", "drop-all"]),
}
asked_by_detections = {
    "overlap": st.sampled_from(["union", "hull"]),
    "zero_union": st.sampled_from(["match", "no-match"]),
    "ties": st.sampled_from(["last", "first"]),
}
asked_by_instances = {
    "overlap": st.just("hull"),
    "zero_union": st.just("match"),
    "ties": st.sampled_from(["video", "true-first"]),
}
RULES = {"best": asked_by_detections, "first": asked_by_detections}
RULES["per-instance"] = asked_by_instances


def cases(match: str) -> st.SearchStrategy[Any]:
    options = common | RULES[match] | {"match": st.just(match)}
    return st.tuples(videos, found, st.fixed_dictionaries(options))


def compare(case: tuple[Any, Any, Any]) -> None:
    instances, results, options = case
    database = {v: {"subset": "test", "annotations": rows} for v, rows in instances.items()}
    known = {row["label"] for rows in instances.values() for row in rows}
    results = {v: [r for r in rows if r["label"] in known] for v, rows in results.items()}
    if not results["a"] and not results["b"]:
        results["not annotated"] = []  # or most videos would be unknown, which is an error
    ours = evaluate({"results": results}, {"database": database}, tiou=GRID, **options)
    plain = plain_evaluation(results, database, options)
    assert [one.label for one in ours.per_class] == list(plain)
    for one in ours.per_class:
        assert one.ap == pytest.approx(plain[one.label], abs=1e-12)
    assert ours.map == pytest.approx(np.mean(list(plain.values()), axis=0), abs=1e-12)


@pytest.mark.parametrize("match", RULES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_equals_the_words_of_the_protocol_on_some_cases(match: str, data: st.DataObject) -> None:
    compare(data.draw(cases(match)))


@pytest.mark.slow
@pytest.mark.parametrize("match", RULES)
@settings(max_examples=2000, deadline=None)
@given(data=st.data())
def test_equals_the_words_of_the_protocol_on_two_thousand_cases(
    match: str, data: st.DataObject
) -> None:
    compare(data.draw(cases(match)))
