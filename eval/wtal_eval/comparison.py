"""One result under every preset: how much of a figure is the protocol."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from wtal_eval.columns import Annotations, Detections
from wtal_eval.evaluation import AnnotationSource, DetectionSource, Evaluation, evaluate
from wtal_eval.faults import printable
from wtal_eval.io import read_annotations, read_detections, write_json
from wtal_eval.protocols import PRESETS, THUMOS14_GRID, Protocol, resolve
from wtal_eval.tables import PRINTED_AVERAGES, block

SHOWN = (0.1, 0.3, 0.5, 0.7)  # the thresholds papers print most


@dataclass(frozen=True)
class ProtocolComparison:
    """One evaluation per preset, all over the same thresholds and subset."""

    evaluations: tuple[Evaluation, ...]

    def text(self) -> str:
        """One table: mAP at some thresholds, the averages, and what each preset would quote.

        Below it what each does otherwise than `thumos14`; the JSON holds every option.
        """
        first = self.evaluations[0]
        at = [t for t in SHOWN if t in first.tiou] or list(first.tiou[:4])
        names = [name for name in PRINTED_AVERAGES if name in first.averages]
        rows = [
            (e.protocol.name, [e.map[e.tiou.index(t)] for t in at] + [e.averages[n] for n in names])
            for e in self.evaluations
        ]
        title = f"{printable(os.path.basename(first.source))}, mAP (%)"
        table = block(title, [f"@{t}" for t in at] + names, rows)
        table[0] += "    headline"
        for i, e in enumerate(self.evaluations, 1):
            name, value = e.headline
            table[i] += f"    {name} {100 * value:.2f}"
        grid = ",".join(map(str, first.tiou))
        lines = [f"all presets: subset={printable(first.protocol.subset)} tiou={grid}", "", *table]
        lines += ["", *(_difference(e.protocol) for e in self.evaluations)]
        return "\n".join(lines + _warnings(self.evaluations)) + "\n"

    def to_json(self) -> dict[str, Any]:
        """`protocols`: name of each preset -> the keys of `Evaluation.to_json`."""
        return {"protocols": {e.protocol.name: e.to_json() for e in self.evaluations}}

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Write `to_json` to a file that appears whole or not at all.

        Raises:
            EvalError: if it cannot be written.
        """
        write_json(self.to_json(), path)


def compare_protocols(
    detections: DetectionSource,
    annotations: AnnotationSource,
    protocol: str = "thumos14",
    **overrides: Any,
) -> ProtocolComparison:
    """Evaluate one result under all presets.

    All of them see the subset of `protocol` and the thresholds of `thumos14`, so that the columns
    can be compared; every other option keeps the value of its preset.

    Args:
        detections: as in `evaluate`.
        annotations: as in `evaluate`.
        protocol: the preset whose subset is evaluated.
        **overrides: options that replace those of every preset.

    Raises:
        EvalError: for input that cannot be evaluated under one of them.
    """
    if not isinstance(annotations, Annotations):
        annotations = read_annotations(annotations)
    if not isinstance(detections, Detections):
        detections = read_detections(detections, annotations.class_ids)
    common: dict[str, Any] = {"subset": resolve(protocol, overrides).subset, "tiou": THUMOS14_GRID}
    common |= {option: value for option, value in overrides.items() if value is not None}
    return ProtocolComparison(
        tuple(evaluate(detections, annotations, name, **common) for name in PRESETS)
    )


def _difference(protocol: Protocol) -> str:
    """What a preset does otherwise than `thumos14`, apart from its thresholds and subset."""
    base = PRESETS["thumos14"].to_json()
    other = {
        name: value
        for name, value in protocol.to_json().items()
        if value != base[name] and name not in ("name", "subset", "tiou", "headline")
    }
    words = " ".join(f"{name}={value}" for name, value in other.items())
    return f"{protocol.name}: {words or 'as thumos14'}"


def _warnings(evaluations: tuple[Evaluation, ...]) -> list[str]:
    """Each warning once, with the presets that give it unless all do."""
    givers: dict[str, list[str]] = {}
    for e in evaluations:
        for line in e.warnings:
            givers.setdefault(line, []).append(e.protocol.name)
    return [
        f"warning: {printable(line)}"
        + ("" if len(names) == len(evaluations) else f" [{', '.join(names)}]")
        for line, names in givers.items()
    ]
