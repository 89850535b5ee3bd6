"""What will be done, before anything is: videos, tags, encoder, grid, and what it will take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from wtal.corrections.file import Corrections, read_corrections
from wtal.extract import Words as ExtractWords
from wtal.inputs import read_labels
from wtal.pipeline.checking import look_at_tags
from wtal.pipeline.choices import (
    Grid,
    default_encoders,
    extract_words,
    grid_of,
    settings_key,
)
from wtal.pipeline.expecting import expecting
from wtal.pipeline.extraction import awaiting, earlier_grid, left_out
from wtal.pipeline.footage import Footage, listed, look_over
from wtal.pipeline.learning import awaited, forgotten
from wtal.pipeline.ledger import Ledger
from wtal.pipeline.places import Places
from wtal.pipeline.tagging import Tagging, corrected, put_on, without
from wtal.pipeline.telling import Telling
from wtal.pipeline.words import Words
from wtal_features import Finding
from wtal_features.errors import counted


@dataclass(frozen=True)
class Plan:
    """What the stages are given.

    Attributes:
        footage: the videos.
        tagging: their tags.
        grid: of the features.
        encoders: as `--encoder` names them; none yet where a pre-training makes them.
        findings: what the doctor says before anything is decoded.
    """

    footage: Footage
    tagging: Tagging
    grid: Grid
    encoders: tuple[str, ...]
    findings: tuple[Finding, ...]

    def asked(self, words: Words, encoders: tuple[str, ...]) -> ExtractWords:
        """The extraction in the words of `wtal extract`."""
        return extract_words(encoders, words.own.extract, self.grid)


def planning(
    words: Words,
    places: Places,
    ledger: Ledger,
    device: torch.device,
    telling: Telling,
    *,
    preview: bool,
) -> Plan:
    """Look at videos and tags, choose what nobody chose, and say all of it; nothing is written.

    Args:
        words: the options.
        places: of the run.
        ledger: of the run.
        device: where to compute.
        telling: who is told.
        preview: measure what it will take, however little there is to do.

    Raises:
        WtalError, FeatureError, EvalError: what the user can mend.
    """
    listing = listed(words.videos)  # a wrong folder is told before its tags are missed
    given = read_labels(words.tags, None if words.tags else words.annotations)
    corrections = None if words.corrections is None else read_corrections(words.corrections)
    with telling.bar("looking") as progress:
        footage = look_over(words.videos, listing, places.headers, progress)
    for text in footage.warnings():  # before tags that fit no other video are refused
        telling.warn(text)
    subsets = {video: clip.file.subset for video, clip in footage.videos.items()}
    tagging = put_on(given, subsets, words.config.data.train_subset, footage.faults)
    if corrections is not None:
        tagging = corrected(tagging, corrections, subsets)
    learned = [clip for clip in footage.usable if clip.file.video in tagging.training]
    grid = grid_of(learned, words.own.extract, earlier_grid(ledger))
    encoders, better = words.encoders, ""
    if not encoders and words.pretrain is None:
        encoders, better = default_encoders()
    findings = look_at_tags(words, footage, given, tagging)
    plan = Plan(footage, tagging, grid, encoders, tuple(findings))
    _say(words, plan, better, corrections, telling)
    for text in forgotten(words, ledger):
        telling.warn(text)
    if encoders:
        asked = plan.asked(words, encoders)
        how = settings_key(asked)
        new = awaiting(footage, how, places, ledger)
        usable = without(tagging, [v for v, clip in footage.videos.items() if clip.fault])
        train = awaited(words, usable, left_out(footage, how, places, ledger), ledger)
        if new or train or preview:
            expected = expecting(
                *(words, footage, usable, asked, grid, new, device), train=train, measure=preview
            )
            telling.say(expected.line())
            for note in expected.notes:
                telling.warn(note)
    return plan


def _say(
    words: Words, plan: Plan, better: str, corrections: Corrections | None, telling: Telling
) -> None:
    for line in (*plan.footage.lines(), *plan.tagging.lines(), *_choices(words, plan)):
        telling.say(line)
    if corrections is not None:
        telling.say(
            f"{corrections.source}: corrections of {counted(len(corrections.videos), 'video')}"
        )
    for text in plan.tagging.warnings():
        telling.warn(text)
    if better:
        telling.say(better)


def _choices(words: Words, plan: Plan) -> Iterator[str]:
    if words.pretrain is not None:
        yield f"encoder: trained on these videos first, by {words.pretrain}"
    else:
        chosen = "" if words.encoders else " (the best that is installed; --encoder names others)"
        yield f"encoder: {' + '.join(plan.encoders)}{chosen}"
    yield plan.grid.line()
