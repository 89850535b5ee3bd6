"""A result file with a million entries is read and scored, in memory that stays in proportion."""

import json
import resource
from pathlib import Path

import pytest

from wtal_eval import evaluate


@pytest.mark.slow
def test_a_million_detections_are_scored_like_any_others(tmp_path: Path) -> None:
    videos, each = 1000, 1000
    entry = '{"label": "Jump", "score": 0.5, "segment": [0, 1]}'
    rows = ", ".join([entry] * (each - 1))
    best = '{"label": "Jump", "score": 0.9, "segment": [2, 4]}'
    path = tmp_path / "detections.json"
    with path.open("w") as file:
        file.write('{"results": {')
        for v in range(videos):
            file.write(f'{"," if v else ""}"v{v}": [{best}, {rows}]')
        file.write("}}")
    segment = {"label": "Jump", "segment": [2, 4]}
    truth = {f"v{v}": {"subset": "test", "annotations": [segment]} for v in range(videos)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    evaluation = evaluate(path, {"database": truth})
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert evaluation.counts["detections_read"] == videos * each
    assert set(evaluation.map) == {1.0}
    assert grown_kb * 1024 < 8 * path.stat().st_size
    assert json.loads(json.dumps(evaluation.to_json()))["headline"]["value"] == 1.0
