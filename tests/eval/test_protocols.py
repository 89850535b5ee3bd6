from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from wtal_eval import EvalError, Protocol, evaluate
from wtal_eval.protocols import PRESETS, parse_grid, resolve


def test_thresholds_are_the_decimals_as_written() -> None:
    grid = [0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    assert list(PRESETS["thumos14"].tiou) == grid
    assert PRESETS["activitynet"].tiou == parse_grid(".5:.05:.95")
    assert parse_grid(".1:.1:.9") == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    assert parse_grid("0.3") == (0.3,)
    assert parse_grid(" .3, .5:.25:1 ") == (0.3, 0.5, 0.75, 1.0)


@pytest.mark.parametrize(
    "text", ["", "half", ".1:.9", ".9:.1:.1", ".1:0:.9", ".1:1e-9:.9", "1:2:3:4"]
)
def test_a_grid_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(EvalError, match="tiou cannot be read"):
        parse_grid(text)


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ((0.5, 0.5), "repeats a threshold"),
        ((0.0, 0.5), "holds 0.0; expected thresholds above 0 and up to 1"),
        ((1.1,), "holds 1.1"),
        ((-0.5,), "holds -0.5"),
        ((float("nan"),), "holds nan"),
        ((), "is empty"),
        (0.5, "expected thresholds or text"),
        (("half",), "expected thresholds or text"),
        (".5,.50", "repeats a threshold"),
    ],
)
def test_a_threshold_repeated_or_outside_zero_to_one_is_an_error(grid: Any, words: str) -> None:
    with pytest.raises(EvalError, match=words):
        resolve("thumos14", {"tiou": grid})


def test_one_is_a_threshold() -> None:
    assert resolve("thumos14", {"tiou": [1]}).tiou == (1.0,)


def test_floats_of_the_caller_are_used_as_given() -> None:
    grid = np.linspace(0.1, 0.9, 9)
    assert resolve("thumos14", {"tiou": grid}).tiou == tuple(grid.tolist())


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"ties": "random"}, "Option ties is 'random'; expected one of last, first"),
        ({"tie": "last"}, "Option tie is unknown; did you mean 'ties'"),
        ({"name": "mine"}, "Option name is unknown"),
        ({"headline": "0.2:0.4"}, "Option headline is '0.2:0.4'"),
        ({"exclude_videos": "v"}, "exclude_videos is 'v'; expected a list"),
        ({"exclude_videos": [1]}, "expected a list of video ids"),
    ],
)
def test_a_wrong_option_is_named(overrides: dict[str, Any], words: str) -> None:
    with pytest.raises(EvalError, match=words):
        resolve("thumos14", overrides)


def test_an_unknown_preset_is_named_with_the_known() -> None:
    with pytest.raises(
        EvalError, match="'thumos' is unknown; expected one of activitynet, thumos14"
    ):
        resolve("thumos", {})


def test_an_option_given_as_none_keeps_the_value_of_the_preset() -> None:
    assert resolve("thumos14", {"subset": None, "tiou": None}) == PRESETS["thumos14"]


def test_a_protocol_of_ones_own_is_used_as_it_is() -> None:
    mine = Protocol(name="mine", subset="val", tiou=(0.4,), headline="0.1:0.7")
    truth = {"v": {"subset": "val", "annotations": [{"label": "run", "segment": [0, 10]}]}}
    found = {"v": [{"label": "run", "segment": [0, 4], "score": 1}]}
    result = evaluate({"results": found}, {"database": truth}, mine)
    assert result.protocol == mine
    assert result.headline == ("all", 1.0)


def test_a_protocol_cannot_be_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        PRESETS["thumos14"].ties = "first"  # type: ignore[misc]


def test_averages_are_there_only_where_the_grid_covers_them() -> None:
    truth = {"v": {"subset": "test", "annotations": [{"label": "run", "segment": [0, 10]}]}}
    result = evaluate({"results": {}}, {"database": truth}, tiou=".1:.1:.6")
    assert set(result.averages) == {"0.1:0.5"}


def test_the_printed_line_names_every_option_once() -> None:
    protocol = resolve("thumos14", {"exclude_videos": ["a", "b"]})
    line = protocol.line()
    assert line.startswith("thumos14: subset=test ")
    assert "exclude_videos=2" in line
    assert all(f" {option}=" in line for option in protocol.to_json() if option != "name")
