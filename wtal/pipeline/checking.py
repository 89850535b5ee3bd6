"""Stage `check`: the doctor looks at tags and videos before hours are spent, then at features."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from wtal.doctor import VIDEOS, Examination, contradictions, examine, learnable, partners, times
from wtal.inputs import Labels, read_labels
from wtal.pipeline.extraction import Extracted
from wtal.pipeline.footage import Footage
from wtal.pipeline.ledger import Ledger, digest, file_digest
from wtal.pipeline.places import Places
from wtal.pipeline.tagging import Tagging
from wtal.pipeline.telling import Telling
from wtal.pipeline.words import Words
from wtal_features import Finding
from wtal_features.errors import counted
from wtal_features.files import atomic_write

STAGE = "check"


def look_at_tags(words: Words, footage: Footage, given: Labels, tagging: Tagging) -> list[Finding]:
    """What the doctor says of tags and headers, before anything is decoded.

    Args:
        words: the options.
        footage: the videos.
        given: tags as they were written.
        tagging: the same under the ids of the videos.

    Raises:
        WtalError, EvalError: the annotations cannot be read.
    """
    ids = {**dict.fromkeys(tagging.unknown, ()), **tagging.labels.tags}
    found = partners(str(footage.source), set(footage.videos), _named(given, ids), VIDEOS)
    found += learnable(tagging.labels, words.config)
    annotated = given
    if words.tags is not None and words.annotations is not None:
        annotated = read_labels(annotations=words.annotations)
        found += contradictions(tagging.labels, annotated)
    if annotated.annotations is not None:
        lengths = {
            clip.file.video: (clip.seconds, 1 + 0.02 * clip.seconds)
            for clip in footage.usable
            if clip.seconds
        }
        found += times(lengths, annotated.annotations, VIDEOS)
    return found


def checking(
    words: Words,
    before: Sequence[Finding],
    tagging: Tagging,
    extracted: Extracted,
    places: Places,
    ledger: Ledger,
    telling: Telling,
) -> None:
    """Look at the features, and write checks.txt.

    Raises:
        FeatureError: the store or the file cannot be used.
    """
    # Not the findings' own words, which name folders: one that is moved is no other.
    key = digest(
        [finding.code for finding in before],
        [*tagging.unknown, *tagging.untagged],
        [extracted.features_key(video) for video in extracted.videos],
        [file_digest(places.tags), file_digest(words.annotations), list(words.training)],
    )
    if ledger.done(STAGE, key) and places.checks.is_file():
        return
    ledger.begin(STAGE, key)
    started = time.perf_counter()
    with telling.bar("checking") as progress:
        found = examine(extracted.store, tagging.labels, words.config, progress=progress)
    findings = [*before, *(f for f in found.findings if f.code not in _SAID_BEFORE)]
    _write(places.checks, found, findings)
    errors = sum(finding.severity == "error" for finding in findings)
    seconds = time.perf_counter() - started
    ledger.finish(STAGE, seconds, errors=errors, warnings=len(findings) - errors)


# Of tags and videos: the same finding twice would help nobody.
_SAID_BEFORE = {"no-features", "no-tags", "no-label", "unseen-class", "rare-class", "no-subset"} | {
    "skipped"
}


def line(ledger: Ledger) -> str:
    """For a person."""
    record = ledger.record(STAGE)
    about = {} if record is None else record.about
    errors, warnings = int(about.get("errors", 0)), int(about.get("warnings", 0))
    return f"check: {counted(errors, 'error')}, {counted(warnings, 'warning')} (checks.txt)"


def _write(path: Path, found: Examination, findings: Sequence[Finding]) -> None:
    lines = [*found.facts, *found.per_class, *map(str, findings)]
    with atomic_write(path) as file:
        file.write("".join(f"{text}\n" for text in lines).encode("utf-8", "backslashreplace"))


def _named(given: Labels, tags: dict[str, tuple[str, ...]]) -> Labels:
    return Labels(tags, {}, given.source)
