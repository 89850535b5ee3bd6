"""`wtal probe`: how good encoders are on labelled clips, a row each.

Every encoder that `wtal extract` takes sees the same clips, so the figures of one run stand beside
each other: retrieval, a linear probe, fine-tuning, and what chance would reach.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from wtal.config import read_config
from wtal.errors import WtalError
from wtal.extract import Words as ExtractWords
from wtal_features.encoders.catalog import (
    OPTIONS,
    EncoderOptions,
    TrainableNetwork,
    load_encoder,
    load_network,
    options_of,
)
from wtal_features.errors import FeatureError, Finding
from wtal_features.extraction import parse_fps
from wtal_features.extraction.settings import MotionSettings
from wtal_features.files import atomic_write, read_json
from wtal_features.pretraining.clipbuild import build_clip_store
from wtal_features.pretraining.clipsettings import ClipSettings
from wtal_features.pretraining.clipstore import MANIFEST, ClipStore
from wtal_features.probing.clips import ClipList, LabelledClip, label_ids, read_clips, usable
from wtal_features.probing.encode import check_view, encode_clips, remarks
from wtal_features.probing.finetune import FinetuneSettings, fine_tune
from wtal_features.probing.linear import ProbeResult, ProbeSettings, linear_probe
from wtal_features.probing.retrieval import KS, recalls

if TYPE_CHECKING:
    from torch import Tensor

    from wtal_features.encoders.encoder import Encoder

Progress = Callable[[int, int], None]
Bar = Callable[[str, str], AbstractContextManager[Progress]]  # of a title and a unit
Say = Callable[[str], None]


# What was asked for ------------------------------------------------------------------------------


@dataclass(frozen=True)
class ProbeConfig:
    """What `-o` can change.

    Attributes:
        linear: The linear probe.
        finetune: Fine-tuning.
    """

    linear: ProbeSettings = field(default_factory=ProbeSettings)
    finetune: FinetuneSettings = field(default_factory=FinetuneSettings)


@dataclass(frozen=True)
class Words:
    """The options of the command, as they were typed."""

    encoders: tuple[str, ...]
    labels: Path
    train: str = "training"
    test: str = "test"
    clips: Path | None = None
    fps: str | None = None
    short_side: int | None = None
    motion: str | None = None
    linear: bool = True
    finetune: bool = False
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    overrides: tuple[str, ...] = ()
    frames: int | None = None
    every: int | None = None
    width: float | None = None
    size: int | None = None
    seed: int | None = None
    pooling: str | None = None
    revision: str | None = None
    precision: str = "auto"
    batch: int = 8

    def config(self) -> ProbeConfig:
        """The settings of probe and fine-tuning.

        Raises:
            FeatureError, WtalError: If a key is unknown or a value is not possible.
        """
        config, places = read_config(ProbeConfig(), None, self.overrides)
        for name, place in places.items():
            section = name.partition(".")[0]
            if not getattr(self, section):
                raise WtalError(f"{place} does nothing without --{section}.")
        return config

    def named(self) -> dict[str, str]:
        """Name of the row -> encoder, as they were typed.

        Raises:
            WtalError: If there is none, two rows share a name, or an option is of use to none.
        """
        if not self.encoders:
            raise WtalError(
                "--encoder is missing: a .safetensors file, hub:MODEL, or a network such as s3d."
            )
        named: dict[str, str] = {}
        for word in self.encoders:
            ((name, text),) = ExtractWords(encoders=(word,)).named().items()
            if (name or text) in named:
                raise WtalError(
                    f"Two --encoder are called {name or text!r}; give each a name of its own, "
                    "such as ours=FILE."
                )
            named[name or text] = text
        used = frozenset[str]().union(*map(options_of, named.values()))
        for option in sorted(OPTIONS - used):
            if getattr(self, option) is not None:
                raise WtalError(f"--{option} means nothing for these encoders; leave it out.")
        return named

    def options(self, text: str, device: torch.device) -> EncoderOptions:
        """What is to be changed about one encoder: the options that mean something for it.

        Raises:
            WtalError: If the precision is unknown.
        """
        precision: Any = self.precision
        if precision == "auto":
            precision = "bfloat16" if device.type == "cuda" else "float32"
        elif precision not in ("float32", "bfloat16", "float16"):
            raise WtalError(
                f"--precision is {precision!r}; expected auto, float32, bfloat16 or float16."
            )
        given: Any = {name: getattr(self, name) for name in options_of(text)}
        return EncoderOptions(precision=precision, **given)


@dataclass(frozen=True)
class Candidate:
    """One encoder that is to be measured.

    Attributes:
        name: Of its row.
        encoder: On the CPU.
        network: The same, to be trained; None where it is not to be.
        notes: What should be read about it.
    """

    name: str
    encoder: Encoder
    network: TrainableNetwork | None
    notes: tuple[str, ...]


def load(words: Words, device: torch.device) -> list[Candidate]:
    """Every encoder; whatever cannot be had is refused before anything is decoded.

    Raises:
        FeatureError, WtalError: See `Words`, `load_encoder` and `load_network`.
    """
    found = []
    for name, text in words.named().items():
        options = words.options(text, device)
        network = None
        if words.finetune:  # always in float32
            plain = {option: getattr(options, option) for option in OPTIONS}
            network = load_network(text, EncoderOptions(**plain))
        encoder, notes = load_encoder(text, options)
        found.append(Candidate(name, encoder, network, tuple(notes)))
    return found


# Clips -------------------------------------------------------------------------------------------


def clip_store(
    videos: Path, words: Words, *, motion: bool, bar: Bar, say: Say
) -> tuple[ClipStore, list[Finding]]:
    """The clip store that was named, or that of a folder of videos.

    Args:
        videos: A clip store, or a folder of videos or one.
        words: Say where the store of a folder is kept, and how it is made.
        motion: Whether some encoder sees motion.
        bar: Shows progress.
        say: Told what will be decoded.

    Returns:
        The store, and the videos that could not be read.

    Raises:
        FeatureError, WtalError: If the words do not fit, or there is nothing to be had.
    """
    if _is_store(videos):
        for name in ("clips", "fps", "short_side", "motion"):
            if getattr(words, name) is not None:
                raise WtalError(
                    f"--{name.replace('_', '-')} means nothing for {videos}: it is a clip store. "
                    "Leave it out."
                )
        return ClipStore(videos), []
    if words.clips is None:
        raise WtalError(
            "--clips is missing: the folder that keeps the frames of these videos, small, for this "
            "and later runs. It is not needed where VIDEOS is such a folder already."
        )
    with bar("decoding", "video") as progress:
        report = build_clip_store(
            videos,
            words.clips,
            _settings(words.clips, words, motion),
            before=lambda expected: say(f"{words.clips}: {expected}") if expected.videos else None,
            progress=progress,
        )
    for note in report.notes:
        say(note)
    return ClipStore(words.clips), report.skipped


def _is_store(path: Path) -> bool:
    if not (path / MANIFEST).is_file():
        return False
    settings = _kept(path)
    if "format" not in settings:
        raise WtalError(
            f"{path} holds a {MANIFEST} that is not that of a clip store; expected a folder of "
            "videos, or a folder that --clips has made."
        )
    return True


def _kept(folder: Path) -> Mapping[str, Any]:
    """The settings of a clip store; empty where there is none."""
    manifest = read_json(folder / MANIFEST) if (folder / MANIFEST).is_file() else None
    settings = manifest.get("settings") if isinstance(manifest, dict) else None
    return settings if isinstance(settings, dict) else {}


def _settings(folder: Path, words: Words, motion: bool) -> ClipSettings:
    """What was typed; else what the store has, if there is one; else the defaults."""
    settings = _as_kept(folder)
    if words.fps is not None:
        settings = replace(settings, fps=parse_fps(words.fps))
    if words.short_side is not None:
        settings = replace(settings, short_side=words.short_side)
    method: Any = words.motion
    if settings.motion is not None and method is not None:
        settings = replace(settings, motion=replace(settings.motion, method=method))
    elif motion or method is not None:
        settings = replace(settings, motion=settings.motion or MotionSettings(method or "dis"))
    return settings


def _as_kept(folder: Path) -> ClipSettings:
    """The settings of a clip store; the defaults where there is none."""
    kept = _kept(folder)
    if not kept:
        return ClipSettings()
    try:
        settings = ClipSettings(
            fps=parse_fps(str(kept["grid_fps"])),
            short_side=kept["short_side"],
            partial=kept["partial"],
        )
        if (motion := kept["motion"]) is None:
            return settings
        return replace(
            settings,
            motion=MotionSettings(motion["source"], short_side=motion["flow_short_side"]),
            motion_side=motion["short_side"],
            motion_range_px=motion["range"],
        )
    except (KeyError, TypeError) as error:
        raise WtalError(
            f"{folder / MANIFEST} is not that of a clip store; choose another --clips."
        ) from error


@dataclass(frozen=True)
class Sets:
    """Clips to learn from and clips to be tested on.

    Attributes:
        train, test: Clips.
        train_labels, test_labels: (M,) int64 on the CPU, places among the classes.
        classes: Those of the training clips, sorted; then those of test clips alone.
        unknown: Those of test clips alone, and how many clips each has.
        faults: Video -> why its clips are left out.
    """

    train: tuple[LabelledClip, ...]
    test: tuple[LabelledClip, ...]
    train_labels: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    unknown: Mapping[str, int]
    faults: Mapping[str, str]

    def chance(self) -> float:
        """Top-1 of whoever always says the most frequent class of the training clips."""
        counts = torch.bincount(self.train_labels)
        return float((self.test_labels == counts.argmax()).double().mean())

    def chance_recalls(self) -> dict[int, float]:
        """R@k where the gallery is in random order.

        Of G clips, g of the query's class, k drawn: 1 - C(G - g, k) / C(G, k).
        """
        G = len(self.train)
        counts = torch.bincount(self.train_labels, minlength=len(self.classes)).tolist()
        found = {}
        for k in KS:
            hit = [1 - math.comb(G - g, min(k, G)) / math.comb(G, min(k, G)) for g in counts]
            found[k] = statistics.fmean(hit[label] for label in self.test_labels.tolist())
        return found


def sets_of(listed: ClipList, words: Words, store: ClipStore, skipped: Sequence[Finding]) -> Sets:
    """The clips of both subsets that the store has.

    Args:
        listed: All labelled clips.
        words: Name the subsets.
        store: Where videos are.
        skipped: Videos that could not be read into it.

    Raises:
        FeatureError, WtalError: If a subset is unknown, or too few of its clips are left.
    """
    chosen = _subsets(listed, words)
    reasons = {finding.where: finding for finding in (*listed.faults, *skipped)}
    faults = {finding.where: _text(finding) for finding in listed.faults}
    parts = []
    for name, clips in chosen.items():
        good, bad = usable(clips, store)
        faults |= {f.where: _text(reasons.get(f.where, f)) for f in bad}
        if len(good) < (2 if name == words.train else 1):
            why = f" {next(iter(faults.values()))}" if bad else ""
            raise WtalError(
                f"{len(good)} of {len(clips)} clips of the subset {name!r} can be used; expected "
                f"more.{why}"
            )
        parts.append(tuple(good))
    train, test = parts
    known = {clip.label for clip in train}
    unknown = Counter(clip.label for clip in test if clip.label not in known)
    classes = (*sorted(known), *sorted(unknown))
    ids = (label_ids(train, classes), label_ids(test, classes))
    return Sets(train, test, *ids, classes, unknown, faults)


def _subsets(listed: ClipList, words: Words) -> dict[str, tuple[LabelledClip, ...]]:
    if words.train == words.test:
        raise WtalError(
            f"--train and --test are both {words.train!r}: every clip would find itself."
        )
    return {name: listed.of_subset(name) for name in (words.train, words.test)}


def _text(finding: Finding) -> str:
    return f"{finding.message} {finding.cure}".rstrip()


# Figures -----------------------------------------------------------------------------------------


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
        linear = _over_seeds([result.accuracy for result in self.linear])
        tuned = _over_seeds([result.accuracy for result in self.finetuned])
        return {
            "name": self.name,
            "encoder": dict(self.encoder),
            "notes": list(self.notes),
            "recall": {str(k): value for k, value in self.recalls.items()},
            "linear": linear and {**linear, "selected_on_test": best},
            "finetune": tuned and {**tuned, "losses": [list(r.losses) for r in self.finetuned]},
        }


def _over_seeds(values: Sequence[float]) -> dict[str, Any] | None:
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


# The table ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """Rows of one width, so that they can be printed as they come.

    Attributes:
        names: Of all rows.
        columns: `linear`, `fine-tuned`: what stands behind the recalls.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]

    def head(self) -> str:
        """The titles."""
        return self._line("encoder", [f"R@{k}" for k in KS], self.columns)

    def row(self, row: Row) -> str:
        """One encoder, in percent."""
        values = {
            "linear": [result.accuracy for result in row.linear],
            "fine-tuned": [result.accuracy for result in row.finetuned],
        }
        tops = [_percent(_over_seeds(values[column]) or {}) for column in self.columns]
        return self._line(row.name, [f"{100 * row.recalls[k]:.1f}" for k in KS], tops)

    def chance(self, sets: Sets) -> str:
        """What no encoder should stay below."""
        found, top = sets.chance_recalls(), f"{100 * sets.chance():.1f}"
        cells = [f"{100 * found[k]:.1f}" for k in KS]
        return self._line(CHANCE, cells, [top] * len(self.columns))

    def _line(self, name: str, found: Sequence[str], tops: Sequence[str]) -> str:
        width = max(map(len, (*self.names, CHANCE, "encoder")))
        cells = [*(f"{cell:>6}" for cell in found), *(f"{top:>12}" for top in tops)]
        return " ".join([name.ljust(width), *cells]).rstrip()


CHANCE = "chance"


def _percent(value: Mapping[str, Any]) -> str:
    """`70.2 +- 0.3`; without the spread where there is one seed."""
    if value["sd"] is None:
        return f"{100 * value['mean']:.1f}"
    return f"{100 * value['mean']:.1f} +- {100 * value['sd']:.1f}"


# The run -----------------------------------------------------------------------------------------


def run(
    videos: Path,
    words: Words,
    device: torch.device,
    *,
    json_file: Path | None,
    bar: Bar,
    say: Say,
    warn: Say,
    show: Say,
) -> Mapping[str, str]:
    """Measure every encoder, and show each row as soon as it is there.

    Args:
        videos: A clip store, or a folder of videos.
        words: The options.
        device: Where to compute.
        json_file: Where the figures go, too; written anew after each row.
        bar: Shows progress.
        say: Told what should be read about encoders and clips.
        warn: Told what the figures suffer from.
        show: Told the lines of the table.

    Returns:
        Video -> why its clips are left out.

    Raises:
        FeatureError, WtalError: What the user can mend.
    """
    bench, candidates = prepare(videos, words, device, bar, say)
    for label, count in bench.sets.unknown.items():
        warn(f"No training clip has the class {label!r}; its {count} test clips count as misses.")
    for line in bench.introduction():
        say(line)
    columns = ["linear"] * words.linear + ["fine-tuned"] * words.finetune
    table = Table(tuple(candidate.name for candidate in candidates), tuple(columns))
    rows: list[Row] = []
    show(table.head())
    for candidate in candidates:
        try:
            rows.append(bench.measure(candidate))
        except FeatureError as error:  # which of them it was
            problem = f"{candidate.name}: {error.problem}"
            raise FeatureError(problem, error.cure, code=error.code) from error
        show(table.row(rows[-1]))
        if json_file is not None:
            write_json(json_file, bench, rows)
    show(table.chance(bench.sets))
    return bench.sets.faults


def prepare(
    videos: Path, words: Words, device: torch.device, bar: Bar, say: Say
) -> tuple[Bench, list[Candidate]]:
    """Everything that can be refused, before anything is measured; arguments as for `run`."""
    config, listed = words.config(), read_clips(words.labels)
    _subsets(listed, words)
    candidates = load(words, device)
    motion = any(candidate.encoder.clip.view == "motion" for candidate in candidates)
    store, skipped = clip_store(videos, words, motion=motion, bar=bar, say=say)
    remarked = []
    for candidate in candidates:
        name, encoder = candidate.name, candidate.encoder
        check_view(store, name, encoder.clip)
        notes = (*candidate.notes, *remarks(store, name, encoder.clip, encoder.describe()))
        for note in notes:
            say(note)
        remarked.append(replace(candidate, notes=notes))
    sets = sets_of(listed, words, store, skipped)
    return Bench(store, sets, words, config, device, bar), remarked


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
