"""What a run ends with: counts, files, and the three lines that a person reads last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wtal.pipeline.choosing import Chosen
from wtal_features.errors import counted


@dataclass(frozen=True)
class RunResult:
    """One run.

    Attributes:
        out: its folder.
        videos: that can be used.
        extracted: videos that were turned into features now.
        trained: whether the model was trained now.
        localized: videos that the model was asked about now.
        found: detections in numbers.
        formats: that were exported.
        figure: the score in a few words; empty without annotations.
        report: the page.
        skipped: video or file -> why it was left out.
        faults: video -> why an export left it out.
    """

    out: Path
    videos: int
    extracted: int
    trained: bool
    localized: int
    found: Chosen
    formats: tuple[str, ...]
    figure: str
    report: Path
    skipped: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def new(self) -> bool:
        """Whether anything had to be done."""
        return bool(self.extracted or self.trained or self.localized)

    def lines(self) -> list[str]:
        """What was found, where it is, how to look at it."""
        found = self.found
        what = (
            f"{counted(found.segments, 'segment')} of {counted(found.classes, 'class', 'classes')} "
            f"in {found.videos} of {counted(self.videos, 'video')}"
        )
        if found.threshold is not None:
            what += f", {found.sure} of them sure"
        what += f"; {self.figure}" if self.figure else ""
        where = (
            f"{self.out / 'exports'} has {found.exported} of them as {', '.join(self.formats)}; "
            "detections.json beside it has all"
        )
        return [
            f"found: {what}",
            f"where: {where}",
            f"look:  open {self.report} in a browser; it plays the videos, offline",
        ]
