"""`calibrate`: confidences for a run, from tagged videos that the judging network never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from wtal.calibration.crossfit import FOLDS_FOLDER, CrossFit, check_tags
from wtal.calibration.evidence import Evidence, Scored, gather
from wtal.calibration.file import write_calibration
from wtal.calibration.fitting import fit
from wtal.calibration.identity import identity_of
from wtal.calibration.scale import Calibration
from wtal.inputs import Labels
from wtal.localize import Localizer
from wtal.schedule import numpy_generator
from wtal_features import FeatureStore
from wtal_features.files import lock, remove_folder, sweep

FOLDS = 3
FEW_VIDEOS = 50  # fewer are said aloud

Progress = Callable[[int, int], None]
Say = Callable[[str], None]
Faults = dict[str, str]  # of videos


class Collected(NamedTuple):
    """Evidence, where it is from in words, and whose scores it is of."""

    evidence: Evidence
    method: str
    model: str


def _unseen(done: int, total: int) -> None:
    """Progress that nobody sees."""


def calibrate(
    run: Path,
    store: FeatureStore,
    labels: Labels,
    *,
    videos: Sequence[str] | None = None,
    folds: int = FOLDS,
    overrides: Sequence[str] = (),
    device: torch.device | str = "cpu",
    quiet: bool = True,
    notify: Say = lambda text: None,
    progress: Progress = _unseen,
) -> Calibration:
    """Write calibration.json into a run folder.

    Stopped in the middle, the same call goes on: what the folds have learned lies in `calibration/`
    of the run until the end.

    Args:
        run: the folder.
        store: features of the kind that it was trained on.
        labels: tags of the videos; they must be complete: what is found of a missing tag is wrong.
        videos: tagged videos that the run did not learn from, which it judges itself; None: its
            training videos, by folds.
        folds: K, at least 2.
        overrides: `localize.class_threshold=.2` and the like, as localization will have them.
        device: where to compute.
        quiet: no progress bars of the trainings.
        notify: told what was left out, and what makes the confidences doubtful.
        progress: told (done, total) trainings of folds, or videos where there are none.

    Raises:
        WtalError, FeatureError: bad input, or nothing to learn from.
    """
    run = Path(run)
    with lock(run):
        sweep(run)
        evidence, method, model = collect(
            *(run, store, labels, videos, folds),
            overrides=overrides,
            device=device,
            quiet=quiet,
            notify=notify,
            progress=progress,
        )
        notes = doubts(evidence)
        for note in notes:
            notify(note)
        about = {"method": method, "labels": labels.source, "notes": notes}
        calibration = fit(evidence, model, about)
        write_calibration(run, calibration)
        remove_folder(run / FOLDS_FOLDER)  # half of it would be folds to go on with
    return calibration


def collect(
    run: Path,
    store: FeatureStore,
    labels: Labels,
    videos: Sequence[str] | None,
    folds: int,
    *,
    overrides: Sequence[str],
    device: torch.device | str,
    quiet: bool,
    notify: Say,
    progress: Progress,
) -> Collected:
    """What is known of the detections; the arguments are those of `calibrate`."""
    own = Localizer.load(run, device, overrides)  # first: its faults cost no training
    model = identity_of(run, own)

    def judge(
        by: Path, tags: Labels, names: Sequence[str], k: int, progress: Progress = _unseen
    ) -> Evidence:
        localizer = own if by == run else Localizer.load(by, device, overrides)
        part, faults = judged(localizer, store, tags, names, k, progress)
        for name, fault in faults.items():
            notify(f"{name} is left out: {fault}")
        return part

    if videos is not None:
        check_tags(own.classes, labels, videos)
        known = [video for video in videos if video in store]
        return Collected(
            judge(run, labels, known, 0, progress), "videos it did not learn from", model
        )
    plan = CrossFit.plan(run, store, labels, folds)
    check_tags(own.classes, plan.labels, [name for fold in plan.folds for name in fold])
    parts = []
    progress(0, len(plan.folds))
    for k, names in enumerate(plan.folds):
        network = plan.learn(k, store, device, quiet)
        parts.append(judge(network, plan.labels, names, k))
        progress(k + 1, len(plan.folds))
    return Collected(Evidence.joined(parts), f"{folds} folds of the training videos", model)


def judged(
    localizer: Localizer,
    store: FeatureStore,
    labels: Labels,
    names: Sequence[str],
    k: int,
    progress: Progress,
) -> tuple[Evidence, Faults]:
    """What a network finds in videos that it did not learn from, and the faults of videos.

    Args:
        localizer: the network.
        store: features.
        labels: tags.
        names: the videos.
        k: which draw of decoys.
        progress: told (done, total) videos.
    """
    if localizer.context is not None:
        localizer.context.check(store)

    def read(name: str) -> Scored:
        seconds = store.timing(name).seconds_per_snippet
        return Scored(localizer.scores(store.read(name)), frozenset(labels.tags[name]), seconds)

    return gather(localizer, read, names, numpy_generator(0, "decoys", k), progress)


def doubts(evidence: Evidence) -> list[str]:
    """Sentences on what this evidence cannot show."""
    said = []
    if evidence.videos < FEW_VIDEOS:
        said.append(
            f"Only {evidence.videos} videos to calibrate on: read the interval, not the figure."
        )
    if evidence.localized == 0:
        said.append("No tag was found in its video: every detection counts as wrong.")
    elif evidence.without_decoys == evidence.localized:
        said.append(
            "No video lacks a tag that others have, so that nothing shows how often background "
            "passes for an action: the confidences are upper bounds. Videos without the action, "
            "tagged with an empty label, mend that."
        )
    elif 2 * evidence.without_decoys > evidence.localized:
        said.append(
            f"Of {evidence.localized} tags that were found, {evidence.without_decoys} are of "
            "classes that nearly every video has; the others stand in for them."
        )
    return said


def summary(calibration: Calibration) -> list[str]:
    """What was found, in lines for a person."""
    about: dict[str, Any] = dict(calibration.about)
    low, high = about["sure_right_interval"]
    lines = [
        f"calibrated on {about['method']}: {about['videos']} videos, {about['detections']} "
        f"detections, {about['decoys']} of decoys"
    ]
    if not about["sure"]:
        most = calibration.confidences[-1]
        return [*lines, f"no detection is sure: the highest confidence is {most:.2f}"]
    return [
        *lines,
        f"the sure ones: score {calibration.threshold:.4g} and above, {about['sure']} detections, "
        f"{100 * about['sure_right']:.0f} % of them right (estimated; between {100 * low:.0f} and "
        f"{100 * high:.0f} % on resampled videos)",
    ]
