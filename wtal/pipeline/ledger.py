"""run.json: which stages are done, of which inputs, so that the next run does only what is new."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from wtal import __version__
from wtal.errors import WtalError
from wtal_features.files import read_json, write_json

FORMAT = "wtal run 1"


@dataclass(frozen=True)
class Record:
    """One stage.

    Attributes:
        key: digest of all that decides its outcome.
        finished: whether it came to its end.
        seconds: of the work that was done last, all interrupted turns together.
        about: counts and choices, as JSON values.
    """

    key: str
    finished: bool = False
    seconds: float = 0.0
    about: Mapping[str, Any] = field(default_factory=dict)


class Ledger:
    """The records of one folder; every change is on disk before it counts."""

    def __init__(self, path: Path) -> None:
        """Read what an earlier run did.

        Args:
            path: the file; it need not exist.

        Raises:
            WtalError, FeatureError: it is damaged, or something else.
        """
        self._path = path
        self._records: dict[str, Record] = {}
        if not path.exists():
            return
        content = read_json(path)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise WtalError(f"{path} is no ledger of this version; choose another --out.")
        try:
            self._records = {name: _record(value) for name, value in content["stages"].items()}
        except (AttributeError, KeyError, TypeError) as error:
            raise WtalError(
                f"{path} is damaged; remove it, and what is in the folder is made anew."
            ) from error

    def record(self, stage: str) -> Record | None:
        """What is known of a stage."""
        return self._records.get(stage)

    def done(self, stage: str, key: str) -> bool:
        """Whether a stage came to its end with these inputs."""
        record = self._records.get(stage)
        return record is not None and record.finished and record.key == key

    def begun(self, stage: str, key: str) -> bool:
        """Whether a stage was begun with these inputs and did not come to its end."""
        record = self._records.get(stage)
        return record is not None and not record.finished and record.key == key

    def begin(self, stage: str, key: str, **about: object) -> None:
        """Note that a stage is at work; one that goes on keeps its seconds."""
        before = self._records[stage].seconds if self.begun(stage, key) else 0.0
        self._write(stage, Record(key, seconds=before, about=about))

    def finish(self, stage: str, seconds: float, **about: object) -> Record:
        """Note that it came to its end.

        Args:
            stage: which was begun.
            seconds: of this turn.
            about: besides what `begin` was told.
        """
        begun = self._records[stage]
        took = round(begun.seconds + seconds, 2)
        record = replace(begun, finished=True, seconds=took, about={**begun.about, **about})
        self._write(stage, record)
        return record

    def pause(self, stage: str, seconds: float) -> None:
        """Keep the time of a turn that was interrupted."""
        begun = self._records[stage]
        self._write(stage, replace(begun, seconds=round(begun.seconds + seconds, 2)))

    def records(self) -> Mapping[str, Record]:
        """Stage -> record, in the order in which they were first begun."""
        return dict(self._records)

    def touch(self) -> None:
        """Make the file: from now on the folder is one of ours."""
        if not self._path.exists():
            self._save()

    def _write(self, stage: str, record: Record) -> None:
        self._records[stage] = record
        self._save()

    def _save(self) -> None:
        stages = {name: asdict(record) for name, record in self._records.items()}
        write_json(self._path, {"format": FORMAT, "version": __version__, "stages": stages})


def _record(value: Mapping[str, Any]) -> Record:
    """A record as it was written.

    Raises:
        TypeError: it is none.
    """
    record = Record(**value)
    timed = isinstance(record.seconds, int | float) and 0 <= record.seconds < 1e12
    sound = isinstance(record.key, str) and type(record.finished) is bool
    if not (timed and sound and isinstance(record.about, Mapping)):
        raise TypeError("not of its form")
    return record


def digest(*parts: object) -> str:
    """A short name for JSON values: equal values have equal ones."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def file_digest(path: Path | None) -> str | None:
    """Of the content of a file; None for none."""
    if path is None:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
