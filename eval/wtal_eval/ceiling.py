"""What no detector on a grid of snippets can exceed: the instances themselves, on that grid."""

from __future__ import annotations

import numpy as np

from wtal_eval.grid import snap
from wtal_eval.ranking import Ranking
from wtal_eval.segments import Segments
from wtal_eval.truth import Truth

DEFAULT_GRID = "16/25"  # frames per snippet / frames per second of most published features


def ceilings(truth: Truth, grid: str) -> dict[str, Ranking]:
    """Each instance as one detection on the grid, with a constant score.

    `outward`: from the snippet in which it starts to the end of that in which it ends; `rounded`:
    both ends to the nearest border. Ends are not cut at the duration, and ties follow the
    protocol; docs/decisions/0008 has what other readings give.

    Args:
        truth: the evaluated subset.
        grid: frames per snippet / frames per second.
    """
    instances = truth.instances
    score = np.ones(len(instances))
    rows = {}
    for name, how_start, how_end in (("outward", "down", "up"), ("rounded", "nearest", "nearest")):
        start, end = snap(instances.start, grid, how_start), snap(instances.end, grid, how_end)
        rows[name] = Ranking(Segments(instances.video, instances.label, start, end), score)
    return rows
