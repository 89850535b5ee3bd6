"""Which frame each cell of the constant grid shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wtal_features.errors import FeatureError
from wtal_features.video.grid import Grid, on_grid

HALF = Fraction(1, 2)
NTSC = Fraction(30000, 1001)


@dataclass(frozen=True)
class At:
    """Frame i, shown from a time on."""

    i: int
    time: Fraction


class Shown:
    """Frames at given times; `end` is known after the last, as with a decoder."""

    def __init__(self, times: Sequence[Fraction], end: Fraction) -> None:
        self.times, self._end, self.taken = times, end, 0

    @property
    def end(self) -> Fraction:
        assert self.taken == len(self.times), "asked too early"
        return self._end

    def __iter__(self) -> Iterator[At]:
        for i, time in enumerate(self.times):
            self.taken = i + 1
            yield At(i, time)


def on(times: Sequence[Fraction], end: Fraction, fps: Fraction = Fraction(25)) -> list[int]:
    """For each grid frame the number of the frame that it shows."""
    found: list[int] = []
    for cells, frame in on_grid(Shown(times, end), Grid(fps, most=10**6)):
        assert cells.start == len(found)
        found += [frame.i] * len(cells)
    return found


def by_definition(times: Sequence[Fraction], end: Fraction, fps: Fraction) -> list[int]:
    """Grid frame k is the last frame with time <= (k + 1/2) / fps; N = max(1, round(end fps))."""
    N = max(1, floor(end * fps + HALF))
    return [max(i for i, t in enumerate(times) if t <= (k + HALF) / fps) for k in range(N)]


def constant(rate: Fraction, n: int) -> tuple[list[Fraction], Fraction]:
    return [i / rate for i in range(n)], n / rate


@pytest.mark.parametrize("rate", [Fraction(r) for r in (10, 24, 25, 30, 50, 60)] + [NTSC])
def test_at_a_constant_rate_cell_k_shows_frame_floor_of_k_and_a_half_times_the_ratio(
    rate: Fraction,
) -> None:
    n = 240
    found = on(*constant(rate, n))
    assert found == [
        min(n - 1, floor((k + HALF) * rate / 25)) for k in range(floor(n / rate * 25 + HALF))
    ]


def test_the_grid_of_its_own_rate_shows_every_frame_once() -> None:
    for fps in (Fraction(25), Fraction(24), NTSC):
        assert on(*constant(fps, 100), fps=fps) == list(range(100))


def test_a_frame_right_on_a_border_is_shown() -> None:
    # At 50 fps frame 2k + 1 appears exactly amid cell k.
    assert on(*constant(Fraction(50), 10)) == [1, 3, 5, 7, 9]
    just_after = [Fraction(0), Fraction(1, 50) + Fraction(1, 10**9)]
    assert on(just_after, Fraction(2, 25)) == [0, 1]


def test_a_variable_rate_shows_the_last_frame_that_is_there() -> None:
    times = [Fraction(t, 1000) for t in (0, 10, 15, 400, 401, 500)]
    found = on(times, Fraction(52, 100))
    # Cells are looked at after 20, 60, 100, ... ms.
    assert found == [2] * 10 + [4, 4, 5]


def test_one_frame_is_one_cell_however_short_it_is_shown() -> None:
    for end in (Fraction(0), Fraction(1, 1000), Fraction(1, 25)):
        assert on([Fraction(0)], end) == [0]


def test_a_still_image_at_the_end_fills_the_cells_for_which_it_stands() -> None:
    times, _ = constant(Fraction(25), 5)
    assert on(times, Fraction(10)) == [0, 1, 2, 3] + [4] * 246


def test_half_a_cell_at_the_end_counts_as_one() -> None:
    for n in range(1, 9):  # at 50 fps: n / 2 cells
        assert len(on(*constant(Fraction(50), n))) == max(1, (n + 1) // 2)


def test_of_frames_at_one_time_the_last_is_shown() -> None:
    zero, late = Fraction(0), Fraction(1, 5)
    assert on([zero, zero, late, late, late], Fraction(6, 25)) == [1] * 5 + [4]


Ticks = st.lists(st.integers(0, 100), min_size=0, max_size=12)


@settings(deadline=None, max_examples=150)
@given(
    Ticks, st.integers(0, 60), st.sampled_from([Fraction(25), Fraction(2, 3), Fraction(50), NTSC])
)
def test_cells_equal_the_definition_at_any_times(
    ticks: list[int], rest: int, fps: Fraction
) -> None:
    for unit in (Fraction(1, 100), Fraction(1001, 60000)):
        times = [Fraction(0), *sorted(t * unit for t in ticks)]
        end = times[-1] + (rest + 1) * unit
        assert on(times, end, fps) == by_definition(times, end, fps)


def test_every_frame_is_passed_on_even_if_it_fills_no_cell() -> None:
    pairs = list(on_grid(Shown(*constant(Fraction(100), 8)), Grid(Fraction(25), 100)))
    assert [frame.i for _, frame in pairs] == list(range(8))
    assert [len(cells) for cells, _ in pairs] == [0, 0, 1, 0, 0, 0, 1, 0]


def test_only_one_frame_is_taken_ahead() -> None:
    shown = Shown(*constant(Fraction(25), 9))
    for n, _ in enumerate(on_grid(shown, Grid(Fraction(25), 100)), 1):
        assert shown.taken <= n + 1


def test_no_frame_is_no_cell() -> None:
    assert list(on_grid(Shown([], Fraction(0)), Grid(Fraction(25), 100))) == []


def test_a_video_that_is_too_long_is_refused_at_once() -> None:
    hour = 25 * 3600
    assert len(Grid(Fraction(25), hour).rest(Fraction(3600))) == hour
    grid = Grid(Fraction(25), hour)
    with pytest.raises(FeatureError, match=r"reach 2\.0 h; expected at most 1\.0 h") as raised:
        grid.rest(Fraction(7200))
    assert raised.value.code == "too-long"
    with pytest.raises(FeatureError, match="--max-hours"):
        grid.before(At(1, Fraction(10**12)))
    assert grid.filled == 0
