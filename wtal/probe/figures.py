"""The figures: what every encoder is measured on, and what comes out.

Legend: M clips, D dimensions.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from wtal.probe.candidates import Candidate
from wtal.probe.sets import Sets
from wtal.probe.telling import Bar
from wtal.probe.words import ProbeConfig, Words
from wtal_features.encoders.catalog import TrainableNetwork
from wtal_features.files import atomic_write
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.probing.encode import encode_clips
from wtal_features.probing.finetune import fine_tune
from wtal_features.probing.linear import ProbeResult, linear_probe
from wtal_features.probing.retrieval import recalls

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Tuned:
    """Fine-tuning with one seed: top-1 after the last epoch, and the loss of each epoch."""

    accuracy: float
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Row:
    """Figures of one encoder; accuracies and recalls are shares.

    Attributes:
        name: As it was typed.
        encoder: What it says of itself.
        notes: What should be read beside the figures.
        recalls: k -> R@k.
        linear: Of each seed; empty where it was not asked for.
        finetuned: Likewise.
    """

    name: str
    encoder: Mapping[str, object]
    notes: tuple[str, ...]
    recalls: Mapping[int, float]
    linear: tuple[ProbeResult, ...]
    finetuned: tuple[Tuned, ...]

    def as_json(self) -> dict[str, Any]:
        """For a program. What the test clips chose is named so, and is no figure to report."""
        chosen = [result.selected_on_test for result in self.linear]
        best = [{"epoch": epoch, "accuracy": accuracy} for epoch, accuracy in chosen]
        linear = over_seeds([result.accuracy for result in self.linear])
        tuned = over_seeds([result.accuracy for result in self.finetuned])
        return {
            "name": self.name,
            "encoder": dict(self.encoder),
            "notes": list(self.notes),
            "recall": {str(k): value for k, value in self.recalls.items()},
            "linear": linear and {**linear, "selected_on_test": best},
            "finetune": tuned and {**tuned, "losses": [list(r.losses) for r in self.finetuned]},
        }


def over_seeds(values: Sequence[float]) -> dict[str, Any] | None:
    """Mean and sample standard deviation (n - 1); None without values."""
    if not values:
        return None
    sd = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "sd": sd, "each": list(values)}


@dataclass(frozen=True)
class Bench:
    """What every encoder is measured on, and how.

    Attributes:
        store: Where the clips come from.
        sets: The clips.
        words: What was asked for.
        config: Settings of probe and fine-tuning.
        device: Where to compute.
        bar: Shows progress.
    """

    store: ClipStore
    sets: Sets
    words: Words
    config: ProbeConfig
    device: torch.device
    bar: Bar

    def introduction(self) -> list[str]:
        """What the figures are of, and what they mean."""
        sets, words, seeds = self.sets, self.words, len(self.words.seeds)
        lines = [
            f"{len(sets.train)} clips of {words.train!r}, {len(sets.test)} of {words.test!r}, "
            f"{len(sets.classes)} classes, {float(self.store.fps):g} fps. In percent:",
            "R@k: test clips with one of their class among the k nearest training clips",
        ]
        if words.linear or words.finetune:
            spread = f", mean +- sd of {seeds} seeds" if seeds > 1 else ""
            lines.append(
                f"linear, fine-tuned: top-1 after the last epoch{spread}; "
                "by chance: always the most frequent training class"
            )
        return lines

    def measure(self, candidate: Candidate) -> Row:
        """All figures of one encoder.

        Raises:
            FeatureError: If its features are not finite, or its training diverges.
        """
        name, encoder, network = candidate.name, candidate.encoder, candidate.network
        train, test = self._features(candidate)
        labels = self.sets.train_labels.to(self.device)
        test_labels = self.sets.test_labels.to(self.device)
        found = recalls(test, test_labels, train, labels)
        linear: list[ProbeResult] = []
        tuned: list[Tuned] = []
        for seed in self.words.seeds:
            generator = torch.Generator().manual_seed(seed)
            if self.words.linear:
                sides = (train, labels, test, test_labels)
                linear.append(linear_probe(*sides, generator, self.config.linear))
            if network is not None:
                tuned.append(self._fine_tuned(name, network, seed))
        about, notes = encoder.describe(), candidate.notes
        return Row(name, about, notes, found, tuple(linear), tuple(tuned))

    def _features(self, candidate: Candidate) -> tuple[Tensor, Tensor]:
        """Of the training clips and of the test clips, on the device."""
        clips = (*self.sets.train, *self.sets.test)
        with self.bar(f"{candidate.name}: encoding", "clip") as progress:
            features_MD = encode_clips(
                *(self.store, clips, candidate.encoder),
                device=self.device,
                batch=self.words.batch,
                progress=progress,
            )
        candidate.encoder.to(torch.device("cpu"))  # the next one may need the memory
        return features_MD[: len(self.sets.train)], features_MD[len(self.sets.train) :]

    def _fine_tuned(self, name: str, network: TrainableNetwork, seed: int) -> Tuned:
        sets = self.sets
        with self.bar(f"{name}: fine-tuning, seed {seed}", "epoch") as progress:
            tuned = fine_tune(
                *(network, self.store, sets.train, sets.train_labels),
                torch.Generator().manual_seed(seed),
                self.config.finetune,
                device=self.device,
                progress=progress,
            )
        accuracy = tuned.accuracy(self.store, sets.test, sets.test_labels, self.words.batch)
        return Tuned(accuracy, tuned.losses)


def write_json(path: Path, bench: Bench, rows: Sequence[Row]) -> None:
    """The figures of all rows so far, and what they were measured on.

    Raises:
        FeatureError: If the file cannot be written.
    """
    sets, words = bench.sets, bench.words
    fields = {
        "clips": {"store": str(bench.store.folder), "settings": dict(bench.store.settings)},
        "labels": str(words.labels),
        "classes": list(sets.classes),
        "train": {"subset": words.train, "clips": len(sets.train)},
        "test": {"subset": words.test, "clips": len(sets.test)},
        "seeds": list(words.seeds),
        "config": asdict(bench.config),
        "chance": {
            "recall": {str(k): value for k, value in sets.chance_recalls().items()},
            "most_frequent_class": sets.chance(),
        },
        "encoders": [row.as_json() for row in rows],
        "skipped": dict(sets.faults),
    }
    with atomic_write(path) as file:
        file.write(json.dumps(fields, indent=1, ensure_ascii=False).encode() + b"\n")
