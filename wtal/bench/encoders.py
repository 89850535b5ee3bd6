"""`encoders`: time per clip of our networks, against what their FLOPs take as one matrix product.

A network's multiply-adds over the rate of a large product of the same precision, measured in the
same run with the same threads, is the time that nothing can beat without fewer operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from wtal.bench.rows import CPU, WALL, Figures, Plan, Row, timed
from wtal_features.clips import ClipSpec, Preprocess
from wtal_features.encoders.catalog import ENCODERS
from wtal_features.encoders.encoder import NetworkEncoder
from wtal_features.encoders.inference import without_norms
from wtal_features.encoders.tally import tally
from wtal_features.encoders.untrained import textures

# Frames and side of the clips.
CLIPS = {
    "s3d": (32, 128),
    "r3d50": (16, 224),
    "r2plus1d26": (16, 112),
    "i3d": (16, 224),
    "c3d": (16, 112),
    "r3d10": (8, 112),
}
QUICK = {"s3d": (5, 32)}
BATCH = 4  # as `wtal extract` by default
SIDE = 2048  # of the matrix product
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def product(dtype: torch.dtype, side: int) -> Callable[[], Tensor]:
    """A function that multiplies two square matrices."""
    a, b = torch.randn(2, side, side, generator=torch.Generator().manual_seed(0)).to(dtype)
    return lambda: a @ b


def as_extracted(
    name: str, network: nn.Module, clip: ClipSpec, dtype: torch.dtype
) -> NetworkEncoder:
    """The encoder that `wtal extract` makes of a network."""
    C, size = ENCODERS[name].channels, clip.preprocess.size
    faster = without_norms(network, (C, clip.frames, size, size)).to(dtype)
    encoder = NetworkEncoder(name, faster, 1, clip, channels=C)
    return encoder.to(torch.device("cpu"))


@torch.inference_mode()
def as_built(network: nn.Module, x_BCTHW: Tensor, dtype: torch.dtype) -> None:
    """The network as it is written, channels first, in a precision by autocast."""
    with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
        network(x_BCTHW).mean(dim=(2, 3, 4))


def rows(plan: Plan, name: str, frames: int, side: int) -> Iterator[Row]:
    """One network in both precisions."""
    generator = torch.Generator().manual_seed(0)
    architecture = ENCODERS[name]
    C, size = architecture.channels, (architecture.channels, frames, side, side)
    pixels = Preprocess(side, side) if C == 3 else Preprocess(side, side, mean=None, std=None)
    clip = ClipSpec(frames, 1, "rgb" if C == 3 else "motion", pixels)
    width = 0.125 if plan.quick else 1.0
    network = architecture.build(C, width, generator=generator).eval()
    gflop = 2e-9 * tally(network, size).multiply_adds
    clips = torch.cat([textures(clip, generator)] * (BATCH // 2))
    x_BCTHW = torch.randn(BATCH, *size, generator=generator)
    side_of_product = 64 if plan.quick else SIDE
    for precision, dtype in DTYPES.items():
        encoder = as_extracted(name, network, clip, dtype)
        works: dict[str, Callable[[], Figures]] = {
            "encoder": timed(partial(encoder.encode, clips)),
            "built": timed(partial(as_built, network, x_BCTHW, dtype)),
            "product": timed(product(dtype, side_of_product)),
        }
        taken = plan.alternate(works, label=f"{name} {precision}")
        for clock in (WALL, CPU):
            title = f"encoders: {name} {frames} x {side} x {side}, {precision}, per clip, {clock}"
            ours, built = ([s / BATCH for s in taken[w][clock]] for w in ("encoder", "built"))
            per_gflop = 1 / (2e-9 * side_of_product**3)
            floor = [s * per_gflop * gflop for s in taken["product"][clock]]
            yield plan.row(title, "s", ours, f"{gflop:.1f} GFLOP as a matrix product", floor)
            yield plan.row(title, "s", ours, "the network as built, channels first", built)


def measure(plan: Plan) -> Iterator[Row]:
    """Every network at its own clip; one narrow one under `quick`."""
    for name, (frames, side) in (QUICK if plan.quick else CLIPS).items():
        yield from rows(plan, name, frames, side)
