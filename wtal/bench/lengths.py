"""`lengths`: an epoch on true lengths against one with every video resampled to T = 750."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import log

import numpy as np
import torch
from numpy.typing import NDArray

from wtal.bench.rows import WALL, Plan, Row, timed
from wtal.compat import Compat
from wtal.data import DataConfig, Sampler, TrainingVideos, bins_of
from wtal.losses import Criterion, LossConfig
from wtal.model import BaSNet, ModelConfig
from wtal.training import train_step

MEDIAN = 253  # snippets of a THUMOS14 training video
SHARE_ABOVE_750 = 0.09  # of them
Z_91 = 1.3408  # standard normal quantile of 1 - SHARE_ABOVE_750
N_CLASSES = 20
BATCH = 16
CONFIGS = {"native": DataConfig(), "grid": DataConfig(resample="grid")}


def draw_lengths(n_videos: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Log-normal with the median and the tail of THUMOS14's training videos."""
    drawn = generator.lognormal(log(MEDIAN), log(750 / MEDIAN) / Z_91, n_videos)
    return np.maximum(drawn.round().astype(np.int64), 8)


def make_videos(n_videos: int, dim: int, generator: np.random.Generator) -> TrainingVideos:
    """Random features in memory, one tag per video."""
    features = {
        f"{v:04}": np.abs(generator.standard_normal((n, dim), dtype=np.float32))
        for v, n in enumerate(draw_lengths(n_videos, generator).tolist())
    }
    labels_VC = np.eye(N_CLASSES, dtype=np.float32)[np.arange(n_videos) % N_CLASSES]
    classes = tuple(f"class {c:02}" for c in range(N_CLASSES))
    return TrainingVideos(tuple(features), labels_VC, classes, features.__getitem__)


def epoch(videos: TrainingVideos, dim: int, data: DataConfig) -> Callable[[], None]:
    """A function that trains on every video once: sampling, steps and updates."""
    network = BaSNet(dim, N_CLASSES, ModelConfig(), torch.Generator().manual_seed(0))
    criterion = Criterion(LossConfig(), Compat(), N_CLASSES)
    optimizer = torch.optim.Adam(network.parameters(), weight_decay=5e-4, fused=True)
    sampler = Sampler(videos, data, BATCH, seed=0)
    dropout = torch.Generator().manual_seed(1)

    def run() -> None:
        for step in range(sampler.steps_per_epoch):
            batch = sampler.batch(step)
            train_step(network, criterion, optimizer, batch, lr=1e-4, generator=dropout)

    return run


def measure(plan: Plan) -> Iterator[Row]:
    """Snippets and seconds of an epoch."""
    n_videos, dim = (20, 16) if plan.quick else (200, 256)
    videos = make_videos(n_videos, dim, np.random.default_rng(0))
    seen = {
        name: sum(bins_of(len(videos.read(v)), config, training=True) for v in videos.names)
        for name, config in CONFIGS.items()
    }
    title = f"lengths: epoch of {n_videos} videos, {dim} dims, true lengths"
    reference = "every video resampled to 750"
    yield plan.row(f"{title}, snippets", "1", [seen["native"]], reference, [seen["grid"]])
    works = {name: timed(epoch(videos, dim, config)) for name, config in CONFIGS.items()}
    taken = plan.alternate(works, label="lengths")
    native, grid = taken["native"][WALL], taken["grid"][WALL]
    yield plan.row(f"{title}, wall", "s", native, reference, grid)
