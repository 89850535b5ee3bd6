"""What `wtal export` was asked for, checked before anything is read."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from wtal.errors import WtalError
from wtal.exports.formats import FORMATS
from wtal.exports.job import Format, Timecode
from wtal.runs import check_localized, result_file
from wtal_features.video.cutting import nominal_rate

_TIMECODE = re.compile(r"(\d\d):([0-5]\d):([0-5]\d):(\d\d)", re.ASCII)


@dataclass(frozen=True)
class Words:
    """The options of the command, as they were given.

    Args:
        detections: result file, or a run folder.
        to: a key of `FORMATS`.
        out: file or folder to write; None: beside the detections.
        videos: folder of the videos.
        annotations: ActivityNet JSON whose instances go beside the detections.
        above: least score.
        sure: least confidence.
        top: best detections of a video.
        classes: only these labels; none: all.
        fps: frames per second of videos that are not at hand.
        timecode: of every video's first frame.
        padding: seconds before and after each clip.
    """

    detections: Path
    to: str
    out: Path | None = None
    videos: Path | None = None
    annotations: Path | None = None
    above: float | None = None
    sure: float | None = None
    top: int | None = None
    classes: tuple[str, ...] = ()
    fps: str | None = None
    timecode: str | None = None
    padding: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be done, before anything is read.

        Raises:
            WtalError: with the option and what it may be.
        """
        if self.to not in FORMATS:
            near = difflib.get_close_matches(self.to, FORMATS, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise WtalError(f"--to is {self.to!r}; expected {', '.join(FORMATS)}.{hint}")
        for option in ("annotations", "fps", "timecode", "padding"):
            if getattr(self, option) is not None and option not in self.format.takes:
                takers = [name for name, form in FORMATS.items() if option in form.takes]
                raise WtalError(f"--{option} goes with --to {' or '.join(takers)}, not {self.to}.")
        self._check_needs()
        if self.padding is not None and not 0 <= self.padding < math.inf:
            raise WtalError(f"--padding is {self.padding:g}; expected seconds, 0 or more.")
        if self.above is not None and not math.isfinite(self.above):
            raise WtalError(f"--above is {self.above}; expected a number.")
        if self.sure is not None and not 0 <= self.sure <= 1:
            raise WtalError(f"--sure is {self.sure}; expected a confidence between 0 and 1.")
        _ = self.rate, self.start
        check_localized(self.detections)
        self._check_out()

    def _check_needs(self) -> None:
        needs = self.format.needs
        if needs == "videos" and self.videos is None:
            raise WtalError(f"--to {self.to} needs --videos FOLDER.")
        if needs == "rate" and self.videos is None and self.fps is None:
            raise WtalError(
                f"--to {self.to} counts frames: it needs --videos FOLDER, or --fps such as 25."
            )

    def _check_out(self) -> None:
        """One file must have the format's ending, and be none of the inputs."""
        if self.format.folder:
            return
        if self.target.suffix.lower() != self.format.suffix:
            raise WtalError(
                f"--out is {self.target}; expected a name that ends in {self.format.suffix}."
            )
        if self.target.is_dir():
            raise WtalError(f"--out {self.target} is a folder; name a file.")
        inputs = [path for path in (self.file, self.annotations) if path is not None]
        if self.target.resolve() in [path.resolve() for path in inputs]:
            raise WtalError(f"--out {self.target} is read by this export; choose another file.")

    @property
    def format(self) -> Format:
        """The format."""
        return FORMATS[self.to]

    @property
    def file(self) -> Path:
        """The result file."""
        return result_file(self.detections)

    @property
    def target(self) -> Path:
        """The file or folder to write: that of --out, else `detections-eaf` beside the input."""
        if self.out is not None:
            return self.out
        suffix = "" if self.format.folder else self.format.suffix
        return self.file.with_name(f"{self.file.stem}-{self.to}{suffix}")

    @property
    def rate(self) -> Fraction | None:
        """Frames per second of --fps, exact where it was rounded.

        Raises:
            WtalError: if it is none.
        """
        if self.fps is None:
            return None
        try:
            rate = Fraction(self.fps)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate <= 1000:
            raise WtalError(
                f"--fps is {self.fps!r}; expected frames per second such as 25 or 30000/1001."
            )
        return nominal_rate(rate)

    @property
    def start(self) -> Timecode:
        """Time code of a video's first frame.

        Raises:
            WtalError: if it is none.
        """
        found = _TIMECODE.fullmatch(self.timecode or "00:00:00:00")
        if found is None or int(found[1]) > 23:
            raise WtalError(
                f"--timecode is {self.timecode!r}; expected HH:MM:SS:FF such as 10:00:00:00."
            )
        return Timecode(*map(int, found.groups()))
