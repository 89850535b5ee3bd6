"""A result file with a million entries is read and scored, in memory that stays in proportion."""

import gc
import json
import resource
import tracemalloc
from pathlib import Path

import pytest

from wtal_eval import evaluate, read_detections


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


def test_the_text_of_a_file_is_freed_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "detections.json"
    path.write_text(json.dumps({"results": {"v": []}, "external_data": {}}) + " " * 4_000_000)
    gc.disable()
    tracemalloc.start()
    try:
        read_detections(path)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert kept < 1_000_000
