"""Broken files: each gives a result or exactly one error of one line, never anything else.

Files are made and damaged from a seed. A failure prints the seed and both files; `check_one(seed)`
repeats it.
"""

from __future__ import annotations

import copy
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fuzz.texts import mutate_bytes
from tests.fuzz.trees import (
    LABELS,
    Draw,
    Pairs,
    as_text,
    mutate_tree,
    odd_value,
    places,
    put,
)
from wtal_eval import EvalError, Evaluation, read_annotations, read_detections, run
from wtal_eval.faults import LONGEST_MESSAGE
from wtal_eval.protocols import PRESETS

CPU_S = 2.0  # for one pair of files; they take milliseconds

PROTOCOLS = tuple(PRESETS)


def make_files(draw: Draw) -> tuple[Pairs, Pairs]:
    """Annotations and detections of a few videos."""
    database, results = Pairs(), Pairs()
    labels = LABELS[: draw.integers(1, len(LABELS) + 1)]
    for v in range(draw.integers(1, 5)):
        own = labels if v == 0 else draw.choice(labels, draw.integers(4)).tolist()
        instances = [row(label, draw) for label in own]
        entry = Pairs([("subset", "test"), ("annotations", instances)])
        if draw.random() < 0.7:
            entry.insert(0, ("duration", 60.5))
        if draw.random() < 0.2:
            entry.append(("fps", 25))
        database.append((f"v{v}", entry))
        if draw.random() < 0.9:
            found = draw.choice(labels, draw.integers(6)).tolist()
            rows = [Pairs([*row(label, draw), ("score", score(draw))]) for label in found]
            results.append((f"v{v}", rows))
    annotations = Pairs([("version", "made"), ("database", database)])
    detections = Pairs([("version", "made"), ("results", results), ("external_data", Pairs())])
    if draw.random() < 0.3:
        scores = Pairs([("v0", Pairs([("run", 0.5), ("long jump", 0.25)]))])
        detections.append(("video_scores", scores))
    return annotations, detections


def row(label: str, draw: Draw) -> Pairs:
    start, length = draw.integers(20), draw.integers(10)
    segment: list[Any] = [int(start), int(start + length) / 2 + int(start) / 2]
    if draw.random() < 0.1:
        segment = [str(time_s) for time_s in segment]
    return Pairs([("label", label), ("segment", segment)])


def score(draw: Draw) -> Any:
    return [round(draw.random(), 1), int(draw.integers(-1, 2)), float(draw.normal())][
        draw.integers(3)
    ]


def make_case(seed: int) -> tuple[bytes, bytes]:
    """Annotation and result file, at least one of them damaged."""
    draw = np.random.default_rng(seed)
    trees = make_files(draw)
    damaged = draw.choice([1, 2, 3], p=[0.45, 0.45, 0.1])  # bit 0: annotations, bit 1: detections
    by_tree = draw.random() < 0.6
    files = []
    for bit, tree in enumerate(trees, 1):
        if by_tree and damaged & bit:
            mutate_tree(tree, draw)
        text = as_text(tree, ascii_only=bool(draw.random() < 0.5))
        data = text.encode("utf-8", "surrogatepass")
        if damaged & bit and not by_tree:
            data = mutate_bytes(data, draw)
        files.append(data)
    return files[0], files[1]


# What must hold


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Ends a hang, where there are alarm signals; and counts CPU time everywhere."""

    def ring(*_: object) -> None:
        raise AssertionError(f"no end after {seconds} s")

    started = time.process_time()
    if hasattr(signal, "SIGALRM"):
        before = signal.signal(signal.SIGALRM, ring)
        signal.alarm(seconds)
    try:
        yield
    finally:
        if hasattr(signal, "SIGALRM"):
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
    assert time.process_time() - started < CPU_S


def check_fraction(*values: float) -> None:
    for value in values:
        assert 0 <= value <= 1


def check_figures(found: Evaluation) -> None:
    """Every figure is a fraction and fits the others."""
    count: dict[str, Any] = found.counts
    classes = found.per_class
    assert count["videos"] >= 1
    assert count["classes"] == len(classes) >= 1
    assert count["instances"] == sum(one.npos for one in classes) >= 1
    assert count["detections_kept"] == sum(one.detections for one in classes)
    assert 0 <= count["detections_kept"] <= count["detections_read"]
    assert count["detections_zero_length"] <= count["detections_kept"]
    for one in classes:
        assert one.npos >= 1
        check_fraction(*one.ap, *one.recall)
        for recall in one.recall:
            found_instances = recall * one.npos
            assert abs(found_instances - round(found_instances)) < 1e-9
            assert round(found_instances) <= min(one.npos, one.detections)
        for ap, recall in zip(one.ap, one.recall, strict=True):
            assert (ap > 0) == (recall > 0)
    mean = np.mean([one.ap for one in classes], axis=0)
    np.testing.assert_allclose(found.map, mean, rtol=0, atol=1e-12)
    check_fraction(found.headline[1], *found.map, *found.averages.values())
    for name, average in found.averages.items():
        assert min(found.map) - 1e-12 <= average <= max(found.map) + 1e-12, name
    for baseline in found.baselines.values():
        check_fraction(*baseline.map, *baseline.averages.values())
    level = found.video_level
    if level is not None:
        check_fraction(level.map, level.top1, level.hit3, level.avg_hit3)


def members_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in members]
    assert len(set(keys)) == len(keys), f"a key is repeated among {keys[:9]}"
    return dict(members)


def check_columns(annotations: Path, detections: Path) -> None:
    """What was read is what the standard reader finds, number by number, and no key is repeated."""
    truth, result = (
        json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=members_once)
        for path in (annotations, detections)
    )
    instances = [
        (video, *fields)
        for video, entry in truth["database"].items()
        for fields in map(plain_row, entry["annotations"])
    ]
    found = [
        (video, *fields)
        for video, rows in result["results"].items()
        for fields in map(plain_row, rows)
    ]
    assert columns(read_annotations(annotations)) == instances
    read = read_detections(detections)
    scored = zip(columns(read), read.score.tolist(), strict=True)
    scores = [float(row["score"]) for rows in result["results"].values() for row in rows]
    assert list(scored) == list(zip(found, scores, strict=True))


def plain_row(row: Any) -> tuple[str, float, float]:
    start, end = row["segment"]
    return row["label"], float(start), float(end)


def columns(read: Any) -> list[tuple[str, str, float, float]]:
    return [
        (read.videos[video], read.labels[label], start, end)
        for video, label, start, end in zip(
            read.video.tolist(), read.label.tolist(), read.start.tolist(), read.end.tolist(),
            strict=True,
        )
    ]  # fmt: skip


def check_one(seed: int, folder: Path) -> bool:
    """Whether the files of a seed give a result; anything but that or one clear error fails."""
    annotations, detections = folder / "truth.json", folder / "found.json"
    files = make_case(seed)
    write(annotations, files[0])
    write(detections, files[1])
    options: dict[str, Any] = {"subset": "test", "unknown_labels": ("error", "ignore")[seed % 2]}
    try:
        with at_most(20):
            report = run([detections], annotations, PROTOCOLS[seed % len(PROTOCOLS)], **options)
            json.dumps(report.to_json(), allow_nan=False)
            report.text(per_class=True).encode()
        check_figures(report.evaluations[0])
        check_columns(annotations, detections)
    except EvalError as error:
        check_message(str(error), folder)
        return False
    except BaseException as error:
        error.add_note(f"seed {seed}")
        error.add_note(f"annotations: {files[0][:3000]!r}")
        error.add_note(f"detections: {files[1][:3000]!r}")
        raise
    return True


def write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)  # to overwrite a file can be slow: the disk may wait for the old
    path.write_bytes(data)


def check_message(message: str, folder: Path) -> None:
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert len(message) <= LONGEST_MESSAGE
    assert str(folder) in message


def check_many(seeds: range, folder: Path) -> None:
    results = sum(check_one(seed, folder) for seed in seeds)
    assert 0.1 < results / len(seeds) < 0.9  # both ways out are taken


def test_five_hundred_damaged_files_give_a_result_or_one_error(tmp_path: Path) -> None:
    check_many(range(500), tmp_path)


@pytest.mark.slow
def test_ten_thousand_damaged_files_give_a_result_or_one_error(tmp_path: Path) -> None:
    check_many(range(500, 10_500), tmp_path)


# Mutations that change nothing


def reorder_and_extend(value: Any, draw: Draw, depth: int = 0) -> Any:
    """Members of entries and rows in another order, and more of them under unknown keys.

    The order of videos and of rows stays: it decides ties.
    """
    if not isinstance(value, Pairs):
        return [reorder_and_extend(v, draw, depth) for v in value] if type(value) is list else value
    members = [
        (key, v if key == "video_scores" else reorder_and_extend(v, draw, depth + 1))
        for key, v in value
    ]
    if depth == 1:  # the videos
        return Pairs(members)
    for n in range(draw.integers(3)):
        members.append((f"unknown: {n}", odd_value(draw)))
    return Pairs([members[k] for k in draw.permutation(len(members))])


def figures(folder: Path, protocol: str) -> dict[str, Any]:
    found = run([folder / "found.json"], folder / "truth.json", protocol, subset="test").to_json()
    found["counts"].pop("annotation_version")
    return found


@pytest.mark.parametrize("seed", range(40))
def test_order_inside_objects_unknown_keys_and_white_space_change_no_figure(
    seed: int, tmp_path: Path
) -> None:
    draw = np.random.default_rng(seed)
    truth, found = make_files(draw)
    protocol = PROTOCOLS[seed % len(PROTOCOLS)]
    write(tmp_path / "truth.json", as_text(truth).encode())
    write(tmp_path / "found.json", as_text(found).encode())
    before = figures(tmp_path, protocol)
    for _ in range(5):
        for name, tree in (("truth", truth), ("found", found)):
            white = str(draw.choice(["", " ", "\n", "\r\n", " \t\r\n"]))
            changed = reorder_and_extend(tree, draw)
            text = as_text(changed, ascii_only=bool(draw.random() < 0.5), indent=white)
            mark = b"\xef\xbb\xbf" if draw.random() < 0.5 else b""
            write(tmp_path / f"{name}.json", mark + text.encode("utf-8", "replace"))
        assert figures(tmp_path, protocol) == before


# Depth, which every place of the tree can have


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("which", ["truth", "found"])
def test_any_depth_at_any_place_is_read_or_refused(
    opening: str, which: str, tmp_path: Path
) -> None:
    closing = "]" if opening == "[" else "}"
    trees = dict(zip(("truth", "found"), make_files(np.random.default_rng(5)), strict=True))
    for name, tree in trees.items():
        write(tmp_path / f"{name}.json", as_text(tree).encode())
    deepest = sys.getrecursionlimit()
    for number in range(len(list(places(trees[which])))):
        tree = copy.deepcopy(trees[which])
        container, i = list(places(tree))[number]
        put(container, i, "HERE")
        text = as_text(tree)
        for depth in (deepest // 2, *range(deepest - 130, deepest, 13), 100_000):
            nested = opening * depth + "0" + closing * depth
            write(tmp_path / f"{which}.json", text.replace('"HERE"', nested).encode())
            try:
                report = run([tmp_path / "found.json"], tmp_path / "truth.json", subset="test")
                report.text().encode()
            except EvalError as error:
                check_message(str(error), tmp_path)
