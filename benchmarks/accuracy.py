"""Accuracy of configs on one data set: train, localize and score every row with every seed.

    python benchmarks/accuracy.py --features STORE --annotations A.json --subset test \
        --out runs/ucf --rows configs/basnet.yaml configs/basnet_faithful.yaml --seeds 0 1 2 3 4

A row is a config, with `,key=value` overrides if wanted. Overrides that the localizer alone reads
need no other training: name them after a `+`, as in
`configs/basnet.yaml+compat.binary_class_score=true`. Figures are those of the last step; nothing is
chosen on the test split. What is done is kept: the same command continues.

The table lists mean and standard deviation (n - 1) over the seeds, the trivial whole-video
baseline, and the paired difference of every row to the first with its 95 % interval (Student's t
over the seeds).
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student

from wtal.config import load_config
from wtal.environment import machine
from wtal.inputs import read_labels, videos_of
from wtal.localize import Localizer
from wtal.results import write_results
from wtal.training import train
from wtal_eval import evaluate
from wtal_features import open_store
from wtal_features.files import write_json

AVERAGES = ("0.1:0.5", "0.1:0.7", "0.3:0.7")
SHOWN_TIOU = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description="Accuracy of configs over seeds.")
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--subset", default="test")
    parser.add_argument("--rows", nargs="+", required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = {row: [one_run(row, seed, options) for seed in options.seeds] for row in options.rows}
    write_json(options.out / "accuracy.json", results)
    print(table(results))
    print(f"\nseeds {options.seeds}; last step; {machine()}; torch {torch.__version__}")


def one_run(row: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of one row and seed, from the run folder if they are there."""
    trained, _, localized = row.partition("+")
    config_path, *overrides = trained.split(",")
    run = options.out / folder_name(trained) / f"seed-{seed}"
    scored = run / (f"eval-{folder_name(localized)}.json" if localized else "eval-test.json")
    if scored.exists():
        figures: dict[str, Any] = json.loads(scored.read_text())
        return figures
    config = load_config(Path(config_path), [*overrides, f"train.seed={seed}"])
    store = open_store(options.features, streams=config.data.streams)
    labels = read_labels(annotations=options.annotations)
    train(config, store, labels, run, resume=run.exists())
    localizer = Localizer.load(run, overrides=localized.split(",") if localized else ())
    detections = scored.with_name(scored.name.replace("eval", "detections", 1))
    videos = videos_of(labels, options.subset)
    write_results(detections, localizer.localize_store(store, videos), {"run": str(run)})
    evaluation = evaluate(detections, options.annotations, subset=options.subset)
    trivial = evaluation.baselines["whole_video"]
    figures = {
        "map": dict(zip(map(str, evaluation.tiou), evaluation.map, strict=True)),
        "averages": evaluation.averages,
        "video_map": evaluation.video_level.map if evaluation.video_level else math.nan,
        "trivial": {
            "map": dict(zip(map(str, evaluation.tiou), trivial.map, strict=True)),
            "averages": trivial.averages,
        },
    }
    write_json(scored, figures)
    print(f"{row} seed {seed}: {100 * figures['averages']['0.1:0.7']:.2f}", file=sys.stderr)
    return figures


def folder_name(text: str) -> str:
    """A row as a folder: `configs/basnet.yaml,train.steps=3` -> `basnet,train.steps=3`."""
    return text.replace(".yaml", "").replace("configs/", "").replace("/", "-")


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """A Markdown table in percent."""
    head = [*(f"{t:g}" for t in SHOWN_TIOU), *AVERAGES, "video mAP"]
    lines = [
        f"| row | {' | '.join(head)} | difference of 0.1:0.7 |",
        "|---" * (len(head) + 2) + "|",
    ]
    first = next(iter(results.values()))
    trivial = first[0]["trivial"]
    cells = [100 * trivial["map"][str(t)] for t in SHOWN_TIOU]
    cells += [100 * trivial["averages"][name] for name in AVERAGES]
    lines.append(f"| whole video x true tags | {' | '.join(f'{x:.1f}' for x in cells)} | | |")
    for row, runs in results.items():
        columns = [[100 * run["map"][str(t)] for run in runs] for t in SHOWN_TIOU]
        columns += [[100 * run["averages"][name] for run in runs] for name in AVERAGES]
        columns.append([100 * run["video_map"] for run in runs])
        texts = " | ".join(mean_and_sd(values) for values in columns)
        lines.append(f"| {folder_name(row)} | {texts} | {difference(runs, first)} |")
    return "\n".join(lines)


def mean_and_sd(values: list[float]) -> str:
    """`61.2 ± .8`."""
    mean = statistics.mean(values)
    return f"{mean:.1f} ± {statistics.stdev(values):.1f}" if len(values) > 1 else f"{mean:.1f}"


def difference(runs: list[dict[str, Any]], first: list[dict[str, Any]]) -> str:
    """Paired difference to the first row with its 95 % interval."""
    values = [
        100 * (run["averages"]["0.1:0.7"] - base["averages"]["0.1:0.7"])
        for run, base in zip(runs, first, strict=True)
    ]
    if runs is first or len(values) < 2:
        return ""
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):+.2f} ± {half:.2f}"


if __name__ == "__main__":
    main()
