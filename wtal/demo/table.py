"""The table of the demo: mAP of the trivial answer, BaS-Net and DCC."""

from __future__ import annotations

from collections.abc import Mapping

from wtal_eval import Evaluation

AVERAGE = "0.1:0.7"
SHOWN = (0.3, 0.5, 0.7)  # tIoU
NAMES = {
    "trivial": "whole video x true tags",
    "basnet": "BaS-Net (baseline)",
    "dcc": "DCC",
}

Figures = dict[str, float]  # "0.3", ..., "0.1:0.7" -> mAP, a fraction


def figures(evaluations: Mapping[str, Evaluation]) -> dict[str, Figures]:
    """Row -> column -> mAP, the trivial answer first.

    Args:
        evaluations: of `basnet` and `dcc`, on the same videos.
    """
    any_one = next(iter(evaluations.values()))
    trivial = any_one.baselines["whole_video"]
    rows = {"trivial": _row(any_one.tiou, trivial.map, trivial.averages)}
    for name, one in evaluations.items():
        rows[name] = _row(one.tiou, one.map, one.averages)
    return rows


def _row(
    tiou: tuple[float, ...], mean_ap: tuple[float, ...], averages: Mapping[str, float]
) -> Figures:
    found = {f"{at:g}": value for at, value in zip(tiou, mean_ap, strict=True) if at in SHOWN}
    return {**found, AVERAGE: averages[AVERAGE]}


def text(rows: Mapping[str, Figures]) -> str:
    """For a terminal, in percent.

    Example:
        >>> row = {"0.3": 0.5, "0.5": 0.25, "0.7": 0.0, "0.1:0.7": 0.271}
        >>> print(text({"dcc": row}))
        mAP in percent at tIoU          .3     .5     .7    mean of .1 to .7
        DCC                           50.0   25.0    0.0    27.1
    """
    head = "".join(f"{f'{at:g}'[1:]:>7}" for at in SHOWN)
    lines = [f"{'mAP in percent at tIoU':27}{head}    mean of .1 to .7"]
    for name, row in rows.items():
        cells = "".join(f"{100 * row[f'{at:g}']:7.1f}" for at in SHOWN)
        lines.append(f"{NAMES[name]:27}{cells}    {100 * row[AVERAGE]:.1f}")
    return "\n".join(lines)
