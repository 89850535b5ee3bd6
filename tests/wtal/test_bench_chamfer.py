"""The benchmark of chamfer: the loop gives the same values, and every figure has its reference."""

import pytest
import torch

from wtal.bench import chamfer
from wtal.bench.rows import Plan
from wtal_features.retrieval.similarity import Kind, similarities

torch.set_num_threads(1)


@pytest.mark.parametrize("kind", ["chamfer", "symmetric"])
def test_the_loop_gives_the_values_of_the_blocks(kind: Kind) -> None:
    queries = chamfer.make_videos(chamfer.ragged_lengths(7, 6), 8)
    gallery = chamfer.make_videos([5] * 4, 8, seed=1)
    ((_, strip),) = similarities(queries, gallery, kind)
    torch.testing.assert_close(chamfer.by_pairs(queries, gallery, kind), strip)
    torch.testing.assert_close(chamfer.by_pairs(queries, gallery, kind, 3), strip[:, ::3])


def test_lengths_have_the_mean_that_is_said_and_a_long_tail() -> None:
    lengths = chamfer.ragged_lengths(500, 64)
    assert sum(lengths) / 500 == pytest.approx(64, rel=0.01)
    assert min(lengths) < 16
    assert max(lengths) > 256


def test_quick_figures_of_speed_and_growth_have_their_reference() -> None:
    plan = Plan(repeats=1, quick=True, machine="m", quiet=True)
    rows = []
    for part in (chamfer._against_the_loop, chamfer._against_the_products, chamfer._growth):
        rows += list(part(plan, chamfer.QUICK))
    assert len(rows) == 6
    assert all(row.name.startswith("chamfer: ") and row.value > 0 for row in rows)
    assert "on 4 of 12 videos of the gallery, times 3" in rows[0].reference
    assert rows[-1].reference == "4 videos"


@pytest.mark.slow
def test_the_whole_piece_takes_its_memory_figures_too() -> None:
    rows = list(chamfer.measure(Plan(repeats=1, quick=True, machine="m", quiet=True)))
    assert [row.unit for row in rows][-3:] == ["MB"] * 3
    assert all(row.value > 100 for row in rows[-3:])
