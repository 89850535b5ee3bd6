"""The judge itself: what it calls a crash, and what a refusal must say."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

from tests.fuzz import judging
from tests.fuzz.judging import judge
from tests.fuzz.readers import Read, Reader
from tests.fuzz.tokens import MARKER
from wtal.errors import WtalError
from wtal_features.errors import FeatureError

FILES = {"a.txt": b"hello"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "input"


def raising(error: Exception) -> Read:
    def read(folder: Path) -> object:
        raise error

    return read


def kind(folder: Path, *reads: Read) -> str:
    return judge(Reader(lambda: [FILES], reads), FILES, folder).kind


def test_a_value_is_accepted_and_the_file_is_there(folder: Path) -> None:
    assert kind(folder, lambda folder: (folder / "a.txt").read_bytes()) == "accepted"


def test_one_call_that_gives_a_value_is_enough(folder: Path) -> None:
    assert kind(folder, raising(WtalError("a.txt is empty.")), lambda folder: 0) == "accepted"
    assert kind(folder, raising(WtalError("a.txt is empty."))) == "refused"


def test_another_error_is_a_crash_whatever_the_other_calls_do(folder: Path) -> None:
    assert kind(folder, lambda folder: 0, raising(KeyError("a.txt"))) == "crash"


def test_a_refusal_names_the_file(folder: Path) -> None:
    assert kind(folder, raising(FeatureError("It is empty."))) == "crash"
    assert kind(folder, raising(FeatureError(f"{folder} is empty."))) == "refused"


def test_a_warning_is_a_crash(folder: Path) -> None:
    assert kind(folder, lambda folder: warnings.warn("a.txt", stacklevel=1)) == "crash"


def test_a_loop_without_end_is_a_crash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "CPU_S", 0.2)

    def hang(folder: Path) -> object:
        while True:
            pass

    assert kind(folder, hang) == "crash"


def test_code_of_a_file_that_runs_is_a_crash(folder: Path) -> None:
    assert kind(folder, lambda folder: os.mknod(folder.parent / MARKER)) == "crash"
    assert kind(folder, lambda folder: 0) == "accepted"  # the mark is gone


@pytest.mark.parametrize("text", ["a.txt: \x1b[31m", "a.txt\nis two lines", "a.txt: \u2028"])
def test_no_refusal_can_steer_a_terminal(folder: Path, text: str) -> None:
    for error in (WtalError(text), FeatureError(text), FeatureError("a.txt is bad.", text)):
        assert str(error).isprintable()
        assert kind(folder, raising(error)) == "refused"


def test_no_refusal_quotes_a_file_without_end(folder: Path) -> None:
    for error in (WtalError("a.txt " + "x" * 10**6), FeatureError("a.txt " + "x" * 10**6, "Mend.")):
        assert len(str(error)) < 2100
        assert str(error).startswith("a.txt xxx")
