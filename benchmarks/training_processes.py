"""Training by one process and by several on one machine: seconds per step, as a Markdown table.

    python benchmarks/training_processes.py --out DIR [--processes 2] [--turns 3] [--json FILE]

Makes a feature store of random rows in DIR, then trains BaS-Net and DCC (configs/) on it in turn:
by one process with one thread, by one with as many threads as processes are compared, and by
several with one thread each, started by torchrun. A figure is the mean over the steps after the
first epoch, clustering included; the table has the median, smallest and largest of the turns.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wtal.bench.rows import machine_and_versions
from wtal_features.files import write_json

ROOT = Path(__file__).parents[1]
VIDEOS, SNIPPETS, DIMS, CLASSES, BATCH = 64, (200, 1400), 512, 20, 16
EPOCHS = 4  # the first is left out; the contrast starts with the second
CONFIGS = {"BaS-Net": "basnet", "DCC": "dcc"}


class Way(NamedTuple):
    """How a training is started."""

    processes: int
    threads: int  # of each

    def command(self) -> list[str]:
        """Up to the words of `wtal`."""
        if self.processes == 1:
            return [sys.executable, "-m", "wtal"]
        many = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        return [sys.executable, *many, str(self.processes), "-m", "wtal"]


def make_store(folder: Path, videos: int) -> None:
    """Random rows and tags; what they say does not matter for what a step costs."""
    draw = np.random.default_rng(0)
    (folder / "store").mkdir(parents=True)
    rows = ["video,label"]
    for v in range(videos):
        rows_TD = draw.normal(size=(int(draw.integers(*SNIPPETS)), DIMS)).astype(np.float16)
        np.save(folder / "store" / f"video_{v:04d}.npy", rows_TD)
        tags = draw.choice(CLASSES, size=1 + v % 2, replace=False)
        rows += [f"video_{v:04d},class {tag}" for tag in tags]
    (folder / "tags.csv").write_text("\n".join(rows) + "\n")


def seconds_per_step(folder: Path, config: str, way: Way, steps: int) -> float:
    """Mean over the steps after the first epoch."""
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    words = ["train", str(ROOT / "configs" / f"{config}.yaml"), "-f", str(folder / "store")]
    words += ["--tags", str(folder / "tags.csv"), "--out", str(out), "--device", "cpu", "-q"]
    words += ["--fps", "25", "--stride", "16"]
    settings = (f"train.steps={steps}", f"train.batch_size={BATCH}", "train.log_every=1")
    settings += ("cluster.every_epochs=1", f"dcc.warmup={1 / EPOCHS}") if config == "dcc" else ()
    for setting in settings:
        words += ["-o", setting]
    environment = os.environ | {"OMP_NUM_THREADS": str(way.threads)}
    subprocess.run([*way.command(), *words], env=environment, check=True)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    shutil.rmtree(out)
    return statistics.mean(line["seconds"] for line in lines[steps // EPOCHS :])


def measure(folder: Path, processes: int, turns: int, videos: int) -> list[dict[str, Any]]:
    """Every way in turn, so that other work on the machine slows all of them alike."""
    ways = (Way(1, 1), Way(1, processes), Way(processes, 1))
    steps = EPOCHS * -(-videos // BATCH)
    taken: dict[tuple[str, Way], list[float]] = {}
    for turn in range(turns):
        for name, config in CONFIGS.items():
            for way in ways:
                seconds = seconds_per_step(folder, config, way, steps)
                taken.setdefault((name, way), []).append(seconds)
                print(f"turn {turn + 1}: {name}, {way}: {seconds:.3f} s", file=sys.stderr)
    return [
        {"training": name, **way._asdict(), "seconds": values}
        for (name, way), values in taken.items()
    ]


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown; the last columns compare with one process of one thread, and of all threads."""
    median = {
        (row["training"], row["processes"], row["threads"]): statistics.median(row["seconds"])
        for row in rows
    }
    most = max(row["threads"] for row in rows)
    lines = [
        "| training | processes | threads each | s per step (min .. max) | speed, 1 x 1 = 1 "
        f"| speed, 1 x {most} = 1 |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        name, values = row["training"], row["seconds"]
        own = statistics.median(values)
        lines.append(
            f"| {name} | {row['processes']} | {row['threads']} "
            f"| {own:.3f} ({min(values):.3f} .. {max(values):.3f}) "
            f"| {median[name, 1, 1] / own:.2f} | {median[name, 1, most] / own:.2f} |"
        )
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="Folder for the made data.")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--videos", type=int, default=VIDEOS, help="Fewer: to see that it works.")
    parser.add_argument("--json", type=Path, help="File for the figures.")
    words = parser.parse_args()
    machine = machine_and_versions()
    shutil.rmtree(words.out / "data", ignore_errors=True)
    make_store(words.out / "data", words.videos)
    rows = measure(words.out / "data", words.processes, words.turns, words.videos)
    print("\n".join(table(rows)))
    if words.json is not None:
        write_json(words.json, {"machine": machine, "rows": rows})
    shutil.rmtree(words.out / "data")


if __name__ == "__main__":
    main()
