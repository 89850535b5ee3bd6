"""Stage `extract`: every video that is new or changed becomes features; broken ones are named."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from wtal.errors import WtalError
from wtal.extract import Words as ExtractWords
from wtal.extract import run as extract
from wtal.pipeline.choices import Grid, settings_key
from wtal.pipeline.footage import Clip, Footage
from wtal.pipeline.ledger import Ledger, digest
from wtal.pipeline.places import Places, cleared
from wtal.pipeline.telling import Telling
from wtal_features import FeatureError, FeatureStore, Finding, open_store
from wtal_features.errors import counted
from wtal_features.files import read_json, write_json

STAGE = "extract"


@dataclass(frozen=True)
class Extracted:
    """Features of the videos that can be used.

    Attributes:
        store: may hold features of videos that are gone, too.
        videos: those that are here, sorted.
        skipped: video or file -> why it is left out.
        settings: digest of how features are made.
        new: how many were extracted now.
    """

    store: FeatureStore
    videos: tuple[str, ...]
    skipped: Mapping[str, str]
    settings: str
    new: int = 0

    def features_key(self, video: str) -> str:
        """Changes with the content of a video and with how it became features."""
        entry = self.store.manifest.videos.get(video)
        content = entry.get("sha256") if isinstance(entry, dict) else None
        return digest(video, content, self.settings)


def earlier_grid(ledger: Ledger) -> Grid | None:
    """The grid of the features that are there."""
    record = ledger.record(STAGE)
    if record is None or "fps" not in record.about:
        return None
    return Grid(float(record.about["fps"]), int(record.about["stride"]))


def awaiting(footage: Footage, settings: str, places: Places, ledger: Ledger) -> list[Clip]:
    """Videos that will probably be extracted: for an estimate.

    Args:
        footage: the videos.
        settings: digest of how.
        places: of the run.
        ledger: of the run.
    """
    if ledger.done(STAGE, digest(settings, footage.key)):
        return []
    record = ledger.record(STAGE)
    if record is None or record.about.get("settings") != settings:
        return footage.usable
    made_s = {path.stem: path.stat().st_mtime for path in places.features.rglob("*.npy")}
    return [
        clip
        for clip in footage.usable
        if clip.stamp[1] / 1e9 > made_s.get(clip.file.video, float("-inf"))
    ]


def left_out(footage: Footage, settings: str, places: Places, ledger: Ledger) -> set[str]:
    """Videos that were skipped last time and are as they were: for an estimate."""
    record = ledger.record(STAGE)
    if record is None or record.about.get("settings") != settings:
        return set()
    try:
        skipped, said_s = read_json(places.skipped), places.skipped.stat().st_mtime
    except (FeatureError, OSError):
        return set()
    names = skipped if isinstance(skipped, dict) else {}
    clips = footage.videos.items()
    return {video for video, clip in clips if video in names and clip.stamp[1] / 1e9 <= said_s}


def extraction(
    footage: Footage,
    words: ExtractWords,
    places: Places,
    ledger: Ledger,
    device: torch.device,
    telling: Telling,
) -> Extracted:
    """Extract what is new.

    Args:
        footage: the videos.
        words: encoders, grid and the rest.
        places: of the run.
        ledger: of the run.
        device: where to compute.
        telling: who is told what.

    Raises:
        FeatureError, WtalError: what the user can mend; no video can be used.
        KeyboardInterrupt: finished videos are kept.
    """
    settings = settings_key(words)
    key = digest(settings, footage.key)
    if ledger.done(STAGE, key):
        before = _as_before(footage, places, settings)
        if before is not None:
            return before
    _make_room(settings, places, ledger, telling)
    about = {"settings": settings, "fps": float(words.fps), "stride": words.stride}
    ledger.begin(STAGE, key, encoders=list(words.encoders), **about)
    started = time.perf_counter()
    try:
        with telling.bar("extracting") as progress:
            report: Any = extract(
                *(footage.source, places.features, words, device, None),
                preview=False,
                progress=progress,
                say=telling.say,
            )
    except KeyboardInterrupt:
        ledger.pause(STAGE, time.perf_counter() - started)
        raise
    for note in report.notes:
        telling.say(note)
    findings = map(with_own_cure, sorted(report.skipped, key=lambda finding: finding.where))
    reasons = {finding.where: f"{finding.message} {finding.cure}" for finding in findings}
    write_json(places.skipped, reasons)
    videos = [*report.written, *report.unchanged]
    _refuse_none(videos, reasons)
    counts = {"videos": len(videos), "new": len(report.written), "skipped": len(report.skipped)}
    ledger.finish(STAGE, time.perf_counter() - started, **counts)
    store = open_store(places.features)
    return Extracted(store, tuple(sorted(videos)), reasons, settings, len(report.written))


def with_own_cure(finding: Finding) -> Finding:
    """The finding with the option of `wtal run` where it names one of `wtal extract`."""
    if finding.code != "cut-short":
        return finding
    cure = "Copy it again, or keep what is there with -o extract.partial=true."
    return replace(finding, cure=cure)


def _make_room(settings: str, places: Places, ledger: Ledger, telling: Telling) -> None:
    """Features of another encoder or grid cannot stay beside new ones."""
    record = ledger.record(STAGE)
    if record is None or record.about.get("settings") == settings:
        return
    if places.features.exists():
        telling.say("Encoder, grid or motion differ from those of last time: all is extracted.")
        cleared(places.features)


def _as_before(footage: Footage, places: Places, settings: str) -> Extracted | None:
    """What the last run left, if all of it is still there."""
    try:
        store = open_store(places.features)
        content = read_json(places.skipped)
    except FeatureError:
        return None
    skipped = content if isinstance(content, dict) else {}
    videos = tuple(sorted(footage.videos.keys() - skipped.keys()))
    if not videos or any(video not in store for video in videos):
        return None
    return Extracted(store, videos, skipped, settings)


def _refuse_none(videos: list[str], reasons: Mapping[str, str]) -> None:
    if not videos:
        first, why = next(iter(reasons.items()))
        raise WtalError(
            f"None of {counted(len(reasons), 'video')} can be used. The first, {first}: {why} "
            "skipped.json has the others."
        )
