"""`step`: one training step against the time of its matrix products alone.

Shapes: B videos, T snippets, D feature dims, S filter dims, E embedding dims, C action classes, N
packed rows (temporal_conv.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wtal.allocator import keep_freed_memory
from wtal.bench.child import peak_rss_mb
from wtal.bench.rows import CPU, WALL, Plan, Row, timed
from wtal.compat import Compat
from wtal.data import Batch
from wtal.losses import Criterion, LossConfig
from wtal.model import BaSNet, ModelConfig
from wtal.temporal_conv import Packing
from wtal.training import train_step

TAPS = 3  # of each convolution
BRANCHES = 2
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Shape:
    """Of a batch; hidden and filter widths follow from D as published."""

    B: int
    T: int
    D: int
    C: int

    def __str__(self) -> str:
        return f"{self.B} x {self.T} x {self.D}"

    @property
    def rows(self) -> int:
        """N."""
        return Packing((self.T,) * self.B, self.T).rows


PUBLISHED = Shape(B=16, T=750, D=2048, C=20)
QUICK = Shape(B=2, T=40, D=64, C=20)


@dataclass(frozen=True)
class Product:
    """(m, k) @ (k, n), `count` times in a step.

    Args:
        layer: where it occurs.
        kind: `y` = x W, `dx` = dy W.T, `dw` = x.T dy; it says which side is read transposed.
        m: rows of the result.
        k: summed over.
        n: columns of the result.
        count: times per step.
    """

    layer: str
    kind: str
    m: int
    k: int
    n: int
    count: int

    @property
    def gflop(self) -> float:
        """A multiplication and an addition per element of the sum."""
        return 2e-9 * self.m * self.k * self.n * self.count

    def operands(self, dtype: torch.dtype, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random matrices in the memory order that the step has."""
        left = (self.k, self.m) if self.kind == "dw" else (self.m, self.k)
        right = (self.n, self.k) if self.kind == "dx" else (self.k, self.n)
        a = torch.randn(left, generator=generator).to(dtype)
        b = torch.randn(right, generator=generator).to(dtype)
        return (a.T if self.kind == "dw" else a), (b.T if self.kind == "dx" else b)


def _layer(
    name: str, N: int, dims: tuple[int, int], count: int, *, dx: int | None = None, dw: int = 0
) -> list[Product]:
    """Products of a layer (N, D) -> (N, E).

    Args:
        name: of the layer.
        N: rows.
        dims: D and E.
        count: forward products.
        dx: products for the gradient of the input; None: as many as forward.
        dw: products for the gradient of the weights; 0: as many as forward.
    """
    D, E = dims
    products = [
        Product(name, "y", N, D, E, count),
        Product(name, "dx", N, E, D, count if dx is None else dx),
        Product(name, "dw", D, N, E, dw or count),
    ]
    return [product for product in products if product.count]


def products(shape: Shape, *, released: bool = False) -> list[Product]:
    """Every matrix product of a training step.

    Args:
        shape: of the batch.
        released: each branch has its own first convolution, as in the released code, and that of
            the suppression branch hands a gradient to the filter through its input. Otherwise the
            branches share it and the filter's gradient needs no product (temporal_conv.py).
    """
    N, D, E, S = shape.rows, shape.D, shape.D, max(1, shape.D // 4)
    conv1 = (
        _layer("conv1", N, (D, E), BRANCHES * TAPS, dx=TAPS)
        if released
        else _layer("conv1", N, (D, E), TAPS, dx=0)
    )
    return [
        *_layer("filter_in", N, (D, S), 1, dx=0),
        *_layer("filter_out", N, (S, 1), 1),
        *conv1,
        *_layer("conv2", N, (E, E), BRANCHES * TAPS),
        *_layer("classifier", N, (E, shape.C + 1), BRANCHES),
    ]


def gflop(listed: Sequence[Product], *layers: str) -> float:
    """Sum over the named layers, or over all."""
    return sum(product.gflop for product in listed if not layers or product.layer in layers)


def products_alone(listed: Sequence[Product], dtype: torch.dtype) -> Callable[[], None]:
    """A function that does the products, into memory that is there already."""
    generator = torch.Generator().manual_seed(0)
    work = []
    for product in listed:
        a, b = product.operands(dtype, generator)
        work.append((product.count, a, b, torch.empty(product.m, product.n, dtype=dtype)))

    def run() -> None:
        for count, a, b, out in work:
            for _ in range(count):
                torch.mm(a, b, out=out)

    return run


def training_step(shape: Shape, precision: str) -> Callable[[], None]:
    """A function that takes one step of `wtal.training`, the next one at each call."""
    draw = torch.Generator().manual_seed(0)
    network = BaSNet(shape.D, shape.C, ModelConfig(second_kernel=3), draw)
    criterion = Criterion(LossConfig(), Compat(), shape.C)
    optimizer = torch.optim.Adam(network.parameters(), weight_decay=5e-4, fused=True)
    batch = Batch(
        torch.randn(shape.B, shape.T, shape.D, generator=draw).abs_(),
        torch.ones(shape.B, shape.T, dtype=torch.bool),
        torch.eye(shape.C)[torch.arange(shape.B) % shape.C],
        torch.arange(shape.B),
        torch.arange(shape.T).repeat(shape.B, 1),
    )

    def run() -> None:
        train_step(
            network, criterion, optimizer, batch, lr=1e-4, generator=draw, precision=precision
        )

    return run


def take_steps(B: int, T: int, D: int, C: int, precision: str, steps: int) -> None:
    """What the child process of the memory figure does."""
    keep_freed_memory()
    run = training_step(Shape(B, T, D, C), precision)
    for _ in range(steps):
        run()


def _peak(shape: Shape, precision: str, steps: int) -> float:
    arguments = (shape.B, shape.T, shape.D, shape.C, precision, steps)
    code = f"from wtal.bench.step import take_steps; take_steps{arguments!r}"
    return peak_rss_mb([sys.executable, "-c", code])


def rows(plan: Plan, shape: Shape) -> Iterator[Row]:
    """Times against both lists of products, their FLOPs, and peak memory."""
    ours, released = products(shape), products(shape, released=True)
    total, total_released = gflop(ours), gflop(released)
    yield plan.row(
        f"step {shape}: matrix products of a step",
        "GFLOP",
        [total],
        "those of the released form",
        [total_released],
    )
    for precision, dtype in DTYPES.items():
        works = {
            "step": timed(training_step(shape, precision)),
            "ours": timed(products_alone(ours, dtype)),
            "released": timed(products_alone(released, dtype)),
        }
        taken = plan.alternate(works, label=f"step {precision}")
        for clock in (WALL, CPU):
            name, step = f"step {shape} {precision}, {clock}", taken["step"][clock]
            against = f"its products alone, {total:,.0f} GFLOP"
            yield plan.row(name, "s", step, against, taken["ours"][clock])
            against = f"products of the released form, {total_released:,.0f} GFLOP"
            yield plan.row(name, "s", step, against, taken["released"][clock])
    for precision in DTYPES:
        works = {
            "steps": lambda p=precision: {"peak": _peak(shape, p, 2)},  # type: ignore[misc]
            "none": lambda p=precision: {"peak": _peak(shape, p, 0)},  # type: ignore[misc]
        }
        taken = plan.alternate(works, label=f"memory {precision}", warm_up=False)
        yield plan.row(
            f"step {shape} {precision}, peak RSS of the process",
            "MB",
            taken["steps"]["peak"],
            "the same process with network and batch, no step",
            taken["none"]["peak"],
        )


def measure(plan: Plan) -> Iterator[Row]:
    """At the published shape, or a tiny one under `quick`; memory is kept, as in `wtal train`."""
    keep_freed_memory()
    yield from rows(plan, QUICK if plan.quick else PUBLISHED)
