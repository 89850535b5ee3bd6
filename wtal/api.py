"""`wtal train` without the shell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from wtal.config import Config, load_config
from wtal.corrections.file import Corrections, read_corrections
from wtal.corrections.gain import measure_gain
from wtal.corrections.plan import Plan, plan_gain
from wtal.corrections.tags import check_labels
from wtal.errors import WtalError
from wtal.inputs import Labels, read_labels
from wtal.processes import group
from wtal.training import TrainResult, run_seeds
from wtal.training import train as train_one
from wtal_features import FeatureStore, open_store


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
    corrections: Path | str | None = None,
    gain: bool = True,
    say: Callable[[str], None] = lambda text: None,
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
        device: where to compute; with torchrun, each process takes a GPU of its own.
        fps: frames per second, for a store without manifest.
        stride: frames per snippet, for a store without manifest.
        quiet: no progress bar.
        notify: told, before the first step, what the labels leave out.
        corrections: file of segments with verdicts, which serve the training.
        gain: with corrections, train once or twice more to measure what they gain.
        say: told what that takes, before it begins, or why it cannot be.

    Returns:
        One result per run.

    Raises:
        WtalError, FeatureError, EvalError: in one sentence, what is wrong and how to mend it.
    """
    with group(torch.device(device)) as own:  # from the first file on: one says what is wrong
        if isinstance(config, Config):
            if overrides:
                raise WtalError(
                    "Overrides go with a config file or the defaults, not with a Config."
                )
            settings = config
        else:
            settings = load_config(None if config is None else Path(config), overrides)
        labels = read_labels(
            None if tags is None else Path(tags), None if annotations is None else Path(annotations)
        )
        store = open_store(features, streams=settings.data.streams, fps=fps, stride=stride)
        given, plan = None, None
        if corrections is not None:
            given = read_corrections(corrections)
            check_labels(labels, given)
            if gain and given.digest() is not None:
                plan = plan_gain(settings, labels, given, store.videos)
            if plan is not None:
                say(plan if isinstance(plan, str) else plan.cost)
        how: dict[str, Any] = {"resume": resume, "device": own, "quiet": quiet, "notify": notify}
        results = _runs(settings, seeds, store, labels, Path(out), given, how)
        if given is None or not isinstance(plan, Plan):
            return results
        how = {"device": own, "quiet": quiet}
        return _with_gain(plan, results, settings, seeds, store, labels, given, how)


def _runs(
    config: Config,
    seeds: Sequence[int],
    store: FeatureStore,
    labels: Labels,
    out: Path,
    corrections: Corrections | None,
    how: dict[str, Any],
) -> list[TrainResult]:
    """One run, or one for each seed."""
    how = {**how, "corrections": corrections}
    if seeds:
        return run_seeds(config, seeds, store, labels, out, **how)
    return [train_one(config, store, labels, out, **how)]


def _with_gain(
    plan: Plan,
    results: Sequence[TrainResult],
    config: Config,
    seeds: Sequence[int],
    store: FeatureStore,
    labels: Labels,
    corrections: Corrections,
    how: dict[str, Any],
) -> list[TrainResult]:
    """The results with what corrections gained; nothing of it where a run was interrupted."""
    measured: list[TrainResult] = []
    stopped = any(result.interrupted for result in results)
    for result, seed in zip(results, seeds or [config.train.seed], strict=False):
        if stopped:
            measured.append(result)
            continue
        seeded = replace(config, train=replace(config.train, seed=seed))
        found = measure_gain(plan, result, seeded, store, labels, corrections, **how)
        stopped = found is None
        measured.append(replace(result, gain=found, interrupted=stopped))
    return measured
