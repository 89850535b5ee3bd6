"""Average precision of one ranked list, from where its positives stand.

Legend: `N` ranked videos, best first; ranks count from 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np

from wtal_eval.average_precision import summed_area
from wtal_eval.segments import Bools, Ints

Form: TypeAlias = Literal["sum", "trapezoid"]


def trapezoid_area(ranks: Ints, npos: int) -> float:
    """Trapezoids below the precision-recall curve, each 1 / npos wide.

    With r_i the 0-based rank of hit i = 0, 1, ..: sum of (p0 + p1) / (2 npos), where p1 =
    (i + 1) / (r_i + 1) is the precision with the hit, and p0 = i / r_i that just before it (1 in
    front of the whole list).

    Source: EVVE, Revaud et al. 2013, the data set's eval_evve.py, score_ap_from_ranks_1; the same
    in MKLab-ITI/visil datasets/__init__.py.
    """
    hits, before = np.arange(len(ranks)), ranks - 1
    left = np.where(before == 0, 1.0, hits / np.maximum(before, 1))
    return float((left + (hits + 1) / ranks).sum()) / (2 * npos)


AREAS: dict[Form, Callable[[Ints, int], float]] = {"sum": summed_area, "trapezoid": trapezoid_area}


def ranked_precision(relevant_N: Bools, npos: int, form: Form = "sum") -> float:
    """Average precision of one list.

    Args:
        relevant_N: which of the ranked videos are positives, best first.
        npos: number of positives that divides, found or not; at least 1.
        form: `sum`, (1 / npos) * sum of (hits so far) / rank: FIVR, CC_WEB_VIDEO, VCDB; or
            `trapezoid`: EVVE.

    Example:
        >>> ranked_precision(np.array([True, False, True, True]), npos=4)  # (1 + 2/3 + 3/4) / 4
        0.6041666666666666
    """
    return AREAS[form](np.flatnonzero(relevant_N) + 1, npos)
