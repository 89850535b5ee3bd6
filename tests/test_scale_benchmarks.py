"""The scripts of benchmarks/ about size: their figures are what they say."""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts import load

ROW = {"training": "DCC", "processes": 1, "threads": 1, "seconds": [4.0, 2.0, 3.0]}


@pytest.fixture(scope="module")
def scale() -> ModuleType:
    return load("scale")


def test_a_cost_is_that_of_a_unit_times_their_number(scale: ModuleType) -> None:
    some = scale.Footage(1000)
    many = replace(some, videos=1_000_000)
    costs = [scale.decoding_s, scale.encoding_s, scale.store_bytes, scale.epoch_s, scale.forward_s]
    costs += [
        scale.points_bytes,
        scale.bank_bytes,
        scale.result_bytes,
        scale.eval_s,
        scale.eval_bytes,
    ]
    for cost in costs:
        assert cost(many) == pytest.approx(1000 * cost(some))
        assert cost(some) > 0
    assert scale.store_bytes(some) == 1000 * 937.5 * 1024 * 2  # 600 s of 25 fps by 16 frames


def test_the_first_clustering_round_looks_at_no_more_than_its_sample(scale: ModuleType) -> None:
    few, many = scale.Footage(10), scale.Footage(10**8)
    assert scale.sampled_s(few, 2000) == scale.kmeans_s(few, 2000)
    assert scale.sampled_s(many, 2000) == pytest.approx(
        scale.kmeans_s(many, 2000) * 256 * 2000 / (many.videos * many.snippets)
    )


def test_the_table_of_the_page_is_what_the_script_prints(scale: ModuleType) -> None:
    page = (Path(__file__).parent.parent / "docs" / "scale.md").read_text("utf-8")
    table = scale.table([scale.Footage(count) for count in (200, 10**6, 10**8)])
    assert table in page


def test_speeds_are_ratios_of_medians() -> None:
    rows = [ROW, ROW | {"threads": 2, "seconds": [1.5]}, ROW | {"processes": 2, "seconds": [1.0]}]
    lines = load("training_processes").table(rows)
    assert lines[2] == "| DCC | 1 | 1 | 3.000 (2.000 .. 4.000) | 1.00 | 0.50 |"
    assert lines[3].endswith("| 2.00 | 1.00 |")
    assert lines[4].endswith("| 3.00 | 1.50 |")


@pytest.mark.slow
def test_every_stage_of_many_videos_is_measured_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("av", reason="videos need wtal[video]")
    pytest.importorskip("matplotlib")
    script = load("many_videos")
    monkeypatch.setattr(script, "LEARNED", 4)
    wanted = ("pack", "localize", "eval", "report")
    found = {count: script.measure(tmp_path, count, wanted, made=True) for count in (12, 24)}
    assert all(set(stages) == set(wanted) for stages in found.values())
    results = json.loads((tmp_path / "24" / "detections.json").read_text())["results"]
    assert len(results) == 20  # those that nothing was learned from
    kept = script.measure(tmp_path, 24, wanted, made=True)
    assert kept == found[24]
    lines = script.table(found)
    assert lines[0].startswith("| stage | ms, 12 | ms, 24 | MB, 12 | MB, 24 |")
    eval_s = found[24]["eval"]["wall_s"]
    assert f" {1000 * eval_s / 24:.2f} |" in next(line for line in lines if "| eval |" in line)
    document = script.document(found)
    assert [row["videos"] for row in document["rows"]] == [12] * 4 + [24] * 4
    script.plot(found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000
