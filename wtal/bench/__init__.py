"""`wtal bench`: the project's figures, each beside a reference measured in the same run.

All inputs are made here from explicit generators; nothing is downloaded. A new piece is one file
with a function `measure(plan)` and one line in PIECES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from wtal.bench import (
    chamfer,
    denoising,
    encoders,
    evaluation,
    extraction,
    kmeans,
    lengths,
    localize,
    memory,
    motion,
    nms,
    pretraining,
    startup,
    step,
    video_memory,
)
from wtal.bench.rows import HEADER, Plan, Row, line, machine_and_versions, write_rows
from wtal.errors import WtalError

__all__ = ["HEADER", "PIECES", "Row", "line", "run", "write_rows"]

PIECES: dict[str, Callable[[Plan], Iterator[Row]]] = {
    "help": startup.measure,
    "localize": localize.measure,
    "nms": nms.measure,
    "eval": evaluation.measure,
    "kmeans": kmeans.measure,
    "denoise": denoising.measure,
    "lengths": lengths.measure,
    "memory": memory.measure,
    "step": step.measure,
    "encoders": encoders.measure,
    "extract": extraction.measure,
    "motion": motion.measure,
    "video-memory": video_memory.measure,
    "chamfer": chamfer.measure,
    "pretrain": pretraining.measure,
}
ON_DEMAND = ("pretrain",)  # it trains for half an hour


def run(
    what: Sequence[str] = (), *, repeats: int = 5, quick: bool = False, quiet: bool = False
) -> Iterator[Row]:
    """Measure pieces; rows come as they are ready.

    Args:
        what: names from PIECES; none: all but those of ON_DEMAND.
        repeats: timed turns of each figure and its reference.
        quick: tiny sizes, to see that everything works.
        quiet: no progress bar.

    Raises:
        WtalError: an unknown name, or repeats below 1.
    """
    unknown = [name for name in what if name not in PIECES]
    if unknown:
        raise WtalError(f"There is no benchmark '{unknown[0]}'; there are {', '.join(PIECES)}.")
    if repeats < 1:
        raise WtalError(f"--repeats is {repeats}; expected at least 1.")
    plan = Plan(repeats, quick, machine_and_versions(), quiet)
    names = what or [name for name in PIECES if name not in ON_DEMAND]
    return (row for name in names for row in PIECES[name](plan))
