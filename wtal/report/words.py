"""What `wtal report` was asked for, checked before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wtal.errors import WtalError
from wtal.report.data import Cost
from wtal.runs import DETECTIONS_FILE, check_localized, result_file

LEDGER = "run.json"  # as in wtal.pipeline.places, which would bring torch
REPORT_FILE = "report.html"
TOP = 200  # detections of one video that a person might look through
ENDINGS = (".html", ".htm")


@dataclass(frozen=True)
class Words:
    """The options of the command, as they were given.

    Args:
        detections: result file, or a run folder.
        out: page to write; None: report.html in the run, or beside the result file.
        run: folder of the model; None: that of the detections, if it is one.
        features: store that the curves are drawn from; None: that of the run.
        videos: folder of the videos.
        annotations: ActivityNet JSON.
        tags: CSV; None: the labels of the annotations, or the tags of the run.
        corrections: file that the page begins with.
        subset: only its videos.
        protocol: of the evaluation; None: that of `wtal eval`.
        versus: (name, result file or run) whose mAP stands beside.
        top: best detections of a video.
        title: of the page; None: name of the folder.
        costs: what the stages took; none: the training of the run.
        fps, stride: of a store without a manifest.
    """

    detections: Path
    out: Path | None = None
    run: Path | None = None
    features: Path | None = None
    videos: Path | None = None
    annotations: Path | None = None
    tags: Path | None = None
    corrections: Path | None = None
    subset: str | None = None
    protocol: str | None = None
    versus: tuple[tuple[str, Path], ...] = ()
    top: int = TOP
    title: str | None = None
    costs: tuple[Cost, ...] = ()
    fps: float | None = None
    stride: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be done, before anything is read.

        Raises:
            WtalError: with the option and what it may be.
        """
        if self.top < 1:
            raise WtalError(f"--top is {self.top}; expected at least 1 detection of a video.")
        if self.annotations is None:
            for option in ("versus", "protocol"):
                if getattr(self, option):
                    raise WtalError(f"--{option} is measured with --annotations FILE.json.")
        if self.features is not None and self.folder is None:
            raise WtalError(
                f"--features draws the curves of a model, and {self.detections} alone has none; "
                "name the folder of its run."
            )
        for path in (self.detections, *(path for _, path in self.versus)):
            check_localized(path)
        self._check_out()

    def _check_out(self) -> None:
        """A page, that is none of the inputs."""
        beside = self.target.with_name(LEDGER)
        if self.out is None and self.target.name == REPORT_FILE and beside.is_file():
            raise WtalError(
                f"{self.target} is the page of `wtal run`, which keeps it up to date; name another "
                "with --out."
            )
        if self.target.is_dir():
            raise WtalError(
                f"--out {self.target} is a folder; name a file, such as "
                f"{self.target / REPORT_FILE}."
            )
        if self.target.suffix.lower() not in ENDINGS:
            raise WtalError(f"--out is {self.target}; expected a name that ends in .html.")

    @property
    def file(self) -> Path:
        """The result file."""
        return result_file(self.detections)

    @property
    def folder(self) -> Path | None:
        """The run folder; None where there is none."""
        if self.run is not None:
            return self.run
        near = self.detections if self.detections.is_dir() else self.detections.parent
        return near if (near / "config.yaml").is_file() else None

    @property
    def target(self) -> Path:
        """The page to write."""
        if self.out is not None:
            return self.out
        if self.file.name == DETECTIONS_FILE:
            return self.file.with_name(REPORT_FILE)
        return self.file.with_name(f"{self.file.stem}-{REPORT_FILE}")


def named_results(words: Sequence[str]) -> tuple[tuple[str, Path], ...]:
    """`NAME=FILE` of the command line; FILE is a result file or a run folder.

    Raises:
        WtalError: a word has another form, or two have one name.

    Example:
        >>> named_results(["BaS-Net=runs/basnet.json"])
        (('BaS-Net', PosixPath('runs/basnet.json')),)
    """
    found: dict[str, Path] = {}
    for word in words:
        name, equals, file = (part.strip() for part in word.partition("="))
        if not (name and equals and file):
            raise WtalError(
                f"--versus is {word!r}; expected NAME=FILE, such as BaS-Net=runs/basnet."
            )
        if name in found:
            raise WtalError(f"--versus names {name!r} twice; expected different names.")
        found[name] = Path(file)
    return tuple(found.items())
