"""Do confidences that were learned from tags say how often detections are right?

    python benchmarks/calibration.py STORE --annotations A.json --config configs/dcc.yaml --out DIR
    python benchmarks/calibration.py --noise --config configs/basnet.yaml --out DIR

For each seed: train on the training subset, calibrate with its tags, localize the test subset, and
compare with its annotations, which nothing was chosen by. Rows: folds of the training videos (what
`wtal calibrate` does), the training videos as the run itself sees them, folds without decoys, and
folds that ask only whether the video has the tag. `--noise` makes a set in which nothing can be
found: 30 training videos of 512 random numbers a snippet, which a network learns by heart.
What is done is kept; the same command goes on.

Shapes: N detections.
"""

import argparse
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from wtal.bench.rows import machine_and_versions
from wtal.calibration import Calibration, write_calibration
from wtal.calibration.evidence import Evidence, Floats
from wtal.calibration.fitting import fit
from wtal.calibration.job import FOLDS, collect
from wtal.calibration.reliability import TIOU, Hits, Reliability, compare, draw, hits_of, to_json
from wtal.config import load_config
from wtal.data import select_subset
from wtal.inputs import Labels, read_labels, videos_of
from wtal.localize import Localizer
from wtal.results import write_results
from wtal.runs import DETECTIONS_FILE
from wtal.training import train
from wtal_features import FeatureStore, open_store
from wtal_features.files import atomic_write, make_folder, read_json, write_json

FIGURES_FILE = "calibration-figures.json"
NONE = np.empty(0)


def variants(folds: Evidence, own: Evidence) -> Mapping[str, Evidence]:
    """What the rows learn from."""
    bare = replace(
        folds,
        decoy_scores_M=NONE,
        decoy_weights_M=NONE,
        decoy_videos_M=np.empty(0, np.int64),
    )
    return {
        "folds": folds,
        "training videos": own,
        "folds, no decoys": bare,
        "folds, tag alone": replace(bare, lead_N=np.ones(len(bare.lead_N), bool)),
    }


def make_noise(folder: Path) -> tuple[Path, Path]:
    """A store of noise and its annotations: 30 training and 60 test videos, 3 classes."""
    generator = np.random.default_rng(0)
    store, annotations = folder / "noise", folder / "noise.json"
    make_folder(store)
    videos, database = {}, {}
    for v in range(90):
        name, T = f"noise_{v:02d}", int(generator.integers(24, 60))
        with atomic_write(store / f"{name}.npy") as file:
            np.save(file, generator.normal(scale=0.3, size=(T, 512)).astype(np.float32))
        start = int(generator.integers(0, T - 12))
        row = {"label": "ABC"[v % 3], "segment": [start, start + 8]}
        subset = "training" if v < 30 else "test"
        database[name] = {"subset": subset, "duration": T, "annotations": [row]}
        videos[name] = {"fps": 1, "frames": T, "duration": T}
    about = {"encoder": "noise", "dim": 512, "window": 1, "stride": 1, "fps": 1, "videos": videos}
    write_json(store / "manifest.json", about)
    write_json(annotations, {"database": database})
    return store, annotations


def f1(hits: Hits, h: int, threshold: float) -> float:
    """F1 of the detections at or above a score, at threshold h of tIoU."""
    kept_N = hits.scores_N >= threshold
    return float(2 * hits.hits_HN[h, kept_N].sum() / (kept_N.sum() + hits.instances))


def best_f1(hits: Hits, h: int) -> float:
    """F1 at the score that is best for these very videos."""
    right_N = np.cumsum(hits.hits_HN[h])
    last_N = np.append(np.diff(hits.scores_N) != 0, True)  # between equal scores nothing is cut
    f1_N: Floats = 2 * right_N / (np.arange(1, len(right_N) + 1) + hits.instances)
    return float(f1_N[last_N].max(initial=0.0))


def expected_best(evidence: Evidence, calibration: Calibration) -> float:
    """The score with the best F1 that the confidences expect; what nobody detects is no miss."""
    scores_N = np.sort(evidence.scores_N)[::-1]
    right_N = np.cumsum(calibration.confidence(scores_N))
    f1_N = 2 * right_N / (np.arange(1, len(scores_N) + 1) + right_N[-1])
    return float(scores_N[f1_N.argmax()])


def figures(hits: Hits, evidence: Evidence) -> tuple[dict[str, Any], tuple[Reliability, ...]]:
    """Everything of one row and seed."""
    calibration = fit(evidence, "", {})
    found = compare(calibration, hits)
    confidence_N = calibration.confidence(hits.scores_N)
    sure_N = hits.scores_N >= calibration.threshold
    other = expected_best(evidence, calibration)
    told: dict[str, Any] = {
        "threshold": calibration.threshold,
        "sure": int(sure_N.sum()),
        "claimed": float(confidence_N[sure_N].mean()) if sure_N.any() else 0.0,
        "expected-F1 threshold": other,
    }
    for h, (tiou, each) in enumerate(zip(TIOU, found, strict=True)):
        right = float(hits.hits_HN[h, sure_N].mean()) if sure_N.any() else 0.0
        told |= {f"ECE {tiou}": each.ece, f"worst {tiou}": each.worst, f"right {tiou}": right}
        told |= {
            f"F1 {tiou}": f1(hits, h, calibration.threshold),
            f"F1 expected {tiou}": f1(hits, h, other),
            f"F1 best {tiou}": best_f1(hits, h),
            f"F1 score .5 {tiou}": f1(hits, h, 0.5),
        }
    return told, found


def one_seed(
    seed: int, store: FeatureStore, labels: Labels, options: argparse.Namespace
) -> dict[str, Any]:
    """Train, calibrate, localize, compare."""
    run = options.out / f"seed-{seed}"
    config = load_config(options.config, [*options.override, f"train.seed={seed}"])
    how: dict[str, Any] = {"resume": run.exists(), "device": options.device}
    if train(config, store, labels, run, **how).interrupted:
        raise KeyboardInterrupt
    tags = replace(labels, annotations=None)
    how = {"overrides": (), "device": options.device, "quiet": True}
    how |= {"notify": print, "progress": lambda done, total: None}
    names, _ = select_subset(labels.subsets, config.data.train_subset, labels.source)
    folds = collect(run, store, tags, None, options.folds, **how)
    own = collect(run, store, tags, names, options.folds, **how)
    write_calibration(run, fit(folds.evidence, folds.model, {"method": folds.method}))
    localizer = Localizer.load(run, options.device)
    videos = [v for v in videos_of(labels, options.subset) if v in store]
    write_results(run / DETECTIONS_FILE, localizer.localize_store(store, videos), {})
    assert labels.annotations is not None  # the option is required
    hits = hits_of(run / DETECTIONS_FILE, labels.annotations, subset=options.subset)
    rows = {}
    for name, evidence in variants(folds.evidence, own.evidence).items():
        told, found = figures(hits, evidence)
        rows[name] = told | {"reliability": to_json(found)}
        if name == "folds" and seed == options.seeds[0] and options.plot is not None:
            draw(found, options.plot, f"Test videos, seed {seed}; calibrated with tags alone")
    return rows


def spread(values: Iterable[float], scale: float = 100) -> str:
    """Mean ± standard deviation."""
    numbers = [scale * value for value in values]
    deviation = statistics.stdev(numbers) if len(numbers) > 1 else 0.0
    return f"{statistics.mean(numbers):.1f} ± {deviation:.1f}"


def table(seeds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown."""
    columns = [f"{what} {t}" for what in ("ECE", "worst") for t in TIOU]
    shown = ["claimed", *(f"right {t}" for t in TIOU)]
    lines = ["| | " + " | ".join([*columns, "sure", *shown]) + " |"]
    lines += ["|---" * (len(columns) + len(shown) + 2) + "|"]
    for name in seeds[0]:
        each = [seed[name] for seed in seeds]
        cells = [spread(row[c] for row in each) for c in columns]
        cells += [spread((row["sure"] for row in each), 1)]
        cells += [spread(row[c] for row in each) for c in shown]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    rules = {"confidence .5": "F1", "best expected F1": "F1 expected"}
    rules |= {"score .5": "F1 score .5", "best score, with annotations": "F1 best"}
    lines += [
        "",
        "| F1 at, folds | " + " | ".join(f"tIoU {t}" for t in TIOU) + " |",
        "|---|---|---|---|",
    ]
    for name, key in rules.items():
        cells = [spread(seed["folds"][f"{key} {t}"] for seed in seeds) for t in TIOU]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def main(words: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("store", type=Path, nargs="?")
    add("--annotations", type=Path)
    add("--noise", action="store_true", help="a made set instead, in which nothing can be found")
    add("--config", type=Path, required=True)
    add("-o", "--override", action="append", default=[], help="of the config")
    add("--out", type=Path, required=True, help="folder of the runs")
    add("--subset", default="test", help="what is compared")
    add("--folds", type=int, default=FOLDS)
    add("--seeds", type=lambda text: [int(each) for each in text.split(",")], default=[0])
    add("--device", default="cpu")
    add("--plot", type=Path, help="PNG of the first seed")
    add("--json", type=Path)
    options = parser.parse_args(words)
    if options.noise is (options.store is not None and options.annotations is not None):
        parser.error("expected STORE and --annotations, or --noise")
    make_folder(options.out)
    if options.noise:
        options.store, options.annotations = make_noise(options.out)
    store, labels = open_store(options.store), read_labels(annotations=options.annotations)
    seeds: list[Any] = []
    for seed in options.seeds:
        file = options.out / f"seed-{seed}" / FIGURES_FILE
        if not file.is_file():
            write_json(file, one_seed(seed, store, labels, options))
        seeds.append(read_json(file))
    print("\n".join(table(seeds)))
    if options.json is not None:
        about = {"seeds": options.seeds, "folds": options.folds, "machine": machine_and_versions()}
        write_json(options.json, about | {"rows": seeds})


if __name__ == "__main__":
    main()
