"""`chamfer`: all videos against all, beside the loop over pairs, and what it costs as they grow.

Times are CPU seconds of one thread: two that wait for each other on a busy machine count for more
than they do.

Shapes: V videos, T rows of each, D dimensions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from wtal.bench.child import peak_rss_mb
from wtal.bench.rows import CPU, Plan, Row, timed
from wtal_features.retrieval.search import nearest
from wtal_features.retrieval.similarity import Described, Kind, described, similarities

MEMORY_MB = 256  # the default of every command
LOOP = "loop over pairs"


class Sizes(NamedTuple):
    """What is compared."""

    V: int
    T: int
    D: int
    every: int  # one in so many videos of the gallery is in the loop's part
    growth_V: tuple[int, ...]
    growth_T: int
    memory_V: int  # of the largest comparison, of few and short rows, since only memory counts
    memory_T: int
    memory_D: int


FULL = Sizes(1000, 64, 512, 20, (250, 500, 1000, 2000), 16, 10_000, 8, 64)
QUICK = Sizes(12, 6, 16, 3, (4, 8), 3, 40, 2, 8)


def make_videos(lengths: Sequence[int], D: int, *, seed: int = 0) -> Described:
    """Random rows around a direction of each video's own."""
    generator = torch.Generator().manual_seed(seed)

    def rows(T: int) -> Tensor:
        return torch.randn(1, D, generator=generator) + torch.randn(T, D, generator=generator)

    return described((f"{seed} {v:05}", rows(T)) for v, T in enumerate(lengths))


def ragged_lengths(V: int, T: int) -> list[int]:
    """Log-normal around T, as lengths of videos are: most are shorter, a few much longer."""
    generator = torch.Generator().manual_seed(0)
    lengths_V = (0.7 * torch.randn(V, generator=generator)).exp()
    return (lengths_V * (T / lengths_V.mean())).round().clamp(min=1).int().tolist()


def rows_of_each(videos: Described) -> list[Tensor]:
    """(T, D) rows, video after video."""
    assert videos.frames_ND is not None
    counts = [end - start for start, end in zip(videos.starts, videos.starts[1:], strict=False)]
    return list(torch.split(videos.frames_ND, counts))


def by_pairs(queries: Described, gallery: Described, kind: Kind, every: int = 1) -> Tensor:
    """One product per pair and direction, as public code does; (Q, G / every).

    Source: xwen99/temporal_context_aggregation evaluation.py, `calculate_similarities`.
    """

    def one(query_ND: Tensor, gallery_MD: Tensor) -> float:
        product_NM = torch.einsum("nd,md->nm", query_ND, gallery_MD)
        return product_NM.amax(dim=1).sum().item() / len(query_ND)

    all_queries = rows_of_each(queries)
    columns = []
    for video in rows_of_each(gallery)[::every]:
        there = [one(query, video) for query in all_queries]
        if kind == "symmetric":
            back = [one(video, query) for query in all_queries]
            there = [(x + y) / 2 for x, y in zip(there, back, strict=True)]
        columns.append(there)
    return torch.tensor(columns).T


def by_blocks(queries: Described, gallery: Described, kind: Kind) -> None:
    """Every strip, of which nothing is kept."""
    for _ in similarities(queries, gallery, kind, memory_mb=MEMORY_MB):
        pass


def products_alone(queries: Described, gallery: Described, block: int = 1024) -> None:
    """The same similarities of rows in blocks of the same size, without their maxima."""
    assert queries.frames_ND is not None
    assert gallery.frames_ND is not None
    room = queries.frames_ND.new_empty(block, block)
    for query_ND in torch.split(queries.frames_ND, block):
        for gallery_MD in torch.split(gallery.frames_ND, block):
            out_NM = room[: len(query_ND), : len(gallery_MD)]
            torch.mm(query_ND, gallery_MD.T, out=out_NM)


def compare_and_forget(V: int, T: int, D: int, kind: Kind | None) -> None:
    """What the child process does; without a kind, videos are made and not compared."""
    torch.set_num_threads(1)  # every thread has memory of its own
    videos = make_videos([T] * V, D)
    if kind is not None:
        nearest(videos, videos, kind, 10, exclude_self=True, memory_mb=MEMORY_MB)


def peak_mb(V: int, T: int, D: int, kind: Kind | None) -> float:
    """Peak memory of a process that compares, in MB."""
    code = f"from wtal.bench.chamfer import compare_and_forget as f; f{(V, T, D, kind)!r}"
    return peak_rss_mb([sys.executable, "-c", code])


def _against_the_loop(plan: Plan, sizes: Sizes) -> Iterator[Row]:
    """All pairs of two sets, and of one set with itself, against part of the loop."""
    V, T, D, every = sizes[:4]
    a, b = (make_videos([T] * V, D, seed=seed) for seed in (0, 1))
    ragged_V = max(2, V // 2)
    lengths = ragged_lengths(ragged_V, T)
    c, d = make_videos(lengths, D, seed=2), make_videos(lengths[::-1], D, seed=3)
    cases: list[tuple[str, Described, Described, Kind]] = [
        (f"{V:,} x {V:,} videos of {T} x {D}, chamfer", a, b, "chamfer"),
        (f"{V:,} videos of {T} x {D} among themselves, symmetric", a, a, "symmetric"),
        (f"{ragged_V:,} x {ragged_V:,} ragged, mean {T} x {D}, chamfer", c, d, "chamfer"),
    ]
    for name, queries, gallery, kind in cases:
        works = {
            "blocks": timed(partial(by_blocks, queries, gallery, kind)),
            LOOP: timed(partial(by_pairs, queries, gallery, kind, every)),
        }
        # No warm-up: each turn is long.
        taken = plan.alternate(works, label=f"chamfer {name}", warm_up=False)
        G = len(gallery.names)
        part = len(range(0, G, every))
        loop_s = [cpu * G / part for cpu in taken[LOOP][CPU]]
        words = f"{LOOP}: time on {part} of {G:,} videos of the gallery, times {G / part:g}"
        yield plan.row(f"chamfer: {name}, cpu", "s", taken["blocks"][CPU], words, loop_s)


def _against_the_products(plan: Plan, sizes: Sizes) -> Iterator[Row]:
    """What maxima and means cost beside the product, and rows in half precision."""
    V, T, D = max(2, sizes.V // 2), sizes.T, sizes.D
    a, b = (make_videos([T] * V, D, seed=seed) for seed in (0, 1))
    half_a, half_b = (
        replace(each, frames_ND=torch.cat(rows_of_each(each)).bfloat16()) for each in (a, b)
    )
    works = {
        "fp32": timed(partial(by_blocks, a, b, "symmetric")),
        "bf16": timed(partial(by_blocks, half_a, half_b, "symmetric")),
        "products": timed(partial(products_alone, a, b)),
    }
    taken = plan.alternate(works, label="chamfer beside its product", warm_up=False)
    title = f"chamfer: {V:,} x {V:,} videos of {T} x {D}, symmetric"
    fp32_s = taken["fp32"][CPU]
    alone = "the matrix products alone, fp32"
    yield plan.row(f"{title}, fp32, cpu", "s", fp32_s, alone, taken["products"][CPU])
    yield plan.row(f"{title}, bf16, cpu", "s", taken["bf16"][CPU], "fp32", fp32_s)


def _growth(plan: Plan, sizes: Sizes) -> Iterator[Row]:
    """Time per pair of videos, which is the same if time grows as the number of pairs does."""
    T, D = sizes.growth_T, sizes.D
    all_videos = {V: make_videos([T] * V, D) for V in sizes.growth_V}
    works = {
        str(V): timed(partial(by_blocks, videos, videos, "symmetric"))
        for V, videos in all_videos.items()
    }
    taken = plan.alternate(works, label="chamfer growth")
    per_pair = {V: [1e6 * s / V**2 for s in taken[str(V)][CPU]] for V in sizes.growth_V}
    first, *more = sizes.growth_V
    for V in more:
        title = f"chamfer: {V:,} videos of {T} x {D} among themselves, symmetric, cpu per pair"
        yield plan.row(title, "us", per_pair[V], f"{first:,} videos", per_pair[first])


def _memory(plan: Plan, sizes: Sizes) -> Iterator[Row]:
    """Peaks of the ten nearest of each video, with the memory that the commands allow."""
    cases: list[tuple[int, int, int, Kind]] = [
        (sizes.V, sizes.T, sizes.D, "symmetric"),
        (sizes.memory_V, sizes.memory_T, sizes.memory_D, "symmetric"),
        (sizes.memory_V, 1, sizes.D, "cosine"),
    ]
    for V, T, D, kind in cases:
        works: dict[str, Callable[[], dict[str, float]]] = {
            "compared": lambda case=(V, T, D, kind): {"peak": peak_mb(*case)},  # type: ignore[misc]
            "made": lambda case=(V, T, D, None): {"peak": peak_mb(*case)},  # type: ignore[misc]
        }
        taken = plan.alternate(works, label=f"chamfer memory {V:,}", warm_up=False)
        title = f"chamfer: {V:,} x {V:,} videos of {T} x {D}, {kind}, peak RSS"
        made = taken["made"]["peak"]
        yield plan.row(title, "MB", taken["compared"]["peak"], "videos, not compared", made)


def measure(plan: Plan) -> Iterator[Row]:
    """Speed against the loop and the bare product, growth, and memory."""
    sizes = QUICK if plan.quick else FULL
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for part in (_against_the_loop, _against_the_products, _growth, _memory):
            yield from part(plan, sizes)
    finally:
        torch.set_num_threads(threads)
