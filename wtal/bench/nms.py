"""`nms`: hard and soft suppression of 100,000 segments against the obvious loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wtal.bench import plain
from wtal.bench.rows import WALL, Plan, Row, timed
from wtal_eval.nms import hard_nms
from wtal_eval.soft_nms import soft_nms

THRESHOLDS = (0.3, 0.5, 0.7)
SIGMA, MIN_SCORE = 0.5, 0.001


class Segments(NamedTuple):
    """Random segments in groups, each group on its own timeline; (N,) each."""

    starts_N: NDArray[np.float64]  # seconds
    ends_N: NDArray[np.float64]  # seconds
    scores_N: NDArray[np.float64]
    groups_N: NDArray[np.int64]


def make_segments(
    groups: int, each: int, timeline_s: float, generator: np.random.Generator
) -> Segments:
    """Log-normal lengths, median 5 s; uniform centres and scores."""
    centre = generator.uniform(0, timeline_s, groups * each)
    half = generator.lognormal(np.log(5), 0.8, groups * each) / 2
    scores = generator.uniform(0, 1, groups * each)
    return Segments(centre - half, centre + half, scores, np.repeat(np.arange(groups), each))


def cut_timeline(segments: Segments, parts: int) -> Segments:
    """The same segments in `parts` groups by position, so that the quadratic loop ends in time."""
    centre_N = (segments.starts_N + segments.ends_N) / 2
    edges = np.linspace(centre_N.min(), centre_N.max(), parts + 1)[1:-1]
    return segments._replace(groups_N=np.searchsorted(edges, centre_N))


def by_group(segments: Segments) -> Iterator[tuple[NDArray[np.float64], ...]]:
    """Starts, ends and scores of one group after another."""
    for group in np.unique(segments.groups_N):
        members = segments.groups_N == group
        yield segments.starts_N[members], segments.ends_N[members], segments.scores_N[members]


def hard_loop(segments: Segments, threshold: float) -> None:
    """The plain loop, group after group."""
    for starts_N, ends_N, scores_N in by_group(segments):
        plain.hard_nms(starts_N, ends_N, scores_N, threshold)


def soft_loop(segments: Segments) -> None:
    """The plain loop, group after group."""
    for starts_N, ends_N, scores_N in by_group(segments):
        plain.soft_nms(starts_N, ends_N, scores_N, SIGMA, MIN_SCORE)


def _rows(
    plan: Plan, title: str, segments: Segments, loop: Segments, reference: str
) -> Iterator[Row]:
    """Hard suppression at every threshold, then soft."""
    for threshold in THRESHOLDS:
        works = {
            "ours": timed(lambda t=threshold: hard_nms(*segments, threshold=t)),  # type: ignore[misc]
            "loop": timed(lambda t=threshold: hard_loop(loop, t)),  # type: ignore[misc]
        }
        taken = plan.alternate(works, label="nms hard")
        name = f"nms: hard, T = {threshold}, {title}, wall"
        yield plan.row(name, "s", taken["ours"][WALL], reference, taken["loop"][WALL])
    works = {
        "ours": timed(lambda: soft_nms(*segments, sigma=SIGMA, min_score=MIN_SCORE)),
        "loop": timed(lambda: soft_loop(loop)),
    }
    taken = plan.alternate(works, label="nms soft", warm_up=False)
    name = f"nms: soft, {title}, wall"
    yield plan.row(name, "s", taken["ours"][WALL], reference, taken["loop"][WALL])


def measure(plan: Plan) -> Iterator[Row]:
    """Many short lists, and one long list."""
    groups, each, timeline_s = (4, 50, 20.0) if plan.quick else (20, 5000, 2000.0)
    generator = np.random.default_rng(0)
    many = make_segments(groups, each, timeline_s, generator)
    title = f"{groups} x {each:,} on {timeline_s:,.0f} s"
    yield from _rows(plan, title, many, many, "plain loop")
    n, long_s = groups * each, groups * timeline_s
    one = make_segments(1, n, long_s, generator)
    title = f"1 x {n:,} on {long_s:,.0f} s"
    # The loop on the whole list would take about ten times as long.
    reference = "plain loop on the list cut in ten, to its favour"
    yield from _rows(plan, title, one, cut_timeline(one, 10), reference)
