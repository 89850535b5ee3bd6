"""How often a run was scored on a test split: eval.json of the run folder keeps count.

A figure chosen among many readings is optimistic; whoever reads the run folder sees how many there
were.
"""

from __future__ import annotations

from pathlib import Path

from wtal_eval import Evaluation
from wtal_features.files import read_json, write_json

EVAL_FILE = "eval.json"


def count_readings(run: Path, evaluation: Evaluation) -> int:
    """Write eval.json: the evaluation, and `readings`, this one included."""
    path = run / EVAL_FILE
    earlier = read_json(path) if path.exists() else {}
    before = earlier.get("readings", 0) if isinstance(earlier, dict) else 0
    readings = (before if isinstance(before, int) else 0) + 1
    write_json(path, {"readings": readings} | evaluation.to_json())
    return readings
