"""A store of random rows, and settings with which TCA trains in a second.

A process of its own: `python -m tests.features.tca_toys FOLDER PORT RANK SIZE` trains as one of
several and writes FOLDER/RANK.pt.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.features.pretraining_toys import RUN, recorded
from tests.group import join, leave
from wtal_features.methods.catalog import plan_of
from wtal_features.methods.loop import pretrain
from wtal_features.methods.pairs import PairConfig
from wtal_features.methods.rows import RowStore
from wtal_features.methods.settings import OptimConfig
from wtal_features.methods.tca import BankConfig, TCAConfig, TransformerConfig, tca_rows
from wtal_features.store import FeatureStore, open_store

D, VIDEOS = 8, 12
NAMES = [f"v{number:02d}" for number in range(VIDEOS)]
LABELS = {name: (number % 3,) for number, name in enumerate(NAMES)}


def feature_store(
    folder: Path, copies: int = 0, lengths: tuple[int, ...] = (5, 9, 30)
) -> FeatureStore:
    """Twelve videos of random rows; a copy has the rows of its video, with noise."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        rows = generator.normal(size=(lengths[number % len(lengths)], D)).astype(np.float32)
        np.save(folder / f"{name}.npy", rows)
        for copy in range(1, copies + 1):
            noisy = rows + 0.1 * generator.normal(size=rows.shape).astype(np.float32)
            np.save(folder / f"{name}~{copy}.npy", noisy)
    return open_store(folder, fps=1, stride=1)


def config(**changes: Any) -> TCAConfig:
    base = TCAConfig(
        pairs=PairConfig(rows=6),
        transformer=TransformerConfig(heads=2, hidden=16, dropout=0.1),
        bank=BankConfig(slots=32, strangers=2),
        optim=OptimConfig(epochs=1, steps=6, batch=4, lr=1e-3),
        run=RUN,
    )
    return replace(base, **changes)


def rows_of(store: FeatureStore, wanted: TCAConfig | None = None) -> RowStore:
    return tca_rows(wanted or config(), store, store.videos)[0]


def states(folder: Path, out: Path) -> dict[str, Tensor]:
    """Train without dropout, by plain steps; what the objective ended with."""
    steps = OptimConfig(epochs=1, steps=5, batch=4, optimizer="sgd", lr=0.01)
    wanted = config(transformer=TransformerConfig(2, 16, dropout=0), optim=steps)
    rows = rows_of(open_store(folder, fps=1, stride=1), wanted)
    watched, made = recorded(plan_of("tca", wanted, rows))
    pretrain(watched, out)
    return made[0].state()


if __name__ == "__main__":
    torch.set_num_threads(1)
    here, (rank, _) = Path(sys.argv[1]), join(*sys.argv[2:])
    torch.save(states(here / "store", here / str(rank) / "tca.safetensors"), here / f"{rank}.pt")
    leave()
