"""One training run of an ablation and the results that are read off it: an idempotent unit.

What is done is kept, so that the same unit continues after whatever stopped it. A run folder holds,
beside what `wtal train` writes, ablation.json (config, inputs, time taken) and a score-*.json for
every row that shares the run.

As a program, `python -m wtal.bench.ablation_unit`, it reads one unit as JSON from its input and
prints what became of it. The input stays open: when it ends, the starting process wants it to stop,
or is gone.
"""

from __future__ import annotations

import _thread
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wtal.allocator import keep_freed_memory
from wtal.bench.ablation_rows import as_overrides, flat, folder_name
from wtal.config import Config, load_config
from wtal.context import FeaturesConfig, context_file
from wtal.data import select_subset
from wtal.environment import describe
from wtal.errors import WtalError
from wtal.inputs import Labels, labels_of, read_labels, videos_of
from wtal.localize import Localizer
from wtal.readings import EVAL_FILE, count_readings
from wtal.results import write_results
from wtal.runs import DETECTIONS_FILE
from wtal.schedule import numpy_generator
from wtal.training import train
from wtal.validation import hold_out
from wtal_eval import Annotations, EvalError, Evaluation, evaluate, read_annotations
from wtal_features import FeatureError, FeatureStore, open_store
from wtal_features.checkpoints.reading import sha256_of
from wtal_features.files import make_folder, read_json, write_json

RECORD_FILE = "ablation.json"
HELD_OUT = "held-out"
NO_CONTEXT = FeaturesConfig()


@dataclass(frozen=True)
class Inputs:
    """The data of all rows; the annotations score, and serve as tags where no tags are given."""

    features: str
    annotations: str
    tags: str | None = None
    fps: float | None = None
    stride: float | None = None

    def labels(self) -> Labels:
        """Tags to train with, annotations to score with; subsets of the tags, else of the latter.

        Raises:
            WtalError, FeatureError, EvalError: a file has a fault.
        """
        annotated = labels_of(read_annotations(self.annotations))
        if self.tags is None:
            return annotated
        tagged = read_labels(tags=Path(self.tags))
        subsets = {v: name or annotated.subsets.get(v) for v, name in tagged.subsets.items()}
        return replace(tagged, subsets=subsets, annotations=annotated.annotations)

    def store(self, streams: tuple[str, ...]) -> FeatureStore:
        """The features."""
        return open_store(self.features, streams=streams, fps=self.fps, stride=self.stride)


@dataclass(frozen=True)
class Unit:
    """What to train and what to read off it.

    Args:
        run: run folder.
        settings: the config as overrides of the defaults, so that a file edited meanwhile changes
            nothing.
        localizers: overrides of the localizer, one list for each result.
        inputs: the data.
        digests: `digests` of the inputs.
        subset: what is scored; None: the held-out training videos.
        device: where to compute.
        threads: of torch.
    """

    run: Path
    settings: tuple[str, ...]
    localizers: tuple[tuple[str, ...], ...]
    inputs: Inputs
    digests: dict[str, str]
    subset: str | None
    device: str = "cpu"
    threads: int = 1

    @classmethod
    def make(cls, run: Path, config: Config, **parts: Any) -> Unit:
        """With the config as overrides."""
        return cls(run, tuple(as_overrides(config)), **parts)

    @classmethod
    def from_json(cls, text: bytes) -> Unit:
        """Read back what `to_json` wrote."""
        parts = json.loads(text)
        localizers = tuple(tuple(each) for each in parts["localizers"])
        changed = {"localizers": localizers, "inputs": Inputs(**parts["inputs"])}
        return cls(**{**parts, **changed, "run": Path(parts["run"])})

    def to_json(self) -> bytes:
        """One line."""
        return json.dumps(asdict(self) | {"run": str(self.run)}).encode()


def score_file(run: Path, subset: str | None, localizer: Sequence[str]) -> Path:
    """Where the result of a row lies in its run folder."""
    scored = HELD_OUT if subset is None else folder_name(subset)
    variant = f"+{folder_name(','.join(localizer))}" if localizer else ""
    return run / f"score-{scored}{variant}.json"


def read_record(run: Path) -> dict[str, Any] | None:
    """What ablation.json says of a run; None where there is none."""
    path = run / RECORD_FILE
    record = read_json(path) if path.exists() else None
    known = {"config", "digests", "seconds", "finished"}
    if record is not None and not (isinstance(record, dict) and known <= record.keys()):
        raise WtalError(f"{path} is no record of a run; remove it with the folder around it.")
    return record


def digests(
    store: FeatureStore, labels: Labels, config: FeaturesConfig = NO_CONTEXT
) -> dict[str, str]:
    """Short hashes that tell one set of features, or of tags and annotations, from another.

    Of the features the names, the dimensions and the time base count, not the values: reading them
    all takes minutes. Of the context model, where there is one, the whole file counts.

    Raises:
        WtalError, FeatureError: the file of the context model is not there.
    """
    # Of a packed store, names and entries lie on disk until they are asked for.
    entries = dict(store.manifest.videos)
    manifest = asdict(replace(store.manifest, path=Path(), videos=entries))
    features = [tuple(store.videos), store.streams, store.dim, sorted(manifest.items(), key=str)]
    truth = labels.annotations
    assert truth is not None  # ablations score
    columns = [each.tolist() for each in (truth.video, truth.label, truth.start, truth.end)]
    names = [truth.videos, truth.labels, truth.subsets]
    told = [sorted(labels.tags.items()), sorted(labels.subsets.items(), key=str)]
    found = {"features": _digest(features), "labels": _digest([names, columns, told])}
    file = context_file(config)
    return found if file is None else found | {"context": sha256_of(file)[:16]}


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def run_unit(unit: Unit) -> None:
    """Train if need be, then localize and score what is missing.

    Raises:
        WtalError, FeatureError, EvalError: bad input, a run of another config, a loss that is not
            finite.
        KeyboardInterrupt: training was stopped, with a checkpoint.
    """
    labels, config = unit.inputs.labels(), load_config(None, unit.settings, allow_idle=True)
    store = unit.inputs.store(config.data.streams)
    if digests(store, labels, config.features) != unit.digests:
        raise WtalError("The features or annotations changed while the rows were run; start again.")
    train_once(unit, config, store, labels)
    for overrides in sorted(unit.localizers, key=bool):  # the run's own config first
        file = score_file(unit.run, unit.subset, overrides)
        if not file.exists():
            write_json(file, score(unit, config, store, labels, overrides))


def train_once(unit: Unit, config: Config, store: FeatureStore, labels: Labels) -> None:
    """Train, or continue, unless it is done; the record keeps the wall time of all sessions."""
    record = read_record(unit.run)
    if record is not None and record["finished"]:
        return
    make_folder(unit.run)
    if record is None:
        for stray in unit.run.glob("score-*.json"):
            stray.unlink()  # without a record nobody knows which config they are of
    unknown = (unit.run / "config.yaml").exists() if record is None else record["seconds"] is None
    before = None if unknown else (record or {"seconds": 0.0})["seconds"]
    facts = {"config": flat(config), "digests": unit.digests}
    # A session that is killed leaves this, and the time it took stays unknown.
    write_json(unit.run / RECORD_FILE, facts | {"seconds": None, "finished": False})
    started = time.perf_counter()
    result = train(
        config, store, labels, unit.run, resume=True, device=torch.device(unit.device), quiet=True
    )
    seconds = None if before is None else before + time.perf_counter() - started
    ended = {"seconds": seconds, "finished": not result.interrupted}
    write_json(unit.run / RECORD_FILE, facts | ended)
    if result.interrupted:
        raise KeyboardInterrupt


def score(
    unit: Unit, config: Config, store: FeatureStore, labels: Labels, overrides: Sequence[str]
) -> dict[str, Any]:
    """Localize and score; on a subset, as `wtal localize` and `wtal eval` do."""
    localizer = Localizer.load(unit.run, unit.device, overrides)
    annotations = labels.annotations
    assert annotations is not None  # `Inputs.labels` reads them
    if unit.subset is None:
        videos = held_out_videos(unit.run, config, labels)
        annotations, subset = regrouped(annotations, videos), HELD_OUT
    else:
        videos, subset = videos_of(labels_of(annotations), unit.subset), unit.subset
    file = score_file(unit.run, unit.subset, overrides)
    file = file.with_name(file.name.replace("score", "detections", 1))
    if unit.subset is not None and not overrides:
        file = unit.run / DETECTIONS_FILE
    details = {"run": str(unit.run), "features": str(store.root)}
    skipped = write_results(file, localizer.localize_store(store, videos), details)
    evaluation = evaluate(file, annotations, subset=subset)
    if unit.subset is not None:
        count(unit.run, evaluation, variant=bool(overrides))
    skipped |= unreadable(unit.run)
    about = {"videos": len(videos), "skipped": skipped, "made": made_with(unit)}
    return {"localizer": list(overrides), **about, **figures(evaluation)}


def count(run: Path, evaluation: Evaluation, *, variant: bool) -> None:
    """One more reading; else eval.json stays with the detections of the run's own config."""
    file = run / EVAL_FILE
    before = read_json(file) if variant and file.exists() else None
    readings = count_readings(run, evaluation)
    if isinstance(before, dict):
        write_json(file, before | {"readings": readings})


def held_out_videos(run: Path, config: Config, labels: Labels) -> list[str]:
    """The training videos that `fit` held out: the same draw from the same videos.

    Raises:
        WtalError: the fraction is too small to hold one out.
    """
    names, _ = select_subset(labels.subsets, config.data.train_subset, labels.source)
    faults = unreadable(run)
    sound = [name for name in names if name not in faults]
    classes = sorted({label for name in sound for label in labels.tags[name]})
    labels_VC = np.array([[c in labels.tags[name] for c in classes] for name in sound], np.float32)
    generator = numpy_generator(config.train.seed, "split")
    held_V = hold_out(labels_VC, config.validation.fraction, generator)
    return [name for name, held in zip(sound, held_V, strict=True) if held]


def unreadable(run: Path) -> dict[str, str]:
    """Training videos that `train` had to leave out, and why."""
    path = run / "skipped.json"
    faults = read_json(path) if path.exists() else {}
    return faults if isinstance(faults, dict) else {}


def regrouped(annotations: Annotations, videos: Sequence[str]) -> Annotations:
    """The annotations with the given videos as one subset, and all others out of the way."""
    chosen = frozenset(videos)
    subsets = tuple(HELD_OUT if video in chosen else "other" for video in annotations.videos)
    return replace(annotations, subsets=subsets)


def figures(evaluation: Evaluation) -> dict[str, Any]:
    """What the table shows, as fractions."""
    trivial = evaluation.baselines.get("whole_video")
    level = evaluation.video_level
    return {
        "protocol": evaluation.protocol.name,
        "map": _by_tiou(evaluation.tiou, evaluation.map),
        "averages": evaluation.averages,
        "video_map": None if level is None or np.isnan(level.map) else level.map,
        "trivial": trivial
        and {"map": _by_tiou(evaluation.tiou, trivial.map), "averages": trivial.averages},
    }


def _by_tiou(tiou: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    return {str(threshold): value for threshold, value in zip(tiou, values, strict=True)}


def made_with(unit: Unit) -> str:
    """Machine, versions and commit, in one line."""
    about = describe({}, 0, unit.device)
    packages = ", ".join(f"{name} {about['packages'][name]}" for name in ("torch", "numpy"))
    return (
        f"{about['machine']}; {about['device']}, {about['threads']} threads; "
        f"Python {about['python']}, {packages}, wtal {about['wtal']} ({about['commit']})"
    )


def main() -> None:
    """Run the unit on the input and print what became of it, as JSON."""
    unit = Unit.from_json(sys.stdin.buffer.readline())
    threading.Thread(target=_stop_with_input, daemon=True).start()
    ended: Mapping[str, object]
    try:
        torch.set_num_threads(unit.threads)
        keep_freed_memory()
        run_unit(unit)
        ended = {"fault": ""}
    except (WtalError, EvalError, FeatureError, OSError, MemoryError) as error:
        ended = {"fault": str(error) or "Out of memory."}
    except KeyboardInterrupt:
        ended = {"fault": "It was stopped; the same command continues it."}
    sys.stdout.write(json.dumps(ended) + "\n")


def _stop_with_input() -> None:
    """As Ctrl-C would, once the input ends. Read without Python's lock, which exit would break."""
    while os.read(0, 1):
        pass
    _thread.interrupt_main()


if __name__ == "__main__":
    main()
