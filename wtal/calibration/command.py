"""What `wtal calibrate` calls: choose the videos, calibrate each run, compare if asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from wtal.calibration.file import CALIBRATION_FILE
from wtal.calibration.job import FOLDS, calibrate, summary
from wtal.calibration.reliability import compare, draw, hits_of, table
from wtal.calibration.scale import Calibration
from wtal.data import select_subset
from wtal.errors import WtalError
from wtal.inputs import Labels, read_labels, videos_of
from wtal.localize import Localizer
from wtal_features import FeatureError, FeatureStore, open_store

Progress = Callable[[int, int], None]
Bar = Callable[[str, str], AbstractContextManager[Progress]]  # of a title and a unit
Say = Callable[[str], None]


@dataclass(frozen=True)
class Words:
    """The options of the command, as they were given.

    Args:
        runs: run folders.
        features: the store.
        tags: CSV of tags.
        annotations: ActivityNet JSON; its labels serve as tags where there are none.
        subset: tagged videos to calibrate on; None, or what the run learned from: folds of that.
        folds: parts of the training videos.
        check: subset whose annotations are compared with the confidences.
        plot: PNG of that comparison.
        overrides: of the localizer.
        fps: of a store without manifest.
        stride: of a store without manifest.
    """

    runs: Sequence[Path]
    features: Path
    tags: Path | None = None
    annotations: Path | None = None
    subset: str | None = None
    folds: int = FOLDS
    check: str | None = None
    plot: Path | None = None
    overrides: Sequence[str] = ()
    fps: float | None = None
    stride: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be done, before anything is read.

        Raises:
            WtalError: with the option.
        """
        if self.check is not None and self.annotations is None:
            raise WtalError("--check compares with segments: it needs --annotations FILE.json.")
        if self.plot is not None and self.check is None:
            raise WtalError("--plot draws what --check SUBSET compares; name the subset.")
        if self.plot is not None and len(self.runs) > 1:
            raise WtalError(f"--plot is one file, but there are {len(self.runs)} runs; name one.")

    def labels(self) -> Labels:
        """The tags; those of the annotations where no CSV is given."""
        return read_labels(self.tags, None if self.tags is not None else self.annotations)


def run(
    words: Words, *, device: torch.device | str, quiet: bool, bar: Bar, show: Say, warn: Say
) -> None:
    """Calibrate every run.

    Args:
        words: the options.
        device: where to compute.
        quiet: no progress bars of the trainings.
        bar: shows progress, under a title.
        show: told what was found.
        warn: told what makes it doubtful.

    Raises:
        WtalError, FeatureError, EvalError: what the user can mend.
    """
    labels = words.labels()
    for folder in words.runs:
        localizer = Localizer.load(folder, device, words.overrides)
        store = open_store(
            words.features, streams=localizer.data.streams, fps=words.fps, stride=words.stride
        )
        videos = _videos(words, localizer, labels)
        with bar("judging", "training" if videos is None else "video") as progress:
            calibration = calibrate(
                folder,
                store,
                labels,
                videos=videos,
                folds=words.folds,
                overrides=words.overrides,
                device=device,
                quiet=quiet,
                notify=warn,
                progress=progress,
            )
        for line in summary(calibration):
            show(line)
        show(f"{folder / CALIBRATION_FILE}: `wtal localize` puts it into its results.")
        if words.check is not None:
            with bar("comparing", "video") as progress:
                for line in _compared(words, calibration, localizer, store, progress):
                    show(line)


def _videos(words: Words, localizer: Localizer, labels: Labels) -> list[str] | None:
    """Videos that the run did not learn from, or None: those that it did."""
    if words.subset is None:
        return None
    chosen = videos_of(labels, words.subset)
    learned, _ = select_subset(labels.subsets, localizer.data.train_subset, labels.source)
    return None if set(chosen) <= set(learned) else chosen


def _compared(
    words: Words,
    calibration: Calibration,
    localizer: Localizer,
    store: FeatureStore,
    progress: Progress,
) -> list[str]:
    """The table of the subset that is compared; the plot is written."""
    annotations = read_labels(annotations=words.annotations)
    assert annotations.annotations is not None  # that is what was read
    assert words.check is not None
    names = [name for name in videos_of(annotations, words.check) if name in store]
    results = {}
    for done, (name, found) in enumerate(localizer.localize_store(store, names), 1):
        if not isinstance(found, FeatureError):
            results[name] = found.as_dicts()
        progress(done, len(names))
    hits = hits_of({"results": results}, annotations.annotations, subset=words.check)
    found_H = compare(calibration, hits)
    if words.plot is not None:
        draw(found_H, words.plot, f"{words.runs[0].name}, {len(results)} videos of {words.check}")
    return table(found_H)
