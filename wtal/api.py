"""`wtal train` without the shell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from wtal.config import Config, load_config
from wtal.errors import WtalError
from wtal.inputs import read_labels
from wtal.training import TrainResult, run_seeds
from wtal.training import train as train_one
from wtal_features import open_store


def train(
    config: Config | Path | str | None = None,
    *,
    features: Path | str,
    out: Path | str,
    tags: Path | str | None = None,
    annotations: Path | str | None = None,
    overrides: Sequence[str] = (),
    seeds: Sequence[int] = (),
    resume: bool = False,
    device: torch.device | str = "cpu",
    fps: float | None = None,
    stride: float | None = None,
    quiet: bool = True,
    notify: Callable[[str], None] = lambda text: None,
) -> list[TrainResult]:
    """Learn from video-level tags on a feature store.

    Args:
        config: a `Config`, a YAML file, or None for the defaults.
        features: folder of the store.
        out: run folder; with `seeds` the folder of the runs.
        tags: CSV with the columns video,label.
        annotations: ActivityNet JSON whose labels serve as tags; instead of `tags`.
        overrides: `train.steps=500` and the like, over a file or the defaults only.
        seeds: a run each, in `out/seed-<n>`; none: one run with the config's seed.
        resume: continue after the last checkpoint.
        device: where to compute.
        fps: frames per second, for a store without manifest.
        stride: frames per snippet, for a store without manifest.
        quiet: no progress bar.
        notify: told, before the first step, what the labels leave out.

    Returns:
        One result per run.

    Raises:
        WtalError, FeatureError, EvalError: in one sentence, what is wrong and how to mend it.
    """
    if isinstance(config, Config):
        if overrides:
            raise WtalError("Overrides go with a config file or the defaults, not with a Config.")
        settings = config
    else:
        settings = load_config(None if config is None else Path(config), overrides)
    labels = read_labels(
        None if tags is None else Path(tags), None if annotations is None else Path(annotations)
    )
    store = open_store(features, streams=settings.data.streams, fps=fps, stride=stride)
    how: dict[str, Any] = {"resume": resume, "device": device, "quiet": quiet, "notify": notify}
    if seeds:
        return run_seeds(settings, seeds, store, labels, Path(out), **how)
    return [train_one(settings, store, labels, Path(out), **how)]
