"""Stage `calibrate`: which score means how sure, learned from the tags by networks of folds."""

from __future__ import annotations

import time

import torch

from wtal.calibration import CALIBRATION_FILE
from wtal.calibration.job import calibrate, summary
from wtal.errors import WtalError
from wtal.pipeline.extraction import Extracted
from wtal.pipeline.ledger import Ledger, digest
from wtal.pipeline.places import Places
from wtal.pipeline.tagging import Tagging
from wtal.pipeline.telling import Telling
from wtal.pipeline.words import Words

STAGE = "calibrate"
FEWEST_IN_A_FOLD = 2


def calibrating(
    words: Words,
    tagging: Tagging,
    extracted: Extracted,
    places: Places,
    ledger: Ledger,
    device: torch.device,
    telling: Telling,
) -> str:
    """Write calibration.json into the model folder, where there is enough to learn it from.

    Returns:
        What came of it, in a few words.

    Raises:
        FeatureError: the store cannot be read.
        KeyboardInterrupt: what the folds have learned is kept.
    """
    folds, train = words.own.calibrate.folds, ledger.record("train")
    key = digest(train.key if train else "", words.of("localize"), folds)
    record, file = ledger.record(STAGE), places.model / CALIBRATION_FILE
    done = record is not None and ledger.done(STAGE, key)
    if record is not None and done and (file.is_file() or not record.about["calibrated"]):
        return f"{record.about['outcome']}, unchanged"
    ledger.begin(STAGE, key)
    started = time.perf_counter()
    outcome, calibrated = "left out", False
    file.unlink(missing_ok=True)  # it speaks of other weights or settings
    if folds and len(tagging.training) < FEWEST_IN_A_FOLD * folds:
        outcome = f"left out, for it needs {FEWEST_IN_A_FOLD * folds} tagged videos"
    elif folds:
        outcome, calibrated = _calibrate(words, tagging, extracted, places, device, telling)
    ledger.finish(STAGE, time.perf_counter() - started, outcome=outcome, calibrated=calibrated)
    return outcome


def _calibrate(
    words: Words,
    tagging: Tagging,
    extracted: Extracted,
    places: Places,
    device: torch.device,
    telling: Telling,
) -> tuple[str, bool]:
    """The outcome, and whether there is a scale."""
    with telling.bar("calibrating", "training") as progress:
        try:
            scale = calibrate(
                *(places.model, extracted.store, tagging.labels),
                folds=words.own.calibrate.folds,
                overrides=[f"localize.{text}" for text in words.of("localize")],
                device=device,
                quiet=telling.quiet,
                notify=lambda text: telling.warn(f"calibration: {text}"),
                progress=progress,
            )
        except WtalError as error:  # too few videos, or nothing found: no scale, and no harm
            return f"left out: {error}", False
    return summary(scale)[-1].removesuffix("."), True
