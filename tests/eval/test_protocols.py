"""Presets, options and grids, and what they refuse."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wtal_eval import EvalError, Protocol, evaluate
from wtal_eval.options import OPTIONS, parse_grid, parse_snippet
from wtal_eval.protocols import AVERAGES, PRESETS, resolve


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
        ({"exclude_videos": "v"}, "exclude_videos is 'v'; expected a list of names"),
        ({"exclude_videos": [1]}, "expected a list of names"),
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


def test_every_field_of_a_protocol_is_an_option_of_the_commands() -> None:
    assert [field.name for field in fields(Protocol)] == ["name", *OPTIONS]
    assert all(option.help and not option.help.endswith(".") for option in OPTIONS.values())


def test_no_preset_changes_the_detections() -> None:
    assert all(protocol.diagnostics() == {} for protocol in PRESETS.values())
    changed = resolve("thumos14", {"time_scale": 1.2, "max_per_video": 10, "ap": "sum"})
    assert changed.diagnostics() == {"time_scale": 1.2, "max_per_video": 10}


def test_presets_are_under_their_names_and_quote_a_figure_of_their_grid() -> None:
    for name, protocol in PRESETS.items():
        assert protocol.name == name
        members = AVERAGES.get(protocol.headline, ())
        assert set(members) <= set(protocol.tiou)
    assert PRESETS["thumos14-evalkit-2014"].tiou == parse_grid(".1:.1:.5")
    assert PRESETS["multithumos"].tiou == parse_grid(".1:.1:.9")


def test_a_grid_is_frames_over_fps_or_off() -> None:
    assert parse_snippet("16/25") == (16, 25)
    assert parse_snippet("off") is None
    for text in ("16", "16/0", "-16/25", "16/25/2", "nan/25", "inf/25", "", "a/b", 16):
        with pytest.raises(EvalError, match=r"Option grid is .*; expected FRAMES/FPS"):
            resolve("thumos14", {"grid": text})


def test_a_grid_of_a_preset_can_be_switched_off() -> None:
    assert resolve("snippet-grid", {"grid": "off"}).grid == "off"


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("nms", 0, "a tIoU of .001 to 1"),
        ("nms", 1.5, "a tIoU of .001 to 1"),
        ("nms", "half", "a tIoU of .001 to 1"),
        ("dedup_gt", -1, "seconds, 0 or more"),
        ("assume_fps", 0, "frames per second above 0"),
        ("time_scale", -1, "a factor above 0"),
        ("time_scale", float("nan"), "a factor above 0"),
        ("time_offset", float("inf"), "seconds"),
        ("end_offset", True, "seconds"),
        ("length_offset", -1, "seconds, 0 or more"),
        ("max_per_video", 0, "a number of detections, 1 or more"),
        ("max_per_video", 2.5, "a number of detections, 1 or more"),
        ("headline", "@half", "or a threshold such as @0.5"),
        ("match", "worst", "one of best, first, per-instance"),
        ("exclude_class", "CliffDiving", "a list of names"),
    ],
)
def test_a_number_outside_its_range_is_named(option: str, value: Any, expected: str) -> None:
    with pytest.raises(EvalError) as caught:
        resolve("thumos14", {option: value})
    assert str(caught.value).startswith(f"Option {option} is ")
    assert expected in str(caught.value)


def test_the_headline_may_be_one_threshold() -> None:
    truth = {"v": {"subset": "test", "annotations": [{"label": "run", "segment": [0, 10]}]}}
    found = {"v": [{"label": "run", "segment": [0, 6], "score": 1}]}
    result = evaluate({"results": found}, {"database": truth}, headline="@0.6")
    assert result.headline == ("@0.6", 1.0)
    off_grid = evaluate({"results": found}, {"database": truth}, headline="@0.61")
    assert off_grid.headline[0] == "all"


def test_the_reference_names_every_preset_and_option() -> None:
    reference = Path(__file__).parents[2] / "eval" / "README.md"
    text = reference.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in PRESETS)
    assert all(f"`{name}`" in text for name in OPTIONS)
