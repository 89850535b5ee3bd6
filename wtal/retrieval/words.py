"""What `wtal retrieve` was asked for, checked before anything is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from wtal.errors import WtalError
from wtal_eval.retrieval import PROTOCOLS
from wtal_features.retrieval.similarity import KINDS, Kind

ABOVE: Mapping[str, float] = {"cosine": 0.96, "chamfer": 0.9, "symmetric": 0.85}
"""From which two videos are near-duplicates, if nobody says otherwise. On 400 sequences of real
VGG16 features different videos reach .955, .91 and .83; of whole copies with noise of half the
features' spread 95 % have .985, .87 and .86 or more, at half or double the rate .99, .97 and .96.
Halves are found by chamfer alone (.97; the others .65 and .81)."""

SURE = 0.5


@dataclass(frozen=True)
class Words:
    """The options of the command, as they were given.

    Args:
        query: feature store, `.npy` file, or a video of the gallery.
        gallery: feature store; None: that of the query.
        model: file of `wtal pretrain tca`.
        by: similarity.
        top: neighbours of each query.
        subset: of the queries.
        tags, annotations: of the videos.
        fps, stride: for stores without a manifest.
        out: ranked neighbours, `.json` or `.csv`.
        duplicates: CSV of near-duplicates.
        above: from which similarity on; None: `ABOVE`.
        suggest: CSV of tags, suggestions among them.
        sure: from which confidence on; None: `SURE`.
        truth, protocol: what the ranking is scored against.
    """

    query: str
    gallery: Path | None = None
    model: Path | None = None
    by: str = "symmetric"
    top: int = 10
    subset: str | None = None
    tags: Path | None = None
    annotations: Path | None = None
    fps: float | None = None
    stride: float | None = None
    out: Path | None = None
    duplicates: Path | None = None
    above: float | None = None
    suggest: Path | None = None
    sure: float | None = None
    truth: Path | None = None
    protocol: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be done, before hours are spent.

        Raises:
            WtalError: with the option and what it may be.
        """
        if self.by not in KINDS:
            raise WtalError(f"--by is {self.by!r}; expected {', '.join(KINDS)}.")
        _in_range("--above", self.above, -1)
        _in_range("--sure", self.sure, 0)
        self._check_partners()
        self._check_places()
        if self.protocol is not None and self.protocol not in PROTOCOLS:
            known = ", ".join(PROTOCOLS)
            raise WtalError(f"--protocol is {self.protocol!r}; expected one of {known}.")

    def _check_partners(self) -> None:
        """Options that mean nothing alone."""
        labelled = self.tags is not None or self.annotations is not None
        if self.above is not None and self.duplicates is None:
            raise WtalError("--above goes with --duplicates FILE.csv.")
        if self.duplicates is not None and self.model is not None and self.above is None:
            raise WtalError(
                "The default of --above was not set for the rows of a --model; give --above with "
                "--duplicates."
            )
        if self.sure is not None and self.suggest is None:
            raise WtalError("--sure goes with --suggest FILE.csv.")
        if self.suggest is not None and not labelled:
            raise WtalError(
                "--suggest needs the tags there are: --tags FILE.csv or --annotations FILE.json."
            )
        if labelled and self.suggest is None and self.subset is None:
            raise WtalError("--tags and --annotations go with --suggest or --subset.")
        if (self.truth is None) != (self.protocol is None):
            known = ", ".join(PROTOCOLS)
            raise WtalError(f"--truth FILE and --protocol go together; protocols: {known}.")

    def _check_places(self) -> None:
        """Files that cannot be written, or would take the place of others."""
        places = {
            "--out": (self.out, (".json", ".csv")),
            "--duplicates": (self.duplicates, (".csv",)),
            "--suggest": (self.suggest, (".csv",)),
        }
        taken = {
            option: path.resolve()
            for option, path in (
                *(("--tags", self.tags), ("--annotations", self.annotations)),
                *(("--truth", self.truth), ("--model", self.model)),
            )
            if path is not None
        }
        for option, (path, endings) in places.items():
            if path is None:
                continue
            _check_place(option, path, endings)
            for other, place in taken.items():
                if place == path.resolve():
                    raise WtalError(f"{other} and {option} are both {path}; choose another name.")
            taken[option] = path.resolve()

    @property
    def kind(self) -> Kind:
        """The similarity."""
        return cast(Kind, self.by)

    @property
    def least(self) -> float:
        """Similarity of near-duplicates."""
        return ABOVE[self.by] if self.above is None else self.above

    @property
    def confidence(self) -> float:
        """Of suggestions that are written."""
        return SURE if self.sure is None else self.sure


def _in_range(option: str, value: float | None, low: int) -> None:
    if value is not None and not low <= value <= 1:
        raise WtalError(f"{option} is {value:g}; expected a number from {low} to 1.")


def _check_place(option: str, path: Path, endings: tuple[str, ...]) -> None:
    if path.is_dir():
        raise WtalError(f"{option} is {path}, a folder; expected the name of a file.")
    if path.suffix.lower() not in endings:
        raise WtalError(f"{option} is {path}; expected a name that ends in {' or '.join(endings)}.")
    if not path.parent.is_dir():
        raise WtalError(f"{option} is {path}; make the folder {path.parent} first.")
