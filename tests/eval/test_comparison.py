"""One result under all presets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wtal_eval import compare_protocols
from wtal_eval.command import main
from wtal_eval.protocols import PRESETS


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    rows = [{"label": "Run", "segment": [0, 10]}, {"label": "Run", "segment": [20, 30]}]
    database = {"v": {"subset": "test", "duration": 40, "annotations": rows}}
    results = {"v": [rows[0] | {"score": 0.9, "segment": [0, 9]}, rows[1] | {"score": 0.8}]}
    documents: dict[str, Any] = {"found": {"results": results}, "truth": {"database": database}}
    for name, document in documents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    return [str(tmp_path / f"{name}.json") for name in documents]


def test_every_preset_has_a_row_over_the_same_thresholds(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "compared.json"
    assert main([*files, "--compare-protocols", "--json", str(target)]) == 0
    printed = capsys.readouterr().out
    head, blank, *lines = printed.splitlines()
    assert head.startswith("all presets: subset=test tiou=0.1,0.2,0.3,0.4,0.5,0.55,")
    assert not blank
    assert lines[0].split() == [
        *("found.json,", "mAP", "(%)", "@0.1", "@0.3", "@0.5", "@0.7"),
        *("0.1:0.5", "0.1:0.7", "0.3:0.7", "0.5:0.95", "headline"),
    ]
    assert [line.split()[0] for line in lines[1 : 1 + len(PRESETS)]] == list(PRESETS)
    assert "wtalc: match=first ap=sum zero_union=no-match grid=16/25" in printed
    assert "thumos14: as thumos14" in printed
    assert "there are none: ambiguous_file (--ambiguous-file) names a file" in printed
    protocols = json.loads(target.read_text())["protocols"]
    assert list(protocols) == list(PRESETS)
    assert len({tuple(one["tiou"]) for one in protocols.values()}) == 1
    assert {one["protocol"]["subset"] for one in protocols.values()} == {"test"}


def test_overrides_reach_every_preset(files: list[str]) -> None:
    comparison = compare_protocols(*files, tiou=(0.9, 0.95), unknown_videos="ignore")
    assert {e.tiou for e in comparison.evaluations} == {(0.9, 0.95)}
    assert {e.protocol.unknown_videos for e in comparison.evaluations} == {"ignore"}
    by_name = {e.protocol.name: e for e in comparison.evaluations}
    assert by_name["thumos14"].map == (1.0, 0.25)
    assert by_name["thumos14-evalkit"].map == (0.25, 0.25)
    assert "@0.9" in comparison.text()


def test_the_subset_is_that_of_the_protocol_that_is_asked_for(files: list[str]) -> None:
    assert main([*files, "--compare-protocols", "--protocol", "activitynet"]) == 1
    assert main([*files, "--compare-protocols", "--protocol", "wtalc"]) == 0


def test_only_one_result_file_is_compared(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([files[0], *files, "--compare-protocols"]) == 1
    assert "takes one result file" in capsys.readouterr().err
