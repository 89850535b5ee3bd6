"""Stage `pretrain`: an encoder learns from the videos themselves, once, before they are extracted.

New videos do not train it again: that would change the features of all others. Removing the folder
`encoder` does.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch

from wtal.errors import Stopped
from wtal.pipeline.choices import Grid
from wtal.pipeline.ledger import Ledger, digest
from wtal.pipeline.places import Places, cleared, made
from wtal.pipeline.tagging import Tagging, learned, save
from wtal.pipeline.telling import Telling
from wtal.pipeline.words import Words
from wtal.pretrain import Words as PretrainWords
from wtal.pretrain import run as pretrain
from wtal_features.methods.catalog import METHODS

STAGE = "pretrain"

# The published sizes want GPUs and days. These took minutes on two cores, and no gain was measured
# that one could rely on (docs/benchmarks/pretraining.md); `-o pretrain.KEY=VALUE` says otherwise.
_SMALL = ("clips.size=64", "clips.frames=16", "network.width=.25")
_ONE_STAGE = ("optim.steps=300", "optim.batch=32")
_QUEUE = ("queue.slots=512",)
SMALL: dict[str, tuple[str, ...]] = {
    "infonce": (*_SMALL, *_QUEUE, *_ONE_STAGE),
    "ubernce": (*_SMALL, *_QUEUE, *_ONE_STAGE),
    "coclr": (
        *(*_SMALL, *_QUEUE, "init.steps=300", "init.batch=32"),
        *("cycle.steps=150", "cycle.batch=32", "cycles=1"),
    ),
    "cvrl": (*_SMALL, *_ONE_STAGE, "clips.every=1", "optim.optimizer=adam", "optim.lr_batch=fixed"),
    "cmd": (*_SMALL, *_ONE_STAGE, "clips.every=1", "optim.optimizer=adam", "optim.lr_batch=fixed"),
}


def pretraining(
    words: Words,
    tagging: Tagging,
    grid: Grid,
    places: Places,
    ledger: Ledger,
    device: torch.device,
    telling: Telling,
) -> tuple[str, ...]:
    """Train the encoder, or take the one that is there.

    Returns:
        Encoders as `--encoder` would name them, one per stream.

    Raises:
        WtalError, FeatureError: what the user can mend; stopped by Ctrl-C, with a checkpoint.
    """
    asked = _asked(words, grid, places)
    key = digest(asked.method, asked.overrides, asked.fps, asked.motion, asked.partial)
    record = ledger.record(STAGE)
    if record is not None and ledger.done(STAGE, key):
        before = [places.encoder / name for name in record.about["files"]]
        if all(path.is_file() for path in before):
            return streams_of(before)
    goes_on = ledger.begun(STAGE, key)
    if not goes_on:
        cleared(places.encoder)
        ledger.begin(STAGE, key)
    made(places.encoder)
    if asked.tags is not None:
        save(asked.tags, learned(tagging))
    started = time.perf_counter()
    with telling.bar("decoding") as decoding, telling.steps() as training:
        outcome = pretrain(
            *(words.videos, asked, device),
            resume=goes_on,
            say=telling.say,
            decoding=decoding,
            training=training,
        )
    seconds = time.perf_counter() - started
    if outcome.result.interrupted:
        ledger.pause(STAGE, seconds)
        raise Stopped(
            f"the pre-training is kept up to step {outcome.result.steps}; the same command goes on."
        )
    files = [Path(file) for file in outcome.result.files]
    names = [file.name for file in files]
    ledger.finish(STAGE, seconds, files=names, steps=outcome.result.steps, videos=outcome.videos)
    return streams_of(files)


def _asked(words: Words, grid: Grid, places: Places) -> PretrainWords:
    """The same as the words of `wtal pretrain`."""
    assert words.pretrain is not None  # else the pipeline does not come here
    asked = PretrainWords(
        method=words.pretrain,
        out=places.encoder / f"{words.pretrain}.safetensors",
        overrides=(*SMALL[words.pretrain], *words.of("pretrain")),
        tags=places.encoder / "tags.csv" if words.pretrain == "ubernce" else None,
        fps=repr(grid.fps).removesuffix(".0"),
        partial=words.own.extract.partial,
    )
    sees_motion = METHODS[asked.method].sees_motion(asked.settings())
    return replace(asked, motion=words.own.extract.motion) if sees_motion else asked


def streams_of(files: list[Path]) -> tuple[str, ...]:
    """Encoder files as streams: `coclr.rgb.safetensors` is `rgb`.

    Example:
        >>> streams_of([Path("e/cvrl.safetensors")])
        ('e/cvrl.safetensors',)
        >>> streams_of([Path("e/coclr.rgb.safetensors"), Path("e/coclr.flow.safetensors")])
        ('rgb=e/coclr.rgb.safetensors', 'flow=e/coclr.flow.safetensors')
    """
    if len(files) == 1:
        return (str(files[0]),)
    return tuple(f"{file.name.split('.')[-2]}={file}" for file in files)
