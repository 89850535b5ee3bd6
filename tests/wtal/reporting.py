"""What the tests of `wtal report` share: a small run, the command, and the data of a page."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typer.testing import CliRunner

from tests.synthetic import make_store
from wtal.api import train
from wtal.cli import app

SMALL = ("model.hidden_dim=8", "train.batch_size=4", "train.steps=4", "train.log_every=1")
_BLOCK = re.compile(r'<script type="application/json" id="([^"]+)">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True)
class Toy:
    """A data set of 12 + 6 videos, and a run that localized the six."""

    folder: Path
    features: Path
    tags: Path
    annotations: Path
    run: Path


def make_toy(folder: Path) -> Toy:
    toy = Toy(folder, *make_store(folder), folder / "run")
    train(features=toy.features, out=toy.run, tags=toy.tags, overrides=SMALL)
    told("localize", toy.run, "-f", toy.features, "--tags", toy.tags, "--subset", "test", "-q")
    return toy


def told(*words: object, code: int = 0) -> str:
    """Run a command; everything that it printed."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def sentence(*words: object) -> str:
    """The one sentence with which `wtal report` refuses."""
    lines = [ln for ln in told("report", *words, code=1).splitlines() if ln.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


class Page:
    """The data blocks of a page, read from its bytes alone."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        self._blocks = dict(_BLOCK.findall(self.text))
        self.index: dict[str, Any] = json.loads(self._blocks["wtal-index"])
        self.videos: dict[str, list[Any]] = self.index["videos"]
        self.names: list[str] = self.videos["name"]

    def block(self, video: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._blocks[f"video-{self.names.index(video)}"])
        return found

    def of(self, video: str) -> dict[str, Any]:
        """The row of one video in the list."""
        at = self.names.index(video)
        return {name: column[at] for name, column in self.videos.items() if name != "first"}

    def detections(self, video: str) -> list[tuple[str, float, float, float]]:
        at, columns = self.names.index(video), self.index["detections"]
        first, stop = self.videos["first"][at : at + 2]
        rows = zip(
            *(columns[name][first:stop] for name in ("class", "start_s", "end_s", "score")),
            strict=True,
        )
        return [(self.index["classes"][c], start, end, score) for c, start, end, score in rows]

    def corrections(self) -> Any:
        return json.loads(self._blocks.get("wtal-corrections", "null"))


def curve(text: str) -> NDArray[np.float64]:
    return np.frombuffer(base64.b64decode(text), np.uint8) / 255
