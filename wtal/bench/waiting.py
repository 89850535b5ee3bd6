"""How much of a step of pre-training the network waits for clips, from a store of 128-px frames."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from wtal.bench.pretraining_trial import Toy
from wtal.bench.rows import Figures, Plan, Row
from wtal_features.methods.catalog import plan_of
from wtal_features.methods.folder import METRICS, folder_of
from wtal_features.methods.infonce import InfoNCEConfig
from wtal_features.methods.loop import pretrain
from wtal_features.methods.networks import NetworkConfig
from wtal_features.methods.queued import QueueConfig
from wtal_features.methods.settings import ClipConfig, OptimConfig, RunConfig
from wtal_features.pretraining.clipstore import ClipStore

BIG = Toy(train=32, test=4, side=128, frames=40)
THREADS = 2  # that draw clips


def waiting(plan: Plan, folder: Path) -> Iterator[Row]:
    """The share of a step in which the network waits for clips of 128-px frames."""
    toy = Toy(train=8, test=4, side=40, frames=24) if plan.quick else BIG
    store = toy.stores(folder, 0)["train"]
    drawn = partial(_waited, store, folder, quick=plan.quick)
    taken = plan.alternate(
        {str(loaders): partial(drawn, loaders) for loaders in (THREADS, 0)},
        label="waiting",
        warm_up=False,
    )
    ours, plain = (taken[str(loaders)]["waited"] for loaders in (THREADS, 0))
    title = f"pretrain: share of a step that waits for data, {THREADS} threads draw"
    yield plan.row(title, "share", ours, "clips drawn by the thread that trains", plain)


def _waited(store: ClipStore, folder: Path, loaders: int, *, quick: bool) -> Figures:
    """Train for a while; the first lines of metrics.jsonl tell of warming up, and are left out."""
    network = NetworkConfig("s3d", 0.125 if quick else 0.25)
    clips = ClipConfig(8, 1, 32) if quick else ClipConfig(16, 1, 64)
    optim = OptimConfig(epochs=1, steps=4 if quick else 10, batch=4 if quick else 8)
    run = RunConfig(loaders=loaders, log_every=2, save_every=10**6)
    config = InfoNCEConfig(
        network=network, clips=clips, queue=QueueConfig(slots=64), optim=optim, run=run
    )
    with tempfile.TemporaryDirectory(dir=folder) as place:
        out = Path(place) / "waiting.safetensors"
        pretrain(plan_of("infonce", config, store), out)
        lines = (folder_of(out) / METRICS).read_text().splitlines()
    return {"waited": statistics.fmean(json.loads(line)["waited"] for line in lines[1:])}
