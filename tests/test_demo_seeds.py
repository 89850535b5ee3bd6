"""benchmarks/demo_seeds.py: what is done is kept, and the table says what was measured."""

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.scripts import load

COLUMNS = ("0.3", "0.5", "0.7", "0.1:0.7")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load("demo_seeds")


def figures(percent: float) -> dict[str, float]:
    return dict.fromkeys(COLUMNS, percent / 100)


def one(seed: int, basnet: float, dcc: float, settings: dict[str, float]) -> dict[str, Any]:
    return {
        "seed": seed,
        "rows": {"trivial": figures(8), "basnet": figures(basnet), "dcc": figures(dcc)},
        "wall_s": 200.0,
        "cpu_s": 190.0,
        "settings": {text: figures(value) for text, value in settings.items()},
        "untrained": {},
    }


def test_the_table_has_every_seed_and_the_paired_differences(script: ModuleType) -> None:
    found = [one(0, 20, 30, {"dcc.a=1": 25}), one(1, 40, 42, {"dcc.a=1": 35})]
    rows = {line.split("|")[1].strip(): line for line in script.table(found).splitlines()}
    assert rows["DCC"] == "| DCC | 30.0 | 42.0 | 36.0 ± 8.5 |"
    assert rows["DCC, dcc.a=1"] == "| DCC, dcc.a=1 | 25.0 | 35.0 | 30.0 ± 7.1 |"
    gained = rows["DCC - BaS-Net (baseline)"]
    assert gained.endswith("| 10.0 | 2.0 | 6.0 ± 5.7 (95 % of the mean: ± 50.8) |")


def test_a_seed_is_run_again_for_a_setting_that_it_lacks_and_for_nothing_else(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    rows = {"trivial": figures(8), "basnet": figures(20), "dcc": figures(30)}

    def demo(out: Path, seed: int, **words: object) -> SimpleNamespace:
        runs.append(seed)
        out.mkdir()
        return SimpleNamespace(figures=rows, costs=())

    monkeypatch.setattr(script, "demo", demo)
    monkeypatch.setattr(script, "_with_setting", lambda out, seed, text: figures(25))
    first = script.one_seed(tmp_path, 3, [], False)
    assert script.one_seed(tmp_path, 3, [], False) == first
    assert runs == [3]
    more = script.one_seed(tmp_path, 3, ["dcc.a=1"], False)
    assert more["settings"] == {"dcc.a=1": figures(25)}
    assert script.one_seed(tmp_path, 3, [], False) == more
    assert runs == [3, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["seed-3.json"]
