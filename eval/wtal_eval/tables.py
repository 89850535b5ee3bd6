"""The tables people look at, as text and as pandas frames. All figures in percent.

Fractions are for programs (`--json`); papers print percent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wtal_eval.evaluation import Evaluation
from wtal_eval.faults import printable

if TYPE_CHECKING:
    import pandas as pd

# 0.1:0.9 stays in the JSON: one public script prints it where its paper quotes 0.1:0.7.
PRINTED_AVERAGES = ("0.1:0.5", "0.1:0.7", "0.3:0.7", "0.5:0.95")


ROW_TITLES = {
    "whole_video": "whole video x true tags",
    "ceiling_outward": "ceiling, instances widened to the grid",
    "ceiling_rounded": "ceiling, instances rounded to the grid",
}


@dataclass(frozen=True)
class _Row:
    name: str
    map: tuple[float, ...]
    averages: Mapping[str, float]


def as_text(
    evaluations: Sequence[Evaluation], *, per_class: bool = False, every_count: bool = False
) -> str:
    """The printed report: protocol, counts, mAP per threshold, all averages, baselines, warnings.

    Args:
        evaluations: one per result file, all under one protocol and annotation file.
        per_class: add AP and recall of every class of every file.
        every_count: add all that was counted.
    """
    first, names = evaluations[0], row_names(evaluations)
    named = list(zip(names, evaluations, strict=True))
    rows = [_Row(name, e.map, e.averages) for name, e in named]
    if len(rows) > 1:
        rows += _spread_rows(evaluations)
    rows += _baseline_rows(named)
    lines = [first.protocol.line(), _truth_line(first)]
    lines += [_detections_line(name, e) for name, e in named]
    if every_count:
        lines += [_counts_line(name, e) for name, e in named]
    cells = [(row.name, row.map) for row in rows]
    lines += ["", *block("mAP (%) at tIoU", [str(t) for t in first.tiou], cells)]
    heads = [name for name in PRINTED_AVERAGES if name in first.averages]
    if heads:
        cells = [(row.name, tuple(row.averages[head] for head in heads)) for row in rows]
        lines += ["", *block("average (%)", heads, cells)]
    lines += ["", f"headline ({headline_name(first)}): {_headlines(evaluations)}"]
    lines += [_video_line(name, e) for name, e in named]
    if per_class:
        for name, evaluation in named:
            lines += ["", *_class_blocks(name, evaluation)]
    lines += _warnings(named)
    return "\n".join(lines) + "\n"


def _warnings(named: Sequence[tuple[str, Evaluation]]) -> list[str]:
    """Each warning once, with the files that it is about unless that is all of them."""
    givers: dict[str, list[str]] = {}
    for name, evaluation in named:
        for line in evaluation.warnings:
            givers.setdefault(line, []).append(name)
    return [
        f"warning: {printable(line)}"
        + ("" if len(names) == len(named) else f" [{', '.join(names)}]")
        for line, names in givers.items()
    ]


def spread(rows: Sequence[Mapping[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and sample standard deviation (n - 1) of each figure over at least two runs."""
    keys = [key for key in rows[0] if all(key in row for row in rows)]
    table = np.array([[row[key] for key in keys] for row in rows])
    mean, sd = table.mean(axis=0).tolist(), table.std(axis=0, ddof=1).tolist()
    return dict(zip(keys, mean, strict=True)), dict(zip(keys, sd, strict=True))


def row_names(evaluations: Sequence[Evaluation]) -> list[str]:
    """File names without their folder, or with it where two would be the same."""
    short = [os.path.basename(e.source) for e in evaluations]
    full = [e.source for e in evaluations]
    return [printable(name) for name in (short if len(set(short)) == len(short) else full)]


def class_frame(evaluation: Evaluation) -> pd.DataFrame:
    """One row per class: npos, detections, then AP and recall (percent) per threshold."""
    import pandas as pd

    rows = {
        one.label: {("", "npos"): one.npos, ("", "detections"): one.detections}
        | {("AP", str(t)): 100 * x for t, x in zip(evaluation.tiou, one.ap, strict=True)}
        | {("recall", str(t)): 100 * x for t, x in zip(evaluation.tiou, one.recall, strict=True)}
        for one in evaluation.per_class
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def summary_frame(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """One row per result file: mAP (percent) per threshold and the averages; mean and sd below."""
    import pandas as pd

    rows = [
        {str(t): 100 * x for t, x in zip(e.tiou, e.map, strict=True)}
        | {name: 100 * x for name, x in e.averages.items()}
        for e in evaluations
    ]
    names = row_names(evaluations)
    if len(rows) > 1:
        rows += spread(rows)
        names += ["mean", "sd"]
    return pd.DataFrame(rows, index=pd.Index(names))


def _truth_line(evaluation: Evaluation) -> str:
    counts = evaluation.counts
    version = printable(str(counts["annotation_version"])) or "none"
    return (
        f"annotation: {counts['videos']} videos, {counts['instances']} instances, "
        f"{counts['classes']} classes; version: {version}"
    )


def _counts_line(name: str, evaluation: Evaluation) -> str:
    counts = {k: v for k, v in evaluation.counts.items() if k != "annotation_version"}
    return f"{name}: " + ", ".join(f"{key} {value}" for key, value in counts.items())


def _detections_line(name: str, evaluation: Evaluation) -> str:
    counts = evaluation.counts
    return (
        f"{name}: {counts['detections_read']} detections read, {counts['detections_kept']} kept, "
        f"{counts['detections_unknown_video']} on unknown videos, "
        f"{counts['detections_zero_length']} of zero length"
    )


def _video_line(name: str, evaluation: Evaluation) -> str:
    level = evaluation.video_level
    if level is None:
        return f"video level, {name}: no scores"
    source = "derived from detections" if level.derived else "video_scores"
    return (
        f"video level, {name} ({source}): mAP {100 * level.map:.2f} "
        f"({evaluation.protocol.video_ap}), top-1 {100 * level.top1:.2f}, "
        f"hit@3 {100 * level.hit3:.2f}, avg hit@3 {100 * level.avg_hit3:.2f}"
    )


def headline_name(evaluation: Evaluation) -> str:
    """`average 0.1:0.7`, or `mAP@0.5`."""
    name = evaluation.headline[0]
    return f"mAP{name}" if name.startswith("@") else f"average {name}"


def _headlines(evaluations: Sequence[Evaluation]) -> str:
    values = [100 * e.headline[1] for e in evaluations]
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"mean {np.mean(values):.2f}, sd {np.std(values, ddof=1):.2f} of {len(values)} files"


def _spread_rows(evaluations: Sequence[Evaluation]) -> list[_Row]:
    maps = spread([dict(zip(map(str, e.tiou), e.map, strict=True)) for e in evaluations])
    averages = spread([e.averages for e in evaluations])
    return [
        _Row(name, tuple(maps[k].values()), averages[k]) for k, name in enumerate(("mean", "sd"))
    ]


def _baseline_rows(named: Sequence[tuple[str, Evaluation]]) -> list[_Row]:
    """Rows that do not depend on the file once, that of predicted tags for every file."""
    baselines = named[0][1].baselines
    rows = [
        _Row(title, baselines[name].map, baselines[name].averages)
        for name, title in ROW_TITLES.items()
        if name in baselines
    ]
    for name, evaluation in named:
        predicted = evaluation.baselines.get("whole_video_predicted")
        if predicted:
            suffix = f" of {name}" if len(named) > 1 else ""
            title = "whole video x predicted tags" + suffix
            rows.append(_Row(title, predicted.map, predicted.averages))
    return rows


def block(
    title: str, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]]
) -> list[str]:
    """A title with column heads, then one line per row; fractions become percent."""
    width = max(len(title), *(len(name) for name, _ in rows)) + 2
    lines = [title.ljust(width) + "".join(head.rjust(9) for head in heads)]
    for name, cells in rows:
        lines.append(name.ljust(width) + "".join(f"{100 * x:9.2f}" for x in cells))
    return lines


def _class_blocks(name: str, evaluation: Evaluation) -> list[str]:
    width = max((len(printable(one.label)) for one in evaluation.per_class), default=0) + 2
    heads = "".join(str(t).rjust(7) for t in evaluation.tiou)
    lines: list[str] = []
    for title in ("AP", "recall"):
        lines += [""] * bool(lines) + [f"{title} (%) per class, {name}"]
        lines.append(" " * width + "npos".rjust(7) + "det.".rjust(8) + heads)
        for one in evaluation.per_class:
            figures = one.ap if title == "AP" else one.recall
            lines.append(
                printable(one.label).ljust(width)
                + f"{one.npos:7d}{one.detections:8d}"
                + "".join(f"{100 * x:7.2f}" for x in figures)
            )
    return lines
