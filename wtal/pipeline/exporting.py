"""Stage `export`: the chosen detections in every format that was ever asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from wtal.calibration import read_calibration
from wtal.exports import FORMATS
from wtal.exports import Words as ExportWords
from wtal.exports import run as export
from wtal.pipeline.choosing import Chosen, choosing
from wtal.pipeline.footage import Footage
from wtal.pipeline.ledger import Ledger, digest, file_digest
from wtal.pipeline.places import Places, made
from wtal.pipeline.tagging import Tagging
from wtal.pipeline.telling import Telling
from wtal.pipeline.words import ALWAYS, Words

STAGE = "export"
CHOSEN = "chosen.json"
_NAMES = {"csv": "detections.csv", "otio": "detections.otio", "labelstudio": "labelstudio.json"}


@dataclass(frozen=True)
class Exported:
    """What left the run.

    Attributes:
        found: detections in numbers.
        faults: video -> why a format left it out.
        formats: that were written.
        new: whether they were written now.
    """

    found: Chosen
    faults: Mapping[str, str]
    formats: tuple[str, ...]
    new: bool


def exporting(
    words: Words,
    footage: Footage,
    tagging: Tagging,
    places: Places,
    ledger: Ledger,
    telling: Telling,
) -> Exported:
    """Write exports/; a format that was asked for once is kept up to date.

    Raises:
        WtalError, FeatureError, EvalError: what the user can mend.
    """
    before = ledger.record(STAGE)
    earlier = () if before is None else tuple(before.about.get("formats", ()))
    formats = [name for name in FORMATS if name in {*ALWAYS, *words.exports, *earlier}]
    tags = tagging.tags_of_training
    key = digest(
        *(file_digest(places.detections), sorted(tags.items()), footage.key, formats),
        *(asdict(words.own.export), file_digest(words.annotations)),
    )
    made(places.exports)
    if before is not None and ledger.done(STAGE, key) and _all_there(places.exports, formats):
        about = before.about
        return Exported(Chosen(**about["found"]), about["faults"], tuple(formats), new=False)
    ledger.begin(STAGE, key, formats=formats)
    started = time.perf_counter()
    chosen = places.exports / CHOSEN
    calibration = read_calibration(places.detections)
    found = choosing(places.detections, chosen, tags, calibration, words.own.export)
    faults: dict[str, str] = {}
    for name in formats:
        faults |= _export(name, chosen, words, places, telling)
    ledger.finish(STAGE, time.perf_counter() - started, found=asdict(found), faults=faults)
    return Exported(found, faults, tuple(formats), new=True)


def _export(
    name: str, chosen: Path, words: Words, places: Places, telling: Telling
) -> Mapping[str, str]:
    """One format."""
    takes_truth = "annotations" in FORMATS[name].takes
    asked = ExportWords(
        detections=chosen,
        to=name,
        out=_target(places.exports, name),
        videos=words.videos,
        annotations=words.annotations if takes_truth else None,
    )
    return export(asked, bar=telling.bar, show=lambda text: None, warn=telling.warn)


def _target(folder: Path, name: str) -> Path:
    return folder / _NAMES.get(name, name)


def _all_there(folder: Path, formats: list[str]) -> bool:
    return all(_target(folder, name).exists() for name in formats)
