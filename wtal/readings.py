"""How often a run was scored on a test split: eval.json of the run folder keeps count.

A figure chosen among many readings is optimistic; whoever reads the run folder sees how many there
were.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wtal_eval import Evaluation
from wtal_features.files import read_json, write_json

EVAL_FILE = "eval.json"


def readings_of(run: Path) -> int:
    """How often the run was scored so far."""
    readings = _content(run).get("readings", 0)
    return readings if isinstance(readings, int) else 0


def count_readings(run: Path, evaluation: Evaluation | None, *, before: int | None = None) -> int:
    """Write eval.json: the evaluation, and `readings`, this one included.

    Args:
        run: the folder.
        evaluation: None where only a comparison was made: the file keeps what it holds.
        before: what `readings_of` gave before the evaluation, which may have written the same file;
            None: it has not.
    """
    before = readings_of(run) if before is None else before
    content = _content(run) if evaluation is None else evaluation.to_json()
    write_json(run / EVAL_FILE, content | {"readings": before + 1})
    return before + 1


def _content(run: Path) -> dict[str, Any]:
    path = run / EVAL_FILE
    content = read_json(path) if path.exists() else {}
    return content if isinstance(content, dict) else {}
