"""`pretrain`: every self-supervised method learns on toys whose truth is known, from several seeds.

A seed makes textures that move (see `textures`), 256 to train on and 128 that are held out, and the
first weights. What is learned shows in retrieval: how many held-out clips have a clip of their own
class, which is a direction, as their nearest training clip. Beside it stand the same network before
training, chance, and what a method is said to be better than. The last row says how much of a step
the network waits for data.

A value is a mean over the seeds; the words of its reference hold the standard deviations, and of
two figures of the same seeds that of their difference.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from wtal.bench.pretraining_settings import chance, quick_trials, trials
from wtal.bench.pretraining_trial import Trial
from wtal.bench.rows import Figures, Plan, Row
from wtal.bench.waiting import waiting
from wtal_features.methods.networks import STREAMS


def sd(values: Sequence[float]) -> str:
    """Standard deviation over the seeds, as a word; of one there is none."""
    return f"{statistics.stdev(values):.3f}" if len(values) > 1 else "-"


def row(
    plan: Plan,
    name: str,
    unit: str,
    values: Sequence[float],
    words: str,
    references: Sequence[float] | float,
) -> Row:
    """A mean over the seeds beside that of its reference, or a constant."""
    spread = f"sd {sd(values)}"
    if isinstance(references, Sequence):
        gains = [value - other for value, other in zip(values, references, strict=True)]
        spread += f" against {sd(references)}, of the difference {sd(gains)}"
        reference = statistics.fmean(references)
    else:
        reference = references
    value = statistics.fmean(values)
    return Row(
        name=f"pretrain: {name}",
        value=value,
        unit=unit,
        reference=f"{words}; {spread}",
        reference_value=reference,
        ratio=value / reference,
        repeats=len(values),
        spread=(min(values), max(values)),
        machine=plan.machine,
    )


class Runs(NamedTuple):
    """A trial and what each seed gave."""

    trial: Trial
    figures: list[Figures]

    def of(self, name: str) -> list[float]:
        """One figure of every seed."""
        return [figures[name] for figures in self.figures]

    @property
    def retrieved(self) -> dict[str, tuple[str, float]]:
        """Figure of retrieval -> its words, and chance."""
        chance = 1 / self.trial.toy.classes
        streams = STREAMS.values()
        return {s: (f"R@1 of {s}", chance) for s in streams if s in self.figures[0]}


def learned(plan: Plan, folder: Path) -> Iterator[Row]:
    """Train everything; rows of each method follow its last seed."""
    done: dict[str, Runs] = {}
    for name, trial in (quick_trials() if plan.quick else trials()).items():
        seeds = tqdm(range(plan.repeats), name, leave=False, disable=plan.quiet or None)
        done[name] = runs = Runs(trial, [trial.run(folder, name, seed) for seed in seeds])
        for figure, (words, guess) in runs.retrieved.items():
            title, values = f"{name}, {words}", runs.of(figure)
            yield row(plan, title, "share", values, "chance", guess)
            for reference, references in _beside(figure, runs, done):
                yield row(plan, title, "share", values, reference, references)
        for loss in trial.losses:
            value, words = chance(trial.config)[loss]
            yield row(plan, f"{name}, {loss} at the end", "nat", runs.of(loss), words, value)


def _beside(
    figure: str, runs: Runs, done: Mapping[str, Runs]
) -> Iterator[tuple[str, Sequence[float]]]:
    """What a figure of retrieval is compared with, and the values of the same seeds."""
    yield "the network untrained", runs.of(f"untrained {figure}")
    if f"started {figure}" in runs.figures[0]:
        yield "its own InfoNCE start", runs.of(f"started {figure}")
    for other, words in runs.trial.beside.items():
        if figure in done[other].retrieved:
            yield words, done[other].of(figure)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Networks this small are slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def measure(plan: Plan) -> Iterator[Row]:
    """Every method on its toy, then the waiting."""
    with tempfile.TemporaryDirectory(prefix="wtal-bench-") as folder:
        with _one_thread():
            yield from learned(plan, Path(folder))
        yield from waiting(plan, Path(folder))
