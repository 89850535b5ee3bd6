"""What an extraction did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from wtal_features.errors import FeatureError, Finding, counted
from wtal_features.files import read_json, write_json
from wtal_features.writer import SKIPPED


@dataclass
class ExtractionReport:
    """What was done, and what was not.

    Attributes:
        out: The store.
        written: Videos that were extracted now.
        unchanged: Videos that were there already, with the same content.
        skipped: Videos without features, and why.
        notes: What the user should know besides.
        video_s: Seconds of video that were extracted now.
        snippets: Rows that were written now.
        as_it_comes: A file that gets a line for each skipped video at once, so that it can be
            looked into while the run goes on.
    """

    out: Path
    written: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    skipped: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    video_s: float = 0.0
    snippets: int = 0
    as_it_comes: IO[bytes] | None = None

    def skip(self, finding: Finding) -> None:
        """Note that a video has no features, and why."""
        self.skipped.append(finding)
        if self.as_it_comes is not None:
            line = {finding.where: reason(finding)}
            self.as_it_comes.write(json.dumps(line).encode() + b"\n")
            self.as_it_comes.flush()

    def reasons(self) -> dict[str, str]:
        """Video, or file that could not become one -> why it was skipped; sorted."""
        self.skipped.sort(key=lambda finding: finding.where)
        return {finding.where: reason(finding) for finding in self.skipped}

    def lines(self) -> list[str]:
        """For a person: counts, then notes."""
        counts = (
            f"{self.out}: {counted(len(self.written), 'video')} extracted "
            f"({self.snippets} snippets, {self.video_s / 60:.1f} min of video), "
            f"{len(self.unchanged)} unchanged, {len(self.skipped)} skipped"
        )
        return [counts, *self.notes]


def reason(finding: Finding) -> str:
    """Why a video was skipped, and what to do about it."""
    return f"{finding.message} {finding.cure}"


def write_skipped(store: Path, reasons: Mapping[str, str]) -> None:
    """Write video -> why it was skipped into a store, or remove the list of an earlier run."""
    if reasons:
        write_json(store / SKIPPED, dict(sorted(reasons.items())))
    else:
        (store / SKIPPED).unlink(missing_ok=True)


def read_skipped(store: Path) -> dict[str, str]:
    """What `write_skipped` wrote; empty where nothing was skipped.

    Raises:
        FeatureError: If it is damaged.
    """
    path = store / SKIPPED
    found = read_json(path) if path.exists() else {}
    if not isinstance(found, dict):
        raise FeatureError(f"{path} holds no JSON object.", "Delete it.", code="json")
    return {str(video): str(reason) for video, reason in found.items()}
