"""Stage `report`: the page that plays the answer; with annotations it says how good it is."""

from __future__ import annotations

import time

import torch

from wtal import __version__
from wtal.pipeline.footage import Footage
from wtal.pipeline.ledger import Ledger, digest, file_digest
from wtal.pipeline.places import Places
from wtal.pipeline.telling import Telling
from wtal.pipeline.words import Words
from wtal.report import Cost, make_report
from wtal_features.errors import counted

STAGE = "report"
_TITLES = {
    "pretrain": "pre-training",
    "extract": "extraction",
    "train": "training",
    "calibrate": "calibration",
    "localize": "localization",
    "export": "exports",
}


def reporting(
    words: Words,
    footage: Footage,
    places: Places,
    ledger: Ledger,
    device: torch.device,
    telling: Telling,
) -> tuple[str, bool]:
    """Write report.html.

    Returns:
        The score in a few words, empty without annotations; and whether it was written now.

    Raises:
        WtalError, FeatureError, EvalError: what the user can mend.
    """
    inputs = (places.detections, places.tags, words.annotations, words.corrections, places.skipped)
    key = digest(__version__, footage.key, [file_digest(path) for path in inputs])
    before = ledger.record(STAGE)
    if before is not None and ledger.done(STAGE, key) and places.report.is_file():
        return str(before.about["figure"]), False
    ledger.begin(STAGE, key)
    started = time.perf_counter()
    page = make_report(
        places.report,
        places.detections,
        run=places.model,
        features=places.features,
        videos=words.videos,
        annotations=words.annotations,
        tags=places.tags,
        corrections=words.corrections,
        costs=_costs(ledger),
        title=words.videos.resolve().name,
        device=device,
        bar=telling.bar,
        warn=telling.warn,
    )
    ledger.finish(STAGE, time.perf_counter() - started, figure=page.figure)
    return page.figure, True


def _costs(ledger: Ledger) -> list[Cost]:
    """What each stage took when it last had something to do."""
    costs = []
    for stage, record in ledger.records().items():
        if stage in _TITLES and record.finished:
            new = record.about.get("new")
            steps = record.about.get("steps")
            what = "" if steps is None else counted(steps, "step")
            what = what if new is None else counted(new, "video")
            costs.append(Cost(_TITLES[stage], record.seconds, what))
    return costs
