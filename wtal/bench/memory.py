"""`memory`: peak memory of the commands, and that of localize on ten times as many videos."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from wtal.bench.child import peak_rss_mb
from wtal.bench.rows import Plan, Row
from wtal.checkpoint import MODEL_FILE, save_network
from wtal.config import Config, dump_config
from wtal.model import BaSNet, ModelConfig
from wtal_features import StoreWriter, Tags, write_tags

N_CLASSES = 20
SNIPPETS = (1500, 250, 400, 120, 750)  # of the videos in turn: every store has the longest


def make_store(folder: Path, n_videos: int, dim: int, generator: np.random.Generator) -> None:
    """A store of random features, and tags.csv beside it."""
    names = [f"{v:05}" for v in range(n_videos)]
    with StoreWriter(folder, encoder="random", stride=16, fps=25.0) as store:
        for v, name in enumerate(names):
            shape = SNIPPETS[v % len(SNIPPETS)], dim
            store.write(name, np.abs(generator.standard_normal(shape, dtype=np.float32)))
    tags = {name: (f"class {v % N_CLASSES:02}",) for v, name in enumerate(names)}
    write_tags(folder.with_suffix(".csv"), Tags(tags))


def make_run(folder: Path, dim: int) -> None:
    """A run folder with an untrained network."""
    folder.mkdir()
    network = BaSNet(dim, N_CLASSES, ModelConfig(), torch.Generator().manual_seed(0))
    classes = tuple(f"class {c:02}" for c in range(N_CLASSES))
    save_network(folder / MODEL_FILE, network, classes, {})
    (folder / "config.yaml").write_text(dump_config(Config()), encoding="utf-8")


def _wtal(*arguments: str | Path) -> float:
    """Peak memory of one command, in MB."""
    return peak_rss_mb([sys.executable, "-m", "wtal", *map(str, arguments), "-q"])


def _localize(run: Path, store: Path) -> float:
    return _wtal("localize", run, "-f", store, "--device", "cpu")


def _train(root: Path, store: Path, steps: int) -> float:
    """Each time into a new folder."""
    with tempfile.TemporaryDirectory(dir=root) as out:
        config = Path(out) / "bench.yaml"
        config.write_text(f"train: {{steps: {steps}}}\n", encoding="utf-8")
        arguments = ("--tags", store.with_suffix(".csv"), "--out", Path(out) / "run")
        return _wtal("train", config, "-f", store, *arguments, "--device", "cpu")


def measure(plan: Plan) -> Iterator[Row]:
    """Both commands as a user runs them, on stores made for it."""
    few, dim, steps = (3, 8, 2) if plan.quick else (20, 256, 20)
    with tempfile.TemporaryDirectory(prefix="wtal-bench-") as folder:
        root, generator = Path(folder), np.random.default_rng(0)
        make_run(root / "run", dim)
        for name, n_videos in (("few", few), ("many", 10 * few)):
            make_store(root / name, n_videos, dim, generator)
        imports = [sys.executable, "-c", "import wtal.training"]
        works = {
            "many": lambda: {"peak": _localize(root / "run", root / "many")},
            "few": lambda: {"peak": _localize(root / "run", root / "few")},
            "train": lambda: {"peak": _train(root, root / "many", steps)},
            "imports": lambda: {"peak": peak_rss_mb(imports)},
        }
        taken = plan.alternate(works, label="memory", warm_up=False)
    peaks = {name: figures["peak"] for name, figures in taken.items()}
    title = f"memory: localize {10 * few} videos, {dim} dims, peak RSS"
    yield plan.row(title, "MB", peaks["many"], f"{few} videos", peaks["few"])
    title = f"memory: train on {10 * few} videos, {dim} dims, {steps} steps, peak RSS"
    yield plan.row(title, "MB", peaks["train"], "import wtal.training alone", peaks["imports"])
