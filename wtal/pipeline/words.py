"""What `wtal run` was asked for, checked before anything is read."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from wtal.calibration.job import FOLDS
from wtal.config import Config, load_config, read_config
from wtal.errors import WtalError
from wtal.exports import FORMATS
from wtal_features.methods.catalog import METHODS

ALWAYS = ("csv", "webvtt", "eaf")  # exports that nobody has to ask for


@dataclass(frozen=True)
class ExtractChoice:
    """How features are made: `-o extract.KEY=VALUE`; `auto` is chosen from the videos."""

    fps: float | Literal["auto"] = "auto"
    """Frames per second of the grid."""
    stride: int | Literal["auto"] = "auto"
    """Grid frames per snippet."""
    motion: Literal["mv", "dis", "farneback", "tvl1"] = "mv"
    """Where encoders of motion get it; `mv` needs no further package."""
    partial: bool = False
    """Keep what is there of videos that are cut short."""
    width: float | None = None
    """Of a network with random weights."""
    size: int | None = None
    """Pixels that it sees."""


@dataclass(frozen=True)
class ExportChoice:
    """Which detections are exported: `-o export.KEY=VALUE`; detections.json always has all."""

    sure_only: bool = True
    """Only the sure ones, and of each tag of a training video at least the best."""
    tags_only: bool = True
    """Of a training video only what it is tagged with."""


@dataclass(frozen=True)
class CalibrateChoice:
    """How the sure ones are found: `-o calibrate.KEY=VALUE`."""

    folds: int = FOLDS
    """So many more trainings; 0: none, and nobody knows which detections are sure."""

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.folds < 0 or self.folds == 1:
            raise WtalError(f"calibrate.folds is {self.folds}; expected 0, or at least 2.")


@dataclass(frozen=True)
class OwnConfig:
    """The sections that the pipeline reads itself."""

    extract: ExtractChoice = field(default_factory=ExtractChoice)
    calibrate: CalibrateChoice = field(default_factory=CalibrateChoice)
    export: ExportChoice = field(default_factory=ExportChoice)


_OWN = ("extract", "calibrate", "export")


@dataclass(frozen=True)
class Words:
    """The options of the command, as they were given.

    Args:
        videos: folder, searched through, or one file.
        tags: CSV with the columns video,label.
        annotations: ActivityNet JSON: scores the result, and serves as tags where there are none.
        out: folder of the results; None: beside the videos.
        encoders: as for `wtal extract`; none: the best that is installed.
        pretrain: method that makes an encoder of the videos first.
        corrections: what was accepted, rejected and added in the page.
        overrides: `section.key=value`: extract, calibrate, export, `pretrain.section`, or one that
            the training reads.
        exports: formats besides `ALWAYS`.
    """

    videos: Path
    tags: Path | None = None
    annotations: Path | None = None
    out: Path | None = None
    encoders: tuple[str, ...] = ()
    pretrain: str | None = None
    corrections: Path | None = None
    overrides: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            WtalError: with the option and what it may be.
        """
        if self.tags is None and self.annotations is None:
            raise WtalError(
                "Say what happens in the videos: --tags FILE.csv with the columns video,label, or "
                "--annotations FILE.json."
            )
        if self.pretrain is not None and self.encoders:
            raise WtalError("--pretrain makes the encoder; leave --encoder away, or --pretrain.")
        if self.pretrain == "tca":
            raise WtalError(
                "--pretrain tca makes no encoder, but context for features: "
                "`wtal pretrain tca` and features/RETRIEVAL.md."
            )
        _refuse_unknown("--pretrain", self.pretrain, METHODS)
        for name in self.exports:
            _refuse_unknown("--export", name, FORMATS)
        if self.pretrain is None and self.of("pretrain"):
            raise WtalError(f"-o pretrain.{self.of('pretrain')[0]} needs --pretrain METHOD.")
        _ = self.own, self.config

    @property
    def folder(self) -> Path:
        """Where the results go."""
        if self.out is not None:
            return self.out
        whole = self.videos.resolve()
        return whole.with_name(f"{whole.stem if whole.is_file() else whole.name}-wtal")

    def of(self, section: str) -> tuple[str, ...]:
        """The overrides of one section, without its name."""
        start = f"{section}."
        return tuple(o.strip().removeprefix(start) for o in self._in(section))

    @property
    def own(self) -> OwnConfig:
        """The sections that the pipeline reads itself.

        Raises:
            WtalError: unknown key, wrong type.
        """
        texts = [text for section in _OWN for text in self._in(section)]
        return read_config(OwnConfig(), None, texts)[0]

    @property
    def training(self) -> tuple[str, ...]:
        """The overrides that the training reads."""
        others = {text for section in (*_OWN, "pretrain") for text in self._in(section)}
        return tuple(text for text in self.overrides if text not in others)

    @property
    def config(self) -> Config:
        """Training and localization.

        Raises:
            WtalError: unknown key, wrong type, value out of range.
        """
        return load_config(None, self.training)

    def _in(self, section: str) -> tuple[str, ...]:
        return tuple(text for text in self.overrides if text.strip().startswith(f"{section}."))


def _refuse_unknown(option: str, name: str | None, known: object) -> None:
    """Name the nearest of what there is."""
    names = list(known) if isinstance(known, dict) else []
    if name is None or name in names:
        return
    near = difflib.get_close_matches(name, names, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise WtalError(f"{option} is {name!r}; expected {', '.join(names)}.{hint}")
