"""Stage `train`: DCC learns from the tags; again only where a video, a tag or a setting changed."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

import torch

from wtal.api import train
from wtal.checkpoint import MODEL_FILE
from wtal.config import Config, load_config
from wtal.errors import Stopped
from wtal.notices import without_action
from wtal.pipeline.choices import narrow
from wtal.pipeline.extraction import Extracted
from wtal.pipeline.ledger import Ledger, digest, file_digest
from wtal.pipeline.places import Places, cleared
from wtal.pipeline.tagging import Tagging
from wtal.pipeline.telling import Telling
from wtal.pipeline.words import Words
from wtal_features.errors import counted

STAGE = "train"


def learning(
    words: Words,
    tagging: Tagging,
    extracted: Extracted,
    places: Places,
    ledger: Ledger,
    device: torch.device,
    telling: Telling,
) -> bool:
    """Train into the model folder, or leave it as it is; a training that was stopped goes on.

    Returns:
        Whether anything was trained.

    Raises:
        WtalError, FeatureError: what the user can mend; stopped by Ctrl-C, with a checkpoint.
    """
    overrides = training_overrides(words, extracted.store.dim)
    key = _key(overrides, words.corrections, tagging, extracted)
    if ledger.done(STAGE, key) and (places.model / MODEL_FILE).is_file():
        return False
    goes_on = ledger.begun(STAGE, key)
    if not goes_on:
        # The old model goes before the ledger names the new one: no kill mixes the two.
        cleared(places.model)
        corrections = None if words.corrections is None else str(words.corrections)
        ledger.begin(STAGE, key, asked=_asked(words, tagging), corrections=corrections)
    started = time.perf_counter()
    said = f"{without_action(tagging.without_action)}."  # no warning, in the first lines of the run
    result = train(
        None,
        features=places.features,
        out=places.model,
        tags=places.tags,
        corrections=words.corrections,
        overrides=overrides,
        resume=goes_on,
        device=device,
        quiet=telling.quiet,
        notify=lambda text: None if text == said else telling.warn(text),
    )[0]
    seconds = time.perf_counter() - started
    if result.interrupted:
        ledger.pause(STAGE, seconds)
        raise Stopped(
            f"the training is kept up to step {result.steps}, as is all before it; the same "
            "command goes on."
        )
    videos = len(tagging.training) - len(result.skipped)
    ledger.finish(STAGE, seconds, videos=videos, steps=result.steps, skipped=len(result.skipped))
    return True


def line(ledger: Ledger, trained: bool) -> str:
    """For a person."""
    record = ledger.record(STAGE)
    about = {} if record is None else record.about
    state = counted(int(about.get("steps", 0)), "step") if trained else "unchanged"
    return f"{counted(int(about.get('videos', 0)), 'video')}, {state}"


def awaited(words: Words, tagging: Tagging, gone: Collection[str], ledger: Ledger) -> bool:
    """Whether there will probably be a training: for an estimate, before anything is extracted.

    Args:
        words: the options.
        tagging: tags of the videos.
        gone: videos that will probably be skipped.
        ledger: of the run.
    """
    record = ledger.record(STAGE)
    asked = _asked(words, tagging, gone)
    return record is None or not record.finished or record.about.get("asked") != asked


def forgotten(words: Words, ledger: Ledger) -> list[str]:
    """A sentence where the last training had corrections and this one has none."""
    record = ledger.record(STAGE)
    before = None if record is None else record.about.get("corrections")
    if before is None or words.corrections is not None:
        return []
    return [
        f"The last run learned from {before}; this one does not: add --corrections {before} to "
        "keep what it says."
    ]


def _asked(words: Words, tagging: Tagging, gone: Collection[str] = ()) -> str:
    """What is known of a training before there are features."""
    tags = sorted(pair for pair in tagging.tags_of_training.items() if pair[0] not in gone)
    # Not the words, of which the later may undo the earlier, but what they come to.
    config = _unlike_default(load_config(None, _given(words)))
    return digest(tags, config, file_digest(words.corrections))


def training_overrides(words: Words, dim: int) -> tuple[str, ...]:
    """What the training reads; how segments are cut does not matter to it, unless it measures.

    Args:
        words: the options, which win.
        dim: D of the store.
    """
    return *narrow(dim), *_given(words)


def _given(words: Words) -> list[str]:
    """The overrides that somebody gave and the training reads."""
    if words.config.validation.fraction:
        return list(words.training)
    return [text for text in words.training if not text.strip().startswith("localize.")]


def _key(
    overrides: tuple[str, ...], corrections: Path | None, tagging: Tagging, extracted: Extracted
) -> str:
    learned = [
        [video, tags, extracted.features_key(video)]
        for video, tags in sorted(tagging.tags_of_training.items())
    ]
    return digest(_unlike_default(load_config(None, overrides)), learned, file_digest(corrections))


def _unlike_default(config: Config) -> dict[str, object]:
    """What somebody chose: a key that a later version adds must not train all anew."""
    given, default = asdict(config), asdict(Config())
    return {
        f"{section}.{name}": value
        for section, values in given.items()
        for name, value in values.items()
        if value != default[section][name]
    }
