"""`denoise`: what the contrast adds to an epoch, and what clustering would cost otherwise.

Shapes: B videos, T snippets, D feature dims, E embedding dims, d projected dims, N points, K
clusters.

An epoch is 200 videos in batches of 16. Its time is that of one step times 13; the step is measured
here, at the published shape. Clustering is measured on as many points as the set has, after a drift
like that between two rounds; a warm round comes every five epochs, so a fifth of it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from wtal import kmeans
from wtal.bench.kmeans import drifted, make_points, reference_iterations
from wtal.bench.rows import CPU, Figures, Plan, Row, timed
from wtal.bench.step import PUBLISHED, QUICK, Shape, training_step
from wtal.clusters import COLD_ITERATIONS, WARM_ITERATIONS, ClusterConfig
from wtal.data import Batch
from wtal.dcc import DccConfig, DenoisedContrast
from wtal.memory import RegionBank, Slots
from wtal.model import Output

VIDEOS = 200  # THUMOS14
DRIFT = 0.1
# Training videos, classes, tags of a video.
SETS = {"THUMOS14": (200, 20, 1.135), "ActivityNet 1.3": (9649, 200, 1.05)}


@dataclass(frozen=True)
class Size:
    """Of the set.

    Args:
        shape: of a batch.
        videos: V.
        d: projected dims.
        K: clusters.
    """

    shape: Shape
    videos: int
    d: int
    K: int

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return -(-self.videos // self.shape.B)

    @property
    def points(self) -> int:
        """N."""
        return self.videos * self.shape.T


def make_labels(V: int, C: int, tags: float, generator: torch.Generator) -> Tensor:
    """One tag per video, and a second one for some."""
    labels_VC = torch.zeros(V, C)
    labels_VC[torch.arange(V), torch.arange(V) % C] = 1
    second = torch.rand(V, generator=generator) < tags - 1
    labels_VC[second, (torch.arange(V)[second] + 1) % C] = 1
    return labels_VC


def step_of_contrast(size: Size) -> Callable[[], None]:
    """All that a step does for the contrast: labels, clusters, regions, bank, loss, gradients.

    The base loss is a stand-in with a gradient at both embeddings: its own cost belongs to the step
    of BaS-Net.
    """
    B, T, D, C = size.shape.B, size.shape.T, size.shape.D, size.shape.C
    draw = torch.Generator().manual_seed(0)
    contrast = DenoisedContrast(
        DccConfig(contrast="bank", warmup=0, dim=size.d),
        ClusterConfig(k=size.K, every_epochs=0),
        hidden_dim=D,
        labels_VC=make_labels(B, C, 1.1, draw),
        steps=1000,
        steps_per_epoch=size.steps,
        seed=0,
        weight_decay=5e-4,
    )
    mask_BT = torch.ones(B, T, dtype=torch.bool)
    labels_BC, positions_BT = contrast.labels_VC.float(), torch.arange(T).repeat(B, 1)
    batch = Batch(torch.zeros(B, T, 1), mask_BT, labels_BC, torch.arange(B), positions_BT)
    embeddings = [torch.randn(size.shape.rows, D, generator=draw).requires_grad_() for _ in "bs"]
    cas = [torch.randn(B, T, C + 1, generator=draw) for _ in "bs"]
    output = Output(torch.rand(B, T, generator=draw), *cas, *embeddings)
    taken = 0

    def run() -> None:
        nonlocal taken
        base_loss = embeddings[0].mean() + embeddings[1].mean()
        term = contrast(output, batch, taken, measure=taken % 10 == 0)
        contrast.backward(base_loss, term, output, taken, lr=1e-4)
        taken += 1

    run()  # fills the bank
    run()  # the round that is not counted here
    return run


def per_epoch(size: Size) -> dict[str, Callable[[], Figures]]:
    """Clustering of every schedule on a set that has drifted, as CPU seconds of an epoch."""
    x_Nd = make_points(size.points, size.d)
    first = kmeans.fit(x_Nd, size.K, spherical=True)
    moved_Nd = drifted(x_Nd, DRIFT)
    library, run_library = reference_iterations(COLD_ITERATIONS)
    start_Kd = moved_Nd[:: size.points // size.K][: size.K].clone()

    def warm() -> None:
        kmeans.fit(
            moved_Nd,
            size.K,
            init=first.centroids,
            previous=first.labels,
            iters=WARM_ITERATIONS,
            spherical=True,
        )

    fifth = timed(warm)
    cold = timed(lambda: kmeans.fit(moved_Nd, size.K, iters=COLD_ITERATIONS, spherical=True))
    return {
        "warm": lambda: {CPU: fifth()[CPU] / ClusterConfig().every_epochs},
        "cold": cold,
        f"{library}, {COLD_ITERATIONS} iterations on all points": timed(
            lambda: run_library(moved_Nd, start_Kd)
        ),
    }


def measure(plan: Plan) -> Iterator[Row]:
    """Shares of an epoch, and the memory of the bank."""
    size = Size(QUICK, 20, 16, 10) if plan.quick else Size(PUBLISHED, VIDEOS, 512, 200)
    steps = {"step": timed(training_step(size.shape, "fp32"))}
    works = {**steps, "contrast": timed(step_of_contrast(size)), **per_epoch(size)}
    taken = plan.alternate(works, label="denoise", warm_up=plan.quick)
    epoch = [size.steps * value for value in taken["step"][CPU]]
    title = f"denoise: {size.points:,} x {size.d}, K = {size.K}"
    against = f"an epoch of {size.steps} steps of BaS-Net at {size.shape}, fp32"
    warm, cold, library = list(works)[2:]
    names = {
        warm: "warm rounds every 5 epochs",
        cold: "a first round at every epoch",
        library: f"{library}, at every epoch",
    }
    for work, name in names.items():
        yield plan.row(f"{title}, {name}, CPU an epoch", "s", taken[work][CPU], against, epoch)
    added = [size.steps * value for value in taken["contrast"][CPU]]
    yield plan.row(f"{title}, steps of the contrast, CPU an epoch", "s", added, against, epoch)
    yield from memory_rows(plan, size.d)


def memory_rows(plan: Plan, d: int) -> Iterator[Row]:
    """Megabytes of the bank, beside the weights of BaS-Net at the published width."""
    weights = 4e-6 * 26_262_529
    draw = torch.Generator().manual_seed(0)
    for name, (V, C, tags) in SETS.items():
        M = DccConfig().regions
        bank = RegionBank(Slots.of(make_labels(V, C, tags, draw)), M, d, "meta")
        state = bank.state().values()
        megabytes = sum(part.nelement() * part.element_size() for part in state) / 1e6
        title = f"denoise: bank of {name}, {len(bank.written_S):,} slots x {M} x {d}"
        yield plan.row(title, "MB", [megabytes], "weights of BaS-Net, fp32", [weights])
