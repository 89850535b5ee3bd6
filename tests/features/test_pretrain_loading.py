"""Batches: the same whoever draws them, every unit once a pass, and in time."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from tests.features.pretraining_toys import optim, stages, toy_store
from wtal_features.methods.loading import Loader, Order
from wtal_features.methods.stages import Batch, Sample, Stage
from wtal_features.pretraining.clipstore import ClipStore
from wtal_features.pretraining.units import Unit

UNITS = [Unit(f"v{number}", 0, 10, number) for number in range(10)]
Draw = Callable[[Unit, torch.Generator], Sample]


def sample(unit: Unit, generator: torch.Generator) -> Sample:
    """Who it is, and random numbers; some take longer than those after them."""
    time.sleep(0.002 * (unit.source % 3))
    return {"unit": torch.tensor(unit.source), "x": torch.rand(3, generator=generator)}


def loader(
    threads: int, *, steps: range = range(5), draw: Draw = sample, place: int = 0, **share: int
) -> Loader:
    """Of ten units in batches of four."""

    def of_unit(store: ClipStore, unit: Unit, generator: torch.Generator) -> Sample:
        return draw(unit, generator)

    stage = Stage("toy", UNITS, of_unit, cast(Any, None), optim(5))
    return Loader(cast(Any, None), stage, 0, place, steps, threads, **share)


def drawn(threads: int, **how: Any) -> list[Batch]:
    with loader(threads, **how) as batches:
        return list(batches)


def assert_same(one: list[Batch], other: list[Batch]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)


# What they hold ----------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_do_not_change_a_batch(threads: int) -> None:
    alone = drawn(0)
    assert len(alone) == 5
    assert alone[0]["x"].shape == (4, 3)
    assert_same(drawn(threads), alone)


@pytest.mark.parametrize("threads", [0, 2])
def test_the_batches_of_two_processes_are_the_halves_of_the_batch_of_one(threads: int) -> None:
    halves = [drawn(threads, rank=rank, size=2) for rank in range(2)]
    joined = [{name: torch.cat([a[name], b[name]]) for name in a} for a, b in zip(*halves)]  # noqa: B905
    assert_same(joined, drawn(0))


def test_clips_of_a_store_are_the_same_with_and_without_threads(tmp_path: Path) -> None:
    store = toy_store(tmp_path / "clips")
    (stage,) = stages("ubernce", store)
    found = []
    for threads in (0, 3):
        with Loader(store, stage, 1, 0, range(3), threads) as batches:
            found.append(list(batches))
    assert set(found[0][0]) == {"rgb_query", "rgb_key", "source", "label"}
    assert_same(*found)


def test_a_batch_is_the_same_wherever_a_run_goes_on() -> None:
    assert_same(drawn(2, steps=range(3, 5)), drawn(0)[3:])


def test_another_stage_draws_other_samples_in_another_order() -> None:
    one, other = drawn(0), drawn(0, place=1)
    assert [b["unit"].tolist() for b in one] != [b["unit"].tolist() for b in other]
    numbers = {tuple(row) for batch in one + other for row in batch["x"].tolist()}
    assert len(numbers) == 2 * 5 * 4


def test_a_run_without_steps_left_draws_nothing() -> None:
    assert drawn(2, steps=range(5, 5)) == []


# Their order -------------------------------------------------------------------------------------


def test_every_pass_holds_every_unit_once_in_an_order_of_its_own() -> None:
    order = Order(12, 4, 0, 0)
    passes = [[u for step in range(3) for u in order.rows(3 * p + step)] for p in range(4)]
    assert all(sorted(each) == list(range(12)) for each in passes)
    assert len({tuple(each) for each in passes}) == 4


def test_no_batch_holds_a_unit_twice_and_what_does_not_fill_one_changes() -> None:
    order = Order(10, 4, 0, 0)
    rows = [order.rows(step) for step in range(40)]
    assert all(len(set(batch)) == 4 for batch in rows)
    passes = [rows[step] + rows[step + 1] for step in range(0, 40, 2)]
    assert all(len(set(each)) == 8 for each in passes)
    left = Counter(unit for each in passes for unit in set(range(10)) - set(each))
    assert len(left) > 5


def test_a_batch_of_more_rows_than_units_goes_on_with_the_next_pass() -> None:
    order = Order(3, 4, 0, 0)
    rows = [order.rows(step) for step in range(3)]
    assert all(len(batch) == 4 for batch in rows)
    ordered = [unit for batch in rows for unit in batch]
    assert [sorted(ordered[i : i + 3]) for i in (0, 3, 6, 9)] == [[0, 1, 2]] * 4


def test_the_rows_of_a_step_do_not_depend_on_the_steps_asked_before() -> None:
    for count in (10, 3):
        asked = Order(count, 4, 7, 1)
        forward = [asked.rows(step) for step in range(9)]
        assert [asked.rows(step) for step in reversed(range(9))] == forward[::-1]
        assert Order(count, 4, 8, 1).rows(0) != forward[0]


# Threads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, 2])
def test_an_exception_of_a_draw_reaches_the_loop(threads: int) -> None:
    def fails(unit: Unit, generator: torch.Generator) -> Sample:
        if unit.source == 7:
            raise IndexError("grid frames of v7")
        return sample(unit, generator)

    with pytest.raises(IndexError, match="v7"):
        drawn(threads, draw=fails)


def test_leaving_early_ends_the_threads_and_draws_no_more() -> None:
    drawn_units = []

    def noted(unit: Unit, generator: torch.Generator) -> Sample:
        drawn_units.append(unit)
        time.sleep(0.01)
        return sample(unit, generator)

    with loader(1, draw=noted, steps=range(1000)) as batches:
        next(iter(batches))
    assert not [t for t in threading.enumerate() if t.name.startswith("clips")]
    assert 4 <= len(drawn_units) < 12


def test_no_more_than_three_batches_are_drawn_before_they_are_asked_for() -> None:
    drawn_units = []

    def noted(unit: Unit, generator: torch.Generator) -> Sample:
        drawn_units.append(unit)
        return {"unit": torch.tensor(unit.source)}

    with loader(2, draw=noted, steps=range(1000)) as batches:
        found = iter(batches)
        next(found)
        time.sleep(0.05)
        assert len(drawn_units) <= 12
        next(found)
        time.sleep(0.05)
        assert len(drawn_units) <= 16


def test_the_threads_of_the_loader_leave_those_of_the_network_alone() -> None:
    # The number is one of each thread, and of the process for threads that have none yet: a fresh
    # thread here is what the main thread is when a program begins.
    counts: list[int] = []

    def noted(unit: Unit, generator: torch.Generator) -> Sample:
        counts.append(torch.get_num_threads())
        return {"unit": torch.tensor(unit.source)}

    found: list[int] = []

    def fresh() -> None:
        drawn(2, draw=noted)
        found.append(torch.get_num_threads())

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        network = threading.Thread(target=fresh)
        network.start()
        network.join()
    finally:
        torch.set_num_threads(before)
    assert found == [2]
    assert set(counts) == {1}


def test_what_a_batch_was_waited_for_is_known() -> None:
    def slow(unit: Unit, generator: torch.Generator) -> Sample:
        time.sleep(0.03)
        return {"unit": torch.tensor(unit.source)}

    with loader(0, draw=slow) as alone:
        next(iter(alone))
        assert alone.waited_s >= 0.12
    with loader(2, draw=slow) as helped:
        batches = iter(helped)
        next(batches)
        assert helped.waited_s >= 0.03
        time.sleep(0.4)  # the network is busy
        next(batches)
        assert helped.waited_s < 0.03
