"""Where the files of a run lie, and that its folder is its own.

run.json        the ledger: what was done, of what, and how long it took
features/       feature store
encoder/        pre-training, where there was one
model/          run folder of the training, with calibration.json
tags.csv        the tags that were learned from and looked at, under the names of the videos
checks.txt      what the doctor said
skipped.json    videos that cannot be used, and why
detections.json everything that was found
exports/        the sure detections for people's tools
report.html     the page
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from wtal.errors import WtalError
from wtal_features.files import TEMPORARY_PREFIX, make_folder, sweep

LEDGER = "run.json"
_HARMLESS = {".lock", ".DS_Store"}


@dataclass(frozen=True)
class Places:
    """Paths in the folder of a run."""

    root: Path

    def sweep(self) -> None:
        """Remove what a killed run left half-written; `features` looks after itself."""
        folders = [self.root, self.model, self.encoder, self.exports, *self.exports.glob("*/")]
        sweep(*folders)

    @property
    def ledger(self) -> Path:
        """What was done."""
        return self.root / LEDGER

    @property
    def headers(self) -> Path:
        """Lengths and rates of videos that were looked at."""
        return self.root / ".headers.json"

    @property
    def features(self) -> Path:
        """The store."""
        return self.root / "features"

    @property
    def encoder(self) -> Path:
        """Of the pre-training."""
        return self.root / "encoder"

    @property
    def model(self) -> Path:
        """Run folder of the training."""
        return self.root / "model"

    @property
    def tags(self) -> Path:
        """Tags under the names of the videos."""
        return self.root / "tags.csv"

    @property
    def checks(self) -> Path:
        """The doctor's findings."""
        return self.root / "checks.txt"

    @property
    def skipped(self) -> Path:
        """Videos that cannot be used."""
        return self.root / "skipped.json"

    @property
    def localized(self) -> Path:
        """Detections video by video, as they come."""
        return self.root / ".localized.jsonl"

    @property
    def detections(self) -> Path:
        """The result file."""
        return self.root / "detections.json"

    @property
    def exports(self) -> Path:
        """Folder of the exports."""
        return self.root / "exports"

    @property
    def report(self) -> Path:
        """The page."""
        return self.root / "report.html"


def refuse_other(root: Path, videos: Path) -> None:
    """Refuse a folder that holds something else, or that would be searched for videos.

    Raises:
        WtalError: naming what is there.
    """
    inside, source = root.resolve(), videos.resolve()
    if inside == source or source in inside.parents:
        raise WtalError(
            f"{root} lies in the folder of the videos, which is searched; choose a place outside "
            "with --out."
        )
    if root.exists() and not root.is_dir():
        raise WtalError(f"--out {root} is a file; expected a folder.")
    if not root.exists() or (root / LEDGER).is_file():
        return
    names = sorted(path.name for path in root.iterdir() if path.name not in _HARMLESS)
    # A kill may come while the first ledger is written.
    found = [name for name in names if not name.startswith(TEMPORARY_PREFIX)]
    if found:
        raise WtalError(
            f"{root} holds {found[0]!r} and was not made by `wtal run`; choose a new or empty "
            "folder for --out."
        )


def cleared(folder: Path) -> None:
    """Take a folder of ours away, to be made anew; a link goes, what it points to stays."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def made(folder: Path) -> Path:
    """The folder, made where it is missing."""
    make_folder(folder)
    return folder
