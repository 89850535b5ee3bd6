"""Damaged files of every kind: a reader gives a value, or refuses in a sentence that names it.

A hundred inputs of each reader, the same every time; `make fuzz` gives thousands.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fuzz.cases import Files, make_case
from tests.fuzz.judging import judge
from tests.fuzz.readers import READERS
from tests.fuzz.shrinking import shrunk

COUNT = 100
FEWER = {"video": 20, "config": 30, "wtalc": 30, "run-folder": 50}  # slow ones
EXTRAS = {"video": "av", "hdf5": "h5py"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "input"


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused_in_a_sentence(name: str, folder: Path) -> None:
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])
    reader = READERS[name]
    seeds = reader.seeds()
    assert {judge(reader, files, folder).kind for files in seeds} == {"accepted"}
    kinds = set()
    for number in range(FEWER.get(name, COUNT)):
        verdict = judge(reader, make_case(name, seeds, 7, number), folder)
        assert verdict.kind != "crash", f"input {number} of seed 7: {verdict}"
        kinds.add(verdict.kind)
    assert kinds == {"accepted", "refused"}  # the damage is neither nothing nor all


@pytest.mark.parametrize("name", READERS)
def test_an_input_is_the_same_every_time(name: str) -> None:
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])
    first, again = ([make_case(name, seeds, 3, n) for n in range(9)] for seeds in both(name))
    assert first == again
    assert first != [make_case(name, READERS[name].seeds(), 4, n) for n in range(9)]


def both(name: str) -> list[Sequence[Files]]:
    return [READERS[name].seeds(), READERS[name].seeds()]


def test_a_small_input_crashes_as_the_large_one_did() -> None:
    files = {"a.txt": b"0123456789" * 10 + b"x" + b"0" * 50, "b.txt": b"anything"}
    small = shrunk(files, lambda some: b"x" in some.get("a.txt", b""))
    assert small == {"a.txt": b"x"}
