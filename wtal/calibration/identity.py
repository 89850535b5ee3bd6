"""Whose scores a calibration speaks of: a digest of weights and of how they become segments."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from wtal.calibration.file import CALIBRATION_FILE, read_calibration
from wtal.calibration.scale import Calibration
from wtal.checkpoint import MODEL_FILE
from wtal.localize import Localizer
from wtal_features.checkpoints.reading import sha256_of


def identity_of(run: Path, localizer: Localizer) -> str:
    """16 digits; other weights or another setting that scores depend on give others.

    How many detections are kept of a video changes no score.

    Args:
        run: the folder that the localizer was loaded from.
        localizer: with all its overrides.
    """
    settings = {name: v for name, v in vars(localizer.config).items() if name != "max_detections"}
    data = localizer.data.resample, localizer.data.length
    told = [sha256_of(run / MODEL_FILE), sorted(settings.items()), localizer.compat, data]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def calibration_of(
    run: Path, localizer: Localizer, warn: Callable[[str], None]
) -> Calibration | None:
    """The calibration of a run, if it speaks of the scores that this localizer gives.

    Args:
        run: the folder that the localizer was loaded from.
        localizer: with all its overrides.
        warn: told why a calibration that is there is not used.

    Raises:
        WtalError, FeatureError: the file cannot be read.
    """
    found = read_calibration(run)
    if found is None or found.model == identity_of(run, localizer):
        return found
    warn(
        f"{run / CALIBRATION_FILE} is left out: it was made for other weights or other localize.* "
        f"settings than these. Run `wtal calibrate {run}` again, or localize as then."
    )
    return None
