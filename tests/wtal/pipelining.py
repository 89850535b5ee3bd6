"""What the tests of `wtal run` share: tiny videos, decoders in this process, runs in one call."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.features.in_process import decode_here
from tests.features.videos import panned, write_video
from tests.wtal.cutting_here import Here
from wtal.exports import command as exporting
from wtal.pipeline import RunResult, Telling, Words, footage, run
from wtal.report import media

FAST = ("train.steps=3", "extract.fps=10", "extract.stride=2", "calibrate.folds=0")
TAGS = {"a": "left", "b": "right", "c": "left", "d": "right"}


def work_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let no stage start a process; the paths of the videos that will be decoded."""
    for module in (footage, exporting, media):
        monkeypatch.setattr(module, "Cutter", Here)
    return decode_here(monkeypatch)


def film(path: Path, seed: int) -> Path:
    """1.2 s of a camera that pans, to the left where the seed is even."""
    shift = (-3, 0) if seed % 2 == 0 else (3, 0)
    return write_video(path, panned(30, 64, 48, shift, seed=seed))


def write_tags(path: Path, tags: Mapping[str, str]) -> Path:
    lines = ["video,label", *(f"{video},{label}" for video, label in tags.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@dataclass
class Bench:
    """A folder of videos with tags, to be changed, and the runs on it."""

    root: Path
    asked: list[str]
    said: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    @property
    def videos(self) -> Path:
        return self.root / "videos"

    @property
    def tags(self) -> Path:
        return self.root / "tags.csv"

    @property
    def out(self) -> Path:
        return self.root / "out"

    def words(self, **more: Any) -> Words:
        given: dict[str, Any] = {
            "videos": self.videos,
            "tags": self.tags,
            "out": self.out,
            "encoders": ("colour-histogram",),
            "overrides": FAST,
        }
        return Words(**(given | more))

    def run(self, **more: Any) -> RunResult:
        self.said.clear()
        self.warned.clear()
        self.asked.clear()
        telling = Telling(say=self.said.append, warn=self.warned.append)
        result = run(self.words(**more), telling=telling)
        assert result is not None
        return result

    @property
    def decoded(self) -> list[str]:
        """Names of the files that the last run decoded."""
        return sorted(Path(path).name for path in self.asked)


def contents(folder: Path) -> dict[str, str]:
    """Path -> digest of its bytes, of every file but locks."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(files)
    }
