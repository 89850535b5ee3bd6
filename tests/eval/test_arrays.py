"""Detections as arrays, of the caller and of .npz files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wtal_eval import EvalError, evaluate, read_annotations, read_detections

TRUTH = {
    "database": {
        v: {"subset": "test", "annotations": [{"label": label, "segment": [0, 10]}]}
        for v, label in (("a", "run"), ("b", "jump"))
    }
}


def named() -> dict[str, Any]:
    return {
        "video": np.array(["a", "b", "b"]),
        "label": np.array(["run", "jump", "run"]),
        "start": np.array([0.0, 0.0, 5.0]),
        "end": np.array([10.0, 8.0, 7.0]),
        "score": np.array([0.9, 0.8, 0.7]),
    }


def coded() -> dict[str, Any]:
    codes = {"video": np.array([0, 1, 1], np.int32), "label": np.array([1, 0, 1], np.uint8)}
    names = {"videos": np.array(["a", "b"]), "labels": np.array(["jump", "run"])}
    return named() | codes | names


@pytest.mark.parametrize("columns", [named(), coded()], ids=["names", "codes"])
def test_arrays_and_npz_give_what_the_json_form_gives(
    columns: dict[str, Any], tmp_path: Path
) -> None:
    results: dict[str, list[Any]] = {"a": [], "b": []}
    plain = named()
    for v, label, s, e, p in zip(*(plain[k].tolist() for k in plain), strict=True):
        results[v].append({"label": label, "segment": [s, e], "score": p})
    by_json = evaluate({"results": results}, TRUTH)
    assert evaluate(columns, TRUTH).per_class == by_json.per_class
    np.savez(tmp_path / "found.npz", **columns)
    (tmp_path / "found.npz").rename(tmp_path / "found")
    assert evaluate(tmp_path / "found", TRUTH).per_class == by_json.per_class


def test_single_precision_is_converted_once_and_double_is_not_copied() -> None:
    columns = named() | {"score": named()["score"].astype(np.float32)}
    found = read_detections(columns)
    assert found.score.dtype == np.float64
    assert np.shares_memory(found.start, columns["start"])
    assert evaluate(columns, TRUTH).map == evaluate(named(), TRUTH).map


def test_lists_are_arrays_too() -> None:
    columns = {field: values.tolist() for field, values in named().items()}
    assert evaluate(columns, TRUTH).per_class == evaluate(named(), TRUTH).per_class
    objects = named() | {"video": np.array(["a", "b", "b"], object)}
    assert evaluate(objects, TRUTH).per_class == evaluate(named(), TRUTH).per_class


def test_arrays_may_be_empty() -> None:
    empty = {field: values[:0] for field, values in named().items()}
    assert set(evaluate(empty, TRUTH).map) == {0.0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"score": np.array([0.9, np.nan, 0.7])}, "score is nan, expected a finite number"),
        ({"score": np.array([0.9, 0.8])}, "score has type float64 and shape (2,)"),
        ({"score": np.array(["a", "b", "c"])}, "score has type <U1; expected numbers"),
        ({"start": np.array([True, False, True])}, "start has type bool; expected numbers"),
        (
            {"video": np.array([0, 1, 1])},
            "video has type int64 and shape (3,); expected (N,) names",
        ),
        ({"video": np.zeros((3, 1), np.int64)}, "video has type int64 and shape (3, 1)"),
        ({"label": np.array([0, 9, 0]), "labels": ["run"]}, "label codes run from 0 to 9"),
        ({"label": np.array([0, 0, 0]), "labels": [7]}, "labels is [7]; expected a list of names"),
    ],
)
def test_arrays_that_do_not_fit_are_an_error(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(EvalError) as caught:
        evaluate(named() | changes, TRUTH)
    assert words in str(caught.value)


def test_an_npz_file_is_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **named() | {"video": np.array([{}, {}, {}])})
    with pytest.raises(EvalError, match=r"a\.npz cannot be read as \.npz: Object arrays"):
        read_detections(tmp_path / "a.npz")


def test_a_broken_or_foreign_npz_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, start=np.zeros(3))
    with pytest.raises(EvalError, match="array 'video' is missing; expected video, label, start"):
        read_detections(path)
    whole = path.read_bytes()
    at = whole.index(b"PK\x01\x02") + 10  # the compression method, in the directory of the archive
    for method in (b"\x08\x00", b"\x63\x00"):
        path.write_bytes(whole[:at] + method + whole[at + 2 :])
        with pytest.raises(EvalError, match=r"cannot be read as \.npz|is missing"):
            read_detections(path)
    path.write_bytes(whole[:100])
    with pytest.raises(EvalError, match=r"cannot be read as \.npz"):
        read_detections(path)
    path.write_bytes(b"PK\x03\x04" + bytes(50))
    with pytest.raises(EvalError, match=r"cannot be read as \.npz"):
        read_detections(path)
    with pytest.raises(EvalError, match=r"is an \.npz file; expected an annotation JSON"):
        read_annotations(path)
