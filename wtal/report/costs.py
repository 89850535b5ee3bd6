"""What the training of a run took, from the seconds that it logged."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from wtal.report.data import Cost
from wtal_features import FeatureError
from wtal_features.files import read_text

METRICS_FILE = "metrics.jsonl"


def training_cost(run: Path) -> Cost | None:
    """The seconds of all steps; None where nothing was logged.

    Steps that did more than learn (a validation, a round of clustering) are all in the log, and
    some plain ones. Those that are not in it count as the median of those that are.

    Args:
        run: the folder.
    """
    path = run / METRICS_FILE
    lines: list[Any] = []
    if path.is_file():
        with suppress(FeatureError):
            lines = [_parsed(line) for line in read_text(path).splitlines()]
    logged = [line for line in lines if _is_number(line, "seconds") and _is_number(line, "step")]
    if not logged:
        return None
    seconds = np.array([line["seconds"] for line in logged], np.float64)
    steps = max(int(line["step"]) for line in logged)
    total = float(seconds.sum() + np.median(seconds) * max(0, steps - len(seconds)))
    return Cost("training", round(total, 1), f"{steps} steps, {len(seconds)} of them timed")


def _parsed(line: str) -> Any:
    """One line; a line that was cut by a kill is nothing."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _is_number(line: Any, name: str) -> bool:
    value = line.get(name) if isinstance(line, dict) else None
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12
