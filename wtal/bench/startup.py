"""`help`: how long a user waits for `wtal --help`, the whole process."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from wtal.bench.child import run_child
from wtal.bench.rows import WALL, Plan, Row, timed


def measure(plan: Plan) -> Iterator[Row]:
    """Against a Python process that does nothing."""
    works = {
        "help": timed(lambda: run_child([sys.executable, "-m", "wtal", "--help"])),
        "pass": timed(lambda: run_child([sys.executable, "-c", "pass"])),
    }
    taken = plan.alternate(works, label="help")
    yield plan.row(
        "help: wtal --help, whole process, wall",
        "s",
        taken["help"][WALL],
        "python -c pass",
        taken["pass"][WALL],
    )
