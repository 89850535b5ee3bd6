"""The networks of cross-fitting: each learns from some training videos and judges the others.

All tagged videos usually taught the run itself, which is too sure of them. So they are parted in K
folds; K networks of the same config learn from the others each.

Shapes: V videos, C classes, K folds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from wtal.calibration.folds import folds_of
from wtal.config import Config, dump_config, load_config
from wtal.corrections.file import Corrections, read_corrections
from wtal.corrections.tags import merge
from wtal.data import select_subset
from wtal.errors import WtalError
from wtal.inputs import Labels
from wtal.schedule import numpy_generator
from wtal.training import CORRECTIONS_FILE, train
from wtal.validation import ValidationConfig
from wtal_features import FeatureStore

FOLDS_FOLDER = "calibration"  # in the run, until calibration.json is written
LEARNED = "learned from"


@dataclass(frozen=True)
class CrossFit:
    """The training of a run, to be done again in parts.

    Args:
        run: its folder.
        config: of the run, but for what is held out: nothing.
        labels: tags as the run had them, corrections included.
        corrections: of the training videos, or None.
        folds: K times the videos of a fold.
    """

    run: Path
    config: Config
    labels: Labels
    corrections: Corrections | None
    folds: tuple[tuple[str, ...], ...]

    @classmethod
    def plan(cls, run: Path, store: FeatureStore, labels: Labels, K: int) -> CrossFit:
        """Part the training videos of a run that the store holds.

        Raises:
            WtalError: there are fewer videos than folds, or less than two folds.
        """
        config = replace(load_config(run / "config.yaml"), validation=ValidationConfig())
        chosen, _ = select_subset(labels.subsets, config.data.train_subset, labels.source)
        names = [name for name in chosen if name in store]
        if not 2 <= K <= len(names):
            raise WtalError(
                f"--folds is {K}; expected at least 2 and at most one for each of the "
                f"{len(names)} training videos."
            )
        corrections = None
        if (run / CORRECTIONS_FILE).is_file():
            labels, corrections = merge(labels, read_corrections(run / CORRECTIONS_FILE), names)
        classes = sorted({tag for name in names for tag in labels.tags[name]})
        labels_VC = np.array([[c in labels.tags[name] for c in classes] for name in names], bool)
        fold_V = folds_of(labels_VC, K, numpy_generator(config.train.seed, "folds"))
        parts = [
            tuple(name for name, fold in zip(names, fold_V, strict=True) if fold == k)
            for k in range(K)
        ]
        config = replace(config, data=replace(config.data, train_subset=LEARNED))
        return cls(run, config, labels, corrections, tuple(parts))

    def learn(
        self,
        k: int,
        store: FeatureStore,
        device: torch.device | str,
        quiet: bool,
    ) -> Path:
        """Train the network of one fold, or go on with it; its run folder.

        What a training says of its tags was said of those of the whole.

        Raises:
            KeyboardInterrupt: it was stopped, with a checkpoint.
        """
        held_out = frozenset(self.folds[k])
        names = {name for fold in self.folds for name in fold}
        # The tags of the others stay away: that a fold lacks a class says nothing to the user.
        subsets = dict.fromkeys(sorted(names - held_out), LEARNED)
        tags = {name: self.labels.tags[name] for name in subsets}
        labels = replace(self.labels, tags=tags, subsets=subsets, annotations=None, notes=())
        corrections = self.corrections and self.corrections.only(frozenset(names - held_out))
        out = self.run / FOLDS_FOLDER / f"{self.key()}-{k}"
        result = train(
            *(self.config, store, labels, out),
            resume=out.exists(),
            device=device,
            quiet=quiet,
            corrections=corrections,
        )
        if result.interrupted:
            raise KeyboardInterrupt
        return out

    def key(self) -> str:
        """Tells this plan from another of the same run: what it learned stays apart."""
        tags = [(name, self.labels.tags[name]) for fold in self.folds for name in fold]
        corrections = self.corrections and self.corrections.digest()
        told = [self.folds, tags, dump_config(self.config), corrections]
        return hashlib.sha256(repr(told).encode()).hexdigest()[:12]


def check_tags(classes: Sequence[str], labels: Labels, videos: Sequence[str]) -> None:
    """Refuse videos of which the tags are unknown, or of other classes altogether.

    Raises:
        WtalError: with the first.
    """
    unknown = [video for video in videos if video not in labels.tags]
    if unknown or not videos:
        what = f"says nothing of video '{unknown[0]}'" if unknown else "names no video"
        raise WtalError(f"{labels.source} {what}; expected the tags of videos to calibrate on.")
    if not set(classes) & {tag for video in videos for tag in labels.tags[video]}:
        raise WtalError(
            f"No tag of {labels.source} is a class of this run ({', '.join(classes[:3])} ...); "
            "expected tags of the same kind as it was trained with."
        )
