"""A JSON file that is read in pieces gives what it gives whole, and the same sentences."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wtal_eval import EvalError, json_files
from wtal_eval.json_files import read_members

TEXTS = st.text(max_size=6) | st.sampled_from(["ä", "\u20ac", "😀", '"', "\\", "\n", "\ud83d"])
NUMBERS = st.floats(allow_nan=True) | st.integers(-(10**9), 10**9)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(TEXTS, VALUES, max_size=3).flatmap(
    lambda others: st.dictionaries(TEXTS, VALUES, max_size=5).map(
        lambda results: {**others, "results": results}
    )
)
FIXTURES = [HealthCheck.function_scoped_fixture]


def _read(path: Path, piece: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(json_files, "_PIECE", piece)
    members: dict[str, Any] = {}
    try:
        return read_members(path, "results", members.__setitem__), members
    except EvalError as error:
        return str(error)


@settings(max_examples=150, suppress_health_check=FIXTURES)
@given(
    document=DOCUMENTS,
    piece=st.integers(1, 40),
    indent=st.sampled_from([None, 1, 30]),
    ascii_only=st.booleans(),
    mark=st.booleans(),
)
def test_the_size_of_the_pieces_does_not_matter(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    document: dict[str, Any],
    piece: int,
    indent: int | None,
    ascii_only: bool,
    mark: bool,
) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    path = tmp_path / "d.json"
    path.write_bytes((mark * "\ufeff" + text).encode("utf-8", "backslashreplace"))
    plain = json.loads(path.read_bytes().decode("utf-8-sig"))
    found = _read(path, piece, monkeypatch)
    assert repr(found) == repr(({**plain, "results": None}, plain["results"]))  # NaN is not NaN


@settings(max_examples=300, suppress_health_check=FIXTURES)
@given(
    document=DOCUMENTS,
    piece=st.integers(1, 40),
    at=st.floats(0, 1),
    damage=st.sampled_from(
        [b"", b"\xff", b'"', b"{", b"}", b",", b":", b"tru", b"-", b"1e", b"\\u12", b"\n\n", b"x"]
    ),
    cut=st.booleans(),
)
def test_a_damaged_file_gives_the_same_sentence_in_pieces_and_whole(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    document: dict[str, Any],
    piece: int,
    at: float,
    damage: bytes,
    cut: bool,
) -> None:
    data = json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace")
    place = round(at * len(data))
    path = tmp_path / "d.json"
    path.write_bytes(data[:place] + damage + (b"" if cut else data[place:]))
    whole, pieces = _read(path, 1 << 20, monkeypatch), _read(path, piece, monkeypatch)
    if isinstance(whole, str) and "is not UTF-8" in whole and isinstance(pieces, str):
        return  # another fault may come before the byte that is no text
    assert repr(pieces) == repr(whole)


def test_a_byte_that_is_no_text_is_named_where_it_stands_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "d.json"
    path.write_bytes('{"results": {"ä": "'.encode() + b"\xe2\x82" + b'"}}')
    place = len('{"results": {"ä": "'.encode())
    for piece in (1, 7, 1000):
        assert f"byte {place} is not UTF-8 text" in _read(path, piece, monkeypatch)


def test_a_file_takes_the_memory_of_its_largest_member(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    with path.open("w") as file:
        file.write('{"results": {')
        for i in range(4000):
            file.write(f'{"," if i else ""}\n"v{i}": {json.dumps(["x" * 100] * 50)}')
        file.write("\n}}")
    assert path.stat().st_size > 20 * 10**6
    tracemalloc.start()
    read_members(path, "results", lambda video, value: None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_fault_early_in_a_large_file_is_told_before_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    with path.open("wb") as file:
        file.write(b'{"results": {"v": [1,, 2]')
        file.truncate(8 << 30)  # the rest is a hole
    tracemalloc.start()
    with pytest.raises(EvalError, match="Expecting value at byte 21"):
        read_members(path, "results", lambda video, value: None)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
