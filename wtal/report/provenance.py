"""Where the page comes from: the lines under its title."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from wtal.report.choice import Choice
from wtal.report.curves import Drawer
from wtal.report.gathering import Gathered
from wtal.report.judging import Judgement
from wtal.report.privacy import without_folders
from wtal.report.words import Words

Line = tuple[str, str]


def about(
    words: Words,
    gathered: Gathered,
    choice: Choice,
    drawer: Drawer | None,
    judgement: Judgement | None,
) -> tuple[Line, ...]:
    """(name, value) lines; no value tells a folder of the machine."""
    lines = [
        ("Detected", _date(words)),
        *_of_run(gathered.environment),
        *_of_page(words, gathered, choice),
    ]
    if drawer is not None and drawer.store.manifest.encoder:
        lines.append(("Features", drawer.store.manifest.encoder))
    if judgement is not None:
        rules = judgement.protocol
        lines.append(("Evaluated", f"subset {rules.subset}, protocol {rules.name}"))
        lines += [("Note", text) for text in judgement.warnings]
    known = [words.folder, words.file.parent, words.videos, words.annotations, words.tags]
    return tuple((name, without_folders(value, known)) for name, value in lines)


def source(words: Words, gathered: Gathered) -> str:
    """Which version said it, and the last folder and name of its file."""
    file = words.file.resolve()
    version = gathered.detections.version or "unknown version"
    return f"{version}, {file.parent.name}/{file.name}"


def _date(words: Words) -> str:
    """Of the detections, not of the page: the same input gives the same page."""
    changed = datetime.fromtimestamp(words.file.stat().st_mtime, UTC)
    return changed.strftime("%Y-%m-%d %H:%M UTC")


def _of_run(environment: Mapping[str, Any]) -> Iterator[Line]:
    inputs = environment.get("inputs")
    if isinstance(inputs, Mapping) and isinstance(inputs.get("videos"), int):
        yield "Trained on", f"{inputs['videos']} videos, seed {environment.get('seed')}"
    if isinstance(environment.get("machine"), str):
        yield "Machine", environment["machine"]


def _of_page(words: Words, gathered: Gathered, choice: Choice) -> Iterator[Line]:
    held = len(choice.found.scores_N)
    cut = f", the best {words.top} of each video; {choice.cut} left out" if choice.cut else ""
    yield "Detections", f"{held}{cut}"
    if words.tags is not None:
        yield "Tags", words.tags.name
    if words.annotations is not None:
        yield "Annotations", words.annotations.name
    if gathered.calibration is not None:
        yield "Confidence", "from tags alone (wtal calibrate)"
