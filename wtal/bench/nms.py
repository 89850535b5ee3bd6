"""`nms`: hard and soft suppression of 100,000 segments, on one long list and on twenty short ones.

Each figure has two references: the obvious loop, measured in the same run, and what the field's
compiled extension (sming256/OpenTAD@3dd7b03, nms_cpu.cpp) took for a set made in the same way, on
another machine. The second is a ratio across machines: an orientation, no measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wtal.bench import plain
from wtal.bench.rows import CPU, Plan, Row, timed
from wtal_eval.nms import hard_nms
from wtal_eval.soft_nms import soft_nms

GROUPS, EACH, TIMELINE_S = 20, 5000, 2000.0
THRESHOLDS = (0.3, 0.5, 0.7)
SIGMA, MIN_SCORE, CAP = 0.5, 0.001, 200
ELSEWHERE = "compiled extension, measured elsewhere"
# CPU ms of the extension. It picks to the end before it cuts, so its soft figure has no cap.
EXTENSION_MS = {"one 0.5": 7673, "0.3": 121, "0.5": 199, "0.7": 291, "soft": 1509}


class Segments(NamedTuple):
    """Random segments in groups, each group on its own timeline; (N,) each."""

    starts_N: NDArray[np.float32]  # seconds
    ends_N: NDArray[np.float32]  # seconds
    scores_N: NDArray[np.float32]
    groups_N: NDArray[np.int64]


def make_segments(
    groups: int, each: int, timeline_s: float, generator: np.random.Generator
) -> Segments:
    """Uniform starts and scores; lengths exp N(1.5, 1) s, so a median of 4.5 s."""
    n = groups * each
    starts = generator.uniform(0, timeline_s, n).astype(np.float32)
    lengths = generator.lognormal(1.5, 1.0, n).astype(np.float32)
    scores = generator.uniform(0, 1, n).astype(np.float32)
    return Segments(starts, starts + lengths, scores, np.repeat(np.arange(groups), each))


def cut_timeline(segments: Segments, parts: int) -> Segments:
    """The same segments in `parts` groups by position, so that the quadratic loop ends in time."""
    edges = np.linspace(segments.starts_N.min(), segments.starts_N.max(), parts + 1)[1:-1]
    return segments._replace(groups_N=np.searchsorted(edges, segments.starts_N))


def by_group(segments: Segments) -> Iterator[tuple[NDArray[np.float64], ...]]:
    """Starts, ends and scores of one group after another, in float64 as `exact` computes."""
    for group in np.unique(segments.groups_N):
        members = segments.groups_N == group
        columns = (segments.starts_N, segments.ends_N, segments.scores_N)
        yield tuple(column[members].astype(np.float64) for column in columns)


def hard_loop(segments: Segments, threshold: float) -> None:
    """The plain loop, group after group."""
    for starts_N, ends_N, scores_N in by_group(segments):
        plain.hard_nms(starts_N, ends_N, scores_N, threshold)


def soft_loop(segments: Segments) -> None:
    """The plain loop, group after group."""
    for starts_N, ends_N, scores_N in by_group(segments):
        plain.soft_nms(starts_N, ends_N, scores_N, SIGMA, MIN_SCORE)


def _rows(
    plan: Plan,
    name: str,
    works: dict[str, Callable[[], object]],
    loop: tuple[str, Callable[[], object]],
    elsewhere_ms: float,
) -> Iterator[Row]:
    """CPU time of each of our works against the loop, and the first against the extension."""
    reference, loop_work = loop
    timed_works = {title: timed(work) for title, work in works.items()}
    # No warm-up: the loop takes its time, and the median of ours does not see the first turn.
    taken = plan.alternate(timed_works | {"loop": timed(loop_work)}, label=name, warm_up=False)
    for title in works:
        ms = _ms(taken[title][CPU])
        yield plan.row(f"{name}, {title}, cpu", "ms", ms, reference, _ms(taken["loop"][CPU]))
        if not plan.quick and title != "exact":  # other sizes were not measured elsewhere
            yield plan.row(f"{name}, {title}, cpu", "ms", ms, ELSEWHERE, [elsewhere_ms])


def _ms(seconds: Sequence[float]) -> list[float]:
    return [1e3 * each for each in seconds]


def _hard(
    plan: Plan,
    title: str,
    segments: Segments,
    threshold: float,
    loop: Segments,
    elsewhere_ms: float,
) -> Iterator[Row]:
    """Both arithmetics: `compiled` keeps the extension's ids, `exact` is the default."""
    works: dict[str, Callable[[], object]] = {
        "compiled": lambda: hard_nms(*segments, threshold=threshold, arithmetic="compiled"),
        "exact": lambda: hard_nms(*segments, threshold=threshold),
    }
    words = "plain loop" if loop is segments else "plain loop on the list cut in ten, in its favour"
    name = f"nms: hard, T = {threshold}, {title}"
    yield from _rows(plan, name, works, (words, lambda: hard_loop(loop, threshold)), elsewhere_ms)


def _soft(plan: Plan, title: str, segments: Segments) -> Iterator[Row]:
    """To the end, and with the cap of picks per class that published configs use."""

    def picks(cap: int | None) -> Callable[[], object]:
        return lambda: soft_nms(
            *segments, sigma=SIGMA, min_score=MIN_SCORE, max_num=cap, arithmetic="compiled"
        )

    works = {"no cap": picks(None), f"{CAP} a class": picks(CAP)}
    loop = ("plain loop, no cap", lambda: soft_loop(segments))
    name = f"nms: soft, sigma {SIGMA}, {title}"
    yield from _rows(plan, name, works, loop, EXTENSION_MS["soft"])


def measure(plan: Plan) -> Iterator[Row]:
    """Many short lists, and one long list."""
    groups, each, timeline_s = (4, 50, 20.0) if plan.quick else (GROUPS, EACH, TIMELINE_S)
    generator = np.random.default_rng(0)
    many = make_segments(groups, each, timeline_s, generator)
    title = f"{groups} x {each:,} on {timeline_s:,.0f} s"
    for threshold in THRESHOLDS:
        yield from _hard(plan, title, many, threshold, many, EXTENSION_MS[str(threshold)])
    yield from _soft(plan, title, many)
    n, long_s = groups * each, groups * timeline_s
    one = make_segments(1, n, long_s, generator)
    title = f"1 x {n:,} on {long_s:,.0f} s"
    # The loop on the whole list would take about ten times as long.
    yield from _hard(plan, title, one, 0.5, cut_timeline(one, 10), EXTENSION_MS["one 0.5"])
